"""What a kernel is given and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["LOWEST_SHIFTED_LOGIT", "Kernel", "TokenStatistics"]

LOWEST_SHIFTED_LOGIT = -1e4
"""Logits less their maximum are clamped here, in nats: exp is 0 from -104 on, and 0 * -inf would be NaN."""


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Float32 tensors of shape (n_rows,) on the device of the logits, nats; ``rank`` is int64.

    See :class:`attacks.base.TokenScores` for what each one is.
    """

    logprob: Tensor
    logprob_mean: Tensor
    logprob_variance: Tensor
    rank: Tensor


@dataclass(frozen=True, slots=True)
class Kernel:
    """One way to describe each true token against the whole next-token distribution.

    With ``l = x - max x``, ``Z = sum e^l``, ``A = sum l e^l`` and ``B = sum l^2 e^l`` over the vocabulary::

        logprob          = l_true - ln Z
        logprob_mean     = A / Z - ln Z          (minus the entropy)
        logprob_variance = B / Z - (A / Z)^2
        rank             = number of tokens with a strictly larger logit

    The shift by the maximum keeps this well conditioned in float32: ``|A / Z|`` is at most ``ln V`` nats, since
    the entropy is, so nothing large cancels. Min-K%++ in half precision, as published, gives NaN for peaked
    distributions (attacks by Zhang et al. 2024, arXiv:2404.02936, compute them in the model's own precision).
    """

    name: str
    run: Callable[[Tensor, Tensor], TokenStatistics]

    def __call__(self, logits: Tensor, token_ids: Tensor) -> TokenStatistics:
        """Describe the true tokens.

        Parameters
        ----------
        logits : Tensor of shape (n_rows, n_vocabulary)
            At least one row, any float type; statistics are made in float32. CONSUMED: it may be overwritten.
        token_ids : Tensor of int64, shape (n_rows,)

        Returns
        -------
        TokenStatistics
            NaN where a row of logits has a NaN or +inf; ``logprob`` is about -1e4 nats for a masked (-inf) token.
        """
        return self.run(logits, token_ids)
