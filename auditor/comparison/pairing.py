"""Pairs of samples of two audits: the same text on the same side, cut at the same place."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..documents.comparison import Pairing
from ..documents.sample_table import SampleTable
from ..errors import ResultError

__all__ = ["Matched", "match_samples"]

Rows = NDArray[np.int64]

LEAST = 2
"""Pairs that a side needs for a paired estimate."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """Rows of the matched samples in both tables, shape (n_matched,), in an order that no table's order changes."""

    old: Rows
    new: Rows
    pairing: Pairing


def match_samples(old: SampleTable, new: SampleTable) -> Matched:
    """Match the samples of two audits.

    Raises
    ------
    ResultError
        If more texts changed sides than can be compared: the audits then ask about different members.
    """
    ours, theirs = _keys(old), _keys(new)
    common = sorted(ours.keys() & theirs.keys())
    rows = [np.array([keys[key] for key in common], dtype=np.int64) for keys in (ours, theirs)]
    alone = [
        Counter((text, member) for text, member, *_ in keys.keys() - other.keys())
        for keys, other in ((ours, theirs), (theirs, ours))
    ]
    changed = _changed_sides(old, new)
    _refuse_other_sides(changed, len({text for text, *_ in common}))
    n_members = int(old.is_member[rows[0]].sum())
    n_non_members = len(common) - n_members
    both_have = not old.is_member.all() and not new.is_member.all()
    pairing = Pairing(
        paired=n_members >= LEAST and (n_non_members >= LEAST or not both_have),
        n_members=n_members,
        n_non_members=n_non_members,
        n_members_only_old=int(old.is_member.sum()) - n_members,
        n_members_only_new=int(new.is_member.sum()) - n_members,
        n_non_members_only_old=int((~old.is_member).sum()) - n_non_members,
        n_non_members_only_new=int((~new.is_member).sum()) - n_non_members,
        n_cut_differently=sum((alone[0] & alone[1]).values()),
        n_changed_sides=changed,
    )
    return Matched(old=rows[0], new=rows[1], pairing=pairing)


def _keys(samples: SampleTable) -> dict[tuple[str, bool, int, int], int]:
    """Name each row by its text, side, scored bytes, and its number among those that agree in all three."""
    seen: Counter[tuple[str, bool, int]] = Counter()
    keys: dict[tuple[str, bool, int, int], int] = {}
    for row in sorted(range(len(samples.sample_id)), key=samples.sample_id.__getitem__):
        same = samples.text_sha256[row], bool(samples.is_member[row]), int(samples.n_bytes[row])
        keys[*same, seen[same]] = row
        seen[same] += 1
    return keys


def _changed_sides(old: SampleTable, new: SampleTable) -> int:
    """Count texts that stand on one side only in each audit, and on the other one in the other."""
    members, others = zip(*(_only_on(samples) for samples in (old, new)), strict=True)
    return len(members[0] & others[1]) + len(others[0] & members[1])


def _only_on(samples: SampleTable) -> tuple[set[str], set[str]]:
    """Texts of the members and of the non-members, without those that are both."""

    def texts(here: Iterable[bool]) -> set[str]:
        return {text for text, counted in zip(samples.text_sha256, here, strict=True) if counted}

    members, others = texts(samples.is_member), texts(~samples.is_member)
    return members - others, others - members


def _refuse_other_sides(n_changed: int, n_common: int) -> None:
    if n_changed > n_common:
        raise ResultError(
            f"{n_changed} texts are members in one audit and non-members in the other, and {n_common} stand on the "
            "same side in both: the audits ask about different members and cannot be compared (was --members swapped "
            "with --non-members?); audit both models on the same members and non-members"
        )
