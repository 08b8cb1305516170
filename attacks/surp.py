"""SURP: how likely the tokens are on which the model was certain, and wrong."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals
from .min_k import check_share

__all__ = ["SURP"]


@dataclass(frozen=True)
class SURP(Attack):
    """Mean log-probability of the surprising tokens, nats per token (Zhang and Wu 2024).

    A token is surprising if it is among the ``max(1, int(k * n))`` least likely of its text (of equally likely ones,
    the earlier) and the model was certain there: an entropy below ``max_entropy``. We found no code of the authors;
    ``k`` and ``max_entropy`` are those of the benchmark mia_llms_benchmark (Meeus et al. 2025, arXiv:2406.17975).

    A text may have no such token. The benchmark then scores -100, "surest non-member", which says nothing of the text:
    a text that the model found hard throughout, and one too short for ``int(k * n)`` to reach 1, look alike. Here
    the bound on entropy is raised for that text until one of its least likely tokens is below it: the one the model was
    most certain of. The score is then finite, on the same scale, made of the text's own evidence, and does not
    jump when the entropy of the last surprising token crosses the bound; texts with surprising tokens keep their score.

    Parameters
    ----------
    k : float
        Share of the scored tokens, in (0, 1].
    max_entropy : float, nats
        Bound on the entropy of the next-token distribution; positive.
    """

    k: float = 0.4
    max_entropy: float = 2.0

    name: ClassVar[str] = "surp"
    paper: ClassVar[str] = "arXiv:2407.21248"
    summary: ClassVar[str] = "mean log-probability of the unlikely tokens on which the target was certain"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.VOCAB_STATS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.k)
        given: object = self.max_entropy
        if isinstance(given, bool) or not isinstance(given, int | float) or not (isfinite(given) and given > 0):
            raise ValueError(f"max_entropy must be a positive number of nats, got {given!r}")

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the surprising tokens of each text."""
        target = signals.target
        texts = zip(target.per_text(target.logprob), target.per_text(target.entropy), strict=True)
        return np.array([self._mean_of_surprising(logprob, entropy) for logprob, entropy in texts], dtype=np.float64)

    def _mean_of_surprising(self, logprob: FloatArray, entropy: FloatArray) -> float:
        """Average one text's surprising tokens."""
        lowest = np.argsort(logprob, kind="stable")[: max(1, int(self.k * len(logprob)))]
        certain = entropy[lowest] < self.max_entropy
        if not certain.any():
            certain = entropy[lowest] == entropy[lowest].min()
        return float(logprob[lowest[certain]].mean())
