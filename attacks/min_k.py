"""Min-K% Prob: whether even the least likely tokens of the text are likely."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Signals

__all__ = ["MinK", "check_share", "mean_of_lowest"]


def check_share(k: object) -> None:
    """Refuse a share of tokens outside (0, 1].

    Raises
    ------
    ValueError
        Saying what was given and what is allowed.
    """
    if isinstance(k, bool) or not isinstance(k, int | float):
        raise ValueError(f"k must be a number in (0, 1], got {k!r}")
    if not 0 < k <= 1:
        raise ValueError(f"k must be in (0, 1], got {k}" + (f"; a percentage? use {k / 100:g}" if k > 1 else ""))


def mean_of_lowest(per_text: Iterable[FloatArray], k: float) -> FloatArray:
    """Mean of the ``max(1, int(k * n))`` lowest values of each text, shape (n_samples,).

    ``int`` as in the original code; at least one token, where the original takes the mean of none (NaN) for
    texts of fewer than ``1 / k`` tokens.
    """
    means = []
    for values in per_text:
        n_lowest = max(1, int(k * len(values)))
        means.append(np.partition(values, n_lowest - 1)[:n_lowest].mean())
    return np.array(means, dtype=np.float64)


@dataclass(frozen=True)
class MinK(Attack):
    """Mean log-probability of the ``k`` least likely tokens, nats per token (Shi et al. 2024, equation 1).

    Parameters
    ----------
    k : float
        Share of the scored tokens; the paper's headline is 0.2.
    """

    k: float = 0.2

    name: ClassVar[str] = "min_k"
    paper: ClassVar[str] = "arXiv:2310.16789"
    summary: ClassVar[str] = "mean log-probability of the least likely tokens under the target"
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.k)

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the least likely tokens of each text."""
        return mean_of_lowest(signals.target.per_text(signals.target.logprob), self.k)
