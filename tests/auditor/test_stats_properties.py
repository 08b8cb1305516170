"""What must hold for any scores."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.stats.intervals import mean, mean_difference, standardized_difference
from auditor.stats.metrics import evaluate, roc_curve

FPRS = (0.05, 0.25, 0.5)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def samples(draw, *, min_side=1):
    """Scores of both sides, with many ties, and groups or none."""
    m, n = draw(st.integers(min_side, 25)), draw(st.integers(min_side, 25))
    score = st.integers(-6, 6).map(float) if draw(st.booleans()) else st.floats(-1e6, 1e6)
    scores = np.array(draw(st.lists(score, min_size=m + n, max_size=m + n)))
    is_member = np.array(draw(st.permutations([True] * m + [False] * n)))
    group = st.sampled_from([None, "a", "b", "c", "d"])
    groups = draw(st.none() | st.lists(group, min_size=m + n, max_size=m + n))
    return scores, is_member, groups


def measure(scores, is_member, groups=None):
    return evaluate(scores, is_member, fpr_targets=FPRS, level=0.9, groups=groups, rng=np.random.default_rng(0))


@quick
@given(samples())
def test_every_interval_lies_in_the_unit_interval(sample):
    result = measure(*sample)  # an Estimate refuses a value outside of its interval, and NaN
    for estimate in (result.auc, result.advantage, result.f1_equal_error, *result.tpr_at_fpr):
        if estimate.value is not None:
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
            assert estimate.low < estimate.high
    assert result.inverted == (result.auc.high is not None and result.auc.high < 0.5)


@quick
@given(samples())
def test_curve_is_monotone_and_targets_are_kept(sample):
    scores, is_member, _ = sample
    curve = roc_curve(scores, is_member)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.fpr) >= 0).all()
    assert (np.diff(curve.tpr) >= 0).all()
    assert (np.diff(curve.threshold[1:]) < 0).all()
    for estimate in measure(scores, is_member).tpr_at_fpr:
        if estimate.value is not None:
            assert curve.fpr[curve.tpr == estimate.value].min() <= estimate.fpr
            assert not ((curve.fpr <= estimate.fpr) & (curve.tpr > estimate.value)).any()


@quick
@given(samples(), st.randoms(use_true_random=False))
def test_order_of_the_samples_plays_no_part(sample, random):
    scores, is_member, _ = sample
    order = list(range(scores.size))
    random.shuffle(order)
    before, after = measure(scores, is_member), measure(scores[order], is_member[order])
    assert before.roc == after.roc
    assert before.tpr_at_fpr == after.tpr_at_fpr
    assert before.f1_equal_error == after.f1_equal_error
    assert before.advantage == after.advantage
    for end in ("low", "value", "high"):  # sums in another order differ in the last digit
        assert getattr(before.auc, end) == pytest.approx(getattr(after.auc, end), abs=1e-12)


@quick
@given(samples())
def test_monotone_transform_changes_nothing(sample):
    scores, is_member, groups = sample
    ranks = np.unique(scores, return_inverse=True)[1].astype(float)
    assert measure(scores, is_member, groups) == measure(np.exp(ranks / 10), is_member, groups)


@quick
@given(samples())
def test_swapping_the_sides_mirrors_the_auc(sample):
    scores, is_member, groups = sample
    there, back = measure(scores, is_member, groups).auc, measure(scores, ~is_member, groups).auc
    if there.value is None:
        assert back.value is None
    else:
        assert back.value == pytest.approx(1 - there.value)
        assert (back.low, back.high) == pytest.approx((1 - there.high, 1 - there.low), abs=1e-6)


@quick
@given(samples())
def test_advantage_bounds_the_auc(sample):
    # a curve below tpr = fpr + a has at most the area 1/2 + a - a^2 / 2
    result = measure(*sample)
    if result.auc.value is not None:
        a = result.advantage.value
        assert result.auc.value <= 0.5 + a - a**2 / 2 + 1e-9


@quick
@given(samples(min_side=2), st.floats(-100, 100))
def test_means_move_with_the_values(sample, shift):
    values, is_member, _ = sample
    x, y = values[is_member], values[~is_member]
    scale = 1 + np.abs(values).max() + abs(shift)
    moved = mean_difference(x + shift, y, level=0.9)
    assert moved.value == pytest.approx(mean_difference(x, y, level=0.9).value + shift, abs=1e-9 * scale)
    assert mean(x + shift, level=0.9).value == pytest.approx(mean(x, level=0.9).value + shift, abs=1e-9 * scale)
    d_prime = standardized_difference(x, y, level=0.9)
    assert (d_prime.value is None) == (d_prime.undefined_reason is not None)
