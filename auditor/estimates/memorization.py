"""Memorization: the bits that the target holds of the texts beyond the references, of a member and in all."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate, Histogram
from ..documents.result import MemorizationResult, SoundnessResult, StandOutResult, TopSample
from ..laws.capacity import BitsPerParameter
from ..laws.membership import auc_from_separation
from ..stats import bounds, intervals
from ..stats.clusters import Groups, pick_groups
from .code_lengths import Bits, SampleBits

__all__ = ["dataset_memorization", "top_samples", "why_not_certified"]

EXCHANGEABLE = ("blind_baseline", "length", "reference_alone")
"""Checks of whether more than training tells the sides apart."""
N_TOP_SAMPLES = 20
N_HISTOGRAM_BINS = 40
NO_NON_MEMBERS = "no non-members were given, so nothing says how much of this is noise or domain adaptation"


def dataset_memorization(
    bits: SampleBits,
    is_member: NDArray[np.bool_],
    *,
    groups: Groups,
    n_tokens: NDArray[np.int64],
    n_bytes: NDArray[np.int64],
    n_references: int,
    n_parameters: int,
    capacity: BitsPerParameter,
    level: float,
    rng: np.random.Generator,
    samples: tuple[TopSample, ...],
    not_certified: str | None = None,
    stand_out: StandOutResult | None = None,
) -> MemorizationResult:
    """Estimate the memorization of the dataset from the bits of its samples.

    Many parameters: bits, sides, sizes and clusters of the samples, and the model's size.

    Beside the paper's clipped sum stands the debiased clip, ``mean_members max(0, b) - mean_non_members
    max(0, b)``: noise is rectified by the clip, and a target that knows the domain better than the reference
    codes unseen texts better too, so the clipped sum is positive with no memorization at all.

    Parameters
    ----------
    bits : SampleBits
        Of members and non-members.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, or None
        Clusters; intervals then come from the variance between clusters.
    n_tokens, n_bytes : ndarray of int, shape (n_samples,)
        Scored tokens of the target, and bytes of the scored texts.
    n_parameters : int
    capacity : BitsPerParameter
    level : float
        Of every interval. Intervals cover the sampling of texts, not of training runs.
    rng : numpy.random.Generator
        Of the split behind the certified bound.
    samples : tuple of TopSample
        The most memorized ones, see :func:`top_samples`.
    not_certified : str, optional
        Why nothing may be certified, see :func:`why_not_certified`.
    stand_out : StandOutResult, optional
        Members who stand out, counted (:func:`~auditor.estimates.risk.count_stand_out`), to be stated here as well.
    """
    members, non_members = bits.signed[is_member], bits.signed[~is_member]
    clipped, clipped_non = bits.memorized[is_member], bits.memorized[~is_member]
    ours, theirs = pick_groups(groups, is_member), pick_groups(groups, ~is_member)
    calibrated = len(non_members) > 0
    n_members = len(members)

    def difference(x: Bits, y: Bits) -> Estimate:
        if not calibrated:
            return Estimate.undefined(NO_NON_MEMBERS, level=level, n_members=n_members)
        return intervals.mean_difference(x, y, level=level, groups_x=ours, groups_y=theirs)

    clipped_mean = intervals.mean(clipped, level=level, groups=ours)
    debiased = difference(clipped, clipped_non)
    held = debiased if calibrated else replace(clipped_mean, method=f"{clipped_mean.method}, clipped, uncalibrated")
    capacity_bits = capacity.value * n_parameters
    auc, assumption = _implied_auc(members, non_members, level=level, groups=(ours, theirs))
    return MemorizationResult(
        calibrated=calibrated,
        n_references=n_references,
        mean_bits_members=intervals.mean(members, level=level, groups=ours),
        mean_bits_non_members=_non_member_mean(non_members, level, theirs),
        clipped_bits_per_member=clipped_mean,
        clipped_bits_per_non_member=_non_member_mean(clipped_non, level, theirs),
        debiased_bits_per_member=debiased,
        net_bits_per_member=difference(members, non_members),
        information_lower_bound_per_member=_certified(
            members, non_members, level, rng, (ours, theirs), not_certified if calibrated else NO_NON_MEMBERS
        ),
        clipped_total_bits=clipped_mean.scaled(n_members, method=f"{clipped_mean.method}, times n members"),
        debiased_total_bits=debiased.scaled(n_members, method=f"{debiased.method}, times n members"),
        bits_per_token=held.scaled(n_members / float(n_tokens[is_member].sum())),
        bits_per_byte=held.scaled(n_members / float(n_bytes[is_member].sum())),
        bits_per_parameter=capacity.value,
        bits_per_parameter_source=capacity.source,
        n_parameters=n_parameters,
        capacity_bits=capacity_bits,
        capacity_used=debiased.scaled(n_members / capacity_bits),
        auc_from_bits=auc,
        auc_from_bits_assumption=assumption,
        signed_bits_histogram=_histogram(members, non_members),
        top_samples=samples,
        n_beyond_every_non_member=None if stand_out is None else stand_out.n_beyond_every_non_member,
        n_above_bits=None if stand_out is None else stand_out.n_above_bits,
    )


def top_samples(
    bits: SampleBits,
    *,
    is_member: NDArray[np.bool_],
    sample_ids: Sequence[str],
    text_sha256: Sequence[str],
    n_tokens: NDArray[np.int64],
    texts: Sequence[str] | None,
) -> tuple[TopSample, ...]:
    """Return the members of which the target holds most, most first; texts only if they are passed in."""
    order = [i for i in np.argsort(-bits.signed, kind="stable") if is_member[i]][:N_TOP_SAMPLES]
    return tuple(
        TopSample(
            sample_id=sample_ids[i],
            text_sha256=text_sha256[i],
            is_member=True,
            n_tokens=int(n_tokens[i]),
            signed_bits=float(bits.signed[i]),
            memorized_bits=float(bits.memorized[i]),
            text=None if texts is None else texts[i],
        )
        for i in order
    )


def _non_member_mean(values: Bits, level: float, groups: Groups) -> Estimate:
    """Mean over the non-members, if there are any."""
    if not len(values):
        return Estimate.undefined("no non-members were given", level=level)
    return intervals.mean(values, level=level, groups=groups, n_as="non_members")


def why_not_certified(soundness: SoundnessResult | None) -> str | None:
    """Say why nothing may be certified: the sides must be exchangeable but for training, and a check says otherwise.

    Where looks, lengths or the reference tell the sides apart, so may bits, without any memory.
    """
    checks = () if soundness is None else soundness.checks
    failed = [f"{one.name} ({one.verdict})" for one in checks if one.name in EXCHANGEABLE and one.verdict != "pass"]
    if not failed:
        return None
    return f"nothing is certified where more than training may tell the sides apart: {', '.join(failed)}"


def _certified(
    members: Bits,
    non_members: Bits,
    level: float,
    rng: np.random.Generator,
    groups: tuple[Groups, Groups],
    not_certified: str | None,
) -> Estimate:
    """Bits of an average member that no amount of noise could fake, unless nothing may be certified."""
    if not_certified is not None:
        return Estimate.undefined(not_certified, level=level, n_members=len(members), n_non_members=len(non_members))
    return bounds.information_lower_bound(
        members, non_members, level=level, rng=rng, groups_members=groups[0], groups_non_members=groups[1]
    )


def _implied_auc(
    members: Bits, non_members: Bits, *, level: float, groups: tuple[Groups, Groups]
) -> tuple[Estimate, str]:
    """AUC that the bits imply for Gaussian scores, and what has to be assumed for it."""
    if len(non_members):
        d_prime = intervals.standardized_difference(
            members, non_members, level=level, groups_x=groups[0], groups_y=groups[1]
        )
        assumption = "if signed bits were normal on both sides"
    else:
        spread = float(members.std())
        if len(members) < 2 or spread == 0:
            reason = "fewer than two members, or all with the same bits"
            return Estimate.undefined(reason, level=level, n_members=len(members)), "none"
        standard = (members - members.mean()) / spread
        ratio = float(members.mean()) / spread
        influence = standard - ratio / 2 * (standard**2 - 1)
        d_prime = replace(intervals.mean(ratio + influence, level=level, groups=groups[0]), unseen_below=None)
        assumption = (
            "A LOWER BOUND ONLY IF the reference codes unseen texts at least as well as the target does, and "
            "their bits spread like the members'; a fine-tuned target breaks this (domain adaptation)"
        )
    return d_prime.mapped(auc_from_separation, method=f"Phi(d'/sqrt 2); d': {d_prime.method}"), assumption


def _histogram(members: Bits, non_members: Bits) -> Histogram:
    """Count signed bits in shared bins over their whole range."""
    both = np.concatenate([members, non_members])
    n_bins = min(N_HISTOGRAM_BINS, max(5, math.isqrt(len(both)) * 2))
    edges = np.histogram_bin_edges(both, bins=n_bins)
    return Histogram(
        unit="bits",
        edges=tuple(float(edge) for edge in edges),
        members=tuple(int(count) for count in np.histogram(members, edges)[0]),
        non_members=tuple(int(count) for count in np.histogram(non_members, edges)[0]),
    )
