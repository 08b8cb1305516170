"""The evidence of an audit: the scores of every sample, what the texts share, and what they tell by themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks import Attack

from ..config import AuditConfig, ExtractSpec
from ..data import SampleSet
from ..data.rarity import count_copies, text_rarity
from ..data.scripts import main_script
from ..documents.sample_table import SampleTable
from ..engine.signals import Collected
from ..estimates.generalization import lzma_bits, uniform_bits
from ..estimates.scores import SampleScores, score_samples
from ..phases import AUDIT, OnPhase, Phase, unwatched
from ..soundness.texts import ComparedTexts, compare_texts
from .attack_choice import without_misaligned
from .inputs import Inputs

__all__ = ["Evidence", "gather", "sample_table"]

_ATTACKS, _SIDES = AUDIT[3:5]
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
    cut : ExtractSpec or None
        What extraction was read of each text.
    table : SampleTable
        A row a sample.
    compared : ComparedTexts
        What the texts say by themselves.
    left_out : tuple of str
        Attacks that the models did not allow.
    """

    inputs: Inputs
    collected: Collected
    attacks: tuple[Attack, ...]
    scores: SampleScores
    cut: ExtractSpec | None
    table: SampleTable
    compared: ComparedTexts
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
        """What the texts say, as far as models are given them; read from disk a block at a time."""
        return self.collected.plan.words

    @property
    def groups(self) -> Sequence[str | None] | None:
        """Clusters: what copies, near-copies and the groups of the data tie together."""
        return self.compared.groups


def gather(inputs: Inputs, collected: Collected, *, on_phase: OnPhase = unwatched) -> Evidence:
    """Let the attacks score every sample, and compare the texts with each other.

    Raises
    ------
    AuditError
        If an attack cannot score.
    """
    config, data = inputs.config, inputs.data
    on_phase(Phase(label=_ATTACKS))
    attacks, left_out = without_misaligned(inputs.attacks, inputs.headline, aligned=collected.plan.aligned)
    cut = ExtractSpec.parse(config.extract, window=collected.models[0].encoder.window)
    scores = score_samples(attacks, collected, cut=cut)
    plan = collected.plan
    texts, text_keys = plan.words, plan.text_keys
    on_phase(Phase(label=_SIDES))
    compared = compare_texts(
        data,
        texts,
        text_keys,
        plan.n_bytes,
        seed=config.seed,
        on_permutation=lambda done, total: on_phase(Phase(label=_SIDES, what="permutation", done=done, total=total)),
    )

    def blocks() -> Iterator[Sequence[str]]:
        return (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))

    stated = np.array([1 if copies is None else copies for copies in data.copies], dtype=np.int64)
    table = replace(
        sample_table(config, data, collected, scores),
        blind_score=None if compared.blind is None else compared.blind.score,
        rarity=text_rarity(blocks, data.is_member),
        script=tuple(main_script(text) for block in blocks() for text in block),
        n_copies=count_copies(text_keys, data.is_member, stated),
        lzma_bits=np.concatenate([lzma_bits(block) for block in blocks()]),
    )
    return Evidence(
        inputs=inputs,
        collected=collected,
        attacks=tuple(attacks),
        scores=scores,
        cut=cut,
        table=table,
        compared=compared,
        left_out=tuple(left_out),
    )


def sample_table(config: AuditConfig, data: SampleSet, collected: Collected, scores: SampleScores) -> SampleTable:
    """Collect the row of every sample."""
    plan, bits = collected.plan, scores.bits
    n_tokens = plan.passes[0].n_scored
    uniform = uniform_bits(n_tokens, collected.models[0].files.n_vocabulary)
    return SampleTable(
        sample_id=data.ids,
        text_sha256=data.text_sha256,
        is_member=data.is_member,
        group=data.groups,
        n_tokens=n_tokens,
        n_bytes=plan.n_bytes,
        target_bits=scores.target_bits,
        reference_bits=None if bits is None else bits.reference,
        signed_bits=None if bits is None else bits.signed,
        memorized_bits=None if bits is None else bits.memorized,
        uniform_bits=uniform,
        generalization_bits=None if bits is None else uniform - np.maximum(bits.target, bits.reference),
        scores=scores.attacks,
        extraction=scores.extraction,
        text=tuple(plan.words) if config.include_text else None,
    )
