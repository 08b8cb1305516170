"""Loss: how likely the text is under the target."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Attack, FloatArray, Signals

__all__ = ["Loss"]


@dataclass(frozen=True)
class Loss(Attack):
    """Mean log-probability of the text's tokens, nats per token (the threshold attack of Yeom et al. 2018)."""

    name: ClassVar[str] = "loss"
    paper: ClassVar[str] = "arXiv:1709.01604"
    summary: ClassVar[str] = "mean log-probability of the tokens under the target"
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return ``mean_t l_t``: members have the lower loss, so the higher score."""
        return signals.target.mean_logprob
