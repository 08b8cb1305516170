"""Train shadow models: the target's architecture on known random halves of the audited texts.

What a model says of a text that it saw, and what its like say that did not, is what LiRA and RMIA compare. Halves
are drawn without looking at sides: shadows know nothing of who is a member.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ModelSpec
from ..data import SampleSet
from ..documents.files import sealed, to_text, whole_file
from ..documents.shadows import (
    MANIFEST,
    NO_GAP,
    SHADOW,
    ShadowManifest,
    ShadowRun,
    ShadowSettings,
    pack_seen,
    read_shadow,
)
from ..engine.loading.models import ModelFiles, open_model
from ..engine.models import chat_reader
from ..engine.tokens import Encoder, tokenizer_fingerprint
from ..errors import ConfigError
from .shadow_texts import TrainingTexts, draw_halves, prepare_texts, token_file
from .shadow_training import ShadowJob, train_shadow
from .training import steps_in
from .workers import Ledger, RunProgress, run_jobs

__all__ = ["ShadowPlan", "train_shadows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPlan:
    """What is asked for.

    Parameters
    ----------
    target : ModelSpec
        Whose architecture and tokenizer the shadows take.
    base : ModelSpec, optional
        Weights that every shadow starts from, best those that the target started from; without one, new weights.
    lora_rank : int, optional
        Train a LoRA adapter of this rank on the base instead of all weights.
    n_models : int
        Even: two for each random split.
    epochs : float
        Passes over a half; best those of the target.
    steps : int, optional
        Updates of each shadow, instead of ``epochs``.
    batch_size : int
    learning_rate : float, optional
        By default ``2.2 / sqrt(parameters)``, at most 0.03, for new weights; a quarter of it from a base; and with
        LoRA ten times that, as Schulman et al. 2025 (*LoRA Without Regret*) find.
    max_tokens : int, optional
        Train on at most so many tokens of a text, besides the context window; best what the audit scores.
    prefix_token, score, chat_template : str
        As in an audit.
    seed : int
    device : str
        An existing one, not ``auto``.
    """

    target: ModelSpec
    base: ModelSpec | None = None
    lora_rank: int | None = None
    n_models: int = 8
    epochs: float = 10.0
    steps: int | None = None
    batch_size: int = 8
    learning_rate: float | None = None
    max_tokens: int | None = None
    prefix_token: str = "auto"
    score: str = "completion"
    chat_template: str | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.n_models < 2 or self.n_models % 2:
            raise ConfigError(
                f"models must be an even number from 2, as two are trained on the halves of each split; got "
                f"{self.n_models}, try {max(4, self.n_models + self.n_models % 2)}"
            )
        for name in ("epochs", "steps", "batch_size", "learning_rate", "lora_rank", "max_tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name.replace('_', '-')} must be greater than 0, got {value}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.lora_rank is not None and self.base is None:
            raise ConfigError("a LoRA adapter (lora) needs a base to be put on: give base")

    @property
    def start(self) -> ModelSpec:
        """The model that is opened: the base, or the target for its architecture."""
        return self.base or self.target


class _Finished(Ledger[ShadowRun]):
    """Finished shadows, by their folders: a training puts its own there, and nothing else is kept."""

    def __init__(self) -> None:
        pass

    def get(self, job: Any) -> ShadowRun | None:
        """Read what lies beside the weights of a shadow that was finished before."""
        folder = Path(job.folder)
        return read_shadow(folder).run if folder.exists() else None

    def add(self, job: Any, result: ShadowRun) -> None:
        """Do nothing: the folder is there."""


def train_shadows(
    plan: ShadowPlan,
    data: SampleSet,
    *,
    folder: Path,
    workers: int = 1,
    on_progress: RunProgress | None = None,
) -> tuple[ShadowManifest, int]:
    """Train the shadows of a plan that are not there yet, and write the manifest of all.

    A text is trained on as an audit scores it: after the same prefix, cut to the same window; with the tokenizer's end
    token after it if it was not cut and there is room, as the demonstration trains its target. A text that occurs
    several times is trained on as often.

    Parameters
    ----------
    plan : ShadowPlan
    data : SampleSet
        Both sides of the audit; which side a text is on is not looked at.
    folder : Path
        Gets ``shadow-00``, ``shadow-01``, ... and ``manifest.json``. What is finished is used again. While models
        train, the texts lie there as tokens, readable for their owner only.
    workers : int
        Trainings side by side, one thread each.
    on_progress : callable, optional

    Returns
    -------
    manifest : ShadowManifest
    n_reused : int
        Shadows that were there already.

    Raises
    ------
    ConfigError, DataError, ModelError, ResultError
        If models and texts do not go together, or the folder holds shadows that were trained otherwise.

    References
    ----------
    .. [1] Carlini et al. 2022, arXiv 2112.03570: each text in the training set of half of all shadows. Zarifzadeh et
       al. 2024, arXiv 2312.03262: models in pairs on complementary halves. We draw units of texts that belong
       together, so that no near-copy of a text is in the half that is to be without it.
    """
    files = _open_start(plan)
    encoder = Encoder.build(
        files.tokenizer,
        rule=plan.prefix_token,
        n_vocabulary=files.n_vocabulary,
        context_window=files.context_window,
        max_tokens=plan.max_tokens,
        adds_bos=files.adds_bos,
        form=data.form,
        chat=chat_reader(files.tokenizer, form=data.form, score=plan.score, template_file=plan.chat_template),
    )
    if encoder.chat is not None and encoder.chat.template is None and data.form != "prompt_completion":
        raise ConfigError(
            f"{plan.start}: its tokenizer has no chat template, and the texts are conversations: give --chat-template "
            "FILE"
        )
    texts = prepare_texts(data, files, encoder)
    settings = _settings(plan, files, encoder, texts)
    halves = draw_halves(texts.units, texts.copies, n_pairs=plan.n_models // 2, seed=plan.seed)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_partial(folder)
    try:
        with token_file(texts, folder) as file:
            jobs = [_job(plan, settings, texts, seen, i, file) for i, seen in enumerate(halves)]
            n_reused = sum(_is_finished(job) for job in jobs)
            runs = run_jobs(train_shadow, jobs, ledger=_Finished(), workers=workers, on_progress=on_progress)
    finally:
        _remove_partial(folder)
    manifest = ShadowManifest(
        target=str(plan.target),
        base=None if plan.base is None else str(plan.base),
        settings=settings,
        texts=texts.sha256,
        n_samples=int(texts.copies.sum()),
        n_units=int(texts.units.max()) + 1,
        shadows=tuple(runs),
        warnings=tuple(_warnings(runs, texts, halves, settings.window)),
    )
    manifest = sealed(manifest)
    with whole_file(folder / MANIFEST) as partial:
        partial.write_text(to_text(manifest), encoding="utf-8", newline="\n")
    return manifest, n_reused


def _open_start(plan: ShadowPlan) -> ModelFiles:
    """Open the base, or the target for its architecture, and refuse what no shadow can start from."""
    if plan.lora_rank is not None and find_spec("peft") is None:
        raise ConfigError("LoRA needs the package peft: pip install peft")
    files = open_model(plan.start)
    if files.spec.adapter is not None:
        raise ConfigError(
            f"{files.spec}: shadows start from a whole model: give the adapter's base as base (with lora for adapters "
            "like this one), or merge it first"
        )
    if plan.base is None:
        return files
    if files.quantization or files.gguf:
        raise ConfigError(f"{plan.base}: a base must have plain safetensors weights, not quantised ones or a .gguf")
    target = open_model(plan.target)
    if target.architecture != files.architecture or abs(target.n_parameters / files.n_parameters - 1) > 0.1:
        raise ConfigError(
            f"the base {plan.base} is a {files.architecture} of {files.n_parameters:,} parameters, the target a "
            f"{target.architecture} of {target.n_parameters:,}: shadows must be like the target"
        )
    return files


def _settings(plan: ShadowPlan, files: ModelFiles, encoder: Encoder, texts: TrainingTexts) -> ShadowSettings:
    """Collect what decides the weights of the shadows."""
    rate = min(0.03, 2.2 / math.sqrt(files.n_parameters))
    if plan.base is not None:
        rate *= 2.5 if plan.lora_rank is not None else 0.25
    return ShadowSettings(
        start="scratch" if plan.base is None else "full" if plan.lora_rank is None else "lora",
        architecture=files.architecture,
        config_sha256=files.config_sha256,
        tokenizer_sha256=tokenizer_fingerprint(files.tokenizer),
        base_sha256=None if plan.base is None else files.weights_sha256,
        lora_rank=plan.lora_rank,
        prefix_ids=encoder.prefix.ids,
        window=encoder.window,
        epochs=None if plan.steps else float(plan.epochs),
        steps=plan.steps,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate or float(f"{rate:.2g}"),
        seed=plan.seed,
        data_sha256=texts.fingerprint,
        score="all" if encoder.chat is None else encoder.chat.score,
        chat_template_sha256=None if encoder.chat is None else encoder.chat.template_sha256,
    )


def _job(
    plan: ShadowPlan,
    settings: ShadowSettings,
    texts: TrainingTexts,
    seen: NDArray[np.bool_],
    index: int,
    tokens: Path,
) -> ShadowJob:
    """Describe the training of one shadow."""
    n_sequences = int(texts.copies[seen].sum())
    return ShadowJob(
        index=index,
        start=plan.start,
        settings=settings,
        saw=pack_seen(seen),
        seed=int(np.random.SeedSequence([plan.seed, index, 2]).generate_state(1)[0]),
        steps=plan.steps or steps_in(plan.epochs, n_sequences=n_sequences, batch_size=plan.batch_size),
        device=plan.device,
        tokens=str(tokens),
        folder=str(tokens.with_name(f"shadow-{index:02d}")),
    )


def _is_finished(job: ShadowJob) -> bool:
    """Say whether a shadow is there already; refuse one that was trained otherwise."""
    folder = Path(job.folder)
    if not folder.exists():
        return False
    if not (folder / SHADOW).is_file() or not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder}: no whole shadow model; remove it, or give another --out")
    there = read_shadow(folder)
    differences = there.settings.differences(job.settings)
    if not differences and there.run.saw != job.saw:
        differences = ["the halves (drawn by another version of numpy?)"]
    if differences:
        raise ConfigError(
            f"{folder} was trained otherwise: {'; '.join(differences)}; give the same texts and options to go on, or "
            "another --out"
        )
    return True


def _remove_partial(folder: Path) -> None:
    """Remove what trainings left that were killed while they wrote."""
    for partial in folder.glob(".shadow-*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def _warnings(
    runs: Sequence[ShadowRun], texts: TrainingTexts, halves: NDArray[np.bool_], window: int | None
) -> Iterator[str]:
    """Say what limits the use of the shadows.

    In the mean over the pairs neither the difficulty of a text nor the quality of a shadow counts: both halves are
    seen by one shadow of a pair and not by the other, and each shadow is asked about both.
    """
    unseen = float(np.mean([run.unseen_bits_per_token for run in runs]))
    gap = float(np.mean([run.gap_bits_per_token for run in runs]))
    if gap < NO_GAP * unseen:
        yield (
            f"no gap: unseen texts cost {gap:.4f} bits per token more than seen ones ({gap / unseen:.2%}), so the "
            "shadows have memorised next to nothing and tell nothing; raise --epochs or --learning-rate to those of "
            "the target"
        )
    if len(runs) < 4:
        yield (
            f"few shadows: {len(runs)}, so that a text is seen by {len(runs) // 2}; online LiRA needs at least two "
            "that saw it and two that did not: train 4 or more"
        )
    if texts.n_cut:
        yield f"cut: {texts.n_cut:,} of {len(texts.sha256):,} texts are longer than {window:,} tokens; the rest unread"
    shares = (halves * texts.copies).sum(axis=1) / texts.copies.sum()
    if np.abs(shares - 0.5).max() > 0.05:
        yield (
            f"uneven halves: from {shares.min():.0%} to {shares.max():.0%} of the texts, as groups or copies of one "
            "text are large and stay together"
        )
