"""Rarity of a text's words, and how often the text stands among the members."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_copies", "text_rarity"]

N_HASHES = 2**22
WORD = r"(?u)\b\w+\b"


def text_rarity(blocks: Callable[[], Iterable[Sequence[str]]], is_member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean TF-IDF weight of the words of each text: high if its words stand in few texts.

    Parameters
    ----------
    blocks : callable
        Returns the texts in their order, a block at a time; called twice, so that no more than a block is held.
    is_member : ndarray of bool, shape (n_samples,)

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        ``mean over the words w of the text of ln((1 + N) / (1 + N_w))``, words counted as often as they occur and
        lower-cased; N texts in the corpus, N_w of them with the word. 0 for a text without words.

    Notes
    -----
    The corpus is the non-members, or all texts if there are none: repeated members would make their own words common.
    A text of the corpus is left out of its own counts; else non-members would have no word that the corpus lacks, and
    would look less rare than members for that alone. Words are hashed to 4 million numbers, so memory does not grow
    with the texts.

    References
    ----------
    .. [1] Morris et al., *How much do language models memorize?*, arXiv:2505.24832, sec. 4 (texts of rare words, by
       TF-IDF, are the most memorized). We take scikit-learn's smoothed document frequency, and its weight less 1.

    Examples
    --------
    >>> text_rarity(lambda: [["a b", "a a", "a c"]], np.array([True, False, False])).round(3).tolist()
    [0.549, 0.0, 0.347]
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(n_features=N_HASHES, norm=None, alternate_sign=False, token_pattern=WORD)
    in_corpus = ~is_member if not is_member.all() else np.ones_like(is_member)
    frequency, start = np.zeros(N_HASHES, dtype=np.int64), 0
    for block in blocks():
        counts = vectorizer.transform(block)[in_corpus[start : start + len(block)]]
        frequency += np.bincount(counts.indices, minlength=N_HASHES)
        start += len(block)
    n_texts, rarity, start = int(in_corpus.sum()), np.zeros(is_member.size), 0
    for block in blocks():
        counts = vectorizer.transform(block)
        row = np.repeat(np.arange(len(block)), np.diff(counts.indptr))
        own = in_corpus[start : start + len(block)].astype(np.int64)[row]
        weight = np.log((1 + n_texts - own) / (1 + frequency[counts.indices] - own))
        total, n_words = (
            np.bincount(row, weights=w, minlength=len(block)) for w in (counts.data * weight, counts.data)
        )
        rarity[start : start + len(block)] = total / np.maximum(n_words, 1)
        start += len(block)
    return rarity


def count_copies(
    text_keys: Sequence[Hashable], is_member: NDArray[np.bool_], given: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Count how often each text stands among the members; 0 for a non-member that is none.

    Parameters
    ----------
    text_keys : sequence, length n_samples
        Equal for equal texts.
    is_member : ndarray of bool, shape (n_samples,)
    given : ndarray of int64, shape (n_samples,), optional
        How many copies a row stands for, if the data say so; 1 each if None.

    Examples
    --------
    >>> count_copies(["x", "y", "x", "x"], np.array([True, True, True, False])).tolist()
    [2, 1, 2, 2]
    """
    copies: Counter[Hashable] = Counter()
    for index in np.flatnonzero(is_member).tolist():
        copies[text_keys[index]] += 1 if given is None else int(given[index])
    return np.array([copies[key] for key in text_keys], dtype=np.int64)
