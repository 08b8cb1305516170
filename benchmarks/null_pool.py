"""The pool of `null_calibration.py`: texts that neither side trained on, and what an audit knows of them.

Two models trained on different texts, a reference and shadow models on random halves of the pool; one scoring of all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from power import architecture, cut, fit, write

from auditor.auditing.evidence import sample_table
from auditor.auditing.inputs import read_inputs
from auditor.auditing.parts import model_facts
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.data import load_samples, load_texts
from auditor.engine.signals import Collected, collect_signals
from auditor.estimates.scores import score_samples
from auditor.experiments.corpus import train_tokenizer
from auditor.experiments.demo import draw_records
from auditor.experiments.shadows import ShadowPlan, train_shadows
from auditor.experiments.training import build, save
from auditor.soundness.checks import ModelFacts

N_TRAINED, N_REFERENCE, N_POOL = 2_000, 6_000, 8_000
EPOCHS, REFERENCE_EPOCHS, SHADOW_EPOCHS, N_SHADOWS = 60, 6, 20, 4
VOCABULARY, WORDS = 512, 26
LEAST_GROUPS = 1_000
LEVEL, LENIENCE = 0.95, 0.02
GROUP = 4
CONTRAST = "(for contrast)"
"""Marks a row that shows what a choice avoids, or that is no null; it is not judged."""

Outcome = tuple[str, str, str]
"""Row, attack (or nothing), and covered / below / above / undefined (the interval), or alarm / quiet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the audit knows of every text of the pool; ``table`` holds all but the retrained model's part."""

    config: AuditConfig
    headline: str
    table: Any  # a SampleTable of which no column that is read here is missing
    text_keys: tuple[str, ...]
    unread: NDArray[np.int64]
    aligned: bool
    facts: tuple[ModelFacts, ...]
    retrained: Mapping[str, NDArray[np.float64]]
    retrained_bits: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Texts in the pool."""
        return len(self.table.sample_id)


def make_pool(folder: Path, data: str | None, *, seed: int, scale: float = 1.0) -> Pool:
    """Train the models, and score the pool under the target and under the model that stands for a retrained one.

    ``scale`` multiplies texts and epochs: below 1 it only shows that the benchmark runs.
    """
    trained_epochs, reference_epochs, shadow_epochs = (
        max(1, round(scale * epochs)) for epochs in (EPOCHS, REFERENCE_EPOCHS, SHADOW_EPOCHS)
    )
    rng = np.random.default_rng(seed)
    runs = record_groups(rng) if data is None else passage_groups(data)
    runs = [runs[i] for i in rng.permutation(len(runs))]
    ends = np.cumsum([round(scale * n) for n in (N_TRAINED, N_TRAINED, N_REFERENCE, N_POOL)]) // GROUP
    least = ends[2] + round(scale * LEAST_GROUPS)
    if len(runs) < least:
        raise SystemExit(f"{len(runs):,} groups of {GROUP} passages are too few, {least:,} are needed")
    parts = [runs[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    trained, other, reference, held_out = ([text for run in part for text in run] for part in parts)
    tokenizer = train_tokenizer([text for run in runs for text in run], n_vocabulary=VOCABULARY)
    model, file = folder / "architecture", folder / "pool.jsonl"
    save(build(architecture(tokenizer), seed=seed), tokenizer, model)
    for number, (name, texts, epochs) in enumerate(
        [
            ("target", trained, trained_epochs),
            ("retrained", other, trained_epochs),
            ("reference", reference, reference_epochs),
        ]
    ):
        fit(model, folder / name, write(folder / f"{name}.jsonl", texts), epochs=epochs, seed=seed + number + 1)
    rows = [{"text": text, "group": f"run {i // GROUP}"} for i, text in enumerate(held_out)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = ShadowPlan(
        target=ModelSpec(path=str(model)), n_models=N_SHADOWS, epochs=shadow_epochs, batch_size=32, seed=seed
    )
    train_shadows(plan, load_samples(DataSpec(path=str(file)), None), folder=folder / "shadows")
    config = AuditConfig.from_options(
        {
            "target": str(folder / "target"), "references": [str(folder / "reference")], "members": str(file),
            "shadows": str(folder / "shadows"), "fpr_targets": [0.01, 0.05], "include_text": True, "seed": seed,
        }
    )  # fmt: skip
    return scored(config, ModelSpec(path=str(folder / "retrained")), folder / "scores")


def scored(config: AuditConfig, retrained: ModelSpec, scores_folder: Path) -> Pool:
    """Score the pool as an audit does."""
    inputs = read_inputs(config)

    def collected(config: AuditConfig) -> Collected:
        return collect_signals(config, inputs.request, scores_folder=scores_folder)

    ours, theirs = collected(inputs.config), collected(replace(inputs.config, target=retrained))
    scores, other = score_samples(inputs.attacks, ours), score_samples(inputs.attacks, theirs)
    return Pool(
        config=inputs.config, headline=inputs.headline.label,
        table=sample_table(inputs.config, inputs.data, ours, scores), text_keys=tuple(ours.plan.text_keys),
        unread=ours.plan.unread, aligned=ours.plan.aligned, facts=tuple(model_facts(ours.models)),
        retrained=other.attacks, retrained_bits=other.target_bits,
    )  # fmt: skip


def passage_groups(data: str) -> list[list[str]]:
    """Cut documents into passages, each text once, and these into runs of four of one document."""
    seen: set[str] = set()
    runs = []
    for document in load_texts(DataSpec(path=data))[0].words:
        passages = [passage for passage in cut([document], n_words=WORDS) if passage not in seen]
        seen.update(passages)
        runs += [passages[i : i + GROUP] for i in range(0, len(passages) - GROUP + 1, GROUP)]
    return runs


def record_groups(rng: np.random.Generator) -> list[list[str]]:

    texts = [record.text for record in draw_records(2 * N_TRAINED + N_REFERENCE + N_POOL, rng)]
    return [texts[i : i + GROUP] for i in range(0, len(texts), GROUP)]
