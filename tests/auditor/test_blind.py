"""The blind baseline: honest splits pass, planted looks are found and named, and nothing of a text comes out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auditor.soundness import blind as module
from auditor.soundness.blind import BLIND_VETO_AUC, BlindBaseline, blind_baseline, blind_check
from auditor.soundness.text_features import FAMILIES

WORDS = [a + b for a in ("ka", "mo", "ri", "tes", "lun", "por") for b in ("da", "ni", "vel", "sor", "gum", "tip")]


def texts(n: int, seed: int, extra: str = "") -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(8, 20))) + extra for _ in range(n)]


def halves(n: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(2 * n) < n


def test_an_honest_split_passes() -> None:
    found = blind_baseline(texts(120, 0), halves(60), None, seed=0)
    assert found.null_low is not None
    assert found.null_high is not None
    assert found.null_low < 0.5 < found.null_high
    assert blind_check(found).verdict == "pass"


@pytest.mark.slow
def test_the_permutation_test_keeps_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Honest splits in clusters of one to three: p-values are no smaller than they should be."""
    monkeypatch.setattr(module, "N_PERMUTATIONS", 99)
    small = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(70), rng.integers(1, 4, 70))
        topics = texts(70, seed)
        looks = [topics[c] + " " + text for c, text in zip(cluster, texts(cluster.size, seed + 1000), strict=True)]
        member = rng.permutation(np.arange(70) < 35)[cluster]
        found = blind_baseline(looks, member, [str(c) for c in cluster], seed=seed)
        assert found.p_value is not None
        small += found.p_value <= 0.1
    assert 5 <= small <= 26  # 15 expected


@pytest.mark.parametrize(
    ("mark", "family"), [(" 1987", "form"), ("\n", "form"), (" kadamoni", "words"), (" zzq.", "characters")]
)
def test_planted_looks_are_vetoed(mark: str, family: str) -> None:
    members = [text + mark for text in texts(60, 0)]
    found = blind_baseline(members + texts(60, 1), halves(60), None, seed=0)
    check = blind_check(found)
    assert check.verdict == "veto"
    assert found.families[family] > 0.8
    assert check.remedy is not None
    assert "auditor split" in check.remedy
    assert "kadamoni" not in check.detail
    assert FAMILIES[found.strongest] in check.detail
    assert check.sample_ids == ()


def test_lengths_of_another_spread_are_found() -> None:
    """All members are of one length: no different in the mean, but no split of one pool looks like it."""
    rng = np.random.default_rng(0)
    members = [" ".join(rng.choice(WORDS, 14)) for _ in range(80)]
    others = [" ".join(rng.choice(WORDS, rng.integers(4, 25))) for _ in range(80)]
    assert blind_baseline(members + others, halves(80), None, seed=0).families["length"] > 0.75


def test_the_auc_is_that_of_the_score() -> None:
    found = blind_baseline(texts(60, 0, " one") + texts(60, 1), halves(60), None, seed=3)
    assert found.score is not None
    assert found.auc == pytest.approx(roc_auc_score(halves(60), found.score))
    again = blind_baseline(texts(60, 0, " one") + texts(60, 1), halves(60), None, seed=3)
    assert np.array_equal(found.score, again.score if again.score is not None else [])


def test_copies_do_not_leak_between_folds() -> None:
    """Every text stands three times on its side: without clusters a classifier knows the copies by heart."""
    thrice = [text for text in texts(80, 0) for _ in range(3)]
    copies = [str(i // 3) for i in range(240)]
    leaky = blind_baseline(thrice, halves(120), None, seed=0)
    honest = blind_baseline(thrice, halves(120), copies, seed=0)
    assert blind_check(leaky).verdict == "veto"
    assert blind_check(honest).verdict == "pass"


def test_permuted_labels_keep_folds_and_clusters() -> None:
    rng = np.random.default_rng(0)
    cluster = np.concatenate([np.arange(60), np.repeat(np.arange(60, 80), 2), np.repeat(np.arange(80, 90), 2)])
    labels = np.concatenate([np.arange(60) % 2, np.repeat(np.arange(20) % 2, 2), np.tile([0, 1], 10)]).astype(bool)
    fold = cluster % 5
    permuted = module._Units.of(labels, cluster, fold).permuted(labels, 499, rng)
    singles, pure, mixed = np.arange(60), np.arange(60, 100), np.arange(100, 120)
    for part in (singles, pure):
        for k in range(5):
            here = part[fold[part] == k]
            assert (permuted[here].sum(axis=0) == labels[here].sum()).all()
    assert (permuted[pure[::2]] == permuted[pure[1::2]]).all()
    assert (permuted[mixed[::2]] != permuted[mixed[1::2]]).all()
    assert permuted.mean(axis=1).min() > 0.3
    assert permuted.mean(axis=1).max() < 0.7


def test_planted_splits_differ_by_the_share_that_is_planted() -> None:
    rng = np.random.default_rng(0)
    cluster = np.concatenate([np.arange(800), np.repeat(np.arange(800, 1000), 2)])  # alone, and in pairs
    labels, kind = rng.random(1000)[cluster] < 0.5, rng.random(1000)[cluster] < 0.5
    units = module._Units.of(labels, cluster, cluster % 5)
    honest = units.permuted(labels, module.PLANTED.size * module.N_PLANTED, rng)
    planted = units.planted(honest, kind, rng)
    assert (planted[800::2] == planted[801::2]).all()  # clusters stay whole
    assert (planted.sum(axis=0) == honest.sum(axis=0)).all()  # as many members
    share = np.array([kind[column].mean() - kind[~column].mean() for column in planted.T])
    means = share.reshape(module.PLANTED.size, -1).mean(axis=1)
    assert means[:14] == pytest.approx(module.PLANTED[:14], abs=0.04)
    assert means[-1] > 0.8  # all that there are of one kind


def test_the_smallest_share_that_is_found_often_enough() -> None:
    never = np.zeros((module.PLANTED.size, module.N_PLANTED), dtype=bool)
    assert module._detectable(never.ravel()) is None
    from_a_quarter = never.copy()
    from_a_quarter[4:, :17] = True  # 17 of 20
    assert module._detectable(from_a_quarter.ravel()) == pytest.approx(0.25)
    from_a_quarter[5:, 14:] = False  # more of it is found less often, by chance: 16.9 - 2.8 of 20
    assert module._detectable(from_a_quarter.ravel()) is None


def two_sources(n: int, share: float, seed: int) -> list[str]:
    """Texts of two sources with other words, a share of them of the second."""
    rng = np.random.default_rng(seed)
    words = np.array(WORDS)
    return [" ".join(rng.choice(words[18:] if rng.random() < share else words[:18], 12)) for _ in range(n)]


def test_more_texts_show_smaller_shares_of_foreign_ones() -> None:
    few, many = (blind_baseline(two_sources(2 * n, 0.5, 0), halves(n), None, seed=0) for n in (30, 150))
    assert few.detectable_share is not None
    assert many.detectable_share is not None
    assert many.detectable_share < few.detectable_share
    check = blind_check(many)
    assert check.detectable_share == many.detectable_share
    assert f"show {many.detectable_share:.0%} of foreign texts among the members in 80%" in check.detail
    vetoed = blind_check(replace(many, p_value=0.002, auc=0.9))
    assert "foreign" not in vetoed.detail
    assert "show no share of foreign texts" in blind_check(replace(many, detectable_share=None)).detail


@pytest.mark.slow
def test_what_is_said_to_be_found_is_found() -> None:
    """Texts of another source, really planted: found in about 80% of splits at the share that is named."""
    share = blind_baseline(two_sources(200, 0.5, 0), halves(100), None, seed=0).detectable_share
    assert share is not None
    found = 0
    for seed in range(40):
        rest = (1 - share) / 2  # the same texts, half and half, but for the share by which the sides differ
        sides = two_sources(100, rest + share, 10 + seed) + two_sources(100, rest, 1000 + seed)
        found += blind_check(blind_baseline(sides, halves(100), None, seed=seed)).verdict != "pass"
    assert found >= 24  # of 40; 32 expected


class Lazy(Sequence[str]):
    """Texts that are handed out one at a time."""

    def __init__(self, values: list[str]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        return self.values[place]


def test_many_texts_are_all_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIT_TEXTS", 120)
    member = np.arange(400) < 60
    found = blind_baseline(Lazy(texts(60, 0, " 1987") + texts(340, 1)), member, None, seed=0)
    assert found.n_fitted <= 120
    assert found.score is not None
    assert np.isfinite(found.score).all()
    assert roc_auc_score(member, found.score) > 0.95
    assert f"from {found.n_fitted} of 400 texts" in blind_check(found).detail


@pytest.mark.parametrize(("n", "groups"), [(19, None), (60, [str(i // 6) for i in range(120)])])
def test_few_clusters_are_undefined(n: int, groups: list[str] | None) -> None:
    found = blind_baseline(texts(2 * n, 0), halves(n), groups, seed=0)
    assert found.auc is None
    assert found.score is None
    check = blind_check(found)
    assert check.verdict == "warn"
    assert check.figure is None
    assert "at least 20 different texts or groups a side" in check.detail


def test_odd_texts() -> None:
    """Empty, blank, without words, and of other scripts: every score is a number."""
    odd = ["", " ", "\n\t\r", "...", "中文 字符", "\U0001f600", "1999 2000 99999", "a" * 30_000]
    found = blind_baseline(odd * 8, halves(32), None, seed=0)
    assert found.score is not None
    assert np.isfinite(found.score).all()


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one label a text"):
        blind_baseline(["a"], halves(20), None, seed=0)


BASE = BlindBaseline(
    score=np.zeros(4),
    auc=0.62,
    p_value=0.004,
    null_low=0.45,
    null_high=0.55,
    n_permutations=499,
    families={"words": 0.6, "characters": 0.55, "length": 0.5, "form": 0.5},
    n_members=2,
    n_non_members=2,
    n_fitted=4,
)


@pytest.mark.parametrize(
    ("auc", "p_value", "verdict"),
    [(0.62, 0.01, "veto"), (BLIND_VETO_AUC - 0.01, 0.002, "warn"), (0.62, 0.012, "pass"), (0.3, 1.0, "pass")],
)
def test_verdict(auc: float, p_value: float, verdict: str) -> None:
    check = blind_check(replace(BASE, auc=auc, p_value=p_value))
    assert (check.name, check.verdict, check.figure) == ("blind_baseline", verdict, auc)
    assert ("near-copies lie on opposite sides" in check.detail) == (auc < 0.45)
    assert "words and pairs of words, AUC 0.600" in check.detail
    assert "at the 1% level: AUC" in check.detail
    assert (check.remedy is None) == (verdict == "pass")
