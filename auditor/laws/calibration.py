"""Fit the membership law to the cells of a sweep, and say how far the fit carries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from ..documents.calibration import AttackCalibration, Calibration, CalibrationCell, TrainingEffect
from ..errors import ResultError
from .membership import PAPER_LAW, REFERENCE_LAW, Band, LogisticLaw, MembershipLaw, ProbitLaw

__all__ = ["MIN_CELLS", "fit_attack", "law_from"]

MIN_CELLS = 3
"""Cells below which two constants would be fitted to too little: the paper's law is scaled instead."""

Array = NDArray[np.float64]
Attack = Literal["loss", "reference"]
Form = Literal["probit", "scaled"]

_MIN_SPAN = 1.5
"""Largest over smallest ratio below which an exponent cannot be told from the cells."""

_UNKNOWN = Band(below=0.0, above=0.0, below_in_steep_part=0.0, source="")


def fit_attack(cells: Sequence[CalibrationCell], attack: Attack) -> AttackCalibration:
    """Fit the law of one attack: the probit power law, or the paper's law scaled where two constants are too many.

    Least squares on F1, which weighs cells that are saturated at either end least. The error on sizes that were
    left out of the fit is what a prediction for another size can hope for; it is of the same form as the fit.

    Parameters
    ----------
    cells : sequence of CalibrationCell
        Those whose F1 is undefined are left out, and not counted in ``n_cells``. With fewer than `MIN_CELLS`
        others, or all at about the same samples per parameter, the paper's law is scaled.
    attack : {"loss", "reference"}

    Raises
    ------
    ValueError
        If no cell has a defined F1.
    """
    points = _Points.of(cells, attack)
    if not len(points.f1):
        raise ValueError(f"the law of the {attack} attack needs at least one cell with a defined F1")
    form: Form = "probit" if len(points.f1) >= MIN_CELLS and points.spans() else "scaled"
    law = _fit(points, form)
    errors = points.errors(law)
    return AttackCalibration(
        attack=attack,
        form=form,
        amplitude=law.amplitude if isinstance(law, ProbitLaw) else None,
        exponent=law.exponent if isinstance(law, ProbitLaw) else None,
        scale=law.scale if isinstance(law, LogisticLaw) else None,
        rmse=_root_mean_square(errors),
        largest_error=float(np.abs(errors).max()),
        held_out_size_rmse=_held_out_size_rmse(points, form),
        paper_rmse=_root_mean_square(points.errors(PAPER_LAW)),
        fitted_from=float(points.ratios.min()),
        fitted_to=float(points.ratios.max()),
        n_cells=len(points.f1),
        n_sizes=len(np.unique(points.params)),
    )


def law_from(calibration: Calibration, attack: Attack) -> MembershipLaw:
    """Return the law that a calibration measured, with a band.

    The band is twice the error on sizes left out of the fit. Where it is not known, it is twice the largest error
    of the cells, and no narrower than the band of the law that is used without a calibration: a curve through
    few cells has small errors whatever they say. What longer training added to F1 is added above.
    """
    fit = next((fit for fit in calibration.laws if fit.attack == attack), None)
    if fit is None:
        raise ResultError(f"the calibration on {calibration.data} holds no law of the {attack} attack: calibrate again")
    if fit.scale is None and (fit.amplitude is None or fit.exponent is None):
        raise ResultError(f"the law of the {attack} attack on {calibration.data} has no constants: calibrate again")
    law = _probit(fit.amplitude, fit.exponent) if fit.scale is None else _scaled(fit.scale)
    return replace(
        law,
        name=f"calibrated, {fit.form}",
        source=f"calibrated on {calibration.data}: {_counted(fit.n_cells, 'cell')} of "
        f"{_counted(fit.n_sizes, 'model size')}",
        fitted_from=fit.fitted_from,
        fitted_to=fit.fitted_to,
        smallest_params=min((cell.params for cell in calibration.cells), default=None),
        largest_params=max((cell.params for cell in calibration.cells), default=None),
        band=_band(fit, _gain_of_training(calibration.training_effect, attack)),
        warnings=tuple(f"the calibration warned: {warning}" for warning in calibration.warnings),
    )


def _band(fit: AttackCalibration, gain: float) -> Band:
    """Choose the width of the band, and say what it rests on."""
    unfitted = (PAPER_LAW if fit.attack == "loss" else REFERENCE_LAW).band
    if fit.held_out_size_rmse is not None and fit.n_cells >= MIN_CELLS:
        error = max(fit.rmse, fit.held_out_size_rmse)
        below = above = steep = 2 * error
        source = f"twice the error on sizes left out of the fit ({error:.3f} in F1)"
    else:
        below, above, steep = (
            max(2 * fit.largest_error, width)
            for width in (unfitted.below, unfitted.above, unfitted.below_in_steep_part)
        )
        source = (
            f"twice the largest error of {_counted(fit.n_cells, 'cell')} ({fit.largest_error:.3f} in F1), and no "
            "narrower than without a calibration: too few sizes or cells to test the fit"
        )
    if gain > 0:
        source += f"; above, {gain:.3f} more, which longer training added to one cell"
    return Band(below=below, above=above + gain, below_in_steep_part=steep, source=source)


def _gain_of_training(effect: TrainingEffect | None, attack: Attack) -> float:
    """F1 that longer training added; 0 if it added nothing, or was not tried."""
    if effect is None:
        return 0.0
    short, long = (_f1(cell, attack) for cell in (effect.short, effect.long))
    return 0.0 if short is None or long is None else max(0.0, long - short)


@dataclass(frozen=True, slots=True)
class _Points:
    """What a law is fitted to: one F1 at one ratio of a model of one size, each an array over cells."""

    params: Array
    ratios: Array
    f1: Array

    @classmethod
    def of(cls, cells: Sequence[CalibrationCell], attack: Attack) -> "_Points":
        """Take the cells whose F1 is defined; one below a coin flip, where noise can put it, counts as it is."""
        rows = [
            (cell.params, cell.samples_per_parameter, f1) for cell in cells if (f1 := _f1(cell, attack)) is not None
        ]
        return cls(*np.array(rows, dtype=np.float64).reshape(-1, 3).T)

    def where(self, kept: NDArray[np.bool_]) -> "_Points":
        return _Points(self.params[kept], self.ratios[kept], self.f1[kept])

    def spans(self) -> bool:
        """Whether the ratios differ enough to give an exponent."""
        return bool(self.ratios.max() >= _MIN_SPAN * self.ratios.min())

    def errors(self, law: MembershipLaw) -> Array:
        return np.array([law.f1(float(ratio)) for ratio in self.ratios]) - self.f1


def _f1(cell: CalibrationCell, attack: Attack) -> float | None:
    return cell.loss_f1.value if attack == "loss" else cell.reference_f1.value


def _probit(amplitude: float | None, exponent: float | None) -> ProbitLaw:
    if amplitude is None or exponent is None:
        raise ValueError("a fit has a scale, or an amplitude and an exponent")
    return ProbitLaw(
        name="probit", source="", fitted_from=0, fitted_to=0, band=_UNKNOWN, amplitude=amplitude, exponent=exponent
    )


def _scaled(scale: float) -> LogisticLaw:
    return LogisticLaw(name="scaled", source="", fitted_from=0, fitted_to=0, band=_UNKNOWN, scale=scale)


def _fit(points: _Points, form: Form) -> ProbitLaw | LogisticLaw:
    """Fit the logarithms of the constants of a form."""

    def law(logs: Array) -> ProbitLaw | LogisticLaw:
        constants = [float(constant) for constant in np.exp(logs)]
        return _probit(*constants) if form == "probit" else _scaled(*constants)

    def errors(logs: Array) -> Array:
        return points.errors(law(logs))

    start = np.array([np.log(0.03), 0.0] if form == "probit" else [0.0])
    bound = 12.0  # keeps the search where numbers are finite
    found = scipy.optimize.least_squares(errors, start, bounds=(-bound, bound), xtol=1e-12)
    return law(np.asarray(found.x, dtype=np.float64))


def _held_out_size_rmse(points: _Points, form: Form) -> float | None:
    """Leave out one size at a time, fit the others, and collect the errors on the size left out.

    None if the others of a size cannot be fitted: there are none, or they do not span enough for an exponent.
    """
    errors = []
    for size in np.unique(points.params):
        others, left_out = points.where(points.params != size), points.where(points.params == size)
        if not len(others.f1) or (form == "probit" and not others.spans()):
            return None
        errors.append(left_out.errors(_fit(others, form)))
    return _root_mean_square(np.concatenate(errors))


def _root_mean_square(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
