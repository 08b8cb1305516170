"""Attack results: every attack measured, with p-values adjusted for all of them."""

import numpy as np

from attacks import Attack

from ..audit.evidence import Evidence
from ..documents.result import AttackResult
from ..stats.adjusted import length_strata, residualised_auc, stratified_auc
from ..stats.metrics import evaluate
from ..stats.p_values import auc_p_values

__all__ = [
    "attack_results",
]


def attack_results(evidence: Evidence, rng: np.random.Generator) -> tuple[AttackResult, ...]:
    """Measure every attack, with p-values adjusted for all of them.

    With non-members the AUC is also given for the part of each score that neither the looks of the texts nor their
    length explain, and among texts of about equal length.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the bootstrap of clusters.
    """
    p_values = auc_p_values(evidence.table.scores, evidence.table.is_member, evidence.groups)
    return tuple(_attack_result(attack, evidence, p_values[attack.label], rng) for attack in evidence.attacks)


def _attack_result(
    attack: Attack, evidence: Evidence, p_values: tuple[float | None, float | None], rng: np.random.Generator
) -> AttackResult:
    """Measure one attack."""
    config, table, groups, blind = evidence.config, evidence.table, evidence.groups, evidence.blind
    scores, is_member, level = table.scores[attack.label], table.is_member, config.confidence
    measured = evaluate(scores, is_member, fpr_targets=config.fpr_targets, level=level, groups=groups, rng=rng)
    residualised = within_strata = None
    if blind is not None and blind.score is not None:
        looks = np.column_stack([blind.score, np.log(table.n_bytes)])
        residualised = residualised_auc(scores, looks, is_member, level=level, groups=groups, seed=config.seed)
        strata = length_strata(table.n_bytes, is_member)
        within_strata = stratified_auc(scores, strata, is_member, level=level, groups=groups)
    return AttackResult(
        attack=attack.label,
        name=attack.name,
        summary=attack.summary,
        params=attack.params(),
        paper=attack.paper,
        needs=tuple(sorted(attack.needs)),
        auc=measured.auc,
        advantage=measured.advantage,
        tpr_at_fpr=measured.tpr_at_fpr,
        f1_equal_error=measured.f1_equal_error,
        inverted=measured.inverted,
        roc=measured.roc,
        p_value=p_values[0],
        p_value_holm=p_values[1],
        auc_residualised=residualised,
        auc_within_strata=within_strata,
    )
