"""The main job: from a configuration to an audit. Data, signals, scores, estimates; no maths of its own."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np

from attacks import BUILTIN, Attack, Need, get_attack

from .config import AuditConfig
from .data import SampleSet, load_samples, load_texts
from .engine.loading.adapters import count_adapter
from .engine.passes import Collected, collect_signals, score_share
from .engine.ranks import ALONE, Rank
from .engine.scoring import ScoringProgress
from .errors import ConfigError
from .expectation import Constants, check_stated_size, read_constants, set_beside
from .memorization import SampleBits, dataset_memorization, top_samples
from .predictions import PredictionBesideMeasurement
from .provenance import describe_run
from .results import (
    AttackResult,
    AuditResult,
    DataResult,
    Estimate,
    MemorizationResult,
    SideData,
    SoundnessResult,
)
from .samples import SampleTable
from .scores import SampleScores, score_samples
from .soundness import ModelFacts, check_soundness
from .stats.clusters import with_copies
from .stats.metrics import evaluate

__all__ = ["Audit", "audit", "choose_attacks", "help_audit"]

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
    attacks, warnings = choose_attacks(config)
    constants = read_constants(config)
    data = load_samples(config.members, config.non_members)
    check_stated_size(config, data.n_distinct("members"))
    if config.non_members is None:
        warnings.append("no non-members were given: bits and rankings only, no AUC; totals are uncalibrated")
    shots, skipped = _shots(config, data)
    warnings += [f"shots: {note}" for note in skipped]
    collected = collect_signals(
        config,
        sample_ids=data.ids,
        texts=data.texts,
        needs=_needs(attacks),
        scores_folder=scores_folder,
        shots=shots,
        on_progress=on_progress,
        rank=rank,
    )
    scores = score_samples(attacks, collected)
    table = _sample_table(config, data, collected, scores)
    texts = collected.plan.text_keys
    groups = with_copies(data.groups, texts)
    rng = np.random.default_rng(config.seed)
    memorization = _memorization(config, constants, collected, table, groups, scores.bits, rng) if scores.bits else None
    attacked = tuple(_attack_result(attack, config, table, groups, rng) for attack in attacks)
    described = _data_result(config, data, collected, table)
    result = AuditResult(
        provenance=describe_run(collected, started_at, monotonic() - started),
        config=asdict(config),
        data=described,
        soundness=_soundness(config, collected, table, groups, texts),
        memorization=memorization,
        attacks=attacked,
        prediction=_prediction(config, constants, collected, described, table, attacked, memorization),
        warnings=(*warnings, *collected.notes),
    )
    return Audit(result=result, samples=table)


def help_audit(config: AuditConfig, *, scores_folder: Path, rank: Rank) -> None:
    """Score this process's share of an audit that the first process reports.

    Raises
    ------
    AuditError
        As :func:`audit` does.
    """
    attacks, _ = choose_attacks(config)
    data = load_samples(config.members, config.non_members)
    score_share(
        config,
        sample_ids=data.ids,
        texts=data.texts,
        needs=_needs(attacks),
        scores_folder=scores_folder,
        shots=_shots(config, data)[0],
        rank=rank,
    )


def choose_attacks(config: AuditConfig) -> tuple[list[Attack], list[str]]:
    """Build the attacks asked for, or every built-in one that the inputs allow; say which were left out.

    Raises
    ------
    ConfigError
        For an unknown attack or parameter, one named twice, or one whose needs are not met.
    """
    if not config.attacks:
        chosen, left_out = [], []
        for attack in (get_attack(name) for name in BUILTIN):
            if Need.SHOTS in attack.needs and config.shots is None:
                continue  # an offer of its own input, not a gap in an audit
            if lacking := _lacking(attack, config):
                left_out.append(f"attack {attack.name!r} was left out: it needs {lacking}")
            else:
                chosen.append(attack)
        return chosen, left_out
    named: dict[str, Attack] = {}
    for spec in config.attacks:
        try:
            attack = get_attack(spec.name, spec.params)
        except (LookupError, ValueError) as error:
            raise ConfigError(f"--attack: {error.args[0]}") from error
        if attack.label in named:
            raise ConfigError(f"--attack {attack.label} was given twice")
        if lacking := _lacking(attack, config):
            raise ConfigError(f"--attack {attack.label} needs {lacking}")
        named[attack.label] = attack
    return list(named.values()), []


def _lacking(attack: Attack, config: AuditConfig) -> str:
    """Say what an attack needs that was not given; empty if it has all."""
    if Need.REFERENCE in attack.needs and not config.references:
        return "a reference model (--reference)"
    if Need.SHOTS in attack.needs and config.shots is None:
        return "non-members of its own to put before the texts (--shots)"
    return ""


def _shots(config: AuditConfig, data: SampleSet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the texts that go before every text, and what was left out while reading them.

    An evaluated text among them would recognise itself.
    """
    if config.shots is None:
        return (), ()
    shots, notes = load_texts(config.shots)
    evaluated = set(data.text_sha256)
    shared = sum(hashlib.sha256(text.encode()).hexdigest() in evaluated for text in shots)
    if shared:
        raise ConfigError(
            f"--shots: {shared} of {len(shots)} texts are among the members or non-members; shots that are evaluated "
            "too fake an AUC: take other texts"
        )
    return shots, notes


def _needs(attacks: Sequence[Attack]) -> frozenset[Need]:
    """Union of what attacks need."""
    return frozenset[Need]().union(*(attack.needs for attack in attacks))


def _attack_result(
    attack: Attack, config: AuditConfig, table: SampleTable, groups: _Groups, rng: np.random.Generator
) -> AttackResult:
    """Measure one attack."""
    measured = evaluate(
        table.scores[attack.label],
        table.is_member,
        fpr_targets=config.fpr_targets,
        level=config.confidence,
        groups=groups,
        rng=rng,
    )
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
    )


def _sample_table(
    config: AuditConfig,
    data: SampleSet,
    collected: Collected,
    scores: SampleScores,
) -> SampleTable:
    """Collect the row of every sample."""
    plan, bits = collected.plan, scores.bits
    return SampleTable(
        sample_id=data.ids,
        text_sha256=data.text_sha256,
        is_member=data.is_member,
        group=data.groups,
        n_tokens=plan.passes[0].n_scored,
        n_bytes=plan.n_bytes,
        target_bits=scores.target_bits,
        reference_bits=None if bits is None else bits.reference,
        signed_bits=None if bits is None else bits.signed,
        memorized_bits=None if bits is None else bits.memorized,
        scores=scores.attacks,
        text=tuple(plan.texts) if config.include_text else None,
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
    config: AuditConfig, collected: Collected, table: SampleTable, groups: _Groups, texts: Sequence[str]
) -> SoundnessResult:
    """Run the soundness checks."""
    facts = [
        ModelFacts(weights_sha256=model.files.weights_sha256, stored_dtype=model.files.stored_dtype)
        for model in collected.models
    ]
    return check_soundness(
        is_member=table.is_member,
        groups=groups,
        n_bytes=table.n_bytes,
        text_keys=texts,
        unread=collected.plan.unread,
        reference_bits=table.reference_bits,
        signed_bits=table.signed_bits,
        target=facts[0],
        references=facts[1:],
        aligned=collected.plan.aligned,
        smallest_fpr=min(config.fpr_targets),
    )


def _data_result(config: AuditConfig, data: SampleSet, collected: Collected, table: SampleTable) -> DataResult:
    """Describe the texts of both sides and what was cut."""
    windows = [model.encoder.window for model in collected.models if model.encoder.window is not None]

    def side(name: Literal["members", "non_members"], path: str) -> SideData:
        here = table.is_member == (name == "members")
        cut = (data.text_bytes - table.n_bytes)[here]
        return SideData(
            path=path,
            n_samples=int(here.sum()),
            n_groups=data.n_groups(name),
            n_bytes=int(table.n_bytes[here].sum()),
            n_tokens=int(table.n_tokens[here].sum()),
            sha256=data.sha256(name),
            n_cut=int((cut > 0).sum()),
            n_bytes_cut=int(cut.sum()),
            n_windowed=int(collected.plan.windowed[here].sum()),
            n_repeated=data.n_repeated(name),
            notes=tuple(data.notes.get(name, ())),
        )

    return DataResult(
        members=side("members", str(config.members)),
        non_members=None if config.non_members is None else side("non_members", str(config.non_members)),
        window_tokens=min(windows, default=None),
        long_texts=config.long_texts,
    )
