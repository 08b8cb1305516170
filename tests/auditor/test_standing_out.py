"""Members who stand out: by hand, against the hypergeometric distribution, and how often chance is taken for memory."""

import math

import numpy as np
import pytest
from scipy import stats

from auditor.stats.metrics import tpr_at_fpr
from auditor.stats.standing_out import n_beyond, n_identified

LEVEL = 0.95


def ends(estimate) -> tuple[float, float, float]:
    return estimate.low, estimate.value, estimate.high


class TestBeyond:
    def test_highest_non_member_by_hand(self):
        # the s highest of 10 + 10 are all members: 10! / (10 - s)! (20 - s)! / 20!: .033 of 4, .0163 of 5
        chance = [math.comb(10, s) / math.comb(20, s) for s in (4, 5)]
        assert chance[0] > 0.025 > chance[1]
        found = n_beyond(np.arange(10.0) + 100, np.arange(10.0), level=LEVEL)
        assert ends(found) == (6.0, 10.0, 10.0)

    def test_fixed_threshold_takes_off_what_non_members_explain(self):
        members, non_members = np.r_[np.full(30, 200.0), np.zeros(70)], np.r_[np.full(3, 200.0), np.zeros(97)]
        found = n_beyond(members, non_members, threshold=100, level=LEVEL)
        by_chance = max(f for f in range(31) if stats.hypergeom.cdf(3, 200, 100, 3 + f) > 0.025)
        assert ends(found) == (30.0 - by_chance, 30.0, 30.0)
        assert ends(n_beyond(members, non_members, threshold=300, level=LEVEL)) == (0.0, 0.0, 0.0)
        equal = n_beyond([1.0, 1.0], [1.0, 0.0], level=LEVEL)
        assert equal.value == 0  # as high is not beyond

    def test_a_group_is_one_piece_of_evidence(self):
        members = np.r_[np.full(25, 9.0), np.zeros(75)]
        groups = np.repeat(np.arange(4), 25)
        found = n_beyond(members, np.arange(4.0), level=LEVEL, groups_members=groups)
        assert ends(found) == (0.0, 25.0, 25.0)  # one document of 25 passages, which chance explains
        assert "clusters" in found.method
        assert n_beyond(members, np.zeros(100), level=LEVEL).low > 15

    def test_without_a_side(self):
        found = n_beyond([200.0, 0.0], [], threshold=100, level=LEVEL)
        assert ends(found) == (0.0, 1.0, 1.0)
        assert "domain adaptation" in found.method
        assert "no non-members" in n_beyond([1.0], [], level=LEVEL).undefined_reason
        assert "no members" in n_beyond([], [1.0], level=LEVEL).undefined_reason

    @pytest.mark.parametrize("threshold", [None, 2.0])
    def test_chance_is_seldom_taken_for_memory(self, threshold):
        """180 of 200 members are treated as non-members: the low end may count one of them in 2.5% of samples."""
        rng, above = np.random.default_rng(0), 0
        for _ in range(800):
            members, others = rng.normal(size=200), rng.normal(size=150)
            members[:20] += 4
            limit = others.max() if threshold is None else threshold
            found = n_beyond(members, others, threshold=threshold, level=LEVEL)
            above += found.low > (members[:20] > limit).sum()
        assert above / 800 <= 0.04


class TestIdentified:
    def test_counts_what_the_rate_counts(self):
        rng = np.random.default_rng(1)
        members, others = rng.normal(1, 1, 300).round(1), rng.normal(size=500).round(1)
        rate = tpr_at_fpr(np.r_[members, others], np.arange(800) < 300, fpr=0.05, level=LEVEL)
        assert n_identified(members, others, fpr=0.05, level=LEVEL).value == pytest.approx(300 * rate.value)

    def test_ranks_are_binomial(self):
        assert stats.binom(1000, 0.01).ppf([0.025, 0.975]).tolist() == [4, 17]
        found = n_identified(np.arange(1000.0), np.arange(1000.0), fpr=0.01, level=LEVEL)
        assert ends(found) == (4.0, 10.0, 17.0)
        one_in_ten = n_identified(np.arange(100.0), np.arange(100.0), fpr=0.01, level=LEVEL)
        assert one_in_ten.low == 0  # the true threshold may lie above every non-member

    def test_undefined(self):
        assert "at least 1,000 non-members, there are 999" in (
            n_identified([1.0], np.zeros(999), fpr=0.001, level=LEVEL).undefined_reason
        )
        few = n_identified(np.ones(9), np.zeros(200), fpr=0.05, level=LEVEL, groups_non_members=np.repeat(range(8), 25))
        assert "at least 20 groups of non-members, they count as 8" in few.undefined_reason
        with pytest.raises(ValueError, match="fpr"):
            n_identified([1.0], [0.0], fpr=1.0, level=LEVEL)

    @pytest.mark.parametrize("n_groups", [None, 60])
    def test_the_threshold_has_an_error(self, n_groups):
        """The number beyond the TRUE threshold is in the interval; alone, and in groups of 5."""
        rng, missed = np.random.default_rng(2), np.zeros(2)
        for _ in range(400):
            members = rng.normal(1, 1, 300)
            if n_groups is None:
                others, groups = rng.normal(size=300), None
            else:
                groups = np.repeat(np.arange(n_groups), 5)
                others = np.sqrt(0.5) * (rng.normal(size=n_groups)[groups] + rng.normal(size=groups.size))
            found = n_identified(members, others, fpr=0.05, level=LEVEL, groups_non_members=groups)
            truth = (members > stats.norm.isf(0.05)).sum()
            missed += [found.high < truth, found.low > truth]
        assert (missed / 400 <= 0.045).all(), missed / 400
