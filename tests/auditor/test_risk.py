"""Who is at risk: posteriors, rarity, breakdowns and stability, by hand and against scikit-learn and scipy."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from auditor.data.rarity import WORD, count_copies, text_rarity
from auditor.estimates.risk import assess_risk, stability
from auditor.stats.metrics import auc
from reports.risk import left_out_sentence, most_at_risk

LEVEL = 0.95
TEXTS = ["the cat sat", "a the dog dog", "rare zyx cat", "", "the the the", "dog cat a b c"]


def assess(scores, is_member, **given):
    n = is_member.size
    known = {
        "clusters": None,
        "text_keys": range(n),
        "units": [None] * n,
        "n_bytes": np.arange(n) % 97,
        "n_copies": np.ones(n, dtype=np.int64),
        "level": LEVEL,
        "seed": 0,
    }
    return assess_risk(scores, is_member, headline="loss", **(known | given))


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    is_member = np.arange(2 * n) < n
    return np.random.default_rng(seed).normal(size=2 * n) + is_member, is_member


def groups_of(risk, by):
    return next(b for b in risk.result.breakdowns if b.by == by)


class TestRarity:
    def test_against_scikit_learn(self):
        # corpus of the last three texts; of members, nothing is left out
        is_member = np.array([True] * 3 + [False] * 3)
        model = TfidfVectorizer(norm=None, token_pattern=WORD).fit(TEXTS[3:])
        counter = CountVectorizer(token_pattern=WORD)
        weights = dict(zip(model.get_feature_names_out(), model.idf_ - 1, strict=True))
        unseen = np.log(4)  # ln((1 + 3) / (1 + 0))
        words = [counter.build_analyzer()(text) for text in TEXTS[:3]]
        expected = [np.mean([weights.get(word, unseen) for word in text]) for text in words]
        found = text_rarity(lambda: [TEXTS], is_member)
        assert found[:3] == pytest.approx(expected)
        assert found[3] == 0  # no words

    def test_blocks_are_no_matter_and_own_text_does_not_count(self):
        is_member = np.array([True] * 3 + [False] * 3)
        whole = text_rarity(lambda: [TEXTS], is_member)
        assert np.array_equal(whole, text_rarity(lambda: [TEXTS[:4], TEXTS[4:]], is_member))
        # "the the the" as a non-member: of the two others none has "the", ln(3 / 1)
        assert whole[4] == pytest.approx(np.log(3))

    def test_without_non_members_all_texts_are_the_corpus(self):
        found = text_rarity(lambda: [["x", "x", "y"]], np.ones(3, dtype=bool))
        assert found == pytest.approx([np.log(3 / 2), np.log(3 / 2), np.log(3)])

    def test_copies_given(self):
        is_member = np.array([True, True, False])
        assert count_copies(["x", "y", "z"], is_member, np.array([4, 1, 9])).tolist() == [4, 1, 0]


class TestStability:
    def test_against_scipy(self):
        rng = np.random.default_rng(0)
        bits = [rng.normal(size=60) for _ in range(3)]
        found = stability(bits)
        pairs = [stats.spearmanr(bits[i], bits[j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
        assert found.rank_correlation == pytest.approx(np.mean(pairs))
        assert found.rank_correlation_lowest == pytest.approx(min(pairs))
        assert found.n_references == 3

    def test_same_worst_by_hand(self):
        first = np.arange(50.0)
        second = first.copy()
        second[[45, 46]] = -1  # two of the worst five leave, 43 and 44 come in
        assert stability([first, second]).same_worst == pytest.approx(3 / 5)

    def test_none(self):
        assert stability([np.arange(50.0)]) is None
        assert stability([np.arange(49.0)] * 2) is None
        assert stability([np.arange(50.0), np.zeros(50)]) is None


class TestRisk:
    def test_the_few_that_are_certain_are_named(self):
        scores, is_member = draw(500)
        scores -= is_member
        scores[:50] += 9
        found = assess(scores, is_member, signed_bits=scores)
        assert 48 <= found.result.members_above <= 52
        assert found.result.non_members_above <= 5
        assert (found.posterior[:50] > 0.9).all()
        assert found.result.calibration.calibrated

    def test_ranks_only_and_deterministic(self):
        scores, is_member = draw(100)
        assert assess(scores, is_member).result == assess(np.exp(scores), is_member).result

    def test_group_against_all_non_members(self):
        scores, is_member = draw(100)
        units = ["a"] * 30 + ["b"] * 62 + ["c"] * 4 + ["e"] * 4 + [None] * 100
        clusters = [f"{unit} {i % 5}" for i, unit in enumerate(units[:100])] + [None] * 100
        found = groups_of(assess(scores, is_member, units=units, clusters=clusters, signed_bits=scores), "group")
        assert [(g.label, g.n_members) for g in found.groups] == [
            ("b", 62),
            ("a", 30),
            ("2 smaller groups together", 8),
        ]
        assert (found.n_groups_left_out, found.pooled) == (2, ("c", "e"))  # 4 members each
        assert "at least 10 members" in found.groups[2].auc.undefined_reason
        here = np.r_[0:30, 100:200]
        assert found.groups[1].auc.value == auc(scores[here], is_member[here], level=LEVEL).value
        assert found.groups[1].mean_bits.value == pytest.approx(scores[:30].mean())
        assert found.groups[1].posterior.low >= 0

    def test_kruskal_wallis_against_scipy_holm_adjusted(self):
        scores, is_member = draw(100)
        units, quarter = [f"g{i % 4}" for i in range(200)], np.arange(100) // 25
        found = assess(scores, is_member, units=units, n_bytes=np.tile(np.arange(100), 2))
        by_unit, by_length = (
            stats.kruskal(*(scores[:100][key == g] for g in range(4))).pvalue for key in (np.arange(100) % 4, quarter)
        )
        least, most = sorted([by_unit, by_length])
        p_values = sorted(b.p_value for b in found.result.breakdowns if b.p_value is not None)
        assert p_values == pytest.approx([min(1, 2 * least), max(min(1, 2 * least), most)])
        assert groups_of(found, "copies").p_value is None
        assert "at least 2 groups" in groups_of(found, "copies").undefined_reason

    def test_length_is_set_against_the_same_length(self):
        scores, is_member = draw(100)
        n_bytes = np.tile(np.arange(100), 2)
        found = groups_of(assess(scores, is_member, n_bytes=n_bytes), "length")
        assert [g.label for g in found.groups] == ["0-24", "25-49", "50-74", "75-99"]
        here = np.r_[25:50, 125:150]
        assert found.groups[1].auc.value == auc(scores[here], is_member[here], level=LEVEL).value

    def test_copies_by_powers_of_two(self):
        scores, is_member = draw(100)
        n_copies = np.r_[np.ones(60), np.full(9, 2), np.full(20, 4), np.full(11, 40), np.zeros(100)].astype(int)
        found = groups_of(assess(scores, is_member, n_copies=n_copies), "copies")
        assert [(g.label, g.n_members) for g in found.groups] == [("1", 60), ("2-4", 29), ("17+", 11)]
        assert found.groups[2].auc.n_non_members == 100

    def test_no_member_is_left_out_of_what_is_most_at_risk(self):
        """6 members with 8 copies and 5 with 16 are remembered best; 12 people of 2 texts each likewise."""
        scores, is_member = draw(100)
        scores[:24] += 20
        n_copies = np.r_[np.full(6, 8), np.full(5, 16), np.full(39, 2), np.ones(50), np.zeros(100)].astype(int)
        by_copies = groups_of(assess(scores, is_member, n_copies=n_copies), "copies")
        assert [(g.label, g.n_members) for g in by_copies.groups] == [("1", 50), ("2", 39), ("5-16", 11)]
        units = [f"person {i // 2}" for i in range(24)] + ["a"] * 40 + ["b"] * 36 + [None] * 100
        by_unit = groups_of(assess(scores, is_member, units=units), "group")
        assert [g.n_members for g in by_unit.groups] == [40, 36, 24]
        here = np.r_[0:24, 100:200]
        assert by_unit.groups[2].auc.value == auc(scores[here], is_member[here], level=LEVEL).value
        assert len(by_unit.pooled) == by_unit.n_groups_left_out == 12
        assert most_at_risk(by_unit).label == "12 smaller groups together"
        assert left_out_sentence(by_unit) == (
            "Too small to compare alone: person 0, person 1, person 2, person 3, person 4 and 7 more."
        )
        assert most_at_risk(by_copies).label == "5-16"

    def test_copies_are_one_value_of_the_test(self):
        scores, is_member = draw(100)
        units = [f"g{i % 2}" for i in range(200)]
        same = np.ones(400, dtype=np.int64)  # one length: no other breakdown has a p-value, so Holm changes nothing
        once = groups_of(assess(scores, is_member, units=units, n_bytes=same[:200]), "group").p_value
        again = np.r_[np.repeat(np.arange(100), 3), 100:200]
        keys = [f"{i}" for i in again]
        repeated = assess(
            scores[again], is_member[again], units=[units[i] for i in again], text_keys=keys, n_bytes=same
        )
        assert groups_of(repeated, "group").p_value == pytest.approx(once, rel=0.3)

    @pytest.mark.slow
    def test_scores_that_follow_length_without_membership_are_no_difference_of_risk(self):
        """Long texts score higher on both sides: Kruskal and Wallis on the members' scores finds that every time."""
        found, raw = 0, 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            is_member, n_bytes = np.arange(200) < 100, rng.integers(50, 500, 200)
            scores = n_bytes / 50 + rng.normal(size=200) * n_bytes / 100
            p_value = groups_of(assess(scores, is_member, n_bytes=n_bytes), "length").p_value
            found += p_value <= 0.05
            quarters = np.array_split(scores[:100][np.argsort(n_bytes[:100])], 4)
            raw += stats.kruskal(*quarters).pvalue <= 0.05
        assert raw == 100
        assert found <= 12  # 5 expected

    def test_a_risk_that_grows_with_length_is_found(self):
        rng = np.random.default_rng(3)
        is_member, n_bytes = np.arange(400) < 200, rng.integers(50, 500, 400)
        scores = rng.normal(size=400) + 2.5 * is_member * (n_bytes > 300)
        assert groups_of(assess(scores, is_member, n_bytes=n_bytes), "length").p_value < 1e-4

    def test_scripts_are_set_against_texts_of_the_same_script(self):
        # 30 Latin, 12 Greek, 4 Thai and 3 Hebrew members, as many others; only Greek ones are memorized
        scripts = (["Latin"] * 30 + ["Greek"] * 12 + ["Thai"] * 4 + ["Hebrew"] * 3) * 2
        is_member, rng = np.arange(98) < 49, np.random.default_rng(5)
        greek = np.array(scripts) == "Greek"
        scores = rng.normal(size=98) + 10 * greek + 5 * (is_member & greek)  # all Greek texts score higher
        found = groups_of(assess(scores, is_member, scripts=scripts), "script")
        assert [(g.label, g.n_members) for g in found.groups] == [
            ("Latin", 30), ("Greek", 12), ("2 smaller groups together", 7)
        ]  # fmt: skip
        assert [g.auc.n_non_members for g in found.groups] == [30, 12, 7]
        assert found.groups[1].auc.value > 0.95 > 0.8 > found.groups[0].auc.value
        assert found.pooled == ("Thai", "Hebrew")
        assert found.p_value < 0.01
        assert all(b.by != "script" for b in assess(scores, is_member, scripts=["Latin"] * 98).result.breakdowns)

    def test_rarity_is_correlated_among_members_with_bits(self):
        is_member = np.arange(60) < 40
        bits = np.where(np.arange(60) < 20, np.arange(60.0), -1.0)  # 19 members have bits
        found = assess(bits, is_member, signed_bits=bits, rarity=np.arange(60.0) ** 2).result.rarity_correlation
        assert (found.value, found.n_members) == (pytest.approx(1), 19)
        assert assess(bits, is_member, rarity=bits).result.rarity_correlation is None
        few = assess(-bits, is_member, signed_bits=bits - 11, rarity=bits).result.rarity_correlation
        assert few.undefined_reason == "at least 10 independent members are needed, got 8"

    def test_without_non_members(self):
        scores = np.random.default_rng(1).normal(size=600)
        found = assess(scores, np.ones(600, dtype=bool), signed_bits=scores, rarity=np.abs(scores))
        assert found.result.undefined_reason == "there are no non-members"
        assert (found.posterior, found.result.members_above, found.result.calibration) == (None, None, None)
        assert all(tail.mean_bits.value > 0 for tail in found.result.tails)
        length = groups_of(found, "length").groups[0]
        assert length.auc.undefined_reason == "there are no non-members"
        assert length.mean_bits.value is not None

    def test_without_bits_there_is_no_tail(self):
        found = assess(*draw(50))
        assert found.result.tails == ()
        assert all(g.mean_bits is None for b in found.result.breakdowns for g in b.groups)

    @pytest.mark.parametrize("n", [1, 6, 12, 60])
    def test_constant_and_few_scores_give_no_nan(self, n):
        scores, is_member = np.zeros(2 * n), np.arange(2 * n) < n
        found = assess(scores, is_member, signed_bits=scores, rarity=scores, units=["u"] * (2 * n))
        json.dumps(asdict(found.result), allow_nan=False)
