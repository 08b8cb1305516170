"""Parts of a result, a function a key: from the evidence of an audit to its estimates."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.extraction import ExtractionResult
from ..documents.result import AttackResult, MemorizationResult, SelectionResult, SoundnessResult, StandOutResult
from ..documents.salt import read_salt
from ..engine.loading.tokenizer_files import stated_class
from ..engine.models import OpenedModel
from ..engine.plan import Plan
from ..engine.signals import Collected
from ..estimates.attacks import attack_results
from ..estimates.code_lengths import SampleBits, mixture_bits, separate_references
from ..estimates.combination import Combination, combine
from ..estimates.extraction import extraction
from ..estimates.generalization import KnowledgeBits, split_knowledge
from ..estimates.memorization import dataset_memorization, top_samples, why_not_certified
from ..estimates.risk import Risk, assess_risk
from ..estimates.selection import select
from ..laws.capacity import BitsPerParameter
from ..soundness.checks import ComparedModels, ModelFacts, TokenizerReading, check_soundness
from ..soundness.split import check_manifest
from ..soundness.texts import ComparedTexts
from ..stats.metrics import auc
from .evidence import Evidence
from .inputs import Inputs

__all__ = [
    "combine_attacks",
    "estimate_memorization",
    "judge_soundness",
    "measure_attacks",
    "measure_extraction",
    "model_facts",
    "said_of_shadows",
    "select_attack",
    "who_is_at_risk",
]


def judge_soundness(
    inputs: Inputs,
    models: Sequence[OpenedModel],
    plan: Plan,
    texts: ComparedTexts,
    *,
    reference_bits: NDArray[np.float64] | None,
    signed_bits: NDArray[np.float64] | None,
    retrained: Collected | None = None,
) -> SoundnessResult:
    """Run the soundness checks.

    Parameters
    ----------
    models : sequence of OpenedModel
        The target first.
    reference_bits, signed_bits : ndarray of float64, shape (n_samples,), bits, or None
        None without a reference; signed bits also before the target was run.
    retrained : Collected, optional
        What the retrained model made of the texts, if there is one.
    """
    manifest = inputs.config.split_manifest
    target, *references = model_facts(models)
    return check_soundness(
        texts,
        ComparedModels(
            target=target,
            references=tuple(references),
            aligned=plan.aligned,
            unread=plan.unread,
            readings=_tokenizer_readings(models, plan),
            retrained=None if retrained is None else _tokenizer_readings(retrained.models, retrained.plan)[0],
        ),
        reference_bits=reference_bits,
        signed_bits=signed_bits,
        fpr_targets=inputs.config.fpr_targets,
        extra=[] if manifest is None else [check_manifest(Path(manifest), inputs.data, read_salt(inputs.config.salt))],
    )


def model_facts(models: Sequence[OpenedModel]) -> list[ModelFacts]:
    """Take what the soundness checks need to know of each model."""
    return [
        ModelFacts(
            weights_sha256=model.files.weights_sha256,
            stored_dtype=model.files.stored_dtype,
            dtype=model.key.dtype,
            quantization=(model.files.quantization or {}).get("quant_method"),
        )
        for model in models
    ]


def _tokenizer_readings(models: Sequence[OpenedModel], plan: Plan) -> tuple[TokenizerReading, ...]:
    """Say how each tokenizer read the texts, beside what its own file says."""
    return tuple(
        TokenizerReading(
            loaded=type(model.files.tokenizer).__name__,
            stated=stated_class(model.files.tokenizer_source) or "",
            n_otherwise=n_otherwise,
            is_named=model.files.spec.tokenizer is not None,
        )
        for model, n_otherwise in zip(models, plan.n_otherwise, strict=True)
    )


def estimate_memorization(
    evidence: Evidence,
    capacity: BitsPerParameter,
    rng: np.random.Generator,
    *,
    soundness: SoundnessResult,
    stand_out: StandOutResult | None,
) -> MemorizationResult | None:
    """Estimate the bits of the dataset and rank the samples; None without a reference.

    Parameters
    ----------
    capacity : BitsPerParameter
    rng : numpy.random.Generator
        Of the split behind the certified bound.
    soundness : SoundnessResult
        Decides whether anything may be certified.
    stand_out : StandOutResult or None
        Members who stand out, counted once for all that state them.
    """
    config, table, bits = evidence.config, evidence.table, evidence.scores.bits
    if bits is None:
        return None
    target = evidence.collected.models[0].files
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
        groups=evidence.groups,
        n_tokens=table.n_tokens,
        n_bytes=table.n_bytes,
        n_references=len(config.references),
        n_parameters=target.n_parameters,
        capacity=capacity,
        level=config.confidence,
        rng=rng,
        samples=ranked,
        not_certified=why_not_certified(soundness),
        stand_out=stand_out,
    )
    assert table.uniform_bits is not None
    assert table.lzma_bits is not None
    found = split_knowledge(
        found,
        KnowledgeBits(bits=bits, uniform=table.uniform_bits, lzma=table.lzma_bits),
        table.is_member,
        groups=evidence.groups,
        level=config.confidence,
    )
    if target.spec.adapter is None:
        return found
    unknown = "the capacity of an adapter on a trained base is not known; capacity_bits is the base's"
    return replace(found, capacity_used=Estimate.undefined(unknown, level=config.confidence))


def said_of_shadows(evidence: Evidence, n_references: int) -> list[str]:
    """Say what shadow models change beside references: the bits of a member, and how well bits tell the sides apart.

    Parameters
    ----------
    n_references : int
        References that were given as such; they come first.
    """
    each, bits = evidence.scores.each_reference_bits, evidence.scores.bits
    if each is None or bits is None or not 0 < n_references < len(each):
        return []
    is_member = evidence.table.is_member
    alone = SampleBits(target=bits.target, reference=mixture_bits(list(each[:n_references])))
    figures = [f"mean bits of a member {one.signed[is_member].mean():.1f}" for one in (alone, bits)]
    if not is_member.all():
        areas = [auc(one.signed, is_member, level=evidence.config.confidence) for one in (alone, bits)]
        figures = [f"{said}, AUC of the bits {area.value:.3f}" for said, area in zip(figures, areas, strict=True)]
    return [f"what the shadow models change: with the references alone {figures[0]}; with them {figures[1]}"]


def measure_attacks(evidence: Evidence, rng: np.random.Generator) -> tuple[AttackResult, ...]:
    """Measure every attack; ``rng`` is of the bootstrap of clusters."""
    config = evidence.config
    return attack_results(
        evidence.attacks,
        evidence.table,
        evidence.groups,
        fpr_targets=config.fpr_targets,
        level=config.confidence,
        seed=config.seed,
        rng=rng,
    )


def select_attack(evidence: Evidence) -> SelectionResult:
    """Say which attack was declared, and what choosing the best one is worth."""
    config, headline = evidence.config, evidence.inputs.headline
    return select(
        evidence.table.scores,
        evidence.table.is_member,
        evidence.groups,
        headline=headline.label,
        declared_by=headline.declared_by,
        level=config.confidence,
        seed=config.seed,
    )


def combine_attacks(evidence: Evidence) -> Combination:
    """Train a classifier on the scores of all attacks, cross-fitted."""
    config = evidence.config
    return combine(
        evidence.table.scores,
        evidence.table.is_member,
        evidence.groups,
        fpr_targets=config.fpr_targets,
        level=config.confidence,
        seed=config.seed,
    )


def measure_extraction(evidence: Evidence) -> ExtractionResult | None:
    """Count what can be drawn out of the target; None if it was not asked for, or no member is long enough."""
    found, cut = evidence.scores.extraction, evidence.cut
    if found is None or cut is None:
        return None
    return extraction(
        found,
        evidence.table.is_member,
        cut=cut,
        groups=evidence.groups,
        signed_bits=evidence.table.signed_bits,
        level=evidence.config.confidence,
    )


def who_is_at_risk(evidence: Evidence) -> Risk:
    """Tell who is at risk, and where the risk is concentrated."""
    table, headline = evidence.table, evidence.inputs.headline.label
    each = evidence.scores.each_reference_bits
    separate = [] if each is None else [bits - table.target_bits for bits in separate_references(each)]
    assert table.n_copies is not None
    return assess_risk(
        table.scores[headline],
        table.is_member,
        headline=headline,
        clusters=evidence.groups,
        text_keys=evidence.compared.text_keys,
        units=evidence.data.groups,
        n_bytes=table.n_bytes,
        n_copies=table.n_copies,
        rarity=table.rarity,
        scripts=table.script,
        signed_bits=table.signed_bits,
        single_bits=separate,
        fpr_targets=evidence.config.fpr_targets,
        level=evidence.config.confidence,
        seed=evidence.config.seed,
    )
