"""Selection among attacks: the declared one, and the best one judged on other texts than it was chosen on."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.result import FoldChoice, SelectionResult
from ..stats.clusters import Array, Groups
from ..stats.crossfit import best_of_folds, folded_auc, folded_auc_interval, group_folds, too_few_for_folds
from ..stats.metrics import auc

__all__ = ["select"]


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
