"""Changes of every figure between two audits, text by text where the texts are the same."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..documents.comparison import MetricChange
from ..documents.estimate import Estimate
from ..documents.sample_extraction import SampleExtraction, is_extractable
from ..documents.sample_table import SampleTable
from ..stats import intervals
from ..stats.change import Change, auc_change, independent_change, mean_change, tpr_change
from ..stats.clusters import pick_groups, with_copies
from ..stats.metrics import auc, tpr_at_fpr
from ..stats.p_values import holm
from ..stats.rates import rate, rate_change, rate_difference
from .pairing import Matched

__all__ = ["metric_changes"]

Array = NDArray[np.float64]
Names = list[str | None] | None

BITS = {
    "debiased_bits_per_member": "memorized bits per member",
    "net_bits_per_member": "net bits per member",
    "mean_bits_members": "signed bits per member",
    "clipped_bits_per_member": "bits per member, clipped, uncalibrated",
}


DRAWN = {
    "rate_beyond": "members drawn out by one draw in 1,000, less non-members",
    "rate_members": "members drawn out by one draw in 1,000",
    "greedy_rate_beyond": "members written by greedy decoding, less non-members",
    "greedy_rate_members": "members written by greedy decoding",
}


class _View(NamedTuple):
    """The samples of one audit that are compared."""

    is_member: NDArray[np.bool_]
    groups: Names
    signed: Array | None
    memorized: Array | None
    scores: dict[str, Array]
    drawn: SampleExtraction | None


def metric_changes(
    old: SampleTable, new: SampleTable, matched: Matched, *, labels: Sequence[str], fprs: Sequence[float], level: float
) -> tuple[MetricChange, ...]:
    """Measure every change that both audits allow, with p-values adjusted over all of them.

    Parameters
    ----------
    old, new : SampleTable
    matched : Matched
        If it is paired, only its rows are used; otherwise all, and the two audits count as independent.
    labels : sequence of str
        Attacks that both audits ran alike, in the order of the rows.
    fprs : sequence of float
        False-positive rates.
    level : float
        Of every interval, each on its own.

    Returns
    -------
    tuple of MetricChange
        AUC and rates need non-members in both audits, as do bits less those of a non-member; bits need a reference
        in both.
    """
    paired = matched.pairing.paired
    if paired:
        first, second = _view(old, matched.old), _view(new, matched.new)
        groups = _joint_groups(old, new, matched)
        views = first._replace(groups=groups), second._replace(groups=groups)
    else:
        views = _view(old, np.arange(len(old.sample_id))), _view(new, np.arange(len(new.sample_id)))
    calibrated = not any(view.is_member.all() for view in views)
    rows = list(_bits_rows(views, calibrated, paired, level))
    rows += _extraction_rows(views, calibrated, paired, level)
    if calibrated:
        rows += [row for label in labels for row in _attack_rows(views, label, fprs, paired, level)]
    adjusted = holm([row.p_value for row in rows])
    return tuple(replace(row, p_value_holm=p) for row, p in zip(rows, adjusted, strict=True))


def _view(samples: SampleTable, rows: NDArray[np.int64]) -> _View:
    def part(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    return _View(
        is_member=samples.is_member[rows],
        groups=with_copies([samples.group[i] for i in rows], [samples.text_sha256[i] for i in rows]),
        signed=part(samples.signed_bits),
        memorized=part(samples.memorized_bits),
        scores={label: scores[rows] for label, scores in samples.scores.items()},
        drawn=None if samples.extraction is None else samples.extraction.of(rows),
    )


def _joint_groups(old: SampleTable, new: SampleTable, matched: Matched) -> Names:
    """Cluster of each pair: the newer audit's group, or the older one's where only that one names it."""
    named = [
        new.group[i] if new.group[i] is not None else old.group[j]
        for i, j in zip(matched.new, matched.old, strict=True)
    ]
    return with_copies(named, [new.text_sha256[i] for i in matched.new])


def _bits_rows(views: tuple[_View, _View], calibrated: bool, paired: bool, level: float) -> Iterator[MetricChange]:
    """Yield the changes of bits."""
    signed, memorized = [view.signed for view in views], [view.memorized for view in views]
    kinds = (
        [("debiased_bits_per_member", memorized, True), ("net_bits_per_member", signed, True)]
        if calibrated
        else [("clipped_bits_per_member", memorized, False)]
    )
    for name, values, against_others in [*kinds, ("mean_bits_members", signed, False)]:
        before, after = values
        if before is None or after is None:
            return
        old, new = (_mean(view, bits, against_others, level) for view, bits in zip(views, (before, after), strict=True))
        if paired:
            here = np.ones_like(views[1].is_member) if against_others else views[1].is_member
            groups = pick_groups(views[1].groups, here)
            change = mean_change(before[here], after[here], views[1].is_member[here], level=level, groups=groups)
        else:
            change = independent_change(old, new)
        yield _row(f"memorization.{name}", BITS[name], "bits", old, new, change, paired)


def _extraction_rows(
    views: tuple[_View, _View], calibrated: bool, paired: bool, level: float
) -> Iterator[MetricChange]:
    """Yield the changes of what can be drawn out, of the texts that are long enough (in both audits, if paired)."""
    before, after = (view.drawn for view in views)
    if before is None or after is None:
        return
    both = before.is_read & after.is_read if paired else None
    masks = [one.is_read if both is None else both for one in (before, after)]
    sides = [view.is_member & mask for view, mask in zip(views, masks, strict=True)]
    if not all(side.any() for side in sides):
        return
    here = [mask if calibrated else side for mask, side in zip(masks, sides, strict=True)]
    groups = [pick_groups(view.groups, rows) for view, rows in zip(views, here, strict=True)]
    members = [view.is_member[rows] for view, rows in zip(views, here, strict=True)]
    kinds = {
        "rate": [is_extractable(one.log2_p)[rows] for one, rows in zip((before, after), here, strict=True)],
        "greedy_rate": [one.is_greedy[rows] for one, rows in zip((before, after), here, strict=True)],
    }
    for name, hits in kinds.items():
        old, new = (
            rate_difference(one, side, level=level, groups=group)
            if calibrated
            else rate(one, level=level, groups=group)
            for one, side, group in zip(hits, members, groups, strict=True)
        )
        if paired:
            change = rate_change(hits[0], hits[1], members[1], level=level, groups=groups[1])
        else:
            change = independent_change(old, new)
        figure = f"{name}_{'beyond' if calibrated else 'members'}"
        yield _row(f"extraction.{figure}", DRAWN[figure], "share", old, new, change, paired)


def _mean(view: _View, bits: Array, against_others: bool, level: float) -> Estimate:
    """Mean of the members, less that of the non-members if asked for."""
    members = view.is_member
    ours, theirs = pick_groups(view.groups, members), pick_groups(view.groups, ~members)
    if not against_others:
        return intervals.mean(bits[members], level=level, groups=ours)
    return intervals.mean_difference(bits[members], bits[~members], level=level, groups_x=ours, groups_y=theirs)


def _attack_rows(
    views: tuple[_View, _View], label: str, fprs: Iterable[float], paired: bool, level: float
) -> Iterator[MetricChange]:
    """Yield the changes of an attack's AUC and rates."""
    before, after = (view.scores[label] for view in views)
    is_member, groups = views[1].is_member, views[1].groups

    def row(
        metric: str, description: str, unit: str, measure: Callable[[_View], Estimate], pair: Callable[[], Change]
    ) -> MetricChange:
        old, new = (measure(view) for view in views)
        change = pair() if paired else independent_change(old, new, bound=1.0)
        return _row(f"attacks.{label}.{metric}", description, unit, old, new, change, paired)

    def area(view: _View) -> Estimate:
        return auc(view.scores[label], view.is_member, level=level, groups=view.groups)

    yield row(
        "auc", f"AUC of {label}", "", area, lambda: auc_change(before, after, is_member, level=level, groups=groups)
    )
    for fpr in fprs:

        def rate(view: _View, fpr: float = fpr) -> Estimate:
            found = tpr_at_fpr(view.scores[label], view.is_member, fpr=fpr, level=level, groups=view.groups)
            return Estimate(**found.parts())  # the row says the false-positive rate

        def pair(fpr: float = fpr) -> Change:
            return tpr_change(before, after, is_member, fpr=fpr, level=level, groups=groups)

        yield row(f"tpr_at_fpr.{fpr:g}", f"TPR of {label} at an FPR of {100 * fpr:g}%", "share", rate, pair)


def _row(
    metric: str, description: str, unit: str, old: Estimate, new: Estimate, change: Change, paired: bool
) -> MetricChange:
    return MetricChange(
        metric=metric,
        description=description,
        unit=unit,
        old=old,
        new=new,
        change=change.estimate,
        p_value=change.p_value,
        p_value_holm=None,
        paired=paired,
    )
