"""Fit the membership law to the cells of a sweep, and say how far the fit carries."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..measured import AttackCalibration, Calibration, CalibrationCell
from .membership import PAPER_LAW, Band, LogisticLaw, MembershipLaw, ProbitLaw

__all__ = ["MIN_CELLS", "fit_attack", "law_from"]

MIN_CELLS = 3
"""Cells below which two constants would be fitted to too little: the paper's law is scaled instead."""

Array = NDArray[np.float64]
Attack = Literal["loss", "reference"]
_NO_BAND = Band(below=0.0, above=0.0, below_in_steep_part=0.0, source="")


def fit_attack(cells: Sequence[CalibrationCell], attack: Attack) -> AttackCalibration:
    """Fit the law of one attack: the probit power law, or below three cells the paper's law scaled.

    Least squares on F1, which weighs cells that are saturated at either end least. The error on sizes that were
    left out of the fit is what a prediction for another size can hope for.

    Parameters
    ----------
    cells : sequence of CalibrationCell
        At least one with a defined F1.
    attack : {"loss", "reference"}

    Raises
    ------
    ValueError
        If there is no cell.
    """
    if not cells:
        raise ValueError("a law needs at least one cell with a defined F1")
    ratios, f1 = _ratios(cells), _f1(cells, attack)
    law = _fit(ratios, f1)
    errors = _errors(law, ratios, f1)
    return AttackCalibration(
        attack=attack,
        form="probit" if isinstance(law, ProbitLaw) else "scaled",
        amplitude=law.amplitude if isinstance(law, ProbitLaw) else None,
        exponent=law.exponent if isinstance(law, ProbitLaw) else None,
        scale=law.scale if isinstance(law, LogisticLaw) else None,
        rmse=_root_mean_square(errors),
        largest_error=float(np.abs(errors).max()),
        held_out_size_rmse=_held_out_size_rmse(cells, attack),
        paper_rmse=_root_mean_square(_errors(PAPER_LAW, ratios, f1)),
        fitted_from=float(ratios.min()),
        fitted_to=float(ratios.max()),
        n_cells=len(cells),
        n_sizes=len({cell.params for cell in cells}),
    )


def law_from(calibration: Calibration, attack: Attack) -> MembershipLaw:
    """Return the law that a calibration measured, with a band of twice its error on sizes left out of the fit."""
    fit = next(fit for fit in calibration.laws if fit.attack == attack)
    error = max(fit.rmse, fit.held_out_size_rmse or fit.largest_error)
    held_out = "on sizes left out of the fit" if fit.held_out_size_rmse else "largest of the cells; one size only"
    band = Band(
        below=2 * error,
        above=2 * error,
        below_in_steep_part=2 * error,
        source=f"twice the error of the calibration ({error:.3f} in F1, {held_out})",
    )
    source = f"calibrated on {calibration.data}: {fit.n_cells} cells of {fit.n_sizes} model sizes"
    law = _scaled(fit.scale) if fit.scale is not None else _probit(fit.amplitude or 0.0, fit.exponent or 0.0)
    values = {"name": f"calibrated, {fit.form}", "source": source, "band": band}
    ends = {"fitted_from": fit.fitted_from, "fitted_to": fit.fitted_to}
    if isinstance(law, LogisticLaw):
        return LogisticLaw(**values, **ends, scale=law.scale)  # type: ignore[arg-type]
    return ProbitLaw(**values, **ends, amplitude=law.amplitude, exponent=law.exponent)  # type: ignore[arg-type]


def _probit(amplitude: float, exponent: float) -> ProbitLaw:
    return ProbitLaw(
        name="probit", source="", fitted_from=0, fitted_to=0, band=_NO_BAND, amplitude=amplitude, exponent=exponent
    )


def _scaled(scale: float) -> LogisticLaw:
    return LogisticLaw(name="scaled", source="", fitted_from=0, fitted_to=0, band=_NO_BAND, scale=scale)


def _fit(ratios: Array, f1: Array) -> ProbitLaw | LogisticLaw:
    """Choose the form by the number of cells, and fit the logarithms of its constants."""

    def scaled(logs: Array) -> LogisticLaw:
        return _scaled(float(np.exp(logs[0])))

    def probit(logs: Array) -> ProbitLaw:
        return _probit(float(np.exp(logs[0])), float(np.exp(logs[1])))

    if len(ratios) < MIN_CELLS:
        return scaled(_least_squares(scaled, [0.0], ratios, f1))
    return probit(_least_squares(probit, [np.log(0.03), 0.0], ratios, f1))


def _least_squares(law: Callable[[Array], MembershipLaw], start: Sequence[float], ratios: Array, f1: Array) -> Array:
    def errors(logs: Array) -> Array:
        return _errors(law(logs), ratios, f1)

    bound = 12.0  # keeps the search where numbers are finite
    return np.asarray(optimize.least_squares(errors, np.asarray(start), bounds=(-bound, bound)).x, dtype=np.float64)


def _held_out_size_rmse(cells: Sequence[CalibrationCell], attack: Attack) -> float | None:
    """Leave out one size at a time, fit the others, and collect the errors on the size left out."""
    sizes = sorted({cell.params for cell in cells})
    if len(sizes) < 2:
        return None
    errors = []
    for size in sizes:
        others = [cell for cell in cells if cell.params != size]
        left_out = [cell for cell in cells if cell.params == size]
        law = _fit(_ratios(others), _f1(others, attack))
        errors.append(_errors(law, _ratios(left_out), _f1(left_out, attack)))
    return _root_mean_square(np.concatenate(errors))


def _errors(law: MembershipLaw, ratios: Array, f1: Array) -> Array:
    return np.array([law.f1(float(ratio)) for ratio in ratios]) - f1


def _root_mean_square(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _ratios(cells: Sequence[CalibrationCell]) -> Array:
    return np.array([cell.samples_per_parameter for cell in cells])


def _f1(cells: Sequence[CalibrationCell], attack: Attack) -> Array:
    """F1 of the cells; below a coin flip, where noise can put it, it counts as it is."""
    values = [cell.loss_f1.value if attack == "loss" else cell.reference_f1.value for cell in cells]
    return np.array([value for value in values if value is not None])
