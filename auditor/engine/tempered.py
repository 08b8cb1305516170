"""Other temperatures: how surely the target draws the end of each text at them, by one more pass over the texts."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig, ExtractSpec
from .plan import Plan
from .scoring import ScoringProgress
from .suffixes import Suffix, look_at_suffixes

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
    found = look_at_suffixes(
        plan, places, config, cut, suffix_tokens,
        lambda weights, suffix, device: _drawn(weights, suffix, device, top_k, temperatures),
        stage="reading at other temperatures", what="reading at other temperatures", option="--extract-temperature",
        on_progress=on_progress,
    )  # fmt: skip
    drawn: NDArray[np.float64] = np.array(found, dtype=np.float64).reshape(len(places), len(temperatures)).T
    return np.asarray(np.minimum(drawn, 0.0))


def _drawn(
    weights: Any, suffix: Suffix, device: torch.device, top_k: int, temperatures: Sequence[float]
) -> list[float]:
    """Say how surely a suffix is drawn at each temperature, bits."""
    ids, at = suffix
    with torch.inference_mode():
        rows = weights(input_ids=torch.tensor([ids[: at[-1]]], device=device)).logits[0]  # (n_ids, n_vocabulary)
        predicting = rows[[place - 1 for place in at]].float()
        written = torch.tensor([ids[place] for place in at], device=predicting.device)[:, None]
        logprobs = (sampled_logprobs(predicting, top_k, one).gather(1, written) for one in temperatures)
        return [float(each.sum()) / math.log(2) for each in logprobs]
