"""Confidence sequences: intervals that hold at all times at once, however often one looks and whenever one stops."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..documents.estimate import Estimate, TprAtFpr
from .betting import BettingCapital, bernoulli_log_capital, bernoulli_lower_end, pairing_moments
from .clusters import Array, Groups, Ids, cluster_ids
from .intervals import Counts, check_level, finite_vector, mean_difference
from .reach import unseen_below

__all__ = [
    "AucSequence",
    "Decision",
    "DifferenceSequence",
    "MeanSequence",
    "TprSequence",
    "anytime_p_value",
    "asymptotic_difference",
    "block_sizes",
    "decide",
    "level_per_gate",
    "scoring_order",
]

Decision = Literal["pass", "fail", "undecided"]

PAIRS_PER_BLOCK = 8  # a block of 8 and 8 texts has 94 percent of what all pairs of a long run have
LARGEST_SIDE = 64
ASYMPTOTIC_FROM = 200  # samples a side before the first look; from 50 on, rare large values make it miss twice as often
TIGHTEST_AT = 800  # samples of both sides at which an asymptotic interval is to be tightest
EARLY_SHARE = 0.2  # of the error of an interval: spent on looks before all samples are there
EMPTY = "the interval is empty: the samples do not look as if they were scored in random order"


def decide(estimate: Estimate, *, least: float | None = None, most: float | None = None) -> Decision:
    """Hold an interval against the limits of a gate.

    Parameters
    ----------
    estimate : Estimate
    least, most : float, optional
        Limits; at least one of them.

    Returns
    -------
    {"pass", "fail", "undecided"}
        ``pass``: the whole interval is within. ``fail``: the whole interval lies beyond a limit. Otherwise, and for
        an undefined estimate, ``undecided``. With an anytime-valid interval a ``pass`` or ``fail`` may be kept: each is
        wrong with a chance of at most ``(1 - level) / 2`` a limit, over all looks together.

    Raises
    ------
    ValueError
        If there is no limit.
    """
    if least is None and most is None:
        raise ValueError("a gate needs a limit: least, most or both")
    if estimate.low is None or estimate.high is None:
        return "undecided"
    floor, ceiling = (-math.inf if least is None else least), (math.inf if most is None else most)
    if estimate.low > ceiling or estimate.high < floor:
        return "fail"
    return "pass" if floor <= estimate.low and estimate.high <= ceiling else "undecided"


def anytime_p_value(log_evidence: Array) -> float:
    """p-value of an hypothesis that holds at all looks at once: 1 over the largest e-value so far, at most 1."""
    return math.exp(-max(float(log_evidence.max(initial=0.0)), 0.0))


def level_per_gate(level: float, n_gates: int) -> float:
    """Level of each of several sequences so that all hold together, at all times (Bonferroni)."""
    check_level(level)
    if n_gates < 1:
        raise ValueError(f"n_gates must be at least 1, got {n_gates}")
    return 1 - (1 - level) / n_gates


def scoring_order(is_member: ArrayLike, *, groups: Groups = None, rng: np.random.Generator) -> Ids:
    """Order in which to score samples so that any first part of it is a fair sample of both sides.

    Parameters
    ----------
    is_member : array_like of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, optional
        One random sample a group is kept: those of a group are one piece of evidence, and sequences need independence.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (n_kept,)
        Each side in random order, the sides dealt evenly, so that both run out together.
    """
    member = np.asarray(is_member, dtype=np.bool_)
    shuffled = rng.permutation(member.size)
    cluster = cluster_ids(member.size, groups)[shuffled]
    kept = shuffled[np.sort(np.unique(cluster, return_index=True)[1])]
    sides = [kept[member[kept]], kept[~member[kept]]]
    place = np.concatenate([(np.arange(side.size) + 0.5) / max(side.size, 1) for side in sides])
    order: Ids = np.concatenate(sides)[np.argsort(place, kind="stable")].astype(np.int64)
    return order


def block_sizes(n_members: int, n_non_members: int) -> tuple[int, int]:
    """Members and non-members of a block of `AucSequence`: 8 of the smaller side, the other in proportion, up to 64."""
    fewer, more = sorted((max(n_members, 1), max(n_non_members, 1)))
    larger = min(round(PAIRS_PER_BLOCK * more / fewer), LARGEST_SIDE)
    return (PAIRS_PER_BLOCK, larger) if n_members <= n_non_members else (larger, PAIRS_PER_BLOCK)


class MeanSequence:
    """Confidence sequence of the mean of bounded values, by betting.

    Parameters
    ----------
    level : float
        Chance that the interval holds the mean after EVERY value.
    low, high : float
        Known range of the values.

    Notes
    -----
    Values must be independent draws, or at least have the same mean given the past. Two capitals, one betting that
    the mean is above and one that it is below a candidate (`BettingCapital`), each refute a candidate when they reach
    ``2 / (1 - level)``; a candidate once refuted stays so, whether or not one looked then. Hence the interval depends
    on the values alone, not on the looks, and never widens.

    A fixed probe set scored in random order is sampled without replacement, and an interval for the mean of THAT set
    could be narrower (Waudby-Smith and Ramdas, arXiv:2006.04347). But the texts are themselves draws, in random order
    still independent, and the figure of interest, as in the full run, is that of all such texts.
    """

    def __init__(self, *, level: float, low: float = 0.0, high: float = 1.0) -> None:
        check_level(level)
        if not low < high:
            raise ValueError(f"low must be below high, got [{low}, {high}]")
        self._level, self._low, self._range = level, low, high - low
        self._above, self._below = BettingCapital(1), BettingCapital(1)
        self._n, self._sum = 0, 0.0

    def update(self, values: ArrayLike) -> None:
        """Take more values, in the order in which they came; ValueError if one is outside the range or not finite."""
        unit = (finite_vector(values, "values") - self._low) / self._range
        n_outside = int((np.abs(unit - 0.5) > 0.5 + 1e-9).sum())
        if n_outside:
            raise ValueError(f"{n_outside} of {unit.size} values lie outside the range that was declared")
        unit = unit.clip(0.0, 1.0)
        self._above.add(np.stack([np.ones_like(unit), unit], axis=1))
        self._below.add(np.stack([np.ones_like(unit), 1 - unit], axis=1))
        self._n, self._sum = self._n + unit.size, self._sum + float(unit.sum())

    def log_evidence(self, mean: float) -> tuple[Array, Array]:
        """Natural logarithm of the e-value after each value that the mean is above, and below, a candidate."""
        unit = (mean - self._low) / self._range
        return self._above.log_path(unit), self._below.log_path(1 - unit)

    def estimate(self, *, n_as: Literal["members", "non_members"] = "members") -> Estimate:
        """Return the mean so far with the interval, undefined before the first value."""
        counts = Counts(n_members=self._n, n_non_members=0)
        if n_as == "non_members":
            counts = Counts(n_members=0, n_non_members=self._n)
        method = "confidence sequence by betting"
        if self._n == 0:
            return Estimate.undefined("no value yet", level=self._level, method=method, **counts)
        error = (1 - self._level) / 2
        ends = self._above.lower_end(error), 1 - self._below.lower_end(error)
        unit = _estimate(self._sum / self._n, ends, self._level, method, counts)
        return unit.mapped(lambda end: self._low + end * self._range)


class AucSequence:
    """Confidence sequence of the AUC, by betting on blocks of texts and all pairings within them.

    Parameters
    ----------
    level : float
        Chance that the interval holds the AUC after EVERY block.
    block : tuple of int
        Members and non-members of a block, fixed beforehand (`block_sizes`).

    Notes
    -----
    Pair the members of a block with its non-members in any one way fixed beforehand: whatever happened before, each
    pair wins (1, at a draw 1/2) with mean AUC, independently, so a bet at a stake c chosen before the block multiplies
    the capital by ``prod_i (1 - c + c h_i / m)``, of expectation 1 at m = AUC and at most 1 at m >= AUC. So
    does the mean of these products over ALL pairings, being a mean of e-values; it is computed exactly
    (`pairing_moments`). The product over blocks is a supermartingale in the filtration of whole blocks, and so is
    its mean over the stakes (`BettingCapital`).

    Averaging within the block makes this sharper than betting on disjoint pairs, to the second order as sharp as
    betting on the block's own AUC with no limit on the stake. Pairing a block with EARLIER texts would not be valid:
    given the past, the mean placement of a new member among them is not the AUC; and the mean over all pairings of
    everything so far is a reverse martingale, which optional stopping does not allow.

    The sides must come in random order (`scoring_order`) and each score must depend on its own text alone.
    """

    def __init__(self, *, level: float, block: tuple[int, int] = (PAIRS_PER_BLOCK, PAIRS_PER_BLOCK)) -> None:
        check_level(level)
        if min(block) < 1:
            raise ValueError(f"a block needs a text of each side, got {block}")
        self._level, self._block = level, block
        self._above, self._below = BettingCapital(min(block)), BettingCapital(min(block))
        self._scores: tuple[list[float], list[float]] = ([], [])
        self._n_used = [0, 0]

    def update(self, scores: ArrayLike, is_member: ArrayLike) -> None:
        """Take more scores in scoring order, shape (n_samples,); an unfinished block waits for the next call."""
        values, member = finite_vector(scores, "scores"), np.asarray(is_member, dtype=np.bool_)
        if member.shape != values.shape:
            raise ValueError(f"is_member must have shape {values.shape}, got {member.shape}")
        for side, chosen in enumerate((member, ~member)):
            self._scores[side].extend(values[chosen].tolist())
        while all(self._waiting(side) >= self._block[side] for side in (0, 1)):
            self._play(self._block)

    def finish(self) -> None:
        """Make blocks of what waits: to be called once, when no text is left."""
        while all(self._waiting(side) > 0 for side in (0, 1)):
            self._play((min(self._block[0], self._waiting(0)), min(self._block[1], self._waiting(1))))

    def log_evidence(self, auc: float) -> tuple[Array, Array]:
        """Natural logarithm of the e-value after each block that the AUC is above, and below, a candidate."""
        return self._above.log_path(auc), self._below.log_path(1 - auc)

    def estimate(self) -> Estimate:
        """Return the AUC of all scores so far, kept within the interval; undefined before the first block is full."""
        members, non_members = (np.array(side) for side in self._scores)
        counts = Counts(n_members=members.size, n_non_members=non_members.size)
        method = "confidence sequence by betting on pairs, averaged over all pairings of a block"
        if not self._n_used[0]:
            return Estimate.undefined("no block of texts is full yet", level=self._level, method=method, **counts)
        ranks = scipy.stats.rankdata(np.concatenate([members, non_members]))[: members.size]
        area = (float(ranks.mean()) - (members.size + 1) / 2) / non_members.size
        error = (1 - self._level) / 2
        return _estimate(
            area, (self._above.lower_end(error), 1 - self._below.lower_end(error)), self._level, method, counts
        )

    def _waiting(self, side: int) -> int:
        return len(self._scores[side]) - self._n_used[side]

    def _play(self, sizes: tuple[int, int]) -> None:
        starts = tuple(self._n_used)
        members, non_members = (np.array(self._scores[i][starts[i] : starts[i] + sizes[i]]) for i in (0, 1))
        self._n_used = [start + size for start, size in zip(starts, sizes, strict=True)]
        self._above.add(pairing_moments(members, non_members)[None, :])
        self._below.add(pairing_moments(-members, -non_members)[None, :])


class TprSequence:
    """Confidence sequence of the largest true-positive rate with a false-positive rate of at most ``fpr``.

    Parameters
    ----------
    fpr : float
        In (0, 1).
    level : float
        Chance that the interval holds the TPR after EVERY update.

    Notes
    -----
    With t the smallest threshold that at most ``fpr`` of all non-members exceed, the figure is the share of members
    beyond t. A quarter of the error each goes to: t is not below the threshold at which hits of non-members are
    so many that betting refutes a rate of ``fpr``; t is not above that at which they are so few; the members beyond
    the upper of these thresholds bound the TPR from below; those from the lower one up bound it from above. All
    four are bets about the one fixed t, and counts are monotone in the threshold, so no union over thresholds is
    needed. At level 0.95 the low end is 0 until about ``7 / fpr`` non-members were seen.

    References
    ----------
    .. [1] Howard, Ramdas, *Sequential estimation of quantiles with applications to A/B testing and best-arm
       identification*, Bernoulli 28, 2022, arXiv:1906.09712, sec. 3. The same duality, with betting in place of
       their sub-Bernoulli boundary.
    """

    def __init__(self, *, fpr: float, level: float) -> None:
        check_level(level)
        if not 0 < fpr < 1:
            raise ValueError(f"fpr must be in (0, 1), got {fpr}")
        self._fpr, self._level = fpr, level
        self._members, self._non_members = np.empty(0), np.empty(0)
        self._low, self._high = 0.0, 1.0

    def update(self, scores: ArrayLike, is_member: ArrayLike) -> None:
        """Take more scores, shape (n_samples,), and narrow the interval."""
        values, member = finite_vector(scores, "scores"), np.asarray(is_member, dtype=np.bool_)
        if member.shape != values.shape:
            raise ValueError(f"is_member must have shape {values.shape}, got {member.shape}")
        self._members = np.concatenate([self._members, values[member]])
        self._non_members = np.sort(np.concatenate([self._non_members, values[~member]]))
        n, error = self._members.size, (1 - self._level) / 4
        lowest, highest = self._thresholds(error)
        surely, perhaps = int((self._members > highest).sum()), int((self._members >= lowest).sum())
        self._low = max(self._low, bernoulli_lower_end(surely, n, error) if surely else 0.0)
        self._high = min(self._high, 1 - bernoulli_lower_end(n - perhaps, n, error) if perhaps < n else 1.0)

    def estimate(self) -> TprAtFpr:
        """Return the TPR so far, without interpolation, kept within the interval."""
        counts = Counts(n_members=self._members.size, n_non_members=self._non_members.size)
        method = "confidence sequence by betting, for the threshold and for the rate beyond it"
        if not counts["n_members"] or not counts["n_non_members"]:
            reason = "no member yet" if not counts["n_members"] else "no non-member yet"
            return TprAtFpr.at(self._fpr, Estimate.undefined(reason, level=self._level, method=method, **counts))
        allowed = math.floor(self._fpr * self._non_members.size + 1e-9)
        rate = float((self._members > self._non_members[-1 - allowed]).mean())
        return TprAtFpr.at(self._fpr, _estimate(rate, (self._low, self._high), self._level, method, counts))

    def _thresholds(self, error: float) -> tuple[float, float]:
        """Lowest and highest threshold that may have the false-positive rate; ends of the line if any may."""
        n = self._non_members.size
        hits = np.arange(n + 1)
        too_many = bernoulli_log_capital(hits, n, self._fpr) >= -math.log(error)
        too_few = bernoulli_log_capital(n - hits, n, 1 - self._fpr) >= -math.log(error)
        lowest = self._non_members[n - int(np.argmax(too_many))] if too_many.any() else -math.inf
        highest = self._non_members[n - int(too_few.sum())] if too_few.any() else math.inf
        return float(lowest), float(highest)


def asymptotic_difference(
    members: ArrayLike, non_members: ArrayLike, *, level: float, tightest_at: int = TIGHTEST_AT
) -> Estimate:
    """Difference of means of unbounded values (bits) with an ASYMPTOTIC confidence sequence.

    Parameters
    ----------
    members, non_members : array_like of shape (n_members,), (n_non_members,)
        All so far, in random order, the sides dealt in fixed shares.
    level : float
        Chance, in the limit of many samples before the first look, that the interval holds the difference at all times.
    tightest_at : int
        Number of samples of both sides at which the interval is to be tightest.

    Returns
    -------
    Estimate
        Undefined below 200 samples a side, or if the values do not vary.

    Notes
    -----
    The boundary says how many standard errors each arm needs for all times at once; the arm is the one that
    `mean_difference` has at the level at which a normal arm is that long, so that few large values lengthen it. That
    helps against skewness, and not against what no sample has shown: where holders of many bits are rarer than one in
    the samples so far, the UPPER end lies too low (lower, if rare texts lose many, the lower one too high). It is
    no ground to pass a gate; see `DifferenceSequence`.

    References
    ----------
    .. [1] Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, *Time-uniform central limit theory and asymptotic confidence
       sequences*, Annals of Statistics 52, 2024, arXiv:2103.06476, theorem 2.2. It takes a finite moment of more
       than order 2: a central limit theorem for all times at once, no guarantee at a given number of samples. We put
       the arms of `reach` in place of the normal ones.
    """
    check_level(level)
    x, y = finite_vector(members, "member values"), finite_vector(non_members, "non-member values")
    counts, method = Counts(n_members=x.size, n_non_members=y.size), "asymptotic confidence sequence"
    if min(x.size, y.size) < ASYMPTOTIC_FROM:
        reason = f"an asymptotic interval needs {ASYMPTOTIC_FROM} samples a side, got {min(x.size, y.size)}"
        return Estimate.undefined(reason, level=level, method=method, **counts)
    at_one_look = 2 * float(scipy.stats.norm.sf(_boundary(x.size + y.size, level, tightest_at)))
    found = mean_difference(x, y, level=1 - at_one_look)
    if found.low == found.high:
        return Estimate.undefined("the values do not vary", level=level, method=method, **counts)
    return replace(found, level=level, method=f"{method}, {found.method}", df=None)


def _boundary(n: int, level: float, tightest_at: int = TIGHTEST_AT) -> float:
    """Return how many standard errors a mean of n values may lie off at all n at once."""
    error = 1 - level
    rho_squared = (-2 * math.log(error) + math.log(1 - 2 * math.log(error))) / tightest_at
    grown = n * rho_squared + 1
    return math.sqrt(2 * grown / (n * rho_squared) * math.log(math.sqrt(grown) / error))


class DifferenceSequence:
    """Difference of means of bits, members minus non-members: looked at while samples come, and with all of them.

    Parameters
    ----------
    level : float
        Chance that each end holds at all looks and in the end, ``(1 - level) / 2`` an end: one fifth of it is for what
        comes before the end, the rest for the end.
    low, high : float, bits
        Range of the values.

    Notes
    -----
    Before the end the upper end is certain: the means of both sides by betting (`MeanSequence`) within the range. A
    few that hold everything, seen or not, cannot make it too low, but each sample could have held the whole range, so
    that it lies at least some ``6 (high - low) / n`` above the mean. The lower end is the one of
    `asymptotic_difference`, or certain too on demand. In the end the interval is that of a full audit
    (`mean_difference`).
    """

    def __init__(self, *, level: float, low: float, high: float) -> None:
        check_level(level)
        self._level, self._range = level, (low, high)
        self._early = 1 - (1 - level) * EARLY_SHARE
        self._sequences = [MeanSequence(level=level_per_gate(self._early, 2), low=low, high=high) for _ in range(2)]
        self._sides = [np.empty(0), np.empty(0)]
        self._is_bounded = True

    def update(self, values: ArrayLike, is_member: ArrayLike) -> None:
        """Take more values, shape (n_samples,); after one outside the range nothing is certain before the end."""
        bits, member = finite_vector(values, "values"), np.asarray(is_member, dtype=np.bool_)
        low, high = self._range
        self._is_bounded = self._is_bounded and bool(((bits >= low) & (bits <= high)).all())
        for side, chosen in enumerate((bits[member], bits[~member])):
            self._sides[side] = np.concatenate([self._sides[side], chosen])
            if self._is_bounded:
                self._sequences[side].update(chosen)

    def early(self, *, most: float | None = None, certain: bool = False) -> Estimate:
        """Interval that holds at all looks before the end.

        Parameters
        ----------
        most : float, optional
            A limit: as long as an end cannot lie beyond it, the end is that of the range, which takes no time.
        certain : bool
            Whether the lower end has to be certain too.
        """
        x, y = self._sides
        counts = Counts(n_members=x.size, n_non_members=y.size)
        method = "confidence sequence: by betting above, asymptotic below"
        if not self._is_bounded:
            reason = "bits beyond the range of the texts were seen: all texts are needed"
            return Estimate.undefined(reason, level=self._level, method=method, **counts)
        if not x.size or not y.size:
            reason = "no member yet" if not x.size else "no non-member yet"
            return Estimate.undefined(reason, level=self._level, method=method, **counts)
        width = self._range[1] - self._range[0]
        low, high = -width, width
        if certain or most is None or self._may_be_below(most):
            ends = [one.estimate() for one in self._sequences]
            if any(one.low is None for one in ends):
                return Estimate.undefined(EMPTY, level=self._level, method=method, **counts)
            high = (ends[0].high or 0.0) - (ends[1].low or 0.0)
            if certain:
                low, method = (ends[0].low or 0.0) - (ends[1].high or 0.0), "confidence sequence by betting"
        if not certain and (most is None or self._may_be_above(most)):
            low = max(low, asymptotic_difference(x, y, level=self._early).low or low)
        found = _estimate(float(x.mean() - y.mean()), (low, high), self._level, method, counts)
        if found.value is None:
            return found
        return replace(found, unseen_below=unseen_below(np.arange(x.size), self._level))

    def final(self) -> Estimate:
        """Interval of a full audit, from all samples, at the error that looking early has left."""
        found = mean_difference(*self._sides, level=1 - (1 - self._level) * (1 - EARLY_SHARE))
        return replace(found, level=self._level, method=f"all texts, after looks at some: {found.method}", df=None)

    def _may_be_above(self, most: float) -> bool:
        """Whether the asymptotic lower end can lie above ``most``: no arm is shorter than the normal one."""
        x, y = self._sides
        if min(x.size, y.size) < ASYMPTOTIC_FROM:
            return False
        error = math.sqrt(float(x.var(ddof=1)) / x.size + float(y.var(ddof=1)) / y.size)
        return float(x.mean() - y.mean()) - _boundary(x.size + y.size, self._early) * error > most

    def _may_be_below(self, most: float) -> bool:
        """Whether betting can have refuted a difference of ``most`` by now: ``log(1 + x) <= x`` bounds what it won."""
        x, y = self._sides
        refuted = most + float(y.mean())
        won = x.size * (refuted - float(x.mean()))
        return won >= (self._range[1] - refuted) * math.log(4 / (1 - self._early))


def _estimate(value: float, ends: tuple[float, float], level: float, method: str, counts: Counts) -> Estimate:
    low, high = ends
    if low > high:
        return Estimate.undefined(EMPTY, level=level, method=method, **counts)
    return Estimate(value=min(max(value, low), high), low=low, high=high, level=level, method=method, **counts)
