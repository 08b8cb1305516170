"""Features of a text: counts and measures of each by itself; nothing is learned."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

from ..stats.clusters import Ids

__all__ = ["FAMILIES", "HASHED", "READ_CHARACTERS", "Features", "features_of", "in_blocks", "rows"]

READ_CHARACTERS = 20_000
"""Characters of a text whose n-grams are counted."""
N_HASHES = 2**18
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

HASHED = {
    "words": HashingVectorizer(
        ngram_range=(1, 2), n_features=N_HASHES, alternate_sign=False, norm=None, dtype=np.float32
    ),
    "characters": HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 5),
        lowercase=False,
        n_features=N_HASHES,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    ),
}


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
    stack = {name: sparse.vstack if name in HASHED else np.vstack for name in FAMILIES}
    return {name: stack[name]([part[name] for part in parts]) for name in FAMILIES}


def rows(features: Features, chosen: NDArray[np.bool_]) -> Features:
    """Take some rows of every family."""
    return {name: sparse.csr_matrix(v)[chosen] if name in HASHED else v[chosen] for name, v in features.items()}


def in_blocks(places: Ids) -> Iterator[Ids]:
    """Cut places into blocks that are read at a time."""
    for start in range(0, places.size, _BLOCK):
        yield places[start : start + _BLOCK]


def _block_features(texts: Sequence[str]) -> Features:
    beginnings = [text[:READ_CHARACTERS] for text in texts]
    counted = {name: hashing.transform(beginnings) for name, hashing in HASHED.items()}
    plain = [_plain(text) for text in texts]
    return counted | {
        "length": np.array([length for length, _ in plain]),
        "form": np.array([form for _, form in plain]),
    }


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
