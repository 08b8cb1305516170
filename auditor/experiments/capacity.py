"""Capacity of a model in bits: trained on uniform random tokens, where whatever it knows it remembers."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy
import torch

from ..config import ModelSpec
from ..documents.capacity import CapacityMeasurement, CapacityRun, Extrapolation, Precision
from ..engine.loading.configs import context_window, count_parameters
from ..errors import ConfigError, ModelError
from .lora import keep_base, open_base, require_peft, with_lora
from .presets import Training
from .training import OptimizerName, build, one_thread, sequence_nll, train
from .workers import Ledger, RunProgress, run_jobs

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

__all__ = [
    "EXPECTED_BITS_PER_PARAMETER",
    "CapacityJob",
    "CapacityPlan",
    "coded_bits",
    "fit_random",
    "measure_capacity",
    "round_weights",
]

EXPECTED_BITS_PER_PARAMETER = 3.6
SELF_CHECK, BEST, SIZES = 0.4, 1.22, (0.8, 1.0, 1.22, 2.0, 4.0)
"""Data as multiples of the expected capacity: far below it, where the schedules are run, and the sizes."""

LENGTHS = (1.0, 2.5, 6.0)
_POWERS = {"a - b / steps": 1.0, "a - b / sqrt(steps)": 0.5}
"""Forms that are assumed; a third one takes its power from the schedules."""

CONVERGED_GAIN, SELF_CHECK_SHARE, ORDERING_SHARE = 0.02, 0.99, 0.005
N_TEST = 128
BASE_SEED = 10_000
"""Of the sequences under a LoRA, which are none of those that it is to hold."""
_PACKAGES = ("torch", "transformers", "numpy", "scipy")

Role = Literal["self-check", "size", "schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """What is measured, and how.

    Parameters
    ----------
    name : str
        What the architecture is called, for people.
    config : PreTrainedConfig
        Of a causal language model.
    sample_tokens : int
        Tokens of a random sequence; the first is given and not counted.
    training : Training
        Its ``steps`` are those of the shortest schedule; the others take 2.5 and 6 times as many.
    precision : {"fp32", "bf16"}
        ``bf16`` trains under autocast and measures the weights rounded to bfloat16, as a checkpoint stores them.
    device : str
    n_seeds : int
        At the shortest schedule; 1 or more.
    lora_rank : int, optional
        Train a LoRA of this rank on frozen weights instead of all parameters.
    weights : Path, optional
        Model folder with these weights. Without one they are trained first, on other random sequences: on untrained
        weights a LoRA holds next to nothing.
    """

    name: str
    config: "PreTrainedConfig"
    sample_tokens: int
    training: Training
    precision: Precision = "fp32"
    device: str = "cpu"
    n_seeds: int = 3
    lora_rank: int | None = None
    weights: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityJob:
    """One model on one set of random sequences, as plain values."""

    config: str
    sample_tokens: int
    precision: Precision
    device: str
    role: Role
    n_samples: int
    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName
    lora_rank: int | None = None
    base: str | None = None

    @property
    def cost(self) -> float:
        """Sequences that are trained on."""
        return float(self.steps * self.batch_size)


def measure_capacity(
    plan: CapacityPlan, *, folder: Path, workers: int = 1, on_progress: RunProgress | None = None
) -> CapacityMeasurement:
    """Measure the bits per parameter of an architecture: the most that a finished run held, a lower bound.

    Runs a self-check far below the capacity, several dataset sizes, finished schedules of three lengths, and
    several seeds.

    Parameters
    ----------
    plan : CapacityPlan
    folder : Path
        Where finished runs are kept; an interrupted measurement goes on from there.
    workers : int
        Trainings side by side, one thread each.
    on_progress : callable, optional
        Called with the cost done and the cost of all.

    Raises
    ------
    ConfigError
        If the context window is shorter than a sequence, or there is no vocabulary to draw from.
    ModelError
        If the model cannot be built, or a training fails.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 3. They train 10^6 steps and take the maximum over sizes; we
       print steps, seeds and what longer schedules still gain beside it.
    """
    started = monotonic()
    architecture, n_parameters = _check(plan)
    folder.mkdir(parents=True, exist_ok=True)
    base = None if plan.lora_rank is None else _base(plan, n_parameters, folder)
    n_trained = n_parameters if base is None else _count_trained(plan)
    jobs = _jobs(plan, n_trained, base=base)
    runs = run_jobs(_train, jobs, ledger=Ledger(folder / "runs.jsonl", CapacityRun), workers=workers,
                    on_progress=on_progress)  # fmt: skip
    best = max(runs, key=lambda run: run.bits_per_parameter)
    schedules = _schedules(runs)
    extrapolations = _extrapolations(schedules)
    seeds = [run.bits_per_parameter for run in runs if run.role == "size" and run.n_samples == schedules[0].n_samples]
    last_gain = schedules[-1].memorized_bits / schedules[-2].memorized_bits - 1 if _all_positive(schedules) else None
    self_check = next(run.share_memorized for run in runs if run.role == "self-check")
    return CapacityMeasurement(
        model=plan.name,
        architecture=architecture,
        n_parameters=n_parameters,
        n_embedding_parameters=_embedding_parameters(plan.config),
        n_vocabulary=int(plan.config.get_text_config().vocab_size),
        sample_tokens=plan.sample_tokens,
        precision=plan.precision,
        device=plan.device,
        bits_per_parameter=best.bits_per_parameter,
        best=best,
        seed_low=min(seeds) if len(seeds) > 1 else None,
        seed_high=max(seeds) if len(seeds) > 1 else None,
        extrapolations=extrapolations,
        last_gain=last_gain,
        converged=last_gain is not None and last_gain <= CONVERGED_GAIN,
        self_check_share=self_check,
        runs=tuple(runs),
        settings=_settings(plan),
        packages={name: version(name) for name in _PACKAGES},
        seconds=round(monotonic() - started, 3),
        lora_rank=plan.lora_rank,
        n_trained_parameters=None if base is None else n_trained,
        base=None if base is None else _base_words(plan),
        warnings=tuple(_warnings(plan, runs, best, extrapolations, last_gain, self_check)),
    )


def _check(plan: CapacityPlan) -> tuple[str, int]:
    """Count the parameters, and refuse sequences that the model cannot read or that hold no information."""
    n_vocabulary = getattr(plan.config.get_text_config(), "vocab_size", None)
    if n_vocabulary is None or n_vocabulary < 2:
        raise ConfigError(f"{plan.name} has a vocabulary of {n_vocabulary}: random tokens need at least 2")
    window = context_window(plan.config.get_text_config())
    if window is not None and plan.sample_tokens > window:
        raise ConfigError(f"{plan.name} reads {window} tokens, but a sequence has {plan.sample_tokens}: ask for fewer")
    if plan.sample_tokens < 2:
        raise ConfigError(f"a sequence needs at least 2 tokens, got {plan.sample_tokens}: the first is not counted")
    if plan.lora_rank is not None:
        if plan.lora_rank < 1:
            raise ConfigError(f"the rank of a LoRA is at least 1, got {plan.lora_rank}")
        require_peft(plan.name)
    return count_parameters(ModelSpec(path=plan.name), plan.config, trust_remote_code=False)


def _base(plan: CapacityPlan, n_parameters: int, folder: Path) -> str:
    """Return the frozen weights that a LoRA is put on: those given, or weights trained on other random sequences."""
    if plan.weights is not None:
        return str(plan.weights)
    job = replace(_jobs(plan, n_parameters)[3], seed=BASE_SEED, precision="fp32")  # the expected capacity's 1.22

    def make() -> "PreTrainedModel":
        model, _ = fit_random(job, lambda share: None)
        return model.cpu()

    with one_thread():
        return str(keep_base(folder, json.dumps(asdict(job), sort_keys=True), make))


def _base_words(plan: CapacityPlan) -> str:
    if plan.weights is not None:
        return "the weights of the model"
    return f"weights trained for {plan.training.steps:,} steps on other random sequences"


def _count_trained(plan: CapacityPlan) -> int:
    """Count the parameters of the LoRA."""
    assert plan.lora_rank is not None
    model = with_lora(build(plan.config, seed=0), plan.lora_rank, seed=0)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _jobs(plan: CapacityPlan, n_parameters: int, *, base: str | None = None) -> list[CapacityJob]:
    """List the runs: self-check, sizes and seeds at the shortest schedule, longer schedules at the best size.

    ``n_parameters`` are those that are trained; with a ``base`` they are a LoRA's.
    """
    shortest = plan.training.steps

    def job(role: Role, multiple: float, *, steps: int = shortest, seed: int = 0) -> CapacityJob:
        bits_per_sequence = (plan.sample_tokens - 1) * math.log2(plan.config.get_text_config().vocab_size)
        n_samples = max(2, round(multiple * EXPECTED_BITS_PER_PARAMETER * n_parameters / bits_per_sequence))
        return CapacityJob(
            config=plan.config.to_json_string(use_diff=False),
            sample_tokens=plan.sample_tokens,
            precision=plan.precision,
            device=plan.device,
            role=role,
            n_samples=n_samples,
            seed=seed,
            steps=steps,
            batch_size=min(plan.training.batch_size, n_samples),
            learning_rate=plan.training.learning_rate,
            optimizer=plan.training.optimizer,
            lora_rank=None if base is None else plan.lora_rank,
            base=base,
        )

    return [
        job("self-check", SELF_CHECK),
        *[job("size", multiple) for multiple in SIZES],
        *[job("size", BEST, seed=seed) for seed in range(1, plan.n_seeds)],
        *[job("schedule", BEST, steps=round(length * shortest)) for length in LENGTHS[1:]],
    ]


def fit_random(
    job: CapacityJob, on_share: Callable[[float], None], on_loss: Callable[[float], None] | None = None
) -> "tuple[PreTrainedModel, torch.Tensor]":
    """Train one model to the end of its schedule, and return it with its sequences.

    ``on_loss`` is called with the loss of every step's batch before its update, in nats per token.
    """
    from transformers import AutoConfig

    settings = json.loads(job.config)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    n_vocabulary = int(config.get_text_config().vocab_size)
    sequences = _random_tokens(job.n_samples, job.sample_tokens, n_vocabulary, seed=1000 + job.seed)
    model = build(config, seed=job.seed)
    if job.base is not None and job.lora_rank is not None:
        base = open_base(job.base, lambda: build(config, seed=job.seed))
        model = with_lora(base, job.lora_rank, seed=job.seed)
    model = model.to(job.device)

    def on_step(step: int, loss: float) -> None:
        on_share(step / job.steps)
        if on_loss is not None:
            on_loss(loss)

    train(
        model,
        sequences,
        steps=job.steps,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        seed=job.seed,
        max_gradient_norm=None if job.optimizer == "soap" else 1.0,
        optimizer=job.optimizer,
        precision=job.precision,
        on_step=on_step,
    )
    return model, sequences


def coded_bits(model: "PreTrainedModel", job: CapacityJob, sequences: torch.Tensor) -> tuple[float, float]:
    """Return the bits that the sequences cost under the trained model, and those of a token of fresh ones.

    Raises
    ------
    ModelError
        If a loss is not finite.
    """
    n_vocabulary = int(model.config.get_text_config().vocab_size)
    fresh = _random_tokens(N_TEST, job.sample_tokens, n_vocabulary, seed=2000 + job.seed)
    code_bits = float(sequence_nll(model, sequences).sum()) / math.log(2.0)
    test_bits = float(sequence_nll(model, fresh).sum()) / math.log(2.0)
    if not math.isfinite(code_bits + test_bits):  # the last update is seen by no loss
        raise ModelError("training diverged: the trained model's losses are not finite; lower the learning rate")
    return code_bits, test_bits / fresh[:, 1:].numel()


def _train(job: CapacityJob, on_share: Callable[[float], None]) -> CapacityRun:
    """Train one model and measure what it holds."""
    started = monotonic()
    model, sequences = fit_random(job, on_share)
    if job.precision == "bf16":
        round_weights(model)
    dataset_bits = sequences[:, 1:].numel() * math.log2(int(model.config.get_text_config().vocab_size))
    code_bits, test_bits_per_token = coded_bits(model, job, sequences)
    memorized_bits = dataset_bits - code_bits
    return CapacityRun(
        role=job.role,
        n_samples=job.n_samples,
        dataset_bits=dataset_bits,
        seed=job.seed,
        steps=job.steps,
        epochs=job.steps * job.batch_size / job.n_samples,
        memorized_bits=memorized_bits,
        bits_per_parameter=memorized_bits / sum(one.numel() for one in model.parameters() if one.requires_grad),
        share_memorized=memorized_bits / dataset_bits,
        test_bits_per_token=test_bits_per_token,
        seconds=round(monotonic() - started, 3),
    )


def _random_tokens(n: int, n_tokens: int, n_vocabulary: int, *, seed: int) -> torch.Tensor:
    """Draw sequences uniformly, shape (n, n_tokens)."""
    return torch.randint(n_vocabulary, (n, n_tokens), generator=torch.Generator().manual_seed(seed))


def round_weights(model: "PreTrainedModel") -> None:
    """Round every weight to the nearest bfloat16, and keep computing in float32."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().to(parameter.dtype))


def _embedding_parameters(config: "PreTrainedConfig") -> int:
    """Count the parameters of the tables that tokens and positions are looked up in."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Embedding))


def _schedules(runs: Sequence[CapacityRun]) -> list[CapacityRun]:
    """Return the runs that differ in length only, shortest first."""
    longer = sorted((run for run in runs if run.role == "schedule"), key=lambda run: run.steps)
    shortest = next(run for run in runs if run.role == "size" and run.seed == 0 and
                    run.n_samples == longer[0].n_samples)  # fmt: skip
    return [shortest, *longer]


def _all_positive(runs: Sequence[CapacityRun]) -> bool:
    return all(run.memorized_bits > 0 for run in runs)


def _extrapolations(schedules: Sequence[CapacityRun]) -> tuple[Extrapolation, ...]:
    """Fit three forms to three lengths; a power that the three points do not have is left out."""
    lengths = np.array([run.steps for run in schedules], dtype=np.float64)
    held = np.array([run.bits_per_parameter for run in schedules])

    def limit(power: float) -> float:
        design = np.stack([np.ones_like(lengths), -(lengths**-power)], axis=1)
        return float(np.linalg.lstsq(design, held, rcond=None)[0][0])

    def curvature(power: float) -> float:
        t = lengths**-power
        return float((held[1] - held[0]) * (t[1] - t[2]) - (held[2] - held[1]) * (t[0] - t[1]))

    found = [Extrapolation(form=form, bits_per_parameter=limit(power)) for form, power in _POWERS.items()]
    low, high = 0.05, 4.0
    if curvature(low) * curvature(high) < 0:
        power = float(scipy.optimize.brentq(curvature, low, high))
        found.append(Extrapolation(form=f"a - b / steps^{power:.2f}", bits_per_parameter=limit(power)))
    return tuple(found)


def _settings(plan: CapacityPlan) -> dict[str, str]:
    training = plan.training
    return {
        "optimizer": training.optimizer,
        "learning_rate": f"{training.learning_rate:g}",
        "batch_size": str(training.batch_size),
        "steps": ", ".join(str(round(length * training.steps)) for length in LENGTHS),
        "schedule": "50 steps of warm-up, cosine to zero",
        "sizes": ", ".join(f"{multiple:g}" for multiple in (SELF_CHECK, *SIZES))
        + f" times {EXPECTED_BITS_PER_PARAMETER} bits per parameter",
        "config": plan.config.to_json_string(use_diff=True).replace("\n", " "),
    }


def _warnings(
    plan: CapacityPlan,
    runs: Sequence[CapacityRun],
    best: CapacityRun,
    extrapolations: Sequence[Extrapolation],
    last_gain: float | None,
    self_check: float,
) -> list[str]:
    """Say why the figure may be far below the capacity, and what could not be given."""
    found = []
    sizes = [run.n_samples for run in runs if run.role == "size"]
    if self_check < SELF_CHECK_SHARE:
        found.append(
            f"the self-check failed: of a set far below the capacity only {self_check:.1%} was memorised, so the "
            "training is too short or its learning rate wrong, and the figure says little about the capacity"
        )
    if last_gain is None:
        found.append("a schedule held no bits at all: the training does not work for this architecture")
    elif last_gain > CONVERGED_GAIN:
        found.append(
            f"not converged: the longest schedule gained {last_gain:.1%} over the one before it; more steps give more"
        )
    if len(extrapolations) == len(_POWERS):
        found.append("no power of the steps goes through the three schedules: that extrapolation is left out")
    if plan.lora_rank is not None:
        found.append(
            f"bits of each parameter of a LoRA of rank {plan.lora_rank}, on {_base_words(plan)}; on other weights, and "
            "for text, it may hold another amount"
        )
    if plan.n_seeds == 1:
        found.append("one seed: how much the figure varies between seeds is not known")
    if not min(sizes) < best.n_samples < max(sizes):
        found.append(
            "the best run has the smallest or the largest data set: the maximum may lie beyond the sizes tried"
        )
    ordering = _ordering_bits(plan, best)
    if ordering > ORDERING_SHARE * best.dataset_bits:
        found.append(
            f"which sequence is meant costs at least {ordering:,.0f} bits whatever the model "
            f"({ordering / best.dataset_bits:.1%} of the data): longer sequences would show more of the capacity"
        )
    if plan.precision == "bf16" and plan.device == "cpu":
        found.append("bfloat16 on a CPU: computed as the CPU emulates it")
    return found


def _ordering_bits(plan: CapacityPlan, run: CapacityRun) -> float:
    """Least code length of the sequences: those that share a first token share probability one.

    Of ``n`` that do, one that occurs ``k`` times has at best the probability ``k / n``.
    """
    n_vocabulary = int(plan.config.get_text_config().vocab_size)
    sequences = _random_tokens(run.n_samples, plan.sample_tokens, n_vocabulary, seed=1000 + run.seed)
    groups = Counter(sequences[:, 0].tolist())
    distinct = Counter(map(tuple, sequences.tolist()))
    return sum(k * math.log2(groups[sequence[0]] / k) for sequence, k in distinct.items())
