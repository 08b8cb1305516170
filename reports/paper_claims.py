"""A claim of the paper beside what was measured here, and the figures that claims are held against."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["NOMINAL_BITS", "TABLE_5", "PaperClaim", "by_count"]

T = TypeVar("T")

NOMINAL_BITS = 3.6
"""Bits per parameter that data are set against: the paper's round figure."""

TABLE_5 = (2.86, 4.23)
"""Least and most bits per parameter of a configuration in the paper's table 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperClaim:
    """A claim of the paper, and what was found.

    Parameters
    ----------
    part : str
        Of `auditor reproduce`.
    paper : str
        What the paper says, with its section.
    found : str
        What was measured here.
    agrees : bool or None
        None where the runs cannot say.
    why : str
        What the agreement or its absence rests on.
    """

    part: str
    paper: str
    found: str
    agrees: bool | None
    why: str

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return {True: "agrees", False: "does not agree", None: "cannot be told"}[self.agrees]


def by_count(items: Sequence[T], key: Callable[[T], int]) -> Iterator[list[T]]:
    """Group by a count, the smallest first, each in the order given."""
    for value in sorted({key(item) for item in items}):
        yield [item for item in items if key(item) == value]
