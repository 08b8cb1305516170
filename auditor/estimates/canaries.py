"""Canaries, tier by tier: how far up those that were trained on rank among the others, and what that proves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..documents.canaries import CanaryTier
from ..documents.epsilon import Condition
from ..documents.estimate import Estimate
from ..stats.exposure import exposure
from ..stats.intervals import mean
from ..stats.metrics import auc
from .epsilon import Claim, Coined, bound_by_coins

__all__ = ["measure_tiers"]

_NO_SIDES = "no canary of this tier was put in, or none was left out"


def measure_tiers(
    names: Sequence[str],
    scores: NDArray[np.float64],
    is_in: NDArray[np.bool_],
    copies: NDArray[np.int64],
    *,
    claim: Claim,
    attack: str,
    conditions: Sequence[Condition],
) -> tuple[CanaryTier, ...]:
    """Measure every tier of copies by itself.

    Parameters
    ----------
    names : sequence of str, length n_canaries
        What the coins were thrown by.
    scores : ndarray of float64, shape (n_canaries,)
        Higher for what is remembered better.
    is_in : ndarray of bool, shape (n_canaries,)
        The coins.
    copies : ndarray of int64, shape (n_canaries,)
        The tiers.
    claim : Claim
    attack : str
        What the scores are.
    conditions : sequence of Condition

    Notes
    -----
    Exposures rank a canary among all that were left out, whatever tier these would have been of: none of them was
    trained on, and all were made alike. Coins are guessed within a tier, as the bound is one for its copies.
    """
    out = scores[~is_in]
    tiers = []
    for k in np.unique(copies).tolist():
        ours = copies == k
        inside = scores[ours & is_in]
        ranked = exposure(inside, out) if inside.size and out.size else np.empty(0)
        coined = Coined(
            names=[name for name, chosen in zip(names, ours, strict=True) if chosen],
            scores=scores[ours],
            is_in=is_in[ours],
            copies=k,
        )
        tiers.append(
            CanaryTier(
                copies=k,
                n_in=int(inside.size),
                n_out=int((ours & ~is_in).sum()),
                exposure=_mean(ranked, claim.confidence),
                median_exposure=float(np.median(ranked)) if ranked.size else None,
                n_first=int((ranked == np.log2(out.size)).sum()) if ranked.size else 0,
                auc=_auc(inside, out, claim.confidence),
                epsilon=bound_by_coins(
                    coined,
                    claim=claim,
                    attack=attack,
                    unit="one canary" if k == 1 else f"one of {k} copies of a canary, which are a group",
                    conditions=conditions,
                ),
            )
        )
    return tuple(tiers)


def _mean(ranked: NDArray[np.float64], level: float) -> Estimate:
    if not ranked.size:
        return Estimate.undefined(_NO_SIDES, level=level)
    return replace(mean(ranked, level=level), unseen_below=None)  # a rank has a largest value


def _auc(inside: NDArray[np.float64], out: NDArray[np.float64], level: float) -> Estimate:
    if not inside.size or not out.size:
        return Estimate.undefined(_NO_SIDES, level=level)
    is_member = np.repeat([True, False], [inside.size, out.size])
    return auc(np.concatenate([inside, out]), is_member, level=level)
