"""Calibration of stated probabilities: by hand, against scikit-learn, and how often it cries wolf."""

import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from auditor.stats.calibration import calibration
from auditor.stats.intervals import clopper_pearson

LEVEL = 0.95


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """As many members as non-members, with their true probabilities."""
    is_member = np.arange(2 * n) < n
    scores = rng.normal(size=2 * n) + is_member
    return special.expit(scores - 0.5), is_member  # log-odds of N(1, 1) against N(0, 1)


def test_one_bin_at_equal_prior_odds_by_hand():
    # 3 of 4 members and 2 of 8 non-members at .75: .75 / (.75 + .25); the other bin: .25 / (.25 + .75)
    is_member = np.arange(60) < 20
    stated = np.where(is_member, np.arange(60) % 4 < 3, np.arange(60) % 4 < 1) * 0.5 + 0.25
    found = calibration(stated, is_member, level=LEVEL)
    assert [b.observed.value for b in found.bins] == pytest.approx([0.25, 0.75])
    assert [b.mean_stated for b in found.bins] == pytest.approx([0.25, 0.75])
    assert found.calibration_error == pytest.approx(0)
    assert found.brier.value == pytest.approx(0.75 * 0.0625 + 0.25 * 0.5625)
    low, high = clopper_pearson(15, 25, LEVEL)  # odds of 2 non-members a member
    top = found.bins[1].observed
    assert (top.low, top.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_against_scikit_learn():
    stated, is_member = draw(np.random.default_rng(0), 500)
    found = calibration(stated, is_member, level=LEVEL)
    observed, mean_stated = calibration_curve(is_member, stated, n_bins=10, strategy="quantile")
    assert [b.observed.value for b in found.bins] == pytest.approx(observed)
    assert [b.mean_stated for b in found.bins] == pytest.approx(mean_stated)
    assert found.brier.value == pytest.approx(brier_score_loss(is_member, stated))
    assert found.calibration_error == pytest.approx(np.abs(observed - mean_stated).mean())


def test_repeating_one_side_changes_no_value():
    stated, is_member = draw(np.random.default_rng(1), 100)
    again = np.append(np.arange(200), np.repeat(np.arange(100, 200), 2))
    once, thrice = (
        calibration(stated, is_member, level=LEVEL),
        calibration(stated[again], is_member[again], level=LEVEL),
    )
    assert thrice.brier.value == pytest.approx(once.brier.value)
    assert [b.observed.value for b in thrice.bins] == pytest.approx([b.observed.value for b in once.bins])


def test_cries_wolf_no_more_than_it_says_and_sees_overconfidence():
    rng = np.random.default_rng(2)
    right, overconfident = 0, 0
    for _ in range(60):
        stated, is_member = draw(rng, 300)
        right += calibration(stated, is_member, level=LEVEL).calibrated
        louder = special.expit(3 * special.logit(stated))
        overconfident += not calibration(louder, is_member, level=LEVEL).calibrated
    assert right >= 54
    assert overconfident >= 59


def test_a_constant_is_one_bin():
    found = calibration(np.full(200, 0.5), np.arange(200) < 50, level=LEVEL)
    assert len(found.bins) == 1
    assert found.calibrated
    assert found.brier.value == 0.25


def test_clusters_widen():
    stated, is_member = draw(np.random.default_rng(3), 200)
    tens = np.repeat(np.arange(40), 10)
    found = [calibration(stated, is_member, level=LEVEL, groups=groups) for groups in (None, tens)]
    widths = [sum(b.observed.high - b.observed.low for b in each.bins) for each in found]
    assert widths[1] > widths[0]


@pytest.mark.parametrize(
    ("stated", "is_member", "match"),
    [([0.5, 1.5], [True, False], "in \\[0, 1\\]"), ([0.5, 0.5], [True, True], "non-members")],
)
def test_refuses(stated, is_member, match):
    with pytest.raises(ValueError, match=match):
        calibration(stated, np.array(is_member), level=LEVEL)
