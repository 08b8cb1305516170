"""The retrained model: whether the target differs from one that never saw the members; both directions count.

Unlearning is judged against retraining: a target on which an attack does better than on the retrained model still
holds something of the members, and one on which it does worse (an AUC far below one half) gives them away just as
well, by what is missing.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.result import Finding, RetrainedAttack, RetrainedResult
from ..stats import intervals
from ..stats.change import auc_change
from ..stats.clusters import Groups, pick_groups
from ..stats.metrics import auc
from ..stats.p_values import holm

__all__ = ["compare_with_retrained"]

Scores = NDArray[np.float64]


def compare_with_retrained(
    *,
    target: Mapping[str, Scores],
    retrained: Mapping[str, Scores],
    target_bits: Scores,
    retrained_bits: Scores,
    is_member: NDArray[np.bool_],
    groups: Groups,
    headline: str,
    margin: float,
    level: float,
    path: str,
    weights_sha256: str,
) -> RetrainedResult:
    """Compare every attack on the target with the same attack on a model retrained without the members.

    Many parameters: the same figures of two models, and what a finding is.

    Parameters
    ----------
    target, retrained : mapping of str to ndarray of float64, shape (n_samples,)
        Scores by attack label, higher for members, of the same samples.
    target_bits, retrained_bits : ndarray of float64, shape (n_samples,), bits
        Code length of each text under either model.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, or None
        Clusters.
    headline : str
        Label of the attack that decides first.
    margin : float
        Change of AUC within which the two count as the same.
    level : float
        Of the intervals; findings hold at ``1 - level`` over all attacks together (Holm).
    path, weights_sha256 : str
        Of the retrained model.

    Returns
    -------
    RetrainedResult
        ``finding`` is the headline attack's if that is one, else that of the attack with the smallest p-value among
        those that found something, else the headline's ``indistinguishable`` or ``undecided``.

    Notes
    -----
    One retrained model stands for all: another seed would give another one. Intervals cover the sampling of texts,
    not of training runs. Thudi et al. (2022, arXiv:2110.11891) on why retraining is the standard at all; an AUC near 0
    has been reported as success elsewhere.
    """
    labels = list(target)
    areas = [[auc(scores[a], is_member, level=level, groups=groups) for scores in (target, retrained)] for a in labels]
    changes = [auc_change(retrained[a], target[a], is_member, level=level, groups=groups) for a in labels]
    adjusted = holm([change.p_value for change in changes])
    attacks = tuple(
        RetrainedAttack(
            attack=label,
            target_auc=ours,
            retrained_auc=theirs,
            change=change.estimate,
            p_value=change.p_value,
            p_value_holm=p,
            finding=_finding(change.estimate, p, margin=margin, error=1 - level),
        )
        for label, (ours, theirs), change, p in zip(labels, areas, changes, adjusted, strict=True)
    )
    return RetrainedResult(
        path=path,
        weights_sha256=weights_sha256,
        margin=margin,
        finding=_overall(attacks, headline),
        net_bits_per_member=_net_bits(retrained_bits - target_bits, is_member, groups, level),
        attacks=attacks,
    )


def _finding(change: Estimate, p_value_holm: float | None, *, margin: float, error: float) -> Finding:
    """Judge one change: the same within the margin, or a difference that holds over all attacks, or neither."""
    if change.value is None or change.low is None or change.high is None or p_value_holm is None:
        return "undecided"
    if -margin < change.low and change.high < margin:
        return "indistinguishable"
    if p_value_holm <= error:
        return "residual" if change.value > 0 else "over_erased"
    return "undecided"


def _overall(attacks: Sequence[RetrainedAttack], headline: str) -> Finding:
    """Let the headline attack decide, or else the surest of those that found something."""
    first = next(attack for attack in attacks if attack.attack == headline)
    if first.finding in ("residual", "over_erased"):
        return first.finding
    found = [attack for attack in attacks if attack.finding in ("residual", "over_erased")]
    surest = min(found, key=lambda attack: attack.p_value or 0.0, default=first)
    return surest.finding


def _net_bits(held: Scores, is_member: NDArray[np.bool_], groups: Groups, level: float) -> Estimate:
    """Bits that the target holds of a member beyond the retrained model, less the same of a non-member."""
    members, non_members = held[is_member], held[~is_member]
    if not len(non_members):
        return Estimate.undefined("no non-members were given", level=level, n_members=len(members))
    ours, theirs = pick_groups(groups, is_member), pick_groups(groups, ~is_member)
    return intervals.mean_difference(members, non_members, level=level, groups_x=ours, groups_y=theirs)
