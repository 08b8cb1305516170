"""The divergence of the target from its references: how far they expect other tokens, summed over a text."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .loading.adapters import without_adapter
from .loading.models import input_device
from .tokens import TokenSequence

__all__ = ["divergence"]

_ROWS = 128
"""Positions whose whole distributions are in float32 at once."""


def divergence(
    target: Any,
    references: Sequence[Any | None],
    sequences: Sequence[TokenSequence],
    theirs: Sequence[Sequence[TokenSequence]],
    counted: NDArray[np.bool_],
) -> float:
    """Sum ``KL(p(. | x_<t) || p(. | x_<t, target))`` over the scored tokens of one text.

    Parameters
    ----------
    target : transformers.PreTrainedModel
    references : sequence of model or None
        None is the target itself with its adapter off.
    sequences : sequence of TokenSequence
        All windows of the text as the target reads it.
    theirs : sequence of sequences of TokenSequence
        As each reference reads it: as many windows, of as many scored tokens.
    counted : ndarray of bool, shape (n_references,)
        References whose mean is ``p``.

    Returns
    -------
    float, nats, >= 0
        Where two models have vocabularies of different lengths, over the entries that both have.
    """
    total = 0.0
    with torch.inference_mode():
        for window, sequence in enumerate(sequences):
            if not sequence.n_scored:
                continue
            ours = _logits(target, sequence)
            others = []
            for reference, read, used in zip(references, theirs, counted, strict=True):
                if used:
                    with without_adapter(target) if reference is None else nullcontext():
                        others.append(_logits(target if reference is None else reference, read[window]))
            for start in range(0, len(ours), _ROWS):
                rows = slice(start, start + _ROWS)
                total += _sum_kl([logits[rows] for logits in others], ours[rows])
    return max(0.0, total)


def _logits(model: Any, sequence: TokenSequence) -> torch.Tensor:
    """Run a model; return the logits of each scored token, shape (n_scored, n_vocabulary)."""
    ids = torch.tensor(sequence.ids, device=input_device(model))
    logits: torch.Tensor = model(input_ids=ids[None], use_cache=False).logits[0, sequence.predicting]
    return logits


def _sum_kl(references: Sequence[torch.Tensor], target: torch.Tensor) -> float:
    """Sum the divergence of the mean of some distributions from another one, over rows."""
    n = min(logits.shape[1] for logits in (target, *references))
    place = target.device
    each = [logits.to(place).float().log_softmax(-1)[:, :n] for logits in references]
    expected = torch.stack(each).logsumexp(0) - np.log(len(each))  # (n_rows, n)
    log_ratio = expected - target.float().log_softmax(-1)[:, :n]
    return float((expected.exp() * log_ratio).double().sum())
