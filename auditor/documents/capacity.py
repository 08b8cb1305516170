"""Measured capacity: the document that ``auditor capacity`` writes of an architecture.

``predict`` and ``audit`` read it back. The order of the fields is the file format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from .files import document, read_document

__all__ = ["CapacityMeasurement", "CapacityRun", "Extrapolation", "Precision", "read_capacity"]

Precision = Literal["fp32", "bf16"]


@document
class CapacityRun:
    """One model trained on one set of random tokens until the end of its schedule."""

    role: Literal["self-check", "size", "schedule"]
    """What the run is for: far below capacity, one of several sizes, or one of several lengths."""
    n_samples: int
    """Random sequences."""
    dataset_bits: float
    """Information in the predicted tokens: n_samples * (sample_tokens - 1) * log2(n_vocabulary)."""
    seed: int
    """Seed of the random draws."""
    steps: int
    """Number of training steps."""
    epochs: float
    """Passes over the sequences."""
    memorized_bits: float
    """Dataset bits minus the code length of the sequences under the trained model; not clipped."""
    bits_per_parameter: float
    """Memorized bits over the trained parameters."""
    share_memorized: float
    """Memorized bits over the dataset bits."""
    test_bits_per_token: float
    """Code length of a token of fresh random sequences; log2(n_vocabulary) is what knowing nothing costs."""
    seconds: float
    """Wall time of the training."""


@document
class Extrapolation:
    """Where finished schedules of growing length point to, under one assumed form."""

    form: str
    """Assumed form of the growth with the length of the schedule."""
    bits_per_parameter: float
    """Bits per parameter that the form points to."""


@document
class CapacityMeasurement:
    """Bits per parameter of an architecture, measured by training on uniform random tokens: a lower bound."""

    kind: Literal["capacity"] = "capacity"
    """Kind of the document."""
    schema_version: str = "1.1"
    """Version of this document's schema, MAJOR.MINOR."""
    model: str
    """Model that was asked for."""
    architecture: str
    """What was asked for, and the class that was built."""
    n_parameters: int
    """All, tied ones once; and those in token and position tables."""
    n_embedding_parameters: int
    """Number of parameters in token and position tables."""
    n_vocabulary: int
    """Number of entries of the vocabulary."""
    sample_tokens: int
    """Number of tokens of a random sequence; the first one is given and not counted."""
    precision: Precision
    """Floating-point precision of the training."""
    device: str
    """Device that it ran on."""
    bits_per_parameter: float
    """The most that a finished run held: a LOWER bound of the capacity."""
    best: CapacityRun
    """The run behind it."""
    seed_low: float | None
    """Least bits per parameter among runs that differ in the seed only; null with one seed."""
    seed_high: float | None
    """Most bits per parameter among runs that differ in the seed only; null with one seed."""
    extrapolations: tuple[Extrapolation, ...]
    """Where schedules of growing length point to, a form each; not measured, to be read as a spread."""
    last_gain: float | None
    """Relative gain of the longest schedule over the one before; null with one."""
    converged: bool
    """Whether the last gain is at most 2%; if not, longer training gives more."""
    self_check_share: float | None
    """Share memorised of a set far below the capacity: above .99, or training is broken; null if not tried."""
    runs: tuple[CapacityRun, ...]
    """Every run."""
    settings: Mapping[str, str]
    """Settings that it was made with."""
    packages: Mapping[str, str]
    """Versions of the packages that it was made with."""
    seconds: float
    """Wall time of all runs together."""
    lora_rank: int | None = None
    """Rank of the LoRA that was trained on frozen weights; null if all parameters were trained."""
    n_trained_parameters: int | None = None
    """Number of parameters of the LoRA, which the bits per parameter count; null if all parameters were trained."""
    base: str | None = None
    """Frozen weights that the LoRA was put on; null if all parameters were trained."""
    warnings: tuple[str, ...] = ()
    """Warnings to a reader of the figures."""


def read_capacity(path: Path) -> CapacityMeasurement:
    """Read what ``auditor capacity`` wrote: the file, or its folder."""
    file = path / "capacity.json" if path.is_dir() else path
    return read_document(file, CapacityMeasurement, version="1.1", what="capacity measurement (`auditor capacity`)")
