"""Window-based comparison: in how many stretches of the text the target beats the reference."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

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
        return _mean_share_won(advantage, signals.target.offsets)


def _mean_share_won(advantage: FloatArray, offsets: NDArray[np.integer]) -> FloatArray:
    """Average each text's share of windows with a positive sum over the window sizes, shape (n_texts,).

    Sums of every width are made of those one narrower, of all texts at once; those across two texts are not counted.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    left = np.repeat(offsets[1:], lengths) - np.arange(advantage.size)  # tokens from each one to the end of its text
    sums, whole_won, shares = advantage.copy(), np.zeros(lengths.size), np.zeros(lengths.size)
    for width in range(1, max(WINDOWS) + 1):
        if width > 1:
            sums[: 1 - width] += advantage[width - 1 :]
        as_long = lengths == width
        whole_won[as_long] = sums[starts[as_long]] > 0
        if width in WINDOWS:
            won = np.add.reduceat((sums > 0) & (left >= width), starts, dtype=np.int64)
            shares += np.where(lengths >= width, won / np.maximum(lengths - width + 1, 1), whole_won)
    return shares / len(WINDOWS)
