"""Probabilities of membership: their calibration as a sentence and as figures."""

from collections.abc import Iterator

from auditor.documents.result import CalibrationBin, CalibrationResult

from .numbers import Quantity, number, percent

__all__ = ["bin_label", "calibration_quantities", "calibration_sentence"]


def bin_label(one: CalibrationBin) -> str:
    """Name a bin by the probabilities in it."""
    return f"{percent(round(one.low, 4))} to {percent(round(one.high, 4))}"


def calibration_quantities(calibration: CalibrationResult) -> Iterator[Quantity]:
    """List the Brier score and the share of members in each bin of stated probabilities."""
    yield Quantity(label="Brier score of the probabilities", unit="", estimate=calibration.brier)
    for one in calibration.bins:
        yield Quantity(label=f"Members among texts stated at {bin_label(one)}", unit="%", estimate=one.observed)


def calibration_sentence(calibration: CalibrationResult | None) -> str:
    """Say whether the probabilities can be taken at their word, and how far they are off."""
    if calibration is None:
        return "Whether its probabilities can be taken at their word is not known."
    brier = Quantity(label="", unit="", estimate=calibration.brier)
    score = f"Brier score {brier.text}, where 0.25 says nothing" if brier.defined else f"Brier score {brier.text}"
    off = f"off by {number(100 * calibration.calibration_error, 1)} percentage points on average; {score}"
    if calibration.calibrated:
        return (
            "Its probabilities can be taken at their word where half of the candidates are members: no error was found "
            f"beyond chance ({off})."
        )
    return f"Its probabilities cannot be taken at their word ({off}).{_worst(calibration)}"


def _worst(calibration: CalibrationResult) -> str:
    """Name the bin whose share of members is furthest from what was stated."""
    known = [
        (abs(one.observed.value - one.mean_stated), one) for one in calibration.bins if one.observed.value is not None
    ]
    if not known:
        return ""
    _, one = max(known, key=lambda pair: pair[0])
    share = Quantity(label="", unit="%", estimate=one.observed)
    return f" Worst: where {percent(round(one.mean_stated, 3))} is stated, {share.text} are members."
