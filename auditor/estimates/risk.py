"""Risk: the probability of membership of every sample, the worst members, and where they are."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import CountAtFpr, Estimate
from ..documents.result import RiskResult, StabilityResult, StandOutResult, TailResult
from ..stats.calibration import calibration
from ..stats.clusters import Array, Groups, pick_groups
from ..stats.correlation import spearman
from ..stats.crossfit import group_folds, too_few_for_folds
from ..stats.intervals import finite_vector
from ..stats.posterior import cross_fitted_posterior
from ..stats.standing_out import n_beyond, n_identified
from ..stats.tails import LEAST_IN_TAIL, tail_mean, tail_quantile
from .risk_groups import Scored, break_down

__all__ = ["Risk", "assess_risk", "count_stand_out", "rarity_correlation", "stability"]

CERTAIN = 0.9
TAIL_SHARES = (0.01, 0.05, 0.10)
WORST_SHARE = 0.10
STAND_OUT_BITS = 100.0
"""Bits that count as held for certain: no text is 2^100 times as probable by chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Risk:
    """The risk, and the probability of membership of each sample (None with ``result.undefined_reason``)."""

    result: RiskResult
    posterior: Array | None


def assess_risk(
    scores: Array,
    is_member: NDArray[np.bool_],
    *,
    headline: str,
    clusters: Sequence[str | None] | None,
    text_keys: Sequence[Hashable],
    units: Sequence[str | None],
    n_bytes: NDArray[np.integer],
    n_copies: NDArray[np.integer],
    rarity: Array | None = None,
    scripts: Sequence[str] | None = None,
    signed_bits: Array | None = None,
    single_bits: Sequence[Array] = (),
    fpr_targets: Sequence[float] = (0.01,),
    level: float,
    seed: int,
) -> Risk:
    """Tell who is at risk, from the headline attack and the bits.

    Many parameters: every property of a member that its risk is looked at by.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Of the headline attack, higher for members.
    is_member : ndarray of bool, shape (n_samples,)
    headline : str
        Label of the attack.
    clusters : sequence of (str or None), length n_samples, or None
        Samples that are not independent (`with_copies`).
    text_keys : sequence, length n_samples
        Equal for equal texts.
    units : sequence of (str or None), length n_samples
        Group that the data name for each sample.
    n_bytes, n_copies : ndarray of int, shape (n_samples,)
        Size of each text, and its copies among the members (`count_copies`).
    rarity : ndarray of shape (n_samples,), optional
        Mean TF-IDF weight of the text's words (`text_rarity`).
    scripts : sequence of str, length n_samples, optional
        Unicode script of each text (`main_script`).
    signed_bits : ndarray of shape (n_samples,), optional, bits
        ``log2 p(text | target) - log2 p(text | reference)``.
    single_bits : sequence of ndarray of shape (n_samples,), bits
        The same against each reference alone.
    fpr_targets : sequence of float
        False-positive rates at which members are counted as identified.
    level : float
        Confidence level of every interval.
    seed : int
        Of the folds.

    Returns
    -------
    Risk
        A posterior of each sample comes from folds that did not train on it (`fit_posterior_map`); ``members_above``
        and ``non_members_above`` are None where there is none. No tails without bits.

    Raises
    ------
    ValueError
        If a score or the bits are not finite.
    """
    values = finite_vector(scores, "scores")
    problem, posterior, calibrated = too_few_for_folds(is_member, clusters), None, None
    if problem is None:
        fold = group_folds(is_member, clusters, rng=np.random.default_rng(seed))
        posterior = cross_fitted_posterior(values, is_member, fold)
        calibrated = calibration(posterior, is_member, level=level, groups=clusters)
    samples = Scored(
        scores=values,
        is_member=is_member,
        clusters=clusters,
        text_keys=text_keys,
        signed_bits=signed_bits,
        posterior=posterior,
        level=level,
    )
    result = RiskResult(
        posterior_attack=headline,
        calibration=calibrated,
        members_above=_above(posterior, is_member),
        non_members_above=_above(posterior, ~is_member),
        tails=_tails(samples),
        breakdowns=break_down(samples, units=units, n_bytes=n_bytes, rarity=rarity, n_copies=n_copies, scripts=scripts),
        stability=stability([bits[is_member] for bits in single_bits]),
        undefined_reason=problem,
        stand_out=count_stand_out(
            values, is_member, signed_bits=signed_bits, clusters=clusters, fpr_targets=fpr_targets, level=level
        ),
        rarity_correlation=rarity_correlation(samples, rarity),
    )
    return Risk(result=result, posterior=posterior)


def rarity_correlation(samples: Scored, rarity: Array | None) -> Estimate | None:
    """Correlate the bits of the members that have any with the rarity of their words; None without either.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 4: among texts with bits, those of rare words hold more.
    """
    if rarity is None or samples.signed_bits is None:
        return None
    here = samples.is_member & (samples.signed_bits > 0)
    groups = pick_groups(samples.clusters, here)
    return spearman(rarity[here], samples.signed_bits[here], level=samples.level, groups=groups)


def count_stand_out(
    scores: ArrayLike,
    is_member: NDArray[np.bool_],
    *,
    signed_bits: Array | None,
    clusters: Groups,
    fpr_targets: Sequence[float],
    level: float,
) -> StandOutResult:
    """Count the members that stand out from the non-members.

    Parameters
    ----------
    scores : array_like of shape (n_samples,)
        Of the headline attack, higher for members.
    is_member : ndarray of bool, shape (n_samples,)
    signed_bits : ndarray of shape (n_samples,), bits, or None
        None without a reference.
    clusters : sequence of (str or None), length n_samples, or None
    fpr_targets : sequence of float
        False-positive rates at which members are identified.
    level : float
        Of every interval (`auditor.stats.standing_out`).
    """
    values, bits = finite_vector(scores, "scores"), signed_bits
    ours, theirs = pick_groups(clusters, is_member), pick_groups(clusters, ~is_member)
    sides = values[is_member], values[~is_member]
    beyond = n_beyond(*sides, level=level, groups_members=ours, groups_non_members=theirs)
    above_bits = None
    if bits is not None:
        above_bits = n_beyond(
            bits[is_member],
            bits[~is_member],
            threshold=STAND_OUT_BITS,
            level=level,
            groups_members=ours,
            groups_non_members=theirs,
        )
    return StandOutResult(
        n_beyond_every_non_member=beyond,
        threshold_bits=STAND_OUT_BITS,
        n_above_bits=above_bits,
        n_identified=tuple(
            CountAtFpr.at(fpr, n_identified(*sides, fpr=fpr, level=level, groups_non_members=theirs))
            for fpr in fpr_targets
        ),
    )


def _above(posterior: Array | None, side: NDArray[np.bool_]) -> int | None:
    return None if posterior is None else int((posterior[side] > CERTAIN).sum())


def _tails(samples: Scored) -> tuple[TailResult, ...]:
    """Measure the worst 1, 5 and 10 % of the members by bits."""
    if samples.signed_bits is None:
        return ()
    members = np.flatnonzero(samples.is_member).tolist()
    bits = samples.signed_bits[samples.is_member]
    groups = None if samples.clusters is None else [samples.clusters[index] for index in members]
    return tuple(
        TailResult(
            share=share,
            mean_bits=tail_mean(bits, share, level=samples.level, groups=groups),
            quantile_bits=tail_quantile(bits, share, level=samples.level, groups=groups),
        )
        for share in TAIL_SHARES
    )


def stability(member_bits: Sequence[Array]) -> StabilityResult | None:
    """Say whether other references would name the same members as most at risk.

    Parameters
    ----------
    member_bits : sequence of ndarray of shape (n_members,), bits
        Against each reference alone.

    Returns
    -------
    StabilityResult or None
        None below two references or 50 members, or if the bits against one of them do not vary.

    Examples
    --------
    >>> found = stability([np.arange(50.0), np.arange(50.0)[::-1]])
    >>> round(found.rank_correlation, 6), found.same_worst
    (-1.0, 0.0)
    """
    if len(member_bits) < 2:
        return None
    n_worst = math.floor(WORST_SHARE * member_bits[0].size + 1e-9)
    if n_worst < LEAST_IN_TAIL or any(np.ptp(bits) == 0 for bits in member_bits):
        return None
    worst = [set(np.argsort(-bits, kind="stable")[:n_worst].tolist()) for bits in member_bits]
    correlations = [float(scipy.stats.spearmanr(a, b).statistic) for a, b in combinations(member_bits, 2)]
    overlaps = [len(a & b) / n_worst for a, b in combinations(worst, 2)]
    return StabilityResult(
        n_references=len(member_bits),
        rank_correlation=float(np.mean(correlations)),
        rank_correlation_lowest=min(correlations),
        worst_share=WORST_SHARE,
        same_worst=float(np.mean(overlaps)),
        same_worst_lowest=min(overlaps),
    )
