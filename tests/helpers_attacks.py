"""Signals that attacks score, from a few numbers a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attacks import Signals, TokenScores

Numbers = Sequence[float] | Sequence[Sequence[float]]
"""A number for each token, text after text."""


def token_scores(
    *texts: Sequence[float],
    mean: float | Numbers = 0.0,
    variance: float | Numbers = 0.0,
    rank: int | Numbers = 0,
    top: float | Numbers = 0.0,
    dtype: Any = np.float64,
) -> TokenScores:
    """Log-probabilities of the tokens of each text; all else is one number for every token, or a number each."""
    n = sum(len(text) for text in texts)

    def column(given: float | Numbers, kind: Any = dtype) -> Any:
        return np.full(n, np.hstack(given) if np.iterable(given) else given, kind)

    return TokenScores(
        offsets=np.cumsum([0, *(len(text) for text in texts)]),
        logprob=column(texts),
        logprob_mean=column(mean),
        logprob_variance=column(variance),
        rank=column(rank, np.int32),
        logprob_max=column(top),
    )


def one_token(logprob: Sequence[float]) -> TokenScores:
    """Texts of one token each, as likely as the model expects its tokens to be."""
    return token_scores(*([value] for value in logprob), mean=logprob)


def signals_of(target: TokenScores, **more: Any) -> Signals:
    """Signals of texts of which each is the number that is its id."""
    names = tuple(str(i) for i in range(target.n_samples))
    return Signals(sample_ids=names, texts=names, target=target, **more)
