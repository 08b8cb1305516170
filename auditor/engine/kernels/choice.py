"""The choice of a kernel: the fastest that pays for its compilation and agrees with the plain one here and now."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import Tensor

from .contract import Kernel
from .plain import PLAIN, token_statistics

__all__ = ["KERNEL_NAMES", "choose_kernel"]

KERNEL_NAMES = ("auto", "plain", "compiled", "triton")
"""What can be asked for."""

_COMPILED_PAYS_FROM = 1e11
"""Logits to visit for each thread of torch. Compiling costs about 10 s, and saves .1 to .3 ns a logit where head and
statistics are made tile by tile (``benchmarks/token_statistics.py`` measures both); this leaves a margin of 2."""

_TOLERANCES = {"logprob": 1e-4, "logprob_mean": 1e-4, "logprob_variance": 5e-4, "rank": 0.0}
"""Nats, nats, nats squared, tokens: absolute, on top of 1e-6 of the value."""


def choose_kernel(
    device: torch.device,
    *,
    n_rows: int,
    n_vocabulary: int,
    asked: str = "auto",
    dtype: torch.dtype = torch.float32,
) -> tuple[Kernel, str]:
    """Choose the kernel for a job, compile it and check it against the plain one on a few rows.

    Parameters
    ----------
    device : torch.device
        Where the logits are made.
    n_rows : int
        Tokens to be scored in the whole job.
    n_vocabulary : int
        Columns of the logits.
    asked : str
        One of ``KERNEL_NAMES``. A kernel asked for by name is used whatever the size of the job, but is checked
        all the same.
    dtype : torch.dtype
        Type of the logits, for which the kernel is compiled.

    Returns
    -------
    kernel : Kernel
        A slower tier where a faster one fails or is wrong; the plain one at last.
    reason : str
        One line for the provenance.

    Raises
    ------
    ValueError
        If ``asked`` is not one of ``KERNEL_NAMES``.
    """
    if asked not in KERNEL_NAMES:
        raise ValueError(f"kernel {asked!r} is not one of {', '.join(KERNEL_NAMES)}")
    n_logits = n_rows * n_vocabulary
    if asked == "auto":
        wanted = {
            "triton": device.type == "cuda",
            "compiled": n_logits >= _COMPILED_PAYS_FROM * torch.get_num_threads(),
        }
        names, why = [name for name, pays in wanted.items() if pays], f"{n_logits:.1e} logits to visit"
    else:
        names, why = [asked] if asked != "plain" else [], "asked for"
    failures: list[str] = []
    for name in names:
        try:
            with _quiet():
                kernel = _build(name)
                _check(kernel, device, n_vocabulary, dtype)
        except Exception as error:  # whatever a compiler can raise
            failures.append(f"not {name} ({_in_one_line(error)})")
        else:
            return kernel, "; ".join([f"{name}: {why}", *failures])
    return PLAIN, "; ".join([f"plain: {why}", *failures])


def _build(name: str) -> Kernel:
    """Import a tier only when it is wanted: Triton may not be there."""
    module = {"compiled": ".compiled", "triton": ".triton_kernel"}[name]
    build: Callable[[], Kernel] = import_module(module, __package__).build
    return build()


@torch.inference_mode()
def _check(kernel: Kernel, device: torch.device, n_vocabulary: int, dtype: torch.dtype) -> None:
    """Compare a kernel with the plain one on the kinds of rows that differ in kind.

    Raises
    ------
    ArithmeticError
        If it is wrong.
    """
    logits, token_ids = _check_rows(n_vocabulary)
    logits, token_ids = logits.to(device, dtype), token_ids.to(device)
    found, plain = (token_statistics(logits.clone(), token_ids, one) for one in (kernel, PLAIN))
    for name, tolerance in _TOLERANCES.items():
        ours, theirs = getattr(found, name), getattr(plain, name)
        if not torch.allclose(ours, theirs, rtol=1e-6, atol=tolerance, equal_nan=True):
            raise ArithmeticError(f"its {name} differs from the plain one by {_worst(ours, theirs):.2g}")


def _check_rows(n_vocabulary: int) -> tuple[Tensor, Tensor]:
    """Draw logits, shape (5, n_vocabulary), that are ordinary, peaked, flat, half masked, and undefined."""
    generator = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn((5, n_vocabulary), generator=generator)
    logits[1, 0] += 60.0
    logits[2] = 1.0
    logits[3, n_vocabulary // 2 + 1 :] = -torch.inf
    logits[4, -1] = torch.nan
    return logits, torch.tensor([n_vocabulary - 1, 0, 0, n_vocabulary // 2, 0])


def _worst(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, NaN if there is one on one side only."""
    difference = (ours.double() - theirs.double()).abs()
    return float(difference[~(ours.isnan() & theirs.isnan())].max())


def _in_one_line(error: Exception) -> str:
    """Return the type and the start of the message."""
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {message}"[:160].rstrip(": ")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep compilers from writing to standard error: what fails is said in the reason."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
