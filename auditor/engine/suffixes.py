"""Suffixes of texts as the target reads them: which ids it is given, which it has to write, and a look at each."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig, ExtractSpec
from ..errors import ModelError
from .forward import is_out_of_memory
from .loading.configs import first_line
from .loading.models import input_device
from .measures import load_opened
from .plan import Pass, Plan
from .scoring import Progress, ScoringProgress, free_memory

__all__ = ["Suffix", "look_at_suffixes", "suffix_of"]

Seen = TypeVar("Seen")


class Suffix(NamedTuple):
    """The end of a text, to be written after its beginning.

    Parameters
    ----------
    ids : sequence of int
        Of the whole text, with its prefix token.
    places : sequence of int
        Of the ids that have to be written, in order; what stands between them is given, as what others say in a
        conversation is.
    """

    ids: Sequence[int]
    places: Sequence[int]


def suffix_of(one: Pass, place: int, cut: ExtractSpec, suffix_tokens: NDArray[np.int64]) -> Suffix:
    """Return the suffix of a text: after the tokens of ``cut``, or the second half of a shorter text.

    Parameters
    ----------
    one : Pass
        Of the target.
    place : int
        Of the text.
    cut : ExtractSpec
    suffix_tokens : ndarray of int64, shape (n_samples,)
    """
    sequence = one.sequences([place])[0][0]
    is_whole = one.n_scored[place] >= cut.prefix + cut.suffix
    first = cut.prefix if is_whole else int(one.n_scored[place]) // 2
    return Suffix(sequence.ids, sequence.scored[first : first + int(suffix_tokens[place])])


def look_at_suffixes(
    plan: Plan,
    places: Sequence[int],
    config: AuditConfig,
    cut: ExtractSpec,
    suffix_tokens: NDArray[np.int64],
    look: Callable[[Any, Suffix, torch.device], Seen],
    *,
    stage: str,
    what: str,
    option: str,
    on_progress: Callable[[ScoringProgress], None] | None,
    check: Callable[[Any], None] | None = None,
) -> list[Seen]:
    """Load the target, look at the suffix of each text with it, and free it again.

    Many parameters: those of the three looks there are, and the words in which each speaks of itself.

    Parameters
    ----------
    plan, places, config, cut, suffix_tokens, on_progress
        As `writes_suffixes` takes them.
    look : callable
        Given the weights, a suffix and the device of the inputs.
    stage, what, option : str
        Words of progress, what failed in words, and the option to leave out then.
    check : callable, optional
        Of the weights, before the first look.

    Raises
    ------
    ModelError
        If the target fails, or does not fit in memory.
    """
    one = plan.passes[0]
    progress = Progress(int(suffix_tokens[list(places)].sum()), on_progress)
    progress.add(0, "loading the target")
    weights, _ = load_opened(one.model, config)
    if check is not None:
        check(weights)
    device, seen = input_device(weights), []
    for place in places:
        suffix = suffix_of(one, place, cut, suffix_tokens)
        try:
            seen.append(look(weights, suffix, device))
        except (RuntimeError, IndexError, ValueError, MemoryError) as error:
            how = "ran out of memory" if is_out_of_memory(error, device) else "failed"
            raise ModelError(
                f"{one.model.files.spec}: {what} {how}: {first_line(error)}; leave out {option}"
            ) from error
        progress.add(len(suffix.places), stage)
    del weights
    free_memory()
    return seen
