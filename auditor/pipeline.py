"""The main job: from a configuration to an audit. Inputs, signals, scores, estimates; no maths of its own."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np

from attacks import Attack

from .blind import BlindBaseline, blind_baseline
from .choosing import needs_of, without_misaligned
from .combination import combine
from .config import AuditConfig
from .engine.loading.adapters import count_adapter
from .engine.loading.models import resolve_source
from .engine.passes import Collected, collect_signals, score_share
from .engine.ranks import ALONE, Rank
from .engine.scoring import ScoringProgress
from .expectation import Constants, check_stated_size, read_constants, set_beside
from .inputs import Inputs, read_inputs
from .judging import attack_results, with_risk
from .memorization import SampleBits, dataset_memorization, top_samples
from .overlap import Overlap, check_overlap, find_overlap, near_duplicate_groups
from .predictions import PredictionBesideMeasurement
from .provenance import describe_run
from .results import (
    AttackResult,
    AuditResult,
    DataResult,
    Estimate,
    MemorizationResult,
    RetrainedResult,
    SoundnessResult,
)
from .retraining import compare_with_retrained
from .samples import SampleTable
from .scores import SampleScores, score_samples
from .selection import select
from .soundness import ModelFacts, check_soundness
from .splits import check_manifest
from .tables import describe_data, sample_table

__all__ = ["Audit", "audit", "help_audit"]

_Groups = Sequence[str | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The document of an audit and its table of samples."""

    result: AuditResult
    samples: SampleTable


def audit(
    config: AuditConfig,
    *,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None = None,
    rank: Rank = ALONE,
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

    Raises
    ------
    AuditError
        With one line: what was given, what is allowed, what to do.
    """
    started_at, started = datetime.now(UTC), monotonic()
    constants = read_constants(config)
    inputs = read_inputs(config)
    data, headline = inputs.data, inputs.headline
    check_stated_size(config, data.n_distinct("members"))
    if config.retrained is not None:
        resolve_source(config.retrained, trust_remote_code=config.trust_remote_code)  # before hours of scoring
    collected = _collect(inputs, inputs.config, scores_folder, on_progress, rank)
    attacks, left_out = without_misaligned(inputs.attacks, headline, aligned=collected.plan.aligned)
    scores = score_samples(attacks, collected)
    table = sample_table(config, data, collected, scores)

    texts = collected.plan.texts
    overlap = find_overlap(texts, table.is_member, collected.plan.text_keys)
    groups = near_duplicate_groups(overlap, data.groups)
    blind = blind_baseline(texts, table.is_member, groups, seed=config.seed) if config.non_members else None
    soundness = _soundness(inputs, collected, table, groups, blind, overlap)

    rng = np.random.default_rng(config.seed)
    memorization = _memorization(config, constants, collected, table, groups, scores.bits, rng) if scores.bits else None
    attacked = attack_results(attacks, config, table, groups, blind, rng)
    selection = select(
        scores.attacks, table.is_member, groups,
        headline=headline.label, declared_by=headline.declared_by, level=config.confidence, seed=config.seed,
    )  # fmt: skip
    combination = combine(
        scores.attacks, table.is_member, groups,
        fpr_targets=config.fpr_targets, level=config.confidence, seed=config.seed,
    )  # fmt: skip
    table, risk = with_risk(
        table, config=config, data=data, texts=texts, text_keys=collected.plan.text_keys, scores=scores, groups=groups,
        headline=headline.label, blind=blind,
    )  # fmt: skip
    if combination.undefined_reason is not None:
        left_out.append(f"no combination of attacks: {combination.undefined_reason}")
    described = describe_data(config, data, collected, table)
    result = AuditResult(
        provenance=describe_run(collected, started_at, monotonic() - started),
        config=asdict(config),
        data=described,
        soundness=soundness,
        memorization=memorization,
        attacks=attacked,
        selection=selection,
        combination=combination.result,
        risk=risk.result,
        retrained=_retrained(inputs, attacks, scores, groups, scores_folder, on_progress, rank),
        prediction=_prediction(config, constants, collected, described, table, attacked, memorization),
        warnings=(*inputs.warnings, *left_out, *collected.notes),
    )
    return Audit(result=result, samples=table)


def help_audit(config: AuditConfig, *, scores_folder: Path, rank: Rank) -> None:
    """Score this process's share of an audit that the first process reports.

    Raises
    ------
    AuditError
        As :func:`audit` does.
    """
    inputs = read_inputs(config)
    for model_config, its_rank in _trained_twice(inputs, rank):
        score_share(
            model_config,
            sample_ids=inputs.data.ids,
            texts=inputs.data.texts,
            needs=needs_of(inputs.attacks, config),
            scores_folder=scores_folder,
            shots=inputs.shots,
            member_shots=inputs.member_shots,
            rank=its_rank,
        )


def _collect(
    inputs: Inputs,
    config: AuditConfig,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None,
    rank: Rank,
) -> Collected:
    """Collect the signals of all samples under the target that a configuration names."""
    return collect_signals(
        config,
        sample_ids=inputs.data.ids,
        texts=inputs.data.texts,
        needs=needs_of(inputs.attacks, inputs.config),
        scores_folder=scores_folder,
        shots=inputs.shots,
        member_shots=inputs.member_shots,
        frequency_texts=inputs.frequency_texts,
        seen=inputs.seen,
        on_progress=on_progress,
        rank=rank,
    )


def _trained_twice(inputs: Inputs, rank: Rank) -> list[tuple[AuditConfig, Rank]]:
    """List what is to be scored as the target: the target, and the retrained model if there is one."""
    config = inputs.config
    rounds = [(config, rank)]
    if config.retrained is not None:
        rounds.append((replace(config, target=config.retrained), replace(rank, run=f"{rank.run}-retrained")))
    return rounds


def _retrained(
    inputs: Inputs,
    attacks: Sequence[Attack],
    scores: SampleScores,
    groups: _Groups,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None,
    rank: Rank,
) -> RetrainedResult | None:
    """Set the target beside a model that never saw the members, if there is one."""
    config = inputs.config
    if config.retrained is None:
        return None
    retrained, its_rank = _trained_twice(inputs, rank)[1]
    collected = _collect(inputs, retrained, scores_folder, on_progress, its_rank)
    theirs = score_samples(attacks, collected)
    return compare_with_retrained(
        target=scores.attacks,
        retrained=theirs.attacks,
        target_bits=scores.target_bits,
        retrained_bits=theirs.target_bits,
        is_member=inputs.data.is_member,
        groups=groups,
        headline=inputs.headline.label,
        margin=config.retrained_margin,
        level=config.confidence,
        path=str(config.retrained),
        weights_sha256=collected.models[0].files.weights_sha256,
    )


def _prediction(
    config: AuditConfig,
    constants: Constants,
    collected: Collected,
    data: DataResult,
    table: SampleTable,
    attacks: Sequence[AttackResult],
    memorization: MemorizationResult | None,
) -> PredictionBesideMeasurement | None:
    """Set prediction beside measurement, if the size of the training set is stated."""
    target = collected.models[0].files
    return set_beside(
        config,
        constants,
        n_parameters=target.n_parameters,
        n_trained=None if target.spec.adapter is None else count_adapter(target.spec.adapter),
        stored_dtype=target.stored_dtype,
        n_members_cut=data.members.n_cut,
        table=table,
        attacks=attacks,
        memorization=memorization,
    )


def _memorization(
    config: AuditConfig,
    constants: Constants,
    collected: Collected,
    table: SampleTable,
    groups: _Groups,
    bits: SampleBits,
    rng: np.random.Generator,
) -> MemorizationResult:
    """Estimate the bits of the dataset and rank the samples."""
    target = collected.models[0].files
    ranked = top_samples(
        bits,
        is_member=table.is_member,
        sample_ids=table.sample_id,
        text_sha256=table.text_sha256,
        n_tokens=table.n_tokens,
        texts=table.text,
    )
    found = dataset_memorization(
        bits,
        table.is_member,
        groups=groups,
        n_tokens=table.n_tokens,
        n_bytes=table.n_bytes,
        n_references=len(config.references),
        n_parameters=target.n_parameters,
        capacity=constants.capacity_for(target.stored_dtype),
        level=config.confidence,
        rng=rng,
        samples=ranked,
    )
    if target.spec.adapter is None:
        return found
    unknown = "the capacity of an adapter on a trained base is not known; capacity_bits is the base's"
    return replace(found, capacity_used=Estimate.undefined(unknown, level=config.confidence))


def _soundness(
    inputs: Inputs,
    collected: Collected,
    table: SampleTable,
    groups: _Groups,
    blind: BlindBaseline | None,
    overlap: Overlap,
) -> SoundnessResult:
    """Run the soundness checks."""
    config = inputs.config
    facts = [
        ModelFacts(
            weights_sha256=model.files.weights_sha256,
            stored_dtype=model.files.stored_dtype,
            dtype=model.key.dtype,
            quantization=(model.files.quantization or {}).get("quant_method"),
        )
        for model in collected.models
    ]
    found = check_overlap(overlap, table.is_member, table.sample_id)
    if config.split_manifest is not None:
        found.append(check_manifest(Path(config.split_manifest), inputs.data))
    return check_soundness(
        is_member=table.is_member,
        groups=groups,
        n_bytes=table.n_bytes,
        text_keys=collected.plan.text_keys,
        unread=collected.plan.unread,
        reference_bits=table.reference_bits,
        signed_bits=table.signed_bits,
        target=facts[0],
        references=facts[1:],
        aligned=collected.plan.aligned,
        fpr_targets=config.fpr_targets,
        blind=blind,
        extra=found,
    )
