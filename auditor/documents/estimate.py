"""Estimates: a number with its interval, its method and its n, and the curves and counts that go with them."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, Self

from .files import document

__all__ = ["CountAtFpr", "Estimate", "EstimateAtFpr", "Histogram", "RocCurve", "TprAtFpr"]


@document
class Estimate:
    """A number that never travels alone: its interval, how it was made, and from how many samples."""

    value: float | None
    """Value of the estimate; null if undefined, never NaN or infinite."""
    low: float | None
    """Lower end of the interval; null if undefined."""
    high: float | None
    """Upper end of the interval; null if undefined."""
    level: float
    """Confidence level of the interval."""
    method: str
    """How the interval was made."""
    n_members: int
    """Number of members behind the estimate."""
    n_non_members: int
    """Number of non-members behind the estimate."""
    undefined_reason: str | None = None
    """Why there is no value; null if there is one."""
    unseen_below: float | None = None
    """Of a mean of bits: share of the samples below which those that hold bits may all have been missed; else null."""
    df: float | None = None
    """Degrees of freedom of the t quantile that the interval was made with; null if it was made with another one."""
    caveat: str | None = None
    """Of which values the interval may hold less often than its level says; null if of none that was simulated."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.n_members < 0 or self.n_non_members < 0:
            raise ValueError(f"an estimate has a level between 0 and 1 and no negative counts, got {self.level}")
        ends = (self.low, self.value, self.high)
        if self.undefined_reason is not None:
            if any(end is not None for end in ends):
                raise ValueError("an undefined estimate has no value and no interval")
            return
        low, value, high = ends
        if low is None or value is None or high is None:
            raise ValueError("an estimate needs value, low and high, or an undefined_reason")
        if not all(math.isfinite(end) for end in (low, value, high)):
            raise ValueError(f"an estimate must be finite, got {ends}")
        if not low <= value <= high:
            raise ValueError(f"an estimate must lie in its interval, got {value} outside [{low}, {high}]")
        if self.df is not None and not 0 < self.df < math.inf:
            raise ValueError(f"degrees of freedom must be positive and finite, got {self.df}")

    @classmethod
    def undefined(
        cls, reason: str, *, level: float, method: str = "none", n_members: int = 0, n_non_members: int = 0
    ) -> "Estimate":
        """Say that a number cannot be given, and why."""
        return cls(
            value=None,
            low=None,
            high=None,
            level=level,
            method=method,
            n_members=n_members,
            n_non_members=n_non_members,
            undefined_reason=reason,
        )

    def parts(self) -> dict[str, Any]:
        """Return the fields that every estimate has, without what a subclass adds."""
        return {field.name: getattr(self, field.name) for field in fields(Estimate)}

    def mapped(self, function: Callable[[float], float], *, method: str | None = None) -> "Estimate":
        """Apply an increasing function to value and interval (AUC from a separation, a total from a mean)."""
        if self.value is None or self.low is None or self.high is None:
            return self
        return replace(
            self,
            value=function(self.value),
            low=function(self.low),
            high=function(self.high),
            method=method or self.method,
        )

    def scaled(self, factor: float, *, method: str | None = None) -> "Estimate":
        """Multiply value and interval by a positive constant (a change of unit, a total from a mean)."""
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"factor must be positive and finite, got {factor}")
        return self.mapped(lambda end: end * factor, method=method)


@document
class EstimateAtFpr(Estimate):
    """An estimate at a false-positive rate of at most ``fpr``."""

    fpr: float
    """False-positive rate that is not exceeded."""

    @classmethod
    def at(cls, fpr: float, estimate: Estimate) -> Self:
        """Attach the false-positive rate to an estimate."""
        return cls(fpr=fpr, **estimate.parts())


@document
class TprAtFpr(EstimateAtFpr):
    """The largest true-positive rate with a false-positive rate of at most ``fpr``; no interpolation."""


@document
class CountAtFpr(EstimateAtFpr):
    """How many members lie beyond the threshold with a false-positive rate of at most ``fpr``."""


@document
class RocCurve:
    """Operating points from the strictest threshold to the most lenient; thinned for the file, ends kept."""

    fpr: tuple[float, ...]
    """False-positive rates, increasing."""
    tpr: tuple[float, ...]
    """True-positive rates, one for each false-positive rate."""

    def __post_init__(self) -> None:
        if len(self.fpr) != len(self.tpr) or len(self.fpr) < 2:
            raise ValueError("a curve has as many true-positive as false-positive rates, at least two")
        for rates in (self.fpr, self.tpr):
            if not all(0 <= rate <= 1 for rate in rates) or any(one > other for one, other in pairwise(rates)):
                raise ValueError("rates of a curve lie between 0 and 1 and never fall")


@document
class Histogram:
    """Counts of members and non-members in shared bins (``len(edges) - 1`` of them)."""

    unit: str
    """Unit of the edges."""
    edges: tuple[float, ...]
    """Edges of the bins, increasing."""
    members: tuple[int, ...]
    """Number of members in each bin."""
    non_members: tuple[int, ...]
    """Number of non-members in each bin."""

    def __post_init__(self) -> None:
        if not len(self.members) == len(self.non_members) == len(self.edges) - 1 or not self.members:
            raise ValueError("a histogram has one edge more than bins, at least two, and a count of each side a bin")
        if any(one > other for one, other in pairwise(self.edges)) or min(*self.members, *self.non_members) < 0:
            raise ValueError("edges of a histogram never fall, and its counts are not negative")
