"""Suffixes of texts as the target reads them: which ids it is given, and which it has to write."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ExtractSpec
from .plan import Pass

__all__ = ["Suffix", "suffix_of"]


class Suffix(NamedTuple):
    """The end of a text, to be written after its beginning.

    Parameters
    ----------
    ids : sequence of int
        Of the whole text, with its prefix token.
    places : sequence of int
        Of the ids that have to be written, in order; what stands between them is given, as what others say in a
        conversation is.
    """

    ids: Sequence[int]
    places: Sequence[int]


def suffix_of(one: Pass, place: int, cut: ExtractSpec, suffix_tokens: NDArray[np.int64]) -> Suffix:
    """Return the suffix of a text: after the tokens of ``cut``, or the second half of a shorter text.

    Parameters
    ----------
    one : Pass
        Of the target.
    place : int
        Of the text.
    cut : ExtractSpec
    suffix_tokens : ndarray of int64, shape (n_samples,)
    """
    sequence = one.sequences([place])[0][0]
    is_whole = one.n_scored[place] >= cut.prefix + cut.suffix
    first = cut.prefix if is_whole else int(one.n_scored[place]) // 2
    return Suffix(sequence.ids, sequence.scored[first : first + int(suffix_tokens[place])])
