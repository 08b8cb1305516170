"""The main job: from a configuration to an audit. Inputs, evidence, estimates, a document; no maths of its own."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np

from ..config import AuditConfig
from ..documents.prediction import PredictionBesideMeasurement
from ..documents.result import AttackResult, AuditResult, DataResult, MemorizationResult, RetrainedResult
from ..documents.salt import read_salt
from ..documents.sample_table import SampleTable
from ..engine.loading.adapters import count_adapter
from ..engine.loading.models import resolve_source
from ..engine.ranks import ALONE, Rank
from ..engine.scoring import ScoringProgress
from ..engine.signals import Collected, collect_signals, score_share
from ..estimates.grade import grade_signal
from ..estimates.prediction import check_stated_size, set_beside
from ..estimates.retrained import compare_with_retrained
from ..estimates.scores import score_samples
from ..laws.constants import Constants, read_constants
from .attack_choice import without_misaligned
from .earlier import Earlier
from .evidence import Evidence, gather
from .inputs import Inputs, read_inputs
from .parts import (
    combine_attacks,
    estimate_memorization,
    judge_soundness,
    measure_attacks,
    said_of_shadows,
    select_attack,
    who_is_at_risk,
)
from .provenance import describe_data, describe_run

__all__ = ["Audit", "audit", "help_audit"]

Watch = Callable[[ScoringProgress], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The document of an audit and its table of samples."""

    result: AuditResult
    samples: SampleTable


def audit(
    config: AuditConfig,
    *,
    scores_folder: Path,
    on_progress: Watch = None,
    rank: Rank = ALONE,
    replaces: Earlier | None = None,
) -> Audit:
    """Audit a target: what does it remember of its members, and who could tell?

    Parameters
    ----------
    config : AuditConfig
    scores_folder : Path
        The score store. A second audit of the same models and texts with this folder runs no model.
    on_progress : callable, optional
        Told of every batch scored.
    rank : Rank
        The first of several processes that share the work; the others call :func:`help_audit`.
    replaces : Earlier, optional
        An audit that this one will replace: it is refused if it is of another model or of other texts.

    Raises
    ------
    AuditError
        With one line: what was given, what is allowed, what to do.
    """
    started_at, started = datetime.now(UTC), monotonic()
    constants, salt, inputs = read_constants(config), read_salt(config.salt), read_inputs(config)
    _check_before_scoring(config, inputs, replaces)
    evidence = gather(
        inputs,
        scores_folder=scores_folder,
        on_progress=on_progress,
        rank=rank,
        check_target=None if replaces is None else replaces.refuse_other_model,
    )
    retrained = _score_retrained(evidence, scores_folder, on_progress, rank)

    rng = np.random.default_rng(config.seed)
    capacity = constants.capacity_for(evidence.collected.models[0].files.stored_dtype)
    soundness = judge_soundness(
        inputs,
        evidence.collected.models,
        evidence.collected.plan,
        evidence.compared,
        reference_bits=evidence.table.reference_bits,
        signed_bits=evidence.table.signed_bits,
        retrained=retrained,
    )
    memorization = estimate_memorization(evidence, capacity, rng, soundness=soundness)
    attacks = measure_attacks(evidence, rng)
    combination, risk = combine_attacks(evidence), who_is_at_risk(evidence)
    headline = next((one for one in attacks if one.attack == inputs.headline.label), None)
    data = describe_data(config, evidence.data, evidence.collected, evidence.table)
    missing = combination.undefined_reason if len(attacks) > 1 else None
    no_combination = [f"no combination of attacks: {missing}"] if missing else []
    result = AuditResult(
        provenance=describe_run(evidence.collected, started_at, monotonic() - started),
        config=asdict(config),
        data=data,
        soundness=soundness,
        memorization=memorization,
        attacks=attacks,
        selection=select_attack(evidence),
        combination=combination.result,
        risk=risk.result,
        grade=grade_signal(headline, risk.result, soundness=soundness),
        retrained=_compare_with_retrained(evidence, retrained),
        prediction=_prediction(evidence, config, constants, data, attacks, memorization),
        warnings=(
            *inputs.warnings,
            *said_of_shadows(evidence, len(config.references)),
            *capacity.warnings,
            *evidence.left_out,
            *no_combination,
            *evidence.collected.notes,
        ),
    )
    table = replace(evidence.table, posterior=risk.posterior)
    if salt is not None:
        result = salt.result(result)
        table = replace(table, text_sha256=tuple(map(salt.keyed, table.text_sha256)))
    return Audit(result=result, samples=table)


def help_audit(config: AuditConfig, *, scores_folder: Path, rank: Rank) -> None:
    """Score this process's share of an audit that the first process reports.

    Raises
    ------
    AuditError
        As :func:`audit` does.
    """
    inputs = read_inputs(config)
    for turn, its_rank in _turns(inputs.config, rank):
        score_share(turn, inputs.request, scores_folder=scores_folder, rank=its_rank)


def _check_before_scoring(config: AuditConfig, inputs: Inputs, replaces: Earlier | None) -> None:
    """Refuse what would only be found out after hours of scoring."""
    if replaces is not None:
        replaces.refuse_other_texts(config, inputs.data)
    check_stated_size(config, inputs.data.n_distinct("members"))
    if config.retrained is not None:
        resolve_source(config.retrained, trust_remote_code=config.trust_remote_code)


def _turns(config: AuditConfig, rank: Rank) -> list[tuple[AuditConfig, Rank]]:
    """List what is to be scored as the target: the target, and the retrained model if there is one."""
    turns = [(config, rank)]
    if config.retrained is not None:
        turns.append((replace(config, target=config.retrained), replace(rank, run=f"{rank.run}-retrained")))
    return turns


def _score_retrained(evidence: Evidence, scores_folder: Path, on_progress: Watch, rank: Rank) -> Collected | None:
    """Score the texts under a model that never saw the members, if there is one."""
    if evidence.config.retrained is None:
        return None
    retrained, its_rank = _turns(evidence.config, rank)[1]
    return collect_signals(
        retrained, evidence.inputs.request, scores_folder=scores_folder, on_progress=on_progress, rank=its_rank
    )


def _compare_with_retrained(evidence: Evidence, collected: Collected | None) -> RetrainedResult | None:
    """Set the target beside a model that never saw the members, if there is one."""
    config, ours = evidence.config, evidence.scores
    if collected is None:
        return None
    attacks, _ = without_misaligned(evidence.attacks, evidence.inputs.headline, aligned=collected.plan.aligned)
    theirs = score_samples(attacks, collected)
    return compare_with_retrained(
        target={attack.label: ours.attacks[attack.label] for attack in attacks},
        retrained=theirs.attacks,
        target_bits=ours.target_bits,
        retrained_bits=theirs.target_bits,
        is_member=evidence.data.is_member,
        groups=evidence.groups,
        headline=evidence.inputs.headline.label,
        margin=config.retrained_margin,
        level=config.confidence,
        path=str(config.retrained),
        weights_sha256=collected.models[0].files.weights_sha256,
    )


def _prediction(
    evidence: Evidence,
    config: AuditConfig,
    constants: Constants,
    data: DataResult,
    attacks: tuple[AttackResult, ...],
    memorization: MemorizationResult | None,
) -> PredictionBesideMeasurement | None:
    """Set prediction beside measurement, if the size of the training set is stated."""
    target = evidence.collected.models[0].files
    return set_beside(
        config,
        constants,
        n_parameters=target.n_parameters,
        n_trained=None if target.spec.adapter is None else count_adapter(target.spec.adapter),
        n_vocabulary=target.n_vocabulary,
        stored_dtype=target.stored_dtype,
        n_members_cut=data.members.n_cut,
        table=evidence.table,
        attacks=attacks,
        memorization=memorization,
    )
