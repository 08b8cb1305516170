"""Features of a text: counts and measures of each by itself; nothing is learned."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from ..stats.clusters import Ids

__all__ = ["FAMILIES", "HASHED", "READ_CHARACTERS", "Features", "count_runs", "features_of", "in_blocks"]

READ_CHARACTERS = 20_000
"""Characters of a text whose n-grams are counted."""
_HASH_BITS = 18
N_HASHES = 2**_HASH_BITS
_STEP = np.uint32(0x9E3779B1)  # odd, so that no character of a run is lost
_BLOCK = 512

Features = dict[str, Any]
"""Rows of each family: sparse counts of n-grams, or dense measures."""

FAMILIES: Mapping[str, str] = {
    "words": "words and pairs of words",
    "characters": "runs of 2-5 characters",
    "length": "length in bytes, words and lines",
    "form": "digits, years, capitals, punctuation and white space",
}
"""Families of features, in words for the reader."""

HASHED = frozenset({"words", "characters"})
"""Families whose features are counts of n-grams, each under its hash."""

_RUNS = range(2, 6)


def features_of(texts: Sequence[str], places: Ids) -> Features:
    """Count what each family looks at, in the texts at these places.

    Parameters
    ----------
    texts : sequence of str
        Read a block at a time.
    places : ndarray of int64, shape (n_rows,)

    Returns
    -------
    Features
        By family, ``n_rows`` rows each.
    """
    parts = [_block_features([texts[int(place)] for place in block]) for block in in_blocks(places)]
    stack = {name: scipy.sparse.vstack if name in HASHED else np.vstack for name in FAMILIES}
    return {name: stack[name]([part[name] for part in parts]) for name in FAMILIES}


def in_blocks(places: Ids) -> Iterator[Ids]:
    """Cut places into blocks that are read at a time."""
    for start in range(0, places.size, _BLOCK):
        yield places[start : start + _BLOCK]


def _block_features(texts: Sequence[str]) -> Features:
    beginnings = [text[:READ_CHARACTERS] for text in texts]
    plain = [_plain(text) for text in texts]
    return {
        "words": _count_words(beginnings),
        "characters": count_runs(beginnings),
        "length": np.array([length for length, _ in plain]),
        "form": np.array([form for _, form in plain]),
    }


def _count_words(texts: Sequence[str]) -> Any:
    """Count words and pairs of them, shape (n_texts, N_HASHES)."""
    from sklearn.feature_extraction.text import HashingVectorizer

    counting = HashingVectorizer(
        ngram_range=(1, 2), n_features=N_HASHES, alternate_sign=False, norm=None, dtype=np.float32
    )
    return counting.transform(texts)


def count_runs(texts: Sequence[str]) -> Any:
    """Count the runs of 2-5 characters inside the words of each text, a space standing at both ends of a word.

    Parameters
    ----------
    texts : sequence of str

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (n_texts, N_HASHES)
        Runs as scikit-learn's ``char_wb`` has them, a word shorter than a run counting once; two runs may share a hash.
    """
    words = [" ".join(text.split()) for text in texts]
    lengths = np.array([len(one) + 1 for one in words])  # with the space before it, which ends the text before, too
    codes = np.frombuffer((" " + " ".join(words) + " ").encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    place = np.arange(codes.size - 1)
    is_space = codes == ord(" ")
    spaces = np.flatnonzero(is_space)
    word_end = spaces[np.cumsum(is_space)[:-1]]  # the next space after each place
    starts = ~(is_space[:-1] & is_space[1:])
    row = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths) * np.uint64(N_HASHES)
    run, keys = codes[:-1] * _STEP, []
    for n in _RUNS:
        whole = starts & (place + n - 1 <= word_end)
        place, word_end, starts, row, run = (one[whole] for one in (place, word_end, starts, row, run))
        run = (run + codes[place + n - 1]) * _STEP
        keys.append(row + ((run ^ (run >> np.uint32(15))) * _STEP >> np.uint32(32 - _HASH_BITS)))
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    ends = np.searchsorted(found, np.arange(len(texts) + 1, dtype=np.uint64) * np.uint64(N_HASHES))
    columns = (found % np.uint64(N_HASHES)).astype(np.int32)
    return scipy.sparse.csr_matrix((counts.astype(np.float32), columns, ends), shape=(len(texts), N_HASHES))


_KINDS = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", ".,;:!?", "'\"()[]{}<>", "#$%&*+-/=@\\^_`|~", " ", "\n", "\t")
_KIND = np.full(129, len(_KINDS) + 1)
"""Kind of each ASCII character; the last entry stands for all others, the last kind for letters."""
for _number, _characters in enumerate(_KINDS):
    _KIND[[ord(_character) for _character in _characters]] = _number
_KIND[128] = len(_KINDS)
_YEAR = re.compile(r"(?<!\d)(?:19\d\d|20\d\d|2100)(?!\d)")


def _plain(text: str) -> tuple[list[float], list[float]]:
    """Lengths of a text, and its form: shares of kinds of characters, white space at its ends, and years."""
    code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = np.bincount(_KIND[np.minimum(code, 128)], minlength=len(_KINDS) + 2) / max(code.size, 1)
    n_words, n_lines = len(text.split()), text.count("\n") + 1
    years = [int(year) for year in _YEAR.findall(text)]
    length = [np.log1p(len(text.encode("utf-8", "surrogatepass"))), np.log1p(n_words), np.log(n_lines)]
    white = [text.count(mark) / max(code.size, 1) for mark in ("\r", "  ", " \n", "\n\n")]
    ends = [float(text[-1:].isspace()), float(text[:1].isspace()), float(text[-1:] in ".!?")]
    dates = [float(len(years)), *((min(years), max(years), sum(years) / len(years)) if years else (0.0, 0.0, 0.0))]
    return length, [*kinds.tolist(), *white, *ends, code.size / max(n_words, 1), *dates]
