"""SaMIA: whether the target, given the first half of the text, writes the words of the second."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["SaMIA", "rouge_1_recall"]


def rouge_1_recall(reference_words: Sequence[str], candidate_words: Sequence[str]) -> float:
    """Share of the reference's words that the candidate has too, with multiplicity.

    A word that occurs twice in the reference and once in the candidate counts once. 0 if either is empty, as in the
    original code.

    Returns
    -------
    float in [0, 1]
    """
    if not reference_words:
        return 0.0
    overlap = Counter(reference_words) & Counter(candidate_words)
    return overlap.total() / len(reference_words)


@dataclass(frozen=True)
class SaMIA(Attack):
    """Mean ROUGE-1 recall of sampled continuations (Kaneko et al. 2024, sampling-based pseudo-likelihood).

    Only text that the target wrote is looked at, no probability. The original draws 10 continuations with top-k 50
    at temperature 1.

    Parameters
    ----------
    zlib : bool
        Multiply each continuation's recall by its zlib-compressed size in bytes before averaging (the paper's
        SaMIA*zlib): repetitive continuations then count for less. The original code names its files by ``if zlib:``,
        which tests the imported module and is always true, so that both variants are saved as this one; the scores
        themselves follow its flag.
    """

    zlib: bool = False

    name: ClassVar[str] = "samia"
    paper: ClassVar[str] = "arXiv:2404.11262"
    summary: ClassVar[str] = "share of the second half's words that the target writes when given the first half"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.CONTINUATIONS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.zlib, bool):
            raise ValueError(f"zlib must be true or false, got {self.zlib!r}")

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the continuations of each text.

        Raises
        ------
        ValueError
            If the continuations are missing.
        """
        if signals.continuations is None:
            raise ValueError("continuations are needed, got none")
        recall = signals.continuations.recall.astype(np.float64)  # (n_samples, n_continuations)
        weight = signals.continuations.zlib_bytes if self.zlib else 1
        return np.asarray((recall * weight).mean(axis=1))
