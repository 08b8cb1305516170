"""Adjusted AUCs: how well a score separates the sides once looks or lengths of the texts are allowed for."""

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import Estimate
from .clusters import Array, Groups, Ids, cluster_ids, influence_spread, kish_size
from .intervals import Counts, check_level
from .metrics import newcombe_auc, placements
from .quantiles import student_quantile
from .roc import ScoredSides, score_sides

__all__ = ["LEFT_OUT", "length_strata", "residualised_auc", "stratified_auc"]

LEFT_OUT = -1
"""Stratum of a sample that is compared with no other."""
FEW_CLUSTERS = 20
LEAST_A_SIDE = 2
N_FOLDS = 5
N_KNOTS = 4
_PENALTY = 1e-3
"""Ridge penalty a sample for standardised columns: keeps collinear covariates solvable."""
_STEP = 0.2
"""Shift of the residuals, in their standard deviations, over which the slope of the AUC is taken."""


def residualised_auc(
    score: ArrayLike, covariates: ArrayLike, is_member: ArrayLike, *, level: float, groups: Groups, seed: int
) -> Estimate:
    """AUC of what the covariates do not explain of a score.

    The score that an unseen text with these covariates is expected to have is learned from NON-MEMBERS ONLY and
    subtracted from every sample. Fitted on both sides it would take away membership itself wherever the covariates go
    along with it (the blind log-odds do so by construction). Fitted on non-members, it leaves a member's surplus over
    unseen texts that look alike: one half where looks explain all, the attack's own AUC where the covariates say
    nothing of the score, and more than that where they explain how hard a text is.

    Parameters
    ----------
    score : array_like of shape (n_samples,)
        Higher for members.
    covariates : array_like of shape (n_samples, n_covariates)
        Such as blind log-odds and log length; finite.
    is_member : array_like of bool, shape (n_samples,)
    level : float
        Confidence level.
    groups : sequence of (str or None), length n_samples, or None
        Clusters; no sample's expectation is learned from its own cluster.
    seed : int
        Of the five folds.

    Returns
    -------
    Estimate
        Regression on additive natural cubic splines (4 knots), linear beyond them, cross-fitted. The interval is
        DeLong's on the logit scale with the influence of the fitted coefficients added: far from the
        non-members the expectation is itself uncertain. Undefined below 20 clusters of non-members or two of members.

    Raises
    ------
    ValueError
        If a value is not finite or the shapes differ.

    Notes
    -----
    Covariates that measure a shift with error take away only part of it: an AUC above one half is then no proof
    of membership. The expectation is a mean, so that residuals whose shape changes with the covariates may
    have an AUC off one half, too.

    References
    ----------
    .. [1] Janes, Pepe, *Adjusting for covariates in studies of diagnostic, screening, or prognostic markers*,
       Am. J. Epidemiology 168, 2008 (the distribution among controls, given the covariates, is the standard). We
       standardise the mean only.
    """
    check_level(level)
    values, labels = np.asarray(score, dtype=np.float64), np.asarray(is_member)
    looks = np.asarray(covariates, dtype=np.float64)
    if looks.ndim != 2 or len(looks) != values.size or not np.isfinite(looks).all():
        raise ValueError(
            f"covariates must be finite, one row a sample: got shape {looks.shape} for {values.size} samples"
        )
    sides = score_sides(values, labels, groups)
    n_clusters = np.unique(sides.cluster_non_members).size
    problem = sides.problem
    if problem is None and n_clusters < FEW_CLUSTERS:
        problem = f"at least {FEW_CLUSTERS} independent non-members are needed to learn from, there are {n_clusters}"
    if problem is None and sides.members.size < LEAST_A_SIDE:
        problem = f"at least {LEAST_A_SIDE} members are needed"
    if problem:
        return Estimate.undefined(problem, level=level, **_counts(sides))
    labels = labels.astype(np.bool_)
    columns = _spline_columns(looks, ~labels)
    cluster = cluster_ids(values.size, groups)
    fold = np.random.default_rng(seed).permutation(cluster.max() + 1)[cluster] % N_FOLDS
    expected = np.empty(values.size)
    for k in range(N_FOLDS):
        learn = (fold != k) & ~labels
        expected[fold == k] = columns[fold == k] @ _coefficients(columns[learn], values[learn])
    residual = values - expected
    left = score_sides(residual, labels, groups)
    above, below = placements(left)
    area = float(above.mean())
    x, y = (above - area) / above.size, (below - area) / below.size
    y = y + _influence_of_fit(columns, residual, labels)
    method = (
        "DeLong, logit, of the score less its expectation for an unseen text with these covariates (splines, "
        "cross-fitted on non-members), allowing for the fit"
    )
    return _interval(left, area, x, y, level, method, (left.members.size, left.non_members.size))


def stratified_auc(
    score: ArrayLike, strata: NDArray[np.integer], is_member: ArrayLike, *, level: float, groups: Groups
) -> Estimate:
    """Chance that a member scores above a non-member of the same stratum, ties counting one half.

    Parameters
    ----------
    score, is_member, level, groups
        As in `auditor.stats.metrics.evaluate`.
    strata : ndarray of int, shape (n_samples,)
        Stratum of each sample; `LEFT_OUT` (-1) for one that is not compared.

    Returns
    -------
    Estimate
        Every pair within a stratum counts once. DeLong's variance of each stratum, the strata's shares of
        the pairs being given; influences are summed within clusters, which may cross strata. With one stratum it is
        `auc`. The method says how many samples were left out: those of no stratum, or of one with fewer than two
        samples on a side.

    Raises
    ------
    ValueError
        If a score is not finite or the shapes differ.

    Examples
    --------
    >>> scores, member = [4.0, 3.0, 2.0, 5.0, 1.0, 0.0, 1.0, 0.0], [True, True, False, False] * 2
    >>> stratified_auc(scores, np.array([0] * 4 + [1] * 4), member, level=0.95, groups=None).value  # 2 + 2 of 8 pairs
    0.5
    """
    check_level(level)
    values, labels, stratum = np.asarray(score, dtype=np.float64), np.asarray(is_member), np.asarray(strata)
    if stratum.shape != values.shape or values.shape != labels.shape:
        raise ValueError(
            f"one stratum and label a score is needed: got {stratum.shape}, {labels.shape}, {values.shape}"
        )
    cluster = cluster_ids(values.size, groups)
    used = _comparable(stratum, labels.astype(np.bool_))
    sides = score_sides(values[used], labels[used], cluster[used])
    if sides.problem:
        reason = f"no stratum can be compared: {sides.problem}"
        return Estimate.undefined(reason, level=level, **_counts(sides))
    member_stratum, other_stratum = stratum[used][labels[used]], stratum[used][~labels[used]]
    kinds = np.unique(member_stratum)
    m = np.array([(member_stratum == kind).sum() for kind in kinds])
    n = np.array([(other_stratum == kind).sum() for kind in kinds])
    weight = m * n / (m * n).sum()
    x, y, areas = np.empty(sides.members.size), np.empty(sides.non_members.size), np.empty(kinds.size)
    for i, kind in enumerate(kinds):
        mine, theirs = member_stratum == kind, other_stratum == kind
        here = score_sides(np.append(sides.members[mine], sides.non_members[theirs]), np.arange(m[i] + n[i]) < m[i])
        above, below = placements(here)
        areas[i] = above.mean()
        x[mine] = weight[i] * (above - areas[i]) / m[i] * _within(m[i], sides.members.size)
        y[theirs] = weight[i] * (below - areas[i]) / n[i] * _within(n[i], sides.non_members.size)
    method = f"DeLong within {kinds.size} strata, weighted by pairs, logit"
    if left_out := int((~used).sum()):
        method += f"; {left_out} samples without a counterpart left out"
    effective = (float(1 / np.sum(weight**2 / m)), float(1 / np.sum(weight**2 / n)))
    return _interval(sides, float(weight @ areas), x, y, level, method, effective)


def length_strata(n_bytes: NDArray[np.integer], is_member: NDArray[np.bool_], n_strata: int = 5) -> Ids:
    """Cut samples into strata of about equal size by length.

    Parameters
    ----------
    n_bytes : ndarray of int, shape (n_samples,)
    is_member : ndarray of bool, shape (n_samples,)
    n_strata : int
        Quantiles of the lengths of both sides together; equal lengths stay together.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        `LEFT_OUT` in a stratum with fewer than two samples on a side.

    Examples
    --------
    >>> length_strata(np.array([1, 1, 2, 2, 9, 9]), np.array([True, False] * 2 + [True] * 2), 2).tolist()
    [0, 0, 0, 0, -1, -1]
    """
    cuts = np.unique(np.quantile(n_bytes, np.arange(1, n_strata) / n_strata))
    strata = np.searchsorted(cuts, n_bytes, side="left").astype(np.int64)
    return np.where(_comparable(strata, is_member), strata, LEFT_OUT)


def _comparable(strata: NDArray[np.integer], is_member: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the stratum of each sample has enough samples on both sides."""
    _, number = np.unique(strata, return_inverse=True)
    sides = [np.bincount(number, weights=side) for side in (is_member, ~is_member)]
    return np.asarray((np.minimum(*sides)[number] >= LEAST_A_SIDE) & (strata != LEFT_OUT))


def _within(n_stratum: int, n_side: int) -> float:
    """Turn the correction of `influence_spread` for the mean of a side into that for the mean of a stratum."""
    return math.sqrt((1 - 1 / n_side) / (1 - 1 / n_stratum))


def _spline_columns(covariates: Array, non_member: NDArray[np.bool_]) -> Array:
    """Columns of the regression: a constant and a natural spline of each covariate, its knots at non-members."""
    columns = [np.ones(len(covariates))]
    for x in covariates.T:
        knots = np.unique(np.quantile(x[non_member], np.linspace(0.05, 0.95, N_KNOTS)))
        if knots.size < 2:
            continue  # the same for nearly all non-members: nothing to learn from
        spline = scipy.interpolate.CubicSpline(knots, np.eye(knots.size)[:, 1:], bc_type="natural")
        inside = np.clip(x, knots[0], knots[-1])
        basis = spline(inside) + spline(inside, 1) * (x - inside)[:, None]
        columns += list(((basis - basis[non_member].mean(axis=0)) / basis[non_member].std(axis=0)).T)
    return np.column_stack(columns)


def _coefficients(columns: Array, values: Array) -> Array:
    return np.asarray(np.linalg.solve(_gram(columns), columns.T @ values), dtype=np.float64)


def _gram(columns: Array) -> Array:
    penalty = np.full(columns.shape[1], _PENALTY * len(columns))
    penalty[0] = 0.0
    return np.asarray(columns.T @ columns + np.diag(penalty))


def _influence_of_fit(columns: Array, residual: Array, is_member: NDArray[np.bool_]) -> Array:
    """Influence of each non-member on the AUC through the coefficients, beside the one through its own residual.

    The AUC's slope along each coefficient times the coefficient's influence, ``gram^-1 column residual``.
    """
    theirs = columns[~is_member]
    scale = float(residual[~is_member].std())
    slope = np.zeros(columns.shape[1])
    for j in range(1, columns.shape[1]):
        step = _STEP * scale * columns[:, j]
        ends = [placements(score_sides(residual - sign * step, is_member))[0].mean() for sign in (1, -1)]
        slope[j] = (ends[0] - ends[1]) / (2 * _STEP * scale) if scale > 0 else 0.0
    influence = (theirs * residual[~is_member, None]) @ np.linalg.solve(_gram(theirs), slope)
    return np.asarray(influence - influence.mean())


def _interval(
    sides: ScoredSides, area: float, x: Array, y: Array, level: float, method: str, effective: tuple[float, float]
) -> Estimate:
    """Interval of an AUC from influences, on the logit scale; Newcombe's where there is no variance."""
    spread = influence_spread(x, y, sides.cluster_members, sides.cluster_non_members)
    m, n = effective
    if sides.clustered:
        m, n = min(m, kish_size(sides.cluster_members)), min(n, kish_size(sides.cluster_non_members))
        method += ", cluster-robust"
    newcombe = newcombe_auc(area, m, n, level)
    if spread.variance == 0 or not 0 < area < 1:
        low, high = newcombe
    else:
        half = float(student_quantile((1 + level) / 2, spread.df)) * math.sqrt(spread.variance) / (area * (1 - area))
        low, high = (float(scipy.special.expit(scipy.special.logit(area) + side * half)) for side in (-1, 1))
        if min(area, 1 - area) * min(m, n) < 10:
            low, high = min(low, newcombe[0]), max(high, newcombe[1])
    low, high = min(low, area), max(high, area)
    return Estimate(value=area, low=low, high=high, level=level, method=method, df=spread.finite_df, **_counts(sides))


def _counts(sides: ScoredSides) -> Counts:
    return Counts(n_members=sides.members.size, n_non_members=sides.non_members.size)
