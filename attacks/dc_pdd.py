"""DC-PDD: whether the target is surer of the text's tokens than their frequency in ordinary text explains."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["DCPDD"]


@dataclass(frozen=True)
class DCPDD(Attack):
    """Mean calibrated probability of the distinct tokens of a text (Zhang et al. 2024, section 3).

    The mean, over the first occurrence in the text of each vocabulary entry, of ``min(p_t ln(1 / f_t), a)``: ``p_t``
    is the target's probability of the token, ``f_t = (count + 1) / (sum of counts + vocabulary size)`` its frequency,
    smoothed by one, in a corpus apart from the texts. The paper's formula is the negated cross-entropy of the two and
    its code stores a value that is low for members; this is high. First occurrences are sought among the scored
    tokens, as in the code: a first token without prediction does not hide its next occurrence.

    Parameters
    ----------
    a : float
        What one token can contribute at most, nats; the paper's 0.01. It keeps a few rare tokens from deciding.
    """

    a: float = 0.01

    name: ClassVar[str] = "dc_pdd"
    paper: ClassVar[str] = "arXiv:2409.14781"
    summary: ClassVar[str] = "probability under the target, weighted by how rare each token is in a corpus apart"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TOKEN_IDS, Need.TOKEN_COUNTS})
    per_sample: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number = isinstance(self.a, int | float) and not isinstance(self.a, bool)
        if not number or not 0 < self.a < np.inf:
            raise ValueError(f"a must be a number of nats above 0, got {self.a!r}")

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the first occurrences of each text.

        Raises
        ------
        ValueError
            If token ids or counts are missing, or the counts are of a smaller vocabulary.
        """
        ids, counts, target = signals.target_ids, signals.token_counts, signals.target
        if ids is None or counts is None:
            raise ValueError("token ids and token counts are needed, got none")
        if ids.min() < 0 or ids.max() >= len(counts):
            raise ValueError(f"token ids must be below {len(counts)}, the vocabulary counted; got up to {ids.max()}")
        text = np.repeat(np.arange(target.n_samples), target.n_tokens)  # (n_tokens,)
        _, first = np.unique(text * len(counts) + ids, return_index=True)  # (n_first,)
        rarity = np.log(counts.sum() + len(counts)) - np.log1p(counts[ids[first]])
        weighted = np.minimum(np.exp(target.logprob[first].astype(np.float64)) * rarity, self.a)
        return np.bincount(text[first], weights=weighted) / np.bincount(text[first])
