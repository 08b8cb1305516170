"""Scales of the grids: precision, sequences, vocabulary, depth and width, for a laptop and as in the paper."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from ...documents.capacity import Precision
from ...documents.reproduction import GridPart, Scale
from ..training import OptimizerName
from .models import Length
from .scales import CAPACITY

__all__ = ["GRIDS", "GridCell", "GridScale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCell:
    """One run of a grid.

    Parameters
    ----------
    n_layer, n_embd, n_vocabulary, sample_tokens : int
    data : float or int
        Sequences, or as a float a multiple of 3.6 bits per parameter.
    precision : {"fp32", "bf16"}
    """

    n_layer: int
    n_embd: int
    n_vocabulary: int
    sample_tokens: int
    data: float | int
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridScale:
    """Grids of capacities, and how every cell is trained.

    Parameters
    ----------
    cells : mapping of part to tuple of GridCell
    heads : int or None
        Of every model; None for one to each 32 of the width.
    tokens_per_step : int
        A batch has as many sequences as these tokens hold.
    length : Length
    optimizer : {"soap", "adamw"}
    """

    cells: Mapping[GridPart, tuple[GridCell, ...]]
    heads: int | None
    tokens_per_step: int
    length: Length
    optimizer: OptimizerName


def _shaped(
    shapes: Iterable[tuple[int, int]],
    *,
    n_vocabulary: int,
    data: Iterable[float],
    precisions: Iterable[Precision] = ("fp32",),
) -> tuple[GridCell, ...]:
    """Lay out cells of several shapes, amounts of data and precisions, on sequences of 64 tokens."""
    return tuple(
        GridCell(n_layer=n, n_embd=d, n_vocabulary=n_vocabulary, sample_tokens=64, data=amount, precision=precision)
        for (n, d), amount, precision in product(shapes, data, precisions)
    )


def _sequences(shape: tuple[int, int], *, n_samples: int, lengths: Iterable[tuple[int, int]]) -> tuple[GridCell, ...]:
    """Lay out cells of one shape and number of sequences over pairs of length and vocabulary."""
    return tuple(
        GridCell(n_layer=shape[0], n_embd=shape[1], n_vocabulary=v, sample_tokens=s, data=n_samples) for s, v in lengths
    )


_BOTH: tuple[Precision, ...] = ("fp32", "bf16")

GRIDS: dict[Scale, GridScale] = {
    "laptop": GridScale(
        cells={
            "training": _shaped([(2, 16)], n_vocabulary=512, data=(0.5, 1.22, 2.0, 4.0)),
            "precision": _shaped([(2, 8), (2, 12), (2, 16)], n_vocabulary=512, data=[1.22], precisions=_BOTH),
            "sequences": _sequences(
                (2, 16),
                n_samples=128,
                lengths=[*((s, 512) for s in (8, 16, 32, 64, 128)), *((64, v) for v in (64, 128, 256, 1024))],
            ),
            "shapes": _shaped(product((1, 2, 4), (8, 16, 24)), n_vocabulary=512, data=[1.22]),
        },
        heads=4,
        tokens_per_step=2048,
        length=Length(parameters_per_step=18.0, least=350),
        optimizer="soap",
    ),
    "paper": GridScale(
        cells={
            "training": _shaped([(8, 256)], n_vocabulary=2048, data=(0.5, 1.0, 2.0, 4.0)),
            "precision": _shaped(CAPACITY["paper"].shapes, n_vocabulary=2048, data=[1.0], precisions=_BOTH),
            "sequences": _sequences(
                (2, 128),
                n_samples=4096,
                lengths=[
                    *((s, 2048) for s in (4, 8, 16, 32, 64, 128, 256)),
                    *((64, v) for v in (128, 512, 1024, 4096)),
                ],
            ),
            "shapes": _shaped(CAPACITY["paper"].shapes, n_vocabulary=2048, data=[1.0]),
        },
        heads=None,
        tokens_per_step=2048 * 64,
        length=Length(parameters_per_step=None, least=1_000_000),
        optimizer="adamw",
    ),
}
"""By name. Lengths, shapes and 4,096 sequences are the paper's (section 3); its vocabularies are our choice."""
