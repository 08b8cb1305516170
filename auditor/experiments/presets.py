"""Architectures whose capacity can be measured by name, and rules for any other."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .training import OptimizerName

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["PRESETS", "Preset", "Training", "default_training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How every model of a capacity measurement is trained.

    Parameters
    ----------
    steps : int
        Updates of the shortest schedule.
    batch_size : int
        Sequences a step.
    learning_rate : float
    optimizer : {"adamw", "soap"}
    """

    steps: int
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A GPT-2 style architecture with the training that suits it."""

    description: str
    n_layer: int
    n_embd: int
    n_head: int
    n_vocabulary: int
    sample_tokens: int
    training: Training
    n_seeds: int

    def config(self) -> "PreTrainedConfig":
        """Build the Hugging Face configuration: learned positions, tied head, no dropout."""
        from transformers import GPT2Config

        return GPT2Config(
            vocab_size=self.n_vocabulary,
            n_positions=self.sample_tokens,
            n_embd=self.n_embd,
            n_layer=self.n_layer,
            n_head=self.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )


def _table_5(n_layer: int, n_embd: int) -> Preset:
    """Return a row of table 5: batches of 2,048 sequences, 10^6 steps at the longest (a GPU and days)."""
    return Preset(
        description=f"table 5 of the paper: {n_layer} layers, width {n_embd}; for a GPU, 10^6 steps at the longest",
        n_layer=n_layer,
        n_embd=n_embd,
        n_head=max(1, n_embd // 32),
        n_vocabulary=2048,
        sample_tokens=64,
        training=Training(steps=166_667, batch_size=2048, learning_rate=1e-3, optimizer="adamw"),
        n_seeds=5,
    )


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        description="15,808 parameters; about 3 minutes on two cores",
        n_layer=2,
        n_embd=16,
        n_head=4,
        n_vocabulary=512,
        sample_tokens=64,
        training=Training(steps=850, batch_size=32, learning_rate=4e-2, optimizer="soap"),
        n_seeds=3,
    ),
    "tiny-long": Preset(
        description="15,808 parameters with longer schedules, 24,750 steps in all",
        n_layer=2,
        n_embd=16,
        n_head=4,
        n_vocabulary=512,
        sample_tokens=64,
        training=Training(steps=1500, batch_size=32, learning_rate=4e-2, optimizer="soap"),
        n_seeds=3,
    ),
    "smoke": Preset(
        description="a few seconds, to see that it runs; its figure means nothing",
        n_layer=1,
        n_embd=8,
        n_head=2,
        n_vocabulary=64,
        sample_tokens=16,
        training=Training(steps=200, batch_size=32, learning_rate=4e-2, optimizer="soap"),
        n_seeds=2,
    ),
    **{f"table5-{n}x{d}": _table_5(n, d) for n, d in ((1, 32), (1, 128), (2, 128), (4, 256), (8, 256))},
}
"""By name. The heads of table 5's models are not in the paper; they do not change the parameter count."""


def default_training(n_parameters: int, sample_tokens: int) -> Training:
    """Choose the training of any other architecture, from what worked for small ones.

    About 2,000 tokens a step; SOAP at 4e-2 for 16 thousand parameters, falling as their square root; ten steps of
    the shortest schedule for each 180 parameters, at most 20,000.
    """
    return Training(
        steps=min(20_000, max(200, n_parameters // 18)),
        batch_size=max(1, round(2048 / sample_tokens)),
        learning_rate=min(4e-2, 4e-2 * math.sqrt(16_000 / n_parameters)),
        optimizer="soap",
    )
