"""Intervals of means where few hold everything: by hand, against exact Poisson intervals, and simulated."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from auditor.stats.change import independent_change, mean_change
from auditor.stats.clusters import influence_spread
from auditor.stats.intervals import mean, mean_difference
from auditor.stats.reach import ENOUGH, unseen_below
from auditor.stats.reach import reach as reach_of

ROOT = Path(__file__).parents[2]
LEVEL = 0.95


def reach(kinds, df, level, *, independent=ENOUGH):
    """Reach of kinds that count as so many samples each."""
    return reach_of(kinds, df, level, independent=[independent] * len(kinds))


def grid():
    spec = importlib.util.spec_from_file_location("means_grid", ROOT / "benchmarks" / "means_grid.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TestReach:
    def test_nothing_outlying_is_student(self):
        totals = np.array([-1.0, 1.0, -1.0, 1.0])
        down, up = reach([totals], 3.0, LEVEL)
        assert (down, up) == pytest.approx((stats.t.isf(0.025, 3) * 2,) * 2)

    @pytest.mark.parametrize("k", [1, 3, 10])
    def test_equal_holders_are_a_poisson_count_with_one_more_twice_as_large(self, k):
        """Of k counts of 1 and one of 2 the moments are k + 4 and k + 8: a chi-square with their ratio."""
        down, up = reach([np.r_[np.ones(k), np.full(10**6, -1e-9)]], np.inf, LEVEL)
        variance, third = k + 4, k + 8
        unit, shape = third / variance, variance**3 / third**2
        expected = 2 + unit * (stats.chi2.ppf(0.975, 2 * shape) / 2 - shape)
        assert up == pytest.approx(expected, rel=1e-3)
        assert down == pytest.approx(stats.norm.isf(0.025) * np.sqrt(k), rel=1e-3)
        exact = stats.chi2.ppf(0.975, 2 * (k + 1)) / 2 - k  # one more as large, in place of twice
        assert exact < up < 2 * exact

    def test_the_farthest_counts_the_more_the_farther_it_lies(self):
        usual = np.tile([-1.0, 1.0], 50)
        arms = [reach([np.r_[usual, -far, far]], np.inf, LEVEL)[1] for far in (1.0, 2.0, 8.0)]
        t = [stats.norm.isf(0.025) * np.sqrt(100 + 2 * far**2) for far in (1.0, 2.0, 8.0)]
        assert arms[:2] == pytest.approx(t[:2])  # within 2.5 usual deviations
        assert arms[2] > 1.3 * t[2]

    def test_of_fewer_samples_the_farthest_counts_sooner(self):
        usual = np.tile([-1.0, 1.0], 50)  # at 2 usual deviations, of which 1.2533 * 104 / 102 is one
        totals = np.r_[usual, -2.0, 2.0]
        student = stats.norm.isf(0.025) * np.sqrt(108)
        enough, half, fewer = (reach([totals], np.inf, LEVEL, independent=n)[1] for n in (35, 17.5, 5))
        assert enough == pytest.approx(student)
        one_more = 4 * (1 - (1.25 * np.sqrt(np.pi / 2) * 104 / 102 / 2) ** 4)
        variance, third = 108 + one_more**2, one_more**3
        shape = variance**3 / third**2
        gamma = stats.gamma.ppf(0.975, shape, scale=third / variance) - shape * third / variance
        assert half == fewer == pytest.approx(one_more + gamma)

    def test_mirrored_values_have_mirrored_arms_and_units_do_not_matter(self):
        totals = np.random.default_rng(0).exponential(size=40) - 1
        down, up = reach([totals], 39.0, LEVEL)
        assert up > down
        assert reach([-totals], 39.0, LEVEL) == pytest.approx((up, down))
        assert reach([5 * totals], 39.0, LEVEL) == pytest.approx((5 * down, 5 * up))

    def test_no_spread_no_reach(self):
        assert reach([np.zeros(5), np.empty(0)], np.inf, LEVEL) == (0.0, 0.0)

    def test_many_samples_at_once(self):
        rng = np.random.default_rng(1)
        several = rng.exponential(size=(7, 30)) - 1
        both = reach([several, -several[:, :9]], np.full(7, 20.0), LEVEL)
        each = [reach([row, -row[:9]], 20.0, LEVEL) for row in several]
        assert np.stack(both, axis=1) == pytest.approx(np.array(each))


class TestMeans:
    def test_the_arms_of_one_side_and_of_two_are_those_of_reach(self):
        rng = np.random.default_rng(2)
        x, y = np.maximum(rng.normal(0, 3, 60) + 100 * (np.arange(60) < 2), 0), rng.normal(0, 3, 40)
        influence = (x - x.mean()) / 60, -(y - y.mean()) / 40
        spread = influence_spread(*influence, np.arange(60), np.arange(60, 100))
        down, up = reach_of(spread.kinds, spread.df, LEVEL, independent=spread.independent)
        found = mean_difference(x, y, level=LEVEL)
        assert (found.value - found.low, found.high - found.value) == pytest.approx((down, up))
        welch = stats.ttest_ind(x, y, equal_var=False).confidence_interval(LEVEL)
        assert found.low == pytest.approx(welch.low, rel=0.2)
        assert found.high > welch.high + 2
        paired = mean_change(np.zeros(100), np.r_[x, y], np.arange(100) < 60, level=LEVEL).estimate
        assert (paired.low, paired.high) == pytest.approx((found.low, found.high))

    def test_what_cannot_have_been_seen_is_said(self):
        # (1 - s)^n = .025
        assert mean(np.arange(50.0), level=LEVEL).unseen_below == pytest.approx(1 - 0.025 ** (1 / 50))
        groups = np.repeat(np.arange(10), 5)
        assert mean(np.arange(50.0), level=LEVEL, groups=groups).unseen_below == pytest.approx(1 - 0.025**0.1)
        pair = mean_difference(np.arange(30.0), np.arange(900.0), level=LEVEL)
        assert pair.unseen_below == pytest.approx(unseen_below(np.arange(30), LEVEL))
        assert pair.scaled(3.0).unseen_below == pair.unseen_below
        other = mean(np.arange(60.0), level=LEVEL)
        assert independent_change(pair, other).estimate.unseen_below == pair.unseen_below

    @pytest.mark.parametrize(("value", "null"), [(x, null) for x in (0.0, 1.0, 4.0) for null in (0.0, 0.5)])
    def test_p_value_and_interval_agree(self, value, null):
        rng = np.random.default_rng(3)
        for _ in range(50):
            after = np.r_[value + rng.exponential(3, 20) * (rng.random(20) < 0.3), rng.normal(size=20)] - null
            change = mean_change(np.zeros(40), after, np.arange(40) < 20, level=LEVEL)
            excluded = change.estimate.low > 0 or change.estimate.high < 0
            assert (change.p_value < 1 - LEVEL) == excluded


def test_the_benchmark_takes_the_interval_of_an_audit():
    module = grid()
    rng, sizes = np.random.default_rng(4), module.cluster_sizes(20, True)
    one_each = [rng.exponential(size=(3, sizes.size)), rng.normal(size=(3, 15))]
    parts = [module.moments(one_each[0], sizes, 1), module.moments(one_each[1], np.ones(15, dtype=int), -1)]
    low, high, _ = module.ends(parts)
    owner = np.repeat(np.arange(sizes.size), sizes)
    for i in range(3):
        found = mean_difference(one_each[0][i][owner], one_each[1][i], level=LEVEL, groups_x=owner)
        assert (low[i], high[i]) == pytest.approx((found.low, found.high))


@pytest.mark.slow
@pytest.mark.parametrize("law", ["2% hold 100", "5% hold 20", "lognormal", "left-skewed", "t3"])
@pytest.mark.parametrize("clustered", [False, True])
def test_each_end_is_missed_as_seldom_as_promised(law, clustered):
    module = grid()
    truth, seen = (
        module.truths(draw, module.LAWS[law]) for draw in (module.LAWS[law].members, module.LAWS[law].without)
    )
    rows = module.cell_rows(law, (400, 400), clustered, 600, np.random.default_rng(5), truth, seen)
    allowed = stats.binom.ppf(1 - 1e-4, 600, module.ALLOWED) / 600
    for row in rows:
        assert row["above"] <= allowed, row
        assert row["below"] <= allowed, row
