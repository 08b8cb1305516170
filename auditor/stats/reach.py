"""Reach of a mean's interval, down and up, where a few samples may hold nearly everything."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .clusters import Array, Ids, kish_size
from .quantiles import normal_quantile, student_quantile

__all__ = ["few_samples", "reach", "unseen_below"]

OUTLYING = 2.5
"""Usual deviations up to which a cluster says nothing of larger ones, among enough others."""
ENOUGH = 35
"""Independent samples that are enough for that; of half as many half as far a cluster says something."""
FEW = 18
"""Independent samples a side from which on the level holds for skewed values too (benchmarks/means_grid.py)."""
LEAST_SKEWNESS = 1e-4
"""Below it, a gamma distribution is a normal one."""


def reach(kinds: Sequence[Array], df: ArrayLike, level: float, *, independent: Sequence[float]) -> tuple[Array, Array]:
    """How far the interval of a mean, or of a difference of means, goes down and up.

    A t interval takes the mean for normal. Where 2% of the texts hold 100 bits each and the others none, it is a number
    of holders times their size, which is skewed, and a sample that happens to hold few of them knows neither how wide
    nor how skewed it is. So each arm is that of the gamma distribution with the variance and skewness of the sample
    and of one more cluster, twice as far out as the farthest: for k equal holders, and one as far as they are, the
    exact Poisson interval of k. The farther the farthest cluster lies from what is usual the more it counts: not at all
    up to 2.5 usual deviations, as among normal values. Where fewer than 35 independent samples know little of what is
    usual, it counts sooner: from half as far for half as many. No arm is shorter than that of Student's t.

    Parameters
    ----------
    kinds : sequence of ndarray of shape (..., n_clusters)
        Totals of the influences of each cluster on the estimate, by kind of cluster (`Spread.kinds`).
    df : array_like of shape (...)
        Degrees of freedom of the variance.
    level : float
    independent : sequence of float
        Independent samples that each kind counts as (`Spread.independent`).

    Returns
    -------
    tuple of ndarray of shape (...)
        Down and up, at least 0.

    References
    ----------
    .. [1] Fay, Feuer, *Confidence intervals for directly standardized rates: a method based on the gamma distribution*,
       Statistics in Medicine 16, 1997 (the gamma distribution matched to the moments, and one more of the largest
       weight, for weighted sums of Poisson counts). We match the third moment too, which noise around the holders
       needs, double the weight and fade it out, and replace the normal quantile by Student's.
    """
    variance = np.sum([np.sum(totals**2, axis=-1) for totals in kinds], axis=0)
    third = np.sum([np.sum(totals**3, axis=-1) for totals in kinds], axis=0)
    error = (1 - level) / 2
    student, normal = -student_quantile(error, df), -normal_quantile(error)
    arms = []
    for sign in (-1, 1):
        more = [_one_more(sign * totals, n) for totals, n in zip(kinds, independent, strict=True)]
        one_more = np.max(more, axis=0)
        gamma = _gamma_arm(variance + one_more**2, sign * third + one_more**3, error)
        arms.append(student * np.maximum((one_more + gamma) / normal, np.sqrt(variance)))
    return arms[0], arms[1]


def few_samples(*clusters: Ids) -> str | None:
    """Say that a side has too few samples to know how skewed it is; None if none has.

    Parameters
    ----------
    *clusters : ndarray of int64
        Cluster of each sample, by side; a side without samples does not count.
    """
    few = any(cluster.size and kish_size(cluster) < FEW for cluster in clusters)
    return f"less sure for skewed values: fewer than {FEW} independent samples a side" if few else None


def unseen_below(cluster: Ids, level: float) -> float:
    """Share of the texts below which those that hold anything may all have been missed by a sample.

    Parameters
    ----------
    cluster : ndarray of int64, shape (n_samples,)
        Clusters of unequal size count as `kish_size` says.
    level : float

    Returns
    -------
    float
        The share s with ``(1 - s)^n = (1 - level) / 2``, about ``3.7 / n`` at 95%. If fewer hold, none of them is in
        the sample too often, and no interval of an unbounded mean, whatever it is made of, holds its level.

    Examples
    --------
    >>> round(1 / unseen_below(np.arange(100), 0.95), 1)
    27.6
    """
    return float(-np.expm1(np.log((1 - level) / 2) / kish_size(cluster)))


def _one_more(totals: Array, independent: float) -> Array:
    """How far out one more cluster may lie: twice as far as the farthest, unless that is a usual one."""
    farthest = np.maximum(np.max(totals, axis=-1, initial=0.0), 0.0)
    usual = np.sqrt(np.pi / 2) * np.mean(np.abs(totals), axis=-1) if totals.shape[-1] else np.zeros_like(farthest)
    outlying = OUTLYING * np.clip(independent / ENOUGH, 0.5, 1.0)
    ratio = np.divide(outlying * usual, farthest, out=np.ones_like(farthest), where=farthest > 0)
    found: Array = 2 * farthest * np.maximum(1 - ratio**4, 0.0)
    return found


def _gamma_arm(variance: Array, third: Array, error: float) -> Array:
    """Upper arm of the shifted gamma distribution with this variance and third moment; normal unless skewed upwards."""
    deviation = np.sqrt(variance)
    skewness = np.divide(third, deviation**3, out=np.zeros_like(deviation), where=deviation > 0)
    shape = np.maximum(skewness, LEAST_SKEWNESS) ** -2.0
    arm: Array = deviation / np.sqrt(shape) * (scipy.special.gammainccinv(shape, error) - shape)
    return np.where(skewness > LEAST_SKEWNESS, arm, -normal_quantile(error) * deviation)
