"""The kernel that always runs: a dozen sweeps of vectorised operations over blocks that stay in the cache."""

import torch
from torch import Tensor

from .contract import LOWEST_SHIFTED_LOGIT, Kernel, Moments, TokenStatistics, merge_moments
from .largest import Largest

__all__ = ["PLAIN", "token_statistics"]

_CACHE_ELEMENTS = 2**19
"""Logits visited at a time on a CPU (2 MiB in float32): later sweeps hit the cache, and threads are rarely joined."""


def token_statistics(logits: Tensor, token_ids: Tensor, kernel: Kernel | None = None) -> TokenStatistics:
    """Describe each true token against the whole next-token distribution.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_vocabulary)
        CONSUMED: it may be overwritten.
    token_ids : Tensor of int64, shape (n_rows,)
    kernel : Kernel, optional
        The plain one by default.
    """
    true = logits.gather(1, token_ids[:, None])[:, 0].float()  # (n_rows,)
    largest = Largest()
    largest.see(logits)  # before a kernel overwrites them
    return merge_moments([(kernel or PLAIN)(logits, true)], true, largest.logits)


def _moments(logits: Tensor, true: Tensor) -> Moments:
    """Visit the logits block by block."""
    rows = len(logits) if logits.is_cuda else max(1, _CACHE_ELEMENTS // logits.shape[1])
    scratch = torch.empty((min(rows, len(logits)), logits.shape[1]), device=logits.device)
    blocks = [
        _block_moments(logits[start : start + rows].float(), true[start : start + rows], scratch)
        for start in range(0, len(logits), rows)
    ]
    return Moments(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


PLAIN = Kernel("plain", _moments)


def _block_moments(block: Tensor, true: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Visit one block of float32 logits, shape (rows, n_columns), in place; ``scratch`` is as large or larger.

    On a CPU ``softmax`` makes its exponentials faster than ``exp`` does, and a comparison written as float32 is
    counted faster than one written as bool (exactly: a vocabulary has less than 2**24 tokens).
    """
    scratch = scratch[: len(block)]
    above = torch.gt(block, true[:, None], out=scratch).sum(1).long()
    p = torch.softmax(block, dim=1, out=scratch)
    log_z = -p.amax(1).log()  # the largest probability is 1 / Z
    top = block.amax(1)
    shifted = block.sub_(top[:, None]).clamp_(min=LOWEST_SHIFTED_LOGIT)
    mean = p.mul_(shifted).sum(1)
    variance = p.mul_(shifted).sum(1).sub_(mean.square()).clamp_(min=0.0)
    return top, log_z, mean - log_z, variance, above
