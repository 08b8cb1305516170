"""The reproduction of the paper: what `auditor reproduce` was asked for, and what its models held of random tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from .capacity import Precision
from .files import document, read_document

__all__ = [
    "GRID_PARTS",
    "CapacityGrid",
    "CapacitySweep",
    "CurvePoint",
    "GridPart",
    "GridRun",
    "Part",
    "Scale",
    "SizeRun",
    "Slope",
    "SweepSettings",
    "read_capacity_grid",
    "read_capacity_sweep",
]

Part = Literal["capacity", "training", "precision", "sequences", "shapes", "text", "membership", "extraction"]
GridPart = Literal["training", "precision", "sequences", "shapes"]
GRID_PARTS: tuple[GridPart, ...] = ("training", "precision", "sequences", "shapes")
"""What else is asked of models on random tokens, beside their capacity by size."""
Scale = Literal["laptop", "paper"]


@document
class SweepSettings:
    """What a folder of `auditor reproduce` is of: a second run there goes on only if it asks for the same."""

    kind: Literal["reproduction"] = "reproduction"
    """Kind of the document."""
    schema_version: str = "1.0"
    """Version of this document's schema, MAJOR.MINOR."""
    scale: Scale
    """Sizes of models and data: those of a laptop, or the paper's."""
    data: str | None
    """Texts, as they were given; null without."""
    data_sha256: str | None
    """SHA-256 of the texts; null without."""


@document
class SizeRun:
    """One model trained on one set of random tokens until the end of its schedule."""

    n_layer: int
    """Number of layers."""
    n_embd: int
    """Width."""
    params: int
    """Number of parameters, tied ones once."""
    n_samples: int
    """Random sequences."""
    dataset_bits: float
    """Information in their predicted tokens."""
    steps: int
    """Number of training steps."""
    memorized_bits: float
    """Dataset bits minus the code length of the sequences under the trained model; not clipped."""
    memorized_bits_bf16: float
    """The same once every weight of this model is rounded to bfloat16."""
    test_bits_per_token: float
    """Code length of a token of fresh random sequences."""
    seconds: float
    """Wall time of the training."""
    cpu_seconds: float | None = None
    """CPU time of the process that trained it; null in older files."""


@document
class Slope:
    """Capacity by number of parameters: a straight line through the sizes, by least squares."""

    value: float
    """Bits that one more parameter holds."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    level: float
    """Confidence level of the interval, which covers the scatter of the sizes around the line."""
    n_sizes: int
    """Number of model sizes."""
    method: str
    """How slope and interval were made."""


@document
class CapacitySweep:
    """Bits that models of several sizes hold of uniform random tokens: lower bounds, and their slope."""

    kind: Literal["capacity-sweep"] = "capacity-sweep"
    """Kind of the document."""
    schema_version: str = "1.0"
    """Version of this document's schema, MAJOR.MINOR."""
    scale: Scale
    """Sizes of models and data."""
    n_vocabulary: int
    """Number of entries of the vocabulary."""
    sample_tokens: int
    """Number of tokens of a random sequence; the first one is given and not counted."""
    device: str
    """Device that it ran on."""
    runs: tuple[SizeRun, ...]
    """Every run, the smallest models first."""
    slope: Slope | None
    """Bits per parameter as the slope over sizes; null below three sizes."""
    slope_bf16: Slope | None
    """The same of the weights rounded to bfloat16; null below three sizes."""
    settings: Mapping[str, str]
    """Settings that it was made with."""
    packages: Mapping[str, str]
    """Versions of the packages that it was made with."""
    seconds: float
    """Wall time in seconds of all trainings, one after the other; side by side they took less."""
    cpu_seconds: float | None = None
    """CPU time of all trainings; null if that of one is not known."""


def read_capacity_sweep(path: Path) -> CapacitySweep:
    """Read what ``auditor reproduce --part capacity`` wrote."""
    what = "sweep over sizes (`auditor reproduce --part capacity`)"
    return read_document(path, CapacitySweep, version="1.0", what=what)


@document
class CurvePoint:
    """Bits held on the way through a training."""

    steps: int
    """Number of training steps done."""
    memorized_bits: float
    """Dataset bits minus the code length by the mean loss of the last pass over the data, before each step's update."""


@document
class GridRun:
    """One model trained on one set of random tokens, in a grid that varies one or two properties."""

    n_layer: int
    """Number of layers."""
    n_embd: int
    """Width."""
    params: int
    """Number of parameters, tied ones once."""
    n_vocabulary: int
    """Number of entries of the vocabulary."""
    sample_tokens: int
    """Number of tokens of a random sequence; the first one is given and not counted."""
    n_samples: int
    """Random sequences."""
    dataset_bits: float
    """Information in their predicted tokens."""
    precision: Precision
    """Floating-point precision of the training."""
    steps: int
    """Number of training steps."""
    memorized_bits: float
    """Dataset bits minus the code length under the trained model, its weights rounded after bfloat16; not clipped."""
    memorized_bits_bf16: float
    """The same once every weight of this model is rounded to bfloat16."""
    test_bits_per_token: float
    """Code length of a token of fresh random sequences."""
    curve: tuple[CurvePoint, ...]
    """Bits on the way."""
    seconds: float
    """Wall time of the training."""
    cpu_seconds: float | None = None
    """CPU time of the process that trained it; null in older files."""


@document
class CapacityGrid:
    """What models hold of random tokens as one or two properties vary: lower bounds."""

    kind: Literal["capacity-grid"] = "capacity-grid"
    """Kind of the document."""
    schema_version: str = "1.0"
    """Version of this document's schema, MAJOR.MINOR."""
    part: GridPart
    """What varies: data with bits during training, the precision, sequences and vocabulary, or depth and width."""
    scale: Scale
    """Sizes of models and data."""
    device: str
    """Device that it ran on."""
    runs: tuple[GridRun, ...]
    """Every run, in the order of the grid."""
    paper_operations: float
    """Floating-point operations of this part at the paper's scale, six per parameter and token: an estimate."""
    settings: Mapping[str, str]
    """Settings that it was made with."""
    packages: Mapping[str, str]
    """Versions of the packages that it was made with."""
    seconds: float
    """Wall time in seconds of all trainings, one after the other; side by side they took less."""
    cpu_seconds: float | None = None
    """CPU time of all trainings; null if that of one is not known."""


def read_capacity_grid(path: Path) -> CapacityGrid:
    """Read what a part of ``auditor reproduce`` on random tokens wrote."""
    return read_document(path, CapacityGrid, version="1.0", what="grid of capacities (`auditor reproduce`)")
