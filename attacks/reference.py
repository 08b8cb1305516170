"""Reference: how much likelier the text is under the target than under models that never saw it."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Attack, FloatArray, Need, Signals

__all__ = ["Reference"]


@dataclass(frozen=True)
class Reference(Attack):
    """Difference of log-probability between target and reference, nats per target token.

    ``(ln p_target(text) - ln p_reference(text)) / n``, with ``n`` the target's scored tokens. Carlini et al.
    2021 (arXiv:2012.07805, section 5.2) take the ratio of log-perplexities; the difference is what later code
    uses and what bits of memorization are made of. Totals of the same text are compared, so target and
    reference may have different tokenizers; with the same tokenizer this is the difference of the two means.
    Several references are averaged, as in difficulty calibration (Watson et al. 2022, arXiv:2111.08440); of shadow
    models, those that did not train on the text.
    """

    name: ClassVar[str] = "reference"
    paper: ClassVar[str] = "arXiv:2012.07805"
    summary: ClassVar[str] = "log-probability under the target minus that under the reference, per token"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFERENCE})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return the calibrated log-probability per token."""
        ratio: FloatArray = (signals.target.total_logprob - signals.reference_logprob) / signals.target.n_tokens
        return ratio
