"""Phrases of a gate in every format: its figure, its limit, its outcome in words, and how bad that is."""

import re
from collections.abc import Sequence

from auditor.documents.estimate import Estimate
from auditor.documents.gates import GateOutcome, GateReport, Outcome
from reports.escaping import ID, visible
from reports.numbers import Change, Count, Quantity, number, p_value, percent, plural, unseen
from reports.soundness import spoken
from reports.tones import Tone

__all__ = [
    *("LABELS", "REMEDIES", "blocks", "correction", "counted", "figure", "heading", "interval", "limit", "made"),
    *("notes", "outcome", "p_shown", "reason", "remedies", "sample_line", "sentence", "shown_interval", "soundness"),
    *("title", "tone", "unvouched", "verdict", "waiver", "worst_first"),
]

LABELS = {
    "audit": "memorization",
    "prediction": "predicted memorization",
    "comparison": "change of memorization",
}
"""What was judged, in a word or two, by kind of document."""

REMEDIES: dict[Outcome, str] = {
    "fail": (
        "Beyond the limit: look at the most memorized samples in the report, take out or deduplicate them, train for "
        "fewer epochs or with differential privacy, and audit again. A risk that is accepted is written into the "
        "policy as a waiver with a reason and an expiry date."
    ),
    "refused": "Refused: mend what the reason and the soundness checks of the report name first, then audit again.",
    "inconclusive": "Inconclusive: audit more texts, so that the interval narrows; measure what is said to be missing.",
}
"""What to do about a gate that does not pass, by what came of it."""

_WORDS = {
    "pass": "within the limit",
    "fail": "beyond the limit",
    "inconclusive": "cannot be told",
    "refused": "no verdict",
}
_WORST: tuple[Outcome, ...] = ("fail", "refused", "inconclusive", "pass")
_SOUNDNESS = {
    "pass": "The soundness checks of the audit passed.",
    "warn": "A soundness check of the audit warns: read the figures with care.",
    "veto": "A soundness check of the audit forbids a verdict: the figures are for diagnosis only.",
}
_COUNTED: dict[Outcome, str] = {"fail": "failed"}
_CHECK = re.compile(r"[a-z_]+")
_SHOWN_IDS = 5
_IN_REPORT = "the most memorized samples in the report"


def blocks(gate: GateOutcome, report: GateReport) -> bool:
    """Tell whether the gate breaks the build: it stops the run, and the run is not one that only warns."""
    return gate.stops and not report.warn_only


def tone(gate: GateOutcome) -> Tone:
    """Say how bad the outcome is."""
    return "ok" if gate.outcome == "pass" else "bad" if gate.stops else "warn"


def worst_first(report: GateReport) -> tuple[GateOutcome, ...]:
    """Order the gates: what stops the run, what does not pass, what passes; else as in the policy."""
    return tuple(sorted(report.gates, key=lambda gate: (not gate.stops, _WORST.index(gate.outcome))))


def _exact(value: float, unit: str) -> str:
    if unit == "%":
        return percent(value).replace("-", "−")
    return number(value, 0) if abs(value) >= 1e5 else f"{value:.6g}".replace("-", "−")


def _with_unit(text: str, unit: str) -> str:
    return visible(text if unit in ("", "%") else f"{text} {unit}")


def _is_band(gate: GateOutcome) -> bool:
    return gate.level is None and gate.low is not None and gate.high is not None and gate.low < gate.high


def _of_band(value: float, gate: GateOutcome) -> str:
    """Write a number of a band: value and ends with as many digits."""
    return number(value, 3 if abs(gate.high or 0) < 1000 else 0)


def _is_change(gate: GateOutcome) -> bool:
    return gate.metric.startswith("change.") or gate.metric.endswith(".change")


def _quantity(gate: GateOutcome) -> Quantity | None:
    """Return the figure as an estimate; None if it is undefined or has no interval."""
    if gate.value is None or gate.level is None:
        return None
    made = Estimate(
        value=gate.value,
        low=gate.low,
        high=gate.high,
        level=gate.level,
        method=gate.method,
        n_members=gate.n_members or 0,
        n_non_members=gate.n_non_members or 0,
    )
    kind = Change if _is_change(gate) else Count if gate.unit == "members" else Quantity
    return kind(label=gate.description, unit=gate.unit, estimate=made)


def figure(gate: GateOutcome) -> str:
    """Write the figure with its unit, a change with its sign; ``not defined`` if there is none.

    Its unit is written as :class:`reports.numbers.Quantity` does: ``"%"`` for a rate between 0 and 1, ``""`` for a
    pure number.
    """
    quantity = _quantity(gate)
    if quantity is not None:
        return visible(quantity.value_with_unit)
    if gate.value is None:
        return "not defined"
    return _with_unit(_of_band(gate.value, gate) if _is_band(gate) else _exact(gate.value, gate.unit), gate.unit)


def interval(gate: GateOutcome) -> str:
    """Write the interval, or the band of a prediction, as ``low to high``; empty if there is none."""
    if _is_band(gate):
        return " to ".join(_of_band(end, gate) for end in (gate.low, gate.high) if end is not None)
    quantity = _quantity(gate)
    return "" if quantity is None else quantity.span


def shown_interval(gate: GateOutcome) -> str:
    """Write the interval with its level, or why there is none."""
    if gate.level is not None and gate.value is not None:
        return f"{interval(gate)} ({percent(gate.level)})"
    if band := interval(gate):
        return f"{band} (band of the prediction)"
    return "—" if gate.value is None else "none: counted, not estimated"


def limit(gate: GateOutcome) -> str:
    """Write what the policy allows."""
    least, most = (None if end is None else _exact(end, gate.unit) for end in (gate.least, gate.most))
    if least is not None and most is not None:
        return _with_unit(f"{least} to {most}", gate.unit)
    if most is not None:
        return _with_unit(f"at most {most}", gate.unit)
    return "any value" if least is None else _with_unit(f"at least {least}", gate.unit)


def p_shown(gate: GateOutcome) -> str:
    """Write the p-value: the one adjusted for all gates, unless the policy adjusts none."""
    return p_value(gate.p_value if gate.p_value_holm is None else gate.p_value_holm)


def correction(report: GateReport) -> str:
    """Say how several gates are corrected for."""
    return f"Correction for several gates: {visible(report.correction)}."


def notes(report: GateReport) -> list[tuple[Tone, str]]:
    """List what is said beside the gates, what must not be overlooked first; checks are named in words."""
    made: list[tuple[Tone, str]] = [("warn", note) for note in report.notes]
    if report.doubts:
        made.append(("warn", f"read with care, checks warn: {_in_words(report.doubts)}"))
    if report.elsewhere and report.policy != "built-in":
        subject = "an audit" if report.kind == "audit" else f"a {report.kind}"
        what = "gate is" if len(report.elsewhere) == 1 else "gates are"
        made.append(("info", f"{len(report.elsewhere)} {what} not for {subject}: {', '.join(report.elsewhere)}"))
    if said := unvouched(report):
        made.append(("warn", said))
    return made


def unvouched(report: GateReport) -> str:
    """Say that what was judged came without checksums; empty if they agreed, or the document has none."""
    if report.checksums != "absent":
        return ""
    compared = report.kind == "comparison" or any(gate.metric.startswith("change.") for gate in report.gates)
    alone = "the result" if report.early_stop is None else "the verdict"
    what = "one of the audits" if compared else alone
    return f"without checksums: no checksums.json lay beside {what}, so a change made after the audit would not be seen"


def reason(gate: GateOutcome) -> str:
    """Say why the outcome is what it is, and what its interval cannot know of; checks are named in words."""
    why = f"the audit is not sound: {_in_words(gate.vetoes)}" if gate.vetoes else gate.reason
    return "; ".join(part for part in (why, unseen(gate.unseen_below), gate.caveat) if part)


def made(gate: GateOutcome) -> str:
    """Say how the interval was made, and what it cannot know of; empty of a figure without one."""
    return visible("; ".join(part for part in (gate.method, unseen(gate.unseen_below), gate.caveat) if part))


def _in_words(names: Sequence[str]) -> str:
    """Name checks as reports do; what is no check stays as it is."""
    return ", ".join(spoken(name) if _CHECK.fullmatch(name) else name for name in names)


def waiver(gate: GateOutcome) -> str:
    """Say which waiver covers the gate; empty if none does."""
    if gate.waived_by is None:
        return ""
    until = f" until {visible(gate.waived_until)}" if gate.waived_until else ""
    return f"waived{until}: {visible(gate.waived_by)}"


def outcome(gate: GateOutcome) -> str:
    """Say in words what came of the gate, and why that does not stop the run if it does not."""
    words = f"{gate.outcome}: {_WORDS[gate.outcome]}"
    if gate.outcome == "pass" or gate.stops:
        return words
    return f"{words}, {'waived' if gate.waived_by is not None else 'which the policy lets through'}"


def sample_line(gate: GateOutcome) -> str:
    """Name the first samples to look at, and say how many more there are; empty if there are none."""
    if not gate.sample_ids:
        return ""
    shown = ", ".join(visible(one, ID) for one in gate.sample_ids[:_SHOWN_IDS])
    more = len(gate.sample_ids) - _SHOWN_IDS
    return f"Samples to look at: {shown}{f', and {more:,} more' if more > 0 else ''}."


def sentence(gate: GateOutcome) -> str:
    """Say on one line what was measured, what is allowed and what follows."""
    between = f", {percent(gate.level)} interval {interval(gate)}" if gate.level and gate.value is not None else ""
    measured = f"{visible(gate.description)}: {figure(gate)}{between}; allowed: {limit(gate)}."
    through = "" if gate.stops or gate.outcome == "pass" else waiver(gate) or "the policy lets this through"
    return f"{measured} {gate.outcome.capitalize()}: {visible(reason(gate))}{f' ({through})' if through else ''}"


def remedies(*outcomes: Outcome, names_samples: bool) -> str:
    """Say what to do about these outcomes, the worst first; empty if all of them are passes.

    Parameters
    ----------
    names_samples : bool
        Whether a gate names samples to look at; only gates on single samples do.
    """
    said = " ".join(REMEDIES[one] for one in REMEDIES if one in outcomes)
    return said.replace(_IN_REPORT, "the samples that are named") if names_samples else said


def counted(report: GateReport, *, stopping: bool) -> str:
    """Count the gates that do not pass by what came of them: ``1 failed, 2 inconclusive``; empty if there are none."""
    found = [gate for gate in report.gates if gate.outcome != "pass" and gate.stops == stopping]
    waived = [gate for gate in found if gate.waived_by is not None and not gate.stops]
    rest = [gate.outcome for gate in found if gate not in waived]
    parts: list[tuple[int, str]] = [(rest.count(word), _COUNTED.get(word, word)) for word in _WORST]
    return ", ".join(f"{n:,} {word}" for n, word in (*parts, (len(waived), "waived")) if n)


def verdict(report: GateReport) -> str:
    """Say in a few words what the gates said: ``pass``, ``2 failed, 1 inconclusive``, ``pass, 1 waived``."""
    if not report.gates:
        return "no gates"
    if stopping := counted(report, stopping=True):
        return stopping
    through = counted(report, stopping=False)
    return f"pass, {through}" if through else "pass"


def heading(report: GateReport) -> str:
    """Say the same of all gates: ``4 of 4 gates failed``, ``2 of 5 gates failed, 1 inconclusive``."""
    if not any(gate.stops for gate in report.gates):
        return verdict(report)
    said = _of_all(report)
    return f"{said} (warnings only)" if report.warn_only else said


def _of_all(report: GateReport) -> str:
    """Count the gates that stop the run, and of how many: ``2 of 5 gates failed, 1 inconclusive``."""
    first, *rest = counted(report, stopping=True).split(", ")
    n, word = first.split(" ")
    return ", ".join((f"{n} of {plural(len(report.gates), 'gate')} {word}", *rest))


def title(report: GateReport) -> str:
    """Say in a sentence whether the run may go on."""
    many = plural(len(report.gates), "gate")
    through = counted(report, stopping=False)
    beside = f" Let through: {through}." if through else ""
    if not report.gates:
        return "The policy holds no gate: nothing was judged."
    if report.passed:
        return f"Passed: nothing stops this run.{beside}" if through else f"Passed: {many}, all within their limits."
    said = f"Not passed: {_of_all(report)}.{beside}"
    return f"{said} Warnings only: the run goes on." if report.warn_only else said


def soundness(report: GateReport) -> str:
    """Say whether the figures can be trusted; empty for documents that have no checks."""
    if report.soundness is None:
        return "" if report.kind != "audit" else "Unknown: no soundness check was run."
    return _SOUNDNESS[report.soundness]
