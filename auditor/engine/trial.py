"""The trial of a loaded model: a few sequences of the user's own texts, on which it is tried before it is trusted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .batches import Budget
from .tokens import TokenSequence

__all__ = ["Trial"]

_LEAST_TOKENS = 16
"""Of the longest sequence, however small the budget is."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model is tried on; see :meth:`auditor.engine.forward.Scorer.check`.

    Parameters
    ----------
    batch : tuple of TokenSequence
        The longest sequence that will be scored, its own first four fifths (as batches hold texts of about one
        length), and a short one, at most half as long: a batch of them has padding whatever the texts are.
    other : TokenSequence
        The longest sequence again, but with other tokens of the texts from ``n_start`` on: same start, other future.
    n_start : int
        How many ids the two share. Odd, so that a model that attends both ways within blocks of 2, 4, ... tokens
        (block diffusion) sees from one side to the other.
    """

    batch: tuple[TokenSequence, TokenSequence, TokenSequence]
    other: TokenSequence
    n_start: int

    @classmethod
    def of(
        cls,
        longest: TokenSequence,
        shortest: TokenSequence,
        budget: Budget | None = None,
        *,
        boundary: int | None = None,
    ) -> "Trial":
        """Make a trial of the longest and the shortest sequence that will be scored.

        Parameters
        ----------
        budget : Budget, optional
            All sequences of the trial's batch, padded, are within it; longer ones are cut.
        boundary : int, optional
            Length at which the model changes its rotary factors for a whole batch: no sequence goes beyond it.
        """
        longest, shortest = replace(longest, skipped=()), replace(shortest, skipped=())  # all of them is tried
        n_shared, first = longest.n_shared, longest.first_scored
        limits = [max(_LEAST_TOKENS, budget.tokens // 3)] if budget else []
        limits += [boundary] if boundary else []
        longest = _cut(longest, n_shared + min(limits, default=len(longest.ids)))
        n = len(longest.ids)
        batch = (longest, _cut(longest, n - (n - n_shared) // 5), _cut(shortest, n - (n - n_shared) // 2))
        n_start = max(n_shared + (n - n_shared + 1) // 2, first)
        n_start -= n_start % 2 == 0 and n_start > first
        future = _exchanged(longest.ids[n_start:], shortest.ids[shortest.first_scored :])
        return cls(batch, replace(longest, ids=(*longest.ids[:n_start], *future)), n_start)


def _cut(sequence: TokenSequence, n_tokens: int) -> TokenSequence:
    """Cut a sequence, though never so that nothing of it is scored."""
    return replace(sequence, ids=sequence.ids[: max(n_tokens, sequence.first_scored + 1)])


def _exchanged(ids: Sequence[int], more: Sequence[int]) -> Iterator[int]:
    """Put another id in the place of each, out of those that there are."""
    there = sorted({*ids, *more})
    if len(there) == 1:
        there.append(there[0] - 1 if there[0] else 1)
    follower = dict(zip(there, [*there[1:], there[0]], strict=True))
    return (follower[one] for one in ids)
