"""Near-duplicates: pairs by hand and against brute force, and the share of a text that stands on the other side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.data import TextSpool
from auditor.data.near_duplicates import (
    MOST_CANDIDATES,
    NearDuplicates,
    lsh_recall,
    near_duplicate_pairs,
    ngram_share,
)


def words(n: int, *, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"w{number}" for number in rng.integers(0, 10**6, n)]


def changed(text: list[str], place: int, word: str = "other") -> list[str]:
    return [*text[:place], word, *text[place + 1 :]]


def brute_jaccard(a: str, b: str) -> float:
    """The definition, with sets of strings; None of the two kinds' shingles are ever equal."""

    def shingles(text: str) -> set[object]:
        tokens = text.lower().split()
        if len(tokens) < 10 or sum(map(len, tokens)) / len(tokens) >= 20:
            joined = " ".join(tokens)
            return {joined[i : i + 5] for i in range(max(len(joined) - 4, 1))}
        return {tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)}

    one, other = shingles(a), shingles(b)
    return len(one & other) / len(one | other)


def found(texts: list[str], **options: float) -> dict[tuple[int, int], float]:
    pairs = near_duplicate_pairs(texts, **options)
    return {(int(i), int(j)): float(s) for i, j, s in zip(pairs.first, pairs.second, pairs.jaccard, strict=True)}


def test_one_changed_word_of_fifty_is_just_a_near_duplicate() -> None:
    base = words(49)  # 45 shingles, of which a change in the middle takes 5: 40 of 50 are shared
    texts = [" ".join(base), " ".join(words(49, seed=1)), " ".join(changed(base, 20))]
    assert found(texts) == {(0, 2): 0.8}
    assert found(texts, threshold=0.81) == {}


def test_case_and_white_space_do_not_count() -> None:
    base = words(30)
    assert found([" ".join(base), "\n ".join(base).upper() + "\t"]) == {(0, 1): 1.0}


def test_short_texts_are_compared_by_characters() -> None:
    texts = [
        "the quick brown fox jumps over it.",
        "the quick brown fox jumps over it",
        "something else entirely",
        "it",
        "IT ",
        "a",
    ]
    assert found(texts) == {(0, 1): pytest.approx(29 / 30), (3, 4): 1.0}


def test_texts_without_spaces_are_compared_by_characters() -> None:
    clause = "".join(chr(0x4E00 + int(i)) for i in np.random.default_rng(0).integers(0, 5000, 300))
    spaced = " ".join(clause[i : i + 25] for i in range(0, 300, 25))  # twelve "words", none of which is one
    assert list(found([spaced, spaced[:100] + "啊" + spaced[101:]])) == [(0, 1)]


def test_white_space_alone() -> None:
    assert found([" ", "\n\n", "a"]) == {(0, 1): 1.0}


def test_agrees_with_all_pairs_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    texts: list[str] = []
    for family in range(25):
        base = words(int(rng.integers(3, 80)), seed=family)
        for _ in range(4):
            copy = list(base)
            for _ in range(int(rng.integers(0, 3))):
                copy[int(rng.integers(0, len(copy)))] = f"x{rng.integers(0, 1000)}"
            texts.append(" ".join(copy))
    wanted = {
        (i, j): similarity
        for j in range(len(texts))
        for i in range(j)
        if (similarity := brute_jaccard(texts[i], texts[j])) >= 0.6
    }
    assert len(wanted) > 30
    assert found(texts, threshold=0.6) == wanted  # a recall of .999 and more: none is missed here


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="ab cß\n\U0001f600", min_size=1, max_size=40), max_size=8))
def test_no_pair_is_false(texts: list[str]) -> None:
    for (i, j), similarity in found(texts).items():
        assert i < j
        assert similarity == brute_jaccard(texts[i], texts[j]) >= 0.8


def test_a_spool_gives_what_a_list_gives_and_every_run_the_same() -> None:
    base = words(60)
    texts = [" ".join(changed(base, i)) for i in range(10)]
    pairs = near_duplicate_pairs(TextSpool(texts), threshold=0.5)
    assert {(int(i), int(j)) for i, j in zip(pairs.first, pairs.second, strict=True)} == set(
        found(texts, threshold=0.5)
    )
    assert pairs.n_unchecked == 0


def test_recall_is_that_of_the_bands() -> None:
    """Of pairs with a similarity of one half, searched for at 0.8, as many are found as the S-curve says."""
    from auditor.data.near_duplicates import _candidates

    n, base_words = 300, 17  # 13 shingles; a change at the edge of 4 takes 4 of them: 9 of 17 are shared
    texts = []
    for i in range(n):
        base = words(base_words, seed=i)
        texts += [" ".join(base), " ".join(changed(base, 3))]
    assert brute_jaccard(texts[0], texts[1]) == pytest.approx(9 / 17)
    n_found = sum(2 * i in candidates for i, (candidates, _) in enumerate(list(_candidates(texts, 0.8, 1))[1::2]))
    expected = lsh_recall(9 / 17)
    assert 0.5 < expected < 0.9
    assert abs(n_found / n - expected) < 4 * (expected * (1 - expected) / n) ** 0.5


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8, 0.9, 1.0])
def test_recall_at_the_threshold(threshold: float) -> None:
    least = 0.999 if threshold >= 0.3 else 0.99
    assert lsh_recall(threshold, threshold=threshold) >= least


def test_a_large_family_is_one_cluster_and_what_was_not_compared_is_counted() -> None:
    base = words(200)
    n = MOST_CANDIDATES + 20
    pairs = near_duplicate_pairs([" ".join([*base, f"end{i}"]) for i in range(n)])
    assert pairs.first.size + pairs.n_unchecked == n * (n - 1) // 2
    assert pairs.n_unchecked == sum(range(20))
    assert pairs.clusters().tolist() == [0] * n


def test_clusters_are_connected_components_in_the_order_of_the_texts() -> None:
    pairs = NearDuplicates(
        n_texts=6, threshold=0.8, first=np.array([1, 2]), second=np.array([4, 4]), jaccard=np.ones(2), n_unchecked=0
    )
    assert pairs.clusters().tolist() == [0, 1, 1, 2, 1, 3]


@pytest.mark.parametrize("texts", [[], ["one text"]])
def test_too_few_texts_for_a_pair(texts: list[str]) -> None:
    pairs = near_duplicate_pairs(texts)
    assert pairs.first.size == 0
    assert pairs.clusters().tolist() == list(range(len(texts)))


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        near_duplicate_pairs(["a"], threshold=threshold)


def test_ngram_share_by_hand() -> None:
    texts = ["a b c d e", "B  c D x", "x y z", "d e"]
    is_member = np.array([True, False, False, False])
    share = ngram_share(texts, is_member, n=3)  # "b c d" is known, "c d x" is not; "d e" has none
    np.testing.assert_array_equal(share, [0.5, 0.0, np.nan])


def test_ngram_share_counts_every_occurrence_and_crosses_no_text() -> None:
    texts = ["a a", "b b", "a a a b b a", "a b"]
    share = ngram_share(texts, np.array([True, True, False, False]), n=2)
    np.testing.assert_array_equal(share, [3 / 5, 0.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(alphabet="ab ", max_size=25), st.booleans()), max_size=10))
def test_ngram_share_is_what_sets_say(samples: list[tuple[str, bool]]) -> None:
    def grams(text: str) -> list[tuple[str, ...]]:
        tokens = text.split()
        return [tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)]

    known = {gram for text, member in samples if member for gram in grams(text)}
    wanted = [
        np.mean([gram in known for gram in grams(text)]) if grams(text) else np.nan
        for text, member in samples
        if not member
    ]
    share = ngram_share([text for text, _ in samples], np.array([m for _, m in samples], dtype=bool), n=3)
    np.testing.assert_array_equal(share, wanted)


def test_ngram_share_without_non_members_or_members() -> None:
    assert ngram_share(["a b"], np.array([True]), n=1).size == 0
    assert ngram_share(["a b"], np.array([False]), n=1).tolist() == [0.0]
