"""Means and their differences against hand calculation, scipy and simple clusters."""

import numpy as np
import pytest
from scipy import stats

from auditor.stats.clusters import influence_spread
from auditor.stats.intervals import clopper_pearson, mean, mean_difference, standardized_difference

LEVEL = 0.95


def make_rng() -> np.random.Generator:
    return np.random.default_rng(11)


def ends(estimate) -> tuple[float, float, float]:
    return estimate.low, estimate.value, estimate.high


class TestClopperPearson:
    def test_by_hand(self):
        # 0 of 10: (1 - p)^10 = .025; 10 of 10 is its mirror image
        assert clopper_pearson(0, 10, LEVEL) == pytest.approx((0.0, 1 - 0.025**0.1))
        assert clopper_pearson(10, 10, LEVEL) == pytest.approx((0.025**0.1, 1.0))

    @pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 17), (50, 100), (999, 1000)])
    @pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
    def test_scipy(self, k, n, level):
        expected = stats.binomtest(k, n).proportion_ci(level, method="exact")
        assert clopper_pearson(k, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)

    @pytest.mark.parametrize(("k", "n", "level"), [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (1, 5, 0.0), (1, 5, 95)])
    def test_refuses(self, k, n, level):
        with pytest.raises(ValueError, match=r"got"):
            clopper_pearson(k, n, level)


class TestMean:
    def test_scipy(self):
        x = np.linspace(1, 9, 23)  # neither skewed nor outlying
        expected = stats.ttest_1samp(x, 0).confidence_interval(LEVEL)
        estimate = mean(x, level=LEVEL)
        assert ends(estimate) == pytest.approx((expected.low, x.mean(), expected.high), rel=1e-12)
        assert (estimate.n_members, estimate.n_non_members) == (23, 0)
        other = mean(x, level=LEVEL, n_as="non_members")
        assert (other.n_members, other.n_non_members) == (0, 23)

    def test_equal_clusters_are_the_interval_of_their_means(self):
        x = make_rng().normal(size=40)
        groups = [f"g{i % 8}" for i in range(40)]  # 8 clusters of 5
        means = x.reshape(5, 8).mean(axis=0)
        estimate = mean(x, level=LEVEL, groups=groups)
        assert ends(estimate) == pytest.approx(ends(mean(means, level=LEVEL)), rel=1e-12)
        assert "cluster" in estimate.method

    def test_unequal_clusters_have_fewer_degrees_of_freedom(self):
        x, empty = make_rng().normal(size=30), np.empty(0)
        equal, unequal = np.repeat(np.arange(6), 5), np.repeat(np.arange(6), [25, 1, 1, 1, 1, 1])
        dfs = [influence_spread(x - x.mean(), empty, c, empty.astype(int)).df for c in (equal, unequal)]
        assert dfs[0] == pytest.approx(5)
        assert 1 <= dfs[1] < 2

    def test_undefined(self):
        assert "at least 2 members" in mean([1.0], level=LEVEL).undefined_reason
        assert "non-members" in mean([], level=LEVEL, n_as="non_members").undefined_reason
        assert "at least 2 groups" in mean([1.0, 2.0], level=LEVEL, groups=["a", "a"]).undefined_reason

    def test_constant_values_have_no_width_and_say_so(self):
        estimate = mean([0.1] * 5, level=LEVEL)
        assert estimate.low == pytest.approx(0.1)
        assert estimate.high == pytest.approx(0.1)
        assert "do not vary" in mean([0.0] * 5, level=LEVEL).method

    def test_refuses(self):
        with pytest.raises(ValueError, match="1 of 2 values are not finite"):
            mean([1.0, np.nan], level=LEVEL)
        with pytest.raises(ValueError, match="vector"):
            mean([[1.0]], level=LEVEL)


class TestMeanDifference:
    @pytest.mark.parametrize(("m", "n"), [(2, 2), (5, 40), (300, 6)])
    def test_scipy_welch(self, m, n):
        x, y = np.resize([1.0, 7.0, 4.0], m), np.resize([-1.0, 0.0, 1.0], n)  # neither skewed nor outlying
        expected = stats.ttest_ind(x, y, equal_var=False).confidence_interval(LEVEL)
        low, value, high = ends(mean_difference(x, y, level=LEVEL))
        assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9)
        assert value == pytest.approx(x.mean() - y.mean())

    def test_pairs_are_the_paired_interval(self):
        rng = make_rng()
        x = rng.normal(size=15)
        y = x + np.resize([0.1, 0.2, 0.3], 15)
        ids = [f"p{i}" for i in range(15)]
        expected = stats.ttest_rel(x, y).confidence_interval(LEVEL)
        low, _, high = ends(mean_difference(x, y, level=LEVEL, groups_x=ids, groups_y=ids))
        assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9)

    def test_equal_clusters_on_one_side_are_welch_of_their_means(self):
        rng = make_rng()
        x, y = rng.normal(size=40), rng.normal(size=12)
        clustered = mean_difference(x, y, level=LEVEL, groups_x=np.arange(40) % 8)
        plain = mean_difference(x.reshape(5, 8).mean(axis=0), y, level=LEVEL)
        assert ends(clustered) == pytest.approx(ends(plain), rel=1e-9)

    def test_groups_of_one_change_nothing(self):
        rng = make_rng()
        x, y = rng.normal(size=10), rng.normal(size=12)
        named = mean_difference(x, y, level=LEVEL, groups_x=list("abcdefghij"), groups_y=[None] * 12)
        assert named == mean_difference(x, y, level=LEVEL)

    def test_undefined_and_degenerate(self):
        assert "members" in mean_difference([1.0], [1.0, 2.0], level=LEVEL).undefined_reason
        assert "non-members" in mean_difference([1.0, 2.0], [], level=LEVEL).undefined_reason
        zero = mean_difference([0.0, 0.0], [0.0, 0.0], level=LEVEL)
        assert ends(zero) == (0, 0, 0)
        assert "do not vary" in zero.method

    def test_refuses_wrong_group_count(self):
        with pytest.raises(ValueError, match="groups_y"):
            mean_difference([1.0, 2.0], [1.0, 2.0], level=LEVEL, groups_y=["a"])


class TestStandardizedDifference:
    def test_by_hand(self):
        # means 2 and 0, variances 1 and 9: 2 / sqrt(5)
        estimate = standardized_difference([1.0, 2.0, 3.0], [-3.0, 0.0, 3.0], level=LEVEL)
        assert estimate.value == pytest.approx(2 / np.sqrt(5))

    def test_variance_of_normal_data(self):
        # equal variances: (1/m + 1/n) + d^2/8 * (1/m + 1/n) for the equal-weight d' (Bonett 2008, eq. 11)
        rng = make_rng()
        m, n = 40_000, 20_000
        estimate = standardized_difference(rng.normal(2, 1, m), rng.normal(0, 1, n), level=LEVEL)
        expected = np.sqrt((1 / m + 1 / n) + 4 / 8 * (1 / m + 1 / n))
        assert (estimate.high - estimate.low) / 2 / 1.96 == pytest.approx(expected, rel=0.02)

    def test_jackknife_by_leaving_out(self):
        rng = make_rng()
        x, y = rng.exponential(2, 30) + 1, rng.exponential(size=20)

        def d(x, y):
            return (x.mean() - y.mean()) / np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)

        left_out = [
            np.array([d(np.delete(x, i), y) for i in range(30)]),
            np.array([d(x, np.delete(y, i)) for i in range(20)]),
        ]
        parts = [(len(v) - 1) * v.var() for v in left_out]
        kurtosis = [np.mean((v - v.mean()) ** 4) / v.var() ** 2 for v in left_out]
        df = sum(parts) ** 2 / sum(
            part**2 * max((k - 1) / 2, 1) / (len(v) - 1) for part, k, v in zip(parts, kurtosis, left_out, strict=True)
        )
        estimate = standardized_difference(x, y, level=LEVEL)
        assert estimate.value == pytest.approx(d(x, y))
        half = stats.t.ppf(0.975, df) * np.sqrt(sum(parts))
        assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=1e-9)

    def test_jackknife_leaves_out_whole_clusters_on_both_sides(self):
        rng = make_rng()
        x, y = rng.normal(1, 1, 20), rng.normal(0, 1, 20)
        ids = np.arange(20) % 5  # five clusters, each with four samples a side
        left_out = np.array([standardized_difference(x[ids != i], y[ids != i], level=LEVEL).value for i in range(5)])
        se = np.sqrt(4 / 5 * np.sum((left_out - left_out.mean()) ** 2))
        estimate = standardized_difference(x, y, level=LEVEL, groups_x=ids, groups_y=ids)
        assert (estimate.high - estimate.low) / 2 >= stats.t.ppf(0.975, 4) * se * (1 - 1e-9)

    def test_scale_free_and_antisymmetric(self):
        rng = make_rng()
        x, y = rng.normal(1, 1, 30), rng.normal(0, 2, 20)
        base = ends(standardized_difference(x, y, level=LEVEL))
        assert ends(standardized_difference(7 * x + 3, 7 * y + 3, level=LEVEL)) == pytest.approx(base)
        assert ends(standardized_difference(y, x, level=LEVEL)) == pytest.approx([-e for e in base[::-1]])

    def test_undefined(self):
        assert "do not vary" in standardized_difference([0.1] * 5, [0.3] * 5, level=LEVEL).undefined_reason
        assert "only one" in standardized_difference([1, 1, 1, 2], [0, 0, 0], level=LEVEL).undefined_reason
        assert "at least 2 members" in standardized_difference([1], [0, 1, 2], level=LEVEL).undefined_reason
        assert "at least 3" in standardized_difference([1, 2], [0, 1, 2], level=LEVEL).undefined_reason
