"""Batches of texts for one forward pass: longest first, within a budget of tokens that a lack of memory halves."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Budget", "make_batches"]

_LEAST_FILL = 0.75
"""A text shorter than this share of the longest in a padded batch starts a new one: padding is work for nothing."""

Counts = NDArray[np.int64]


@dataclass(slots=True)
class Budget:
    """Tokens in a forward pass, with whatever had to be given up on the way."""

    tokens: int
    halved_from: list[int] = field(default_factory=list)

    def halve(self) -> None:
        """Give up half of it."""
        self.halved_from.append(self.tokens)
        self.tokens = max(1, self.tokens // 2)

    def note(self, name: str) -> str:
        """Say what was given up; empty if nothing was."""
        if not self.halved_from:
            return ""
        return (
            f"{name}: out of memory at {', '.join(f'{tokens:,}' for tokens in self.halved_from)} tokens a batch; went "
            f"on with {self.tokens:,} (--batch-tokens {self.tokens} avoids the failed attempts)"
        )


def make_batches(
    longest: Counts, n_sequences: Counts, budget: Budget, *, packed: bool, rope_boundary: int | None = None
) -> Iterator[Counts]:
    """Group texts, given longest first, into batches; the budget is read anew for every batch.

    A model that changes its rotary factors beyond a length does so for a whole batch: texts on either side of
    that length are never in one batch.

    Parameters
    ----------
    longest, n_sequences : ndarray of int64, shape (n_texts,)
        Tokens of the longest sequence, and sequences, of each text.
    packed : bool
        Whether sequences lie end to end, so that a batch costs its tokens; else it costs its longest times all.

    Yields
    ------
    ndarray of int64
        Places of the texts of one batch; a text beyond the budget is a batch of its own.
    """
    start = 0
    while start < len(longest):
        stop, rows, tokens = start, 0, 0
        while stop < len(longest):
            rows += int(n_sequences[stop])
            tokens += int(n_sequences[stop] * longest[stop])
            over = (tokens if packed else rows * int(longest[start])) > budget.tokens
            crosses = rope_boundary is not None and longest[start] > rope_boundary >= longest[stop]
            sparse = not packed and longest[stop] < _LEAST_FILL * longest[start]
            if stop > start and (over or crosses or sparse):
                break
            stop += 1
        yield np.arange(start, stop)
        start = stop
