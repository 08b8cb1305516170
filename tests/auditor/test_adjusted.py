"""Adjusted AUCs: what a shift explains goes, what it does not stays, and pairs are counted within strata only."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from auditor.documents.estimate import Estimate
from auditor.stats.adjusted import LEFT_OUT, length_strata, residualised_auc, stratified_auc
from auditor.stats.metrics import auc

SPREAD = 0.6
N = 300


def drawn(shift: float, signal: float, seed: int) -> tuple[Any, Any, Any]:
    """Scores that follow the covariate, not linearly, and membership; members have other covariates by ``shift``."""
    rng = np.random.default_rng(seed)
    member = np.arange(2 * N) < N
    looks = rng.normal(size=2 * N) + shift * member
    noise = rng.normal(0, SPREAD, 2 * N)
    return looks + 0.3 * np.sin(2 * looks) + noise + signal * member, looks[:, None], member


def residualised(score: Any, looks: Any, member: Any, groups: Any = None) -> Estimate:
    return residualised_auc(score, looks, member, level=0.95, groups=groups, seed=0)


def covers(found: Estimate, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def value(found: Estimate) -> float:
    assert found.value is not None
    return found.value


class TestResidualised:
    @pytest.mark.parametrize(("shift", "signal"), [(1.3, 0.0), (0.0, 0.6), (1.0, 0.6)])
    def test_a_shift_goes_and_a_signal_stays(self, shift: float, signal: float) -> None:
        truth = float(stats.norm.cdf(signal / SPREAD / np.sqrt(2)))
        found = [residualised(*drawn(shift, signal, seed)) for seed in range(40)]
        assert sum(covers(one, truth) for one in found) >= 34  # of 38 expected
        assert np.mean([value(one) for one in found]) == pytest.approx(truth, abs=0.03)
        assert "non-members" in found[0].method

    def test_the_raw_auc_is_fooled_by_the_shift(self) -> None:
        score, looks, member = drawn(1.3, 0.0, 0)
        assert value(auc(score, member, level=0.95)) > 0.7
        assert covers(residualised(score, looks, member), 0.5)

    def test_covariates_that_say_nothing_change_little(self) -> None:
        score, _, member = drawn(0.0, 1.0, 1)
        noise = np.random.default_rng(5).normal(size=(2 * N, 2))
        assert value(residualised(score, noise, member)) == pytest.approx(
            value(auc(score, member, level=0.95)), abs=0.02
        )

    def test_a_constant_covariate_leaves_the_auc(self) -> None:
        score, _, member = drawn(0.0, 1.0, 1)
        raw = value(auc(score, member, level=0.95))
        assert value(residualised(score, np.ones((2 * N, 1)), member)) == pytest.approx(raw, abs=0.005)

    def test_copies_are_no_evidence(self) -> None:
        score, looks, member = drawn(0.5, 0.5, 2)
        once = residualised(score, looks, member)
        twice = residualised(
            np.tile(score, 2), np.tile(looks, (2, 1)), np.tile(member, 2), [str(i) for i in range(2 * N)] * 2
        )
        assert once.high is not None
        assert once.low is not None
        assert twice.high is not None
        assert twice.low is not None
        assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.1)

    def test_few_non_members_are_undefined(self) -> None:
        member = np.arange(60) < 45
        found = residualised(np.arange(60.0), np.arange(60.0)[:, None], member)
        assert "at least 20 independent non-members" in (found.undefined_reason or "")

    def test_covariates_must_fit(self) -> None:
        with pytest.raises(ValueError, match="one row a sample"):
            residualised(np.arange(60.0), np.arange(60.0), np.arange(60) < 30)
        with pytest.raises(ValueError, match="finite"):
            residualised(np.arange(60.0), np.full((60, 1), np.nan), np.arange(60) < 30)


def stratified(score: Any, strata: Any, member: Any, groups: Any = None) -> Estimate:
    return stratified_auc(score, np.asarray(strata), member, level=0.95, groups=groups)


class TestStratified:
    def test_every_pair_within_a_stratum_by_a_loop(self) -> None:
        rng = np.random.default_rng(0)
        score, strata, member = rng.integers(0, 6, 90).astype(float), rng.integers(0, 4, 90), rng.random(90) < 0.4
        won, pairs = 0.0, 0
        for i in np.flatnonzero(member):
            for j in np.flatnonzero(~member & (strata == strata[i])):
                won += (score[i] > score[j]) + 0.5 * (score[i] == score[j])
                pairs += 1
        assert value(stratified(score, strata, member)) == pytest.approx(won / pairs, abs=1e-12)

    @pytest.mark.parametrize("groups", [None, [str(i // 3) for i in range(120)]])
    def test_one_stratum_is_the_auc(self, groups: Any) -> None:
        rng = np.random.default_rng(1)
        member = rng.random(120) < 0.5
        score = rng.normal(size=120) + member
        plain = auc(score, member, level=0.95, groups=groups)
        found = stratified(score, np.zeros(120, dtype=int), member, groups)
        assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-12)

    def test_variance_is_delongs_of_each_stratum(self) -> None:
        """The half width on the logit scale, squared, from the strata's own variances by numpy loops."""
        rng = np.random.default_rng(2)
        strata, member = np.repeat([0, 1], 100), np.tile(np.arange(100) < 40, 2)
        score = rng.normal(size=200) + 0.7 * member
        variance = 0.0
        for kind in (0, 1):
            x, y = score[member & (strata == kind)], score[~member & (strata == kind)]
            wins = (x[:, None] > y).astype(float)
            variance += (wins.mean(1).var(ddof=1) / x.size + wins.mean(0).var(ddof=1) / y.size) / 4
        found = stratified(score, strata, member)
        assert found.low is not None
        assert found.high is not None
        half = (np.log(found.high / (1 - found.high)) - np.log(found.low / (1 - found.low))) / 2
        area = value(found)
        standard_error = half * area * (1 - area) / stats.norm.ppf(0.975)
        assert standard_error == pytest.approx(np.sqrt(variance), rel=0.02)  # t with many degrees of freedom

    def test_length_alone_is_taken_away(self) -> None:
        rng = np.random.default_rng(3)
        member = np.arange(600) < 300
        n_bytes = np.rint(np.exp(rng.normal(5, 0.5, 600) + 0.5 * member)).astype(np.int64)
        score = np.log(n_bytes) + rng.normal(0, 1.0, 600)
        raw, within = auc(score, member, level=0.95), stratified(score, length_strata(n_bytes, member), member)
        assert raw.low is not None
        assert raw.low > 0.52
        assert covers(within, 0.5)

    def test_those_left_out_are_counted(self) -> None:
        strata = length_strata(np.array([1] * 40 + [9] * 10), np.array([True, False] * 20 + [True] * 10), 5)
        assert (strata == LEFT_OUT).tolist() == [False] * 40 + [True] * 10
        found = stratified(np.arange(50.0), strata, np.array([True, False] * 20 + [True] * 10))
        assert "10 samples without a counterpart left out" in found.method
        assert (found.n_members, found.n_non_members) == (20, 20)

    def test_no_common_stratum_is_undefined(self) -> None:
        member = np.arange(20) < 10
        assert "no stratum" in (stratified(np.arange(20.0), member.astype(int), member).undefined_reason or "")

    @pytest.mark.slow
    @pytest.mark.parametrize("size", [1, 3])
    def test_coverage(self, size: int) -> None:
        """Normal scores, d' of 1 in each of 4 strata, clusters of one or three that share half their variance."""
        rng = np.random.default_rng(4)
        truth, hits = float(stats.norm.cdf(1 / np.sqrt(2))), 0
        for _ in range(600):
            n = 120 * size
            cluster = np.arange(n) // size
            member, strata = (cluster % 2).astype(bool), rng.integers(0, 4, n)
            shared = rng.normal(size=cluster.max() + 1)[cluster]
            score = np.sqrt(0.5) * (shared + rng.normal(size=n)) + member + 3 * strata
            hits += covers(stratified(score, strata, member, cluster if size > 1 else None), truth)
        assert 0.925 <= hits / 600 <= 0.985
