"""Anytime-valid intervals: worked cases, brute force over pairings, and coverage over all looks."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.documents.estimate import Estimate
from auditor.stats import betting
from auditor.stats.betting import BettingCapital, bernoulli_log_capital, bernoulli_lower_end, pairing_moments
from auditor.stats.intervals import mean_difference
from auditor.stats.metrics import auc, tpr_at_fpr
from auditor.stats.sequential import (
    AucSequence,
    DifferenceSequence,
    MeanSequence,
    TprSequence,
    anytime_p_value,
    asymptotic_difference,
    block_sizes,
    decide,
    level_per_gate,
    scoring_order,
)

LEVEL = 0.95


def make_rng() -> np.random.Generator:
    return np.random.default_rng(11)


def interval(low: float, high: float) -> Estimate:
    middle = (low + high) / 2
    return Estimate(value=middle, low=low, high=high, level=LEVEL, method="x", n_members=9, n_non_members=9)


def brute_moments(members: np.ndarray, non_members: np.ndarray) -> np.ndarray:
    """Mean over the pairings of the coefficients of prod (1 + h z), one pairing after the other."""
    wins = (members[:, None] > non_members) + 0.5 * (members[:, None] == non_members)
    wins = wins if members.size <= non_members.size else wins.T
    total, pairings = np.zeros(wins.shape[0] + 1), list(permutations(range(wins.shape[1]), wins.shape[0]))
    for pairing in pairings:
        product = np.ones(1)
        for row, column in enumerate(pairing):
            product = np.convolve(product, [1, wins[row, column]])
        total += product
    return total / len(pairings)


class TestBetting:
    def test_capital_by_hand(self, monkeypatch):
        # one stake of 1/2 against a mean of 1/4: a 1 multiplies by 1/2 + 1/2 / (1/4) = 2.5, a 0 by 1/2
        monkeypatch.setattr(betting, "STAKES", np.array([0.5]))
        capital = BettingCapital(1)
        capital.add(np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
        np.testing.assert_allclose(np.exp(capital.log_path(0.25)), [2.5, 1.25, 3.125])

    def test_two_stakes_ride_apart(self, monkeypatch):
        # stakes 1/2 and 1/4 against 1/4: two 1s make the mean of 2.5^2 and 1.75^2, not the square of the mean
        monkeypatch.setattr(betting, "STAKES", np.array([0.5, 0.25]))
        capital = BettingCapital(1)
        capital.add(np.array([[1.0, 1.0], [1.0, 1.0]]))
        assert np.exp(capital.log_path(0.25)[-1]) == pytest.approx((2.5**2 + 1.75**2) / 2)

    def test_pairings_by_hand(self):
        # members 1 and 3 against 0 and 2: 1-0, 3-2 wins both, 1-2, 3-0 wins one
        np.testing.assert_allclose(pairing_moments(np.array([1.0, 3]), np.array([0.0, 2])), [1, 1.5, 0.5])
        # a draw is worth 1/2
        np.testing.assert_allclose(pairing_moments(np.array([1.0]), np.array([1.0, 0, 2])), [1, (0.5 + 1 + 0) / 3])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(0, 3), min_size=1, max_size=5),
        st.lists(st.integers(0, 3), min_size=1, max_size=5),
    )
    def test_pairings_by_brute_force(self, members, non_members):
        x, y = np.array(members, dtype=float), np.array(non_members, dtype=float)
        np.testing.assert_allclose(pairing_moments(x, y), brute_moments(x, y), atol=1e-12)

    def test_a_large_block_stays_exact(self):
        x, y = make_rng().normal(0.5, 1, 32), make_rng().normal(0, 1, 64)
        moments = pairing_moments(x, y)
        assert moments[0] == 1
        assert moments[1] == pytest.approx(32 * (x[:, None] > y).mean())
        won_surely = pairing_moments(y[:32] + 99, y)
        np.testing.assert_allclose(won_surely, [math.comb(32, k) for k in range(33)])

    def test_a_block_is_the_mean_of_its_pairings(self):
        x, y, mean = np.array([0.3, 2.0, 1.0]), np.array([1.0, 0.0, 1.5]), 0.4
        capital = BettingCapital(3)
        capital.add(pairing_moments(x, y)[None, :])
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        expected = np.mean(
            [
                np.prod([1 - betting.STAKES + betting.STAKES * wins[i, j] / mean for i, j in enumerate(p)], axis=0)
                for p in permutations(range(3))
            ]
        )
        assert np.exp(capital.log_path(mean)[0]) == pytest.approx(expected)

    def test_small_blocks_in_a_wide_capital(self):
        wide, narrow = BettingCapital(8), BettingCapital(2)
        for capital in (wide, narrow):
            capital.add(np.array([[1.0, 1.5, 0.5]]))
            capital.add(np.array([[1.0, 1.0]]))
        np.testing.assert_allclose(wide.log_path(0.3), narrow.log_path(0.3))

    def test_fair_game(self):
        # the expectation of the capital over all outcomes of 8 tosses of a coin of chance m is exactly 1
        for mean in (0.02, 0.5, 0.9):
            hits = np.arange(9)
            chance = stats.binom.pmf(hits, 8, mean)
            assert float(chance @ np.exp(bernoulli_log_capital(hits, 8, mean))) == pytest.approx(1)

    def test_capital_falls_with_the_candidate(self):
        capital = BettingCapital(8)
        for _ in range(5):
            capital.add(pairing_moments(make_rng().normal(1, 1, 8), make_rng().normal(0, 1, 8))[None, :])
        path = [capital.log_path(mean)[-1] for mean in np.linspace(0.001, 1, 50)]
        assert (np.diff(path) < 0).all()

    def test_counts_and_values_agree(self):
        x = (make_rng().random(200) < 0.3).astype(float)
        capital = BettingCapital(1)
        capital.add(np.stack([np.ones(200), x], axis=1))
        assert bernoulli_log_capital(int(x.sum()), 200, 0.2) == pytest.approx(capital.log_path(0.2)[-1])
        end = bernoulli_lower_end(int(x.sum()), 200, 0.025)
        assert math.exp(bernoulli_log_capital(int(x.sum()), 200, end)) == pytest.approx(40, rel=1e-3)

    def test_an_impossible_block_is_refused(self):
        with pytest.raises(ValueError, match="degree"):
            BettingCapital(33)


class TestMeanSequence:
    def test_batches_equal_one_by_one(self):
        x = make_rng().beta(2, 5, 60)
        together, apart = MeanSequence(level=LEVEL), MeanSequence(level=LEVEL)
        together.update(x)
        for value in x:
            apart.update([value])
        one, other = together.estimate(), apart.estimate()
        assert (one.low, one.high) == (other.low, other.high)
        assert one.value == pytest.approx(other.value)

    def test_never_widens_and_looking_changes_nothing(self):
        x = make_rng().random(300)
        sequence, unseen = MeanSequence(level=LEVEL), MeanSequence(level=LEVEL)
        ends = []
        for start in range(0, 300, 10):
            sequence.update(x[start : start + 10])
            ends.append((sequence.estimate().low, sequence.estimate().high))
        unseen.update(x)
        assert (np.diff(np.array(ends), axis=0) * [1, -1] >= -1e-6).all()
        assert ends[-1] == (unseen.estimate().low, unseen.estimate().high)
        assert 0.4 < ends[-1][0] < 0.5 < ends[-1][1] < 0.6

    def test_mirror_and_unit(self):
        x = make_rng().beta(2, 5, 100)
        base, mirrored, scaled = (
            MeanSequence(level=LEVEL),
            MeanSequence(level=LEVEL),
            MeanSequence(level=LEVEL, low=-2, high=3),
        )
        base.update(x)
        mirrored.update(1 - x)
        scaled.update(5 * x - 2)
        e, m, s = base.estimate(), mirrored.estimate(), scaled.estimate()
        assert (m.low, m.high) == pytest.approx((1 - e.high, 1 - e.low), abs=1e-5)
        assert (s.low, s.value, s.high) == pytest.approx((5 * e.low - 2, 5 * e.value - 2, 5 * e.high - 2), abs=1e-5)

    def test_no_value_is_undefined_and_one_says_little(self):
        sequence = MeanSequence(level=LEVEL)
        sequence.update([])
        assert sequence.estimate(n_as="non_members").undefined_reason == "no value yet"
        sequence.update([1.0])
        # a single 1 has a chance of at most m: no bet refutes more than the means up to the error, 0.025
        assert 0 < sequence.estimate().low <= 0.025
        assert sequence.estimate().high == 1

    def test_refusals(self):
        with pytest.raises(ValueError, match="1 of 2 values lie outside"):
            MeanSequence(level=LEVEL).update([0.5, 1.5])
        with pytest.raises(ValueError, match="low must be below high"):
            MeanSequence(level=LEVEL, low=1, high=1)
        with pytest.raises(ValueError, match="level"):
            MeanSequence(level=95)

    def test_a_drift_empties_the_interval(self):
        sequence = MeanSequence(level=LEVEL)
        sequence.update(np.r_[np.zeros(300), np.ones(3000)])
        assert "random order" in str(sequence.estimate().undefined_reason)

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [0.02, 0.5])
    def test_covers_at_all_times(self, rate):
        # at most 5 percent of runs may ever miss; 400 runs: more than 32 misses has a chance below 0.5 percent
        n_missed, rng = 0, make_rng()
        for _ in range(400):
            sequence = MeanSequence(level=LEVEL)
            sequence.update(rng.random(300) < rate)
            n_missed += max(path.max() for path in sequence.log_evidence(rate)) >= math.log(40)
        assert n_missed <= 32


class TestAucSequence:
    def scores(self, n: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        member = np.arange(2 * n) % 2 == 0
        return make_rng().normal(0, 1, 2 * n) + shift * member, member

    def test_batches_equal_one_by_one(self):
        scores, member = self.scores(40)
        together, apart = AucSequence(level=LEVEL), AucSequence(level=LEVEL)
        together.update(scores, member)
        for score, side in zip(scores, member, strict=True):
            apart.update([score], [side])
        assert together.estimate() == apart.estimate()

    def test_value_is_the_auc(self):
        scores, member = self.scores(100)
        scores = np.round(scores)
        sequence = AucSequence(level=LEVEL)
        sequence.update(scores, member)
        estimate, usual = sequence.estimate(), auc(scores, member, level=LEVEL)
        assert estimate.value == pytest.approx(usual.value)
        assert estimate.low < usual.low < usual.high < estimate.high
        assert (estimate.n_members, estimate.n_non_members) == (100, 100)

    def test_the_interval_is_what_is_not_refuted(self):
        scores, member = self.scores(100)
        sequence = AucSequence(level=LEVEL)
        sequence.update(scores, member)
        estimate = sequence.estimate()
        assert sequence.log_evidence(estimate.low)[0].max() == pytest.approx(math.log(40), abs=1e-3)
        assert sequence.log_evidence(estimate.high)[1].max() == pytest.approx(math.log(40), abs=1e-3)

    def test_swapped_sides_mirror(self):
        scores, member = self.scores(64)
        one, other = AucSequence(level=LEVEL), AucSequence(level=LEVEL)
        one.update(scores, member)
        other.update(scores, ~member)
        assert one.estimate().low == pytest.approx(1 - other.estimate().high, abs=1e-6)

    @pytest.mark.parametrize("f", [lambda s: 3 * s + 7, np.exp])
    def test_increasing_transformations_change_nothing(self, f):
        scores, member = self.scores(64)
        one, other = AucSequence(level=LEVEL), AucSequence(level=LEVEL)
        one.update(scores, member)
        other.update(f(scores), member)
        assert one.estimate() == other.estimate()

    def test_never_widens(self):
        scores, member = self.scores(200)
        sequence, ends = AucSequence(level=LEVEL), []
        for start in range(0, 400, 16):
            sequence.update(scores[start : start + 16], member[start : start + 16])
            ends.append((sequence.estimate().low, sequence.estimate().high))
        assert (np.diff(np.array(ends), axis=0) * [1, -1] >= -1e-6).all()

    def test_sharper_than_disjoint_pairs(self):
        scores, member = self.scores(800, shift=0.0)
        blocks, pairs = AucSequence(level=LEVEL), AucSequence(level=LEVEL, block=(1, 1))
        for sequence in (blocks, pairs):
            sequence.update(scores, member)
        widths = [s.estimate().high - s.estimate().low for s in (blocks, pairs)]
        assert widths[0] < 0.95 * widths[1]

    def test_finish_uses_what_waits(self):
        scores, member = self.scores(12)
        sequence = AucSequence(level=LEVEL)
        sequence.update(scores[:14], member[:14])
        assert sequence.estimate().undefined_reason == "no block of texts is full yet"
        sequence.update(scores[14:], member[14:])
        assert sequence.log_evidence(0.5)[0].size == 1
        sequence.finish()
        assert sequence.log_evidence(0.5)[0].size == 2
        assert sequence.estimate().value is not None

    def test_unequal_sides(self):
        assert block_sizes(1000, 1000) == (8, 8)
        assert block_sizes(500, 1500) == (8, 24)
        assert block_sizes(9000, 10) == (64, 8)
        assert block_sizes(0, 0) == (8, 8)
        sequence = AucSequence(level=LEVEL, block=(8, 24))
        rng = make_rng()
        sequence.update(np.r_[rng.normal(3, 1, 80), rng.normal(0, 1, 240)], np.arange(320) < 80)
        assert sequence.log_evidence(0.5)[0].size == 10
        assert 0.8 < sequence.estimate().low < stats.norm.cdf(3 / math.sqrt(2)) < sequence.estimate().high

    def test_refusals(self):
        with pytest.raises(ValueError, match="is_member"):
            AucSequence(level=LEVEL).update([1.0, 2.0], [True])
        with pytest.raises(ValueError, match="not finite"):
            AucSequence(level=LEVEL).update([np.nan], [True])
        with pytest.raises(ValueError, match="a text of each side"):
            AucSequence(level=LEVEL, block=(0, 8))

    @pytest.mark.parametrize("ties", [False, True])
    def test_covers_at_all_times(self, ties):
        # all pairings of a block: still at most 5 percent of runs that ever miss (400 runs, bound as above)
        n_missed, rng = 0, make_rng()
        for _ in range(400):
            scores, member = rng.normal(0, 1, 320), np.arange(320) % 2 == 0
            sequence = AucSequence(level=LEVEL)
            sequence.update(np.round(scores) if ties else scores, member)
            n_missed += max(path.max() for path in sequence.log_evidence(0.5)) >= math.log(40)
        assert n_missed <= 32


class TestTprSequence:
    def run(self, members: np.ndarray, non_members: np.ndarray, fpr: float = 0.1, step: int = 100) -> TprSequence:
        sequence = TprSequence(fpr=fpr, level=LEVEL)
        for start in range(0, members.size, step):
            part = slice(start, start + step)
            scores = np.r_[members[part], non_members[part]]
            sequence.update(scores, np.arange(scores.size) < members[part].size)
        return sequence

    def test_value_is_the_tpr(self):
        x, y = make_rng().normal(1, 1, 300), np.round(make_rng().normal(0, 1, 300), 1)
        usual = tpr_at_fpr(np.r_[x, y], np.arange(600) < 300, fpr=0.1, level=LEVEL)
        assert self.run(x, y).estimate().value == pytest.approx(usual.value)

    def test_perfect_separation(self):
        estimate = self.run(np.arange(500.0) + 1000, np.arange(500.0)).estimate()
        assert (estimate.value, estimate.high) == (1, 1)
        assert estimate.low > 0.95
        assert estimate.fpr == 0.1

    def test_never_widens(self):
        rng = make_rng()
        x, y = rng.normal(1, 1, 1000), rng.normal(0, 1, 1000)
        ends = [self.run(x[:n], y[:n]).estimate() for n in range(100, 1001, 300)]
        assert (np.diff([e.low for e in ends]) >= 0).all()
        assert (np.diff([e.high for e in ends]) <= 0).all()
        assert ends[-1].low > 0

    def test_too_few_non_members_leave_the_low_end_open(self):
        assert self.run(np.arange(50.0) + 1000, np.arange(50.0)).estimate().low == 0

    def test_nothing_yet(self):
        sequence = TprSequence(fpr=0.1, level=LEVEL)
        assert sequence.estimate().undefined_reason == "no member yet"
        sequence.update([1.0], [True])
        assert sequence.estimate().undefined_reason == "no non-member yet"
        with pytest.raises(ValueError, match="fpr"):
            TprSequence(fpr=1.0, level=LEVEL)

    def test_covers_at_all_times(self):
        # a coarse score: the rule "above 1" has FPR .0668 <= .1, "above 0" .3085; so the TPR is that of "above 1"
        n_missed, rng = 0, make_rng()
        true = float(stats.norm.sf(0.5))
        for _ in range(100):
            x, y = np.round(rng.normal(1, 1, 600)), np.round(rng.normal(0, 1, 600))
            estimate = self.run(x, y, step=150).estimate()
            n_missed += not estimate.low <= true <= estimate.high
        assert n_missed <= 12


class TestAsymptotic:
    def test_by_hand(self):
        # n = 400, error .05, rho^2 = (5.9915 + ln 6.9915) / 400 = .01984, n rho^2 + 1 = 8.936: the normal arm has
        # sqrt(2 * 8.936 / (400 * .01984) * ln(sqrt(8.936) / .05)) = sqrt(2.2522 * 4.0907) = 3.0353 standard errors;
        # values that are not skewed have Student's arm of that chance, and squares of 200 / 199 a side
        sides = np.tile([-1.0, 1.0], 100), np.tile([2.0, 4.0], 100)
        e = asymptotic_difference(*sides, level=LEVEL, tightest_at=400)
        assert e.value == -3
        t = stats.t.isf(stats.norm.sf(3.0353), 398)
        assert e.high - e.value == pytest.approx(t * math.sqrt(2 / 199), rel=1e-4)
        assert e.value - e.low == pytest.approx(e.high - e.value)
        assert "asymptotic" in e.method
        assert (e.level, e.df) == (LEVEL, None)

    def test_undefined(self):
        few = asymptotic_difference(np.arange(900.0), np.arange(10.0), level=LEVEL)
        assert "got 10" in str(few.undefined_reason)
        assert (few.n_members, few.n_non_members) == (900, 10)
        assert (
            asymptotic_difference(np.ones(200), np.ones(200), level=LEVEL).undefined_reason == "the values do not vary"
        )

    @pytest.mark.slow
    def test_covers_at_all_looks(self):
        n_missed, rng = 0, make_rng()
        for _ in range(200):
            x, y = np.maximum(rng.normal(0, 5, (2, 1000)), 0)
            looks = [asymptotic_difference(x[:n], y[:n], level=LEVEL) for n in range(200, 1001, 50)]
            n_missed += any(not e.low <= 0 <= e.high for e in looks)
        assert n_missed <= 19  # 200 runs at 5 percent: more has a chance below 0.5 percent


class TestDifference:
    def fed(self, x, y, **options):
        sequence = DifferenceSequence(**{"level": LEVEL, "low": 0.0, "high": 100.0} | options)
        sequence.update(np.r_[x, y], np.arange(len(x) + len(y)) < len(x))
        return sequence

    def test_the_ends_are_those_of_the_parts(self):
        rng = make_rng()
        x, y = np.maximum(rng.normal(3, 3, 400), 0), np.maximum(rng.normal(0, 3, 300), 0)
        early = self.fed(x, y).early()
        each = [MeanSequence(level=1 - 0.05 / 5 / 2, high=100.0) for _ in range(2)]
        for sequence, side in zip(each, (x, y), strict=True):
            sequence.update(side)
        of_x, of_y = (one.estimate() for one in each)
        assert early.high == pytest.approx(of_x.high - of_y.low)
        assert early.low == pytest.approx(asymptotic_difference(x, y, level=1 - 0.05 / 5).low)
        assert self.fed(x, y).early(certain=True).low == pytest.approx(of_x.low - of_y.high)
        final = self.fed(x, y).final()
        full = mean_difference(x, y, level=1 - 0.05 * 4 / 5)
        assert (final.low, final.high, final.unseen_below) == (full.low, full.high, full.unseen_below)
        assert final.level == early.level == LEVEL

    def test_nothing_is_looked_at_that_cannot_be_below_the_limit(self):
        """And the shortcut is never wrong: where it says no, the end is not beyond the limit."""
        rng, n_short = make_rng(), 0
        for size in (20, 100, 1000):
            for most in (0.5, 2.0, 5.0, 20.0, 60.0):
                x, y = np.maximum(rng.normal(1, 2, (2, size)), 0)
                short, whole = self.fed(x, y).early(most=most), self.fed(x, y).early()
                if short.high != whole.high:
                    assert (short.high, whole.high > most) == (100.0, True)
                    n_short += 1
                if short.low != whole.low:
                    assert (short.low, whole.low <= most) == (-100.0, True)
        assert 0 < n_short < 15
        x, y = rng.normal(9, 2, 300).clip(0), rng.normal(0, 2, 300).clip(0)
        assert self.fed(x, y).early(most=2.0).low == self.fed(x, y).early().low > 2

    def test_values_beyond_the_range_are_certain_of_nothing_before_the_end(self):
        rng = make_rng()
        x, y = rng.normal(0, 1, (2, 300))
        y[7] = -200
        sequence = self.fed(x, y, low=-100.0)
        sequence.update([0.0], [True])
        assert "all texts are needed" in sequence.early().undefined_reason
        assert sequence.final().value == pytest.approx(np.r_[x, 0].mean() - y.mean())

    def test_no_texts_yet(self):
        sequence = DifferenceSequence(level=LEVEL, low=0.0, high=1.0)
        assert sequence.early().undefined_reason == "no member yet"
        assert sequence.final().value is None

    def test_a_few_that_nobody_has_seen_do_not_pass_a_gate_early(self):
        """Before the end 1 text in 1,000 may hold all that the gate forbids, however few of 400 seem to hold a bit."""
        nothing = np.zeros(400)
        assert self.fed(nothing, nothing, high=1000.0).early().high > 1.0
        assert self.fed(nothing, nothing, high=1000.0).early(most=1.0).high > 1.0


class TestDecisions:
    @pytest.mark.parametrize(
        ("low", "high", "limits", "decision"),
        [
            (0.5, 0.58, {"most": 0.6}, "pass"),
            (0.5, 0.6, {"most": 0.6}, "pass"),
            (0.6, 0.7, {"most": 0.6}, "undecided"),
            (0.61, 0.7, {"most": 0.6}, "fail"),
            (0.1, 0.2, {"least": 0.3}, "fail"),
            (0.3, 0.9, {"least": 0.3}, "pass"),
            (0.2, 0.4, {"least": 0.3}, "undecided"),
            (0.45, 0.55, {"least": 0.4, "most": 0.6}, "pass"),
            (0.1, 0.2, {"least": 0.4, "most": 0.6}, "fail"),
        ],
    )
    def test_decide(self, low, high, limits, decision):
        assert decide(interval(low, high), **limits) == decision

    def test_undefined_is_undecided_and_no_limit_is_refused(self):
        assert decide(Estimate.undefined("nothing", level=LEVEL), most=1) == "undecided"
        with pytest.raises(ValueError, match="limit"):
            decide(interval(0, 1))

    def test_levels(self):
        assert level_per_gate(0.95, 1) == pytest.approx(0.95)
        assert level_per_gate(0.95, 5) == pytest.approx(0.99)
        with pytest.raises(ValueError, match="n_gates"):
            level_per_gate(0.95, 0)

    def test_p_value(self):
        assert anytime_p_value(np.log([0.5, 40.0, 3.0])) == pytest.approx(1 / 40)
        assert anytime_p_value(np.log([0.5])) == 1
        assert anytime_p_value(np.empty(0)) == 1

    def test_order_deals_both_sides_evenly(self):
        member = np.arange(400) < 100
        order = scoring_order(member, rng=make_rng())
        assert sorted(order) == list(range(400))
        assert all(3 <= member[order[start : start + 16]].sum() <= 5 for start in range(0, 400, 16))

    def test_order_keeps_one_random_sample_a_group(self):
        groups, member = ["a", "a", "a", None, None, "b"], np.array([True, True, False, True, False, False])
        seen = [set(scoring_order(member, groups=groups, rng=np.random.default_rng(seed))) for seed in range(200)]
        assert all({3, 4, 5} <= kept and len(kept) == 4 for kept in seen)
        counts = [sum(i in kept for kept in seen) for i in range(3)]
        assert min(counts) > 40  # each a third of 200
