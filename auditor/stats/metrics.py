"""Metrics of a score that separates members from non-members: each figure with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate, RocCurve, TprAtFpr
from .bootstrap import N_REPLICATES, gap_deviations
from .clusters import Array, Groups, influence_spread, kish_size
from .intervals import check_level
from .quantiles import average_ranks, normal_quantile, student_quantile
from .roc import Roc, ScoredSides, roc_curve, score_sides, thin
from .roc_inference import roc_test

__all__ = [
    "Metrics",
    "Roc",
    "advantage",
    "auc",
    "evaluate",
    "f1_equal_error",
    "newcombe_auc",
    "placements",
    "roc_curve",
    "tpr_at_fpr",
]

FEW_MISRANKED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """All figures of one score. ``inverted``: the whole interval of the AUC lies below 0.5."""

    auc: Estimate
    advantage: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]
    f1_equal_error: Estimate
    inverted: bool
    roc: RocCurve | None


def evaluate(
    scores: ArrayLike,
    is_member: ArrayLike,
    *,
    fpr_targets: Sequence[float],
    level: float,
    groups: Groups = None,
    rng: np.random.Generator,
) -> Metrics:
    """Measure one score: AUC, advantage, TPR at low FPR, F1 at equal error, and the curve.

    Parameters
    ----------
    scores : array_like of shape (n_samples,)
        Finite; higher = more likely a member. The sign is never flipped.
    is_member : array_like of bool, shape (n_samples,)
    fpr_targets : sequence of float
        False-positive rates in (0, 1].
    level : float
        Confidence level of every interval, each on its own.
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; None is a cluster of its own; a cluster may have samples on both sides.
        If no cluster has two samples the results are those without groups.
    rng : numpy.random.Generator
        Used for the bootstrap of clusters only.

    Returns
    -------
    Metrics
        Estimates are undefined, with the reason, if a side is empty or of one cluster.

    Raises
    ------
    ValueError
        If a score is not finite, the shapes differ, or a target or the level is out of range.
    """
    check_level(level)
    sides = score_sides(scores, is_member, groups)
    area = _auc(sides, level)
    return Metrics(
        auc=area,
        advantage=_advantage(sides, level, rng),
        tpr_at_fpr=tuple(_tpr_at_fpr(sides, fpr, level) for fpr in fpr_targets),
        f1_equal_error=_f1_equal_error(sides, level),
        inverted=area.high is not None and area.high < 0.5,
        roc=None if sides.problem else thin(sides),
    )


def auc(scores: ArrayLike, is_member: ArrayLike, *, level: float, groups: Groups = None) -> Estimate:
    """Chance that a member scores above a non-member, ties counting one half (Mann-Whitney).

    Parameters
    ----------
    scores, is_member, level, groups
        As in `evaluate`.

    Returns
    -------
    Estimate
        DeLong's variance on the logit scale, with Welch's degrees of freedom; with groups the placements are
        summed by cluster (Obuchowski). If fewer than about 10 samples of the smaller side are misranked
        (few samples, or an AUC near 0 or 1), where that misses the truth too often (11 % instead of 5 %
        at an AUC of .98 from 30 members and 500 non-members), the wider end of it and of Newcombe's method 5,
        which estimates no variance; that alone if there is no variance, as at an AUC of 1.

    Raises
    ------
    ValueError
        As in `evaluate`.

    References
    ----------
    .. [1] DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988, eq. 4-5. We add the logit transform (Pepe 2003,
       sec. 5.2) and t quantiles.
    .. [2] Obuchowski, *Nonparametric analysis of clustered ROC curve data*, Biometrics 53, 1997.
    .. [3] Newcombe, *Confidence intervals for an effect size measure based on the Mann-Whitney statistic.
       Part 2*, Statistics in Medicine 25, 2006, method 5.

    Examples
    --------
    >>> auc([3.0, 1.0, 2.0, 0.0], [True, True, False, False], level=0.95).value
    0.75
    """
    check_level(level)
    return _auc(score_sides(scores, is_member, groups), level)


def tpr_at_fpr(scores: ArrayLike, is_member: ArrayLike, *, fpr: float, level: float, groups: Groups = None) -> TprAtFpr:
    """Largest true-positive rate of any threshold whose false-positive rate is at most ``fpr``.

    Parameters
    ----------
    scores, is_member, level, groups
        As in `evaluate`.
    fpr : float
        Target in (0, 1]. Nothing is interpolated.

    Returns
    -------
    TprAtFpr
        The interval covers the TPR at the true threshold, the threshold itself being unknown: see
        `RocTest`. Undefined if ``fpr < 1 / n_non_members``.

    Raises
    ------
    ValueError
        As in `evaluate`.

    Notes
    -----
    With groups the counts are scaled to effective sample sizes (see `effective_size`). In our simulations this
    held the level where a percentile bootstrap of clusters fell to .54 to .97, for it knows nothing of the
    curve beyond the largest scores seen. It is wide if groups cross the sides and differ a lot.

    Below about ``log(2 / (1 - level)) / fpr`` non-members (369 for 1 % at 95 %) the low end is 0: the true
    threshold may then lie above every non-member, and nothing says how far.

    Examples
    --------
    >>> tpr_at_fpr([3.0, 1.0, 2.0, 0.0], [True, True, False, False], fpr=0.5, level=0.95).value
    1.0
    """
    check_level(level)
    return _tpr_at_fpr(score_sides(scores, is_member, groups), fpr, level)


def advantage(
    scores: ArrayLike,
    is_member: ArrayLike,
    *,
    level: float,
    groups: Groups = None,
    rng: np.random.Generator,
) -> Estimate:
    """Membership advantage: the largest ``tpr - fpr`` of any threshold, at least 0 (flag nobody).

    Parameters
    ----------
    scores, is_member, level, groups, rng
        As in `evaluate`.

    Returns
    -------
    Estimate
        Conservative: the threshold is chosen on the same data. Low end: the two-sample Kolmogorov-Smirnov
        band, which holds for all thresholds at once. High end: at the best true threshold, fixed if
        unknown, the empirical gap is no larger than the maximum, so a pointwise bound (Newcombe's score
        interval of a difference) maximised over thresholds suffices. With groups: bootstrap of clusters,
        band of the largest deviation over all thresholds, both ends, widened where there are few clusters.

    Raises
    ------
    ValueError
        As in `evaluate`.

    References
    ----------
    .. [1] Yeom et al., *Privacy risk in machine learning*, CSF 2018, definition 4 (advantage of a threshold
       adversary, here the best one).
    .. [2] Newcombe, *Interval estimation for the difference between independent proportions*, Statistics in
       Medicine 17, 1998, method 10.
    """
    check_level(level)
    return _advantage(score_sides(scores, is_member, groups), level, rng)


def f1_equal_error(scores: ArrayLike, is_member: ArrayLike, *, level: float, groups: Groups = None) -> Estimate:
    """Balanced F1 at the threshold where both error rates are equal: ``2 tpr / (tpr + fpr + 1)``.

    Parameters
    ----------
    scores, is_member, level, groups
        As in `evaluate`.

    Returns
    -------
    Estimate
        At the threshold of least ``|fpr - fnr|``, compared in whole counts; if two thresholds tie, at the mean
        of their rates (a coin tossed between them), so a constant score has F1 one half. At equality F1
        is one minus the equal error rate e, and the interval is that of 1 - e: all e where `RocTest` does
        not reject the point (e, 1 - e).

    Raises
    ------
    ValueError
        As in `evaluate`.

    References
    ----------
    .. [1] Morris et al., *How much do language models memorize?*, arXiv:2505.24832, sec. 5 (F1 of the loss
       attack). We balance the two sides and fix the threshold rule, which the paper leaves open.

    Examples
    --------
    >>> f1_equal_error([3.0, 1.0, 2.0, 0.0], [True, True, False, False], level=0.95).value
    0.5
    """
    check_level(level)
    return _f1_equal_error(score_sides(scores, is_member, groups), level)


def _auc(sides: ScoredSides, level: float) -> Estimate:
    if sides.problem:
        return _undefined(sides, sides.problem, level)
    above, below = placements(sides)
    area = float(above.mean())
    spread = influence_spread(
        (above - area) / above.size,
        (below - area) / below.size,
        sides.cluster_members,
        sides.cluster_non_members,
    )
    m, n = kish_size(sides.cluster_members), kish_size(sides.cluster_non_members)
    if spread.variance == 0 or not 0 < area < 1:
        newcombe = newcombe_auc(area, m, n, level)
        return _estimate(sides, area, newcombe, level, "Newcombe method 5" + _per_cluster(sides))
    half = _t(level, spread.df) * math.sqrt(spread.variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    low, high = _expit(centre - half), _expit(centre + half)
    name = "Obuchowski (cluster-robust DeLong), logit" if sides.clustered else "DeLong, logit"
    if min(area, 1 - area) * min(m, n) < FEW_MISRANKED:
        newcombe = newcombe_auc(area, m, n, level)
        low, high = min(low, newcombe[0]), max(high, newcombe[1])
        name += ", or Newcombe method 5 where wider"
    return _estimate(sides, area, (low, high), level, name, df=spread.finite_df)


def _tpr_at_fpr(sides: ScoredSides, fpr: float, level: float) -> TprAtFpr:
    if not 0 < fpr <= 1:
        raise ValueError(f"a false-positive rate must be in (0, 1], got {fpr}")
    if sides.problem:
        return TprAtFpr.at(fpr, _undefined(sides, sides.problem, level))
    m, n = sides.members.size, sides.non_members.size
    allowed = math.floor(fpr * n + 1e-9)  # 0.29 * 100 is 28.999...: the target is meant to be met
    if allowed == 0:
        needed = math.ceil(1 / fpr - 1e-9)
        reason = f"an FPR of {fpr:g} needs at least {needed:,} non-members, there are {n:,}"
        return TprAtFpr.at(fpr, _undefined(sides, reason, level))
    index = int(np.searchsorted(sides.false_positives, allowed, side="right")) - 1
    value = float(sides.true_positives[index] / m)
    test = roc_test(sides, threshold=float(sides.threshold[index]), ties="step")
    ends = test.tpr_limits(fpr, 1 - level)
    method = "binomial over the random threshold, Clopper-Pearson" + _effective(sides)
    return TprAtFpr.at(fpr, _estimate(sides, value, ends, level, method))


def _f1_equal_error(sides: ScoredSides, level: float) -> Estimate:
    if sides.problem:
        return _undefined(sides, sides.problem, level)
    m, n = sides.members.size, sides.non_members.size
    distance = np.abs(sides.false_positives * m - (m - sides.true_positives) * n)
    nearest = np.flatnonzero(distance == distance.min())
    tpr = float(sides.true_positives[nearest].mean() / m)
    fpr = float(sides.false_positives[nearest].mean() / n)
    test = roc_test(sides, threshold=float(sides.threshold[nearest[-1]]), ties="chord")
    low, high = test.equal_error_limits(1 - level)
    method = "inverted test of the equal error rate" + _effective(sides)
    return _estimate(sides, 2 * tpr / (tpr + fpr + 1), (1 - high, 1 - low), level, method)


def _advantage(sides: ScoredSides, level: float, rng: np.random.Generator) -> Estimate:
    if sides.problem:
        return _undefined(sides, sides.problem, level)
    m, n = sides.members.size, sides.non_members.size
    tpr, fpr = sides.true_positives / m, sides.false_positives / n
    value = float((tpr - fpr).max())
    if sides.clustered:
        reach = float(np.quantile(gap_deviations(sides, rng=rng), level)) * _few_clusters(sides, level)
        method = f"sup-deviation band, bootstrap of clusters ({N_REPLICATES})"
        return _estimate(sides, value, (value - reach, value + reach), level, method)
    reach = math.sqrt(math.log(2 / (1 - level)) / 2 * (1 / m + 1 / n))
    high = float(_newcombe_difference_high(tpr, fpr, m, n, level).max())
    method = "Kolmogorov-Smirnov band (low), score bound (high), conservative"
    return _estimate(sides, value, (value - reach, high), level, method)


def placements(sides: ScoredSides) -> tuple[Array, Array]:
    """Share of the other side that each member beats, and that beats each non-member; ties one half."""
    m, n = sides.members.size, sides.non_members.size
    ranks = average_ranks(np.concatenate([sides.members, sides.non_members]))
    above = (ranks[:m] - average_ranks(sides.members)) / n
    below = 1 - (ranks[m:] - average_ranks(sides.non_members)) / m
    return above, below


def newcombe_auc(area: float, m: float, n: float, level: float) -> tuple[float, float]:
    """Areas from which the observed one is no more than z standard errors away (Newcombe 2006, method 5)."""
    return _newcombe_auc_low(area, m, n, level), 1 - _newcombe_auc_low(1 - area, m, n, level)


def _newcombe_auc_low(area: float, m: float, n: float, level: float) -> float:
    z, half_total = normal_quantile((1 + level) / 2), (m + n) / 2

    def excess(theta: float) -> float:
        spread = 1 + (half_total - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return area - theta - z * math.sqrt(theta * (1 - theta) * spread / (m * n))

    # an area of 1 is a root itself, the end of the interval the other one
    return float(scipy.optimize.brentq(excess, 0.0, min(area, 1 - 1e-9))) if area > 0 else 0.0


def _newcombe_difference_high(tpr: Array, fpr: Array, m: int, n: int, level: float) -> Array:
    """Upper score limit of ``tpr - fpr`` at each threshold (Newcombe 1998, method 10)."""
    _, tpr_high = _wilson(tpr, m, level)
    fpr_low, _ = _wilson(fpr, n, level)
    high: Array = tpr - fpr + np.sqrt((tpr_high - tpr) ** 2 + (fpr - fpr_low) ** 2)
    return high


def _wilson(rate: Array, n: int, level: float) -> tuple[Array, Array]:
    z = normal_quantile((1 + level) / 2)
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def _estimate(
    sides: ScoredSides, value: float, ends: tuple[float, float], level: float, method: str, df: float | None = None
) -> Estimate:
    """Clip the interval to [0, 1] and let it contain the value."""
    return Estimate(
        value=value,
        low=min(max(ends[0], 0.0), value),
        high=max(min(ends[1], 1.0), value),
        level=level,
        method=method,
        n_members=sides.members.size,
        n_non_members=sides.non_members.size,
        df=df,
    )


def _undefined(sides: ScoredSides, reason: str, level: float) -> Estimate:
    m, n = sides.members.size, sides.non_members.size
    return Estimate.undefined(reason, level=level, n_members=m, n_non_members=n)


def _per_cluster(sides: ScoredSides) -> str:
    return ", clusters as samples" if sides.clustered else ""


def _effective(sides: ScoredSides) -> str:
    return ", effective sample sizes of the clusters" if sides.clustered else ""


def _t(level: float, df: float) -> float:
    return float(student_quantile((1 + level) / 2, df))


def _few_clusters(sides: ScoredSides, level: float) -> float:
    """Widen what a bootstrap of few clusters makes too narrow: a t for a normal quantile, C for C - 1."""
    count = max(min(kish_size(sides.cluster_members), kish_size(sides.cluster_non_members)), 2.0)
    return _t(level, count - 1) / _t(level, math.inf) * math.sqrt(count / (count - 1))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
