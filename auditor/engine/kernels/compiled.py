"""The kernel that torch.compile makes: two sweeps over each row, vectorised, with the rows spread over all threads."""

import torch
from torch import Tensor

from .contract import LOWEST_SHIFTED_LOGIT, Kernel, Moments

__all__ = ["build"]


def build() -> Kernel:
    """Make the kernel; it is compiled at its first call, once for logits of any shape but for one dtype.

    Compiled while torch has a single thread, it stays on a single thread.
    """
    program = torch.compile(_sweeps, fullgraph=True)

    def run(logits: Tensor, true: Tensor) -> Moments:
        n_rows = len(logits)
        if n_rows == 1:  # a size of one is compiled apart
            logits, true = logits.repeat(2, 1), true.repeat(2)
        for rows in (logits, true):
            torch._dynamo.mark_dynamic(rows, 0)
        torch._dynamo.mark_dynamic(logits, 1)  # the tiles of a vocabulary differ in width
        with torch.inference_mode():
            return Moments(*(column[:n_rows] for column in program(logits, true)))

    return Kernel("compiled", run)


def _sweeps(logits: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """State the arithmetic of :class:`Moments`, to be fused: the maximum and the rank, then the three sums."""
    x = logits.float()
    above = (x > true[:, None]).float().sum(1).long()
    top = x.amax(1)
    shifted = (x - top[:, None]).clamp(min=LOWEST_SHIFTED_LOGIT)
    weight = shifted.exp()
    z = weight.sum(1)
    mean_shifted = (weight * shifted).sum(1) / z
    variance = ((weight * shifted * shifted).sum(1) / z - mean_shifted.square()).clamp(min=0.0)
    return top, z.log(), mean_shifted - z.log(), variance, above
