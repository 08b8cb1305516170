"""How much did a rate at a low false-positive rate change, and what changed between two samples that share nothing?"""

import numpy as np
from scipy import stats

from .clusters import Array, Ids

__all__ = []


def _p_value(value: float, down: float, up: float, level: float) -> float:
    """Two-sided p-value of 0: how far the interval's end on the side of 0 would have to be stretched."""
    reach = down if value > 0 else up
    if value == 0 or reach <= 0:
        return 1.0 if value == 0 else 0.0
    return 2 * float(stats.norm.sf(abs(value) / reach * stats.norm.ppf((1 + level) / 2)))


def _cluster_sums(influence: Array, cluster: Ids) -> Array:
    return np.asarray(np.bincount(np.unique(cluster, return_inverse=True)[1], weights=influence), dtype=np.float64)
