"""The kernel that torch.compile makes: two sweeps over each row, vectorised, with the rows spread over all threads."""

import torch
from torch import Tensor

from .contract import LOWEST_SHIFTED_LOGIT, Kernel, TokenStatistics

__all__ = ["build"]


def build() -> Kernel:
    """Make the kernel; it is compiled at its first call, for every number of rows but one vocabulary and dtype.

    Compiled while torch has a single thread, it stays on a single thread.
    """
    program = torch.compile(_sweeps, fullgraph=True)

    def run(logits: Tensor, token_ids: Tensor) -> TokenStatistics:
        n_rows = len(logits)
        if n_rows == 1:  # a size of one is compiled apart
            logits, token_ids = logits.repeat(2, 1), token_ids.repeat(2)
        for rows in (logits, token_ids):
            torch._dynamo.mark_dynamic(rows, 0)
        with torch.inference_mode():
            return TokenStatistics(*(column[:n_rows] for column in program(logits, token_ids)))

    return Kernel("compiled", run)


def _sweeps(logits: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """State the arithmetic of :class:`Kernel`, to be fused: the maximum and the rank, then the three sums."""
    x = logits.float()
    true = x.gather(1, token_ids[:, None])
    rank = (x > true).float().sum(1).long()
    top = x.amax(1, keepdim=True)
    shifted = (x - top).clamp(min=LOWEST_SHIFTED_LOGIT)
    true_shifted = (true - top).clamp(min=LOWEST_SHIFTED_LOGIT)[:, 0]
    weight = shifted.exp()
    z = weight.sum(1)
    mean_shifted = (weight * shifted).sum(1) / z
    variance = ((weight * shifted * shifted).sum(1) / z - mean_shifted.square()).clamp(min=0.0)
    return true_shifted - z.log(), mean_shifted - z.log(), variance, rank
