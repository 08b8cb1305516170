"""What does choosing among attacks cost? P-values adjusted for all of them, and the best one judged on other texts."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from .documents.estimate import Estimate
from .documents.result import FoldChoice, SelectionResult
from .stats.clusters import Array, Groups, influence_spread, kish_size
from .stats.crossfit import best_of_folds, folded_auc, folded_auc_interval, group_folds, too_few_for_folds
from .stats.metrics import FEW_MISRANKED, auc, placements
from .stats.paired import holm
from .stats.roc import score_sides

__all__ = ["auc_p_value", "auc_p_values", "select"]


def select(
    scores: Mapping[str, Array],
    is_member: NDArray[np.bool_],
    groups: Groups = None,
    *,
    headline: str,
    declared_by: Literal["config", "default"],
    level: float,
    seed: int,
) -> SelectionResult:
    """Say what "the best attack" is worth, chosen on some texts and measured on others.

    Parameters
    ----------
    scores : mapping of str to ndarray of shape (n_samples,)
        Scores by label of the attack, higher for members; at least one attack.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; a cluster is never split.
    headline : str
        Label of the attack declared before looking.
    declared_by : {"config", "default"}
    level : float
        Confidence level.
    seed : int
        Of the folds; the same seed deals the same folds to `combine`.

    Returns
    -------
    SelectionResult
        Of a single attack ``best_auc`` is its AUC: nothing was chosen. Undefined, and no choices, below ten
        independent samples a side.

    Raises
    ------
    ValueError
        If there is no attack, the headline is not among them, or a score is not finite.

    Notes
    -----
    Each of five folds is scored with the attack that has the best AUC on the other four. Scores of different attacks
    cannot be compared, so a member is set against the non-members of its own fold only (`folded_auc`). The largest of
    twenty AUCs of pure noise from 100 texts a side is .57 on average; this is .50.
    """
    if headline not in scores:
        raise ValueError(f"the headline attack must be one of {', '.join(map(repr, scores))}, got {headline!r}")
    labels = list(scores)
    problem = too_few_for_folds(is_member, groups)
    chosen: tuple[FoldChoice, ...] = ()
    if problem is not None:
        n_members = int(is_member.sum())
        best = Estimate.undefined(problem, level=level, n_members=n_members, n_non_members=is_member.size - n_members)
    else:
        fold = group_folds(is_member, groups, rng=np.random.default_rng(seed))
        picks, held_out = best_of_folds(np.stack([scores[label] for label in labels]), is_member, fold)
        chosen = tuple(FoldChoice(attack=labels[i], n_folds=n) for i, n in Counter(picks).most_common())
        best = folded_auc_interval(folded_auc(held_out, is_member, fold), is_member, fold, level=level, groups=groups)
    if len(labels) == 1:
        best = auc(scores[labels[0]], is_member, level=level, groups=groups)
    return SelectionResult(
        headline=headline, declared_by=declared_by, n_attacks=len(labels), best_auc=best, chosen=chosen
    )


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
    above, below = placements(sides)
    area, m, n = float(above.mean()), kish_size(sides.cluster_members), kish_size(sides.cluster_non_members)
    influences = (above - area) / above.size, (below - area) / below.size
    spread = influence_spread(*influences, sides.cluster_members, sides.cluster_non_members)
    newcombe = float(stats.norm.sf((area - 0.5) / math.sqrt((m + n + 1) / (12 * m * n))))
    if spread.variance == 0 or not 0 < area < 1:
        return newcombe
    error = math.sqrt(spread.variance) / (area * (1 - area))
    delong = float(stats.t.sf(math.log(area / (1 - area)) / error, spread.df))
    return max(delong, newcombe) if min(area, 1 - area) * min(m, n) < FEW_MISRANKED else delong
