"""Zlib ratio: how likely the text is under the target, set against how well it compresses."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["Zlib"]


@dataclass(frozen=True)
class Zlib(Attack):
    """Mean log-probability divided by the compressed size of the text, nats per token and byte.

    Carlini et al. 2021 (arXiv:2012.07805, section 5.2) rank by compressed size over log-perplexity; this form,
    as later code has it, ranks identically while the log-perplexity is positive. The size is that of
    ``zlib.compress(text)`` of the UTF-8 text at the default level, header and checksum included.
    """

    name: ClassVar[str] = "zlib"
    paper: ClassVar[str] = "arXiv:2012.07805"
    summary: ClassVar[str] = "mean log-probability divided by the zlib-compressed size of the text"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return ``mean_t l_t / zlib bytes``."""
        n_bytes = np.array([len(zlib.compress(text.encode())) for text in signals.texts], dtype=np.float64)
        return signals.target.mean_logprob / n_bytes
