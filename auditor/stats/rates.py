"""Rates of what holds of a text or does not: of one side, of one beyond the other, and how they changed."""

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from .change import Change, joined_interval
from .clusters import Groups, Ids, cluster_ids, effective_size, kish_size, pick_groups
from .intervals import Counts, check_level, clopper_pearson
from .p_values import interval_p_value

__all__ = ["median_with_infinities", "rate", "rate_change", "rate_difference"]

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
NO_NON_MEMBERS = "no non-members to hold it against"


def rate(hits: Mask, *, level: float, groups: Groups = None, of_members: bool = True) -> Estimate:
    """Share of some texts of which something holds.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_samples,)
    level : float
        Confidence level.
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each text.
    of_members : bool
        Which of the estimate's counts the texts are.

    Returns
    -------
    Estimate
        With the exact interval of Clopper and Pearson; with clusters that of as many texts as tell as much
        (`effective_size`). Undefined without texts.

    Examples
    --------
    >>> found = rate(np.zeros(10, dtype=bool), level=0.95)  # high = 1 - .025^(1/10)
    >>> found.value, found.low, round(found.high, 4)
    (0.0, 0.0, 0.3085)
    """
    check_level(level)
    counts = Counts(n_members=hits.size if of_members else 0, n_non_members=0 if of_members else hits.size)
    if not hits.size:
        return Estimate.undefined("there is no text of this side to count", level=level, **counts)
    cluster = cluster_ids(hits.size, groups)
    value, n_effective = float(hits.mean()), effective_size(hits, cluster)
    low, high = clopper_pearson(value * n_effective, n_effective, level)  # type: ignore[arg-type]  # real numbers, too
    clustered = np.unique(cluster).size < hits.size
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        level=level,
        method="Clopper-Pearson" + ", effective sample size of the clusters" * clustered,
        **counts,
    )


def rate_difference(hits: Mask, is_member: Mask, *, level: float, groups: Groups = None) -> Estimate:
    """Rate of the members less that of the non-members.

    Parameters
    ----------
    hits, is_member : ndarray of bool, shape (n_samples,)
    level, groups
        As in `rate`.

    Returns
    -------
    Estimate
        From the exact intervals of both rates, joined as if the sides were independent (Zou's method). Clusters with
        texts on both sides make that too wide, not too narrow. It never shrinks to nothing, however rare the hits.

    References
    ----------
    .. [1] Zou, *Toward using confidence intervals to compare correlations*, Psychol. Methods 12, 2007; of two
       proportions it is Newcombe 1998, method 10, but for the exact intervals, which are wider.

    Examples
    --------
    >>> sides = np.array([True] * 10 + [False] * 10)
    >>> found = rate_difference(np.zeros(20, dtype=bool), sides, level=0.95)
    >>> found.value, round(found.low, 4), round(found.high, 4)
    (0.0, -0.3085, 0.3085)
    """
    ours = rate(hits[is_member], level=level, groups=pick_groups(groups, is_member))
    theirs = rate(hits[~is_member], level=level, groups=pick_groups(groups, ~is_member), of_members=False)
    counts = Counts(n_members=ours.n_members, n_non_members=theirs.n_non_members)
    if ours.value is None or theirs.value is None:
        reason = NO_NON_MEMBERS if ours.value is not None else ours.undefined_reason or ""
        return Estimate.undefined(reason, level=level, **counts)
    down, up = joined_interval(theirs, ours, 0.0)
    value = ours.value - theirs.value
    return Estimate(
        value=value,
        low=max(value - down, -1.0),
        high=min(value + up, 1.0),
        level=level,
        method=f"two intervals joined (Zou): {ours.method}",
        **counts,
    )


def rate_change(before: Mask, after: Mask, is_member: Mask, *, level: float, groups: Groups = None) -> Change:
    """Change of `rate_difference` between two models on the same texts; of the members' rate without non-members.

    Parameters
    ----------
    before, after, is_member : ndarray of bool, shape (n_samples,)
    level, groups
        As in `rate`.

    Returns
    -------
    Change
        After less before: both intervals joined (Zou's method) by the correlation of the hits of the same texts,
        where it is positive; a negative one counts as none. Never narrower than what the exact limits of no hit of
        each side allow: that no text changed does not say that none would.
    """
    first, second = (_beyond(hits, is_member, level, groups) for hits in (before, after))
    if first.value is None or second.value is None:
        return Change(estimate=second if second.value is None else first, p_value=None)
    both = np.stack([before, after]).astype(np.float64)
    correlation = float(np.asarray(np.corrcoef(both))[0, 1]) if (both.std(axis=1) > 0).all() else 0.0
    unseen = [_none_of(side, groups, level) for side in (is_member, ~is_member) if side.any()]
    down, up = (max(arm, math.hypot(*unseen)) for arm in joined_interval(first, second, max(correlation, 0.0)))
    value = second.value - first.value
    low, high = max(value - down, -2.0), min(value + up, 2.0)
    estimate = Estimate(
        value=value, low=min(low, value), high=max(high, value), level=level,
        method=f"paired by text, {second.method}", n_members=second.n_members, n_non_members=second.n_non_members,
    )  # fmt: skip
    return Change(estimate=estimate, p_value=interval_p_value(value, value - down, value + up, level=level, df=None))


def _none_of(side: Mask, groups: Groups, level: float) -> float:
    """Return the largest rate at which none of the texts of a side might still be hit."""
    return rate(np.zeros(int(side.sum()), dtype=np.bool_), level=level, groups=pick_groups(groups, side)).high or 0.0


def _beyond(hits: Mask, is_member: Mask, level: float, groups: Groups) -> Estimate:
    if is_member.all():
        return rate(hits, level=level, groups=groups)
    return rate_difference(hits, is_member, level=level, groups=groups)


def median_with_infinities(values: Array, *, level: float, groups: Groups = None) -> Estimate:
    """Median of the members' values, of which some may be infinite.

    Parameters
    ----------
    values : ndarray of float64, shape (n_samples,)
        Not NaN.
    level, groups
        As in `rate`.

    Returns
    -------
    Estimate
        With the interval of order statistics; with clusters for as many texts as there would be if all texts of a
        cluster said the same (`kish_size`). Undefined where median or interval are infinite, or below as many texts
        as such an interval takes.

    References
    ----------
    .. [1] Hahn, Meeker, *Statistical intervals*, 1991, sec. 5.2 (distribution-free intervals of a quantile).

    Examples
    --------
    >>> found = median_with_infinities(np.arange(1.0, 12.0), level=0.95)  # P[Bin(11, 1/2) <= 1] = .0059
    >>> found.value, found.low, found.high
    (6.0, 2.0, 10.0)
    """
    check_level(level)
    ordered = np.sort(values)
    cluster: Ids = cluster_ids(values.size, groups)
    n = math.floor(kish_size(cluster)) if values.size else 0
    first = (
        int(scipy.stats.binom.ppf((1 - level) / 2, n, 0.5)) if n else 0
    )  # from 1: the order statistic at the low end
    if first < 1:
        reason = f"an interval of a median takes more texts, or clusters of them, than {n}"
        return Estimate.undefined(reason, level=level, n_members=values.size)
    place = round(first * values.size / n)
    low, high = float(ordered[max(place - 1, 0)]), float(ordered[min(values.size - place, values.size - 1)])
    value = float(ordered[(values.size - 1) // 2] + ordered[values.size // 2]) / 2
    if not math.isfinite(high):
        reason = "too many of these texts are out of reach: the median, or the upper end of its interval, is infinite"
        return Estimate.undefined(reason, level=level, n_members=values.size)
    return Estimate(
        value=value, low=min(low, value), high=max(high, value), level=level, method="order statistics",
        n_members=values.size, n_non_members=0,
    )  # fmt: skip
