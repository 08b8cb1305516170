"""The operating points of a score: false against true positives at every threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import RocCurve
from .clusters import Array, Groups, Ids, cluster_ids

__all__ = ["Roc", "ScoredSides", "roc_curve", "score_sides", "thin"]

MAX_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roc:
    """Every operating point, from the strictest threshold to the most lenient.

    Parameters
    ----------
    fpr, tpr : ndarray of shape (n_thresholds,)
        Shares of non-members and members with ``score >= threshold``. Start at (0, 0), end at (1, 1).
    threshold : ndarray of shape (n_thresholds,)
        Strictly decreasing; the first is infinite. Tied scores are one step.
    """

    fpr: Array
    tpr: Array
    threshold: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredSides:
    """Scores by side, their clusters in one numbering, and the counts at every threshold.

    Parameters
    ----------
    members, non_members : ndarray of shape (n_members,), (n_non_members,)
        Scores, higher for members.
    cluster_members, cluster_non_members : ndarray of int64
        Cluster number of each sample.
    clustered : bool
        Whether any cluster has more than one sample.
    true_positives, false_positives : ndarray of int64, shape (n_thresholds,)
        Samples with ``score >= threshold``, from (0, 0).
    threshold : ndarray of shape (n_thresholds,)
        Strictly decreasing from infinity.
    """

    members: Array
    non_members: Array
    cluster_members: Ids
    cluster_non_members: Ids
    clustered: bool
    true_positives: Ids
    false_positives: Ids
    threshold: Array

    @property
    def problem(self) -> str | None:
        """Why no metric is defined, or None."""
        for name, ids in (("members", self.cluster_members), ("non-members", self.cluster_non_members)):
            if ids.size == 0:
                return f"there are no {name}"
            if self.clustered and np.unique(ids).size < 2:
                return f"all {name} are of one group: at least two groups a side are needed"
        return None


def score_sides(scores: ArrayLike, is_member: ArrayLike, groups: Groups = None) -> ScoredSides:
    """Check the scores and count both sides at every threshold, in O(n log n).

    Raises
    ------
    ValueError
        If the shapes differ, a score is not finite, or ``is_member`` is not boolean.
    """
    values = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(is_member)
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(f"scores and is_member must be vectors of one length, got {values.shape}, {labels.shape}")
    if labels.size and labels.dtype != np.bool_:
        raise ValueError(f"is_member must be boolean (True = member), got {labels.dtype}")
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise ValueError(f"{n_bad} of {values.size} scores are not finite; a score must be a finite number")
    labels = labels.astype(np.bool_)
    cluster = cluster_ids(values.size, groups)
    true_positives, false_positives, threshold = _counts(values, labels)
    return ScoredSides(
        members=values[labels],
        non_members=values[~labels],
        cluster_members=cluster[labels],
        cluster_non_members=cluster[~labels],
        clustered=np.unique(cluster).size < values.size,
        true_positives=true_positives,
        false_positives=false_positives,
        threshold=threshold,
    )


def _counts(scores: Array, is_member: NDArray[np.bool_]) -> tuple[Ids, Ids, Array]:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if scores.size else np.empty(0, int)
    true_positives = np.cumsum(is_member[order])[last_of_tie]
    false_positives = last_of_tie + 1 - true_positives
    zero = np.zeros(1, dtype=np.int64)
    return (
        np.concatenate([zero, true_positives]),
        np.concatenate([zero, false_positives]),
        np.append(np.inf, ranked[last_of_tie]),
    )


def roc_curve(scores: ArrayLike, is_member: ArrayLike) -> Roc:
    """Compute the empirical ROC curve.

    Parameters
    ----------
    scores : array_like of shape (n_samples,)
        Higher = more likely a member.
    is_member : array_like of bool, shape (n_samples,)

    Returns
    -------
    Roc
        Starts at (0, 0) and ends at (1, 1); ties are one step, nothing is interpolated or left out.

    Raises
    ------
    ValueError
        If a side is empty, a score is not finite, or the shapes differ.

    Examples
    --------
    >>> curve = roc_curve([3.0, 1.0, 2.0, 1.0], [True, True, False, False])
    >>> curve.fpr.tolist(), curve.tpr.tolist(), curve.threshold.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0], [inf, 3.0, 2.0, 1.0])
    """
    sides = score_sides(scores, is_member)
    if sides.problem:
        raise ValueError(f"no ROC curve: {sides.problem}")
    return Roc(
        fpr=sides.false_positives / sides.non_members.size,
        tpr=sides.true_positives / sides.members.size,
        threshold=sides.threshold,
    )


def thin(sides: ScoredSides) -> RocCurve:
    """Keep at most 200 operating points: both ends, and the rest spread over FPR and over its logarithm.

    Of several points with one FPR the highest is kept, so the kept points never understate the curve at
    the FPRs kept; low FPRs, where the logarithm is dense, are kept one by one.
    """
    n = sides.non_members.size
    index = np.arange(sides.false_positives.size)
    if index.size > MAX_POINTS:
        rates = np.concatenate([np.geomspace(1 / n, 1, MAX_POINTS // 2 - 2), np.linspace(0, 1, MAX_POINTS // 2)])
        counts = np.floor(rates * n + 1e-9)
        index = np.searchsorted(sides.false_positives, counts, side="right") - 1
        index = np.unique(np.concatenate([[0], index, [sides.false_positives.size - 1]]))
    return RocCurve(
        fpr=tuple((sides.false_positives[index] / n).tolist()),
        tpr=tuple((sides.true_positives[index] / sides.members.size).tolist()),
    )
