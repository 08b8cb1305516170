"""Calibration: whether stated probabilities of membership can be taken at their word."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import Estimate
from ..documents.result import CalibrationBin, CalibrationResult
from .clusters import Array, Groups, Ids, cluster_ids, effective_size
from .intervals import check_level, finite_vector, mean_difference
from .posterior import balanced_weights
from .quantiles import beta_quantile

__all__ = ["calibration"]

MAX_BINS = 10
LEAST_PER_BIN = 10


def calibration(
    probability: ArrayLike, is_member: NDArray[np.bool_], *, level: float, groups: Groups = None
) -> CalibrationResult:
    """Set stated probabilities beside what happened, at equal prior odds.

    Parameters
    ----------
    probability : array_like of shape (n_samples,)
        Stated probability of membership at equal prior odds, in [0, 1].
    is_member : ndarray of bool, shape (n_samples,)
        Both sides present.
    level : float
        Confidence level of each interval. ``calibrated`` holds all bins together to it (Bonferroni).
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; None is a cluster of its own.

    Returns
    -------
    CalibrationResult
        Bins of equal weight, members and non-members weighing the same in all: ten, or fewer if a side has less than
        ten samples a bin. Equal probabilities share a bin.

    Raises
    ------
    ValueError
        If a side is empty or a probability is outside [0, 1].

    Notes
    -----
    A bin of k members and l non-members, of m and n in all, has the observed share ``(k/m) / (k/m + l/n)``. Given
    ``k + l``, k is (near enough) binomial, so the interval is that of Clopper and Pearson for ``k / (k + l)``, its ends
    turned to equal prior odds; with groups for as many samples as tell as much (see `effective_size`).
    """
    check_level(level)
    stated = finite_vector(probability, "probabilities")
    if stated.size and not (stated.min() >= 0 and stated.max() <= 1):
        raise ValueError(f"probabilities must lie in [0, 1], got [{stated.min():g}, {stated.max():g}]")
    if not is_member.any() or is_member.all():
        raise ValueError("calibration needs members and non-members")
    cluster, weight = cluster_ids(stated.size, groups), balanced_weights(is_member)
    bins = _bins(stated, weight, max(1, min(MAX_BINS, _smaller_side(is_member) // LEAST_PER_BIN)))
    together = 1 - (1 - level) / len(bins)
    found = [_bin(stated, is_member, cluster, weight, here, level) for here in bins]
    wide = [_observed(is_member, cluster, here, together) for here in bins]
    gaps = [abs(b.mean_stated - b.observed.value) for b in found if b.observed.value is not None]
    return CalibrationResult(
        bins=tuple(found),
        brier=_brier(stated, is_member, level, groups),
        calibration_error=float(np.average(gaps, weights=[weight[here].sum() for here in bins])),
        calibrated=all(_holds(e, b.mean_stated) for e, b in zip(wide, found, strict=True)),
    )


def _smaller_side(is_member: NDArray[np.bool_]) -> int:
    return int(min(is_member.sum(), (~is_member).sum()))


def _bins(stated: Array, weight: Array, n_bins: int) -> list[Ids]:
    """Index the samples of each bin, from the least probability to the greatest."""
    which = np.unique(stated, return_inverse=True)[1]
    mass = np.bincount(which, weights=weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    number = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1)[which]
    return [np.flatnonzero(number == b) for b in np.unique(number)]


def _bin(
    stated: Array, is_member: NDArray[np.bool_], cluster: Ids, weight: Array, here: Ids, level: float
) -> CalibrationBin:
    low, high = float(stated[here].min()), float(stated[here].max())
    return CalibrationBin(
        low=low,
        high=high,
        mean_stated=min(max(float(np.average(stated[here], weights=weight[here])), low), high),
        observed=_observed(is_member, cluster, here, level),
    )


def _observed(is_member: NDArray[np.bool_], cluster: Ids, here: Ids, level: float) -> Estimate:
    """Share of members in a bin at equal prior odds."""
    hits, ids = is_member[here], np.unique(cluster[here], return_inverse=True)[1]
    k, size, tail = int(hits.sum()), here.size, (1 - level) / 2
    n_eff = effective_size(hits, ids)
    k_eff = k * n_eff / size
    low = beta_quantile(tail, k_eff, n_eff - k_eff + 1) if k > 0 else 0.0
    high = beta_quantile(1 - tail, k_eff + 1, n_eff - k_eff) if k < size else 1.0
    odds = float((~is_member).sum() / is_member.sum())
    method = "Clopper-Pearson, at equal prior odds"
    if np.unique(cluster).size < cluster.size:
        method += ", effective sample sizes of the clusters"
    estimate = Estimate(
        value=k / size, low=low, high=high, level=level, method=method, n_members=k, n_non_members=size - k
    )
    return estimate.mapped(lambda share: share * odds / (share * odds + 1 - share))


def _holds(estimate: Estimate, stated: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= stated <= estimate.high


def _brier(stated: Array, is_member: NDArray[np.bool_], level: float, groups: Groups) -> Estimate:
    """Mean of both sides' mean squared errors: half the difference of the members' and minus the non-members'."""
    error = (is_member - stated) ** 2
    sides: list[Groups] = [None, None]
    if groups is not None:
        cluster = cluster_ids(stated.size, groups)
        sides = [cluster[is_member], cluster[~is_member]]
    found = mean_difference(error[is_member], -error[~is_member], level=level, groups_x=sides[0], groups_y=sides[1])
    if found.value is None or found.low is None or found.high is None:
        return found
    half = found.scaled(0.5)
    return half.mapped(lambda end: min(max(end, 0.0), 1.0))
