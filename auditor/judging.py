"""How well does each attack do, what is left of it beyond what the texts alone tell, and who is at risk?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from attacks import Attack

from .blind import BlindBaseline
from .config import AuditConfig
from .data import SampleSet
from .memorization import separate_references
from .rarity import count_copies, text_rarity
from .results import AttackResult
from .risk import Risk, assess_risk
from .samples import SampleTable
from .scores import SampleScores
from .selection import auc_p_values
from .stats.adjusted import length_strata, residualised_auc, stratified_auc
from .stats.metrics import evaluate

__all__ = ["attack_results", "with_risk"]

Groups = Sequence[str | None] | None

_BLOCK = 1024
"""Texts held at once."""


def attack_results(
    attacks: Sequence[Attack],
    config: AuditConfig,
    table: SampleTable,
    groups: Groups,
    blind: BlindBaseline | None,
    rng: np.random.Generator,
) -> tuple[AttackResult, ...]:
    """Measure every attack, with p-values adjusted for all of them.

    Parameters
    ----------
    groups : sequence of (str or None), length n_samples, or None
        Clusters.
    blind : BlindBaseline or None
        What the texts alone tell; None without non-members. The AUC is then also given for the part of each score that
        neither this nor the length explains, and among texts of about equal length.
    rng : numpy.random.Generator
        Of the bootstrap of clusters.
    """
    p_values = auc_p_values(table.scores, table.is_member, groups)
    return tuple(
        _attack_result(attack, config, table, groups, blind, p_values[attack.label], rng) for attack in attacks
    )


def _attack_result(
    attack: Attack,
    config: AuditConfig,
    table: SampleTable,
    groups: Groups,
    blind: BlindBaseline | None,
    p_values: tuple[float | None, float | None],
    rng: np.random.Generator,
) -> AttackResult:
    """Measure one attack."""
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


def with_risk(
    table: SampleTable,
    *,
    config: AuditConfig,
    data: SampleSet,
    texts: Sequence[str],
    text_keys: Sequence[str],
    scores: SampleScores,
    groups: Groups,
    headline: str,
    blind: BlindBaseline | None,
) -> tuple[SampleTable, Risk]:
    """Tell who is at risk, and put what was found of each sample into its row.

    Parameters
    ----------
    texts : sequence of str, length n_samples
        As scored; read a block at a time.
    text_keys : sequence of str, length n_samples
        Equal for equal texts, as scored.
    headline : str
        Label of the attack whose scores become probabilities of membership.
    """

    def blocks() -> Iterator[Sequence[str]]:
        return (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))

    stated = np.array([1 if copies is None else copies for copies in data.copies], dtype=np.int64)
    n_copies = count_copies(text_keys, table.is_member, stated)
    rarity = text_rarity(blocks, table.is_member)
    each = scores.each_reference_bits
    separate = [] if each is None else [bits - table.target_bits for bits in separate_references(each)]
    risk = assess_risk(
        table.scores[headline],
        table.is_member,
        headline=headline,
        clusters=groups,
        text_keys=text_keys,
        units=data.groups,
        n_bytes=table.n_bytes,
        n_copies=n_copies,
        rarity=rarity,
        signed_bits=table.signed_bits,
        single_bits=separate,
        level=config.confidence,
        seed=config.seed,
    )
    blind_score = None if blind is None else blind.score
    return replace(table, posterior=risk.posterior, blind_score=blind_score, rarity=rarity, n_copies=n_copies), risk
