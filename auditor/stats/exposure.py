"""Exposure: how far up a secret ranks among others that were made like it and never trained on, in bits."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

__all__ = ["FittedExposure", "exact_null_mean", "exposure", "fitted_exposure", "null_mean", "skew_normal_logcdf"]

_MOST_FITTED = 10_000
"""References that a skew-normal distribution is fitted to; more change its third digit."""


def exposure(scores: ArrayLike, references: ArrayLike) -> NDArray[np.float64]:
    r"""Exposure of each secret by its rank among references: ``log2 n - log2(1 + references before it)``.

    Parameters
    ----------
    scores : array_like of shape (n_secrets,)
        Higher for what is remembered better.
    references : array_like of shape (n_references,)
        Scores of secrets that were never trained on. On a tie the reference goes first.

    Returns
    -------
    ndarray of float64, shape (n_secrets,), bits
        At most ``log2 n``; below 0 only for what lies under every reference.

    Raises
    ------
    ValueError
        If there is no reference, or a score is not finite.

    References
    ----------
    .. [1] Carlini et al., *The secret sharer*, 2019, arXiv:1802.08232, section 4.2 (by sampling).

    Examples
    --------
    >>> exposure([-0.1, -3.5, -20.0], -np.arange(1.0, 17.0)).round(4)
    array([ 4.    ,  2.    , -0.0875])
    """
    x, y = np.asarray(scores, dtype=np.float64), np.sort(np.asarray(references, dtype=np.float64))
    if not y.size:
        raise ValueError("exposure needs a reference to rank among")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a score is not finite")
    before = y.size - np.searchsorted(y, x, side="left")  # references at least as high
    return np.asarray(np.log2(y.size) - np.log2(1 + before))


def null_mean(n_references: int) -> float:
    """Return the mean exposure of a secret that no model saw, bits: its rank among n others is uniform on 1 to n + 1.

    Examples
    --------
    >>> [round(null_mean(n), 4) for n in (10, 100, 1000)]
    [1.0264, 1.3822, 1.4349]
    """
    if n_references < 1:
        raise ValueError(f"need a reference to rank among, got {n_references}")
    return float(np.log2(n_references) - np.log2(np.arange(1, n_references + 2)).mean())


def exact_null_mean(size: int) -> float:
    """Return the mean of ``log2 size - log2 rank``, bits, for a secret that was drawn at random from a whole space.

    Parameters
    ----------
    size : int
        Members of the space, the secret among them.

    Examples
    --------
    >>> [round(exact_null_mean(n), 4) for n in (2, 10_000)]  # (1 + 0) / 2
    [0.5, 1.4419]
    """
    return null_mean(size - 1) + math.log2(size) - math.log2(size - 1)


@dataclass(frozen=True, slots=True)
class FittedExposure:
    """Exposure by a skew-normal distribution that was fitted to the references.

    Parameters
    ----------
    bits : float
        ``-log2`` of its mass at the secret's score and above.
    extrapolated_bits : float
        How many of these lie beyond ``log2 n``, where no reference can speak for the fit.
    distance : float
        Largest distance between its distribution and that of the references (Kolmogorov and Smirnov's).
    """

    bits: float
    extrapolated_bits: float
    distance: float


def fitted_exposure(score: float, references: ArrayLike) -> FittedExposure:
    """Fit a skew-normal distribution to the references' losses, and take the mass at the secret's loss and below.

    Parameters
    ----------
    score : float
        Higher for what is remembered better: a log-probability.
    references : array_like of shape (n_references,)
        Of these, at most the first 10,000 are fitted to; they should be in random order.

    Raises
    ------
    ValueError
        If there are fewer than 10 references, all are alike, or the fit fails.

    References
    ----------
    .. [1] Carlini et al., *The secret sharer*, 2019, arXiv:1802.08232, section 4.3 (by modeling the distribution).

    Examples
    --------
    >>> found = fitted_exposure(6.0, np.random.default_rng(0).normal(size=1000))
    >>> 20 < found.bits < 45, round(found.bits - found.extrapolated_bits, 2)  # a normal tail has 29.9
    (True, 9.97)
    """
    losses = -np.asarray(references, dtype=np.float64)
    if losses.size < 10 or np.ptp(losses) <= 1e-9 * max(1.0, float(np.abs(losses).max())):
        raise ValueError("a distribution needs at least 10 references that are not all alike")
    some, centre, spread = losses[:_MOST_FITTED], float(losses.mean()), float(losses.std())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the search tries scales of 0
        shape, place, scale = stats.skewnorm.fit((some - centre) / spread)
        distance = float(stats.kstest((some - centre) / spread, "skewnorm", args=(shape, place, scale)).statistic)
    bits = -skew_normal_logcdf(((-score - centre) / spread - place) / scale, shape) / math.log(2)
    if not math.isfinite(bits):
        raise ValueError("the fit has no mass that can be computed at the secret")
    return FittedExposure(bits, max(0.0, bits - math.log2(losses.size)), distance)


def skew_normal_logcdf(x: float, shape: float) -> float:
    """Return the logarithm of the skew-normal distribution function, also far down its tail.

    Notes
    -----
    Below a probability of 1e-8 the density is integrated relative to its value at ``x``: the library's own function,
    a difference, is nothing but rounding there.

    Examples
    --------
    >>> round(skew_normal_logcdf(-20.0, 0.0), 6), round(float(stats.norm.logcdf(-20.0)), 6)
    (-203.917155, -203.917155)
    """
    p = float(stats.skewnorm.cdf(x, shape))
    if p > 1e-8:
        return math.log(p)

    def log_density(at: float) -> float:
        return float(stats.norm.logpdf(at) + stats.norm.logcdf(shape * at) + math.log(2))

    top = log_density(x)
    relative, _ = integrate.quad(lambda step: math.exp(log_density(x - step) - top), 0, math.inf)
    return top + math.log(relative)
