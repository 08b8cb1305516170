"""An audit's result, rendered for people: HTML, Markdown, terminal, and the document itself. No maths here.

Importing this room is instant; a renderer loads what it needs when it is first called.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Group, RenderableType

    from auditor.documents.calibration import Calibration
    from auditor.documents.capacity import CapacityMeasurement
    from auditor.documents.comparison import AuditComparison
    from auditor.documents.curve import Curve
    from auditor.documents.gates import GateReport
    from auditor.documents.leaderboard import Leaderboard
    from auditor.documents.prediction import Prediction
    from auditor.documents.result import AuditResult
    from auditor.documents.secrets import SecretsResult
    from auditor.documents.secrets_changes import SecretsChanges
    from auditor.experiments.demo import CopiesRow

__all__ = [
    "COMPARISON_RENDERERS",
    "CURVE_RENDERERS",
    "GATE_RENDERERS",
    "LEADERBOARD_RENDERERS",
    "RENDERERS",
    "SECRETS_CHANGES_RENDERERS",
    "SECRETS_RENDERERS",
    "comparison_schema",
    "curve_schema",
    "from_json",
    "html_comparison",
    "html_curve",
    "html_report",
    "json_schema",
    "leaderboard_schema",
    "render_calibration",
    "render_capacity",
    "render_comparison",
    "render_curve",
    "render_demo",
    "render_leaderboard",
    "render_prediction",
    "render_terminal",
    "secrets_schema",
]


def _html(result: "AuditResult") -> str:
    from .to_html import to_html

    return to_html(result)


def _markdown(result: "AuditResult") -> str:
    from .to_markdown import to_markdown

    return to_markdown(result)


def _json(result: "AuditResult") -> str:
    from .to_json import to_json

    return to_json(result)


def _summary(result: "AuditResult") -> str:
    from .summary import to_summary

    return to_summary(result)


RENDERERS: dict[str, Callable[["AuditResult"], str]] = {
    "html": _html,
    "md": _markdown,
    "json": _json,
    "summary": _summary,
}
"""Formats of ``auditor report`` by name."""


def html_report(
    result: "AuditResult", *, files: Sequence[str] = (), interactive: bool = False, samples: "Path | None" = None
) -> str:
    """Render the report with links to files beside it, or interactive, with all rows of ``samples.parquet``."""
    from .to_html import to_html

    if not interactive or samples is None:
        return to_html(result, files=files, interactive=interactive)
    from .interactive import read_rows

    return to_html(result, files=files, interactive=True, rows=read_rows(samples, result))


def _curve_html(curve: "Curve") -> str:
    from .curve import to_html

    return to_html(curve)


def _curve_markdown(curve: "Curve") -> str:
    from .curve import to_markdown

    return to_markdown(curve)


def _curve_json(curve: "Curve") -> str:
    from auditor.documents.files import to_text

    return to_text(curve)


CURVE_RENDERERS: dict[str, Callable[["Curve"], str]] = {
    "html": _curve_html,
    "md": _curve_markdown,
    "json": _curve_json,
}
"""The same for the curve of several checkpoints."""


def html_curve(curve: "Curve", *, reports: Sequence[str]) -> str:
    """Render the curve with links to the reports of those checkpoints that have one in a folder of their name."""
    from .curve import to_html

    return to_html(curve, reports=reports)


def html_comparison(comparison: "AuditComparison", *, old: str | None, new: str | None) -> str:
    """Render a comparison with links, relative paths, to the reports of the two audits."""
    from .comparison import to_html

    return to_html(comparison, old=old, new=new)


def _secrets_html(found: "SecretsResult") -> str:
    from .secrets import to_html

    return to_html(found)


def _secrets_markdown(found: "SecretsResult") -> str:
    from .secrets import to_markdown

    return to_markdown(found)


def _secrets_json(found: "SecretsResult") -> str:
    from auditor.documents.files import to_text

    return to_text(found)


SECRETS_RENDERERS: dict[str, Callable[["SecretsResult"], str]] = {
    "html": _secrets_html,
    "md": _secrets_markdown,
    "json": _secrets_json,
}
"""The same for ranked secrets."""


def _changed_secrets_html(found: "SecretsChanges") -> str:
    from .secrets_changes import to_html

    return to_html(found)


def _changed_secrets_markdown(found: "SecretsChanges") -> str:
    from .secrets_changes import to_markdown

    return to_markdown(found)


def _changed_secrets_json(found: "SecretsChanges") -> str:
    from auditor.documents.files import to_text

    return to_text(found)


SECRETS_CHANGES_RENDERERS: dict[str, Callable[["SecretsChanges"], str]] = {
    "html": _changed_secrets_html,
    "md": _changed_secrets_markdown,
    "json": _changed_secrets_json,
}
"""The same for secrets in several models."""


def _gate_junit(report: "GateReport") -> str:
    from .ci.junit import to_junit

    return to_junit(report)


def _gate_sarif(report: "GateReport") -> str:
    from .ci.sarif import to_sarif

    return to_sarif(report)


def _gate_summary(report: "GateReport") -> str:
    from .ci.summary import to_summary

    return to_summary(report)


def _gate_annotations(report: "GateReport") -> str:
    from .ci.annotations import to_annotations

    return to_annotations(report)


def _gate_badge_svg(report: "GateReport") -> str:
    from .ci.badge import to_badge_svg

    return to_badge_svg(report)


def _gate_badge_json(report: "GateReport") -> str:
    from .ci.badge import to_badge_json

    return to_badge_json(report)


def _gate_model_card(report: "GateReport") -> str:
    from .ci.model_card import to_model_card

    return to_model_card(report)


GATE_RENDERERS: dict[str, Callable[["GateReport"], str]] = {
    "junit": _gate_junit,
    "sarif": _gate_sarif,
    "summary": _gate_summary,
    "annotations": _gate_annotations,
    "badge_svg": _gate_badge_svg,
    "badge_json": _gate_badge_json,
    "model_card": _gate_model_card,
}
"""The formats of a gate's verdict."""


def _comparison_html(comparison: "AuditComparison") -> str:
    from .comparison import to_html

    return to_html(comparison)


def _comparison_markdown(comparison: "AuditComparison") -> str:
    from .comparison import to_markdown

    return to_markdown(comparison)


def _comparison_json(comparison: "AuditComparison") -> str:
    from auditor.documents.files import to_text

    return to_text(comparison)


COMPARISON_RENDERERS: dict[str, Callable[["AuditComparison"], str]] = {
    "html": _comparison_html,
    "md": _comparison_markdown,
    "json": _comparison_json,
}
"""The same for the comparison of two audits."""


def render_comparison(comparison: "AuditComparison") -> "Group":
    """Render the comparison of two audits for the terminal (see :mod:`reports.comparison`)."""
    from .comparison import render_terminal as render

    return render(comparison)


def comparison_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of a comparison."""
    from auditor.documents.comparison import AuditComparison
    from auditor.documents.files import document_schema

    return document_schema(AuditComparison)


def _board_markdown(board: "Leaderboard") -> str:
    from .leaderboard import to_markdown

    return to_markdown(board)


def _board_latex(board: "Leaderboard") -> str:
    from .leaderboard import to_latex

    return to_latex(board)


def _board_csv(board: "Leaderboard") -> str:
    from .leaderboard import to_csv

    return to_csv(board)


def _board_json(board: "Leaderboard") -> str:
    from auditor.documents.files import to_text

    return to_text(board)


LEADERBOARD_RENDERERS: dict[str, Callable[["Leaderboard"], str]] = {
    "json": _board_json,
    "md": _board_markdown,
    "tex": _board_latex,
    "csv": _board_csv,
}
"""The same for the leaderboard of a bench."""


def render_leaderboard(board: "Leaderboard") -> "Group":
    """Render the leaderboard of a bench for the terminal (see :mod:`reports.leaderboard`)."""
    from .leaderboard import render_terminal as render

    return render(board)


def leaderboard_schema() -> dict[str, Any]:
    """Return the JSON Schema of the leaderboard document."""
    from auditor.documents.files import document_schema
    from auditor.documents.leaderboard import Leaderboard

    return document_schema(Leaderboard)


def render_curve(curve: "Curve") -> "Group":
    """Render the curve of several checkpoints for the terminal (see :mod:`reports.curve`)."""
    from .curve import render_terminal as render

    return render(curve)


def secrets_schema() -> dict[str, Any]:
    """Return the JSON schema of ``secrets.json``."""
    from auditor.documents.files import document_schema
    from auditor.documents.secrets import SecretsResult

    return document_schema(SecretsResult)


def curve_schema() -> dict[str, Any]:
    """Return the JSON Schema of the curve document."""
    from auditor.documents.curve import Curve
    from auditor.documents.files import document_schema

    return document_schema(Curve)


def render_terminal(result: "AuditResult", *, verbose: bool = False) -> "RenderableType":
    """Render the summary that the command line prints (see :mod:`reports.to_terminal`)."""
    from .to_terminal import render_terminal as render

    return render(result, verbose=verbose)


def render_demo(rows: "Sequence[CopiesRow]") -> "Group":
    """Render what the demonstration's audit found beside the truth (see :mod:`reports.demo_story`)."""
    from .demo_story import render_demo as render

    return render(rows)


def render_prediction(prediction: "Prediction") -> "Group":
    """Render what a plan of training will leak (see :mod:`reports.forecast`)."""
    from .forecast import render_prediction as render

    return render(prediction)


def render_capacity(measured: "CapacityMeasurement") -> "Group":
    """Render a measurement of bits per parameter (see :mod:`reports.forecast`)."""
    from .forecast import render_capacity as render

    return render(measured)


def render_calibration(calibration: "Calibration") -> "Group":
    """Render a calibrated membership law and its cells (see :mod:`reports.forecast`)."""
    from .forecast import render_calibration as render

    return render(calibration)


def from_json(text: str) -> "AuditResult":
    """Read a result document, checking every part of it (see :mod:`reports.to_json`)."""
    from .to_json import from_json as read

    return read(text)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the result document (see :mod:`reports.to_json`)."""
    from .to_json import json_schema as schema

    return schema()
