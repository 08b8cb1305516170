"""Scales of the reproduction: which models on how much data, for a laptop and as in the paper."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from ...documents.capacity import Precision
from ...documents.reproduction import GridPart, Scale
from ..sweep import CalibrationPlan
from ..training import OptimizerName

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["CAPACITY", "GRIDS", "CapacityScale", "GridCell", "GridScale", "count_gpt2", "gpt2", "text_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityScale:
    """Models that are trained on random tokens.

    Parameters
    ----------
    shapes : tuple of (int, int)
        Layers and width of each size.
    n_vocabulary, sample_tokens : int
    heads : int or None
        Of every model; None for one to each 32 of the width.
    multiples : tuple of float
        Sizes of the data, as multiples of 3.6 bits per parameter.
    batch_size : int
    parameters_per_step : float
        The steps of a model are its parameters over this, at least ``least_steps``.
    optimizer : {"soap", "adamw"}
    """

    shapes: tuple[tuple[int, int], ...]
    n_vocabulary: int
    sample_tokens: int
    heads: int | None
    multiples: tuple[float, ...]
    batch_size: int
    parameters_per_step: float
    least_steps: int
    optimizer: str

    def config(self, n_layer: int, n_embd: int) -> "PreTrainedConfig":
        """Build the configuration of a size."""
        return gpt2(n_layer, n_embd, self.n_vocabulary, self.sample_tokens, heads=self.heads)


def gpt2(n_layer: int, n_embd: int, n_vocabulary: int, sample_tokens: int, *, heads: int | None) -> "PreTrainedConfig":
    """Build the configuration of a model for random tokens; without ``heads`` there is one to each 32 of the width."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=n_vocabulary,
        n_positions=sample_tokens,
        n_embd=n_embd,
        n_layer=n_layer,
        n_head=heads or max(1, n_embd // 32),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )


def count_gpt2(n_layer: int, n_embd: int, n_vocabulary: int, sample_tokens: int) -> int:
    """Count the parameters of such a model, the tied head once.

    Examples
    --------
    >>> count_gpt2(1, 32, 2048, 64)  # the paper's smallest model, 8.04e4
    80352
    """
    in_layer = 12 * n_embd**2 + 13 * n_embd
    return (n_vocabulary + sample_tokens) * n_embd + n_layer * in_layer + 2 * n_embd


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
    parameters_per_step : float
        The steps of a model are its parameters over this, at least ``least_steps``.
    optimizer : {"soap", "adamw"}
    """

    cells: Mapping[GridPart, tuple[GridCell, ...]]
    heads: int | None
    tokens_per_step: int
    parameters_per_step: float
    least_steps: int
    optimizer: OptimizerName


CAPACITY: dict[Scale, CapacityScale] = {
    "laptop": CapacityScale(
        shapes=((2, 8), (2, 12), (2, 16), (2, 20), (2, 24), (2, 32), (2, 48)),
        n_vocabulary=512,
        sample_tokens=64,
        heads=4,
        multiples=(0.5, 1.22, 2.0),
        batch_size=32,
        parameters_per_step=24.0,
        least_steps=350,
        optimizer="soap",
    ),
    "paper": CapacityScale(
        shapes=tuple((n, d) for n in (1, 2, 4, 8) for d in (32, 64, 128, 256)),
        n_vocabulary=2048,
        sample_tokens=64,
        heads=None,
        multiples=(0.5, 1.0, 2.0, 4.0),
        batch_size=2048,
        parameters_per_step=1.0,
        least_steps=1_000_000,
        optimizer="adamw",
    ),
}
"""By name. The paper's rows are those of its table 5 (arXiv:2505.24832, section 3); 10^6 steps of 2,048 sequences."""


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
        parameters_per_step=18.0,
        least_steps=350,
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
        parameters_per_step=1.0,
        least_steps=1_000_000,
        optimizer="adamw",
    ),
}
"""By name. Lengths, shapes and 4,096 sequences are the paper's (section 3); its vocabularies are our choice."""


def text_plan(scale: Scale, *, n_vocabulary: int, sample_tokens: int, device: str) -> CalibrationPlan:
    """Choose the sweep on text: three sizes of a laptop, or the two models of the paper's table 4."""
    from transformers import GPT2Config

    rest = {"vocab_size": n_vocabulary, "n_positions": sample_tokens, "bos_token_id": 0, "eos_token_id": 0}

    def config(**shape: float) -> str:
        return str(GPT2Config(**rest, **shape).to_json_string(use_diff=False))

    if scale == "paper":
        return CalibrationPlan(
            configs=(
                config(n_layer=12, n_embd=768, n_head=12),
                config(n_layer=48, n_embd=1600, n_head=25),
            ),
            ratios=(0.0121148, 0.0493517, 0.1096699),
            epochs=300.0,
            least_steps=100_000,
            reference_steps=100_000,
            longer=0.0,
            whole_references=True,
            batch_size=2048,
            learning_rates=(6e-4, 1.5e-4),
            n_held_out=10_000,
            n_reference=1_000_000,
            device=device,
        )
    return CalibrationPlan(
        configs=tuple(config(n_layer=1, n_embd=width, n_head=4) for width in (8, 12, 16)),
        larger_reference=config(n_layer=1, n_embd=32, n_head=4),
        whole_references=True,
        ratios=(0.004, 0.008, 0.0125, 0.025, 0.05, 0.1),
        epochs=60.0,
        least_steps=1_000,
        reference_steps=1_500,
        longer=0.0,
        optimizer="soap",
        n_held_out=1_000,
        n_reference=2_000,
        device=device,
    )
