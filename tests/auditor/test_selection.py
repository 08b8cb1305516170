"""Choosing among attacks: p-values that belong to their intervals, and a best attack without optimism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.estimates.selection import select
from auditor.stats.metrics import auc
from auditor.stats.p_values import auc_p_value, auc_p_values

LEVEL = 0.95


def sides(n_members: int, n_non_members: int) -> np.ndarray:
    return np.arange(n_members + n_non_members) < n_members


def choose(scores, is_member, groups=None, seed=0):
    return select(scores, is_member, groups, headline=next(iter(scores)), declared_by="default", level=LEVEL, seed=seed)


class TestPValue:
    @given(
        seed=st.integers(0, 500),
        n_members=st.integers(5, 60),
        n_non_members=st.integers(5, 60),
        shift=st.sampled_from([0.0, 0.5, 1.0, 9.0]),
        per_cluster=st.sampled_from([1, 2]),
        level=st.sampled_from([0.8, 0.95, 0.99]),
    )
    @settings(max_examples=60, deadline=None)
    def test_agrees_with_the_interval(self, seed, n_members, n_non_members, shift, per_cluster, level):
        is_member = sides(n_members, n_non_members)
        scores = np.random.default_rng(seed).normal(size=is_member.size) + shift * is_member
        groups = [f"{i // per_cluster}" for i in range(is_member.size)]
        p_value = auc_p_value(scores, is_member, groups)
        assert (p_value < (1 - level) / 2) == (auc(scores, is_member, level=level, groups=groups).low > 0.5)

    def test_complete_separation_is_mann_whitney(self):
        is_member = sides(12, 30)
        scores = np.arange(42.0)[::-1]
        expected = stats.mannwhitneyu(
            scores[:12], scores[12:], alternative="greater", method="asymptotic", use_continuity=False
        )
        assert auc_p_value(scores, is_member) == pytest.approx(expected.pvalue)

    def test_near_brunner_munzel(self):
        rng = np.random.default_rng(0)
        is_member = sides(150, 300)
        scores = rng.normal(size=450) * np.where(is_member, 3, 1) + 0.2 * is_member
        expected = stats.brunnermunzel(scores[150:], scores[:150], alternative="less").pvalue
        assert auc_p_value(scores, is_member) == pytest.approx(expected, rel=0.1)

    def test_undefined_and_adjusted(self):
        is_member = sides(3, 3)
        assert auc_p_value([1.0, 2.0], np.array([True, True])) is None
        found = auc_p_values({"a": np.arange(6.0)[::-1], "b": np.arange(6.0)}, is_member)
        assert found["a"][1] == pytest.approx(2 * found["a"][0])
        assert found["b"][0] > 0.9

    def test_holds_its_level_under_the_null(self):
        rng, is_member = np.random.default_rng(1), sides(25, 60)
        p_values = np.array([auc_p_value(rng.normal(size=85), is_member) for _ in range(800)])
        assert (p_values < 0.05).mean() <= stats.binom.ppf(0.999, 800, 0.05) / 800
        assert (p_values < 0.01).mean() <= stats.binom.ppf(0.999, 800, 0.01) / 800

    @pytest.mark.slow
    @pytest.mark.parametrize(("m", "n"), [(10, 10), (30, 500), (500, 30), (200, 200)])
    @pytest.mark.parametrize("wider", [1, 3])
    @pytest.mark.parametrize("per_cluster", [1, 5])
    def test_holds_its_level(self, m, n, wider, per_cluster):
        rng, is_member = np.random.default_rng(2), sides(m * per_cluster, n * per_cluster)
        groups = np.repeat(np.arange(m + n), per_cluster)
        scale, p_values = np.where(is_member, wider, 1), []
        for _ in range(1000):
            scores = (np.repeat(rng.normal(size=m + n), per_cluster) + rng.normal(size=is_member.size)) * scale
            p_values.append(auc_p_value(scores, is_member, groups))
        for error in (0.05, 0.01):
            assert np.mean(np.array(p_values) < error) <= stats.binom.ppf(0.9999, 1000, error) / 1000 + 0.2 * error


class TestSelect:
    def test_one_attack_is_not_chosen(self):
        is_member = sides(30, 30)
        scores = {"only": np.random.default_rng(3).normal(size=60) + is_member}
        found = choose(scores, is_member)
        assert found.best_auc == auc(scores["only"], is_member, level=LEVEL)
        assert [(c.attack, c.n_folds) for c in found.chosen] == [("only", 5)]

    def test_the_good_one_is_found(self):
        rng, is_member = np.random.default_rng(4), sides(60, 60)
        scores = {"noise": rng.normal(size=120), "good": rng.normal(size=120) + 2 * is_member}
        found = choose(scores, is_member)
        assert [(c.attack, c.n_folds) for c in found.chosen] == [("good", 5)]
        assert found.n_attacks == 2
        assert found.best_auc.low < auc(scores["good"], is_member, level=LEVEL).value < found.best_auc.high

    def test_same_seed_same_choice_and_ranks_only(self):
        rng, is_member = np.random.default_rng(5), sides(40, 40)
        scores = {f"a{i}": rng.normal(size=80) for i in range(4)}
        moved = {label: np.exp(values) for label, values in scores.items()}
        assert choose(scores, is_member) == choose(moved, is_member)

    def test_too_few_or_one_sided(self):
        found = choose({"a": np.arange(9.0), "b": np.arange(9.0)}, np.ones(9, dtype=bool))
        assert found.best_auc.undefined_reason == "there are no non-members"
        assert found.chosen == ()
        clustered = choose({"a": np.arange(80.0), "b": np.arange(80.0)}, sides(40, 40), ["g"] * 40 + [None] * 40)
        assert "10 independent members" in clustered.best_auc.undefined_reason

    def test_headline_must_be_there(self):
        with pytest.raises(ValueError, match="one of 'a', got 'b'"):
            select({"a": np.zeros(4)}, sides(2, 2), headline="b", declared_by="config", level=LEVEL, seed=0)

    @pytest.mark.parametrize("n_draws", [60, pytest.param(400, marks=pytest.mark.slow)])
    def test_twenty_attacks_of_noise_are_worth_nothing(self, n_draws):
        rng, is_member = np.random.default_rng(6), sides(100, 100)
        held, values, largest = 0, [], []
        for seed in range(n_draws):
            scores = {f"a{i}": rng.normal(size=200) for i in range(20)}
            best = choose(scores, is_member, seed=seed).best_auc
            held += best.low <= 0.5 <= best.high
            values.append(best.value)
            largest.append(max(stats.mannwhitneyu(v[:100], v[100:]).statistic for v in scores.values()) / 1e4)
        assert held >= stats.binom.ppf(1e-3, n_draws, LEVEL)
        assert np.mean(values) < 0.515
        assert np.mean(largest) > 0.56
