"""Hand-computed cases, oracles and edge cases of the metrics."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from auditor.stats.clusters import cluster_ids, effective_size, kish_size
from auditor.stats.metrics import advantage, auc, evaluate, f1_equal_error, roc_curve, tpr_at_fpr
from auditor.stats.roc import score_sides
from auditor.stats.roc_inference import RocTest, roc_test

LEVEL = 0.95
# members 5, 3, 3, 1; non-members 4, 3, 2, 0
SCORES = np.array([5.0, 3.0, 3.0, 1.0, 4.0, 3.0, 2.0, 0.0])
IS_MEMBER = np.array([True] * 4 + [False] * 4)


def make_rng() -> np.random.Generator:
    return np.random.default_rng(7)


def normal_scores(m: int, n: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = make_rng()
    scores = np.concatenate([rng.normal(shift, 1, m), rng.normal(0, 1, n)])
    return scores, np.arange(m + n) < m


class TestByHand:
    def test_roc_takes_ties_as_one_step(self):
        curve = roc_curve(SCORES, IS_MEMBER)
        # thresholds inf, 5, 4, 3 (two members and one non-member at once), 2, 1, 0
        assert curve.threshold.tolist() == [np.inf, 5, 4, 3, 2, 1, 0]
        assert curve.tpr.tolist() == [0, 0.25, 0.25, 0.75, 0.75, 1, 1]
        assert curve.fpr.tolist() == [0, 0, 0.25, 0.5, 0.75, 0.75, 1]

    def test_auc(self):
        # 5 beats 4; each 3 beats 2 and ties 1: 2.5; 1 beats 1: (4 + 2.5 + 2.5 + 1) / 16
        assert auc(SCORES, IS_MEMBER, level=LEVEL).value == 10 / 16

    def test_advantage(self):
        # tpr - fpr along the curve: 0, .25, 0, .25, 0, .25, 0
        assert advantage(SCORES, IS_MEMBER, level=LEVEL, rng=make_rng()).value == 0.25

    @pytest.mark.parametrize(
        ("fpr", "tpr"), [(0.25, 0.25), (0.3, 0.25), (0.5, 0.75), (0.74, 0.75), (0.75, 1.0), (1.0, 1.0)]
    )
    def test_tpr_at_fpr(self, fpr, tpr):
        assert tpr_at_fpr(SCORES, IS_MEMBER, fpr=fpr, level=LEVEL).value == tpr

    def test_f1_at_equal_error(self):
        # |fpr - fnr|: 1, .75, .5, .25 (fpr .5, tpr .75), .5, .75, 1: F1 = 2 * .75 / (.75 + .5 + 1)
        assert f1_equal_error(SCORES, IS_MEMBER, level=LEVEL).value == pytest.approx(1.5 / 2.25)

    def test_f1_between_two_tied_thresholds(self):
        # members 3, 1; non-members 2, 0: (fpr, fnr) = (0, .5) and (.5, .5) -> the second is exact: F1 = .5
        assert f1_equal_error([3, 1, 2, 0], [True, True, False, False], level=LEVEL).value == 0.5
        # one tied block: (0, 1) and (1, 0) are equally far: a coin, rates one half
        assert f1_equal_error([1, 1, 1], [True, True, False], level=LEVEL).value == 0.5
        # members 3, 3, 1 / non-members 2, 0, 0 at 3: (0, 1/3), at 2: (1/3, 1/3) -> 2 * 2/3 / (2/3 + 1/3 + 1)
        assert f1_equal_error([3, 3, 1, 2, 0, 0], [True] * 3 + [False] * 3, level=LEVEL).value == pytest.approx(2 / 3)

    def test_f1_where_the_errors_cross_between_two_thresholds(self):
        # after 9, 8, 7, 6 (fp 0, tp 4) comes a tie of a member and a non-member (fp 1, tp 5):
        # |0 - 1/5| = |1/5 - 0|, so the rates are (.1, .9) and F1 = 1.8 / (.9 + .1 + 1)
        scores, is_member = [9, 8, 7, 6, 5, 5, 3, 2, 1, 0], [True] * 5 + [False] * 5
        assert f1_equal_error(scores, is_member, level=LEVEL).value == pytest.approx(0.9)
        assert auc(scores, is_member, level=LEVEL).value == pytest.approx(24.5 / 25)

    def test_target_met_exactly_in_floating_point(self):
        # 0.29 * 100 is 28.999... in floating point; 29 of 100 non-members may be flagged
        assert 0.29 * 100 < 29
        scores = np.concatenate([np.arange(100.0), [70.5]])  # the member lies below exactly 29 non-members
        is_member = np.arange(101) == 100
        assert tpr_at_fpr(scores, is_member, fpr=0.29, level=LEVEL).value == 1.0
        assert tpr_at_fpr(scores, is_member, fpr=0.28, level=LEVEL).value == 0.0

    def test_perfect_separation_is_not_certain(self):
        scores, is_member = np.arange(60.0), np.arange(60) >= 30
        result = evaluate(scores, is_member, fpr_targets=[0.1], level=LEVEL, rng=make_rng())
        assert result.auc.value == result.f1_equal_error.value == result.advantage.value == 1.0
        assert result.auc.method.startswith("Newcombe")
        for estimate in (result.auc, result.f1_equal_error, result.advantage, result.tpr_at_fpr[0]):
            assert 0.5 < estimate.low < 0.99 or estimate is result.tpr_at_fpr[0]
            assert estimate.high == 1.0

    def test_reversed_scores_are_inverted_and_not_flipped(self):
        result = evaluate(-np.arange(60.0), np.arange(60) >= 30, fpr_targets=[0.1], level=LEVEL, rng=make_rng())
        assert result.inverted
        assert result.auc.value == 0.0
        assert result.advantage.value == 0.0
        assert result.tpr_at_fpr[0].value == 0.0


class TestUndefined:
    @pytest.mark.parametrize("is_member", [True, False])
    def test_one_side_empty(self, is_member):
        result = evaluate(np.arange(5.0), np.full(5, is_member), fpr_targets=[0.1], level=LEVEL, rng=make_rng())
        missing = "non-members" if is_member else "members"
        for estimate in (result.auc, result.advantage, result.f1_equal_error, *result.tpr_at_fpr):
            assert estimate.value is None
            assert f"no {missing}" in estimate.undefined_reason
        assert result.roc is None
        assert not result.inverted
        with pytest.raises(ValueError, match=f"no {missing}"):
            roc_curve(np.arange(5.0), np.full(5, is_member))

    def test_no_samples(self):
        assert auc([], [], level=LEVEL).value is None

    def test_fpr_below_resolution_says_what_is_needed(self):
        estimate = tpr_at_fpr(SCORES, IS_MEMBER, fpr=0.001, level=LEVEL)
        assert estimate.value is None
        assert estimate.fpr == 0.001
        assert "1,000 non-members" in estimate.undefined_reason

    def test_one_cluster_on_a_side(self):
        groups = ["a", "a", "a", "a", "b", "c", "d", "e"]
        assert "one group" in auc(SCORES, IS_MEMBER, level=LEVEL, groups=groups).undefined_reason

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_scores_must_be_finite(self, bad):
        with pytest.raises(ValueError, match="2 of 3 scores are not finite"):
            auc([bad, 1.0, bad], [True, False, True], level=LEVEL)

    def test_wrong_shapes_labels_and_ranges(self):
        with pytest.raises(ValueError, match="one length"):
            auc([1.0, 2.0], [True], level=LEVEL)
        with pytest.raises(ValueError, match="boolean"):
            auc([1.0, 2.0], [0, 1], level=LEVEL)
        with pytest.raises(ValueError, match="in \\(0, 1\\]"):
            tpr_at_fpr(SCORES, IS_MEMBER, fpr=0.0, level=LEVEL)
        with pytest.raises(ValueError, match="level"):
            auc(SCORES, IS_MEMBER, level=95)
        with pytest.raises(ValueError, match="got 2 for 8"):
            auc(SCORES, IS_MEMBER, level=LEVEL, groups=["a", "b"])


class TestOracles:
    @pytest.mark.parametrize("decimals", [0, 1, 8])
    def test_auc_by_counting_pairs_and_by_sklearn(self, decimals):
        scores, is_member = normal_scores(60, 40)
        scores = scores.round(decimals)
        above = scores[is_member][:, None] - scores[~is_member][None, :]
        pairs = np.mean((above > 0) + 0.5 * (above == 0))
        value = auc(scores, is_member, level=LEVEL).value
        assert value == pytest.approx(pairs, abs=1e-12)
        assert value == pytest.approx(roc_auc_score(is_member, scores), abs=1e-12)

    def test_delong_variance_by_counting_pairs(self):
        scores, is_member = normal_scores(60, 40, shift=0.3)
        wins = (scores[is_member][:, None] > scores[~is_member][None, :]).astype(float)
        variance = wins.mean(axis=1).var(ddof=1) / 60 + wins.mean(axis=0).var(ddof=1) / 40
        estimate = auc(scores, is_member, level=LEVEL)
        logit_width = np.diff([np.log(e / (1 - e)) for e in (estimate.low, estimate.high)])[0]
        value = estimate.value
        quantile = logit_width / 2 * value * (1 - value) / np.sqrt(variance)
        assert scipy_stats.norm.ppf(0.975) < quantile < scipy_stats.t.ppf(0.975, 39)

    @pytest.mark.parametrize("decimals", [0, 8])
    def test_tpr_advantage_and_f1_by_trying_every_threshold(self, decimals):
        scores, is_member = normal_scores(37, 53)
        scores = scores.round(decimals)
        thresholds = np.append(np.unique(scores), np.inf)
        tpr = np.array([(scores[is_member] >= t).mean() for t in thresholds])
        fpr = np.array([(scores[~is_member] >= t).mean() for t in thresholds])
        result = evaluate(scores, is_member, fpr_targets=[0.02, 0.1, 0.5], level=LEVEL, rng=make_rng())
        assert result.advantage.value == pytest.approx((tpr - fpr).max())
        for estimate in result.tpr_at_fpr:
            assert estimate.value == tpr[fpr <= estimate.fpr].max()
        best = np.abs(fpr - (1 - tpr)).argmin()
        assert result.f1_equal_error.value == pytest.approx(2 * tpr[best] / (tpr[best] + fpr[best] + 1))

    def test_roc_test_without_threshold_error_is_clopper_pearson(self):
        # one flat curve: whatever the number of false positives, 7 of 20 members lie above the threshold
        flat = np.full(51, 7.0)
        test = RocTest(n_members=20, n_non_members=50, least=flat, greatest=flat)
        expected = scipy_stats.binomtest(7, 20).proportion_ci(0.95, method="exact")
        assert test.tpr_limits(0.1, 0.05) == pytest.approx((expected.low, expected.high), abs=1e-8)

    def test_roc_test_p_values_by_simulation(self):
        scores, is_member = normal_scores(30, 50)
        test = roc_test(score_sides(scores, is_member), threshold=0.0, ties="step")
        rng = make_rng()
        k, hits = rng.binomial(50, 0.1, 200_000), rng.binomial(30, 0.4, 200_000)
        assert test.p_high(0.1, 0.4) == pytest.approx((hits >= test.least[k]).mean(), abs=0.005)
        assert test.p_low(0.1, 0.4) == pytest.approx((hits <= test.greatest[k]).mean(), abs=0.005)

    def test_least_and_greatest_counts_with_ties(self):
        # descending non-members 4, 3, 2, 0; members strictly above each: 1 (5), 1, 3 (5, 3, 3), 4
        test = roc_test(score_sides(SCORES, IS_MEMBER), threshold=0.0, ties="step")
        assert test.least.tolist() == [0, 1, 1, 3, 4]
        assert test.greatest.tolist() == [1, 1, 3, 4, 4]
        # joined up, the tie at 3 leads straight from (1, 1) to (2, 3)
        test = roc_test(score_sides(SCORES, IS_MEMBER), threshold=0.0, ties="chord")
        assert test.least.tolist() == [0, 1, 3, 3, 4]
        assert test.greatest.tolist() == [1, 1, 3, 4, 4]


class TestGroups:
    def test_singletons_change_nothing(self):
        scores, is_member = normal_scores(50, 60)
        plain = evaluate(scores, is_member, fpr_targets=[0.1], level=LEVEL, rng=make_rng())
        for groups in ([None] * 110, [f"g{i}" for i in range(110)], np.arange(110)):
            assert plain == evaluate(scores, is_member, fpr_targets=[0.1], level=LEVEL, groups=groups, rng=make_rng())

    def test_values_ignore_groups_and_copies_in_a_group_add_nothing(self):
        scores, is_member = normal_scores(50, 60)
        plain = auc(scores, is_member, level=LEVEL)
        copies = auc(np.tile(scores, 4), np.tile(is_member, 4), level=LEVEL, groups=np.tile(np.arange(110), 4))
        assert copies.value == plain.value
        assert copies.low == pytest.approx(plain.low, abs=1e-9)
        assert copies.high == pytest.approx(plain.high, abs=1e-9)
        f1 = f1_equal_error(np.tile(scores, 4), np.tile(is_member, 4), level=LEVEL, groups=np.tile(np.arange(110), 4))
        alone = f1_equal_error(scores, is_member, level=LEVEL)
        assert f1.high - f1.low == pytest.approx(alone.high - alone.low, rel=0.1)

    def test_perfect_separation_of_few_groups_stays_wide(self):
        scores, is_member = np.arange(400.0), np.arange(400) >= 200
        groups = np.arange(400) // 20  # 10 groups a side
        result = evaluate(scores, is_member, fpr_targets=[0.1], level=LEVEL, groups=groups, rng=make_rng())
        assert result.auc.low < 0.9
        assert result.f1_equal_error.low < 0.85
        assert result.tpr_at_fpr[0].low < 0.7

    def test_groups_across_sides(self):
        scores, is_member = normal_scores(50, 50)
        shared = np.repeat(make_rng().normal(0, 3, 50)[None, :], 2, axis=0).ravel()
        groups = np.tile(np.arange(50), 2)
        paired = auc(scores + shared, is_member, level=LEVEL, groups=groups)
        plain = auc(scores + shared, is_member, level=LEVEL)
        assert paired.high - paired.low < plain.high - plain.low

    def test_same_seed_same_result(self):
        scores, is_member = normal_scores(50, 60)
        groups = np.arange(110) // 2
        first, second = (
            evaluate(scores, is_member, fpr_targets=[0.1], level=LEVEL, groups=groups, rng=make_rng()) for _ in range(2)
        )
        assert first == second

    def test_cluster_ids_and_sizes(self):
        ids = cluster_ids(5, ["a", None, "b", "a", None])
        assert ids.tolist() == [0, 1, 2, 0, 3]
        assert kish_size(ids) == pytest.approx(25 / 7)  # sizes 2, 1, 1, 1
        assert kish_size(np.arange(9)) == 9

    def test_effective_size(self):
        cluster = np.repeat(np.arange(50), 4)
        rng = make_rng()
        alike = np.repeat(rng.random(50) < 0.4, 4)
        apart = rng.random(200) < 0.4
        assert effective_size(alike, cluster) == pytest.approx(50, rel=0.05)
        assert effective_size(apart, cluster) > 100
        assert effective_size(np.ones(200, dtype=bool), cluster) == 50


class TestRoc:
    def test_a_short_curve_is_kept_whole(self):
        result = evaluate(SCORES, IS_MEMBER, fpr_targets=[], level=LEVEL, rng=make_rng())
        assert result.roc.tpr == (0, 0.25, 0.25, 0.75, 0.75, 1, 1)

    def test_a_long_curve_is_thinned(self):
        scores, is_member = normal_scores(3000, 3000)
        full = roc_curve(scores, is_member)
        thin = evaluate(scores, is_member, fpr_targets=[], level=LEVEL, rng=make_rng()).roc
        assert len(thin.fpr) <= 200
        assert (thin.fpr[0], thin.tpr[0], thin.fpr[-1], thin.tpr[-1]) == (0, 0, 1, 1)
        points = set(zip(full.fpr.tolist(), full.tpr.tolist(), strict=True))
        assert points.issuperset(zip(thin.fpr, thin.tpr, strict=True))
        for count in range(4):  # the lowest rates one by one, each at its highest point
            assert max(t for f, t in zip(thin.fpr, thin.tpr, strict=True) if f == count / 3000) == (
                full.tpr[full.fpr == count / 3000].max()
            )
        assert np.trapezoid(thin.tpr, thin.fpr) == pytest.approx(np.trapezoid(full.tpr, full.fpr), abs=2e-3)
