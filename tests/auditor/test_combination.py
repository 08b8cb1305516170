"""All attacks together: it gains where there is something to gain, and claims nothing from noise."""

import numpy as np
import pytest
from scipy import special, stats

from auditor.estimates.combination import _out_of_fold_log_odds, combine

LEVEL = 0.95


def draw(rng: np.random.Generator, n: int, shifts: list[float]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    is_member = np.arange(2 * n) < n
    return {f"a{i}": rng.normal(size=2 * n) + shift * is_member for i, shift in enumerate(shifts)}, is_member


def run(scores, is_member, groups=None, seed=0):
    return combine(scores, is_member, groups, fpr_targets=(0.01, 0.1), level=LEVEL, seed=seed)


def test_two_independent_attacks_gain_what_theory_says():
    # separation sqrt 2 instead of 1: AUC Phi(1) = .841 instead of Phi(1 / sqrt 2) = .760
    found = run(*draw(np.random.default_rng(0), 1000, [1.0, 1.0])).result
    assert found.auc.low < stats.norm.cdf(1) < found.auc.high
    assert found.gain.low < stats.norm.cdf(1) - stats.norm.cdf(0.5**0.5) < found.gain.high
    assert found.gain.low > 0.03
    assert found.calibration.calibrated
    assert [e.fpr for e in found.tpr_at_fpr] == [0.01, 0.1]
    assert found.features == ("a0", "a1")


def test_log_odds_are_those_of_the_truth():
    scores, is_member = draw(np.random.default_rng(1), 2000, [1.0, 0.5])
    found = run(scores, is_member)
    truth = scores["a0"] - 0.5 + 0.5 * scores["a1"] - 0.125
    assert np.corrcoef(found.log_odds, truth)[0, 1] > 0.98
    assert np.polyfit(truth, found.log_odds, 1) == pytest.approx([1, 0], abs=0.15)
    assert np.allclose(found.posterior, special.expit(found.log_odds))


def test_monotone_transforms_change_nothing():
    scores, is_member = draw(np.random.default_rng(2), 60, [1.0, 0.0, 0.5])
    moved = {"a0": np.exp(scores["a0"]), "a1": scores["a1"] ** 3, "a2": 7 * scores["a2"] - 1}
    assert run(scores, is_member).result == run(moved, is_member).result


def test_a_fold_does_not_learn_from_its_own_labels():
    scores, is_member = draw(np.random.default_rng(3), 60, [1.0, 0.5])
    features, fold = np.stack(list(scores.values())), np.arange(120) % 5
    flipped = np.where(fold == 2, ~is_member, is_member)
    before, after = (_out_of_fold_log_odds(features, side, fold) for side in (is_member, flipped))
    assert np.array_equal(before[fold == 2], after[fold == 2])
    assert not np.array_equal(before[fold != 2], after[fold != 2])


@pytest.mark.parametrize("n_draws", [15, pytest.param(200, marks=pytest.mark.slow)])
def test_noise_gains_nothing(n_draws):
    rng = np.random.default_rng(4)
    held = claimed = 0
    for seed in range(n_draws):
        found = run(*draw(rng, 60, [0.0] * 8), seed=seed).result
        held += found.auc.low <= 0.5 <= found.auc.high
        claimed += found.gain.low > 0
    assert held >= stats.binom.ppf(1e-3, n_draws, LEVEL)
    assert claimed <= stats.binom.ppf(0.999, n_draws, 0.025)


def test_perfect_attacks_leave_nothing_to_gain():
    scores, is_member = draw(np.random.default_rng(5), 60, [40.0, 40.0])
    found = run(scores, is_member).result
    assert found.auc.value == 1
    assert found.gain.low <= 0 == found.gain.value <= found.gain.high


@pytest.mark.parametrize(
    ("n", "shifts", "side", "groups", "reason"),
    [
        (60, [0.0], None, None, "at least 2 attacks"),
        (49, [0.0, 0.0], None, None, "at least 50 members are needed to train on, got 49"),
        (60, [0.0, 0.0], True, None, "there are no non-members"),
        (60, [0.0, 0.0], None, [i % 3 if i < 60 else None for i in range(120)], "10 independent members"),
    ],
)
def test_says_why_there_is_none(n, shifts, side, groups, reason):
    scores, is_member = draw(np.random.default_rng(6), n, shifts)
    found = run(scores, is_member if side is None else np.full(2 * n, side), groups)
    assert reason in found.undefined_reason
    assert (found.result, found.posterior, found.log_odds) == (None, None, None)
