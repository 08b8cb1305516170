"""Prediction beside measurement as rows and sentences, from which all formats of the report draw."""

from typing import NamedTuple

from auditor.predictions import Comparison, PredictionBesideMeasurement

from .numbers import amount, number, plain, size
from .words import SYMBOLS, Tone

__all__ = ["MISSING", "ExpectationRow", "basis", "plan", "rows", "tone"]

MISSING = "State the size of the target's training set (--train-samples or --train-tokens) to see what to expect of it."


_TONES: dict[bool | None, Tone] = {True: "ok", False: "warn", None: "info"}


class ExpectationRow(NamedTuple):
    """One comparison, written out."""

    quantity: str
    predicted: str
    measured: str
    verdict: str
    tone: Tone
    meaning: str


def _decimals(comparison: Comparison) -> int:
    return 3 if "AUC" in comparison.quantity or "F1" in comparison.quantity else 1


def _share(comparison: Comparison) -> bool:
    return comparison.quantity.startswith("capacity used")


def _write(comparison: Comparison, value: float) -> str:
    if _share(comparison):
        return f"{plain(100 * value)}%"
    return number(value, _decimals(comparison))


def _row(comparison: Comparison) -> ExpectationRow:
    ceiling = comparison.quantity.endswith("(ceiling)")
    span = f"[{_write(comparison, comparison.predicted_low)} to {_write(comparison, comparison.predicted_high)}]"
    at = _write(comparison, comparison.predicted)
    measured = "—"
    if comparison.measured is not None and comparison.measured_low is not None and comparison.measured_high is not None:
        ends = f"[{_write(comparison, comparison.measured_low)} to {_write(comparison, comparison.measured_high)}]"
        measured = f"{_write(comparison, comparison.measured)} {ends}"
    word = {True: "agrees", False: "differs", None: "not measured"}[comparison.agrees]
    if ceiling and comparison.agrees is not None:
        word = "below" if comparison.agrees else "ABOVE"
    return ExpectationRow(
        quantity=comparison.quantity.removesuffix(" (ceiling)"),
        predicted=f"at most {at}" if ceiling else f"{at} {span}",
        measured=measured,
        verdict=word,
        tone=_TONES[comparison.agrees],
        meaning=comparison.meaning,
    )


def rows(beside: PredictionBesideMeasurement) -> tuple[ExpectationRow, ...]:
    """Write every comparison as a row."""
    return tuple(_row(comparison) for comparison in beside.comparisons)


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
        f"of {plain(p.sample_tokens)} tokens, {plain(p.tokens_per_parameter)} tokens a parameter. The model can hold "
        f"{amount(p.capacity_bits)} bits ({size(p.capacity_bits)}); of this training set {memorized}"
        f"{amount(p.memorized_bits)} bits, {plain(p.bits_per_sample)} a sample."
    )


def basis(beside: PredictionBesideMeasurement) -> tuple[str, ...]:
    """Say what the prediction rests on, and what makes it an extrapolation."""
    p = beside.prediction
    return (
        f"Capacity: {plain(p.bits_per_parameter)} bits a parameter, {p.bits_per_parameter_source}.",
        f"Information in the training set: {p.dataset_bits_source}.",
        f"Law: {p.law.source}. Band: {p.law.band}.",
        f"Attack with a reference: {p.reference_attack.source}.",
        *(f"{SYMBOLS['warn']} {warning[:1].upper()}{warning[1:]}." for warning in p.warnings),
    )
