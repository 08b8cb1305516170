"""Con-ReCaLL: how much more non-members put before the text cost it than members do."""

from dataclasses import dataclass
from typing import ClassVar

from .base import AFTER_MEMBER_SHOTS, AFTER_SHOTS, Attack, FloatArray, Need, Signals

__all__ = ["ConRecall"]


@dataclass(frozen=True)
class ConRecall(Attack):
    """``(ll(x | non-members) - gamma * ll(x | members)) / ll(x)`` (Wang et al. 2025).

    Every ``ll`` is the mean over the text's own tokens, nats per token; the shots are not scored. Numerator and
    denominator are both log-likelihoods, so the two minus signs cancel and the score is, as in the authors' code,
    ``(nll_after_non_members - gamma * nll_after_members) / nll``, higher for members: non-member shots raise the
    ``nll`` of a member, member shots that of a non-member. No sign is turned. The shots are given apart from the
    evaluated texts (``--shots``, ``--member-shots``): re-implementations that draw them from the evaluated texts by
    label, and leave them there, measure a leak. The original does not score the first token of the text alone; here
    it is scored on all sides, after the same prefix token. A floor of 1e-9 nats per token keeps the ratio finite.

    Parameters
    ----------
    gamma : float
        Weight of the member shots, in [0, 1]. The authors try 0.1 to 1 and keep the best on the evaluated texts; we
        fix 0.5 beforehand. 0 is ReCaLL.
    """

    gamma: float = 0.5

    name: ClassVar[str] = "con_recall"
    paper: ClassVar[str] = "arXiv:2409.03363"
    summary: ClassVar[str] = "how much non-member shots cost the text, less what member shots cost it, over its own nll"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHOTS, Need.MEMBER_SHOTS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given: object = self.gamma
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
            raise ValueError(f"gamma must be a number in [0, 1], got {given!r}")

    def score(self, signals: Signals) -> FloatArray:
        """Return the contrast of the two conditional log-likelihoods over the unconditional one."""
        after_non_members = -signals.views[AFTER_SHOTS].mean_logprob
        after_members = -signals.views[AFTER_MEMBER_SHOTS].mean_logprob
        nll = -signals.target.mean_logprob
        contrast: FloatArray = (after_non_members - self.gamma * after_members) / nll.clip(min=1e-9)
        return contrast
