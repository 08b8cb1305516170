"""Folds and areas within them, the posterior map and the tail: by hand, against loops and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.stats.crossfit import auc_gain, best_of_folds, folded_auc, folded_auc_interval, group_folds
from auditor.stats.posterior import cross_fitted_posterior, fit_posterior_map
from auditor.stats.tails import tail_mean, tail_quantile

LEVEL = 0.95


def sides(n_members: int, n_non_members: int) -> np.ndarray:
    return np.arange(n_members + n_non_members) < n_members


class TestFolds:
    @given(
        groups=st.lists(st.integers(0, 60), min_size=60, max_size=120).filter(lambda g: len(set(g)) > 30),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=25, deadline=None)
    def test_no_cluster_is_split_and_all_folds_have_both_sides(self, groups, seed):
        is_member = np.array(groups) % 2 == 0
        if min(len(set(np.array(groups)[is_member])), len(set(np.array(groups)[~is_member]))) < 10:
            return
        fold = group_folds(is_member, groups, rng=np.random.default_rng(seed))
        for group in set(groups):
            assert len(set(fold[np.array(groups) == group])) == 1
        for f in range(5):
            for side in (is_member, ~is_member):
                assert len({g for g, here in zip(groups, side & (fold == f), strict=True) if here}) >= 2

    def test_clusters_on_both_sides_are_dealt_with_the_rest(self):
        is_member = sides(30, 30)
        groups = [*range(30), *range(15, 45)]  # 15 members alone, 15 pairs, 15 non-members alone
        fold = group_folds(is_member, groups, rng=np.random.default_rng(3))
        for side in (is_member, ~is_member):
            assert np.bincount(fold[side]).tolist() == [6] * 5


class TestFoldedAuc:
    def test_against_a_loop_over_pairs(self):
        rng = np.random.default_rng(0)
        is_member, scores, fold = rng.random(80) < 0.4, rng.integers(0, 9, 80), rng.integers(0, 3, 80)
        pairs = [
            (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
            for i in np.flatnonzero(is_member)
            for j in np.flatnonzero(~is_member)
            if fold[i] == fold[j]
        ]
        found = folded_auc(scores, is_member, fold)
        assert found.value == pytest.approx(np.mean(pairs), rel=1e-12)
        assert found.members.sum() == pytest.approx(0, abs=1e-12)
        assert found.non_members.sum() == pytest.approx(0, abs=1e-12)

    def test_scale_of_a_fold_is_no_matter(self):
        rng = np.random.default_rng(1)
        is_member, fold = sides(50, 50), np.arange(100) % 5
        scores = rng.normal(size=100) + is_member
        moved = np.exp(scores) * (1 + fold) - 100 * fold
        assert folded_auc(moved, is_member, fold).value == folded_auc(scores, is_member, fold).value

    def test_variance_is_that_of_independent_folds_corrected(self):
        # two folds without ties: Welch variance of the placements in each, weight 1/2, times 1 + 2 / 1
        rng = np.random.default_rng(2)
        is_member, fold = sides(40, 60), np.arange(100) % 2
        scores = rng.normal(size=100) + is_member
        variance = 0.0
        for f in (0, 1):
            x, y = (scores[(fold == f) & side] for side in (is_member, ~is_member))
            above, below = [(v > y).mean() for v in x], [(v < x).mean() for v in y]
            variance += 0.25 * (np.var(above, ddof=1) / x.size + np.var(below, ddof=1) / y.size)
        estimate = folded_auc_interval(folded_auc(scores, is_member, fold), is_member, fold, level=LEVEL)
        area = estimate.value
        half = stats.logistic.ppf(estimate.high) - stats.logistic.ppf(area)
        z = half * area * (1 - area) / np.sqrt(3 * variance)
        assert stats.norm.ppf(0.975) < z < stats.t.ppf(0.975, 30)

    def test_best_of_folds_by_hand(self):
        # row 0 is right in fold 0 only, row 1 in fold 1 only: each fold is scored with the row that fails on it
        is_member, fold = np.array([True, False] * 2), np.array([0, 0, 1, 1])
        chosen, held_out = best_of_folds(np.array([[1.0, 0, 0, 1], [0, 1, 1, 0]]), is_member, fold)
        assert chosen == [1, 0]
        assert folded_auc(held_out, is_member, fold).value == 0

    def test_gain_of_a_rule_over_itself_is_nothing(self):
        is_member, fold = sides(50, 50), np.arange(100) % 5
        scores = np.random.default_rng(3).normal(size=100)
        same = auc_gain(scores, scores, is_member, fold, level=LEVEL)
        assert (same.low, same.value, same.high) == (0, 0, 0)

    def test_gain_of_perfect_rules_has_a_width(self):
        is_member, fold = sides(50, 50), np.arange(100) % 5
        gain = auc_gain(is_member * 1.0, is_member * 2.0 - np.arange(100) / 1e3, is_member, fold, level=LEVEL)
        assert gain.low < 0 == gain.value < gain.high


class TestPosterior:
    def test_nine_of_a_kind_make_nine_in_ten(self):
        # no signal below, nine members on top: (9 + 1) / (9 + 2) at balanced sides
        is_member = np.array([True, False] * 9 + [False] * 9 + [True] * 9)
        fit = fit_posterior_map(np.arange(36.0), is_member)
        assert fit([35.0, 99.0]).tolist() == pytest.approx([10 / 11] * 2)

    @given(seed=st.integers(0, 200), n_members=st.integers(5, 60))
    @settings(max_examples=25, deadline=None)
    def test_monotone_inside_the_unit_interval_and_of_ranks_only(self, seed, n_members):
        rng = np.random.default_rng(seed)
        is_member = sides(n_members, 60)
        scores = np.round(rng.normal(size=is_member.size) + is_member, 1)
        fold = rng.permutation(np.arange(is_member.size) % 5)
        fit = fit_posterior_map(scores, is_member)(np.sort(scores))
        assert (np.diff(fit) >= 0).all()
        assert 0 < fit.min() <= fit.max() < 1
        posterior = cross_fitted_posterior(scores, is_member, fold)
        assert np.array_equal(posterior, cross_fitted_posterior(np.exp(scores), is_member, fold))

    def test_a_fold_does_not_learn_from_its_own_labels(self):
        rng = np.random.default_rng(4)
        is_member, fold = sides(50, 50), np.arange(100) % 5
        scores = rng.normal(size=100) + is_member
        flipped = np.where(fold == 2, ~is_member, is_member)
        before, after = (cross_fitted_posterior(scores, side, fold) for side in (is_member, flipped))
        assert np.array_equal(before[fold == 2], after[fold == 2])
        assert not np.array_equal(before[fold != 2], after[fold != 2])


class TestTails:
    def test_mean_by_hand(self):
        values = np.arange(1.0, 101.0)
        assert tail_mean(values, 0.10, level=LEVEL).value == pytest.approx(95.5)

    def test_quantile_ranks_are_binomial(self):
        # of 200, 10 exceed in expectation; 4 to 17 hold .025 on either side
        assert stats.binom(200, 0.05).ppf([0.025, 0.975]).tolist() == [4, 16]
        found = tail_quantile(np.arange(200.0)[::-1], 0.05, level=LEVEL)
        assert (found.low, found.value, found.high) == (183.0, 189.0, 196.0)

    def test_too_few(self):
        for tail in (tail_mean, tail_quantile):
            assert (
                "needs at least 500 members, there are 499"
                in tail(np.arange(499.0), 0.01, level=LEVEL).undefined_reason
            )
            assert tail(np.arange(500.0), 0.01, level=LEVEL).value is not None

    def test_no_upper_end(self):
        assert "upper end" in tail_quantile(np.arange(500.0), 0.01, level=0.999).undefined_reason

    def test_copies_are_no_evidence(self):
        values = np.random.default_rng(5).exponential(size=200)
        for tail in (tail_mean, tail_quantile):
            alone = tail(values, 0.1, level=LEVEL)
            copied = tail(np.repeat(values, 4), 0.1, level=LEVEL, groups=np.repeat(np.arange(200), 4))
            assert copied.high - copied.low > 0.7 * (alone.high - alone.low)
            assert "cluster" in copied.method

    def test_coverage(self):
        # standard exponential: quantile ln 10, mean of the tail ln 10 + 1
        rng = np.random.default_rng(6)
        held = np.zeros(2)
        for _ in range(300):
            values = rng.exponential(size=500)
            for i, (tail, truth) in enumerate(((tail_mean, np.log(10) + 1), (tail_quantile, np.log(10)))):
                estimate = tail(values, 0.1, level=LEVEL)
                held[i] += estimate.low <= truth <= estimate.high
        assert (held / 300 > 0.90).all()
