"""Betting: what a fair gambler would have won by betting that a bounded mean is above a candidate."""

import math
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .clusters import Array

__all__ = ["LARGEST_BLOCK", "BettingCapital", "bernoulli_log_capital", "bernoulli_lower_end", "pairing_moments"]

LARGEST_BLOCK = 32  # pairs; the products of a larger block leave the range of a float64
SMALLEST_MEAN = 1e-6
TOLERANCE = 1e-7
STAKES = scipy.special.expit(np.linspace(-8.0, 3.5, 16))
"""Shares of the capital at risk in a bet, 0.03 to 97 percent. The gambler splits the capital evenly over them once
and lets each part ride, so that no stake has to be tuned and none depends on what was seen."""


class BettingCapital:
    """Capital from bets that a mean is above a candidate: at most 1 in expectation, at any stopping time, if it is not.

    Data come in blocks of n values in [0, 1] with the same mean given the past. A stake c multiplies the capital by
    ``prod_i (1 - c + c x_i / m)``, which has expectation at most 1 if the mean is at most m, and falls with m.

    Parameters
    ----------
    degree : int
        Most values of a block, 1 to 32.

    Notes
    -----
    A block is kept as its moments ``q_k = e_k(x_1 ... x_n)`` (elementary symmetric polynomials, or their mean over
    several ways to pair the same samples: a mean of bets is a bet), for the product is
    ``sum_k q_k (c / m)^k (1 - c)^(n - k)``. The mean of the capitals over the stakes starts at 1 and is a
    supermartingale, so by Ville's inequality it ever reaches 1 / error with a chance of at most ``error``.

    References
    ----------
    .. [1] Waudby-Smith, Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024,
       arXiv:2010.09686, theorem 3, with diversified Kelly bets (a grid of stakes, proportional to 1 / m) in place of
       plug-in bets: they need no order within a block and make the capital fall in m, so that its end is a root.
    """

    def __init__(self, degree: int) -> None:
        if not 1 <= degree <= LARGEST_BLOCK:
            raise ValueError(f"degree must be 1 to {LARGEST_BLOCK}, got {degree}")
        self._degree = degree
        self._rows: list[Array] = []
        self._sizes: list[NDArray[np.int64]] = []

    def add(self, moments: Array) -> None:
        """Take blocks of one size n, shape (n_blocks, n + 1), ``moments[:, 0] = 1``."""
        n_blocks, n = moments.shape[0], moments.shape[1] - 1
        if n_blocks == 0:
            return
        self._sizes.append(np.full(n_blocks, n, dtype=np.int64))
        if n < self._degree:  # written with more factors (u + 1 - u) = 1, so that all blocks have one width
            ones = scipy.special.binom(self._degree - n, np.arange(self._degree - n + 1))
            moments = np.stack([np.convolve(row, ones) for row in moments])
        self._rows.append(moments)

    def log_path(self, mean: float) -> Array:
        """Logarithm of the capital after each block against a candidate mean in (0, 1], shape (n_blocks,)."""
        if not self._rows:
            return np.empty(0)
        self._rows, self._sizes = [np.concatenate(self._rows)], [np.concatenate(self._sizes)]
        mean = max(mean, SMALLEST_MEAN)
        share = (STAKES / (mean * (1 - STAKES) + STAKES))[None, :]
        k = np.arange(self._degree + 1)[:, None]
        weights = share**k * (1 - share) ** (self._degree - k)
        won = np.log(self._rows[0] @ weights) + self._sizes[0][:, None] * np.log1p(STAKES * (1 / mean - 1))
        return _log_mean(np.cumsum(won, axis=0))

    def lower_end(self, error: float) -> float:
        """Largest mean that the capital has ever refuted, after any block: 0 if none."""
        if not self._rows:
            return 0.0
        return _largest_refuted(lambda mean: float(self.log_path(mean).max()), error)


def bernoulli_log_capital(hits: ArrayLike, n: int, mean: float) -> Array:
    """Logarithm of the capital of `BettingCapital` after n values, ``hits`` of them 1 and the others 0."""
    k = np.asarray(hits, dtype=np.float64)[..., None]
    won = k * np.log1p(STAKES * (1 / max(mean, SMALLEST_MEAN) - 1)) + (n - k) * np.log1p(-STAKES)
    return _log_mean(won)


def bernoulli_lower_end(hits: int, n: int, error: float) -> float:
    """Lower end of a rate after n trials, ``hits`` of them successes, valid at all n at once."""
    return _largest_refuted(lambda mean: float(bernoulli_log_capital(hits, n, mean)), error)


def pairing_moments(members: Array, non_members: Array) -> Array:
    """Moments of the wins of members over non-members, averaged over ALL ways to pair them.

    Parameters
    ----------
    members, non_members : ndarray of shape (m,), (n,)
        Scores; a member wins 1 against a lower score, 1/2 against an equal one.

    Returns
    -------
    ndarray of shape (min(m, n) + 1,)
        ``q_k = E[e_k(h_1 ... h_min)]`` over the uniformly random pairings of the smaller side with the larger.

    Notes
    -----
    ``q_k`` is the weight of the placements of k rooks that do not attack each other on the board of wins, times
    ``(N - k)! / N!`` with N the larger side. The board is a staircase once both sides are sorted, so row after row
    ``r_k += r_(k-1) (c - k + 1)``, where the member beats c non-members; equal scores add a block of halves.

    References
    ----------
    .. [1] Kaplansky, Riordan, *The problem of the rooks and its applications*, Duke Math. J. 13, 1946.

    Examples
    --------
    >>> pairing_moments(np.array([1.0, 3.0]), np.array([0.0, 2.0]))  # pairings win {1, 1} and {1, 0}
    array([1. , 1.5, 0.5])
    """
    pairs, larger = sorted((members.size, non_members.size))
    levels, where = np.unique(np.concatenate([members, non_members]), return_inverse=True)
    rows = np.bincount(where[: members.size], minlength=levels.size)
    columns = np.bincount(where[members.size :], minlength=levels.size)
    below = np.cumsum(columns) - columns
    rooks = np.zeros(pairs + 1)
    rooks[0] = 1.0
    for n_rows, n_equal, n_below in zip(rows.tolist(), columns.tolist(), below.tolist(), strict=True):
        if n_rows:
            rooks = _with_rows(rooks, n_rows, n_equal, n_below)
    k = np.arange(pairs)
    moments: Array = rooks / np.concatenate([[1.0], np.cumprod(larger - k.astype(np.float64))])
    return moments


def _with_rows(rooks: Array, n_rows: int, n_equal: int, n_below: int) -> Array:
    """Add equal members: j of them draw with equal non-members, the others may beat lower ones."""
    free = np.maximum(n_below - np.arange(rooks.size - 1), 0)
    total = np.zeros_like(rooks)
    for n_draws in range(min(n_rows, n_equal, rooks.size - 1) + 1):
        placed = rooks.copy()
        for _ in range(n_rows - n_draws):
            placed[1:] += placed[:-1] * free
        weight = math.comb(n_rows, n_draws) * math.perm(n_equal, n_draws) * 0.5**n_draws
        total[n_draws:] += weight * placed[: rooks.size - n_draws]
    return total


def _log_mean(log_capitals: Array) -> Array:
    """Logarithm of the mean capital over the stakes, the last axis."""
    largest = log_capitals.max(axis=-1, keepdims=True)
    found: Array = np.log(np.exp(log_capitals - largest).mean(axis=-1)) + largest[..., 0]
    return found


def _largest_refuted(log_capital: Callable[[float], float], error: float) -> float:
    """Root of a falling capital, rounded towards 0; at a mean of 1 nothing can be won."""
    threshold = -math.log(error)
    if log_capital(SMALLEST_MEAN) < threshold:
        return 0.0
    root = scipy.optimize.brentq(lambda mean: log_capital(mean) - threshold, SMALLEST_MEAN, 1.0, xtol=TOLERANCE)
    return max(float(root) - 2 * TOLERANCE, 0.0)
