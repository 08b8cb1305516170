"""Lowercase: how much likelihood the text loses when its capitals are taken away."""

from dataclasses import dataclass
from typing import ClassVar

from .base import LOWERCASE, Attack, FloatArray, Need, Signals

__all__ = ["Lowercase"]


@dataclass(frozen=True)
class Lowercase(Attack):
    """Log-perplexity of the lower-cased text over that of the text (Carlini et al. 2021, section 5.2).

    A text without capitals scores 1. Costs one more pass of the target, over the lower-cased texts. The ratio
    is undefined for a text of log-perplexity exactly 0; a floor of 1e-9 nats per token keeps it finite.
    """

    name: ClassVar[str] = "lowercase"
    paper: ClassVar[str] = "arXiv:2012.07805"
    summary: ClassVar[str] = "log-perplexity of the lower-cased text divided by that of the text"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT, Need.LOWERCASE})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return ``ln ppl(lower) / ln ppl(text)``, which is the ratio of the mean negative log-likelihoods."""
        nll = -signals.target.mean_logprob
        ratio: FloatArray = -signals.views[LOWERCASE].mean_logprob / nll.clip(min=1e-9)
        return ratio
