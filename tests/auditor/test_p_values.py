"""The one p-value of an interval, and the promise of every function that gives both an interval and a p-value."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from twenty_limits import n_failed

from auditor.comparison.changes import metric_changes
from auditor.comparison.pairing import match_samples
from auditor.documents.estimate import Estimate
from auditor.documents.figures import catalogue
from auditor.documents.files import to_text
from auditor.documents.sample_table import SampleTable
from auditor.estimates.retrained import compare_with_retrained
from auditor.gates.judge import limit_p_value
from auditor.stats.change import Change, auc_change, independent_change, mean_change, tpr_change
from auditor.stats.intervals import mean, mean_difference
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


@given(value=VALUES, down=ARMS, up=ARMS, level=LEVELS, df=st.sampled_from([1.0, 4.0, None]))
def test_an_interval_and_its_p_value_never_contradict_each_other(
    value: float, down: float, up: float, level: float, df: float | None
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


def test_a_gate_takes_the_t_distribution_of_its_interval() -> None:
    """Of values that are not skewed, whose arms are Student's, the p-values are those of the t-tests."""
    x, y = np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.5, 1.25, 2.0])
    one, two = mean(x, level=0.95), mean_difference(x, y, level=0.95)
    document = {"memorization": {"mean": asdict(one), "difference": asdict(two)}}
    found = catalogue(json.loads(to_text(document)))
    for limit in (-1.0, 0.5, 2.0, 4.0):
        for above, side in ((True, "greater"), (False, "less")):
            p_value = limit_p_value(found["memorization.mean"][0], limit, above=above)
            assert p_value == pytest.approx(stats.ttest_1samp(x, limit, alternative=side).pvalue)
            p_value = limit_p_value(found["memorization.difference"][0], limit, above=above)
            expected = stats.ttest_ind(x - limit, y, equal_var=False, alternative=side).pvalue
            assert p_value == pytest.approx(expected)


def test_changes_between_samples_that_share_nothing_take_the_fewer_degrees_of_freedom() -> None:
    few, many = (mean(np.arange(float(n)) % 7, level=0.95) for n in (4, 40))
    change = independent_change(few, many)
    assert change.estimate.df == few.df == 3
    low, high = change.estimate.low, change.estimate.high
    assert change.p_value == interval_p_value(change.estimate.value, low, high, level=0.95, df=3)
    none = replace(many, df=None)
    assert independent_change(none, none).estimate.df is None


def test_an_estimate_without_degrees_of_freedom_is_read_and_nonsense_is_refused() -> None:
    plain = {key: value for key, value in asdict(mean([1.0, 2.0, 3.0], level=0.95)).items() if key != "df"}
    assert catalogue({"a": plain})["a"][0].df is None
    for df in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="degrees of freedom"):
            Estimate(**plain, df=df)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bits", "bits of few", "auc"])
@pytest.mark.parametrize("n_groups", [4, 6, 10])
def test_twenty_limits_with_few_groups_fail_no_more_often_than_allowed(n_groups: int, kind: str) -> None:
    """The short form of `python benchmarks/twenty_limits.py`."""
    failed = n_failed(kind, n_groups, 300, np.random.default_rng(n_groups))
    assert failed <= stats.binom.isf(0.005, 300, 0.025), failed / 300


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


@pytest.mark.slow
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
