"""What an audit has to judge by: the scores of every sample, what the texts share, and what they tell by themselves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from attacks import Attack

from ..config import AuditConfig
from ..data import SampleSet
from ..data.rarity import count_copies, text_rarity
from ..documents.sample_table import SampleTable
from ..engine.models import OpenedModel
from ..engine.ranks import Rank
from ..engine.scoring import ScoringProgress
from ..engine.signals import Collected, collect_signals
from ..estimates.scores import SampleScores, score_samples
from ..soundness.blind import BlindBaseline, blind_baseline
from ..soundness.checks import ModelFacts
from ..soundness.overlap import Overlap, find_overlap, near_duplicate_groups
from .attack_choice import needs_of, without_misaligned
from .inputs import Inputs

__all__ = ["Evidence", "collect", "gather", "model_facts", "sample_table"]

_BLOCK = 1024
"""Texts held at once."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that estimates and checks are made of.

    Parameters
    ----------
    inputs : Inputs
    collected : Collected
        The signals, and how the models made them.
    attacks : tuple of Attack
        Those that were run.
    scores : SampleScores
    table : SampleTable
        A row a sample.
    overlap : Overlap
        Copies, near-copies and shared passages.
    groups : sequence of (str or None), length n_samples, or None
        Clusters: what copies, near-copies and the groups of the data tie together.
    blind : BlindBaseline or None
        What the texts tell without any model; None without non-members.
    left_out : tuple of str
        Attacks that the models did not allow.
    """

    inputs: Inputs
    collected: Collected
    attacks: tuple[Attack, ...]
    scores: SampleScores
    table: SampleTable
    overlap: Overlap
    groups: Sequence[str | None] | None
    blind: BlindBaseline | None
    left_out: tuple[str, ...]

    @property
    def config(self) -> AuditConfig:
        """The configuration; shadow models stand among the references."""
        return self.inputs.config

    @property
    def data(self) -> SampleSet:
        """The texts as given."""
        return self.inputs.data

    @property
    def texts(self) -> Sequence[str]:
        """The texts as scored; read from disk a block at a time."""
        return self.collected.plan.texts

    @cached_property
    def text_keys(self) -> list[str]:
        """Equal for equal texts, as scored."""
        return self.collected.plan.text_keys


def gather(
    inputs: Inputs, *, scores_folder: Path, on_progress: Callable[[ScoringProgress], None] | None, rank: Rank
) -> Evidence:
    """Score every sample, and compare the texts with each other.

    Raises
    ------
    AuditError
        If a model cannot be used, or an attack cannot score.
    """
    config, data = inputs.config, inputs.data
    collected = collect(inputs, config, scores_folder=scores_folder, on_progress=on_progress, rank=rank)
    attacks, left_out = without_misaligned(inputs.attacks, inputs.headline, aligned=collected.plan.aligned)
    scores = score_samples(attacks, collected)
    texts, text_keys, is_member = collected.plan.texts, collected.plan.text_keys, data.is_member
    overlap = find_overlap(texts, is_member, text_keys)
    groups = near_duplicate_groups(overlap, data.groups)
    blind = blind_baseline(texts, is_member, groups, seed=config.seed) if config.non_members else None

    def blocks() -> Iterator[Sequence[str]]:
        return (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))

    stated = np.array([1 if copies is None else copies for copies in data.copies], dtype=np.int64)
    table = replace(
        sample_table(config, data, collected, scores),
        blind_score=None if blind is None else blind.score,
        rarity=text_rarity(blocks, is_member),
        n_copies=count_copies(text_keys, is_member, stated),
    )
    return Evidence(
        inputs=inputs,
        collected=collected,
        attacks=tuple(attacks),
        scores=scores,
        table=table,
        overlap=overlap,
        groups=groups,
        blind=blind,
        left_out=tuple(left_out),
    )


def collect(
    inputs: Inputs,
    config: AuditConfig,
    *,
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


def sample_table(config: AuditConfig, data: SampleSet, collected: Collected, scores: SampleScores) -> SampleTable:
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
