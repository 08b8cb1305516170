"""Changes of a figure: between two models on the same texts, or between samples that share nothing."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import Estimate
from .clusters import Array, Groups, Ids, cluster_ids, influence_spread
from .intervals import check_level, finite_vector
from .metrics import FEW_MISRANKED, auc, placements, tpr_at_fpr
from .p_values import interval_p_value
from .quantiles import student_quantile
from .reach import few_samples, reach, unseen_below
from .roc import ScoredSides, score_sides

__all__ = [
    "Change",
    "auc_change",
    "auc_correlation",
    "independent_change",
    "joined_interval",
    "mean_change",
    "tpr_change",
]


Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A paired change with its interval, and how surprising it were if nothing had changed.

    Parameters
    ----------
    estimate : Estimate
        After minus before.
    p_value : float or None
        Two-sided, of no change; below ``1 - level`` exactly if the interval excludes 0. None if undefined.
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
        The interval of `mean_difference` for ``mean_members(after - before) - mean_non_members(after - before)``,
        which allows for few samples that changed a lot. Undefined below two samples or clusters a side.

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
    method = "paired by text, matched gamma and " + ("Welch t" if y.size else "t")
    influence = (x - centre_x) / max(x.size, 1), -(y - centre_y) / max(y.size, 1)
    return _change(centre_x - centre_y, influence, is_member, groups, level, method, of_means=True)


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
    widened = low != found.low or high != found.high
    p_value = interval_p_value(found.value, low, high, level=level, df=found.df) if widened else change.p_value
    return Change(estimate=replace(found, low=max(low, -1.0), high=min(high, 1.0), method=method), p_value=p_value)


def _change(
    value: float,
    influence: tuple[Array, Array],
    is_member: NDArray[np.bool_],
    groups: Groups,
    level: float,
    method: str,
    of_means: bool = False,
) -> Change:
    """Turn the influences of the samples into an interval and a p-value; of means with the arms of `reach`."""
    cluster = cluster_ids(is_member.size, groups)
    sides = cluster[is_member], cluster[~is_member]
    n_members, n_non_members = (side.size for side in sides)
    for name, side in zip(("members", "non-members"), sides, strict=True):
        if np.unique(side).size < 2 and (side.size or name == "members"):
            reason = f"at least 2 {name}, of 2 groups, are needed"
            undefined = Estimate.undefined(reason, level=level, n_members=n_members, n_non_members=n_non_members)
            return Change(estimate=undefined, p_value=None)
    spread = influence_spread(*influence, *sides)
    if of_means:
        down, up = (float(arm) for arm in reach(spread.kinds, spread.df, level, independent=spread.independent))
    else:
        down = up = -float(student_quantile((1 - level) / 2, spread.df)) * math.sqrt(spread.variance)
    low, high = value - down, value + up
    clustered = ", cluster-robust" if np.unique(cluster).size < cluster.size else ""
    estimate = Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        method=method + clustered,
        n_members=n_members,
        n_non_members=n_non_members,
        unseen_below=unseen_below(sides[0], level) if of_means else None,
        caveat=few_samples(*sides) if of_means else None,
        df=spread.finite_df,
    )
    return Change(estimate=estimate, p_value=interval_p_value(value, low, high, level=level, df=estimate.df))


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


def tpr_change(
    before: ArrayLike, after: ArrayLike, is_member: Mask, *, fpr: float, level: float, groups: Groups = None
) -> Change:
    """Change of the true-positive rate at a false-positive rate between two scores of the same samples.

    Each score has its own threshold, the most lenient one with a false-positive rate of at most ``fpr``.

    Parameters
    ----------
    before, after : array_like of shape (n_samples,)
        Finite scores, higher for members.
    is_member : ndarray of bool, shape (n_samples,)
    fpr : float
        In (0, 1].
    level : float
        Confidence level.
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; None is a cluster of its own.

    Returns
    -------
    Change
        After minus before. Zou's interval of a difference joins the intervals of both rates (see `tpr_at_fpr`), which
        know that the thresholds are estimates, by a correlation: the smaller one of two, that of being found among
        the members and that of being beyond the threshold among the non-members, and never below 0. The rates'
        own correlation is a mean of these two with weights that hang on the slope of the ROC curve, which nothing
        estimates well where few non-members lie; the smaller one is on the safe side. (A bootstrap of so extreme a
        quantile is not: see `tpr_at_fpr`.) Simulated with 200 to 1,000 samples a side the coverage at 95 % was .97
        to 1. Undefined where a rate is; equal scores have changed by exactly 0.

    References
    ----------
    .. [1] Zou, *Toward using confidence intervals to compare correlations*, Psychol. Methods 12, 2007. We apply it to
       rates at an estimated threshold.

    Examples
    --------
    >>> sides = np.array([True, True, False, False])
    >>> tpr_change([1, 0, 2, 0], [3, 4, 2, 0], sides, fpr=0.5, level=0.95).estimate.value  # half, then all
    0.5
    """
    first, second = (tpr_at_fpr(s, is_member, fpr=fpr, level=level, groups=groups) for s in (before, after))
    if first.value is None or second.value is None:  # for both alike: too few samples or clusters
        reason = first.undefined_reason or second.undefined_reason or ""
        return Change(estimate=_undefined(reason, level, first), p_value=None)
    if np.array_equal(np.asarray(before), np.asarray(after)):
        return Change(estimate=_between(0.0, (0.0, 0.0), first, "paired by text, equal scores"), p_value=1.0)
    hits = [_found(score_sides(scores, is_member), fpr, scores) for scores in (before, after)]
    cluster = cluster_ids(is_member.size, groups)
    shared = min(_correlation(hits[0][side], hits[1][side], cluster[side]) for side in (is_member, ~is_member))
    return _joined(first, second, shared, "paired by text, Zou's joint interval of both rates", bound=1.0)


def independent_change(before: Estimate, after: Estimate, *, bound: float | None = None) -> Change:
    """Change between two estimates from samples that have nothing in common.

    Parameters
    ----------
    before, after : Estimate
        Of one level.
    bound : float, optional
        Largest possible change in either direction, such as 1 for a rate.

    Returns
    -------
    Change
        After minus before, with Zou's (MOVER) interval from both intervals, which need not be symmetric. Where the
        samples overlap after all, it is wider than need be. Undefined if one of the two is.

    Raises
    ------
    ValueError
        If the levels differ.

    References
    ----------
    .. [1] Zou, Donner, *Construction of confidence limits about effect measures: a general approach*, Statistics in
       Medicine 27, 2008.

    Examples
    --------
    >>> def rate(value, low, high):
    ...     return Estimate(value=value, low=low, high=high, level=0.95, method="", n_members=9, n_non_members=9)
    >>> found = independent_change(rate(0.5, 0.4, 0.6), rate(0.75, 0.625, 0.875)).estimate
    >>> found.value, round(found.low, 3), round(found.high, 3)  # .25 -+ sqrt(.1^2 + .125^2)
    (0.25, 0.09, 0.41)
    """
    if before.level != after.level:
        raise ValueError(f"both estimates must be of one level, got {before.level} and {after.level}")
    for when, one in (("before", before), ("after", after)):
        if one.undefined_reason is not None:
            return Change(
                estimate=_undefined(f"{when}: {one.undefined_reason}", one.level, before, after), p_value=None
            )
    change = _joined(before, after, 0.0, "not paired: different samples, Zou's interval of a difference", bound)
    found = replace(
        change.estimate,
        n_members=before.n_members + after.n_members,
        n_non_members=before.n_non_members + after.n_non_members,
        unseen_below=max((one.unseen_below for one in (before, after) if one.unseen_below is not None), default=None),
        caveat=next((one.caveat for one in (before, after) if one.caveat is not None), None),
    )
    return replace(change, estimate=found)


def _joined(first: Estimate, second: Estimate, correlation: float, method: str, bound: float | None) -> Change:
    """Join two intervals into that of the difference, with the p-value that belongs to it."""
    assert first.value is not None
    assert second.value is not None
    value = second.value - first.value
    down, up = joined_interval(first, second, correlation)
    low, high = value - down, value + up
    df = min((one.df for one in (first, second) if one.df is not None), default=None)  # at least so many are behind it
    p_value = interval_p_value(value, low, high, level=first.level, df=df)
    if bound is not None:
        low, high = max(low, -bound), min(high, bound)
    return Change(estimate=replace(_between(value, (low, high), first, method), df=df), p_value=p_value)


def _found(sides: ScoredSides, fpr: float, scores: ArrayLike) -> Mask:
    """Which samples lie at or above the threshold of `tpr_at_fpr`."""
    allowed = math.floor(fpr * sides.non_members.size + 1e-9)
    index = int(np.searchsorted(sides.false_positives, allowed, side="right")) - 1
    found: Mask = np.asarray(scores, dtype=np.float64) >= sides.threshold[index]
    return found


def _correlation(first: Mask, second: Mask, cluster: Ids) -> float:
    """Correlation of two rates of the same clustered samples, at least 0; 0 if one of them does not vary."""
    a, b = (_cluster_sums(hits - hits.mean(), cluster) for hits in (first, second))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(a @ b / size, 0, 1)) if size > 0 else 0.0


def _between(value: float, ends: tuple[float, float], first: Estimate, method: str) -> Estimate:
    return Estimate(
        value=value,
        low=min(ends[0], value),
        high=max(ends[1], value),
        level=first.level,
        method=method,
        n_members=first.n_members,
        n_non_members=first.n_non_members,
    )


def _undefined(reason: str, level: float, *estimates: Estimate) -> Estimate:
    return Estimate.undefined(
        reason,
        level=level,
        n_members=sum(one.n_members for one in estimates),
        n_non_members=sum(one.n_non_members for one in estimates),
    )


def _cluster_sums(influence: Array, cluster: Ids) -> Array:
    return np.asarray(np.bincount(np.unique(cluster, return_inverse=True)[1], weights=influence), dtype=np.float64)
