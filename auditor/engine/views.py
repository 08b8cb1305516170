"""Views of a text: as it is, lower-cased, after others, with words swapped or replaced."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from attacks.base import AFTER_MEMBER_SHOTS, AFTER_SHOTS, LOWERCASE, SWAPPED, Need

__all__ = ["N_SWAPS", "View", "has_words_to_swap", "original_views", "swap_words", "swapped_views"]

N_SWAPS = 5
"""Word-swapped copies of a text: as many as PAC averages over."""

_ALPHA = 0.3
"""Swaps a word of the text."""

_WORD = re.compile(r"(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One shape in which the target sees every text.

    Parameters
    ----------
    name : str
        ``text``, or the name of a view in :mod:`attacks.base`. Shots stand before it if the model has some by its name.
    change : callable
        What becomes of a text.
    rewritten : bool
        Whether it is made of the text as scored, which the view then has no say in cutting.
    spoken : str
        What it is called while it is scored; empty for the text itself.
    """

    name: str
    change: Callable[[str], str] = str
    rewritten: bool = False
    spoken: str = ""


def original_views(needs: frozenset[Need]) -> list[View]:
    """List the views that say what the text says; the text itself is the first."""
    views = [View(name="text")]
    if Need.LOWERCASE in needs:
        views.append(View(name=LOWERCASE, change=str.lower, spoken="lower-cased texts"))
    if Need.SHOTS in needs:
        views.append(View(name=AFTER_SHOTS, spoken="texts after other non-members"))
    if Need.MEMBER_SHOTS in needs:
        views.append(View(name=AFTER_MEMBER_SHOTS, spoken="texts after other members"))
    return views


def swapped_views() -> list[View]:
    """List the views in which words have changed places."""
    return [
        View(
            name=f"{SWAPPED}_{number}",
            change=partial(swap_words, seed=number),
            rewritten=True,
            spoken=f"word swaps {number + 1}/{N_SWAPS}",
        )
        for number in range(N_SWAPS)
    ]


def swap_words(text: str, seed: int) -> str:
    """Let words of a text change places: a swap of two random ones for every ``1 / 0.3`` words, at least one.

    The random swap of EDA (arXiv:1901.11196, section 2) with the strength that PAC uses (arXiv:2405.11930). EDA
    lower-cases the text first, strips its punctuation and joins words by single spaces; here words move as they are
    written, and the white space between them stays, so that the order of the words is all that changes. EDA may also
    draw the same word twice and leave it where it is.

    Parameters
    ----------
    text : str
        One with fewer than two words stays as it is.
    seed : int
        Another one gives another copy; the same one always the same.

    Examples
    --------
    >>> swap_words("one  two", seed=0)
    'two  one'
    """
    parts = _WORD.split(text)  # white space and words in turn, white space first and last
    words = parts[1::2]
    if len(words) < 2:
        return text
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest))
    n_swaps = max(1, int(_ALPHA * len(words)))
    first = rng.integers(len(words), size=n_swaps)
    second = (first + rng.integers(1, len(words), size=n_swaps)) % len(words)
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        words[i], words[j] = words[j], words[i]
    parts[1::2] = words
    return "".join(parts)


def has_words_to_swap(text: str) -> bool:
    """Whether a text has two words."""
    return len(text.split(maxsplit=1)) > 1
