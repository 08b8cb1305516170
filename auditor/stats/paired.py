"""How much a figure changed between two models on the same texts: each text is its own control."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..documents.estimate import Estimate
from .clusters import Array, Groups, Spread, cluster_ids, influence_spread
from .intervals import check_level, finite_vector
from .metrics import FEW_MISRANKED, auc, placements
from .roc import score_sides

__all__ = ["Change", "auc_change", "auc_correlation", "holm", "joined_interval", "mean_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A paired change with its interval, and how surprising it were if nothing had changed.

    Parameters
    ----------
    estimate : Estimate
        After minus before.
    p_value : float or None
        Two-sided, of no change; at most ``1 - level`` exactly if the interval excludes 0. None if undefined.
    """

    estimate: Estimate
    p_value: float | None


def mean_change(
    before: ArrayLike, after: ArrayLike, is_member: NDArray[np.bool_], *, level: float, groups: Groups = None
) -> Change:
    """Change of the mean of the members over that of the non-members, from the change of every sample.

    Parameters
    ----------
    before, after : array_like of shape (n_samples,)
        Finite values of the same samples; the estimate has their unit.
    is_member : ndarray of bool, shape (n_samples,)
        Without non-members: change of the members' mean.
    level : float
        Confidence level.
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; None is a cluster of its own.

    Returns
    -------
    Change
        Welch's t interval of ``mean_members(after - before) - mean_non_members(after - before)``, clusters as in
        `influence_spread`. Undefined below two samples or clusters a side.

    Examples
    --------
    >>> found = mean_change([0, 0, 0, 0], [3, 5, 1, 1], np.array([True, True, False, False]), level=0.95)
    >>> found.estimate.value, round(found.estimate.low, 2)  # sd of (3, 5) is 1.41, df 1: 3 - 12.7 * 1
    (3.0, -9.71)
    """
    check_level(level)
    moved = finite_vector(after, "values after") - finite_vector(before, "values before")
    x, y = moved[is_member], moved[~is_member]
    centre_x, centre_y = (float(side.mean()) if side.size else 0.0 for side in (x, y))
    method = "paired by text, Welch t interval" if y.size else "paired by text, t interval"
    influence = (x - centre_x) / max(x.size, 1), -(y - centre_y) / max(y.size, 1)
    return _change(centre_x - centre_y, influence, is_member, groups, level, method)


def auc_change(
    before: ArrayLike, after: ArrayLike, is_member: NDArray[np.bool_], *, level: float, groups: Groups = None
) -> Change:
    """Change of the AUC between two scores of the same samples.

    Parameters
    ----------
    before, after : array_like of shape (n_samples,)
        Finite scores, higher for members.
    is_member, level, groups
        As in `mean_change`.

    Returns
    -------
    Change
        After minus before. The variance is DeLong's for correlated curves: of the change of each sample's placement
        (the share of the other side that it beats), with Welch's degrees of freedom; with groups summed by cluster
        (Obuchowski). Where few samples are misranked, before or after, that is too narrow (coverage .88 at 95 %
        from an AUC of .96 to .99 with 50 samples a side); the interval is then the wider one of it and of Zou's,
        which joins the intervals of both AUCs by the correlation of the placements (.99 there). Undefined
        without non-members and below two samples or clusters a side. The p-value belongs to the interval: it is
        below ``1 - level`` exactly if the interval excludes 0.

    References
    ----------
    .. [1] DeLong, DeLong, Clarke-Pearson, *Comparing the areas under two or more correlated receiver operating
       characteristic curves*, Biometrics 44, 1988. We add t quantiles.
    .. [2] Zou, *Toward using confidence intervals to compare correlations*, Psychol. Methods 12, 2007 (an interval
       of a difference from two intervals). We apply it to the AUC.

    Examples
    --------
    >>> sides = np.array([True, True, False, False])
    >>> auc_change([1, 0, 1, 0], [2, 3, 1, 0], sides, level=0.95).estimate.value  # from .5 to 1
    0.5
    """
    first, second = (auc(scores, is_member, level=level, groups=groups) for scores in (before, after))
    if first.value is None or second.value is None:  # for both alike: too few samples or clusters
        return Change(estimate=first, p_value=None)
    sides = [score_sides(scores, is_member) for scores in (before, after)]
    influences = [_influences(*placements(side)) for side in sides]
    moved = influences[1][0] - influences[0][0], influences[1][1] - influences[0][1]
    change = _change(second.value - first.value, moved, is_member, groups, level, "paired by text, DeLong, t interval")
    found = change.estimate
    if found.value is None or found.low is None or found.high is None:
        return change
    share = min(first.value, 1 - first.value, second.value, 1 - second.value)
    misranked = share * min(found.n_members, found.n_non_members)
    low, high, method = found.low, found.high, found.method
    if misranked < FEW_MISRANKED and not np.array_equal(np.asarray(before), np.asarray(after)):
        down, up = joined_interval(first, second, auc_correlation(*influences))
        low, high, method = min(low, found.value - down), max(high, found.value + up), f"{method}, or Zou's where wider"
    p_value = change.p_value if low == found.low and high == found.high else _p_value(found.value, low, high, level)
    return Change(estimate=replace(found, low=max(low, -1.0), high=min(high, 1.0), method=method), p_value=p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values so that the chance of any false finding among all of them is the level at which they are read.

    Parameters
    ----------
    p_values : sequence of (float or None)
        None stays None and is not counted.

    References
    ----------
    .. [1] Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6, 1979.

    Examples
    --------
    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, i) in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p))
        adjusted[i] = least
    return adjusted


def _change(
    value: float,
    influence: tuple[Array, Array],
    is_member: NDArray[np.bool_],
    groups: Groups,
    level: float,
    method: str,
) -> Change:
    """Turn the influences of the samples into an interval and a p-value."""
    cluster = cluster_ids(is_member.size, groups)
    sides = cluster[is_member], cluster[~is_member]
    n_members, n_non_members = (side.size for side in sides)
    for name, side in zip(("members", "non-members"), sides, strict=True):
        if np.unique(side).size < 2 and (side.size or name == "members"):
            reason = f"at least 2 {name}, of 2 groups, are needed"
            undefined = Estimate.undefined(reason, level=level, n_members=n_members, n_non_members=n_non_members)
            return Change(estimate=undefined, p_value=None)
    spread = influence_spread(*influence, *sides)
    half, p_value = _reach(value, spread, level)
    clustered = ", cluster-robust" if np.unique(cluster).size < cluster.size else ""
    estimate = Estimate(
        value=value,
        low=value - half,
        high=value + half,
        level=level,
        method=method + clustered,
        n_members=n_members,
        n_non_members=n_non_members,
    )
    return Change(estimate=estimate, p_value=p_value)


def _reach(value: float, spread: Spread, level: float) -> tuple[float, float]:
    """Half width of the t interval, and the two-sided p-value of 0."""
    if spread.variance == 0:
        return 0.0, 1.0
    error = math.sqrt(spread.variance)
    return float(stats.t.ppf((1 + level) / 2, spread.df)) * error, 2 * float(stats.t.sf(abs(value) / error, spread.df))


def _p_value(value: float, low: float, high: float, level: float) -> float:
    """Two-sided p-value of 0 from an interval: how far its end on the side of 0 would have to be stretched."""
    reach = value - low if value > 0 else high - value
    if reach <= 0:
        return 1.0
    return 2 * float(stats.norm.sf(abs(value) / reach * stats.norm.ppf((1 + level) / 2)))


def _influences(above: Array, below: Array) -> tuple[Array, Array]:
    """Influence of each sample on the AUC, by side, from the placements."""
    return (above - above.mean()) / above.size, (below - below.mean()) / below.size


def auc_correlation(first: tuple[Array, Array], second: tuple[Array, Array]) -> float:
    """Correlation of two AUCs of the same samples; 0 if one of them does not vary."""
    a, b = np.concatenate(first), np.concatenate(second)
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(a @ b / size, -1, 1)) if size > 0 else 0.0


def joined_interval(first: Estimate, second: Estimate, correlation: float) -> tuple[float, float]:
    """How far ``second - first`` reaches down and up, from the two intervals (Zou 2007)."""
    (down_0, up_0), (down_1, up_1) = _halves(first), _halves(second)
    down, up = (math.sqrt(max(a**2 + b**2 - 2 * correlation * a * b, 0.0)) for a, b in ((down_1, up_0), (up_1, down_0)))
    return down, up


def _halves(estimate: Estimate) -> tuple[float, float]:
    """How far an interval reaches below and above its value; no way for one that is undefined."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return 0.0, 0.0
    return estimate.value - estimate.low, estimate.high - estimate.value
