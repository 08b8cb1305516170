"""Near-duplicates: texts that are nearly the same, and how much of a text stands in those of the other side.

A near-duplicate is a text whose set of shingles has a Jaccard similarity of at most one and at least a threshold with
that of another. Shingles are five consecutive words of the lower-cased text, split at white space. A text of fewer than
ten words, or of words of 20 characters and more on average (a language written without spaces, source data), has
shingles of five consecutive characters instead, single spaces between its words; a text shorter than that is one
shingle. The two kinds are not compared with each other.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .lazy_texts import LazyTexts

__all__ = ["MANY_TEXTS", "ChosenTexts", "NearDuplicates", "lsh_recall", "near_duplicate_pairs", "ngram_share"]

Ids = NDArray[np.int64]
Hashes = NDArray[np.uint64]

SHINGLE = 5
FEWEST_WORDS = 10
LONGEST_WORDS = 20
"""Mean characters of a word from which white space is not what separates words."""

PERMUTATIONS = 64
LEAST_RECALL = 0.999
MOST_CANDIDATES = 200
"""Earlier texts that one text is compared with; more are likely a template, and are counted as unchecked."""

MANY_TEXTS = 200_000
"""Texts from which the search takes half a minute and a gigabyte, or more."""

_BLOCK_TEXTS = 1000
_CACHED_TEXTS = 4096
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word of an n-gram is lost
_WORD = re.compile(r"\w+")
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class ChosenTexts(LazyTexts):
    """Some of the texts of a sequence, read when they are asked for."""

    def __init__(self, texts: Sequence[str], places: Ids) -> None:
        self._texts, self._places = texts, places

    def __len__(self) -> int:
        return len(self._places)

    def text(self, index: int) -> str:
        """Read the text at a place among the chosen ones."""
        return self._texts[int(self._places[index])]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """Pairs of texts that are nearly the same.

    Parameters
    ----------
    n_texts : int
    threshold : float
        Least Jaccard similarity of a pair.
    first, second : ndarray of int64, shape (n_pairs,)
        Places of the texts, ``first < second``, in order.
    jaccard : ndarray of float64, shape (n_pairs,)
    n_unchecked : int
        Candidate pairs that were not compared, because a text had more than ``MOST_CANDIDATES`` of them.
    """

    n_texts: int
    threshold: float
    first: Ids
    second: Ids
    jaccard: NDArray[np.float64]
    n_unchecked: int

    def clusters(self) -> Ids:
        """Give each text the number of its connected component, from 0 in the order of their first texts."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = coo_array(
            (np.ones(self.first.size, dtype=np.int8), (self.first, self.second)), shape=(self.n_texts, self.n_texts)
        )
        labels = connected_components(links, directed=False)[1]
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def near_duplicate_pairs(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 1) -> NearDuplicates:
    """Find the pairs of texts whose shingles have a Jaccard similarity of at least a threshold.

    Parameters
    ----------
    texts : sequence of str
        Read one at a time and not kept: memory is about 0.5 kB a text. Leave out exact copies beforehand.
    threshold : float, in (0, 1]
        0.8 is one changed word in a text of about 50.
    seed : int
        Of the permutations. The pairs depend on it only through the recall.

    Returns
    -------
    NearDuplicates
        No pair is false, up to collisions of 64-bit hashes (below 1e-9 for two texts of 10,000 shingles):
        candidates are compared on their exact sets. A pair at the threshold is found with the probability that
        `lsh_recall` gives, at least 0.999, and a closer one more surely.

    Raises
    ------
    ValueError
        For a threshold outside (0, 1].

    Notes
    -----
    Texts of 300 bytes took 0.4 s for 1,000, 1 s for 10,000 and 11 s for 100,000 of them on one thread. A
    large family of near-duplicates takes longer, 3 s for 2,000, although each is compared with its ``MOST_CANDIDATES``
    likeliest only.

    References
    ----------
    .. [1] Broder, *On the resemblance and containment of documents*, 1997 (shingles, MinHash).
    .. [2] Lee et al., *Deduplicating training data makes language models better*, ACL 2022, arXiv:2107.06499, app. A
       (MinHash with bands, verified, connected components as clusters; their threshold is 0.8 as well).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    shingles = lru_cache(_CACHED_TEXTS)(lambda place: _shingles(texts[place]))
    first, second, jaccard = [], [], []
    n_unchecked = 0
    for place, (candidates, n_left_out) in enumerate(_candidates(texts, threshold, seed)):
        n_unchecked += n_left_out
        for earlier in candidates:
            similarity = _jaccard(shingles(earlier), shingles(place))
            if similarity >= threshold:
                first.append(earlier)
                second.append(place)
                jaccard.append(similarity)
    order = np.lexsort((second, first))
    return NearDuplicates(
        n_texts=len(texts),
        threshold=threshold,
        first=np.array(first, dtype=np.int64)[order],
        second=np.array(second, dtype=np.int64)[order],
        jaccard=np.array(jaccard, dtype=np.float64)[order],
        n_unchecked=n_unchecked,
    )


def lsh_recall(jaccard: float, *, threshold: float = 0.8) -> float:
    """Probability that a pair of this similarity is compared at all: ``1 - (1 - jaccard ** rows) ** bands``.

    Examples
    --------
    >>> round(lsh_recall(0.8), 4), round(lsh_recall(0.9), 4)
    (0.9998, 1.0)
    """
    bands, rows = _bands(threshold)
    return float(1 - (1 - jaccard**rows) ** bands)


def ngram_share(texts: Sequence[str], is_member: NDArray[np.bool_], *, n: int = 13) -> NDArray[np.float64]:
    """Share of the word n-grams of each non-member that some member has too.

    Parameters
    ----------
    texts : sequence of str
        Read one at a time; memory is 8 bytes an n-gram of the members.
    is_member : ndarray of bool, shape (n_texts,)
    n : int
        Consecutive words, lower-cased, split at white space.

    Returns
    -------
    ndarray of float64, shape (n_non_members,)
        In the order of the non-members; every occurrence of an n-gram counts. NaN for a text of fewer than n words,
        which has none.

    Notes
    -----
    n-grams are compared by 64-bit hashes: that one of N n-grams is taken for one of M others has a probability of about
    ``N * M / 2**64``, 5e-8 for a million each.

    References
    ----------
    .. [1] Duan et al., *Do membership inference attacks work on large language models?*, COLM 2024, arXiv:2402.07841,
       sec. 4.2 (n-gram overlap of a non-member with the training set). We see the audited members only, not the
       whole training set: the share is a lower bound of theirs.
    """
    sides = (np.flatnonzero(is_member), np.flatnonzero(~is_member))
    members, others = ((_ngrams(_word_hashes(_words(texts[int(i)])), n) for i in side) for side in sides)
    known = np.unique(np.concatenate([*members, np.empty(0, dtype=np.uint64)]))
    return np.array([_known_share(grams, known) for grams in others], dtype=np.float64)


def _candidates(texts: Sequence[str], threshold: float, seed: int) -> Iterator[tuple[list[int], int]]:
    """Yield, for each text, the likeliest earlier texts that share a band with it, and how many were left out."""
    signatures = _signatures(texts, seed)
    for place, found in enumerate(_earlier_in_bands(signatures, *_bands(threshold))):
        if len(found) > MOST_CANDIDATES:
            alike = (signatures[found] == signatures[place]).sum(axis=1)
            likeliest = np.argsort(-alike, kind="stable")[:MOST_CANDIDATES]
            yield np.sort(found[likeliest]).tolist(), len(found) - MOST_CANDIDATES
        else:
            yield found.tolist(), 0


def _signatures(texts: Sequence[str], seed: int) -> NDArray[np.uint32]:
    """Make the MinHash signature of each text, shape (n_texts, PERMUTATIONS)."""
    from datasketch import MinHash

    signatures = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(texts), _BLOCK_TEXTS):
        block = [_shingles(text) for text in texts[start : start + _BLOCK_TEXTS]]
        # 32 bits are enough for candidates, and all that every version of datasketch takes
        halves = ((shingles >> np.uint64(32)).tolist() for shingles in block)
        hashed = MinHash.generator(halves, num_perm=PERMUTATIONS, seed=seed, hashfunc=int)
        for place, signature in enumerate(hashed, start):
            signatures[place] = signature.hashvalues
    return signatures


def _earlier_in_bands(signatures: NDArray[np.uint32], n_bands: int, n_rows: int) -> Iterator[Ids]:
    """Yield, for each signature, the places of the earlier ones that have all rows of some band in common with it.

    A band is sorted, so that equal ones lie beside each other in the order of their places: memory is a few numbers a
    text and band, where a table of their hashes takes kilobytes.
    """
    n = len(signatures)
    members, places, spans = [], [], []
    for band in range(n_bands):
        rows = signatures[:, band * n_rows : (band + 1) * n_rows]
        order = np.lexsort(rows.T).astype(np.int32)
        rows = rows[order]
        later = 1 + np.flatnonzero((rows[1:] == rows[:-1]).all(axis=1))  # those like the one before them
        firsts = np.arange(n)
        firsts[later] = 0
        firsts = np.maximum.accumulate(firsts)
        members.append(order)
        places.append(order[later])
        spans.append(np.column_stack([firsts[later], later]) + band * n)
    every, place, span = np.concatenate(members), np.concatenate(places), np.concatenate(spans)
    by_place = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[by_place], np.arange(n + 1)).tolist()
    for start, stop in pairwise(bounds):
        found = [every[first:last] for first, last in span[by_place[start:stop]].tolist()]
        yield np.unique(np.concatenate([*found, every[:0]])).astype(np.int64)


def _bands(threshold: float) -> tuple[int, int]:
    """Bands and rows: the fewest bands, hence the fewest candidates, with the recall asked for at the threshold."""
    for rows in range(PERMUTATIONS // 4, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= LEAST_RECALL:
            return bands, rows
    return PERMUTATIONS, 1


def _shingles(text: str) -> Hashes:
    """Hash the shingles of a text: sorted, each once, at least one."""
    words = _words(text)
    if len(words) < FEWEST_WORDS or sum(map(len, words)) >= LONGEST_WORDS * len(words):
        units = _mixed(
            np.frombuffer(" ".join(text.lower().split()).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64) + _STEP
        )
    else:
        units = _word_hashes(words)
    if not units.size:
        return np.zeros(1, dtype=np.uint64)  # white space alone
    return np.unique(_ngrams(units, min(SHINGLE, units.size)))


def _words(text: str) -> list[str]:
    """Cut a text into words, without case and punctuation."""
    return _WORD.findall(text.lower())


def _word_hashes(words: Sequence[str]) -> Hashes:
    """Hash words to 64 bits, the same in every process."""
    return np.frombuffer(b"".join(map(_digest, words)), dtype="<u8").astype(np.uint64)


@lru_cache(2**16)
def _digest(word: str) -> bytes:
    """Hash one word; most that a text holds stand in others, too."""
    return blake2b(word.encode(), digest_size=8).digest()


def _ngrams(units: Hashes, n: int) -> Hashes:
    """Hash every n consecutive hashes into one; none if there are fewer."""
    n_grams = max(units.size - n + 1, 0)
    total = np.zeros(n_grams, dtype=np.uint64)
    for i in range(n if n_grams else 0):
        total = total * _STEP + units[i : i + n_grams]
    return _mixed(total)


def _mixed(values: Hashes) -> Hashes:
    """Spread 64 bits over all of them, one to one (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def _known_share(grams: Hashes, known: Hashes) -> float:
    """Share of hashes that are among sorted ones."""
    if not grams.size or not known.size:
        return 0.0 if grams.size else np.nan
    places = np.searchsorted(known, grams)
    return float(np.mean(known[np.minimum(places, known.size - 1)] == grams))


def _jaccard(a: Hashes, b: Hashes) -> float:
    """Similarity of two sorted sets."""
    shared = int(np.intersect1d(a, b, assume_unique=True).size)
    return shared / (a.size + b.size - shared)
