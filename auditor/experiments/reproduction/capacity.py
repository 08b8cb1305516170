"""Capacity over sizes: what models of several sizes hold of random tokens, and the slope of it."""

import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import monotonic, process_time
from typing import Literal, cast

import numpy as np
import scipy

from ...config import ModelSpec
from ...documents.reproduction import CapacitySweep, Scale, SizeRun, Slope
from ...engine.loading.configs import count_parameters
from ..capacity import EXPECTED_BITS_PER_PARAMETER, CapacityJob, coded_bits, fit_random, round_weights
from ..presets import default_training
from ..workers import Ledger, RunProgress, cpu_time, run_jobs
from .scales import CAPACITY, CapacityScale

__all__ = ["sweep_capacity"]

_LEVEL = 0.95
_PACKAGES = ("torch", "transformers", "numpy", "scipy")


def sweep_capacity(
    scale: Scale, *, folder: Path, device: str, workers: int, on_progress: RunProgress | None = None
) -> CapacitySweep:
    """Train models of several sizes on several amounts of random tokens, and fit bits against parameters.

    Parameters
    ----------
    scale : {"laptop", "paper"}
    folder : Path
        Where finished runs are kept; an interrupted sweep goes on from there.
    device : str
    workers : int
        Trainings side by side, one thread each.
    on_progress : callable, optional
        Called with the cost done and the cost of all.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 3: capacity as the most that is held over sizes of the data,
       bits per parameter as its slope over sizes of the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = CAPACITY[scale]
    jobs = [job for shape in chosen.shapes for job in _jobs(chosen, *shape, device=device)]
    ledger = Ledger(folder / "runs.jsonl", SizeRun)
    runs = tuple(run_jobs(_train_size, jobs, ledger=ledger, workers=workers, on_progress=on_progress))
    return CapacitySweep(
        scale=scale,
        n_vocabulary=chosen.n_vocabulary,
        sample_tokens=chosen.sample_tokens,
        device=device,
        runs=runs,
        slope=_slope(runs, "memorized_bits"),
        slope_bf16=_slope(runs, "memorized_bits_bf16"),
        settings={
            "optimizer": chosen.optimizer,
            "batch_size": str(chosen.batch_size),
            "steps": chosen.length.words,
            "data": ", ".join(f"{one:g}" for one in chosen.multiples) + " times 3.6 bits per parameter",
            "precision": "fp32; bf16: the weights of the same model rounded once it is trained",
        },
        packages={name: version(name) for name in _PACKAGES},
        seconds=round(sum(run.seconds for run in runs), 3),
        cpu_seconds=cpu_time(runs),
    )


def _jobs(scale: CapacityScale, n_layer: int, n_embd: int, *, device: str) -> list[CapacityJob]:
    """List the runs of a size, one an amount of data."""
    config = scale.config(n_layer, n_embd)
    _, n_parameters = count_parameters(ModelSpec(path=f"{n_layer}x{n_embd}"), config, trust_remote_code=False)
    bits_per_sequence = (scale.sample_tokens - 1) * math.log2(scale.n_vocabulary)
    expected = EXPECTED_BITS_PER_PARAMETER * n_parameters / bits_per_sequence
    rate = 1e-3 if scale.optimizer == "adamw" else default_training(n_parameters, scale.sample_tokens).learning_rate
    return [
        CapacityJob(
            config=config.to_json_string(use_diff=False),
            sample_tokens=scale.sample_tokens,
            precision="fp32",
            device=device,
            role="size",
            n_samples=(n_samples := max(2, round(multiple * expected))),
            seed=0,
            steps=scale.length.steps(n_parameters),
            batch_size=min(scale.batch_size, n_samples),
            learning_rate=rate,
            optimizer=cast(Literal["adamw", "soap"], scale.optimizer),
        )
        for multiple in scale.multiples
    ]


def _train_size(job: CapacityJob, on_share: Callable[[float], None]) -> SizeRun:
    """Train one model, and measure what it holds before and after its weights are rounded."""
    started, began = monotonic(), process_time()
    model, sequences = fit_random(job, on_share)
    n_vocabulary = int(model.config.vocab_size)
    dataset_bits = sequences[:, 1:].numel() * math.log2(n_vocabulary)
    code_bits, test_bits = coded_bits(model, job, sequences)
    round_weights(model)
    rounded_bits, _ = coded_bits(model, job, sequences)
    return SizeRun(
        n_layer=int(model.config.n_layer),
        n_embd=int(model.config.n_embd),
        params=sum(parameter.numel() for parameter in model.parameters()),
        n_samples=job.n_samples,
        dataset_bits=dataset_bits,
        steps=job.steps,
        memorized_bits=dataset_bits - code_bits,
        memorized_bits_bf16=dataset_bits - rounded_bits,
        test_bits_per_token=test_bits,
        seconds=round(monotonic() - started, 3),
        cpu_seconds=round(process_time() - began, 3),
    )


def _slope(runs: Sequence[SizeRun], name: str) -> Slope | None:
    """Fit a line to the most that each size held; Student's t on the slope."""
    held: dict[int, float] = {}
    for run in runs:
        held[run.params] = max(getattr(run, name), held.get(run.params, -math.inf))
    if len(held) < 3:
        return None
    params, bits = np.array(sorted(held)), np.array([held[one] for one in sorted(held)])
    line = scipy.stats.linregress(params, bits)
    arm = float(scipy.stats.t.ppf((1 + _LEVEL) / 2, len(params) - 2)) * float(line.stderr)
    return Slope(
        value=float(line.slope),
        low=float(line.slope) - arm,
        high=float(line.slope) + arm,
        level=_LEVEL,
        n_sizes=len(params),
        method="least squares with an intercept, Student's t",
    )
