"""Clusters of samples that belong together, and how far an estimate wanders when whole ones are drawn anew."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Groups",
    "Ids",
    "Spread",
    "cluster_ids",
    "effective_size",
    "influence_spread",
    "jackknife_spread",
    "kish_size",
    "pick_groups",
    "with_copies",
]

NEGLIGIBLE = 1e-12  # share of a variance

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
Groups = Sequence[Hashable | None] | NDArray[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Variance of an estimate, with the degrees of freedom behind it."""

    variance: float
    df: float
    kinds: tuple[Array, ...] = ()
    """Totals of the clusters on the first side only, on the second only, and on both: their squares add up."""
    independent: tuple[float, ...] = ()
    """Independent samples that each of these kinds counts as, by the sizes of its clusters (Kish)."""

    @property
    def finite_df(self) -> float | None:
        """Degrees of freedom as an estimate states them; None without a variance."""
        return self.df if math.isfinite(self.df) else None


def pick_groups(groups: Groups, here: NDArray[np.bool_]) -> Groups:
    """Take the clusters of the samples that a mask of shape (n_samples,) picks; None without clusters."""
    return None if groups is None else [groups[i] for i in np.flatnonzero(here).tolist()]


def with_copies(groups: Sequence[str | None], texts: Sequence[Hashable]) -> list[str | None] | None:
    """Name the cluster of each sample: the group that the data names, or the text that it is a copy of.

    Copies of one text are one piece of evidence.

    Parameters
    ----------
    groups : sequence of (str or None), length n_samples
    texts : sequence, length n_samples
        Equal for equal texts.

    Returns
    -------
    list of (str or None), or None
        None for a sample on its own; None as a whole if all are.

    Examples
    --------
    >>> with_copies([None, "a", None, None], ["x", "x", "y", "x"])
    ['text x', 'a', None, 'text x']
    """
    copies = Counter(texts)
    names = [
        group if group is not None else (f"text {text}" if copies[text] > 1 else None)
        for group, text in zip(groups, texts, strict=True)
    ]
    return names if any(name is not None for name in names) else None


def cluster_ids(n_samples: int, groups: Groups) -> Ids:
    """Give each cluster a number from 0; a sample without a group is a cluster of its own.

    Parameters
    ----------
    n_samples : int
    groups : sequence of (str or None), length n_samples, or None

    Returns
    -------
    ndarray of int64, shape (n_samples,)

    Raises
    ------
    ValueError
        If there are not as many group ids as samples.
    """
    if groups is None:
        return np.arange(n_samples, dtype=np.int64)
    if len(groups) != n_samples:
        raise ValueError(f"one group id (or None) a sample is needed: got {len(groups)} for {n_samples} samples")
    numbers: dict[tuple[bool, Hashable], int] = {}
    keys = [(True, index) if group is None else (False, group) for index, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def influence_spread(x: Array, y: Array, cluster_x: Ids, cluster_y: Ids) -> Spread:
    """Variance of a two-sample estimate from the influence of each sample, summed within clusters.

    Parameters
    ----------
    x : ndarray of shape (n_x,)
        Influence of each sample of the first side on the estimate, divided by n_x; sums to 0.
    y : ndarray of shape (n_y,)
        The same for the second side; empty for a one-sample estimate.
    cluster_x, cluster_y : ndarray of int64
        Cluster numbers in one common numbering: a cluster may have samples on both sides.

    Returns
    -------
    Spread
        ``variance = sum_c (X_c / sqrt(1 - s_c/n_x) + Y_c / sqrt(1 - t_c/n_y))^2`` with the sums X_c, Y_c of the
        influences of cluster c and its sizes s_c, t_c on the sides. Each cluster a singleton: exactly
        the Welch variance ``s_x^2/n_x + s_y^2/n_y``. ``df`` is Satterthwaite's over the three kinds of
        clusters (first side, second side, both): exactly Welch's without clusters, C - 1 for C pairs or for
        one sample of C equal clusters, fewer if the sizes differ.

    Notes
    -----
    A cluster that holds all of a side says nothing of that side's variance and adds none.

    References
    ----------
    .. [1] Bell, McCaffrey, *Bias reduction in standard errors for linear regression with multi-stage samples*,
       Survey Methodology 28, 2002 (CR2 and its degrees of freedom, here in closed form for a mean). We
       apply it to each side and each kind of cluster.
    .. [2] Satterthwaite, *An approximate distribution of estimates of variance components*, 1946.
    """
    n_clusters = 1 + max(int(ids.max()) for ids in (cluster_x, cluster_y) if ids.size)
    total = np.zeros(n_clusters)
    sizes = np.zeros((2, n_clusters))
    for side, (influence, ids) in enumerate(((x, cluster_x), (y, cluster_y))):
        if ids.size:
            sizes[side] = np.bincount(ids, minlength=n_clusters)
            sums = np.bincount(ids, weights=influence, minlength=n_clusters)
            known = sizes[side] < ids.size
            total[known] += sums[known] / np.sqrt(1 - sizes[side][known] / ids.size)
    return _spread(total, sizes)


def jackknife_spread(deviation: Array, sizes: Array) -> Spread:
    """Variance of a two-sample estimate from what it becomes when each cluster is left out.

    Parameters
    ----------
    deviation : ndarray of shape (n_clusters,)
        Estimate without the cluster, less the estimate.
    sizes : ndarray of shape (2, n_clusters)
        Samples of each cluster on the two sides.

    Returns
    -------
    Spread
        The delete-one-cluster jackknife, each kind of cluster (first side, second side, both) a sample of
        its own. ``df`` as in `influence_spread`, divided by ``(kurtosis - 1) / 2`` of the deviations where that
        exceeds 1: the variance of a variance grows with the kurtosis.

    References
    ----------
    .. [1] Efron, Tibshirani, *An introduction to the bootstrap*, 1993, ch. 11 (jackknife).
    """
    total = deviation.copy()
    for kind in _kinds(sizes):
        if kind.any():
            count = int(kind.sum())
            total[kind] = (deviation[kind] - deviation[kind].mean()) * math.sqrt((count - 1) / count)
    return _spread(total, sizes, heavy_tails=True)


def _spread(total: Array, sizes: Array, *, heavy_tails: bool = False) -> Spread:
    """Sum the squares of the cluster totals, with Satterthwaite's df over the kinds of clusters."""
    variance = float(np.sum(total**2))
    kinds = tuple(total[kind] for kind in _kinds(sizes))
    independent = tuple(_kish(sizes[:, kind].sum(axis=0)) for kind in _kinds(sizes))
    if variance == 0:
        return Spread(variance=0.0, df=math.inf, kinds=kinds, independent=independent)
    shares = total**2 / variance
    wobble = 0.0
    for kind in _kinds(sizes):
        part = float(shares[kind].sum())
        if part > NEGLIGIBLE:
            kurtosis = float(np.mean(shares[kind] ** 2) / np.mean(shares[kind]) ** 2)
            excess = max((kurtosis - 1) / 2, 1.0) if heavy_tails else 1.0
            wobble += part**2 * excess / _mean_df(sizes[:, kind].sum(axis=0))
    return Spread(variance=variance, df=max(1 / wobble, 1.0), kinds=kinds, independent=independent)


def _kinds(sizes: Array) -> tuple[NDArray[np.bool_], ...]:
    """Say which clusters are on the first side only, on the second only, and on both."""
    on_first, on_second = sizes > 0
    return on_first & ~on_second, on_second & ~on_first, on_first & on_second


def _mean_df(sizes: Array) -> float:
    """Degrees of freedom of the variance of a mean over clusters of these sizes; C - 1 if all are equal."""
    n = float(sizes.sum())
    if sizes.size < 2:
        return 1.0
    pull = sizes**2 / (n - sizes)
    return n**2 / float(np.sum(sizes**2) + pull.sum() ** 2 - np.sum(pull**2))


def kish_size(cluster: Ids) -> float:
    """Count what remains if all samples of a cluster say the same: ``(sum size)^2 / sum size^2`` (Kish)."""
    return _kish(np.bincount(cluster))


def _kish(sizes: Array | Ids) -> float:
    return float(sizes.sum() ** 2 / max(np.square(sizes).sum(), 1))


def effective_size(hits: NDArray[np.bool_], cluster: Ids) -> float:
    """Independent samples that would tell a rate as well as these clustered ones.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_samples,)
    cluster : ndarray of int64, shape (n_samples,)

    Returns
    -------
    float
        ``n / deff`` with the design effect of the rate of ``hits``, between Kish's size and n; Kish's size
        if all or none hit, where the data cannot tell.

    References
    ----------
    .. [1] Korn, Graubard, *Confidence intervals for proportions with small expected number of positive
       counts estimated from survey data*, Survey Methodology 24, 1998, sec. 2. We leave out their ratio
       of t quantiles and bound the effect by Kish's size instead.
    """
    floor, n = kish_size(cluster), hits.size
    rate = float(hits.mean())
    if rate in (0.0, 1.0):
        return floor
    none = np.empty(0)
    spread = influence_spread((hits - rate) / n, none, cluster, none.astype(np.int64))
    deff = spread.variance / (rate * (1 - rate) / (n - 1))
    return float(np.clip(n / deff, floor, n)) if deff > 0 else float(n)
