"""MaxRenyi-K%: how sure the model is even where it is least sure."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from .base import Attack, FloatArray, Need, Signals
from .min_k import check_share, mean_of_lowest

__all__ = ["MaxRenyi"]


@dataclass(frozen=True)
class MaxRenyi(Attack):
    """Minus the mean Renyi entropy of the ``k`` most uncertain positions, nats (Li et al. 2024).

    Of the ``max(1, int(k * n))`` positions with the largest entropy, as in the authors' code, whose scores
    are the entropies themselves, low for members. The text enters by its contexts only: the tokens that follow are not
    looked at. Of the paper's orders, 1 is the Shannon entropy and infinity is minus the log-probability of
    the arg-max; 1/2 and 2 take sums over the vocabulary that are not computed here. Their ``K = 0`` (the largest
    entropy alone) is any ``k`` below ``1 / n``.

    Parameters
    ----------
    k : float
        Share of the positions, in (0, 1].
    alpha : 1 or "inf"
        Order of the entropy.
    """

    k: float = 0.1
    alpha: float | str = 1

    name: ClassVar[str] = "max_renyi"
    paper: ClassVar[str] = "arXiv:2411.02902"
    summary: ClassVar[str] = "minus the entropy of the positions at which the target is least sure of the next token"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.VOCAB_STATS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.k)
        given: object = self.alpha
        if isinstance(given, bool) or given not in (1, "inf", inf):
            raise ValueError(f"alpha must be 1 or inf, got {given!r}; other orders take sums that are not computed")
        # A bare inf on the command line is a float; JSON has none, so the word is what is kept and reported.
        object.__setattr__(self, "alpha", 1 if given == 1 else "inf")

    def score(self, signals: Signals) -> FloatArray:
        """Return minus the mean of the largest entropies of each text."""
        target = signals.target
        return mean_of_lowest(target.per_text(target.logprob_mean if self.alpha == 1 else target.logprob_max), self.k)
