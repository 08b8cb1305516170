"""Overlap of the two sides: what is found, how it is judged, and which samples to drop."""

import numpy as np
import pytest

from auditor.documents.result import CheckResult
from auditor.soundness.overlap import Overlap, check_overlap, find_overlap, near_duplicate_groups


def text(seed: int, *, change: int | None = None, n_words: int = 60) -> str:
    drawn = [f"w{number}" for number in np.random.default_rng(seed).integers(0, 10**6, n_words)]
    if change is not None:
        drawn[change] = f"changed{change}"
    return " ".join(drawn)


def judged(members: list[str], others: list[str]) -> dict[str, CheckResult]:
    overlap, is_member, ids = prepared(members, others)
    return {check.name: check for check in check_overlap(overlap, is_member, ids)}


def prepared(members: list[str], others: list[str]) -> tuple[Overlap, np.ndarray, list[str]]:
    texts = members + others
    is_member = np.arange(len(texts)) < len(members)
    ids = [f"m{i}" for i in range(len(members))] + [f"n{i}" for i in range(len(others))]
    return find_overlap(texts, is_member, texts), is_member, ids


def test_nothing_in_common_passes_everywhere() -> None:
    checks = judged([text(i) for i in range(30)], [text(100 + i) for i in range(30)])
    assert {name: (check.verdict, check.figure, check.sample_ids) for name, check in checks.items()} == {
        "near_duplicates": ("pass", 0.0, ()),
        "ngram_overlap": ("pass", 0.0, ()),
        "near_duplicates_within": ("pass", 0.0, ()),
    }
    assert all(check.remedy is None for check in checks.values())


@pytest.mark.parametrize(("n_others", "verdict"), [(100, "warn"), (99, "veto")])
def test_one_per_cent_of_non_members_may_be_touched(n_others: int, verdict: str) -> None:
    others = [text(1000 + i) for i in range(n_others - 1)] + [text(3, change=5)]
    check = judged([text(i) for i in range(50)], others)["near_duplicates"]
    assert check.verdict == verdict
    assert check.figure == 1 / n_others
    assert check.sample_ids == (f"n{n_others - 1}",)
    assert check.remedy is not None
    assert "--drop-ids" in check.remedy


def test_dropping_what_it_names_makes_it_pass() -> None:
    members = [text(i) for i in range(40)]
    others = [text(i, change=3 * i) for i in range(10)] + [text(100 + i) for i in range(30)]
    check = judged(members, others)["near_duplicates"]
    assert check.verdict == "veto"
    kept = [one for i, one in enumerate(others) if f"n{i}" not in check.sample_ids]
    assert len(kept) == 30
    assert judged(members, kept)["near_duplicates"].verdict == "pass"


def test_members_are_named_where_most_non_members_would_go() -> None:
    members = [text(i) for i in range(40)]
    others = [text(0, change=i) for i in range(20)]  # all of them are near the first member
    check = judged(members, others)["near_duplicates"]
    assert check.sample_ids == ("m0",)
    assert check.remedy is not None
    assert "1 members" in check.remedy


def test_exact_copies_are_not_near_duplicates() -> None:
    checks = judged([text(0), text(0), text(1)], [text(2), text(2)])
    assert checks["near_duplicates_within"].verdict == "pass"
    both = judged([text(0)], [text(0)])  # which check_soundness vetoes
    assert both["near_duplicates"].figure == 0


def test_near_duplicates_of_copies_touch_every_copy() -> None:
    checks = judged([text(0)], [text(0, change=9), text(0, change=9), text(5)])
    assert checks["near_duplicates"].sample_ids == ("n0", "n1")


def test_near_duplicates_within_a_side_warn() -> None:
    check = judged([text(0), text(0, change=4), text(1)], [text(2)])["near_duplicates_within"]
    assert (check.verdict, check.figure, check.sample_ids) == ("warn", 2.0, ())


def test_members_alone_are_compared_within_only() -> None:
    assert list(judged([text(0), text(1)], [])) == ["near_duplicates_within"]


def test_non_members_made_of_passages_of_members() -> None:
    members = [text(i) for i in range(20)]
    stitched = " ".join(" ".join(text(i).split()[:50]) for i in range(4))  # 4 x 38 of 188 13-grams: .809
    checks = judged(members, [stitched, *(text(100 + i) for i in range(20))])
    assert checks["near_duplicates"].verdict == "pass"
    assert checks["ngram_overlap"].verdict == "veto"
    assert checks["ngram_overlap"].sample_ids == ("n0",)
    assert checks["ngram_overlap"].figure == pytest.approx(4 * 38 / 188 / 21)


def test_passages_in_common_warn_without_ids() -> None:
    members = [text(i) for i in range(20)]
    others = [" ".join(text(i).split()[:30] + text(50 + i).split()[:30]) for i in range(20)]  # 18 of 48
    check = judged(members, others)["ngram_overlap"]
    assert (check.verdict, check.sample_ids) == ("warn", ())
    assert check.figure == pytest.approx(18 / 48)


def test_short_texts_have_no_ngrams() -> None:
    some = judged([text(0)], [text(1), "short"])["ngram_overlap"]
    assert "1 have fewer than 13 words" in some.detail
    none = judged([text(0)], ["short"])["ngram_overlap"]
    assert (none.verdict, none.figure) == ("pass", None)


def test_details_never_show_text() -> None:
    for check in judged([text(0), text(0, change=2)], [text(0, change=4)]).values():
        assert not any(word in f"{check.detail} {check.remedy}" for word in text(0).split())


def test_groups_join_copies_near_duplicates_and_groups_of_the_data() -> None:
    members = [text(0), text(0, change=7), text(1), text(1), text(2), text(3)]
    others = [text(4), text(5), text(5, change=1)]
    overlap, _, _ = prepared(members, others)
    alone = near_duplicate_groups(overlap, [None] * 9)
    assert alone == ["text 0", "text 0", "text 2", "text 2", None, None, None, "text 6", "text 6"]
    given = ["a", None, None, "b", "b", "c", None, "c", "d"]
    joined = near_duplicate_groups(overlap, given)
    assert joined == ["a", "a", "b", "b", "b", "c", None, "c", "c"]


def test_no_groups_at_all() -> None:
    overlap, _, _ = prepared([text(0)], [text(1)])
    assert near_duplicate_groups(overlap, [None, None]) is None
