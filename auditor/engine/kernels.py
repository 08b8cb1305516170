"""From logits to the statistics of the true token: log-probability, mean, variance and rank in one visit."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TokenStatistics", "token_statistics"]

_CACHE_ELEMENTS = 2**18
"""Logits visited at a time on a CPU (1 MiB in float32): the nine sweeps below then hit the cache, not memory."""

_LOWEST_SHIFTED_LOGIT = -1e4
"""Shifted logits are clamped here: exp is 0 from -104 on, and 0 * -inf would be NaN for a masked token."""


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Float32 tensors of shape (n_rows,) on the device of the logits, nats; ``rank`` is int64.

    See :class:`attacks.base.TokenScores` for what each one is.
    """

    logprob: Tensor
    logprob_mean: Tensor
    logprob_variance: Tensor
    rank: Tensor


def token_statistics(logits: Tensor, token_ids: Tensor) -> TokenStatistics:
    """Describe each true token against the whole next-token distribution.

    With ``l = x - max x``, ``Z = sum e^l``, ``A = sum l e^l`` and ``B = sum l^2 e^l`` over the vocabulary::

        logprob          = l_true - ln Z
        logprob_mean     = A / Z - ln Z          (minus the entropy)
        logprob_variance = B / Z - (A / Z)^2

    The shift by the maximum keeps this well conditioned in float32: ``|A / Z|`` is at most ``ln V`` nats, since
    the entropy is, so nothing large cancels. Min-K%++ in half precision, as published, gives NaN for peaked
    distributions (attacks by Zhang et al. 2024, arXiv:2404.02936, compute them in the model's own precision).

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_vocabulary)
        Any float type; statistics are made in float32. CONSUMED: a float32 argument is overwritten.
    token_ids : Tensor of int64, shape (n_rows,)

    Returns
    -------
    TokenStatistics
        NaN where a row of logits has a NaN or +inf; ``logprob`` is about -1e4 nats for a masked (-inf) token.
    """
    rows = len(logits) if logits.is_cuda else max(1, _CACHE_ELEMENTS // logits.shape[1])
    blocks = [
        _block_statistics(logits[start : start + rows].float(), token_ids[start : start + rows])
        for start in range(0, len(logits), rows)
    ]
    logprob, mean, variance, rank = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return TokenStatistics(logprob, mean, variance, rank)


def _block_statistics(shifted: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Visit one block of float32 logits, in place."""
    true = shifted.gather(1, token_ids[:, None])
    rank = (shifted > true).sum(1)
    top = shifted.amax(1, keepdim=True)
    shifted.sub_(top).clamp_(min=_LOWEST_SHIFTED_LOGIT)
    true_shifted = shifted.gather(1, token_ids[:, None])[:, 0]
    weight = shifted.exp()
    z = weight.sum(1)
    a = torch.linalg.vecdot(weight, shifted)
    b = torch.linalg.vecdot(weight.mul_(shifted), shifted)
    log_z, mean_shifted = z.log(), a / z
    variance = (b / z - mean_shifted.square()).clamp_(min=0.0)
    return true_shifted - log_z, mean_shifted - log_z, variance, rank
