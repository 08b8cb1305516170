"""Secrets ranked among their fills: exposure by rank and by a fitted distribution, and what a reference leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.secrets import RankedSecret
from ..stats.exposure import exact_null_mean, fitted_exposure, null_mean
from ..stats.intervals import clopper_pearson, mean
from ..stats.p_values import holm

__all__ = ["EXACT", "SAMPLED", "Scored", "exposure_of_rank", "mean_of", "rank_secret", "with_verdicts"]

EXACT = "exact: rank over the whole space, in which nothing is sampled, so that there is no interval"
SAMPLED = "rank among random fills; Clopper-Pearson interval of the share of the space that ranks as high"

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A secret and its fills as the models find them.

    Parameters
    ----------
    id, kind : str
    n_characters, n_unknown : int
    space_size : int
        Strings of its form; the exact number if all were scored.
    exact : bool
        Whether the fills are the whole space.
    target : ndarray of float64, shape (1 + n_fills,), nats
        Log-probabilities, the secret's first, then those of its fills in random order.
    reference : ndarray of the same shape, or None
        The same under the references, mean over them.
    """

    id: str
    kind: str
    n_characters: int
    n_unknown: int
    space_size: int
    exact: bool
    target: Scores
    reference: Scores | None


def rank_secret(scored: Scored, *, level: float) -> RankedSecret:
    """Rank one secret among its fills; the correction for several secrets is still to come.

    Notes
    -----
    Over a whole space of N members exposure is ``log2 N - log2 rank``, Carlini et al.'s definition 4; among n random
    fills it is ``log2 n - log2(1 + fills before it)``. The p-values are ``rank / N`` and ``(1 + before) / (1 + n)``.

    References
    ----------
    .. [1] Carlini et al., *The secret sharer*, 2019, arXiv:1802.08232, section 4.
    """
    target, reference = scored.target, scored.reference
    ranked, n_before = _exposure(target, scored, level)
    n = target.size - 1
    beyond = None if reference is None else _exposure(target - reference, scored, level)
    bits = -target[0] / math.log(2)
    reference_bits = None if reference is None else -float(reference[0]) / math.log(2)
    try:
        fit, why_not = fitted_exposure(float(target[0]), target[1:]), None
    except ValueError as error:
        fit, why_not = None, str(error)
    p_value = (1 + (n_before if beyond is None else beyond[1])) / (1 + n)
    return RankedSecret(
        id=scored.id,
        kind=scored.kind,
        n_characters=scored.n_characters,
        n_unknown=scored.n_unknown,
        space_bits=math.log2(scored.space_size),
        exact=scored.exact,
        n_ranked=n,
        n_before=n_before,
        exposure=ranked,
        null_exposure=exact_null_mean(n + 1) if scored.exact else null_mean(n),
        largest_exposure=math.log2(n + 1 if scored.exact else n),
        fitted_exposure=None if fit is None else fit.bits,
        extrapolated_bits=None if fit is None else max(0.0, fit.bits - math.log2(n + 1 if scored.exact else n)),
        fit_distance=None if fit is None else fit.distance,
        not_fitted_reason=why_not,
        target_bits=float(bits),
        reference_bits=reference_bits,
        bits_beyond_reference=None if reference_bits is None else float(reference_bits - bits),
        reference_exposure=None if reference is None else _exposure(reference, scored, level)[0],
        exposure_beyond_reference=None if beyond is None else beyond[0],
        p_value=p_value,
        p_value_holm=p_value,
        held=p_value <= 1 - level,
    )


def with_verdicts(secrets: Sequence[RankedSecret], *, level: float) -> tuple[RankedSecret, ...]:
    """Correct the p-values for the number of secrets, say which are held, and put the highest first."""
    adjusted = holm([one.p_value for one in secrets])
    found = [
        replace(one, p_value_holm=float(p or 0.0), held=(p or 0.0) <= 1 - level)
        for one, p in zip(secrets, adjusted, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: (one.p_value, -(one.fitted_exposure or 0.0))))


def mean_of(values: Sequence[float | None], *, level: float) -> Estimate:
    """Return the mean over secrets; undefined where a reference was needed and there is none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Estimate.undefined("no reference was given", level=level)
    return replace(mean(known, level=level), unseen_below=None)


def _exposure(scores: Scores, scored: Scored, level: float) -> tuple[Estimate, int]:
    """Return the exposure of the first score among the others, and how many of these are at least as high."""
    n, before = scores.size - 1, int((scores[1:] >= scores[0]).sum())
    space_bits = math.log2(scored.space_size)
    return exposure_of_rank(before, n, exact=scored.exact, space_bits=space_bits, level=level), before


def exposure_of_rank(n_before: int, n: int, *, exact: bool, space_bits: float, level: float) -> Estimate:
    """Return the exposure of a secret before which so many of n fills stand.

    Parameters
    ----------
    n_before, n : int
    exact : bool
        Whether the fills are the whole space.
    space_bits : float
        Base-2 logarithm of the size of the space: the most that it can be.
    level : float
        Of the interval of random fills.
    """
    if exact:
        value = math.log2(n + 1) - math.log2(1 + n_before)
        low, high = value, value
    else:
        value = math.log2(n) - math.log2(1 + n_before)
        least, most = clopper_pearson(n_before, n, level)
        high = max(value, space_bits if least == 0 else min(space_bits, -math.log2(least)))
        low = min(value, -math.log2(most))
    method = EXACT if exact else SAMPLED
    return Estimate(value=value, low=low, high=high, level=level, method=method, n_members=1, n_non_members=n)
