"""The preparation of a sequential audit: texts, what the references say of them, checks, a random order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attacks import Attack

from ..documents.result import SoundnessResult
from ..engine.frequencies import counts_needed
from ..engine.gradual import GradualTarget, Watch, score_references, taken
from ..engine.plan import Plan
from ..engine.ranks import ALONE
from ..engine.signals import Collected, gather_passes, open_and_plan
from ..errors import ConfigError
from ..estimates.code_lengths import code_bits, mixture_bits
from ..gates.sequential import Topic
from ..phases import UNTIL_DECIDED, OnPhase, Phase
from ..soundness.texts import compare_texts
from ..stats.sequential import block_sizes, scoring_order
from .attack_choice import needs_of, without_misaligned
from .inputs import Inputs
from .parts import judge_soundness

__all__ = ["Prepared", "prepare"]

_REFERENCES, _SIDES = UNTIL_DECIDED[2:4]
_BLOCK = 1024
"""Texts whose token scores are in memory at once."""

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that is known before the target is run.

    Parameters
    ----------
    order : ndarray of int64, shape (n_usable,)
        Places in the data, in the order in which texts are scored.
    references : Collected
        What the references say of the texts in that order; the target's part is still to come.
    cap : float, bits
        Most that the target can hold of a text: its tokens times log2 of the target's vocabulary, or its code length
        under the references where that is longer; of the largest text.
    """

    inputs: Inputs
    topics: list[Topic]
    attacks: list[Attack]
    soundness: SoundnessResult
    order: Places
    references: Collected
    cap: float
    notes: list[str]

    def target(self, scores_folder: Path, on_progress: Watch) -> GradualTarget:
        """Return the target, ready to be run on texts in their order."""
        plan = self.references.plan
        return GradualTarget(plan, self.inputs.config, scores_folder=scores_folder, on_progress=on_progress)

    @property
    def is_member(self) -> NDArray[np.bool_]:
        """Side of each text, in the order of scoring."""
        return self.inputs.data.is_member[self.order]

    @property
    def block(self) -> tuple[int, int]:
        """Members and non-members that are compared with each other."""
        n_members = int(self.is_member.sum())
        return block_sizes(n_members, len(self.order) - n_members)


def prepare(
    inputs: Inputs, topics: list[Topic], scores_folder: Path, on_progress: Watch, on_phase: OnPhase
) -> Prepared:
    """Open the models, run the references on all texts, check what can be checked, and draw the order."""
    config, data = inputs.config, inputs.data
    on_phase(Phase(label=_REFERENCES))
    attacks = list({topic.attack.label: topic.attack for topic in topics if topic.attack is not None}.values())
    request = replace(inputs.request, needs=needs_of(attacks, config))
    models, plan = open_and_plan(config, request, scores_folder, ALONE, on_progress)
    attacks, left_out = without_misaligned(attacks, inputs.headline, aligned=plan.aligned)
    topics = _still_asked(topics, attacks)
    notes = score_references(plan, models, config, scores_folder=scores_folder, on_progress=on_progress)
    on_phase(Phase(label=_SIDES))
    compared = compare_texts(
        data,
        plan.words,
        plan.text_keys,
        plan.n_bytes,
        seed=config.seed,
        on_permutation=lambda done, total: on_phase(Phase(label=_SIDES, what="permutation", done=done, total=total)),
    )
    reference_bits = _reference_bits(plan, inputs.seen, scores_folder)
    order = _random_order(inputs, compared.groups)
    ordered = taken(plan, order)
    return Prepared(
        inputs=inputs,
        topics=topics,
        attacks=attacks,
        soundness=judge_soundness(inputs, models, plan, compared, reference_bits=reference_bits, signed_bits=None),
        order=order,
        references=Collected(
            sample_ids=tuple(data.ids[i] for i in order),
            models=tuple(models),
            plan=ordered,
            files=gather_passes(ordered.passes[ordered.n_views :], scores_folder),
            n_tokens_scored=0,
            n_tokens_reused=0,
            seconds=0.0,
            notes=(),
            needs=request.needs,
            seen=None if inputs.seen is None else inputs.seen[:, order],
            token_counts=counts_needed(models[0], request),
        ),
        cap=_cap(plan, models[0].files.n_vocabulary, reference_bits),
        notes=[*left_out, *plan.notes, *models[0].shots_notes(), *notes],
    )


def _still_asked(topics: Sequence[Topic], attacks: Sequence[Attack]) -> list[Topic]:
    """Leave out attacks that these models do not allow where a gate is about every attack; refuse them elsewhere."""
    labels = {attack.label for attack in attacks}
    kept = [topic for topic in topics if topic.attack is None or topic.attack.label in labels]
    for topic in topics:
        if topic.gate not in [other.gate for other in kept]:
            raise ConfigError(
                f"gate {topic.gate.name!r}: target and reference read the texts as different tokens, so that no attack "
                "it is about can be run"
            )
    return kept


def _reference_bits(plan: Plan, seen: NDArray[np.bool_] | None, scores_folder: Path) -> NDArray[np.float64] | None:
    """Code length of every text under the references that never saw it; None without one."""
    files = gather_passes(plan.passes[plan.n_views :], scores_folder)
    if not files:
        return None
    n = len(plan.texts)
    blocks = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    each = [np.concatenate([code_bits(file.read(block)) for block in blocks]) for file in files]
    return mixture_bits(each, None if seen is None else ~seen)


def _cap(plan: Plan, n_vocabulary: int, reference_bits: NDArray[np.float64] | None) -> float:
    """Bound the bits of any text; references that are worse than guessing have longer codes, known by now."""
    guessed = float(plan.passes[0].n_scored.max()) * math.log2(n_vocabulary)
    return guessed if reference_bits is None else max(guessed, float(reference_bits.max()))


def _random_order(inputs: Inputs, groups: Sequence[str | None] | None) -> Places:
    """Draw the order of scoring from the seed and the hashes of the texts, whatever their order in the data."""
    by_hash = np.argsort(np.array(inputs.data.text_sha256), kind="stable")
    order = scoring_order(
        inputs.data.is_member[by_hash],
        groups=None if groups is None else [groups[i] for i in by_hash],
        rng=np.random.default_rng(inputs.config.seed),
    )
    return by_hash[order].astype(np.int64)
