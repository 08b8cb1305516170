"""The table of samples: who holds most bits, how surely each is recognised, and where in the text the bits lie."""

from collections.abc import Sequence
from typing import NamedTuple

from auditor.documents.result import AuditResult, TopSample
from auditor.estimates.grade import surest_count

from . import tokens
from .figure_rows import headline_bits
from .numbers import count, number, percent, plural
from .soundness import is_vetoed

__all__ = ["OPEN", "Column", "columns", "lede", "nothing_memorized", "nothing_sentence", "parts_note"]

OPEN = 3
"""Samples whose text is shown at once; that of the others unfolds."""


class Column(NamedTuple):
    """One property of all samples: its heading, whether it is a number, and a cell for each sample."""

    title: str
    is_number: bool
    cells: tuple[str, ...]


def nothing_memorized(result: AuditResult) -> bool:
    """Whether neither the members on average nor any of them holds measurably more than non-members do."""
    memory = result.memorization
    if memory is None or not memory.calibrated or is_vetoed(result):
        return False
    low, stand_out = headline_bits(memory).estimate.low, surest_count(result.risk)
    return low is not None and low <= 0 and (stand_out is None or not stand_out.low)


def nothing_sentence(result: AuditResult) -> str:
    """Say why no samples are listed."""
    n = result.data.members.n_samples
    return (
        f"None is listed: no measurable memory was found in {plural(n, 'member')}, and whichever of them were highest "
        "would be so by chance. The figures of all samples are in samples.csv and samples.parquet."
    )


def lede(samples: Sequence[TopSample]) -> str:
    """Say what the rows are, and what they are not."""
    return (
        f"The {plural(len(samples), 'member')} with the most bits. A single sample carries no interval: a large value "
        "may be chance in a large set. The figures of all samples are in samples.csv and samples.parquet."
    )


def columns(samples: Sequence[TopSample]) -> tuple[Column, ...]:
    """Lay out what is known of the samples beside their ids; what is the same for want of knowledge has no column."""
    sides = {one.is_member for one in samples}
    found = [
        _column("Side", ["member" if one.is_member else "non-member" for one in samples] if len(sides) > 1 else []),
        _column("Group", [one.group or "" for one in samples]),
        _numbers("Bits", [number(one.signed_bits, 1) for one in samples]),
        _numbers("Bits per token", [number(one.signed_bits / max(1, one.n_tokens), 2) for one in samples]),
        _numbers("Probability", [_share(one.posterior) for one in samples]),
        _numbers("Copies", [count(one.n_copies) if one.n_copies is not None else "" for one in samples]),
        _numbers("Tokens", [count(one.n_tokens) for one in samples]),
    ]
    return tuple(column for column in found if any(column.cells))


def _share(posterior: float | None) -> str:
    """Write a probability of membership, which is never said to be certain."""
    if posterior is None:
        return ""
    return "> 99.9%" if posterior > 0.999 else "< 0.1%" if posterior < 0.001 else percent(float(f"{posterior:.3g}"))


def _column(title: str, cells: Sequence[str]) -> Column:
    return Column(title, False, tuple(cells))


def _numbers(title: str, cells: Sequence[str]) -> Column:
    return Column(title, True, tuple(cells))


def parts_note(samples: Sequence[TopSample]) -> str:
    """Say what the strips show, or why there are none; empty in files of older auditors."""
    reasons = dict.fromkeys(one.tokens_undefined_reason for one in samples if one.tokens_undefined_reason)
    if reasons:
        return f"Where in a text the bits lie is not shown: {'; '.join(reasons)}."
    if not any(one.bits_by_position for one in samples):
        return ""
    _, top = tokens.scale_of(samples)
    return (
        "Where the bits lie: each bar is a part of the text, from beginning to end, and its height the bits that "
        f"the target holds of it beyond the reference, {plural(top, 'bit')} where it is highest; below the line, the "
        "reference expects the part more."
    )
