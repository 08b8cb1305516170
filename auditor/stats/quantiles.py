"""Quantiles and ranks, as ``scipy.stats`` makes them to the last bit, without the second that its import takes."""

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = ["average_ranks", "beta_quantile", "normal_quantile", "student_quantile"]


def normal_quantile(p: float) -> float:
    """Value below which a standard normal variable lies with probability p.

    Examples
    --------
    >>> round(normal_quantile(0.975), 2)
    1.96
    """
    return float(scipy.special.ndtri(p))


def student_quantile(p: float, df: ArrayLike) -> NDArray[np.float64]:
    """Value below which a variable with Student's distribution lies with probability p, for each number of df.

    Examples
    --------
    >>> student_quantile(0.975, [1, np.inf]).round(2).tolist()
    [12.71, 1.96]
    """
    return np.asarray(scipy.special.stdtrit(np.asarray(df, dtype=np.float64), p))


def beta_quantile(p: float, a: float, b: float) -> float:
    """Value below which a variable with the beta distribution of shapes a and b lies with probability p.

    Examples
    --------
    >>> beta_quantile(0.5, 2, 2)
    0.5
    """
    return float(scipy.special.betaincinv(a, b, p))


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 on; those that are tied share the mean of theirs. Shape (n,) in and out.

    Examples
    --------
    >>> average_ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])
