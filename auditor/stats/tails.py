"""Tails: the mean of the largest share of values, and the value that this share exceeds."""

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate
from .clusters import Array, Groups, Ids, cluster_ids, effective_size, influence_spread, kish_size
from .intervals import check_level, finite_vector
from .reach import reach

__all__ = ["LEAST_IN_TAIL", "tail_mean", "tail_quantile"]

LEAST_IN_TAIL = 5
"""Members, and groups of members, that a tail must hold for its interval to be worth its name."""


def tail_mean(values: ArrayLike, share: float, *, level: float, groups: Groups = None) -> Estimate:
    """Mean of the largest share of the values (expected shortfall).

    Parameters
    ----------
    values : array_like of shape (n_members,)
        Finite; the estimate has their unit.
    share : float
        In (0, 1); the ``floor(share * n_members)`` largest are taken.
    level : float
    groups : sequence of (str or None), length n_members, optional
        Cluster of each member; None is a cluster of its own.

    Returns
    -------
    Estimate
        With q the largest value left out and k values taken, ``q + mean(max(x - q, 0)) n / k``; its influences
        ``max(x - q, 0) n / k`` give the variance, summed by cluster; the arms are those of `reach` with at most k - 1
        degrees of freedom. The value of q plays no part to first order. Undefined if the share is of fewer than 5
        members, or of fewer than 5 clusters (`kish_size`): of 8 documents the worst 5% are a part of one, and what
        another would hold cannot be told.

    References
    ----------
    .. [1] Acerbi, Tasche, *On the coherence of expected shortfall*, J. Banking & Finance 26, 2002, definition 2.6.

    Examples
    --------
    >>> tail_mean(np.arange(100.0), 0.05, level=0.95).value  # 95 to 99
    97.0
    """
    x, cluster, k, problem = _tail(values, share, level, groups)
    if problem is not None:
        return Estimate.undefined(problem, level=level, n_members=x.size)
    threshold = float(np.sort(x)[x.size - k - 1])
    excess = np.maximum(x - threshold, 0.0) * x.size / k
    none = np.empty(0)
    influence = (excess - excess.mean()) / x.size
    spread = influence_spread(influence, none, cluster, none.astype(np.int64))
    value = threshold + float(excess.mean())
    df = min(spread.df, k - 1)
    down, up = (float(arm) for arm in reach(spread.kinds, df, level, independent=spread.independent))
    method = "expected shortfall, influences, matched gamma and t"
    if np.unique(cluster).size < cluster.size:
        method += ", cluster-robust"
    return Estimate(
        value=value,
        low=value - down,
        high=value + up,
        level=level,
        method=method,
        n_members=x.size,
        n_non_members=0,
        df=float(df),
    )


def tail_quantile(values: ArrayLike, share: float, *, level: float, groups: Groups = None) -> Estimate:
    """Value that a share of the values exceeds.

    Parameters
    ----------
    values, share, level, groups
        As in `tail_mean`.

    Returns
    -------
    Estimate
        The largest value that is not among the ``floor(share * n_members)`` largest. The interval is between two
        order statistics and free of any distribution: how many values exceed the true quantile is binomial. With
        groups the ranks are those of as many samples as tell as much (see `effective_size`). Undefined as `tail_mean`,
        and where the interval would have no upper end.

    References
    ----------
    .. [1] David, Nagaraja, *Order statistics*, 2003, sec. 7.1.

    Examples
    --------
    >>> found = tail_quantile(np.arange(100.0), 0.1, level=0.95)  # exceeding: 5 to 16 of Binomial(100, .1)
    >>> found.low, found.value, found.high
    (83.0, 89.0, 95.0)
    """
    x, cluster, k, problem = _tail(values, share, level, groups)
    if problem is not None:
        return Estimate.undefined(problem, level=level, n_members=x.size)
    descending = np.sort(x)[::-1]
    value = float(descending[k])
    n_eff = effective_size(x > value, cluster)
    error, scale = (1 - level) / 2, x.size / n_eff
    fewest, most = (float(scipy.stats.binom.ppf(p, math.floor(n_eff), share)) for p in (error, 1 - error))
    if fewest < 1:
        reason = f"too few members for an upper end at a level of {level:g}: none may exceed the true value"
        return Estimate.undefined(reason, level=level, n_members=x.size)
    lowest = min(math.ceil((most + 1) * scale - 1e-9), x.size) - 1
    highest = min(max(math.floor(fewest * scale + 1e-9), 1) - 1, k)
    method = "order statistics, binomial"
    if np.unique(cluster).size < cluster.size:
        method += ", effective sample sizes of the clusters"
    return Estimate(
        value=value,
        low=min(float(descending[lowest]), value),
        high=float(descending[highest]),
        level=level,
        method=method,
        n_members=x.size,
        n_non_members=0,
    )


def _tail(values: ArrayLike, share: float, level: float, groups: Groups) -> tuple[Array, Ids, int, str | None]:
    """Check the input; return values, clusters, how many are taken, and why that is not enough."""
    check_level(level)
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share}")
    x = finite_vector(values, "values")
    cluster, k = cluster_ids(x.size, groups), math.floor(share * x.size + 1e-9)
    if k < LEAST_IN_TAIL:
        needed = math.ceil(LEAST_IN_TAIL / share - 1e-9)
        return x, cluster, k, f"the worst {share:.0%} needs at least {needed:,} members, there are {x.size:,}"
    n_groups = kish_size(cluster) if x.size else 0.0
    if np.unique(cluster).size < x.size and share * n_groups < LEAST_IN_TAIL:
        needed = math.ceil(LEAST_IN_TAIL / share - 1e-9)
        reason = f"too few groups in the tail: the worst {share:.0%} needs at least {needed} groups of equal size"
        return x, cluster, k, f"{reason}, those of the members count as {n_groups:.3g}"
    return x, cluster, k, None
