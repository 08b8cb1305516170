"""Figures of bare scores: AUC, rates, advantage and F1, each with its interval; what every attack's paper needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..documents.estimate import Estimate
from ..errors import DataError
from ..stats.metrics import Metrics
from ..stats.metrics import evaluate as measure

__all__ = ["Evaluation", "evaluate"]

_NAMES = ("member_scores", "non_member_scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Metrics):
    """What scores of members and non-members show: each figure with its interval, how it was made, and its n.

    ``auc``, ``advantage`` (largest TPR - FPR), ``tpr_at_fpr`` (one for each rate), ``f1_equal_error`` (F1 where both
    errors are equal), ``inverted`` (the whole interval of the AUC lies below 0.5), and the curve ``roc``.
    """

    def __repr__(self) -> str:
        rates = [(f"TPR at {rate.fpr:g} FPR", rate) for rate in self.tpr_at_fpr]
        rows = [("AUC", self.auc), *rates, ("advantage", self.advantage), ("F1", self.f1_equal_error)]
        sides = f"{self.auc.n_members} members, {self.auc.n_non_members} non-members"
        return "\n".join([f"<Evaluation of {sides}", *(f"  {name}: {_told(one)}" for name, one in rows)]) + ">"


def evaluate(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    *,
    groups: "tuple[Sequence[Any], Sequence[Any]] | None" = None,
    fpr: Sequence[float] = (0.001, 0.01, 0.05),
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Measure scores of an attack, whoever made them.

    Parameters
    ----------
    member_scores, non_member_scores : array_like of shape (n,)
        Finite; higher means more likely a member. The sign is never flipped.
    groups : pair of sequences, optional
        Which unit (a document, a person) each member and each non-member comes from, ``None`` for one of its own:
        texts of one unit are not independent, and intervals are wider for it.
    fpr : sequence of float
        False-positive rates in (0, 1] at which the true-positive rate is given: the largest one whose false-positive
        rate does not exceed it, without interpolation.
    confidence : float
        Level of every interval, each on its own.
    seed : int
        Of the bootstrap of groups.

    Returns
    -------
    Evaluation
        A figure that cannot be given has no value, and says why.

    Raises
    ------
    DataError
        If scores are not vectors of finite numbers, groups do not fit, or a rate or the level is out of range.

    Examples
    --------
    >>> import auditor
    >>> auditor.evaluate([3.0, 2.0, 1.0], [0.0, -1.0, 2.0]).auc.value  # 7.5 of 9 pairs
    0.8333333333333334
    """
    scores = [_vector(name, side) for name, side in zip(_NAMES, (member_scores, non_member_scores), strict=True)]
    clusters: list[str | None] | None = None
    if groups is not None:
        if not isinstance(groups, tuple | list) or [len(side) for side in groups] != [len(side) for side in scores]:
            raise DataError(
                "groups is a pair of sequences, the groups of the members and those of the non-members, each as long "
                "as its scores"
            )
        clusters = [None if one is None else str(one) for side in groups for one in side]
    try:
        found = measure(
            np.concatenate(scores),
            np.repeat([True, False], [len(side) for side in scores]),
            fpr_targets=sorted({float(rate) for rate in fpr}),
            level=confidence,
            groups=clusters,
            rng=np.random.default_rng(seed),
        )
    except (ValueError, TypeError) as error:
        raise DataError(f"these scores cannot be evaluated: {error}") from error
    return Evaluation(
        auc=found.auc,
        advantage=found.advantage,
        tpr_at_fpr=found.tpr_at_fpr,
        f1_equal_error=found.f1_equal_error,
        inverted=found.inverted,
        roc=found.roc,
    )


def _vector(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    """Return scores as a vector of finite numbers, or say what they are instead."""
    try:
        vector = np.asarray(scores, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} must be numbers, one a text") from error
    if vector.ndim != 1 or not np.isfinite(vector).all():
        n_bad = int((~np.isfinite(vector)).sum())
        what = f"{n_bad} of {vector.size} are not finite" if vector.ndim == 1 else f"got the shape {vector.shape}"
        raise DataError(f"{name} must be a vector of finite numbers, one a text; {what}")
    return vector


def _told(one: Estimate) -> str:
    if one.value is None:
        return f"not defined: {one.undefined_reason}"
    return f"{one.value:.4g} [{one.low:.4g}, {one.high:.4g}]"
