"""Window-based comparison: in how many stretches of the text the target beats the reference."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .base import Attack, FloatArray, Need, Signals

__all__ = ["WBC"]

WINDOWS = (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)


@dataclass(frozen=True)
class WBC(Attack):
    """Share of windows in which the target is the likelier model, averaged over ten sizes (Chen et al. 2026).

    For each window size, the share of its positions at which the summed log-probability under the target is strictly
    above that under the reference (the mean of several), as in the authors' code, where it is the reference's loss that
    is above the target's. The sizes are theirs. A size above the text's length is cut to it, as in their code:
    such a size compares the text as a whole, and a text of one token scores 1 or 0. They cut sequences
    of different tokenizers to the shorter one, which compares unlike tokens; here the tokens have to be aligned.
    """

    name: ClassVar[str] = "wbc"
    paper: ClassVar[str] = "arXiv:2601.02751"
    summary: ClassVar[str] = "share of windows of the text that are likelier under the target than under the reference"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFERENCE, Need.ALIGNED_TOKENS})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean share of windows won by the target."""
        advantage = signals.target.logprob.astype(np.float64) - signals.reference_token_logprob  # (n_tokens,)
        return np.array([_mean_share_won(values) for values in signals.target.per_text(advantage)], dtype=np.float64)


def _mean_share_won(advantage: FloatArray) -> float:
    """Average one text's share of windows with a positive sum over the window sizes."""
    sums = (sliding_window_view(advantage, min(size, len(advantage))).sum(axis=1) for size in WINDOWS)
    return float(np.mean([(values > 0).mean() for values in sums]))
