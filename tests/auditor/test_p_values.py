"""The one p-value of an interval, and the promise of every function that gives both an interval and a p-value."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.comparison.changes import metric_changes
from auditor.comparison.pairing import match_samples
from auditor.documents.estimate import Estimate
from auditor.documents.sample_table import SampleTable
from auditor.estimates.retrained import compare_with_retrained
from auditor.stats.change import Change, auc_change, independent_change, mean_change, tpr_change
from auditor.stats.metrics import auc
from auditor.stats.p_values import auc_p_value, exceedance_p_value, interval_p_value

LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])
VALUES = st.one_of(st.just(0.0), st.just(3.0), st.floats(-1e6, 1e6), st.floats(-1e-12, 1e-12))
ARMS = st.one_of(st.just(0.0), st.floats(0, 1e6), st.floats(0, 1e-12))


def keeps_the_promise(estimate: Estimate, p_value: float | None) -> None:
    """Assert that p < 1 - level exactly where the interval excludes 0."""
    if estimate.low is None or estimate.high is None:
        assert p_value is None
        return
    assert p_value is not None
    assert 0 <= p_value <= 1
    assert (p_value < 1 - estimate.level) == (estimate.low > 0 or estimate.high < 0)


def samples(seed: int, n: int, step: float, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str | None]]:
    """Scores before and after on a coarse grid, so that ties, equal scores and constant changes are common."""
    rng = np.random.default_rng(seed)
    is_member = np.arange(2 * n) < n
    before = np.round(rng.normal(size=2 * n) / step) * step
    kind = seed % 4
    moved = [rng.normal(size=2 * n), np.full(2 * n, 3.0) * is_member, np.zeros(2 * n), -3.0 * is_member][kind]
    after = before + np.round(moved / step) * step
    named: list[str | None] = [str(i % groups) if groups else None for i in range(2 * n)]
    return before, after, is_member, named


SAMPLES = st.builds(
    samples, st.integers(0, 10_000), st.integers(2, 30), st.sampled_from([0.01, 1.0]), st.sampled_from([0, 4])
)


@given(value=VALUES, down=ARMS, up=ARMS, level=LEVELS, df=st.sampled_from([1.0, 4.0, math.inf]))
def test_an_interval_and_its_p_value_never_contradict_each_other(
    value: float, down: float, up: float, level: float, df: float
) -> None:
    low, high = value - down, value + up
    p_value = interval_p_value(value, low, high, level=level, df=df)
    assert 0 <= p_value <= 1
    assert (p_value < 1 - level) == (low > 0 or high < 0)
    for above in (True, False):
        one_sided = exceedance_p_value(value, low, high, limit=0.0, above=above, level=level, df=df)
        assert (one_sided < (1 - level) / 2) == (low > 0 if above else high < 0)


def test_the_t_interval_gives_the_p_value_of_the_t_test() -> None:
    x = np.array([3.0, 5.0, 1.0, 4.0])
    found = stats.ttest_1samp(x, 0.0)
    low, high = found.confidence_interval(0.95)
    p_value = interval_p_value(float(x.mean()), low, high, level=0.95, df=3)
    assert p_value == pytest.approx(found.pvalue)


def test_an_interval_without_arms_says_no_more_than_its_level() -> None:
    assert interval_p_value(3.0, 3.0, 3.0, level=0.95) == pytest.approx(0.05)
    assert interval_p_value(3.0, 3.0, 3.0, level=0.95) < 1 - 0.95
    assert interval_p_value(0.0, 0.0, 0.0, level=0.95) == 1.0


def test_every_member_plus_three_is_a_change() -> None:
    is_member = np.arange(8) < 4
    found = mean_change(np.zeros(8), 3.0 * is_member, is_member, level=0.95)
    assert (found.estimate.low, found.estimate.high) == (3.0, 3.0)
    assert found.p_value is not None
    assert found.p_value < 1 - 0.95


@given(drawn=SAMPLES, level=LEVELS)
def test_every_paired_change_keeps_the_promise(drawn, level: float) -> None:
    before, after, is_member, groups = drawn
    changes: list[Change] = [
        mean_change(before, after, is_member, level=level, groups=groups),
        auc_change(before, after, is_member, level=level, groups=groups),
        tpr_change(before, after, is_member, fpr=0.2, level=level, groups=groups),
    ]
    for change in changes:
        keeps_the_promise(change.estimate, change.p_value)


@given(values=st.lists(VALUES, min_size=2, max_size=2), arms=st.lists(ARMS, min_size=4, max_size=4), level=LEVELS)
def test_an_independent_change_keeps_the_promise(values: list[float], arms: list[float], level: float) -> None:
    sides = [
        Estimate(value=v, low=v - down, high=v + up, level=level, method="", n_members=9, n_non_members=9)
        for v, down, up in zip(values, arms[::2], arms[1::2], strict=True)
    ]
    change = independent_change(*sides)
    keeps_the_promise(change.estimate, change.p_value)


@given(drawn=SAMPLES, level=LEVELS)
def test_the_auc_of_an_attack_keeps_the_promise_one_sided(drawn, level: float) -> None:
    scores, _, is_member, groups = drawn
    area = auc(scores, is_member, level=level, groups=groups)
    p_value = auc_p_value(scores, is_member, groups)
    if area.low is None or abs(area.low - 0.5) < 1e-9:
        return
    assert p_value is not None
    assert (p_value < (1 - level) / 2) == (area.low > 0.5)


@given(drawn=SAMPLES, level=LEVELS)
def test_a_retrained_model_keeps_the_promise(drawn, level: float) -> None:
    before, after, is_member, groups = drawn
    found = compare_with_retrained(
        target={"loss": after}, retrained={"loss": before}, target_bits=after, retrained_bits=before,
        is_member=is_member, groups=groups, headline="loss", margin=0.05, level=level, path="m", weights_sha256="",
    )  # fmt: skip
    for attack in found.attacks:
        keeps_the_promise(attack.change, attack.p_value)


@given(drawn=SAMPLES, level=LEVELS)
def test_a_comparison_keeps_the_promise(drawn, level: float) -> None:
    before, after, is_member, groups = drawn
    tables = [table(scores, is_member, groups) for scores in (before, after)]
    rows = metric_changes(*tables, match_samples(*tables), labels=["loss"], fprs=[0.2], level=level)
    for row in rows:
        keeps_the_promise(row.change, row.p_value)


def table(scores: np.ndarray, is_member: np.ndarray, groups: list[str | None]) -> SampleTable:
    """An audit's samples with these scores, which are its bits too."""
    n = scores.size
    return SampleTable(
        sample_id=tuple(map(str, range(n))), text_sha256=tuple(f"{i:064d}" for i in range(n)), is_member=is_member,
        group=tuple(groups), n_tokens=np.ones(n, dtype=np.int64), n_bytes=np.ones(n, dtype=np.int64),
        target_bits=np.full(n, 10.0), reference_bits=10.0 + scores, signed_bits=scores,
        memorized_bits=np.maximum(scores, 0.0), scores={"loss": scores},
    )  # fmt: skip
