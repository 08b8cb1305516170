"""Spearman's correlation against scipy and brute force, and how often its interval holds the truth."""

import math

import numpy as np
import pytest
import scipy

from auditor.stats.correlation import _above, spearman


def test_the_value_is_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 80), rng.normal(size=80)
    found = spearman(x, x + 2 * y, level=0.95)
    assert found.value == pytest.approx(float(scipy.stats.spearmanr(x, x + 2 * y).statistic))
    assert found.low < found.value < found.high


def test_what_lies_above_by_brute_force() -> None:
    rng = np.random.default_rng(1)
    x, v = rng.integers(0, 4, 30), rng.normal(size=30)
    for i, found in enumerate(_above(x.astype(float), v)):
        assert found == pytest.approx((v[x > x[i]].sum() + v[x == x[i]].sum() / 2) / 30)


@pytest.mark.parametrize("r", [0.0, 0.7])
def test_the_interval_holds_the_truth(r: float) -> None:
    # of normal pairs Spearman's correlation is 6 / pi asin(r / 2); 300 samples: 95% -+ 3 x 1.26
    truth, rng, held = 6 / math.pi * math.asin(r / 2), np.random.default_rng(2), 0
    for _ in range(300):
        x = rng.normal(size=60)
        found = spearman(x, r * x + math.sqrt(1 - r**2) * rng.normal(size=60), level=0.95)
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 300 <= 0.985


def test_copies_are_no_evidence() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40))
    once = spearman(x, y, level=0.95)
    groups = [str(i) for i in range(40)] * 4
    copied = spearman(np.tile(x, 4), np.tile(y, 4), level=0.95, groups=groups)
    assert copied.value == pytest.approx(once.value)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.05)
    assert "cluster-robust" in copied.method


def test_what_cannot_be_told() -> None:
    assert spearman(np.arange(9), np.arange(9), level=0.95).undefined_reason == (
        "at least 10 independent members are needed, got 9"
    )
    assert spearman(np.ones(20), np.arange(20), level=0.95).undefined_reason == "one of the two does not vary"
    assert spearman(np.arange(20), -np.arange(20), level=0.95).high == -1
