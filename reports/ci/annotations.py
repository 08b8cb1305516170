"""A gate's verdict as GitHub workflow commands: a line for each gate that does not pass, and for missing checksums."""

from auditor.documents.gates import GateOutcome, GateReport
from reports.escaping import LINE, visible

from . import phrases

__all__ = ["to_annotations"]

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = _DATA | {":": "%3A", ",": "%2C"}


def to_annotations(report: GateReport) -> str:
    """Render the gates that do not pass as ``::error``, ``::warning`` or ``::notice`` commands, the worst first.

    An error breaks the build; a warning does not, because the policy lets it through or the run only warns; a notice
    is covered by a waiver, or says that the result came without checksums.
    """
    lines = [_command(gate, report) for gate in phrases.worst_first(report) if gate.outcome != "pass"]
    if said := phrases.unvouched(report):
        lines.append(_line("notice", phrases.LABELS[report.kind], said))
    return "".join(lines)


def _command(gate: GateOutcome, report: GateReport) -> str:
    kind = "error" if phrases.blocks(gate, report) else "notice" if phrases.waiver(gate) else "warning"
    title = f"{phrases.LABELS[report.kind]} gate {visible(gate.gate)}"
    message = "\n".join(line for line in (phrases.sentence(gate), phrases.sample_line(gate)) if line)
    return _line(kind, title, message)


def _line(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_escaped(title, _PROPERTY)}::{_escaped(message, _DATA)}\n"


def _escaped(text: str, table: dict[str, str]) -> str:
    shown = visible(text, 4 * LINE, keep="\n").replace("##", r"#\x23")  # `##[` would be another command
    return "".join(table.get(char, char) for char in shown)
