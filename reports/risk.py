"""Risk, told: probabilities of membership, the worst members, and where the risk is concentrated."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from auditor.documents.estimate import Estimate
from auditor.documents.result import AuditResult, RiskBreakdown, RiskGroup, RiskResult, StabilityResult, TailResult

from .escaping import as_code, uncoded, visible
from .numbers import Count, Quantity, p_value, percent, plain, plural
from .probabilities import calibration_quantities, calibration_sentence

__all__ = [
    "DIFFERENT",
    "GROUPS",
    "BreakdownRow",
    "TailRow",
    "above_sentence",
    "breakdown_rows",
    "breakdown_sentence",
    "breakdown_title",
    "column_title",
    "drawn_breakdown",
    "has_bits",
    "left_out_sentence",
    "most_at_risk",
    "probabilities_sentence",
    "quantities",
    "rarity_sentence",
    "shown_breakdowns",
    "stability_sentence",
    "stand_out_rows",
    "tail_rows",
    "tails_caveat",
    "too_small_sentence",
]

GROUPS = 12
"""Groups shown of one breakdown; the statistician's table holds the others."""

DIFFERENT = 0.05
"""Adjusted p-value up to which groups are said to differ."""

_LABEL = 60
_NAMED = 5
_BY = {"group": "group", "length": "length", "rarity": "rarity of the words", "script": "script",
       "copies": "number of copies"}  # fmt: skip


class TailRow(NamedTuple):
    """The worst share of the members: what they hold on average, and at least."""

    label: str
    mean: Quantity
    least: Quantity


class BreakdownRow(NamedTuple):
    """The members of one group; ``bits`` is None without a reference."""

    label: str
    n_members: int
    bits: Quantity | None
    auc: Quantity
    posterior: Quantity


def probabilities_sentence(risk: RiskResult) -> str:
    """Say what the probabilities were made of, and whether they can be taken at their word, or why there are none."""
    if risk.undefined_reason is not None:
        return f"No probabilities of membership: {uncoded(risk.undefined_reason)}."
    made = f"Each text's probability of membership comes from the attack {as_code(risk.posterior_attack or '')}."
    return f"{made} {uncoded(calibration_sentence(risk.calibration))}"


def above_sentence(risk: RiskResult) -> str:
    """Count who is named with confidence, rightly and wrongly; empty without probabilities."""
    if risk.members_above is None or risk.non_members_above is None:
        return ""
    brier = risk.calibration.brier if risk.calibration else None
    members = f" of {brier.n_members:,}" if brier and brier.n_members else ""
    others = f" of {brier.n_non_members:,}" if brier and brier.n_non_members else ""
    return (
        f"Beyond a probability of 90%: {risk.members_above:,}{members} members, and "
        f"{risk.non_members_above:,}{others} non-members, which are false alarms."
    )


def tail_rows(risk: RiskResult) -> tuple[TailRow, ...]:
    """Write the worst shares of the members, the worst first."""
    return tuple(
        TailRow(f"Worst {percent(tail.share)}", *_tail(tail)) for tail in sorted(risk.tails, key=lambda t: t.share)
    )


def _tail(tail: TailResult) -> tuple[Quantity, Quantity]:
    worst = f"worst {percent(tail.share)}"
    return (
        Quantity(label=f"Mean bits, {worst}", unit="bits per member", estimate=tail.mean_bits),
        Quantity(label=f"Least bits, {worst}", unit="bits", estimate=tail.quantile_bits),
    )


def stand_out_rows(risk: RiskResult) -> tuple[Quantity, ...]:
    """Count the members who stand out; none in files of older auditors."""
    found = risk.stand_out
    if found is None:
        return ()
    others = found.n_beyond_every_non_member.n_non_members
    above = f"More than {plain(found.threshold_bits)} bits"
    return (
        Count(
            label=f"Above the highest of {plural(others, 'non-member')}",
            unit="members",
            estimate=found.n_beyond_every_non_member,
        ),
        *([] if found.n_above_bits is None else [Count(label=above, unit="members", estimate=found.n_above_bits)]),
        *(
            Count(label=f"Identified at {percent(one.fpr)} false alarms", unit="members", estimate=one)
            for one in found.n_identified
        ),
    )


def tails_caveat(result: AuditResult) -> str:
    """Say how much of the worst members' bits need not be memory of them; empty if nothing points to that."""
    memory = result.memorization
    if memory is None:
        return ""
    if not memory.calibrated:
        return "Without non-members it is not known how many of these bits unseen texts of the kind have, too."
    others = memory.mean_bits_non_members
    if others.low is None or others.low <= 0:
        return ""
    bits = Quantity(label="", unit="bits", estimate=others)
    return f"Of these, {bits.text} are what non-members have on average."


def breakdown_title(part: RiskBreakdown) -> str:
    """Name a breakdown, with the unit of its labels where it needs one."""
    return f"By {_BY[part.by]}" + (f" ({_unit(part)})" if _unit(part) else "")


def column_title(part: RiskBreakdown) -> str:
    """Name the column of a breakdown's labels, with their unit."""
    return part.by.capitalize() + (f" ({_unit(part)})" if _unit(part) else "")


def _unit(part: RiskBreakdown) -> str:
    if not part.unit or part.by not in ("length", "rarity"):
        return ""
    return part.unit + (", higher is rarer" if part.by == "rarity" else "")


def shown_breakdowns(risk: RiskResult) -> tuple[RiskBreakdown, ...]:
    """Order the breakdowns: those whose groups differ most surely first, the undefined last."""
    return tuple(sorted(risk.breakdowns, key=lambda part: 2.0 if part.p_value is None else part.p_value))


def drawn_breakdown(risk: RiskResult) -> RiskBreakdown | None:
    """Pick the breakdown that is drawn: the surest that has two groups with an AUC."""
    for part in shown_breakdowns(risk):
        if sum(group.auc.value is not None for group in part.groups) > 1:
            return part
    return None


def breakdown_rows(part: RiskBreakdown) -> tuple[BreakdownRow, ...]:
    """Write at most twelve groups: named ones and scripts by their risk, lengths and copies in their order."""
    groups = sorted(part.groups, key=_risk) if part.by in ("group", "script") else part.groups
    return tuple(
        BreakdownRow(visible(group.label, _LABEL), group.n_members, *_group(group)) for group in groups[:GROUPS]
    )


def _risk(group: RiskGroup) -> tuple[float, float, str]:
    """Order by AUC, the highest first; of equal ones that with more bits, then by label."""
    bits = None if group.mean_bits is None else group.mean_bits.value
    return -(-1.0 if group.auc.value is None else group.auc.value), -bits if bits is not None else math.inf, group.label


def _group(group: RiskGroup) -> tuple[Quantity | None, Quantity, Quantity]:
    return (
        None if group.mean_bits is None else Quantity(label="Mean bits", unit="bits", estimate=group.mean_bits),
        Quantity(label="AUC", unit="", estimate=group.auc),
        Quantity(label="Mean probability", unit="%", estimate=group.posterior),
    )


def has_bits(part: RiskBreakdown) -> bool:
    """Whether bits are known of any group."""
    return any(group.mean_bits is not None for group in part.groups)


def most_at_risk(part: RiskBreakdown) -> RiskGroup | None:
    """Find the group on which the attack does best; of equal ones that with the most bits."""
    known = [group for group in part.groups if group.auc.value is not None]
    return min(known, key=_risk, default=None)


def breakdown_sentence(part: RiskBreakdown) -> str:
    """Say whether the groups differ, and which is most at risk."""
    if part.undefined_reason is not None or part.p_value is None:
        return f"Not defined: {part.undefined_reason or 'no reason given'}."
    p = p_value(part.p_value)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    if part.p_value > DIFFERENT:
        return f"No measurable difference between {plural(len(part.groups), 'group')} (adjusted {p})."
    worst = most_at_risk(part)
    most = ""
    if worst is not None:
        area = Quantity(label="", unit="", estimate=worst.auc)
        most = f"; most at risk: {_spoken(part, worst)}, AUC {area.text}"
        tied = sum(group.auc.value == worst.auc.value for group in part.groups) - 1
        most += f" (as high: {plural(tied, 'other group')})" if tied else ""
    return f"The risk differs (adjusted {p}){most}."


def _spoken(part: RiskBreakdown, group: RiskGroup) -> str:
    """Name a group in a sentence, with what its label counts."""
    label = visible(group.label, _LABEL)
    if part.by == "copies":
        return f"{label} {'copy' if label == '1' else 'copies'}"
    if part.by == "rarity":
        return f"rarity {label}"
    return f"{label} {visible(part.unit, _LABEL)}".rstrip() if part.by == "length" else label


def left_out_sentence(part: RiskBreakdown) -> str:
    """Count the groups that are not shown, and name those too small to compare."""
    hidden = max(0, len(part.groups) - GROUPS)
    more = f"{plural(hidden, 'more group')} in report.html, under every number." if hidden else ""
    return f"{more} {too_small_sentence(part)}".strip()


def too_small_sentence(part: RiskBreakdown) -> str:
    """Name the groups that are too small to compare; empty if there are none."""
    lines = []
    if part.pooled:
        lines.append(f"Too small to compare alone: {_listed(part.pooled, part.n_groups_left_out)}.")
    elif part.n_groups_left_out:  # as audits were written before
        lines.append(f"{plural(part.n_groups_left_out, 'smaller group')} left out.")
    unmeasured = [group for group in part.groups if group.auc.value is None]
    if len(unmeasured) < len(part.groups):
        small = [f"{_spoken(part, group)} ({plural(group.n_members, 'member')})" for group in unmeasured]
        lines += [f"Too small to compare: {_listed(small, len(small))}."] if small else []
    return " ".join(lines)


def _listed(names: Sequence[str], n: int) -> str:
    """Name the first few of ``n`` groups."""
    shown = ", ".join(visible(name, _LABEL) for name in names[:_NAMED])
    return f"{shown} and {n - _NAMED:,} more" if n > _NAMED else shown


def rarity_sentence(found: Estimate | None) -> str:
    """Say whether members of rarer words hold more; empty if it cannot be told."""
    if found is None or found.value is None or found.low is None or found.high is None:
        return ""
    more = "more" if found.low > 0 else "fewer" if found.high < 0 else "not measurably more or fewer"
    rank = Quantity(label="", unit="", estimate=found)
    return (
        f"Of {plural(found.n_members, 'member')} with bits above 0, those of rarer words hold {more}: Spearman's "
        f"correlation {rank.text}."
    )


def stability_sentence(stability: StabilityResult | None) -> str:
    """Say whether other references would name the same members; empty if there is one reference at most."""
    if stability is None:
        return ""
    same = stability.same_worst
    lead = "much the same" if same >= 0.7 else "partly the same" if same >= 0.4 else "largely other"
    return (
        f"Another reference would name {lead} members as most at risk: between pairs of {stability.n_references} "
        f"references (or mixtures of shadow models), {_share(same)} of the worst {percent(stability.worst_share)} "
        f"agree (lowest pair {_share(stability.same_worst_lowest)}), and bits correlate at "
        f"{stability.rank_correlation:.2f} in rank (lowest pair {stability.rank_correlation_lowest:.2f})."
    ).replace("-0.", "−0.")


def _share(share: float) -> str:
    return f"{100 * share:.0f}%"


def quantities(risk: RiskResult) -> Iterator[tuple[str, Quantity]]:
    """Walk every estimate with the part of the statistician's table that it belongs to."""
    if risk.calibration is not None:
        for quantity in calibration_quantities(risk.calibration):
            yield "at risk: probabilities", quantity
    for quantity in stand_out_rows(risk):
        yield "at risk: who stands out", quantity
    for tail in risk.tails:
        for quantity in _tail(tail):
            yield "at risk: the worst members", quantity
    if risk.rarity_correlation is not None:
        label = "Spearman's correlation of bits and rarity"
        yield "at risk by rarity", Quantity(label=label, unit="", estimate=risk.rarity_correlation)
    for part in risk.breakdowns:
        for group in part.groups:
            for found in _group(group):
                if found is not None:
                    label = f"{found.label}, {visible(group.label, _LABEL)}"
                    yield f"at risk by {part.by}", Quantity(label=label, unit=found.unit, estimate=found.estimate)
