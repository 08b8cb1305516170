"""Prediction beside measurement: does what size lets expect agree with what an audit found, and if not, why?"""

from collections.abc import Sequence

from ..predictions import Comparison, Prediction, PredictionBesideMeasurement
from ..results import Estimate
from .prediction import LONG_TRAINING

__all__ = ["compare"]

_ABOVE = (
    "Measured above the prediction: these texts are remembered better than the average sample of such a training set "
    "(repeats, rare texts, a smaller training set than stated), or the two sides differ in more than membership."
)
_BELOW = (
    "Measured below the prediction: the model was trained for less long than those behind the law, it was regularised, "
    "or the texts were not, or hardly, trained on."
)
_AGREES = "Measurement and prediction agree: size alone explains it."
_OVER = (
    "Measured above the ceiling: the model holds more than the capacity constant allows, the training set is smaller "
    "than stated, or the two sides differ in more than membership."
)
_UNDER = "Below the ceiling, as it must be if the capacity constant holds."


def compare(
    prediction: Prediction,
    *,
    loss_f1: Estimate | None,
    loss_auc: Estimate | None,
    reference_f1: Estimate | None,
    reference_auc: Estimate | None,
    best_auc: Estimate | None,
    bits_per_member: Estimate | None,
    capacity_used: Estimate | None,
) -> PredictionBesideMeasurement:
    """Set what was measured beside what the sizes of model and training set let expect.

    A band and an interval agree if they overlap; a ceiling agrees unless the whole interval lies above it. The
    intervals cover the sampling of texts; neither they nor the band cover training the model once more.

    Parameters
    ----------
    prediction : Prediction
        Of the audited model and its whole training set.
    loss_f1, loss_auc, reference_f1, reference_auc : Estimate or None
        Of the loss attack and of the attack with a reference; None if it was not run.
    best_auc : Estimate or None
        The largest measured AUC of any attack. It is the best of several, so it is only held against the ceiling.
    bits_per_member : Estimate or None, bits
        Debiased bits of a member, held against the bits a sample that fit into the model.
    capacity_used : Estimate or None
        Share of the capacity that the audited members use.
    """
    law, reference, ceiling = prediction.law, prediction.reference_attack, prediction.ceiling
    banded = (
        ("loss attack, F1", law.f1, law.f1_low, law.f1_high, loss_f1),
        ("loss attack, AUC", law.auc, law.auc_low, law.auc_high, loss_auc),
        ("reference attack, F1", reference.f1, reference.f1_low, reference.f1_high, reference_f1),
        ("reference attack, AUC", reference.auc, reference.auc_low, reference.auc_high, reference_auc),
    )
    ceilings = (
        ("best attack, AUC (ceiling)", ceiling.auc, 0.5, best_auc),
        ("bits of a member (ceiling)", ceiling.bits_per_sample, 0.0, bits_per_member),
        ("capacity used by audited members (ceiling)", 1.0, 0.0, capacity_used),
    )
    comparisons = [_against_band(*row) for row in banded if row[-1] is not None]
    comparisons += [_against_ceiling(*row) for row in ceilings if row[-1] is not None]
    return PredictionBesideMeasurement(
        prediction=prediction, comparisons=tuple(comparisons), summary=_summary(prediction, comparisons)
    )


def _against_band(quantity: str, value: float, low: float, high: float, measured: Estimate | None) -> Comparison:
    if measured is None or measured.low is None or measured.high is None:
        return _undefined(quantity, value, low, high, measured)
    above, below = measured.low > high, measured.high < low
    return Comparison(
        quantity=quantity,
        predicted=value,
        predicted_low=low,
        predicted_high=high,
        measured=measured.value,
        measured_low=measured.low,
        measured_high=measured.high,
        agrees=not above and not below,
        meaning=_ABOVE if above else _BELOW if below else _AGREES,
    )


def _against_ceiling(quantity: str, ceiling: float, least: float, measured: Estimate | None) -> Comparison:
    if measured is None or measured.low is None or measured.high is None:
        return _undefined(quantity, ceiling, least, ceiling, measured)
    over = measured.low > ceiling
    return Comparison(
        quantity=quantity,
        predicted=ceiling,
        predicted_low=least,
        predicted_high=ceiling,
        measured=measured.value,
        measured_low=measured.low,
        measured_high=measured.high,
        agrees=not over,
        meaning=_OVER if over else _UNDER,
    )


def _undefined(quantity: str, value: float, low: float, high: float, measured: Estimate | None) -> Comparison:
    reason = (measured.undefined_reason if measured is not None else None) or "not measured"
    return Comparison(
        quantity=quantity,
        predicted=value,
        predicted_low=low,
        predicted_high=high,
        measured=None,
        measured_low=None,
        measured_high=None,
        agrees=None,
        meaning=f"Not measured: {reason}.",
    )


def _summary(prediction: Prediction, comparisons: Sequence[Comparison]) -> str:
    """Say in a few sentences whether size explains what was found."""
    after = "" if prediction.law.in_range else " The prediction is an extrapolation, see its warnings."
    judged = [one for one in comparisons if one.agrees is not None]
    if over := _subjects(judged, _OVER):
        return f"{over}: more than the model can hold of its training set. {_reasons(_OVER)}{after}"
    if above := _subjects(judged, _ABOVE):
        return f"{above}: above what size lets expect. {_reasons(_ABOVE)}{after}"
    if below := _subjects(judged, _BELOW):
        epochs = ""
        if prediction.epochs is not None and prediction.epochs < LONG_TRAINING:
            epochs = f" ({prediction.epochs:g} epochs here, hundreds there)"
        return f"{below}: below what size lets expect. {_reasons(_BELOW).replace(' law,', f' law{epochs},', 1)}{after}"
    if _subjects(judged, _AGREES):
        return f"What was measured agrees with what the size of model and training set lets expect.{after}"
    return f"Nothing was measured that the prediction could be held against.{after}"


def _reasons(meaning: str) -> str:
    return f"Possible reasons: {meaning.partition(': ')[2]}"


def _subjects(comparisons: Sequence[Comparison], meaning: str) -> str:
    """Name what came out in a way, each attack once, as the start of a sentence."""
    found = [one.quantity.partition(",")[0].removesuffix(" (ceiling)") for one in comparisons if one.meaning == meaning]
    names = " and ".join(dict.fromkeys(found))
    return names[:1].upper() + names[1:]
