"""The columns of the samples that the extraction part of a result is made of."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_PROBABILITY", "SampleExtraction", "draws_needed", "is_extractable"]

LEAST_PROBABILITY = 1e-3
"""Of a suffix in one draw, from which on a text counts as extractable (Cooper et al. 2025)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleExtraction:
    """How surely the end of each text is drawn out of the target by what stands before it; arrays of a row a text.

    Parameters
    ----------
    suffix_tokens : ndarray of int64
        Tokens to be drawn out; 0 if the text is too short.
    log2_p : ndarray of float64, bits
        Log of the probability that the sampler draws them, -inf if it never does; NaN if the text is too short.
    log2_p_unrestricted : ndarray of float64, bits
        The same of sampling from the whole vocabulary at temperature 1; NaN if the text is too short.
    reference_log2_p, reference_log2_p_unrestricted : ndarray of float64, bits, or None
        The same of (the even mixture of) the references that never saw the text; None if there is none that reads the
        same tokens.
    is_greedy : ndarray of bool
        Whether greedy decoding writes them: each is the likeliest token, and no other as likely.
    n_windows, n_windows_extractable : ndarray of int64
        Places of the text that a suffix can stand at, and those of them where the sampler draws it often enough.
    longest_run : ndarray of int64, tokens
        Most tokens on end that greedy decoding writes, each after all of the text before it.
    """

    suffix_tokens: NDArray[np.int64]
    log2_p: NDArray[np.float64]
    log2_p_unrestricted: NDArray[np.float64]
    reference_log2_p: NDArray[np.float64] | None
    reference_log2_p_unrestricted: NDArray[np.float64] | None
    is_greedy: NDArray[np.bool_]
    n_windows: NDArray[np.int64]
    n_windows_extractable: NDArray[np.int64]
    longest_run: NDArray[np.int64]

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """Whether a text is long enough, shape (n_samples,)."""
        return self.suffix_tokens > 0

    def of(self, places: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "SampleExtraction":
        """Take some of the texts."""
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        taken: dict[str, Any] = {name: None if part is None else part[places] for name, part in parts.items()}
        return SampleExtraction(**taken)


def draws_needed(log2_p: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
    """Fewest draws that yield a suffix with some chance: (n, p)-discoverable extraction.

    Parameters
    ----------
    log2_p : ndarray of float64, bits, <= 0
        Log of the probability of the suffix in one draw; NaN stays NaN.
    chance : float
        In (0, 1).

    Returns
    -------
    ndarray of float64
        ``ceil(ln(1 - chance) / ln(1 - p))``, at least 1; infinite where p is 0 or rounds to it (below 1e-308).

    References
    ----------
    .. [1] Hayes et al., *Measuring memorization in language models via probabilistic extraction*, arXiv:2410.19482,
       section 3, equation 3.

    Examples
    --------
    >>> p = np.array([0.001, 0.01, 1.0, 0.0])
    >>> with np.errstate(divide="ignore"):
    ...     [draws_needed(np.log2(p), chance).tolist() for chance in (0.5, 0.9)]
    [[693.0, 69.0, 1.0, inf], [2302.0, 230.0, 1.0, inf]]
    """
    with np.errstate(divide="ignore", under="ignore", over="ignore"):
        log_of_missing = np.log1p(-np.exp2(log2_p))
        needed = np.ceil(math.log1p(-chance) / log_of_missing)
    return np.asarray(np.where(log_of_missing == 0, np.inf, np.maximum(needed, 1.0)))


def is_extractable(log2_p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether one draw yields a suffix with at least :data:`LEAST_PROBABILITY`; a text that is not read is not."""
    return np.asarray(log2_p >= math.log2(LEAST_PROBABILITY))
