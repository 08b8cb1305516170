"""The main job: from a configuration to an audit. Inputs, evidence, estimates, a document; no maths of its own."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np

from ..canaries.auditing import audit_canaries, canary_request
from ..config import AuditConfig
from ..documents.canaries import CanaryResult
from ..documents.extraction import ExtractionResult
from ..documents.prediction import PredictionBesideMeasurement
from ..documents.result import AttackResult, AuditResult, DataResult, MemorizationResult, RetrainedResult
from ..documents.salt import read_salt
from ..documents.sample_table import SampleTable
from ..engine.greedy import writes_suffixes
from ..engine.loading.adapters import count_adapter, trained_tensors
from ..engine.loading.configs import capacity_notes
from ..engine.loading.models import ModelFiles, resolve_source
from ..engine.ranks import ALONE, Rank
from ..engine.scoring import ScoringProgress
from ..engine.signals import Collected, collect_signals, score_share
from ..estimates.extraction import LEAST_TOKENS, confirmed
from ..estimates.grade import grade_signal
from ..estimates.prediction import check_stated_size, set_beside
from ..estimates.retrained import compare_with_retrained
from ..estimates.scores import score_samples
from ..in_memory import NOTHING, InMemory
from ..laws.constants import Constants, read_constants
from ..phases import AUDIT, OnPhase, Phase, unwatched
from .attack_choice import without_misaligned
from .coins import bound_epsilon, why_no_bound
from .drawing import draw_near, draw_tempered
from .earlier import Earlier
from .evidence import Evidence, gather
from .inputs import Inputs, read_inputs
from .parts import (
    combine_attacks,
    estimate_memorization,
    judge_soundness,
    measure_attacks,
    measure_extraction,
    said_of_shadows,
    select_attack,
    who_is_at_risk,
)
from .provenance import describe_data, describe_run
from .told_samples import tell_of_samples

__all__ = ["Audit", "audit", "help_audit"]

Watch = Callable[[ScoringProgress], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The document of an audit, its table of samples, and the signals that both were made of."""

    result: AuditResult
    samples: SampleTable
    collected: Collected | None = None


def audit(
    config: AuditConfig,
    *,
    scores_folder: Path,
    on_progress: Watch = None,
    on_phase: OnPhase = unwatched,
    rank: Rank = ALONE,
    replaces: Earlier | None = None,
    given: InMemory = NOTHING,
) -> Audit:
    """Audit a target: what does it remember of its members, and who could tell?

    Parameters
    ----------
    config : AuditConfig
    scores_folder : Path
        The score store. A second audit of the same models and texts with this folder runs no model.
    on_progress : callable, optional
        Told of every batch scored.
    on_phase : callable, optional
        Told of every phase when it begins, and of what is counted in it.
    rank : Rank
        The first of several processes that share the work; the others call :func:`help_audit`.
    replaces : Earlier, optional
        An audit that this one will replace: it is refused if it is of another model or of other texts.
    given : InMemory
        Models, texts and attacks in memory, for which the configuration has words.

    Raises
    ------
    AuditError
        With one line: what was given, what is allowed, what to do.
    """
    started_at, started = datetime.now(UTC), monotonic()
    on_phase(Phase(label=AUDIT[1]))
    constants, salt, inputs = read_constants(config), read_salt(config.salt), read_inputs(config, given)
    _check_before_scoring(config, inputs, replaces)
    on_phase(Phase(label=AUDIT[2]))
    request = replace(inputs.request, check_target=None if replaces is None else replaces.refuse_other_model)
    collected = collect_signals(inputs.config, request, scores_folder=scores_folder, on_progress=on_progress, rank=rank)
    retrained = _score_retrained(inputs, scores_folder, on_progress, rank)
    canaries = _look_for_canaries(config, scores_folder, on_progress, rank)
    evidence = gather(inputs, collected, on_phase=on_phase)

    on_phase(Phase(label=AUDIT[5]))
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
    combination, risk = combine_attacks(evidence), who_is_at_risk(evidence)
    memorization = estimate_memorization(evidence, capacity, rng, soundness=soundness, stand_out=risk.result.stand_out)
    memorization = tell_of_samples(memorization, evidence, risk.posterior)
    attacks = measure_attacks(evidence, rng)
    drawn = _confirmed(measure_extraction(evidence), evidence, on_progress)
    drawn = draw_near(draw_tempered(drawn, evidence, on_progress), evidence, on_progress)
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
        extraction=drawn,
        grade=grade_signal(headline, risk.result, soundness=soundness),
        retrained=_compare_with_retrained(evidence, retrained),
        prediction=_prediction(evidence, config, constants, data, attacks, memorization),
        canaries=canaries,
        epsilon=bound_epsilon(evidence, soundness),
        warnings=(
            *inputs.warnings,
            *said_of_shadows(evidence, len(config.references)),
            *capacity.warnings,
            *capacity_notes(evidence.collected.models[0].files.config),
            *evidence.left_out,
            *no_combination,
            *_nothing_to_extract(evidence, drawn),
            *why_no_bound(inputs),
            *evidence.collected.notes,
        ),
    )
    table = replace(evidence.table, posterior=risk.posterior)
    if salt is not None:
        result = salt.result(result)
        table = replace(table, text_sha256=tuple(map(salt.keyed, table.text_sha256)))
    return Audit(result=result, samples=table, collected=evidence.collected)


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
    if config.canaries is not None:
        score_share(config, canary_request(config), scores_folder=scores_folder, rank=_of_canaries(rank))


def _check_before_scoring(config: AuditConfig, inputs: Inputs, replaces: Earlier | None) -> None:
    """Refuse what would only be found out after hours of scoring."""
    if replaces is not None:
        replaces.refuse_other_texts(config, inputs.data)
    check_stated_size(config, inputs.data.n_distinct("members"))
    if config.canaries is not None:
        canary_request(config)
    if config.retrained is not None and config.retrained.path not in inputs.given.models:
        resolve_source(config.retrained, trust_remote_code=config.trust_remote_code)


def _turns(config: AuditConfig, rank: Rank) -> list[tuple[AuditConfig, Rank]]:
    """List what is to be scored as the target: the target, and the retrained model if there is one."""
    turns = [(config, rank)]
    if config.retrained is not None:
        turns.append((replace(config, target=config.retrained), replace(rank, run=f"{rank.run}-retrained")))
    return turns


def _of_canaries(rank: Rank) -> Rank:
    """Take the same place among processes for another run."""
    return replace(rank, run=f"{rank.run}-canaries")


def _look_for_canaries(config: AuditConfig, scores_folder: Path, on_progress: Watch, rank: Rank) -> CanaryResult | None:
    """Look for the canaries in the target, if there are some."""
    if config.canaries is None:
        return None
    return audit_canaries(
        config, Path(config.canaries), scores_folder=scores_folder, on_progress=on_progress, rank=_of_canaries(rank)
    )


def _score_retrained(inputs: Inputs, scores_folder: Path, on_progress: Watch, rank: Rank) -> Collected | None:
    """Score the texts under a model that never saw the members, if there is one."""
    if inputs.config.retrained is None:
        return None
    retrained, its_rank = _turns(inputs.config, rank)[1]
    return collect_signals(
        retrained, inputs.request, scores_folder=scores_folder, on_progress=on_progress, rank=its_rank
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


def _count_trained(target: ModelFiles) -> int | None:
    """Count the parameters of the target's adapter; None if it has none."""
    if target.spec.adapter is None:
        return None
    if target.held is not None:
        return sum(int(tensor.numel()) for tensor in trained_tensors(target.held.model).values())
    return count_adapter(target.spec.adapter)


def _confirmed(drawn: ExtractionResult | None, evidence: Evidence, on_progress: Watch) -> ExtractionResult | None:
    """Let the target write some of the texts that it writes by its scores, if that was asked for."""
    config, found = evidence.config, evidence.scores.extraction
    if config.confirm_extraction is None or drawn is None or found is None or evidence.cut is None:
        return drawn
    claims = np.flatnonzero(found.is_greedy)
    n = min(len(claims), config.confirm_extraction)
    chosen = np.sort(np.random.default_rng(config.seed).permutation(claims)[:n])
    wrote = np.zeros(0, dtype=np.bool_)
    if n:
        wrote = writes_suffixes(
            evidence.collected.plan, chosen.tolist(), config, evidence.cut, found.suffix_tokens, on_progress=on_progress
        )
    is_member = evidence.table.is_member[chosen]
    return replace(drawn, confirmed=confirmed(len(claims), wrote, is_member, config.confidence))


def _nothing_to_extract(evidence: Evidence, drawn: ExtractionResult | None) -> list[str]:
    """Say why there is no extraction though it was asked for."""
    if drawn is not None or evidence.cut is None:
        return []
    return [
        f"no extraction: every member has fewer than {2 * LEAST_TOKENS} scored tokens, too few for two halves of "
        f"{LEAST_TOKENS}"
    ]


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
        n_trained=_count_trained(target),
        n_vocabulary=target.n_vocabulary,
        stored_dtype=target.stored_dtype,
        n_members_cut=data.members.n_cut,
        table=evidence.table,
        attacks=attacks,
        memorization=memorization,
    )
