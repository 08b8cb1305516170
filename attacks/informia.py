"""InfoRMIA, token by token: the information that each token gives away, over what another token would."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Attack, FloatArray, Need, Signals

__all__ = ["InfoRMIA"]


@dataclass(frozen=True)
class InfoRMIA(Attack):
    """Mean information gain of the tokens, in bits, beside the divergence of the models (Tao and Shokri 2025).

    RMIA asks how often the ratio ``p(x | target) / p(x)`` beats that of another text z. InfoRMIA takes the expected
    logarithm of the quotient of both ratios instead, ``log p(x | target) / p(x) + KL(p(z) || p(z | target))``, with no
    threshold and no finite population. Token by token x is the next token and z every entry of the vocabulary, so that
    of a token t it is ``log2 p(x_t | x_<t, target) / p(x_t | x_<t) + KL(p(. | x_<t) || p(. | x_<t, target))``; the text
    scores the mean over its tokens. ``p`` is the mean of the references that never saw the text.

    The formula is that of published accounts of the paper and of a public implementation of it, which agree; the paper
    itself was not at hand, so that its equation numbers are not given. Some implementations divide the logits by a
    temperature or take other aggregates than the mean; neither is done here. It costs a pass of the target with all
    references beside it in memory.
    """

    name: ClassVar[str] = "informia"
    paper: ClassVar[str] = "arXiv:2510.05582"
    summary: ClassVar[str] = "bits that the tokens gain under the target, over what other tokens would, per token"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REFERENCE, Need.ALIGNED_TOKENS, Need.DIVERGENCE})
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals) -> FloatArray:
        """Return the mean over the scored tokens, bits per token."""
        assert signals.divergence is not None
        tokens = np.stack([scores.logprob.astype(np.float64) for scores in signals.references])
        seen = np.repeat(~signals.unseen, signals.target.n_tokens, axis=1)  # (n_references, n_tokens)
        tokens[seen] = -np.inf
        expected = np.logaddexp.reduce(tokens, axis=0) - np.log((~seen).sum(axis=0))  # (n_tokens,)
        gain = np.add.reduceat(signals.target.logprob - expected, signals.target.offsets[:-1])  # (n_samples,)
        return np.asarray((gain + signals.divergence) / signals.target.n_tokens / np.log(2))
