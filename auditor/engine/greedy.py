"""Greedy writing: the beginnings of texts, written on by the target and compared with their ends token for token."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig, ExtractSpec
from .continuations import refuse_without_generate
from .plan import Plan
from .scoring import ScoringProgress
from .suffixes import Suffix, look_at_suffixes

__all__ = ["writes_suffixes"]


def writes_suffixes(
    plan: Plan,
    places: Sequence[int],
    config: AuditConfig,
    cut: ExtractSpec,
    suffix_tokens: NDArray[np.int64],
    *,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> NDArray[np.bool_]:
    """Let the target continue the beginning of some texts greedily, by its own code, and compare token by token.

    Scores are made of whole texts at once; generation adds a token at a time with a cache, whose kernels round
    otherwise. So a claim that rests on a hair's breadth may not come true.

    Parameters
    ----------
    plan : Plan
    places : sequence of int
        Of the texts.
    config : AuditConfig
    cut : ExtractSpec
    suffix_tokens : ndarray of int64, shape (n_samples,)
        Tokens that have to be written: those of ``cut``, or the second half of a shorter text.
    on_progress : callable, optional

    Returns
    -------
    ndarray of bool, shape (n_places,)

    Raises
    ------
    ModelError
        If the target's code cannot generate, or does not fit in memory.
    """
    spec = str(plan.passes[0].model.files.spec)
    wrote = look_at_suffixes(
        plan, places, config, cut, suffix_tokens,
        _writes_all,
        stage="writing what extraction claims", what="writing a claim of extraction", option="--confirm-extraction",
        on_progress=on_progress,
        check=lambda weights: refuse_without_generate(weights, spec, "--confirm-extraction"),
    )  # fmt: skip
    return np.array(wrote, dtype=np.bool_)


def _writes_all(weights: Any, suffix: Suffix, device: torch.device) -> bool:
    """Whether a model writes every turn of a suffix greedily."""
    return all(_writes(weights, suffix.ids, turn, device) for turn in _turns(suffix.places))


def _turns(places: Sequence[int]) -> list[range]:
    """Group places into runs: the suffix of a conversation may go on in a later turn, past what another one says."""
    ends = [i for i, place in enumerate(places) if i + 1 == len(places) or places[i + 1] != place + 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return [range(places[start], places[end] + 1) for start, end in zip(starts, ends, strict=True)]


def _writes(weights: Any, ids: Sequence[int], turn: range, device: torch.device) -> bool:
    """Whether a model, given all ids before, writes those of a turn greedily."""
    from transformers import GenerationConfig

    prompt, n_new = torch.tensor([ids[: turn.start]], device=device), len(turn)  # (1, n_prompt)
    settings = GenerationConfig(do_sample=False, max_new_tokens=n_new, min_new_tokens=n_new, pad_token_id=0)
    weights.generation_config = settings
    with torch.no_grad():
        rows = weights.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=settings)
    return tuple(rows[0, turn.start :].tolist()) == tuple(ids[turn.start : turn.stop])
