"""Grids of capacities on random tokens: bits during training, precision, sequences and vocabulary, depth and width."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic, process_time

import numpy as np

from ...documents.reproduction import CapacityGrid, CurvePoint, GridPart, GridRun, Scale
from ..capacity import EXPECTED_BITS_PER_PARAMETER, CapacityJob, coded_bits, fit_random, round_weights
from ..presets import default_training
from ..workers import Ledger, RunProgress, cpu_time, run_jobs
from .grid_scales import GRIDS, GridCell, GridScale
from .models import count_gpt2, gpt2

__all__ = ["run_grid"]

_PACKAGES = ("torch", "transformers", "numpy")
_POINTS = 24
"""Of a curve, evenly spaced in the logarithm of the steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridJob:
    """A run of a grid: what is trained, and its shape for the record."""

    job: CapacityJob
    cell: GridCell

    @property
    def cost(self) -> float:
        """Tokens that are trained on, with a little for the layers."""
        return self.job.cost * self.cell.sample_tokens * (1 + self.cell.n_layer)


def run_grid(
    part: GridPart, scale: Scale, *, folder: Path, device: str, workers: int, on_progress: RunProgress | None = None
) -> CapacityGrid:
    """Train every cell of a grid on random tokens, and measure what each holds, on the way and at the end.

    Parameters
    ----------
    part : {"training", "precision", "sequences", "shapes"}
    scale : {"laptop", "paper"}
    folder : Path
        Where finished runs are kept; an interrupted grid goes on from there.
    device : str
    workers : int
        Trainings side by side, one thread each.
    on_progress : callable, optional
        Called with the cost done and the cost of all.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 3: bits during training, tables of precision, of length of
       sequence and vocabulary, and of depth and width.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = GRIDS[scale]
    jobs = [_job(chosen, cell, device=device) for cell in chosen.cells[part]]
    ledger = Ledger(folder / "runs.jsonl", GridRun)
    runs = tuple(run_jobs(_train_cell, jobs, ledger=ledger, workers=workers, on_progress=on_progress))
    return CapacityGrid(
        part=part,
        scale=scale,
        device=device,
        runs=runs,
        paper_operations=sum(
            _operations(_job(GRIDS["paper"], cell, device=device)) for cell in GRIDS["paper"].cells[part]
        ),
        settings={
            "optimizer": chosen.optimizer,
            "tokens_per_step": str(chosen.tokens_per_step),
            "steps": chosen.length.words,
        },
        packages={name: version(name) for name in _PACKAGES},
        seconds=round(sum(run.seconds for run in runs), 3),
        cpu_seconds=cpu_time(runs),
    )


def _job(scale: GridScale, cell: GridCell, *, device: str) -> GridJob:
    n_parameters = _parameters(cell)
    n_samples = _n_samples(cell, n_parameters)
    config = gpt2(cell.n_layer, cell.n_embd, cell.n_vocabulary, cell.sample_tokens, heads=scale.heads)
    rate = 1e-3 if scale.optimizer == "adamw" else default_training(n_parameters, cell.sample_tokens).learning_rate
    return GridJob(
        job=CapacityJob(
            config=config.to_json_string(use_diff=False),
            sample_tokens=cell.sample_tokens,
            precision=cell.precision,
            device=device,
            role="size",
            n_samples=n_samples,
            seed=0,
            steps=scale.length.steps(n_parameters),
            batch_size=min(max(1, scale.tokens_per_step // cell.sample_tokens), n_samples),
            learning_rate=rate,
            optimizer=scale.optimizer,
        ),
        cell=cell,
    )


def _parameters(cell: GridCell) -> int:
    return count_gpt2(cell.n_layer, cell.n_embd, cell.n_vocabulary, cell.sample_tokens)


def _n_samples(cell: GridCell, n_parameters: int) -> int:
    if isinstance(cell.data, int):
        return cell.data
    bits_per_sequence = (cell.sample_tokens - 1) * math.log2(cell.n_vocabulary)
    return max(2, round(cell.data * EXPECTED_BITS_PER_PARAMETER * n_parameters / bits_per_sequence))


def _operations(job: GridJob) -> float:
    """Six for each parameter and token."""
    return 6.0 * _parameters(job.cell) * job.job.steps * job.job.batch_size * job.cell.sample_tokens


def _train_cell(job: GridJob, on_share: Callable[[float], None]) -> GridRun:
    """Train one model, and measure what it holds on the way, at the end, and once its weights are rounded."""
    started, began = monotonic(), process_time()
    losses: list[float] = []
    model, sequences = fit_random(job.job, on_share, losses.append)
    dataset_bits = sequences[:, 1:].numel() * math.log2(job.cell.n_vocabulary)
    code_bits, test_bits = coded_bits(model, job.job, sequences)
    round_weights(model)
    rounded_bits, rounded_test_bits = coded_bits(model, job.job, sequences)
    as_trained = job.job.precision == "fp32"
    return GridRun(
        n_layer=job.cell.n_layer,
        n_embd=job.cell.n_embd,
        params=sum(parameter.numel() for parameter in model.parameters()),
        n_vocabulary=job.cell.n_vocabulary,
        sample_tokens=job.cell.sample_tokens,
        n_samples=job.job.n_samples,
        dataset_bits=dataset_bits,
        precision=job.job.precision,
        steps=job.job.steps,
        memorized_bits=dataset_bits - (code_bits if as_trained else rounded_bits),
        memorized_bits_bf16=dataset_bits - rounded_bits,
        test_bits_per_token=test_bits if as_trained else rounded_test_bits,
        curve=_curve(losses, window=math.ceil(job.job.n_samples / job.job.batch_size), dataset_bits=dataset_bits,
                     n_tokens=sequences[:, 1:].numel()),
        seconds=round(monotonic() - started, 3),
        cpu_seconds=round(process_time() - began, 3),
    )  # fmt: skip


def _curve(losses: Sequence[float], *, window: int, dataset_bits: float, n_tokens: int) -> tuple[CurvePoint, ...]:
    """Turn the losses of batches into bits held, each point from the last ``window`` losses: a pass over the data."""
    ends = np.unique(np.geomspace(min(window, len(losses)), len(losses), _POINTS).round().astype(int))
    return tuple(
        CurvePoint(
            steps=int(end),
            memorized_bits=dataset_bits - float(np.mean(losses[max(0, end - window) : end])) / math.log(2) * n_tokens,
        )
        for end in ends
    )
