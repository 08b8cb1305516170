"""The bootstrap of the ROC curve: how far it wanders when clusters are drawn anew, over both sides at once."""

import numpy as np
from numpy.typing import NDArray

from .clusters import Array, Ids
from .roc import ScoredSides

__all__ = ["gap_deviations"]

N_REPLICATES = 1000
CELLS = 400_000  # weights held at once


def gap_deviations(sides: ScoredSides, *, rng: np.random.Generator, n_replicates: int = N_REPLICATES) -> Array:
    """Largest deviation of ``tpr - fpr`` from the observed one, over all thresholds, a bootstrap replicate.

    Parameters
    ----------
    sides : ScoredSides
        With at least two clusters a side.
    rng : numpy.random.Generator
    n_replicates : int
        Draws of as many clusters as there are, with replacement; one cluster carries its samples of both
        sides. A draw that leaves a side empty is drawn again.

    Returns
    -------
    ndarray of shape (n_replicates,)
    """
    scores = np.concatenate([sides.members, sides.non_members])
    step = np.searchsorted(-sides.threshold[1:], -scores)  # the threshold at which a sample enters
    order = np.argsort(step, kind="stable")
    last = np.flatnonzero(np.append(np.diff(step[order]) != 0, True))
    is_member = order < sides.members.size
    numbers = np.concatenate([sides.cluster_members, sides.cluster_non_members])[order]
    cluster = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    observed = _gaps(np.ones((1, order.size)), is_member, last)
    deviations: list[Array] = []
    while sum(part.size for part in deviations) < n_replicates:
        weights = _draw(cluster, max(1, min(n_replicates, CELLS // order.size)), rng)
        whole = (weights[:, is_member].sum(axis=1) > 0) & (weights[:, ~is_member].sum(axis=1) > 0)
        gaps = _gaps(weights[whole], is_member, last)
        deviations.append(np.abs(gaps - observed).max(axis=1))
    return np.concatenate(deviations)[:n_replicates]


def _draw(cluster: Ids, n_draws: int, rng: np.random.Generator) -> Array:
    """How often each sample's cluster is drawn, shape (n_draws, n_samples)."""
    n_clusters = int(cluster.max()) + 1
    drawn = rng.integers(n_clusters, size=(n_draws, n_clusters))
    offset = np.arange(n_draws)[:, None] * n_clusters
    times = np.bincount((drawn + offset).ravel(), minlength=n_draws * n_clusters)
    return times.reshape(n_draws, n_clusters)[:, cluster].astype(np.float64)


def _gaps(weights: Array, is_member: NDArray[np.bool_], last: Ids) -> Array:
    """``tpr - fpr`` after each threshold, shape (n_draws, n_thresholds)."""
    tpr = np.cumsum(weights * is_member, axis=1)[:, last]
    fpr = np.cumsum(weights * ~is_member, axis=1)[:, last]
    gaps: Array = tpr / tpr[:, -1:] - fpr / fpr[:, -1:]
    return gaps
