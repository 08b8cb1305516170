"""The verdict of the gates on the terminal: the worst first, one line a gate, and what the run does about it."""

from collections.abc import Iterator, Mapping

from rich.console import Group
from rich.text import Text

from auditor.documents.figures import Figure
from auditor.documents.gates import GateOutcome, GateReport

from . import escaping
from .ci import phrases
from .numbers import plain
from .tones import STYLES, SYMBOLS, Tone

__all__ = ["figure_lines", "last_line", "render_gates"]

_NOTES: dict[Tone, str] = {"warn": "yellow", "info": "dim"}
_IDS = 5
_NAME = 60
"""Longest name, of a gate or of a figure, that others are aligned with."""
_LINES = 35


def render_gates(report: GateReport, *, verbose: bool = True) -> Group:
    """Compose the lines; print them with ``soft_wrap``, so that a gate stays on one line.

    Parameters
    ----------
    verbose : bool
        Show every gate; otherwise the worst, as many as fit in a summary.
    """
    width = max((len(_name(gate)) for gate in report.gates), default=0)
    lines = [line for gate in phrases.worst_first(report) for line in _gate(gate, width)]
    notes = [Text(f"{SYMBOLS[tone]} {escaping.visible(note)}", _NOTES[tone]) for tone, note in phrases.notes(report)]
    shown = lines if verbose else lines[: max(1, _LINES - len(notes))]
    if len(shown) < len(lines):
        shown = [*shown, Text(f"{len(lines) - len(shown):,} lines more: --verbose", style="dim")]
    said = Text(f"Correction: {report.correction}", style="dim")
    return Group(_heading(report), *shown, *notes, said, last_line(report))


def figure_lines(figures: Mapping[str, tuple[Figure, ...]], *, aligned: bool) -> Iterator[str]:
    """Write what ``auditor gate --list`` says of each path, in columns for people or after a tab for programs."""
    names = [escaping.visible(path, escaping.PATH) for path in figures]
    width = max((len(name) for name in names if len(name) <= _NAME), default=0)
    for name, (path, found) in zip(names, figures.items(), strict=True):
        yield f"{name:<{width}}  {_figure(path, found)}" if aligned else f"{name}\t{_figure(path, found)}"


def _figure(path: str, figures: tuple[Figure, ...]) -> str:
    """Write a figure, or how many there are."""
    if len(figures) > 1:
        return f"{len(figures)} figures, a gate each"
    (figure,) = figures
    if figure.value is None or figure.low is None or figure.high is None:
        return f"not defined: {escaping.visible(figure.undefined_reason or '', escaping.LINE)}"
    ends = "" if figure.low == figure.high else f" [{plain(figure.low)} to {plain(figure.high)}]"
    sign = "+" if path.startswith("change.") and figure.level is not None and figure.value > 0 else ""
    return f"{sign}{plain(figure.value)}{ends} {figure.unit}".rstrip()


def _heading(report: GateReport) -> Text:
    subject, policy = (escaping.visible(text, escaping.PATH) for text in (report.subject, report.policy))
    judged = f"{report.kind} {escaping.visible(report.result, escaping.PATH)}"
    if report.early_stop is not None:
        judged = "audited until every gate is decided"
    line = Text(subject, style="bold").append(f" · {judged}", "not bold")
    return line.append(f" · policy {policy}", style="not bold dim")


def _name(gate: GateOutcome) -> str:
    return escaping.visible(gate.gate, _NAME)


def _gate(gate: GateOutcome, width: int) -> list[Text]:
    """Say what was measured, what is allowed and what follows; then the samples to look at."""
    tone = phrases.tone(gate)
    line = Text(f"{SYMBOLS[tone]} {_name(gate):<{width}}", style=f"bold {STYLES[tone]}")
    line.append(f"  {_measured(gate)}, {phrases.limit(gate)}: ", style="not bold default")
    line.append(phrases.outcome(gate).partition(":")[0].upper(), style=f"bold {STYLES[tone]}")
    line.append(f", {escaping.visible(phrases.reason(gate))}", style="not bold default")
    if gate.waived_by is not None:
        line.append(f" ({phrases.waiver(gate)})", style="not bold yellow")
    elif gate.outcome != "pass" and not gate.stops:
        line.append(" (the policy lets it through)", style="not bold yellow")
    if not gate.sample_ids:
        return [line]
    shown = ", ".join(escaping.visible(one, escaping.ID) for one in gate.sample_ids[:_IDS])
    more = len(gate.sample_ids) - _IDS
    return [line, Text(f"    samples: {shown}{f', and {more:,} more' if more > 0 else ''}", style="dim")]


def _measured(gate: GateOutcome) -> str:
    """Write the figure with its interval, or with the band of a prediction."""
    if gate.value is None or gate.low is None or gate.high is None:
        return "not defined"
    span = phrases.interval(gate)
    return f"{phrases.figure(gate)} [{span}]" if span else phrases.figure(gate)


def last_line(report: GateReport) -> Text:
    """Say what the run does: all that ``--quiet`` prints."""
    style = "green" if report.passed else "yellow" if report.warn_only else "red"
    return Text(f"{phrases.title(report)} Exit code {report.exit_code}.", style=f"bold {style}")
