"""Other temperatures: how surely the target draws the end of each text at them, by one more pass over the texts."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig, ExtractSpec
from ..errors import ModelError
from .forward import is_out_of_memory
from .loading.configs import first_line
from .loading.models import input_device
from .measures import load_opened
from .plan import Plan
from .scoring import Progress, ScoringProgress, free_memory
from .suffixes import suffix_of

__all__ = ["sampled_logprobs", "tempered_log2_p"]


def sampled_logprobs(logits: torch.Tensor, top_k: int, temperature: float) -> torch.Tensor:
    """Log-probability of every token under top-k sampling, nats: -inf for one that may not be among the likeliest.

    Parameters
    ----------
    logits : Tensor, shape (n, n_vocabulary)
    top_k : int
    temperature : float

    Returns
    -------
    Tensor of float64, shape (n, n_vocabulary)
        Of a token tied with the last that is drawn from, some samplers draw all and others none; it counts as not
        drawn, and the mass of the likeliest is that of exactly ``top_k``.
    """
    scaled = logits.double() / temperature
    likeliest = scaled.topk(min(top_k, scaled.shape[-1])).values  # (n, top_k)
    last = likeliest[:, -1:]
    is_tied = (scaled >= last).sum(dim=-1, keepdim=True) > likeliest.shape[-1]
    is_drawn = (scaled > last) | ((scaled == last) & ~is_tied)
    return (scaled - likeliest.logsumexp(dim=-1, keepdim=True)).masked_fill(~is_drawn, -torch.inf)


def tempered_log2_p(
    plan: Plan,
    places: Sequence[int],
    config: AuditConfig,
    cut: ExtractSpec,
    suffix_tokens: NDArray[np.int64],
    *,
    top_k: int,
    temperatures: Sequence[float],
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> NDArray[np.float64]:
    """Read each text once more, and return how surely its end is drawn at each temperature.

    Parameters
    ----------
    plan : Plan
    places : sequence of int
        Of the texts.
    config : AuditConfig
    cut : ExtractSpec
    suffix_tokens : ndarray of int64, shape (n_samples,)
    top_k : int
    temperatures : sequence of float
    on_progress : callable, optional

    Returns
    -------
    ndarray of float64, shape (n_temperatures, n_places), bits

    Raises
    ------
    ModelError
        If the target does not fit in memory.
    """
    one = plan.passes[0]
    progress = Progress(int(suffix_tokens[list(places)].sum()), on_progress)
    progress.add(0, "loading the target")
    weights, _ = load_opened(one.model, config)
    device = input_device(weights)
    found = np.empty((len(temperatures), len(places)))
    for i, place in enumerate(places):
        ids, at = suffix_of(one, place, cut, suffix_tokens)
        try:
            with torch.inference_mode():
                rows = weights(input_ids=torch.tensor([ids[: at[-1]]], device=device)).logits[0]  # (n_ids, n_voc.)
                predicting = rows[[one - 1 for one in at]].float()
                written = torch.tensor([ids[one] for one in at], device=predicting.device)[:, None]
                for k, temperature in enumerate(temperatures):
                    each = sampled_logprobs(predicting, top_k, temperature).gather(1, written)
                    found[k, i] = float(each.sum()) / math.log(2)
        except (RuntimeError, IndexError, ValueError, MemoryError) as error:
            what = "ran out of memory" if is_out_of_memory(error, device) else "failed"
            raise ModelError(
                f"{one.model.files.spec}: reading at other temperatures {what}: {first_line(error)}; leave out "
                "--extract-temperature"
            ) from error
        progress.add(len(at), "reading at other temperatures")
    del weights
    free_memory()
    return np.minimum(found, 0.0)
