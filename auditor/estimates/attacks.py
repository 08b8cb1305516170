"""Attack results: every attack measured, with p-values adjusted for all of them."""

from collections.abc import Sequence

import numpy as np

from attacks import Attack

from ..documents.result import AttackResult
from ..documents.sample_table import SampleTable
from ..stats.adjusted import length_strata, residualised_auc, stratified_auc
from ..stats.clusters import Groups
from ..stats.metrics import evaluate
from ..stats.p_values import auc_p_values

__all__ = ["attack_results"]


def attack_results(
    attacks: Sequence[Attack],
    table: SampleTable,
    groups: Groups,
    *,
    fpr_targets: Sequence[float],
    level: float,
    seed: int,
    rng: np.random.Generator,
) -> tuple[AttackResult, ...]:
    """Measure every attack.

    With ``blind_score`` in the table the AUC is also given for the part of each score that neither the looks of the
    texts nor their length explain, and among texts of about equal length.

    Parameters
    ----------
    attacks : sequence of Attack
        Those whose scores are in the table.
    table : SampleTable
    groups : sequence of (str or None), length n_samples, or None
        Clusters.
    fpr_targets : sequence of float
    level : float
        Of every interval, each on its own.
    seed : int
        Of the folds of the residualised AUC.
    rng : numpy.random.Generator
        Of the bootstrap of clusters.
    """
    p_values = auc_p_values(table.scores, table.is_member, groups)
    results = []
    for attack in attacks:
        scores, (p_value, p_value_holm) = table.scores[attack.label], p_values[attack.label]
        measured = evaluate(scores, table.is_member, fpr_targets=fpr_targets, level=level, groups=groups, rng=rng)
        residualised = within_strata = None
        if table.blind_score is not None:
            looks = np.column_stack([table.blind_score, np.log(table.n_bytes)])  # (n_samples, 2)
            residualised = residualised_auc(scores, looks, table.is_member, level=level, groups=groups, seed=seed)
            strata = length_strata(table.n_bytes, table.is_member)
            within_strata = stratified_auc(scores, strata, table.is_member, level=level, groups=groups)
        results.append(
            AttackResult(
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
                p_value=p_value,
                p_value_holm=p_value_holm,
                auc_residualised=residualised,
                auc_within_strata=within_strata,
            )
        )
    return tuple(results)
