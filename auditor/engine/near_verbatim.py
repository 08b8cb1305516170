"""Near-verbatim extraction: a lower bound on how surely a suffix is drawn with at most a few tokens replaced."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig, ExtractSpec
from .plan import Plan
from .scoring import ScoringProgress
from .suffixes import Suffix, look_at_suffixes
from .tempered import sampled_logprobs

__all__ = ["BEAMS", "EDITED_SHARE", "NextTokens", "beam_log_p", "n_edits", "near_verbatim_log2_p"]

BEAMS = 20
"""Continuations that are kept: about the cost of so many samples."""
EDITED_SHARE = 0.1
"""Share of a suffix's tokens that may be replaced."""


class NextTokens(Protocol):
    """What comes next after several continuations of one prompt."""

    def __call__(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Put a token behind some continuations; return the logits after each, shape (n, n_vocabulary).

        Parameters
        ----------
        parents : sequence of int
            Place of the continuation among those of the call before.
        tokens : sequence of int
            The token behind each.
        """
        ...


def n_edits(n_suffix: int) -> int:
    """Return how many tokens of a suffix may be replaced."""
    return int(EDITED_SHARE * n_suffix)


def beam_log_p(
    logits: torch.Tensor, follow: NextTokens, suffix: Suffix, *, beams: int, edits: int, top_k: int
) -> float:
    """Bound from below how surely top-k sampling writes a suffix with at most so many tokens replaced, nats.

    Parameters
    ----------
    logits : Tensor, shape (1, n_vocabulary)
        Those that predict the first token of the suffix.
    follow : callable
    suffix : Suffix
    beams, edits, top_k : int

    Notes
    -----
    The event "at most ``edits`` tokens of n are others" (a Hamming distance, so the Levenshtein distance is no larger)
    is a union of single sequences, and their probabilities add up. A beam search that is confined to such sequences
    keeps ``beams`` of them, the likeliest and always the suffix itself; what it keeps at the end is summed. Nothing is
    drawn, so the bound is the same every time, and it is never below the probability of the suffix itself.

    References
    ----------
    .. [1] Near-verbatim extraction by constrained beams, arXiv:2603.24917.
    """
    log_p, n_wrong = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    ids, places = suffix
    written = set(places)
    for at in range(places[0], places[-1] + 1):
        true = int(ids[at])
        if at not in written:
            parents, tokens = list(range(len(log_p))), [true] * len(log_p)
        else:
            each = sampled_logprobs(logits.float(), top_k, 1.0).cpu()  # (n_beams, n_vocabulary)
            values, drawn = each.topk(min(top_k, each.shape[1]))
            total = (log_p[:, None] + values).flatten()
            wrong = (n_wrong[:, None] + (drawn != true)).flatten()
            total = total.masked_fill(wrong > edits, -torch.inf)
            kept = _kept(total, wrong, beams)
            if not len(kept):
                return -math.inf
            parents = (kept // values.shape[1]).tolist()
            tokens = drawn.flatten()[kept].tolist()
            log_p, n_wrong = total[kept], wrong[kept]
        if at < places[-1]:
            logits = follow(parents, tokens)
    return min(0.0, float(log_p.logsumexp(dim=0)))


def _kept(total: torch.Tensor, wrong: torch.Tensor, beams: int) -> torch.Tensor:
    """Choose the likeliest continuations, and always the one without a wrong token, if it can be drawn."""
    order = total.argsort(descending=True)[:beams]
    order = order[total[order] > -torch.inf]
    exact = torch.nonzero((wrong == 0) & (total > -torch.inf)).flatten()  # one at most
    if len(exact) and not (order == exact[0]).any():
        order = torch.cat([order[: beams - 1], exact])
    return order


class _Cached:
    """Continuations of a prompt that a model reads a token at a time, what they share being read once."""

    def __init__(self, weights: Any, prompt: Sequence[int], device: torch.device) -> None:
        self._weights, self._device = weights, device
        out = weights(input_ids=torch.tensor([list(prompt)], device=device), use_cache=True)
        self._cache = out.past_key_values
        if not hasattr(self._cache, "reorder_cache"):
            raise ValueError("its cache cannot hold several continuations")
        self.logits = out.logits[:, -1]  # (1, n_vocabulary)

    def __call__(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        self._cache.reorder_cache(torch.tensor(parents, device=self._device))
        ids = torch.tensor(tokens, device=self._device)[:, None]
        out = self._weights(input_ids=ids, past_key_values=self._cache, use_cache=True)
        self._cache = out.past_key_values
        return torch.as_tensor(out.logits[:, -1])


def near_verbatim_log2_p(
    plan: Plan,
    places: Sequence[int],
    config: AuditConfig,
    cut: ExtractSpec,
    suffix_tokens: NDArray[np.int64],
    *,
    top_k: int,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> NDArray[np.float64]:
    """Bound from below how surely the target draws the end of some texts with at most a tenth of its tokens replaced.

    Parameters
    ----------
    plan : Plan
    places : sequence of int
        Of the texts.
    config : AuditConfig
    cut : ExtractSpec
    suffix_tokens : ndarray of int64, shape (n_samples,)
    top_k : int
    on_progress : callable, optional

    Returns
    -------
    ndarray of float64, shape (n_places,), bits

    Raises
    ------
    ModelError
        If the target keeps no cache that can be shared, or does not fit in memory.
    """
    found = look_at_suffixes(
        plan, places, config, cut, suffix_tokens,
        lambda weights, suffix, device: _bound(weights, suffix, device, top_k),
        stage="searching near the texts", what="near-verbatim extraction", option="--near-verbatim",
        on_progress=on_progress,
    )  # fmt: skip
    return np.array(found)


def _bound(weights: Any, suffix: Suffix, device: torch.device, top_k: int) -> float:
    """Bound how surely a suffix is drawn, bits; a cache that cannot be shared is a `ValueError`."""
    edits = n_edits(len(suffix.places))
    try:
        with torch.inference_mode():
            follow = _Cached(weights, suffix.ids[: suffix.places[0]], device)
            return beam_log_p(follow.logits, follow, suffix, beams=BEAMS, edits=edits, top_k=top_k) / math.log(2)
    except AttributeError as error:
        raise ValueError(str(error)) from error
