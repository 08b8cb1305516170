"""Certain bounds of bounded means, and through them of the information a model holds on its members."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate
from .clusters import Array, Groups, Ids
from .intervals import Counts, check_level, finite_vector, joint_clusters

__all__ = ["information_lower_bound", "lower_mean_bound", "upper_mean_bound"]

N_PERMUTATIONS = 16
LARGEST_STAKE = 0.75  # share of the capital at risk in one bet
MIN_SAMPLES = 20


def lower_mean_bound(values: ArrayLike, *, low: float, high: float, error: float, rng: np.random.Generator) -> float:
    """Lower confidence bound of a bounded mean by betting; no other assumption than independent draws.

    Parameters
    ----------
    values : array_like of shape (n_samples,)
        Independent, identically distributed, each in [low, high].
    low, high : float
        Known range.
    error : float
        Largest chance, in (0, 1), that the bound lies above the mean.
    rng : numpy.random.Generator
        Orders of play.

    Returns
    -------
    float
        In [low, high]; ``low`` if nothing can be said (as with no values).

    Raises
    ------
    ValueError
        If a value is outside the range or not finite, or ``error`` is not in (0, 1).

    References
    ----------
    .. [1] Waudby-Smith, Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024,
       arXiv:2010.09686, eq. 26 and sec. 4.3 (predictable plug-in bets for a fixed n). We bet on one side only
       and average the final capital over 16 random orders: a mean of e-values is an e-value, so
       Markov's inequality still gives the error, and the bound depends less on the order.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> 0.9 < lower_mean_bound(np.ones(100), low=0, high=1, error=0.05, rng=rng) < 1
    True
    """
    x = _unit(values, low, high)
    if not 0 < error < 1:
        raise ValueError(f"error must be in (0, 1), got {error}")
    if x.size == 0:
        return low
    plays = rng.permuted(np.tile(x, (N_PERMUTATIONS, 1)), axis=1)
    bets = _bets(plays, error)

    def rejected(candidate: float) -> bool:
        stakes = np.minimum(bets, LARGEST_STAKE / candidate)
        log_capital = np.log1p(stakes * (plays - candidate)).sum(axis=1)
        return float(np.logaddexp.reduce(log_capital)) >= math.log(N_PERMUTATIONS / error)

    below, above = 0.0, float(x.mean())
    for _ in range(40):
        middle = (below + above) / 2
        if middle > 0 and rejected(middle):
            below = middle
        else:
            above = middle
    return low + below * (high - low)


def upper_mean_bound(values: ArrayLike, *, low: float, high: float, error: float, rng: np.random.Generator) -> float:
    """Upper confidence bound of a bounded mean: `lower_mean_bound` of the mirrored values, mirrored."""
    x = finite_vector(values, "values")
    return low + high - lower_mean_bound(low + high - x, low=low, high=high, error=error, rng=rng)


def information_lower_bound(
    member_bits: ArrayLike,
    non_member_bits: ArrayLike,
    *,
    level: float,
    rng: np.random.Generator,
    groups_members: Groups = None,
    groups_non_members: Groups = None,
) -> Estimate:
    """Bits that the target is certain to hold about a member on average, if only training tells the sides apart.

    Parameters
    ----------
    member_bits, non_member_bits : array_like of shape (n_members,), (n_non_members,), bits
        Signed memorization, ``log2 p(text | target) - log2 p(text | reference)``. Any real score would do.
    level : float
        Confidence of the low end, one-sided.
    rng : numpy.random.Generator
        The split into halves and the orders of play.
    groups_members, groups_non_members : sequence of (str or None), optional
        Cluster of each sample; the same id on both sides is one cluster.

    Returns
    -------
    Estimate
        ``low``: the certified bound, at least 0. ``value``: the plug-in of the same functional, without a
        guarantee, kept between low and high. ``high``: the resolution ``log2 n_non_members`` of any such
        method, no upper confidence limit. Undefined below 20 (independent) samples a side.

    Raises
    ------
    ValueError
        If a value is not finite, or the lengths differ.

    Notes
    -----
    For any function T, ``I >= E_members[T] - log2 E_non_members[2^T]``. We take ``T = clip(s b - t, -c, c)``,
    choose s, t, c on one random half of each side with the slack of the bounds in mind, and bound both means
    on the other half by betting, each with half of the error. With groups one random sample a group and
    side is used and no group is in both halves: a group counts once, however many samples it has.

    References
    ----------
    .. [1] Donsker, Varadhan, 1983, in the form of Belghazi et al., arXiv:1801.04062, theorem 1.
    .. [2] McAllester, Stratos, *Formal limitations on the measurement of mutual information*, AISTATS 2020,
       theorem 1: no distribution-free bound exceeds about ``log2 n``. So this certifies THAT the target
       holds information about its members on average, a few bits of it, not how much, and of no single one.
    """
    check_level(level)
    members, non_members = (
        finite_vector(member_bits, "member bits"),
        finite_vector(non_member_bits, "non-member bits"),
    )
    cluster_m, cluster_n = joint_clusters(members.size, non_members.size, groups_members, groups_non_members)
    half_m, half_n = _halves(cluster_m, cluster_n, rng)
    counts = Counts(n_members=members.size, n_non_members=non_members.size)
    n_independent = min(sum(part.size for part in half_m), sum(part.size for part in half_n))
    if n_independent < MIN_SAMPLES:
        reason = f"fewer than {MIN_SAMPLES} independent samples on a side"
        return Estimate.undefined(reason, level=level, **counts)
    error = 1 - level
    witness = _choose(members[half_m[0]], non_members[half_n[0]], error)
    t_m, t_n = witness(members[half_m[1]]), witness(non_members[half_n[1]])
    low = _certified(t_m, t_n, witness.clip, error, rng)
    resolution = max(math.log2(non_members.size), low)
    plug_in = float(t_m.mean()) - math.log2(float(np.exp2(t_n).mean()))
    clustered = np.unique(np.concatenate([cluster_m, cluster_n])).size < members.size + non_members.size
    return Estimate(
        value=min(max(plug_in, low), resolution),
        low=low,
        high=resolution,
        level=level,
        method="Donsker-Varadhan, split sample, betting bounds (low one-sided; high is the resolution)"
        + (", one random sample a group" if clustered else ""),
        **counts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Witness:
    """T = clip(scale * b - shift, -clip, clip), in bits."""

    scale: float
    shift: float
    clip: float

    def __call__(self, bits: Array) -> Array:
        return np.clip(self.scale * bits - self.shift, -self.clip, self.clip)


def _unit(values: ArrayLike, low: float, high: float) -> Array:
    x = finite_vector(values, "values")
    if not low < high:
        raise ValueError(f"low must be below high, got [{low}, {high}]")
    slack = 1e-9 * (high - low)  # values mapped onto the ends may miss them by a rounding
    n_outside = int(((x < low - slack) | (x > high + slack)).sum())
    if n_outside:
        raise ValueError(f"{n_outside} of {x.size} values lie outside [{low}, {high}]")
    return ((x - low) / (high - low)).clip(0.0, 1.0)


def _bets(plays: Array, error: float) -> Array:
    """Predictable plug-in bets: ``sqrt(2 log(1/error) / (n var))``, the variance from earlier rounds only."""
    n = plays.shape[1]
    rounds = np.arange(1, n + 1)
    running_mean = (0.5 + np.cumsum(plays, axis=1)) / (rounds + 1)
    running_var = (0.25 + np.cumsum((plays - running_mean) ** 2, axis=1)) / (rounds + 1)
    earlier = np.concatenate([np.full((plays.shape[0], 1), 0.25), running_var[:, :-1]], axis=1)
    bets: Array = np.sqrt(2 * math.log(1 / error) / (n * earlier))
    return bets


def _halves(cluster_m: Ids, cluster_n: Ids, rng: np.random.Generator) -> tuple[tuple[Ids, Ids], tuple[Ids, Ids]]:
    """Deal whole clusters to two halves, and draw one sample a cluster and side; indices by side and half.

    Clusters of members, of non-members and of both are dealt apart, so that each half has its share of each.
    """
    n_clusters = int(max(cluster_m.max(initial=-1), cluster_n.max(initial=-1))) + 1
    kind = np.isin(np.arange(n_clusters), cluster_m) + 2 * np.isin(np.arange(n_clusters), cluster_n)
    second_half = np.zeros(n_clusters, dtype=np.bool_)
    for which in (1, 2, 3):
        dealt = rng.permutation(np.flatnonzero(kind == which))
        second_half[dealt[::2]] = True

    def by_half(cluster: Ids) -> tuple[Ids, Ids]:
        shuffled = rng.permutation(cluster.size)
        one_each = shuffled[np.unique(cluster[shuffled], return_index=True)[1]]
        late = second_half[cluster[one_each]]
        return one_each[~late], one_each[late]

    return by_half(cluster_m), by_half(cluster_n)


def _choose(members: Array, non_members: Array, error: float) -> _Witness:
    """Take the T of the grid that promises most after the slack of both bounds."""
    pooled = np.concatenate([members, non_members])
    spread = math.sqrt((float(members.var()) + float(non_members.var())) / 2)
    unit = 1 / spread if spread > 0 else 1.0
    scales = unit * np.exp2(np.arange(-2.0, 7.0))
    centres = np.quantile(pooled, np.linspace(0.02, 0.98, 13))
    clips = np.append(np.exp2(np.arange(-2.0, 2.0)), np.arange(2.5, max(3.0, math.log2(non_members.size)), 1.0))
    log_error = math.log(2 / error)
    best, promise = _Witness(scale=unit, shift=0.0, clip=0.25), -math.inf
    for scale, centre, clip in product(scales, centres, clips):
        witness = _Witness(scale=float(scale), shift=float(scale * centre), clip=float(clip))
        promised = _promise(witness(members), witness(non_members), witness.clip, log_error)
        if promised > promise:
            best, promise = witness, promised
    return best


def _promise(t_m: Array, t_n: Array, clip: float, log_error: float) -> float:
    """Bound to expect on as many new samples: both means less an empirical-Bernstein slack."""
    slack_m = math.sqrt(2 * log_error * float(t_m.var()) / t_m.size) + 2 * clip * log_error / t_m.size
    powers = np.exp2(t_n)
    spread_n = math.sqrt(2 * log_error * float(powers.var()) / t_n.size)
    slack_n = spread_n + (2**clip - 2**-clip) * log_error / t_n.size
    return float(t_m.mean()) - slack_m - math.log2(float(powers.mean()) + slack_n)


def _certified(t_m: Array, t_n: Array, clip: float, error: float, rng: np.random.Generator) -> float:
    """Lower bound of the Donsker-Varadhan functional, each mean bounded with half of the error."""
    mean_t = lower_mean_bound(t_m, low=-clip, high=clip, error=error / 2, rng=rng)
    ends = (2.0**-clip, 2.0**clip)
    powers = np.clip(np.exp2(t_n), *ends)
    mean_power = upper_mean_bound(powers, low=ends[0], high=ends[1], error=error / 2, rng=rng)
    return max(mean_t - math.log2(mean_power), 0.0)
