"""Spearman's correlation with an interval that knows of ties and of samples that are not independent."""

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate
from .clusters import Array, Groups, cluster_ids, influence_spread
from .intervals import check_level, finite_vector

__all__ = ["LEAST_FOR_CORRELATION", "spearman"]

LEAST_FOR_CORRELATION = 10


def spearman(x: ArrayLike, y: ArrayLike, *, level: float, groups: Groups = None) -> Estimate:
    """Spearman's rank correlation of two properties of members.

    Parameters
    ----------
    x, y : array_like of shape (n_members,)
        Finite.
    level : float
        Confidence level.
    groups : sequence of (str or None), length n_members, optional
        Cluster of each member; None is a cluster of its own.

    Returns
    -------
    Estimate
        Interval by Fisher's z, with the variance of the correlation's own influence function (which holds that the
        ranks are estimated, too), summed by cluster, and Student's t. Undefined below 10 members or clusters, or where
        one of the properties does not vary.

    References
    ----------
    .. [1] Croux and Dehon, *Influence functions of the Spearman and Kendall correlation measures*, 2010, eq. 8; we
       divide by the spread of the ranks as they are, ties and all.

    Examples
    --------
    >>> e = spearman(np.arange(20), np.arange(20) ** 3, level=0.95)
    >>> round(e.value, 6), round(e.low, 6)
    (1.0, 1.0)
    """
    check_level(level)
    a, b = finite_vector(x, "x"), finite_vector(y, "y")
    if a.size != b.size:
        raise ValueError(f"x has {a.size} values and y {b.size}")
    cluster = cluster_ids(a.size, groups)
    n_clusters = np.unique(cluster).size

    def undefined(reason: str) -> Estimate:
        return Estimate.undefined(reason, level=level, n_members=a.size)

    if n_clusters < LEAST_FOR_CORRELATION:
        return undefined(f"at least {LEAST_FOR_CORRELATION} independent members are needed, got {n_clusters}")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return undefined("one of the two does not vary")
    u, v = _centred(a), _centred(b)
    scale = a.size * float(u.std() * v.std())
    value = min(1.0, max(-1.0, float(u @ v) / scale))
    influence = u * v + _above(a, v) + _above(b, u)
    empty = np.empty(0)
    spread = influence_spread((influence - influence.mean()) / scale, empty, cluster, empty.astype(np.int64))
    method = "Fisher's z, influence function" + ("" if n_clusters == a.size else ", cluster-robust")
    low = high = value
    if abs(value) < 1:
        arm = float(scipy.stats.t.ppf((1 + level) / 2, spread.df)) * math.sqrt(spread.variance) / (1 - value**2)
        low, high = math.tanh(math.atanh(value) - arm), math.tanh(math.atanh(value) + arm)
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        level=level,
        method=method,
        n_members=a.size,
        n_non_members=0,
        df=spread.finite_df,
    )


def _centred(values: Array) -> Array:
    """Mean ranks from 0 to 1, less their mean."""
    ranks = (scipy.stats.rankdata(values) - 0.5) / values.size
    centred: Array = ranks - ranks.mean()
    return centred


def _above(values: Array, other: Array) -> Array:
    """Mean over all j of ``other[j]`` where ``values[j] > values[i]``, equal ones by half, shape (n,)."""
    kinds, number = np.unique(values, return_inverse=True)
    sums = np.bincount(number, weights=other, minlength=kinds.size)
    beyond = np.cumsum(sums[::-1])[::-1] - sums / 2
    means: Array = beyond[number] / values.size
    return means
