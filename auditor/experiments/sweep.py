"""The trainings of a calibration: which models on how many samples, and what each one says of the samples.

Trainings know nothing of each other: targets and references run side by side, and what an attack makes of them
is computed afterwards, from code lengths alone.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Literal

import numpy as np

from ..config import ModelSpec
from ..documents.files import for_owner
from ..engine.loading.configs import context_window, count_parameters, first_line
from ..errors import ConfigError
from ..laws.membership import LAW_SAMPLE_TOKENS
from .corpus import Corpus

__all__ = [
    "CalibrationPlan",
    "Size",
    "Sweep",
    "TrainedModel",
    "TrainingJob",
    "default_configs",
    "largest_cell",
    "open_larger",
    "open_sizes",
    "shared_samples",
    "train_model",
]

LEAST_MEMBERS = 20
"""Members of a cell below which its F1 says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """A sweep over model sizes and samples per parameter.

    Parameters
    ----------
    configs : tuple of str
        Model sizes, as Hugging Face configurations in JSON; see `default_configs`.
    ratios : tuple of float
        Samples per parameter, a sample counted as ``sample_tokens / 64``.
    epochs : float
        Passes over the members, the same for all cells.
    least_steps : int
        Updates that a cell has at least, however few members it has.
    reference_steps : int
        Updates of every reference.
    longer : float
        How many times longer the cell is trained that shows the effect of training; 0 leaves it out.
    batch_size : int
    optimizer : {"adamw", "soap"}
    learning_rates : tuple of float, optional
        One a size; by default ``2.2 / sqrt(parameters)``, at most 0.03. Chosen on the default sizes, where half of it
        leaves members less well learned after the same time. For SOAP that of a capacity measurement.
    n_held_out, n_reference : int
        Non-members, and the least number of samples that a reference needs.
    larger_reference : str, optional
        Configuration of a model larger than all sizes, which is trained as one more reference.
    whole_references : bool
        Train references on all texts that are not held out as well, the members among them.
    seed : int
        Of weights and of the order of samples; targets and references differ in it.
    device : str
    """

    configs: tuple[str, ...]
    ratios: tuple[float, ...] = (0.0125, 0.025, 0.05, 0.1, 0.2)
    epochs: float = 300.0
    least_steps: int = 1000
    reference_steps: int = 8000
    longer: float = 3.0
    batch_size: int = 32
    optimizer: Literal["adamw", "soap"] = "adamw"
    learning_rates: tuple[float, ...] | None = None
    n_held_out: int = 2000
    n_reference: int = 2000
    larger_reference: str | None = None
    whole_references: bool = False
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        positive = {
            "ratios": min(self.ratios, default=0.0),
            "epochs": self.epochs,
            "least_steps": self.least_steps,
            "reference_steps": self.reference_steps,
            "batch_size": self.batch_size,
            "learning_rates": min(self.learning_rates or (1.0,)),
        }
        for name, value in positive.items():
            if not value > 0:
                raise ConfigError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if not self.configs:
            raise ConfigError("a calibration needs at least one model size, none was given")
        if self.longer and self.longer <= 1:
            raise ConfigError(f"longer must be greater than 1, or 0 for no longer training, got {self.longer}")
        if self.n_held_out < LEAST_MEMBERS:
            raise ConfigError(f"at least {LEAST_MEMBERS} samples must be held out, got {self.n_held_out}")
        if self.learning_rates is not None and len(self.learning_rates) != len(self.configs):
            raise ConfigError(f"{len(self.learning_rates)} learning rates for {len(self.configs)} model sizes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One model size of the sweep."""

    config: str
    architecture: str
    n_parameters: int
    n_vocabulary: int
    learning_rate: float
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Train one model on the first ``n_samples`` of a part, and code the held-out samples and the first of the pool.

    The part ``all`` is the pool and then the reference's. ``samples`` is the file that holds them, and ``fingerprint``
    their checksum, so that a result is not taken for that of other samples.
    """

    config: str
    part: Literal["pool", "reference", "all"]
    n_samples: int
    n_coded: int
    n_parameters: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    samples: str
    fingerprint: str
    device: str = "cpu"
    optimizer: Literal["adamw", "soap"] = "adamw"

    @property
    def cost(self) -> float:
        """Grows with the steps and slowly with the parameters: the smallest models do not use a core well."""
        return self.steps * self.batch_size * (self.n_parameters + 50_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Code lengths in nats per sample, its first token given; whether its second half is recited, or how much of it."""

    held_out_nats: tuple[float, ...]
    pool_nats: tuple[float, ...]
    seconds: float
    held_out_recited: tuple[bool, ...]
    pool_recited: tuple[bool, ...]
    held_out_guessed: tuple[float, ...]
    pool_guessed: tuple[float, ...]
    cpu_seconds: float | None = None


def default_configs(n_vocabulary: int, sample_tokens: int = LAW_SAMPLE_TOKENS) -> tuple[str, ...]:
    """Two GPT-2 style models of one layer, widths 8 and 16, four heads: the sizes that two cores can train for long.

    With 512 tokens and 64 positions they have 5,496 and 12,528 parameters. Wide initial weights and many heads let
    so narrow models learn their members in fewer steps.
    """
    from transformers import GPT2Config

    sizes = {"vocab_size": n_vocabulary, "n_positions": sample_tokens, "n_layer": 1, "n_head": 4}
    rest = {"bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.1}
    return tuple(GPT2Config(n_embd=width, **sizes, **rest).to_json_string(use_diff=False) for width in (8, 16))


def open_sizes(plan: CalibrationPlan, *, sample_tokens: int) -> tuple[Size, ...]:
    """Count the parameters of every model size, and from them the members of its cells.

    Raises
    ------
    ConfigError, ModelError
        If a configuration cannot be read or built, is too small for the samples, or makes cells too small.
    """
    sizes = []
    for index, text in enumerate(plan.configs):
        name = f"model size {index + 1}"
        config, architecture, n_parameters = _counted(text, name, sample_tokens)
        per_parameter = LAW_SAMPLE_TOKENS / sample_tokens * n_parameters
        members = tuple(sorted({round(ratio * per_parameter) for ratio in plan.ratios}))
        if members[0] < LEAST_MEMBERS:
            least = LEAST_MEMBERS / per_parameter
            raise ConfigError(
                f"{name} has {n_parameters:,} parameters, so that a ratio of {min(plan.ratios):g} means {members[0]} "
                f"members; at least {LEAST_MEMBERS} are needed: use ratios from {least:.2g} or larger models"
            )
        sizes.append(
            Size(
                config=text,
                architecture=architecture,
                n_parameters=n_parameters,
                n_vocabulary=int(config.get_text_config().vocab_size),
                learning_rate=plan.learning_rates[index] if plan.learning_rates else _learning_rate(plan, n_parameters),
                members=members,
            )
        )
    if len({size.n_parameters for size in sizes}) < len(sizes):
        raise ConfigError("two of the model sizes have the same number of parameters: leave one out")
    return tuple(sorted(sizes, key=lambda size: size.n_parameters))


def _counted(text: str, name: str, sample_tokens: int) -> tuple[Any, str, int]:
    """Return a configuration, what it is of, and its parameters; refuse one that cannot read a sample."""
    config = _config(text, name)
    architecture, n_parameters = count_parameters(ModelSpec(path=name), config, trust_remote_code=False)
    window = context_window(config.get_text_config())
    if window is not None and window < sample_tokens:
        raise ConfigError(f"{name} reads {window} tokens, but a sample has {sample_tokens}: cut shorter samples")
    return config, architecture, n_parameters


def _learning_rate(plan: CalibrationPlan, n_parameters: int) -> float:
    if plan.optimizer == "soap":
        from .presets import default_training

        return default_training(n_parameters, LAW_SAMPLE_TOKENS).learning_rate
    return min(0.03, 2.2 / math.sqrt(n_parameters))


def open_larger(plan: CalibrationPlan, sizes: Sequence[Size], *, sample_tokens: int) -> Size | None:
    """Open the model that is larger than all sizes and serves as a reference only; None without one.

    Raises
    ------
    ConfigError
        If it is not larger.
    """
    if plan.larger_reference is None:
        return None
    config, architecture, n_parameters = _counted(plan.larger_reference, "the larger reference", sample_tokens)
    if n_parameters <= sizes[-1].n_parameters:
        raise ConfigError(
            f"the larger reference has {n_parameters:,} parameters, the largest size {sizes[-1].n_parameters:,}"
        )
    return Size(
        config=plan.larger_reference,
        architecture=architecture,
        n_parameters=n_parameters,
        n_vocabulary=int(config.get_text_config().vocab_size),
        learning_rate=_learning_rate(plan, n_parameters),
        members=(max(size.members[-1] for size in sizes),),
    )


def largest_cell(plan: CalibrationPlan, *, sample_tokens: int) -> int:
    """Return the size of the pool that members are drawn from: as many as the largest cell has."""
    return max(size.members[-1] for size in open_sizes(plan, sample_tokens=sample_tokens))


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trainings of a plan, on samples in a file with a checksum."""

    plan: CalibrationPlan
    sizes: tuple[Size, ...]
    n_reference: int
    samples: str
    fingerprint: str
    larger: Size | None = None
    n_all: int = 0

    @property
    def jobs(self) -> list[TrainingJob]:
        """All of them, in any order."""
        wholes = self.wholes.values()
        return list(dict.fromkeys([*self.references.values(), *wholes, self.largest, *self.targets, *self.longer]))

    @property
    def largest(self) -> TrainingJob:
        """The largest reference: one beyond the sizes, or that of the largest size."""
        if self.larger is None:
            return self.references[max(self.references)]
        return self._reference(self.larger)

    @property
    def wholes(self) -> dict[int, TrainingJob]:
        """References that are trained on all texts but those held out, by their parameters; none unless asked for."""
        if not self.plan.whole_references:
            return {}
        steps = self.plan.reference_steps
        return {
            size.n_parameters: self._job(size, "all", self.n_all, n_coded=size.members[-1], steps=steps)
            for size in self.sizes
        }

    @property
    def references(self) -> dict[int, TrainingJob]:
        """One a model size, by its parameters."""
        return {size.n_parameters: self._reference(size) for size in self.sizes}

    def _reference(self, size: Size) -> TrainingJob:
        steps = self.plan.reference_steps
        return self._job(size, "reference", self.n_reference, n_coded=size.members[-1], steps=steps)

    @property
    def targets(self) -> list[TrainingJob]:
        """One a cell."""
        return [
            self._job(size, "pool", n, n_coded=n, steps=self._steps(n)) for size in self.sizes for n in size.members
        ]

    @property
    def longer(self) -> list[TrainingJob]:
        """The middle cell again, with more steps; empty if the plan leaves it out."""
        if not self.plan.longer:
            return []
        short = self.middle
        return [replace(short, steps=round(self.plan.longer * short.steps))]

    @property
    def middle(self) -> TrainingJob:
        """The cell that is trained longer as well: the middle one of the smallest model."""
        return self.targets[len(self.sizes[0].members) // 2]

    def _steps(self, n_members: int) -> int:
        return max(self.plan.least_steps, math.ceil(self.plan.epochs * n_members / self.plan.batch_size))

    def _job(
        self, size: Size, part: Literal["pool", "reference", "all"], n_samples: int, *, n_coded: int, steps: int
    ) -> TrainingJob:
        return TrainingJob(
            config=size.config,
            part=part,
            n_samples=n_samples,
            n_coded=n_coded,
            n_parameters=size.n_parameters,
            steps=steps,
            batch_size=self.plan.batch_size,
            learning_rate=size.learning_rate,
            seed=self.plan.seed + (part != "pool"),
            samples=self.samples,
            fingerprint=self.fingerprint,
            device=self.plan.device,
            optimizer=self.plan.optimizer,
        )


def train_model(job: TrainingJob, on_share: Callable[[float], None]) -> TrainedModel:
    """Train one model and code samples with it."""
    import torch

    from .training import build, code_sequences, train

    started, began = monotonic(), process_time()
    with np.load(job.samples) as parts:
        held_out, pool = torch.from_numpy(parts["held_out"]), torch.from_numpy(parts["pool"])
        trained_on = torch.from_numpy(
            np.concatenate([parts["pool"], parts["reference"]]) if job.part == "all" else parts[job.part]
        )[: job.n_samples]
    model = build(_config(job.config, "model size"), seed=job.seed).to(job.device)
    train(
        model,
        trained_on,
        steps=job.steps,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        seed=job.seed,
        optimizer=job.optimizer,
        max_gradient_norm=None if job.optimizer == "soap" else 1.0,
        on_step=lambda step, _: on_share(step / job.steps),
    )
    of_held_out, of_pool = (
        code_sequences(model, part, batch_size=job.batch_size) for part in (held_out, pool[: job.n_coded])
    )
    return TrainedModel(
        held_out_nats=tuple(of_held_out.nats.tolist()),
        pool_nats=tuple(of_pool.nats.tolist()),
        seconds=round(monotonic() - started, 3),
        held_out_recited=tuple(of_held_out.recited.tolist()),
        pool_recited=tuple(of_pool.recited.tolist()),
        held_out_guessed=tuple(of_held_out.guessed.tolist()),
        pool_guessed=tuple(of_pool.guessed.tolist()),
        cpu_seconds=round(process_time() - began, 3),
    )


def _config(text: str, name: str) -> Any:
    """Read a configuration from JSON."""
    from transformers import AutoConfig

    try:
        values = json.loads(text)
        return AutoConfig.for_model(values.pop("model_type"), **values)
    except Exception as error:  # transformers raises many kinds
        raise ConfigError(f"{name}: not a Hugging Face configuration: {first_line(error)}") from error


@contextmanager
def shared_samples(corpus: Corpus, folder: Path) -> Iterator[tuple[Path, str]]:
    """Put the samples into a file for the workers, readable for its owner only, and take it away afterwards."""
    parts = {"held_out": corpus.held_out, "pool": corpus.pool, "reference": corpus.reference}
    checksum = sha256()
    for name, part in parts.items():
        checksum.update(f"{name} {part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    path = folder / "samples.npz"
    try:
        path.unlink(missing_ok=True)  # left by a run that was killed, or another's
        with open(path, "xb", opener=for_owner) as file:
            np.savez(file, **parts)  # type: ignore[arg-type]
        yield path, checksum.hexdigest()
    finally:
        path.unlink(missing_ok=True)
