"""What is measured before an audit: the capacity of an architecture, and the membership law on one's own text.

Both are documents that ``predict`` and ``audit`` read back. The order of the fields is the file format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .files import read_document

__all__ = [
    "CapacityMeasurement",
    "CapacityRun",
    "Extrapolation",
    "Precision",
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


def read_capacity(path: Path) -> CapacityMeasurement:
    """Read what ``auditor capacity`` wrote: the file, or its folder."""
    file = path / "capacity.json" if path.is_dir() else path
    return read_document(file, CapacityMeasurement, version="1.0", what="capacity measurement (`auditor capacity`)")
