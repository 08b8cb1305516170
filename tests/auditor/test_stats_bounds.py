"""Certified bounds: worked cases, refusals and what they may never do."""

import math

import numpy as np
import pytest

from auditor.stats.bounds import information_lower_bound, lower_mean_bound, upper_mean_bound

LEVEL = 0.95


def make_rng() -> np.random.Generator:
    return np.random.default_rng(3)


class TestMeanBounds:
    def test_all_ones_by_hand(self):
        # n = 100, error .05, bets from the prior variance alone: the capital of betting the largest stake .75
        # of it every round is (1 + .75 (1 - p) / p)^100 >= 20, so p <= .75 / (.75 + 20^.01 - 1) = .961
        bound = lower_mean_bound(np.ones(100), low=0, high=1, error=0.05, rng=make_rng())
        assert 0.9 < bound <= 0.75 / (0.75 + 20**0.01 - 1)

    def test_close_to_the_normal_bound(self):
        x = make_rng().beta(2, 5, 2000)
        slack = x.mean() - lower_mean_bound(x, low=0, high=1, error=0.025, rng=make_rng())
        normal = 1.96 * x.std() / math.sqrt(2000)
        assert normal < slack < 1.6 * normal

    def test_mirror(self):
        x = make_rng().uniform(-1, 2, 200)
        low = lower_mean_bound(x, low=-1, high=2, error=0.05, rng=make_rng())
        high = upper_mean_bound(-x, low=-2, high=1, error=0.05, rng=make_rng())
        assert high == pytest.approx(-low)

    def test_change_of_unit(self):
        x = make_rng().random(100)
        base = lower_mean_bound(x, low=0, high=1, error=0.05, rng=make_rng())
        assert lower_mean_bound(5 * x - 2, low=-2, high=3, error=0.05, rng=make_rng()) == pytest.approx(5 * base - 2)

    def test_below_the_mean_and_in_range(self):
        rng = make_rng()
        for size in (0, 1, 2, 10, 100):
            x = rng.random(size)
            bound = lower_mean_bound(x, low=0, high=1, error=0.05, rng=rng)
            assert 0 <= bound <= (x.mean() if size else 0)

    def test_zeros_give_the_trivial_bound(self):
        assert lower_mean_bound(np.zeros(50), low=0, high=1, error=0.05, rng=make_rng()) == 0

    def test_refuses(self):
        with pytest.raises(ValueError, match="2 of 3 values lie outside"):
            lower_mean_bound([0.5, 2.0, -1.0], low=0, high=1, error=0.05, rng=make_rng())
        with pytest.raises(ValueError, match="error"):
            lower_mean_bound([0.5], low=0, high=1, error=5, rng=make_rng())
        with pytest.raises(ValueError, match="low must be below high"):
            lower_mean_bound([1.0], low=1, high=1, error=0.05, rng=make_rng())
        with pytest.raises(ValueError, match="not finite"):
            upper_mean_bound([np.nan], low=0, high=1, error=0.05, rng=make_rng())


class TestInformation:
    def test_certifies_a_clear_difference_up_to_its_resolution(self):
        rng = make_rng()
        estimate = information_lower_bound(rng.normal(60, 5, 400), rng.normal(0, 5, 400), level=LEVEL, rng=rng)
        assert 4 < estimate.low <= estimate.value <= estimate.high == pytest.approx(math.log2(400))
        assert (estimate.n_members, estimate.n_non_members) == (400, 400)

    def test_never_more_than_the_true_information(self):
        # 0 or 1 with P(1) = .9 / .1: KL = .8 log2 9 = 2.54 bits
        rng = make_rng()
        for _ in range(5):
            estimate = information_lower_bound(
                (rng.random(2000) < 0.9) * 1.0, (rng.random(2000) < 0.1) * 1.0, level=LEVEL, rng=rng
            )
            assert 1.8 < estimate.low < 0.8 * math.log2(9)
            assert estimate.value == pytest.approx(0.8 * math.log2(9), abs=0.4)

    def test_nothing_to_certify(self):
        rng = make_rng()
        estimate = information_lower_bound(rng.normal(size=200), rng.normal(size=200), level=LEVEL, rng=rng)
        assert estimate.low == 0
        constant = information_lower_bound(np.zeros(50), np.zeros(50), level=LEVEL, rng=rng)
        assert constant.low == constant.value == 0

    def test_groups_count_once(self):
        rng = make_rng()
        x, y = np.repeat(rng.normal(9, 1, 30), 50), np.repeat(rng.normal(0, 1, 30), 50)
        groups = [f"g{i}" for i in np.repeat(np.arange(30), 50)]
        estimate = information_lower_bound(x, y, level=LEVEL, rng=rng, groups_members=groups, groups_non_members=groups)
        assert estimate.low < math.log2(15)
        assert "one random sample a group" in estimate.method
        few = information_lower_bound(x[:500], y, level=LEVEL, rng=rng, groups_members=groups[:500])
        assert "fewer than 20" in few.undefined_reason

    @pytest.mark.parametrize(("m", "n"), [(19, 100), (100, 19), (0, 100), (0, 0)])
    def test_too_few(self, m, n):
        estimate = information_lower_bound(np.arange(m), np.arange(n), level=LEVEL, rng=make_rng())
        assert "fewer than 20" in estimate.undefined_reason

    def test_same_seed_same_result(self):
        x, y = make_rng().normal(2, 1, 100), make_rng().normal(0, 1, 100)
        first, second = (information_lower_bound(x, y, level=LEVEL, rng=make_rng()) for _ in range(2))
        assert first == second
