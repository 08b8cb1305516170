"""EZ-MIA: where the target still errs, whether training raised the true token more often than it lowered it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["EZ"]

TIE_BREAK_NATS = 1e-6


@dataclass(frozen=True)
class EZ(Attack):
    """Share of the shift at error positions that is upward, in (0, 1) (Ilic, Stanojevic and Cvejoski 2026).

    ``D`` is the log-probability of a token under the target minus that under the reference (the mean of several), and
    the error zone are the tokens that are not the target's arg-max (rank above 0). The authors score ``P / N``, with
    ``P`` the sum of the positive ``D`` and ``N`` minus that of the negative ones; their code gives 0, "surest
    non-member", where ``N`` is 0 or fewer than two tokens are in the zone: that is where a well-memorised text is.
    Here it is ``(P + t) / (P + N + 2 t)``, with ``t`` a millionth of a nat, about what float32 scores resolve:

    * where both sums are positive it ranks texts as ``P / N`` does (``r / (1 + r)`` increases with ``r``);
    * where nothing went down it is all but 1, and the higher the more went up; the reverse where nothing went up;
    * a text without errors is scored on all its tokens: it may be a member the target knows by heart, or a
      single easy word, and the shift tells which;
    * without any shift it is 1/2.

    The authors' code skips the first token; here it counts, after the prefix token.
    """

    name: ClassVar[str] = "ez"
    paper: ClassVar[str] = "arXiv:2601.12104"
    summary: ClassVar[str] = "share of upward shifts from reference to target, over tokens that the target gets wrong"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFERENCE, Need.ALIGNED_TOKENS})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return the upward share of the shift in each text's error zone."""
        target, starts = signals.target, signals.target.offsets[:-1]
        shift = target.logprob.astype(np.float64) - signals.reference_token_logprob  # (n_tokens,)
        wrong = target.rank > 0
        errs = np.logical_or.reduceat(wrong, starts)  # (n_samples,)
        zone = wrong | np.repeat(~errs, target.n_tokens)
        up = np.add.reduceat(np.where(zone, shift.clip(min=0), 0), starts)
        down = np.add.reduceat(np.where(zone, -shift.clip(max=0), 0), starts)
        share: FloatArray = (up + TIE_BREAK_NATS) / (up + down + 2 * TIE_BREAK_NATS)
        return share
