"""A gate's verdict as Markdown for the summary page of a CI job."""

import re
from collections.abc import Iterator

from auditor.documents.gates import GateOutcome, GateReport
from reports import escaping
from reports.numbers import percent, plural
from reports.to_markdown import code, details, escaped, table_lines
from reports.tones import SYMBOLS, TONES, Tone

from . import phrases

__all__ = ["gate_table", "to_summary", "waiver_table"]


def to_summary(report: GateReport) -> str:
    """Render the gates as GitHub-flavoured Markdown, the worst first; every string from the data is escaped."""
    label = phrases.LABELS[report.kind]
    lines = [
        f"## {SYMBOLS[_tone(report)]} {label[0].upper()}{label[1:]}: {phrases.heading(report)}",
        "",
        f"{escaped(phrases.title(report))} Judged: {code(report.subject, escaping.PATH)}.",
        "",
        *gate_table(report),
        *_samples(report),
        *waiver_table(report),
        *(f"- {'' if tone == 'info' else f'{SYMBOLS[tone]} '}{escaped(note)}" for tone, note in phrases.notes(report)),
        "",
        *([escaped(phrases.correction(report), 2 * escaping.LINE), ""] if report.gates else []),
        *_trusted(report),
        *_remedies(report),
        *details("Policy, document and how each interval was made", _ground(report)),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _tone(report: GateReport) -> Tone:
    tones = [phrases.tone(gate) for gate in report.gates]
    return "bad" if "bad" in tones else "warn" if "warn" in tones or not tones else "ok"


def gate_table(report: GateReport) -> list[str]:
    """Lay out all gates, the worst first."""
    rows = [
        (
            f"{SYMBOLS[phrases.tone(gate)]} {escaped(phrases.outcome(gate))}",
            f"{code(gate.gate)}<br>{escaped(gate.description)}",
            f"**{escaped(phrases.figure(gate))}**",
            escaped(phrases.shown_interval(gate)),
            escaped(phrases.limit(gate)),
            escaped(phrases.p_shown(gate)),
            escaped(phrases.reason(gate)),
        )
        for gate in phrases.worst_first(report)
    ]
    header = ("Outcome", "Gate", "Figure", "Interval", "Allowed", "p-value", "Why")
    return table_lines(header, rows, right=len(header)) if rows else []


def waiver_table(report: GateReport) -> list[str]:
    """Lay out the waivers that cover a gate, with their dates."""
    rows = [
        (code(gate.gate), escaped(gate.waived_by), escaped(gate.waived_until or "—"))
        for gate in report.gates
        if gate.waived_by is not None
    ]
    header = ("Waived", "Reason", "Last day")
    return ["**Waivers**", "", *table_lines(header, rows, right=len(header))] if rows else []


def _samples(report: GateReport) -> list[str]:
    gates = [gate for gate in phrases.worst_first(report) if gate.sample_ids and gate.outcome != "pass"]
    return [*(f"- {code(gate.gate)}: {escaped(phrases.sample_line(gate), 2 * escaping.LINE)}" for gate in gates), ""]


def _trusted(report: GateReport) -> list[str]:
    said = phrases.soundness(report)
    return [f"{SYMBOLS[TONES[report.soundness or 'warn']]} {escaped(said)}", ""] if said else []


def _remedies(report: GateReport) -> list[str]:
    named = any(gate.sample_ids for gate in report.gates if gate.outcome == "fail")
    said = phrases.remedies(*(gate.outcome for gate in report.gates), names_samples=named)
    return ["**What to do**", "", escaped(said, 2 * escaping.LINE), ""] if said else []


def _ground(report: GateReport) -> Iterator[str]:
    facts = (
        ("Document", report.result, escaping.PATH),
        ("SHA-256 of the document", report.result_sha256, escaping.ID),
        ("Policy", report.policy, escaping.PATH),
        ("SHA-256 of the policy", report.policy_sha256, escaping.ID),
        ("Auditor", report.auditor_version, escaping.ID),
    )
    yield from table_lines(("What", "Value"), [(name, code(text, limit)) for name, text, limit in facts], right=2)
    rows = [(code(gate.gate), code(gate.metric, escaping.PATH), _method(gate), _counts(gate)) for gate in report.gates]
    if rows:
        yield from table_lines(("Gate", "Metric", "Interval", "Texts"), rows, right=4)


def _method(gate: GateOutcome) -> str:
    level = f"{percent(gate.level)}, " if gate.level is not None else ""
    return escaped(f"{level}{phrases.made(gate)}") or "—"


def _counts(gate: GateOutcome) -> str:
    pairs = ((gate.n_members, "member"), (gate.n_non_members, "non-member"))
    return ", ".join(plural(n, noun) for n, noun in pairs if n is not None) or "—"
