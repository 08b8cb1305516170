"""Models for random tokens: GPT-2 of any shape, its parameters, and how long one is trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["Length", "count_gpt2", "gpt2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How many steps a model is trained.

    Parameters
    ----------
    parameters_per_step : float or None
        Its parameters over this; None for ``least`` steps of every model.
    least : int
    """

    parameters_per_step: float | None
    least: int

    def steps(self, n_parameters: int) -> int:
        """Count the steps of a model."""
        if self.parameters_per_step is None:
            return self.least
        return max(self.least, round(n_parameters / self.parameters_per_step))

    @property
    def words(self) -> str:
        """The rule, for people."""
        if self.parameters_per_step is None:
            return f"{self.least:,}"
        return f"parameters / {self.parameters_per_step:g}, at least {self.least:,}"


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
