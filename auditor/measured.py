"""What is measured before an audit: the capacity of an architecture, and the membership law on one's own text.

Both are documents that ``predict`` and ``audit`` read back. The order of the fields is the file format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .documents import read_document
from .results import Estimate

__all__ = [
    "AttackCalibration",
    "Calibration",
    "CalibrationCell",
    "CapacityMeasurement",
    "CapacityRun",
    "Extrapolation",
    "Precision",
    "TrainingEffect",
    "read_calibration",
    "read_capacity",
]

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRun:
    """One model trained on one set of random tokens until the end of its schedule.

    Parameters
    ----------
    role : {"self-check", "size", "schedule"}
        What the run is for: far below the capacity, one of several dataset sizes, or one of several lengths.
    n_samples : int
        Random sequences.
    dataset_bits : float, bits
        Information in their predicted tokens: ``n_samples * (sample_tokens - 1) * log2(n_vocabulary)``.
    seed, steps, epochs
        Of this run; epochs are passes over the sequences.
    memorized_bits : float, bits
        ``dataset_bits`` minus the code length of the sequences under the trained model. Not clipped.
    bits_per_parameter, share_memorized : float
        ``memorized_bits`` over the parameters and over ``dataset_bits``.
    test_bits_per_token : float, bits
        Code length of fresh random sequences; ``log2(n_vocabulary)`` is what knowing nothing costs.
    seconds : float
        Wall time of the training.
    """

    role: Literal["self-check", "size", "schedule"]
    n_samples: int
    dataset_bits: float
    seed: int
    steps: int
    epochs: float
    memorized_bits: float
    bits_per_parameter: float
    share_memorized: float
    test_bits_per_token: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """Where finished schedules of growing length point to, under one assumed form."""

    form: str
    bits_per_parameter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityMeasurement:
    """Bits per parameter of an architecture, measured by training on uniform random tokens: a lower bound.

    Parameters
    ----------
    kind, schema_version : str
    model, architecture : str
        What was asked for, and the class that was built.
    n_parameters, n_embedding_parameters : int
        All, tied ones once; and those in token and position tables.
    n_vocabulary, sample_tokens : int
        Of the random sequences; the first token of each is given and not counted.
    precision, device : str
    bits_per_parameter : float, bits
        The most that a finished run held: a LOWER bound of the capacity.
    best : CapacityRun
        The run behind it.
    seed_low, seed_high : float or None, bits
        Least and most bits per parameter among runs that differ in the seed only; None with one seed.
    extrapolations : tuple of Extrapolation
        Not measured. Three lengths do not identify the form: read them as a spread.
    last_gain : float or None
        Relative gain of the longest schedule over the one before it.
    converged : bool
        Whether ``last_gain`` is at most 2%. If not, longer training gives more.
    self_check_share : float or None
        Share memorised of a set far below the capacity: more than .99, or the training is broken.
    runs : tuple of CapacityRun
    settings : mapping of str to str
        Of the training.
    packages : mapping of str to str
    seconds : float
        Wall time of all runs together.
    warnings : tuple of str
    """

    kind: Literal["capacity"] = "capacity"
    schema_version: str = "1.0"
    model: str
    architecture: str
    n_parameters: int
    n_embedding_parameters: int
    n_vocabulary: int
    sample_tokens: int
    precision: Precision
    device: str
    bits_per_parameter: float
    best: CapacityRun
    seed_low: float | None
    seed_high: float | None
    extrapolations: tuple[Extrapolation, ...]
    last_gain: float | None
    converged: bool
    self_check_share: float | None
    runs: tuple[CapacityRun, ...]
    settings: Mapping[str, str]
    packages: Mapping[str, str]
    seconds: float
    warnings: tuple[str, ...] = ()


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


def read_capacity(path: Path) -> CapacityMeasurement:
    """Read what ``auditor capacity`` wrote: the file, or its folder."""
    file = path / "capacity.json" if path.is_dir() else path
    return read_document(file, CapacityMeasurement, version="1.0", what="capacity measurement (`auditor capacity`)")


def read_calibration(path: Path) -> Calibration:
    """Read what ``auditor calibrate`` wrote: the file, or its folder."""
    file = path / "calibration.json" if path.is_dir() else path
    return read_document(file, Calibration, version="1.0", what="calibration (`auditor calibrate`)")
