"""P-values: of an interval, of an AUC against a coin, and of many findings at once."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .clusters import Array, Groups, influence_spread, kish_size
from .roc import score_sides

__all__ = ["auc_p_value", "auc_p_values", "exceedance_p_value", "holm", "interval_p_value"]


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


def exceedance_p_value(
    value: float, low: float, high: float, *, limit: float, above: bool, level: float, df: float | None = None
) -> float:
    """One-sided p-value of a figure being within its limit, from its interval.

    Parameters
    ----------
    value, low, high : float
        The figure and its two-sided interval; the arms may differ.
    limit : float
    above : bool
        Whether to lie above the limit is to break it.
    level : float
        Of the interval.
    df : float, optional
        Degrees of freedom of the t quantile that the interval was made with (`Estimate.df`); None for a normal one.

    Returns
    -------
    float
        How far the end on the side of the limit would have to be stretched to reach it. Below ``(1 - level) / 2``
        exactly if the interval lies wholly beyond the limit. An interval without an arm on that side tells no more
        than this: then the number just below ``(1 - level) / 2``, or 1.

    Examples
    --------
    >>> round(exceedance_p_value(0.7, 0.65, 0.75, limit=0.60, above=True, level=0.95), 6)  # sf(2 * 1.96)
    4.4e-05
    >>> round(exceedance_p_value(3.0, 3.0, 3.0, limit=0.0, above=True, level=0.95), 6)
    0.025
    """
    half = (1 - level) / 2
    beyond = value - limit if above else limit - value
    arm = value - low if (beyond > 0) == above else high - value
    p_value = half if beyond > 0 else 1.0
    if arm > 0:
        special = scipy.special  # as scipy.stats does, which takes a second to import
        quantile = -float(special.ndtri(half)) if df is None else -float(special.stdtrit(df, half))
        reached = beyond / arm * quantile
        p_value = float(special.ndtr(-reached) if df is None else special.stdtr(df, -reached))
    excluded = low > limit if above else high < limit
    return min(p_value, float(np.nextafter(half, 0))) if excluded else max(p_value, half)


def interval_p_value(
    value: float, low: float, high: float, *, level: float, null: float = 0.0, df: float | None = None
) -> float:
    """Two-sided p-value of a figure being ``null``, from its interval: THE p-value of every interval.

    Returns
    -------
    float
        Below ``1 - level`` exactly if the interval excludes ``null``; see `exceedance_p_value`.

    Examples
    --------
    >>> interval_p_value(0.0, -1.0, 2.0, level=0.95)
    1.0
    >>> round(interval_p_value(2.0, 0.0, 5.0, level=0.95), 9), round(interval_p_value(3.0, 3.0, 3.0, level=0.95), 9)
    (0.05, 0.05)
    """
    above, below = (
        exceedance_p_value(value, low, high, limit=null, above=above, level=level, df=df) for above in (True, False)
    )
    return min(1.0, 2 * min(above, below))


def auc_p_values(
    scores: Mapping[str, Array], is_member: NDArray[np.bool_], groups: Groups = None
) -> dict[str, tuple[float | None, float | None]]:
    """P-value of every attack, as it is and adjusted for all of them (Holm), by label; None where undefined.

    Parameters
    ----------
    scores, is_member, groups
        As in `select`.
    """
    p_values = [auc_p_value(values, is_member, groups) for values in scores.values()]
    return dict(zip(scores, zip(p_values, holm(p_values), strict=True), strict=True))


def auc_p_value(scores: ArrayLike, is_member: NDArray[np.bool_], groups: Groups = None) -> float | None:
    """One-sided p-value of "the AUC is at most one half".

    Parameters
    ----------
    scores : array_like of shape (n_samples,)
        Finite, higher for members.
    is_member, groups
        As in `select`.

    Returns
    -------
    float or None
        None if a side is empty or of one cluster.

    Notes
    -----
    The p-value of the interval that `metrics.auc` reports: below ``(1 - level) / 2`` exactly if the low end at that
    level is above one half, so that the two never contradict each other. That is DeLong's (Obuchowski's) variance on
    the logit scale with Welch's degrees of freedom, and where few samples are misranked the larger one of it and of
    Newcombe's, whose variance at one half is Mann and Whitney's ``(m + n + 1) / (12 m n)`` (without its reduction
    for ties, which only makes it larger). Mann and Whitney's alone holds its level only if both sides have one
    distribution, spread included; the question here is whether members score higher, and both variances may differ.

    References
    ----------
    .. [1] Brunner, Munzel, *The nonparametric Behrens-Fisher problem*, Biometrical J. 42, 2000 (this variance and
       these degrees of freedom for this hypothesis). We take the logit scale, as the interval does.

    Examples
    --------
    >>> round(auc_p_value([1.0, 2.0, 3.0, 4.0], np.array([False, False, True, True])), 4)  # z = .5 / sqrt(5 / 48)
    0.0607
    """
    sides = score_sides(scores, is_member, groups)
    if sides.problem:
        return None
    from .metrics import FEW_MISRANKED, placements

    above, below = placements(sides)
    area, m, n = float(above.mean()), kish_size(sides.cluster_members), kish_size(sides.cluster_non_members)
    influences = (above - area) / above.size, (below - area) / below.size
    spread = influence_spread(*influences, sides.cluster_members, sides.cluster_non_members)
    newcombe = float(scipy.stats.norm.sf((area - 0.5) / math.sqrt((m + n + 1) / (12 * m * n))))
    if spread.variance == 0 or not 0 < area < 1:
        return newcombe
    error = math.sqrt(spread.variance) / (area * (1 - area))
    delong = float(scipy.stats.t.sf(math.log(area / (1 - area)) / error, spread.df))
    return max(delong, newcombe) if min(area, 1 - area) * min(m, n) < FEW_MISRANKED else delong
