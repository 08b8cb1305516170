"""Min-K%++: whether the text's least expected tokens are still near the mode of what the target predicts."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals
from .min_k import check_share, mean_of_lowest

__all__ = ["MinKPlusPlus"]

VARIANCE_FLOOR = 1e-6
"""Nats squared. A distribution with all its mass on one token has variance 0 and its z-score is 0 / 0."""


@dataclass(frozen=True)
class MinKPlusPlus(Attack):
    """Mean of the ``k`` lowest z-scores of the tokens' log-probabilities (Zhang et al. 2024, section 4).

    ``z_t = (l_t - mu_t) / sigma_t`` with the mean and standard deviation of the log-probability over the whole
    vocabulary, weighted by the model's probabilities. Statistics are float32 or better where the original
    takes the model's precision; the variance has a floor of 1e-6 nats squared.

    Parameters
    ----------
    k : float
        Share of the scored tokens.
    """

    k: float = 0.2

    name: ClassVar[str] = "min_k_plus_plus"
    paper: ClassVar[str] = "arXiv:2404.02936"
    summary: ClassVar[str] = "mean z-score of the least expected tokens within the target's own predictions"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.VOCAB_STATS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.k)

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the lowest z-scores of each text."""
        target = signals.target
        deviation = np.sqrt(np.maximum(target.logprob_variance.astype(np.float64), VARIANCE_FLOOR))
        z = (target.logprob.astype(np.float64) - target.logprob_mean) / deviation  # (n_tokens,)
        return mean_of_lowest(target.per_text(z), self.k)
