"""Scales of the reproduction: which models on how much data, for a laptop and as in the paper."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...documents.reproduction import Scale
from ..sweep import CalibrationPlan

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["CAPACITY", "CapacityScale", "text_plan"]


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
        from transformers import GPT2Config

        return GPT2Config(
            vocab_size=self.n_vocabulary,
            n_positions=self.sample_tokens,
            n_embd=n_embd,
            n_layer=n_layer,
            n_head=self.heads or max(1, n_embd // 32),
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )


CAPACITY: dict[Scale, CapacityScale] = {
    "laptop": CapacityScale(
        shapes=((2, 8), (2, 12), (2, 16), (2, 20), (2, 24)),
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
            batch_size=2048,
            learning_rates=(6e-4, 1.5e-4),
            n_held_out=10_000,
            n_reference=1_000_000,
            device=device,
        )
    return CalibrationPlan(
        configs=tuple(config(n_layer=1, n_embd=width, n_head=4, initializer_range=0.1) for width in (8, 12, 16)),
        ratios=(0.004, 0.008, 0.0125, 0.025, 0.05, 0.1),
        epochs=60.0,
        least_steps=500,
        reference_steps=1_500,
        longer=0.0,
        n_held_out=1_000,
        n_reference=2_000,
        device=device,
    )
