"""ReCaLL: how much less than usual the text gains from non-members put before it."""

from dataclasses import dataclass
from typing import ClassVar

from .base import AFTER_SHOTS, Attack, FloatArray, Need, Signals

__all__ = ["Recall"]


@dataclass(frozen=True)
class Recall(Attack):
    """Mean log-likelihood of the text after non-member shots over that without them (Xie et al. 2024, section 3).

    Both means are over the text's own tokens, nats per token; the shots are not scored. A text that the model
    knows by heart gains nothing from the shots, so its ratio is higher. The shots are given apart from the evaluated
    texts (``--shots``): taken from the non-members and left among them, they are recognised as such and fake an
    AUC, as in some re-implementations. The original scores the first token after the shots only; here it is scored
    on both sides, after the same prefix token. A floor of 1e-9 nats per token keeps the ratio finite.
    """

    name: ClassVar[str] = "recall"
    paper: ClassVar[str] = "arXiv:2406.15968"
    summary: ClassVar[str] = "log-likelihood of the text after non-member shots divided by that without them"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHOTS})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return ``ll(text after shots) / ll(text)``."""
        nll = -signals.target.mean_logprob
        ratio: FloatArray = -signals.views[AFTER_SHOTS].mean_logprob / nll.clip(min=1e-9)
        return ratio
