"""The kernel for CUDA, in Triton: one program a row, one visit of the logits, blocks of the vocabulary merged.

Kernels that fuse the loss alone (Liger, cut-cross-entropy) give no moments, so this one is our own. It was run in
Triton's interpreter on a CPU (``TRITON_INTERPRET=1``, Triton 3.9) against a float64 oracle. It was never compiled
for, run on or timed on a GPU; :func:`auditor.engine.kernels.choose_kernel` checks it there before it is used.
"""

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor

from .contract import LOWEST_SHIFTED_LOGIT, Kernel, Moments

__all__ = ["build"]

_BLOCK = 4096
"""Logits of one row visited at a time."""

_LOWEST = tl.constexpr(LOWEST_SHIFTED_LOGIT)


def build() -> Kernel:
    """Make the kernel; Triton compiles it at its first call."""
    return Kernel("triton", _run)


def _run(logits: Tensor, true: Tensor) -> Moments:
    """Launch one program a row of logits, shape (n_rows, n_columns)."""
    n_rows, n_columns = logits.shape
    logits, true = logits.contiguous(), true.float().contiguous()
    top, log_z, mean, variance = torch.empty((4, n_rows), dtype=torch.float32, device=logits.device)
    above = torch.empty(n_rows, dtype=torch.int64, device=logits.device)
    with torch.cuda.device_of(logits):  # type: ignore[no-untyped-call]
        _row_moments[(n_rows,)](logits, true, top, log_z, mean, variance, above, n_columns, BLOCK=_BLOCK, num_warps=8)
    return Moments(top, log_z, mean, variance, above)


@triton.jit  # type: ignore[misc,untyped-decorator,unused-ignore]
def _row_moments(  # type: ignore[no-untyped-def]
    logits, true_logits, tops, log_zs, means, variances, aboves, n_columns, BLOCK: tl.constexpr
):
    """Visit one row, keeping m = max x and Z, A, B shifted by it; all sums in float32.

    Many parameters: pointers, strides and sizes, as a kernel takes no objects.

    When the maximum grows, with d = old m - new m::

        Z <- e^d Z        A <- e^d (A + d Z)        B <- e^d (B + 2 d A + d^2 Z)

    It has many parameters because a Triton program takes every tensor by itself.

    NaN is kept by the sums and by clamping with ``where``; ``maximum`` may drop it. Offsets are int64: rows times
    columns can pass 2**31.
    """
    row = tl.program_id(0).to(tl.int64)
    start_of_row = logits + row * n_columns
    true = tl.load(true_logits + row)
    m = -float("inf")
    z = tl.zeros((), tl.float32)
    a = tl.zeros((), tl.float32)
    b = tl.zeros((), tl.float32)
    above = tl.zeros((), tl.int32)
    for start in range(0, n_columns, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(start_of_row + columns, mask=columns < n_columns, other=-float("inf")).to(tl.float32)
        above += tl.sum((x > true).to(tl.int32), 0)
        m_new = tl.maximum(m, tl.max(x, 0))
        shift = tl.where(m_new == -float("inf"), 0.0, m_new)  # masked so far: nothing to shift
        d = m - shift
        d = tl.where(d < _LOWEST, _LOWEST, d)
        shifted = x - shift
        shifted = tl.where(shifted < _LOWEST, _LOWEST, shifted)
        weight = tl.exp(shifted)
        scale = tl.exp(d)
        b = scale * (b + 2.0 * d * a + d * d * z) + tl.sum(weight * shifted * shifted, 0)
        a = scale * (a + d * z) + tl.sum(weight * shifted, 0)
        z = scale * z + tl.sum(weight, 0)
        m = m_new
    log_z = tl.log(z)
    mean_shifted = a / z
    spread = b / z - mean_shifted * mean_shifted
    tl.store(tops + row, m)
    tl.store(log_zs + row, log_z)
    tl.store(means + row, mean_shifted - log_z)
    tl.store(variances + row, tl.where(spread < 0.0, 0.0, spread))
    tl.store(aboves + row, above.to(tl.int64))
