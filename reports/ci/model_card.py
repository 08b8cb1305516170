"""The section of a Hugging Face model card on what a gate measured, with the figures for its metadata."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from auditor.documents.gates import GateOutcome, GateReport
from reports import escaping
from reports.escaping import visible
from reports.numbers import percent, plural
from reports.to_markdown import code, escaped, table_lines

from . import phrases

__all__ = ["BEGIN", "DATASET_TYPE", "END", "model_card_metadata", "model_card_section", "to_model_card"]

_TITLES = {
    "audit": "Memorization of the training data",
    "prediction": "Expected memorization of the training data",
    "comparison": "Change of memorization against an earlier audit",
}
_ABOUT = {
    "audit": "Membership inference on texts that the model was trained on and texts of the same kind that it was not.",
    "prediction": "Computed from the sizes of the model and its data before training: nothing was measured.",
    "comparison": "Two audits, paired by text: figures are differences, the newer minus the older.",
}
_LIMITS = (
    "No proof of privacy: an audit can refute a privacy claim, never establish one. Stronger attacks may exist.",
    "Nothing about other texts than those audited, and nothing about other versions of the model.",
    "Intervals cover the sampling of texts, not of training runs.",
)


def to_model_card(report: GateReport) -> str:
    """Render the section under its metadata: a card of its own, or two parts to copy into one."""
    from huggingface_hub import ModelCardData

    metadata = model_card_metadata(report)
    head = f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n" if metadata else ""
    return head + model_card_section(report)


def model_card_section(report: GateReport) -> str:
    """Render the figures as a Markdown section between two marks by which the next push finds it.

    A card is public, so sample ids and folders are left out: how many samples there are to look at is said.
    """
    trusted = phrases.soundness(report)
    lines = [
        BEGIN,
        "",
        f"## {_TITLES[report.kind]}",
        "",
        f"{_ABOUT[report.kind]} Made with auditor {escaped(report.auditor_version, escaping.ID)}.",
        "",
        *([f"**{escaped(trusted)}**", ""] if trusted else []),
        *_table(report),
        f"{escaped(phrases.title(report))} {escaped(phrases.correction(report), 2 * escaping.LINE)}",
        "",
        *_remarks(report),
        "**What this does not show**",
        "",
        *(f"- {escaped(line)}" for line in _LIMITS),
        "",
        f"Policy {code(_name(report.policy))}, SHA-256 {code(report.policy_sha256)}; "
        f"document SHA-256 {code(report.result_sha256)}.",
        "",
        END,
    ]
    return "\n".join(lines) + "\n"


def _table(report: GateReport) -> Iterator[str]:
    rows = [
        (
            f"{escaped(gate.description)}<br>{code(gate.metric, escaping.PATH)}",
            f"**{escaped(phrases.figure(gate))}**",
            escaped(phrases.shown_interval(gate)),
            escaped(_counts(gate)),
            escaped(phrases.made(gate)) or "—",
            escaped(phrases.limit(gate)),
            escaped(_outcome(gate), 2 * escaping.LINE),
        )
        for gate in report.gates
    ]
    header = ("Figure", "Value", "Interval", "Texts", "How the interval was made", "Allowed", "Outcome")
    if rows:
        yield from table_lines(header, rows, right=len(header))


def _outcome(gate: GateOutcome) -> str:
    samples = f"; {plural(len(gate.sample_ids), 'sample')} to look at" if gate.sample_ids else ""
    reason = f"; {visible(phrases.reason(gate))}" if gate.outcome in ("refused", "inconclusive") else ""
    return phrases.outcome(gate) + samples + reason


def _remarks(report: GateReport) -> list[str]:
    covered = [gate for gate in report.gates if gate.waived_by is not None]
    lines = [f"- {code(gate.gate)} is {escaped(phrases.waiver(gate))}" for gate in covered]
    lines += [f"- {escaped(note)}" for _, note in phrases.notes(report)]
    return [*lines, ""] if lines else []


def _counts(gate: GateOutcome) -> str:
    pairs = ((gate.n_members, "member"), (gate.n_non_members, "non-member"))
    return ", ".join(plural(n, noun) for n, noun in pairs if n is not None) or "—"


def _name(path: str) -> str:
    """Return the last part of a path: folders are nobody's business."""
    return PureWindowsPath(PurePosixPath(path).name).name or path


def model_card_metadata(report: GateReport) -> dict[str, Any]:
    """Return the figures as the ``model-index`` of a model card.

    Returns
    -------
    dict
        ``{"model-index": [...]}`` for ``huggingface_hub.ModelCardData``: a metric for every figure, with its interval,
        method and counts as its arguments. Empty if there is none: what is undefined, predicted, or of an audit that
        allows no verdict is in the section, with its reason, but never in metadata, which travels without it.
    """
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    if report.kind == "prediction" or report.soundness == "veto":
        return {}
    figures = {gate.metric: gate for gate in reversed(report.gates) if _is_measured(gate)}
    results = [
        EvalResult(
            task_type="text-generation",
            task_name="Text generation",
            dataset_type=DATASET_TYPE,
            dataset_name=_TITLES[report.kind],
            metric_type=visible(gate.metric, escaping.PATH),
            metric_name=visible(gate.description),
            metric_value=gate.value,
            metric_args=_arguments(gate),
        )
        for gate in reversed(figures.values())
    ]
    if not results:
        return {}
    name = visible(_name(report.subject), escaping.PATH) or "model"
    return {"model-index": eval_results_to_model_index(name, results)}


def _is_measured(gate: GateOutcome) -> bool:
    return gate.value is not None and gate.outcome != "refused" and not gate.metric.startswith("prediction.")


def _arguments(gate: GateOutcome) -> dict[str, Any]:
    interval = {"level": percent(gate.level), "low": gate.low, "high": gate.high} if gate.level is not None else {}
    known = {
        "unit": visible(gate.unit),
        "method": visible(gate.method),
        "n_members": gate.n_members,
        "n_non_members": gate.n_non_members,
    }
    return interval | {key: value for key, value in known.items() if value not in (None, "")}


BEGIN = "<!-- auditor:begin -->"


END = "<!-- auditor:end -->"
"""What stands around our part of a model card, so that the next push finds it."""


DATASET_TYPE = "membership-audit"
"""Type of data set in a card's metadata by which our figures are found again."""
