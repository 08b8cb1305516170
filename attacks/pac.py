"""PAC: whether likely and unlikely tokens of the text lie closer together than once its words are swapped."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import SWAPPED, Attack, FloatArray, Need, Signals, TokenScores
from .min_k import mean_of_lowest

__all__ = ["PAC", "polarized_distance"]

SHARE_OF_LOWEST = 0.3
SHARE_OF_HIGHEST = 0.05


def polarized_distance(scores: TokenScores) -> FloatArray:
    """Mean of the most likely tokens of each text minus that of its least likely ones, nats, shape (n_samples,).

    The ``max(1, int(0.05 * n))`` most and the ``max(1, int(0.3 * n))`` least likely, as in the authors' code.
    """
    lowest = mean_of_lowest(scores.per_text(scores.logprob), SHARE_OF_LOWEST)
    highest = -mean_of_lowest(scores.per_text(-scores.logprob), SHARE_OF_HIGHEST)
    distance: FloatArray = highest - lowest
    return distance


@dataclass(frozen=True)
class PAC(Attack):
    """Polarized distance of word-swapped copies minus that of the text, nats (Ye et al. 2024).

    Minus the authors' score, ``PD(x) - mean PD(swapped x)``: a member has no token far below the others until its
    words are swapped, so theirs is low for members and their AUC is taken of its negative. Each copy's distance is
    taken over its own tokens. Their 5 copies are the audit's; a text of one token has distance 0.
    """

    name: ClassVar[str] = "pac"
    paper: ClassVar[str] = "arXiv:2405.11930"
    summary: ClassVar[str] = "how much swapping words widens the gap between the likeliest and the least likely tokens"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SWAPS})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean distance of the swapped copies minus the text's own."""
        swapped = np.stack([polarized_distance(scores) for scores in signals.family(SWAPPED)])  # (n_views, n_samples)
        widened: FloatArray = swapped.mean(axis=0) - polarized_distance(signals.target)
        return widened
