"""Measure the membership law on one's own architecture, tokenizer and text: a sweep over model and data sizes.

Every cell is a model trained on ``n`` samples; samples of the same split that no model saw are its non-members.
A reference of the same architecture and size, trained on other samples, serves all cells of a size.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..documents.calibration import AttackCalibration, Calibration, CalibrationCell, TrainingEffect
from ..documents.estimate import Estimate
from ..errors import ConfigError
from ..estimates.code_lengths import SampleBits
from ..estimates.generalization import KnowledgeBits, uniform_bits
from ..laws.calibration import MIN_CELLS, fit_attack
from ..laws.membership import LAW_SAMPLE_TOKENS
from ..laws.prediction import LONG_TRAINING
from ..stats.correlation import spearman
from ..stats.intervals import clopper_pearson, mean, mean_difference
from ..stats.metrics import auc, f1_equal_error
from .corpus import Corpus
from .sweep import (
    CalibrationPlan,
    Size,
    Sweep,
    TrainedModel,
    TrainingJob,
    open_larger,
    open_sizes,
    shared_samples,
    train_model,
)
from .workers import Ledger, RunProgress, cpu_time, run_jobs

__all__ = ["calibrate"]

_LARGE_EFFECT = 0.03
_WEAK_REFERENCE_BITS = 0.1
_STEEP = (0.52, 0.98)
_LEVEL = 0.95
_OPTIMIZERS = {"adamw": "AdamW, betas (0.9, 0.99)", "soap": "SOAP, betas (0.9, 0.99)"}
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy")

Models = Mapping[TrainingJob, TrainedModel]


def calibrate(
    plan: CalibrationPlan,
    corpus: Corpus,
    *,
    folder: Path,
    workers: int = 2,
    on_progress: RunProgress | None = None,
) -> Calibration:
    """Train the sweep, attack every model, and fit the membership law of two attacks to it.

    The loss attack calls a sample a member whose code under the target is short; the reference attack one whose
    code is shorter under the target than under a model of the same size that was trained on other samples.

    Parameters
    ----------
    plan : CalibrationPlan
    corpus : Corpus
        Samples cut by `cut_corpus`, with a pool of at least `largest_cell`.
    folder : Path
        Where finished trainings are kept; an interrupted sweep goes on from there. While models train, the
        samples lie there as tokens, readable for their owner only.
    workers : int
        Trainings side by side, one thread each.
    on_progress : callable, optional
        Called with the cost done and the cost of all.

    Raises
    ------
    ConfigError
        If the corpus does not fit the plan.
    ModelError
        If a training fails.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 5: the law, for the loss attack. Reference attack, probit
       form and held-out sizes are ours.
    """
    sizes = open_sizes(plan, sample_tokens=corpus.sample_tokens)
    larger = open_larger(plan, sizes, sample_tokens=corpus.sample_tokens)
    _check_corpus(corpus, [*sizes, *([larger] if larger else [])])
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "trainings.jsonl", TrainedModel)
    with shared_samples(corpus, folder) as (file, fingerprint):
        sweep = Sweep(
            plan, sizes, len(corpus.reference), str(file), fingerprint,
            larger=larger, n_all=len(corpus.pool) + len(corpus.reference),
        )  # fmt: skip
        trained = run_jobs(train_model, sweep.jobs, ledger=ledger, workers=workers, on_progress=on_progress)
    models = dict(zip(sweep.jobs, trained, strict=True))
    cells = tuple(_cell(job, sweep, models, corpus) for job in sweep.targets)
    effect = _training_effect(sweep, models, corpus)
    laws = (fit_attack(cells, "loss"), fit_attack(cells, "reference"))
    return Calibration(
        data=corpus.name,
        tokenizer=corpus.tokenizer,
        architecture=", ".join(dict.fromkeys(size.architecture for size in sizes)),
        n_vocabulary=corpus.n_vocabulary,
        sample_tokens=corpus.sample_tokens,
        n_samples_held_out=len(corpus.held_out),
        n_samples_pool=len(corpus.pool),
        n_samples_reference=len(corpus.reference),
        cells=cells,
        laws=laws,
        training_effect=effect,
        settings=_settings(plan),
        packages={name: version(name) for name in _PACKAGES},
        data_notes=corpus.notes,
        seconds=round(sum(model.seconds for model in trained), 3),
        cpu_seconds=cpu_time(trained),
        warnings=tuple(_warnings(cells, laws, effect, sizes, corpus.n_vocabulary)),
    )


def _cell(job: TrainingJob, sweep: Sweep, models: Models, corpus: Corpus) -> CalibrationCell:
    """Attack one target, without and with its reference. Samples are equally long: sums of nats are the scores."""
    sample_tokens, n_vocabulary = corpus.sample_tokens, corpus.n_vocabulary
    target, reference = models[job], models[sweep.references[job.n_parameters]]
    is_member = np.arange(job.n_samples + len(target.held_out_nats)) < job.n_samples
    target_nats = np.array(target.pool_nats + target.held_out_nats)
    reference_nats = _nats(reference, job.n_samples)
    loss, difference = -target_nats, reference_nats - target_nats
    by_largest = _nats(models[sweep.largest], job.n_samples)
    whole = sweep.wholes.get(job.n_parameters)
    rarity = None if corpus.pool_rarity is None else corpus.pool_rarity[: job.n_samples]
    bits_per_token = 1.0 / ((sample_tokens - 1) * math.log(2))
    knowledge = KnowledgeBits(
        bits=SampleBits(target=target_nats / math.log(2), reference=reference_nats / math.log(2)),
        uniform=uniform_bits(np.full(len(is_member), sample_tokens - 1), n_vocabulary),
        lzma=np.zeros(len(is_member)),
    )
    return CalibrationCell(
        params=job.n_parameters,
        n_samples=job.n_samples,
        samples_per_parameter=job.n_samples * sample_tokens / LAW_SAMPLE_TOKENS / job.n_parameters,
        steps=job.steps,
        epochs=job.steps * job.batch_size / job.n_samples,
        learning_rate=job.learning_rate,
        seed=job.seed,
        member_bits_per_token=float(target_nats[is_member].mean()) * bits_per_token,
        non_member_bits_per_token=float(target_nats[~is_member].mean()) * bits_per_token,
        reference_bits_per_token=float(reference_nats[~is_member].mean()) * bits_per_token,
        loss_f1=f1_equal_error(loss, is_member, level=_LEVEL),
        loss_auc=auc(loss, is_member, level=_LEVEL),
        reference_f1=f1_equal_error(difference, is_member, level=_LEVEL),
        reference_auc=auc(difference, is_member, level=_LEVEL),
        dataset_bits=float(knowledge.bits.reference[is_member].sum()),
        memorized_bits=_held(difference / math.log(2), is_member),
        clipped_bits=float(knowledge.bits.memorized[is_member].sum()),
        memorized_bits_by_largest=_held((by_largest - target_nats) / math.log(2), is_member),
        saved_bits=float(knowledge.saved[is_member].sum()),
        generalization_bits=float(knowledge.generalization[is_member].sum()),
        memorized_bits_by_whole=None
        if whole is None
        else _held((_nats(models[whole], job.n_samples) - target_nats) / math.log(2), is_member),
        rarity_correlation=None if rarity is None else _by_rarity(difference[is_member] / math.log(2), rarity),
        guessed_members=mean(target.pool_guessed, level=_LEVEL),
        guessed_non_members=mean(target.held_out_guessed, level=_LEVEL, n_as="non_members"),
        recited_members=_share(target.pool_recited, n_as="members"),
        recited_non_members=_share(target.held_out_recited, n_as="non_members"),
    )


def _nats(model: TrainedModel, n_members: int) -> NDArray[np.float64]:
    """Code lengths of the first members and of all held-out samples."""
    return np.array(model.pool_nats[:n_members] + model.held_out_nats)


def _by_rarity(signed: NDArray[np.float64], rarity: NDArray[np.float64]) -> Estimate:
    """Spearman's correlation of bits and rarity of words, of the members that have bits."""
    return spearman(rarity[signed > 0], signed[signed > 0], level=_LEVEL)


def _held(signed: NDArray[np.float64], is_member: NDArray[np.bool_]) -> Estimate:
    """Unintended bits of all members: the debiased clip, times their number."""
    clipped = np.maximum(signed, 0.0)
    n_members = int(is_member.sum())
    each = mean_difference(clipped[is_member], clipped[~is_member], level=_LEVEL)
    return each.scaled(n_members, method=f"{each.method}, times n members")


def _share(recited: Sequence[bool], *, n_as: Literal["members", "non_members"]) -> Estimate:
    """Share of samples that are recited, with its Clopper-Pearson interval."""
    low, high = clopper_pearson(sum(recited), len(recited), _LEVEL)
    n_members, n_others = (len(recited), 0) if n_as == "members" else (0, len(recited))
    return Estimate(
        value=sum(recited) / len(recited), low=low, high=high, level=_LEVEL, method="Clopper-Pearson",
        n_members=n_members, n_non_members=n_others,
    )  # fmt: skip


def _training_effect(sweep: Sweep, models: Models, corpus: Corpus) -> TrainingEffect | None:
    """Set the cell that was trained longer beside what it was."""
    if not sweep.longer:
        return None
    short, long = (_cell(job, sweep, models, corpus) for job in (sweep.middle, *sweep.longer))
    return TrainingEffect(short=short, long=long)


def _check_corpus(corpus: Corpus, sizes: Sequence[Size]) -> None:
    most = max(size.members[-1] for size in sizes)
    if len(corpus.pool) < most:
        raise ConfigError(
            f"the largest cell has {most:,} members, but the pool has {len(corpus.pool):,}: cut a larger one"
        )
    for size in sizes:
        if size.n_vocabulary < corpus.n_vocabulary:
            raise ConfigError(
                f"a model of {size.n_parameters:,} parameters has {size.n_vocabulary:,} tokens, the tokenizer "
                f"{corpus.n_vocabulary:,}: give configurations for this tokenizer"
            )


def _settings(plan: CalibrationPlan) -> dict[str, str]:
    return {
        "optimizer": f"{_OPTIMIZERS[plan.optimizer]}, no weight decay, warm-up 50 steps, cosine to zero",
        "batch_size": str(plan.batch_size),
        "epochs": f"{plan.epochs:g}, at least {plan.least_steps} steps",
        "reference_steps": str(plan.reference_steps),
        "ratios": ", ".join(f"{ratio:g}" for ratio in plan.ratios),
        "precision": "fp32",
        "seed": str(plan.seed),
        "level": f"{_LEVEL:g}",
        "members": "of a size nested: a cell's members are among those of all larger cells",
    }


def _warnings(
    cells: Sequence[CalibrationCell],
    laws: Sequence[AttackCalibration],
    effect: TrainingEffect | None,
    sizes: Sequence[Size],
    n_vocabulary: int,
) -> Iterator[str]:
    """Say what limits the fit."""
    yield from _training_warnings(cells, effect)
    for law in laws:
        yield from _law_warnings(law, [_f1(cell, law.attack).value for cell in cells])
    yield (
        f"range: fitted from {laws[0].fitted_from:.3g} to {laws[0].fitted_to:.3g} samples per parameter on models of "
        f"{cells[0].params:,} to {cells[-1].params:,} parameters, one seed a cell; beyond that it is an extrapolation"
    )
    for size in sizes:
        if size.n_vocabulary > n_vocabulary:
            yield (
                f"unused vocabulary: a model of {size.n_parameters:,} parameters has {size.n_vocabulary:,} tokens, "
                f"the tokenizer {n_vocabulary:,}; what is never used counts as parameters all the same"
            )


def _training_warnings(cells: Sequence[CalibrationCell], effect: TrainingEffect | None) -> Iterator[str]:
    largest = max(cells, key=lambda cell: cell.n_samples)
    if largest.epochs < LONG_TRAINING:
        yield (
            f"undertrained: the cell with most samples ({largest.n_samples:,}) was trained for {largest.epochs:.0f} "
            f"epochs, fewer than {LONG_TRAINING}; a model trained longer is easier to attack than the law says"
        )
    for attack in ("loss", "reference"):
        short, long = (_f1(cell, attack).value for cell in (effect.short, effect.long)) if effect else (None, None)
        if effect and short is not None and long is not None and abs(long - short) > _LARGE_EFFECT:
            yield (
                f"training matters: {effect.long.steps / effect.short.steps:.3g} times the steps move the F1 of the "
                f"{attack} attack from {short:.3f} to {long:.3f}; the law holds for models trained as long as these"
            )
    gap = largest.reference_bits_per_token - largest.non_member_bits_per_token
    if gap > _WEAK_REFERENCE_BITS:
        yield (
            f"weak reference: it needs {gap:.2f} bits per token more for held-out samples than the target with most "
            "samples; a stronger one attacks better. Give it more steps or more text"
        )


def _law_warnings(law: AttackCalibration, f1: Sequence[float | None]) -> Iterator[str]:
    if law.form == "scaled":
        yield (
            f"few cells: {law.n_cells} cannot give the two constants of the {law.attack} attack's law; the paper's "
            f"law was scaled instead. Sweep at least {MIN_CELLS} ratios"
        )
    if law.held_out_size_rmse is None:
        yield (
            f"one size: how well the law of the {law.attack} attack carries to another size is not known; sweep a "
            "second one at two ratios or more"
        )
    n_steep = sum(value is not None and _STEEP[0] < value < _STEEP[1] for value in f1)
    if n_steep < 2:
        yield (
            f"saturated: {n_steep} of {law.n_cells} cells have an F1 of the {law.attack} attack between {_STEEP[0]} "
            f"and {_STEEP[1]}, where it says something about the law; move the ratios"
        )


def _f1(cell: CalibrationCell, attack: str) -> Estimate:
    return cell.loss_f1 if attack == "loss" else cell.reference_f1
