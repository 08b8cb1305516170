"""Scales of the sweep over sizes: which models on how many random tokens, for a laptop and as in the paper."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...documents.reproduction import Scale
from .models import Length, gpt2

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["CAPACITY", "CapacityScale"]


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
    length : Length
    optimizer : {"soap", "adamw"}
    """

    shapes: tuple[tuple[int, int], ...]
    n_vocabulary: int
    sample_tokens: int
    heads: int | None
    multiples: tuple[float, ...]
    batch_size: int
    length: Length
    optimizer: str

    def config(self, n_layer: int, n_embd: int) -> "PreTrainedConfig":
        """Build the configuration of a size."""
        return gpt2(n_layer, n_embd, self.n_vocabulary, self.sample_tokens, heads=self.heads)


CAPACITY: dict[Scale, CapacityScale] = {
    "laptop": CapacityScale(
        shapes=((2, 8), (2, 12), (2, 16), (2, 20), (2, 24), (2, 32), (2, 48)),
        n_vocabulary=512,
        sample_tokens=64,
        heads=4,
        multiples=(0.5, 1.22, 2.0),
        batch_size=32,
        length=Length(parameters_per_step=24.0, least=350),
        optimizer="soap",
    ),
    "paper": CapacityScale(
        shapes=tuple((n, d) for n in (1, 2, 4, 8) for d in (32, 64, 128, 256)),
        n_vocabulary=2048,
        sample_tokens=64,
        heads=None,
        multiples=(0.5, 1.0, 2.0, 4.0),
        batch_size=2048,
        length=Length(parameters_per_step=None, least=1_000_000),
        optimizer="adamw",
    ),
}
"""By name. The paper's rows are those of its table 5 (arXiv:2505.24832, section 3); 10^6 steps of 2,048 sequences."""
