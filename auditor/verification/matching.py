"""Matching of figures: those that an audit states and those computed again, equal but for rounding."""

import math
from collections.abc import Collection, Sequence
from dataclasses import fields, is_dataclass

import numpy as np

from ..documents.estimate import Estimate

__all__ = ["RELATIVE", "close", "compare", "inside", "left_out", "numbers"]

RELATIVE, _ABSOLUTE = 1e-9, 1e-12
"""Differences that another version of a library may make by rounding."""


def compare(
    pairs: Sequence[tuple[str, Estimate, Estimate]], *, known: bool, unsure: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Compare estimates by name, with their intervals where the clusters are known; and name those without."""
    differences, without = list[str](), list[str]()
    for name, stated, found in pairs:
        if known and name not in unsure:
            stated_df = () if stated.df is None else ("df",)  # audits of an earlier version do not state them
            for part in ("value", "low", "high", "level", "n_members", "n_non_members", *stated_df):
                differences += numbers(f"{name}.{part}", getattr(stated, part), getattr(found, part))
            if stated.method != found.method:
                differences.append(f"{name}.method: not the method that gives these figures")
        else:
            without.append(name)
            if stated.value is not None and found.value is not None:
                differences += numbers(f"{name}.value", stated.value, found.value)
    return differences, without


def left_out(without: Sequence[str], left: Sequence[str]) -> str:
    """Say which intervals, and which figures, were left as they are."""
    intervals = f"; not the intervals of {', '.join(without)}, which rest on clusters of texts" if without else ""
    return intervals + (f"; not {', '.join(left)}" if left else "")


def numbers(name: str, stated: float | None, found: float | None) -> list[str]:
    """Say that two numbers differ, if they do."""
    return [] if close(stated, found) else [f"{name}: {stated} stated, {found} found"]


def close(stated: float | None, found: float | None) -> bool:
    """Whether two numbers are the same but for rounding; None is only like None."""
    if stated is None or found is None:
        return stated is found
    return math.isclose(stated, found, rel_tol=RELATIVE, abs_tol=_ABSOLUTE)


def inside(name: str, stated: object, found: object) -> list[str]:
    """Compare two dataclasses of sequences of numbers."""
    if stated is None or found is None or not is_dataclass(stated):
        return [] if stated is found else [f"{name}: {'none' if stated is None else 'one'} stated"]
    for f in fields(stated):
        ours, theirs = getattr(stated, f.name), getattr(found, f.name)
        if not isinstance(ours, str) and (
            len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=RELATIVE, atol=_ABSOLUTE)
        ):
            return [f"{name}.{f.name}: other numbers than the samples give"]
    return []
