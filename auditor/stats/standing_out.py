"""Standing out: how many members lie where non-members hardly ever do, and how many of them may be chance."""

import math
from bisect import bisect_left

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate
from .clusters import Groups, cluster_ids, effective_size, kish_size
from .intervals import Counts, check_level, finite_vector

__all__ = ["n_beyond", "n_identified"]


def n_beyond(
    members: ArrayLike,
    non_members: ArrayLike,
    *,
    threshold: float | None = None,
    level: float,
    groups_members: Groups = None,
    groups_non_members: Groups = None,
) -> Estimate:
    """Members beyond a threshold, and how many of them chance cannot explain.

    Parameters
    ----------
    members, non_members : array_like of shape (n_members,), (n_non_members,)
        Finite values, higher for members.
    threshold : float, optional
        Fixed before looking; the highest non-member if left out.
    level : float
        The low end is above the truth with a probability of at most ``(1 - level) / 2``.
    groups_members, groups_non_members : sequence of (str or None), optional
        Cluster of each sample.

    Returns
    -------
    Estimate
        ``value`` and ``high``: members strictly beyond, which is a fact. ``low``: that less the largest number of
        members that may lie there though the model treats them as it treats non-members. Of s such samples beyond the
        threshold, the number of non-members is hypergeometric; as few as were seen leave a chance of more than
        ``(1 - level) / 2`` up to some s. The same holds for the highest non-member as threshold, whose own error is
        in it. With clusters, whole ones are counted, and the largest contributions are taken to be the chance ones.
        Without non-members ``low`` is 0; undefined without members, or without a threshold and non-members.

    Raises
    ------
    ValueError
        If a value is not finite, or the lengths differ.

    References
    ----------
    .. [1] Wilks, *Statistical prediction with special reference to the problem of tolerance limits*, Annals of
       Mathematical Statistics 13, 1942 (how many of one sample lie beyond an order statistic of another).

    Examples
    --------
    >>> found = n_beyond(np.arange(20.0) + 10, np.arange(20.0), level=0.95)
    >>> found.low, found.value  # 4 of 40 at the top all members: .053; 5: .024, no chance
    (6.0, 10.0)
    """
    check_level(level)
    x, y = finite_vector(members, "member values"), finite_vector(non_members, "non-member values")
    counts = Counts(n_members=x.size, n_non_members=y.size)
    cluster_x, cluster_y = cluster_ids(x.size, groups_members), cluster_ids(y.size, groups_non_members)
    if not x.size or (threshold is None and not y.size):
        return Estimate.undefined(f"there are no {'non-members' if x.size else 'members'}", level=level, **counts)
    limit = float(y.max()) if threshold is None else threshold
    beyond, n = x > limit, int((x > limit).sum())
    method = "counted; low end less what chance explains, hypergeometric"
    if not y.size:
        return _count(n, (0, n), level, "counted; without non-members all of it may be domain adaptation", counts)
    held = np.sort(np.bincount(cluster_x, weights=beyond))[::-1]  # members beyond, by cluster
    n_others = math.floor(kish_size(cluster_y))
    others_beyond = min(np.unique(cluster_y[y > limit]).size, n_others)
    by_chance = _most_by_chance(int((held > 0).sum()), held.size, others_beyond, n_others, (1 - level) / 2)
    if held.size < x.size or np.unique(cluster_y).size < y.size:
        method += ", whole clusters"
    return _count(n, (n - float(held[:by_chance].sum()), n), level, method, counts)


def n_identified(
    members: ArrayLike,
    non_members: ArrayLike,
    *,
    fpr: float,
    level: float,
    groups_non_members: Groups = None,
) -> Estimate:
    """Members that are identified at a false-positive rate.

    Parameters
    ----------
    members, non_members : array_like of shape (n_members,), (n_non_members,)
        Finite scores, higher for members.
    fpr : float
        In (0, 1).
    level : float
    groups_non_members : sequence of (str or None), optional
        Cluster of each non-member.

    Returns
    -------
    Estimate
        Number of these members beyond the threshold of `tpr_at_fpr`; the interval holds the number beyond the true
        threshold, which lies between two order statistics of the non-members: how many of them exceed it is binomial.
        With clusters the ranks are those of as many non-members as tell as much (`effective_size`). The low end is 0
        where the true threshold may lie above every non-member. Undefined without members, and with fewer than
        ``1 / fpr`` non-members, or clusters of them (`kish_size`).

    References
    ----------
    .. [1] David, Nagaraja, *Order statistics*, 2003, sec. 7.1.

    Examples
    --------
    >>> found = n_identified(np.arange(100.0), np.arange(100.0), fpr=0.1, level=0.95)  # 5 to 16 of Binomial(100, .1)
    >>> found.low, found.value, found.high
    (5.0, 10.0, 16.0)
    """
    check_level(level)
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must be in (0, 1), got {fpr}")
    x, y = finite_vector(members, "member scores"), finite_vector(non_members, "non-member scores")
    counts, cluster = Counts(n_members=x.size, n_non_members=y.size), cluster_ids(y.size, groups_non_members)
    allowed = math.floor(fpr * y.size + 1e-9)
    if not x.size or not allowed:
        reason = f"an FPR of {fpr:g} needs at least {math.ceil(1 / fpr - 1e-9):,} non-members, there are {y.size:,}"
        return Estimate.undefined(reason if x.size else "there are no members", level=level, **counts)
    if fpr * kish_size(cluster) < 1 - 1e-9:
        needed, there = math.ceil(1 / fpr - 1e-9), kish_size(cluster)
        reason = f"an FPR of {fpr:g} needs at least {needed:,} groups of non-members, they count as {there:.3g}"
        return Estimate.undefined(reason, level=level, **counts)
    descending = np.sort(y)[::-1]
    n_eff = effective_size(y > descending[allowed], cluster) if allowed < y.size else kish_size(cluster)
    error, scale = (1 - level) / 2, y.size / n_eff
    fewest, most = (float(scipy.stats.binom.ppf(p, math.floor(n_eff), fpr)) for p in (error, 1 - error))
    strictest, mildest = math.floor(fewest * scale + 1e-9), math.ceil(most * scale - 1e-9)
    low = int((x >= descending[strictest - 1]).sum()) if fewest >= 1 else 0
    high = int((x > descending[mildest]).sum()) if mildest < y.size else x.size
    value = int((x > descending[allowed]).sum()) if allowed < y.size else x.size
    method = "counted beyond order statistics of the non-members, binomial"
    if np.unique(cluster).size < y.size:
        method += ", effective sample sizes of the clusters"
    return _count(value, (min(low, value), max(high, value)), level, method, counts)


def _most_by_chance(n: int, n_members: int, others_beyond: int, n_others: int, error: float) -> int:
    """Most of n members beyond a threshold that may be there by chance, with so few non-members beside them."""

    def is_no_chance(taken: int) -> bool:
        both, beyond = n_members + n_others, others_beyond + taken
        return float(scipy.stats.hypergeom.cdf(others_beyond, both, n_others, beyond)) <= error

    return bisect_left(range(1, n + 1), True, key=is_no_chance)


def _count(value: float, ends: tuple[float, float], level: float, method: str, counts: Counts) -> Estimate:
    return Estimate(
        value=float(value), low=float(ends[0]), high=float(ends[1]), level=level, method=method, **counts
    )  # fmt: skip
