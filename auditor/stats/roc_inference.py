"""The test of a point of the ROC curve, behind the intervals of TPR and F1."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from .clusters import Array, effective_size
from .roc import ScoredSides

__all__ = ["RocTest", "roc_test"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RocTest:
    """Two one-sided p-values for "the true ROC curve passes through (fpr, tpr)", the threshold being random.

    Let q be the true threshold at ``fpr``. The number K of non-members above q is Binomial(n, fpr), and the
    number of members above q Binomial(m, tpr), independent of K. The data hold the second number between
    the least and the greatest true-positive count that the empirical curve has at K false positives. The
    p-values are the chances that fresh draws lie on or beyond that curve.

    Parameters
    ----------
    n_members, n_non_members : float
        (Effective) samples a side.
    least, greatest : ndarray of shape (n_non_members + 1,)
        Least and greatest true-positive count at each false-positive count, scaled to ``n_members``.
    """

    n_members: float
    n_non_members: int
    least: Array
    greatest: Array

    def p_high(self, fpr: float, tpr: float) -> float:
        """Chance of a curve as high as the one seen, if the true one passes through (fpr, tpr)."""
        first, weight = self._weights(fpr)
        hits = self.least[first : first + weight.size]
        return float(weight @ _chance_of_at_least(hits, self.n_members, tpr))

    def p_low(self, fpr: float, tpr: float) -> float:
        """Chance of a curve as low as the one seen, if the true one passes through (fpr, tpr)."""
        first, weight = self._weights(fpr)
        misses = self.n_members - self.greatest[first : first + weight.size]
        return float(weight @ _chance_of_at_least(misses, self.n_members, 1 - tpr))

    def tpr_limits(self, fpr: float, error: float) -> tuple[float, float]:
        """TPRs at ``fpr`` that neither p-value rejects at ``error / 2``."""
        low = _crossing(lambda tpr: self.p_high(fpr, tpr), error / 2, rising=True)
        high = _crossing(lambda tpr: self.p_low(fpr, tpr), error / 2, rising=False)
        return low, high

    def equal_error_limits(self, error: float) -> tuple[float, float]:
        """Equal error rates e, where the curve meets ``tpr = 1 - e``, that neither p-value rejects."""
        low = _crossing(lambda rate: self.p_low(rate, 1 - rate), error / 2, rising=True)
        high = _crossing(lambda rate: self.p_high(rate, 1 - rate), error / 2, rising=False)
        return low, high

    def _weights(self, fpr: float) -> tuple[int, Array]:
        """Binomial weights of the false-positive counts that matter, and the first of them."""
        n = self.n_non_members
        reach = 8 * math.sqrt(n * fpr * (1 - fpr)) + 32  # leaves out less than 1e-12 on either side
        counts = np.arange(max(math.floor(n * fpr - reach), 0), min(math.ceil(n * fpr + reach), n) + 1)
        log_choose = (
            scipy.special.gammaln(n + 1) - scipy.special.gammaln(counts + 1) - scipy.special.gammaln(n - counts + 1)
        )
        log_weight = log_choose + scipy.special.xlogy(counts, fpr) + scipy.special.xlog1py(n - counts, -fpr)
        return int(counts[0]), np.exp(log_weight)


def _chance_of_at_least(hits: Array, n: float, rate: float) -> Array:
    """Chance that a Binomial(n, rate) is at least ``hits``; n and the hits may be fractions."""
    certain = np.ones_like(hits)
    chance: Array = scipy.special.betainc(hits, n - hits + 1, rate, out=certain, where=hits > 1e-9)
    return chance


def _crossing(p_value: Callable[[float], float], error: float, *, rising: bool) -> float:
    """Find where a monotone p-value on [0, 1] crosses ``error``, or the end up to which it stays above."""
    least, greatest = (0.0, 1.0) if rising else (1.0, 0.0)
    if p_value(least) >= error:
        return least
    if p_value(greatest) <= error:
        return greatest
    return float(scipy.optimize.brentq(lambda rate: p_value(rate) - error, 0.0, 1.0, xtol=1e-10))


def roc_test(sides: ScoredSides, *, threshold: float, ties: Literal["step", "chord"]) -> RocTest:
    """Prepare the test from the scores.

    Parameters
    ----------
    sides : ScoredSides
    threshold : float
        Where the design effect of clusters is measured; without clusters it plays no part.
    ties : {"step", "chord"}
        What a tie between members and non-members offers: nothing between its two ends (a rate at a
        fixed FPR is not interpolated), or the chord (a coin tossed at the tie; the equal error rate).
    """
    m, n = sides.members.size, sides.non_members.size
    m_eff, n_eff = float(m), n
    if sides.clustered:
        m_eff = effective_size(sides.members >= threshold, sides.cluster_members)
        n_eff = max(int(effective_size(sides.non_members >= threshold, sides.cluster_non_members)), 1)
    least, greatest = _step_counts(sides) if ties == "step" else _chord_counts(sides)
    counts = np.arange(n_eff + 1)
    least = least[counts * n // n_eff]
    greatest = greatest[np.minimum(-(-(counts + 1) * n // n_eff) - 1, n)]
    return RocTest(n_members=m_eff, n_non_members=n_eff, least=least * m_eff / m, greatest=greatest * m_eff / m)


def _step_counts(sides: ScoredSides) -> tuple[Array, Array]:
    """Members strictly above the k-th and the (k+1)-th largest non-member score, k = 0..n."""
    members = np.sort(sides.members)
    non_members = np.sort(sides.non_members)[::-1]
    above = (members.size - np.searchsorted(members, non_members, side="right")).astype(np.float64)
    return np.append(0.0, above), np.append(above, float(members.size))


def _chord_counts(sides: ScoredSides) -> tuple[Array, Array]:
    """Least and greatest true-positive count of the joined-up curve at k = 0..n false positives."""
    fp, tp = sides.false_positives, sides.true_positives
    joined = np.interp(np.arange(sides.non_members.size + 1), fp, tp)
    least, greatest = joined.copy(), joined.copy()
    first = np.unique(fp, return_index=True)[1]
    least[fp[first]] = tp[first]
    last = np.append(first[1:], fp.size) - 1
    greatest[fp[last]] = tp[last]
    return least, greatest
