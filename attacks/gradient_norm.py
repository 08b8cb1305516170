"""Gradient norm: how little another training step on the text would move the target."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["GradientNorm"]

_ORDERS = ("1", "2", "inf")


@dataclass(frozen=True)
class GradientNorm(Attack):
    """Minus the norm of the gradient of the text's loss (Wang et al. 2024, "Pandora's White-Box").

    Minus the mean, over the target's parameter tensors, of the p-norm of the gradient of the mean negative
    log-likelihood of the text: the convention of MIMIR, which cites this paper. The paper also takes the gradient
    with respect to the input embeddings; only parameters are taken here. The loss is a mean over tokens, so short
    texts tend to have larger gradients: compare texts of like length.

    Parameters
    ----------
    order : str or number
        Of the norm: 1, 2 or "inf" (as in MIMIR).
    """

    order: str | float = "inf"

    name: ClassVar[str] = "gradient_norm"
    paper: ClassVar[str] = "arXiv:2402.17012"
    summary: ClassVar[str] = "minus the norm of the gradient of the text's loss, mean over the target's parameters"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.GRADIENTS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        named = [name for name in _ORDERS if self.order in (name, float(name)) and self.order is not True]
        if not named:
            raise ValueError(f"order must be 1, 2 or inf, got {self.order!r}")
        object.__setattr__(self, "order", named[0])

    def score(self, signals: Signals) -> FloatArray:
        """Return minus the gradient norm of each text.

        Raises
        ------
        ValueError
            If the gradients are missing.
        """
        if signals.gradient_norms is None:
            raise ValueError("gradient norms are needed, got none")
        return -np.asarray(signals.gradient_norms[str(self.order)], dtype=np.float64)
