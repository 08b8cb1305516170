"""Prediction beside measurement as rows and sentences, from which all formats of the report draw."""

from typing import NamedTuple

from auditor.documents.prediction import Comparison, Measure, PredictionBesideMeasurement

from .numbers import amount, number, plain, size
from .verdict import Tone

__all__ = ["MISSING", "ExpectationRow", "basis", "plan", "reasons", "rows", "tone", "warnings"]

MISSING = "State the size of the target's training set (--train-samples or --train-tokens) to see what to expect of it."

_TONES: dict[bool | None, Tone] = {True: "ok", False: "warn", None: "info"}


class ExpectationRow(NamedTuple):
    """One comparison, written out.

    ``band`` is empty for a ceiling, ``interval`` if nothing was measured; ``reason`` then says why.
    """

    quantity: str
    predicted: str
    band: str
    measured: str
    interval: str
    verdict: str
    tone: Tone
    reason: str
    measure: Measure = "auc"


def _measure(comparison: Comparison) -> Measure:
    """Say what kind of number is compared; files of older auditors say it in words."""
    if comparison.measure is not None:
        return comparison.measure
    words = comparison.quantity
    return (
        "share" if words.startswith("capacity used") else "auc" if "AUC" in words else "f1" if "F1" in words else "bits"
    )


def _is_ceiling(comparison: Comparison) -> bool:
    if comparison.is_ceiling is not None:
        return comparison.is_ceiling
    return comparison.quantity.endswith(" (ceiling)")


def _write(comparison: Comparison, value: float) -> str:
    """Write an F1 or AUC with three decimals, a share as a percentage, bits with one decimal."""
    measure = _measure(comparison)
    if measure == "share":
        return f"{plain(100 * value)}%"
    if measure in ("auc", "f1"):
        return number(value, 3)
    return number(value, 1) if abs(value) >= 1 else plain(value)


def _span(comparison: Comparison, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{_write(comparison, low)} to {_write(comparison, high)}]"


def _row(comparison: Comparison) -> ExpectationRow:
    quantity, ceiling = comparison.quantity.removesuffix(" (ceiling)"), _is_ceiling(comparison)
    at, bound = _write(comparison, comparison.predicted), comparison.bound
    end = comparison.predicted_low if bound == "at least" else comparison.predicted_high
    return ExpectationRow(
        quantity=quantity[:1].upper() + quantity[1:],
        predicted=f"at most {at}" if ceiling else f"{bound} {_write(comparison, end)}" if bound else at,
        band="" if ceiling or bound else _span(comparison, comparison.predicted_low, comparison.predicted_high),
        measured="—" if comparison.measured is None else _write(comparison, comparison.measured),
        interval=_span(comparison, comparison.measured_low, comparison.measured_high),
        verdict=_verdict(comparison, ceiling=ceiling),
        tone=_TONES[comparison.agrees],
        reason=comparison.meaning if comparison.agrees is None else "",
        measure=_measure(comparison),
    )


def _verdict(comparison: Comparison, *, ceiling: bool) -> str:
    """Say in a word or two how the comparison came out."""
    if comparison.agrees is None:
        return "not measured"
    if comparison.agrees:
        return "within" if ceiling else "agrees"
    return "above" if (comparison.measured or 0.0) > comparison.predicted_high else "below"


def rows(beside: PredictionBesideMeasurement) -> tuple[ExpectationRow, ...]:
    """Write every comparison as a row."""
    return tuple(_row(comparison) for comparison in beside.comparisons)


def reasons(beside: PredictionBesideMeasurement) -> tuple[str, ...]:
    """List why figures were not measured, each reason once; tables refer to them by number."""
    return tuple(dict.fromkeys(row.reason for row in rows(beside) if row.reason))


def tone(beside: PredictionBesideMeasurement) -> Tone:
    """Say how the comparison came out, as a tone."""
    judged = [comparison.agrees for comparison in beside.comparisons if comparison.agrees is not None]
    return "info" if not judged else "ok" if all(judged) else "warn"


def plan(beside: PredictionBesideMeasurement) -> str:
    """Describe model and training set in a sentence."""
    p = beside.prediction
    trained = "" if p.trainable_params == p.params else f" ({amount(p.trainable_params)} of them trained)"
    memorized = "at most " if p.dataset_bits is None else ""
    return (
        f"{amount(p.params)} parameters{trained} on {amount(p.tokens)} tokens, as stated: {amount(p.samples)} samples "
        f"of {plain(p.sample_tokens)} tokens, {plain(p.tokens_per_parameter)} tokens per parameter. The model can hold "
        f"{amount(p.capacity_bits)} bits ({size(p.capacity_bits)}); of this training set {memorized}"
        f"{amount(p.memorized_bits)} bits, {plain(p.bits_per_sample)} per sample."
    )


def basis(beside: PredictionBesideMeasurement) -> tuple[str, ...]:
    """Say what the prediction rests on."""
    p = beside.prediction
    return (
        f"Capacity: {plain(p.bits_per_parameter)} bits per parameter, {p.bits_per_parameter_source}.",
        f"Information in the training set: {p.dataset_bits_source}.",
        f"Law: {p.law.source}. Band: {p.law.band}.",
        f"Attack with a reference: {p.reference_attack.source}.",
    )


def warnings(beside: PredictionBesideMeasurement) -> tuple[str, ...]:
    """Say what makes the prediction an extrapolation, and what was assumed, as sentences."""
    return tuple(f"{warning[:1].upper()}{warning[1:]}." for warning in beside.prediction.warnings)
