"""Frequencies of vocabulary entries in a corpus, as a model's tokenizer reads it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attacks import Need

from ..errors import ConfigError, ModelError
from .models import OpenedModel
from .request import ScoringRequest

__all__ = ["count_tokens", "counts_needed"]

_BLOCK = 1024
"""Texts held at once."""


def count_tokens(model: OpenedModel, corpus: Sequence[str]) -> NDArray[np.int64]:
    """Count the tokens of a corpus; special tokens that a tokenizer puts around texts are not counted.

    Parameters
    ----------
    model : OpenedModel
    corpus : sequence of str
        Texts of any length, none of them among those that are evaluated.

    Returns
    -------
    ndarray of int64, shape (n_vocabulary,)

    Raises
    ------
    ConfigError
        If there is no text.
    ModelError
        If the tokenizer is not the model's.
    """
    if not len(corpus):
        raise ConfigError("--frequency-corpus: there are no texts to count tokens in")
    n_vocabulary = model.files.n_vocabulary
    counts = np.zeros(n_vocabulary, dtype=np.int64)
    for start in range(0, len(corpus), _BLOCK):
        encoded = model.encoder.encode(corpus[start : start + _BLOCK])
        ids = np.array([token for tokens in encoded for token in tokens], dtype=np.int64)
        found = np.bincount(ids, minlength=n_vocabulary)
        if len(found) > n_vocabulary:
            raise ModelError(
                f"{model.files.spec}: its tokenizer gives id {len(found) - 1}, but the model's vocabulary ends at "
                f"{n_vocabulary - 1}; the tokenizer is not this model's"
            )
        counts += found
    return counts


def counts_needed(model: OpenedModel, request: ScoringRequest) -> NDArray[np.int64] | None:
    """Count the tokens of a request's frequency texts as `count_tokens` does; None if no attack needs them."""
    return count_tokens(model, request.frequency_texts) if Need.TOKEN_COUNTS in request.needs else None
