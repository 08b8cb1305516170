"""The calibration document: the membership law on one's own text, fitted to a sweep of small trainings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .estimate import Estimate
from .files import read_document

__all__ = [
    "AttackCalibration",
    "Calibration",
    "CalibrationCell",
    "TrainingEffect",
    "read_calibration",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCell:
    """One model trained on one number of samples of real text, and how well two attacks tell them from others.

    Parameters
    ----------
    params, n_samples : int
    samples_per_parameter : float
        ``n_samples`` in 64-token equivalents over ``params``.
    steps, epochs, learning_rate, seed
        Of the training of the target.
    member_bits_per_token, non_member_bits_per_token, reference_bits_per_token : float, bits
        Mean code length of members and of held-out samples under the target, and of held-out samples under
        the reference.
    loss_f1, loss_auc, reference_f1, reference_auc : Estimate
        F1 at equal error and AUC of the loss attack and of the attack with a reference of the same size.
    """

    params: int
    n_samples: int
    samples_per_parameter: float
    steps: int
    epochs: float
    learning_rate: float
    seed: int
    member_bits_per_token: float
    non_member_bits_per_token: float
    reference_bits_per_token: float
    loss_f1: Estimate
    loss_auc: Estimate
    reference_f1: Estimate
    reference_auc: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackCalibration:
    """The law of one attack, fitted to the cells of a sweep.

    Parameters
    ----------
    attack : {"loss", "reference"}
    form : {"probit", "scaled"}
        ``F1 = Phi(d'/2), d' = amplitude * x ** -exponent``, or the paper's law at ``scale * x``.
    amplitude, exponent, scale : float or None
        Constants of the form.
    rmse, largest_error : float
        Of F1 over the cells it was fitted to: root mean square, and the largest.
    held_out_size_rmse : float or None
        Root mean square error on the cells of a size that was left out of the fit, over all sizes; None with one.
    paper_rmse : float
        Of the paper's law, not fitted, on the same cells.
    fitted_from, fitted_to : float
        Samples per parameter of the cells.
    n_cells, n_sizes : int
    """

    attack: Literal["loss", "reference"]
    form: Literal["probit", "scaled"]
    amplitude: float | None
    exponent: float | None
    scale: float | None
    rmse: float
    largest_error: float
    held_out_size_rmse: float | None
    paper_rmse: float
    fitted_from: float
    fitted_to: float
    n_cells: int
    n_sizes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEffect:
    """What training longer changes: one cell again, with more steps."""

    short: CalibrationCell
    long: CalibrationCell


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The membership law on one's own architecture, tokenizer and text, and the cells behind it.

    Parameters
    ----------
    kind, schema_version : str
    data, tokenizer, architecture : str
        What was measured on.
    n_vocabulary, sample_tokens : int
    n_samples_held_out, n_samples_pool, n_samples_reference : int
        The three disjoint parts of the samples: non-members, where members are drawn from, and what the
        references trained on.
    cells : tuple of CalibrationCell
    laws : tuple of AttackCalibration
        Of the loss attack, then of the reference attack.
    training_effect : TrainingEffect or None
    settings, packages : mapping of str to str
    data_notes : tuple of str
        What was cut, dropped or chosen on the way, with counts.
    seconds : float
        Of all trainings, one after the other; side by side they took less.
    warnings : tuple of str
    """

    kind: Literal["calibration"] = "calibration"
    schema_version: str = "1.0"
    data: str
    tokenizer: str
    architecture: str
    n_vocabulary: int
    sample_tokens: int
    n_samples_held_out: int
    n_samples_pool: int
    n_samples_reference: int
    cells: tuple[CalibrationCell, ...]
    laws: tuple[AttackCalibration, ...]
    training_effect: TrainingEffect | None
    settings: Mapping[str, str]
    packages: Mapping[str, str]
    data_notes: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()


def read_calibration(path: Path) -> Calibration:
    """Read what ``auditor calibrate`` wrote: the file, or its folder."""
    file = path / "calibration.json" if path.is_dir() else path
    return read_document(file, Calibration, version="1.0", what="calibration (`auditor calibrate`)")
