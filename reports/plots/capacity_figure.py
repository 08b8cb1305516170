"""A measured capacity: what the model holds, and what it makes of fresh sequences, by size of the data."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from auditor.documents.capacity import CapacityMeasurement, CapacityRun

from ..escaping import ID, visible
from ..numbers import count, number, percent, plain, plural
from .sheet import (
    BLUE,
    BY_LINE,
    GREEN,
    GREY,
    INK,
    RED,
    Point,
    log_ticks,
    new_sheet,
    padded,
    put_legend,
    short,
    step_words,
)

__all__ = ["capacity_figure"]

_ROLES: dict[str, tuple[str, str, str]] = {
    "self-check": (GREEN, "s", "self-check"),
    "size": (BLUE, "o", "dataset sizes"),
    "schedule": (RED, "^", "schedules"),
}


def capacity_figure(measured: CapacityMeasurement, path: Path) -> None:
    """Draw what the runs of a capacity measurement held, and what they cost on fresh sequences.

    Parameters
    ----------
    measured : CapacityMeasurement
    path : Path
        Written; its extension is the format.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    n_trained = measured.n_trained_parameters or measured.n_parameters
    capacity = max(1.0, measured.bits_per_parameter * n_trained)
    held = number(math.floor(100 * measured.bits_per_parameter) / 100, 2)
    title = (
        f"{visible(measured.model, ID)} ({visible(measured.architecture, ID)}, "
        f"{visible(measured.precision)}), {plural(n_trained, 'parameter')}{_of_lora(measured)}: "
        f"≥ {held} bits per parameter (lower bound)"
    )
    with new_sheet(path, 7.4, 3.6, title, _capacity_caption(measured)) as sheet:
        left, right = sheet.add_axes((0.085, 0.125, 0.34, 0.735)), sheet.add_axes((0.62, 0.125, 0.365, 0.735))
        put_legend(sheet, _draw_memorized(left, measured, capacity), 1)
        _draw_test(right, measured, capacity)


def _of_lora(measured: CapacityMeasurement) -> str:
    return "" if measured.lora_rank is None else f" of a LoRA of rank {measured.lora_rank}"


def _mark_runs(axes: Axes, runs: Sequence[CapacityRun], place: Callable[[CapacityRun], Point]) -> list[Artist]:
    """Draw one mark a run, by what the run was for and, of schedules, larger for longer; return what a legend needs."""
    drawn: list[Artist] = []
    for role, (color, marker, name) in _ROLES.items():
        chosen = [run for run in runs if run.role == role]
        lengths = sorted({run.steps for run in chosen})
        for rank, steps in enumerate(lengths):
            x, y = zip(*(place(run) for run in chosen if run.steps == steps), strict=True)
            style: dict[str, Any] = (
                {"ms": 5 + 6 * rank / max(1, len(lengths) - 1), "mfc": "none", "mec": color, "mew": 1.1, "zorder": 5}
                if role == "schedule"
                else {"ms": 5.5, "mfc": color, "mec": "white", "mew": 0.6, "zorder": 4}
            )
            drawn += axes.plot(x, y, ls="", marker=marker, label=f"{name} ({step_words(lengths)})", **style)
    return drawn


def _draw_memorized(axes: Axes, measured: CapacityMeasurement, capacity: float) -> list[Artist]:
    """Draw memorised bits against the information in the dataset."""
    runs, params = measured.runs, measured.n_trained_parameters or measured.n_parameters
    x = padded([*(run.dataset_bits for run in runs), capacity], 1.6)
    lowest = min([0.0, *(run.memorized_bits for run in runs)])
    bottom = lowest - 0.05 * capacity if lowest else 0.0
    axes.set(xscale="log", xlim=x, ylim=(bottom, 1.3 * capacity))
    axes.set(title="What the model holds", xlabel="information in the data, H (bits)", ylabel="memorised (bits)")
    log_ticks(axes, short)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    per_parameter = axes.secondary_yaxis(
        "right", functions=(lambda y: np.asarray(y) / params, lambda y: np.asarray(y) * params)
    )
    per_parameter.set_ylabel("bits per parameter")
    grid = np.geomspace(*x, 200)
    axes.plot(grid, grid, color=GREY, lw=0.9, ls=(0, (4, 2)))
    axes.plot(grid, np.minimum(grid, capacity), color=INK, lw=1.1)
    axes.annotate(
        "all of it: H", (1.25 * capacity, 1.25 * capacity), xytext=(-4, 0), ha="right", va="center", **BY_LINE
    )
    axes.annotate("min(capacity, H)", (x[1], capacity), xytext=(-2, 2), ha="right", va="bottom", **BY_LINE)
    return _mark_runs(axes, runs, lambda run: (run.dataset_bits, run.memorized_bits))


def _draw_test(axes: Axes, measured: CapacityMeasurement, capacity: float) -> None:
    """Draw what fresh sequences cost, against the information in the data in units of the capacity."""
    runs, nothing = measured.runs, math.log2(measured.n_vocabulary)
    x = padded([*(run.dataset_bits / capacity for run in runs), 1.0], 1.6)
    top = 1.15 * max([nothing, *(run.test_bits_per_token for run in runs)])
    axes.set(xscale="log", xlim=x, ylim=(0, top), title="What it makes of fresh sequences")
    axes.set(xlabel="H ÷ capacity", ylabel="test bits per token")
    log_ticks(axes, plain)
    axes.axvline(1, color=GREY, lw=0.9, ls=(0, (4, 2)))
    axes.axhline(nothing, color=GREY, lw=0.9, ls=(0, (1, 2)))
    axes.annotate("just full", (1, top), xytext=(3, -1), va="top", **BY_LINE)
    words = f"knows nothing: {plain(nothing)} = log2({count(measured.n_vocabulary)})"
    axes.annotate(words, (x[1], nothing), xytext=(-2, -2), ha="right", va="top", **BY_LINE)
    _mark_runs(axes, runs, lambda run: (run.dataset_bits / capacity, run.test_bits_per_token))
    by_size: dict[float, list[float]] = {}
    for run in runs:
        if run.role == "size":
            by_size.setdefault(run.dataset_bits / capacity, []).append(run.test_bits_per_token)
    means = [(ratio, sum(bits) / len(bits)) for ratio, bits in sorted(by_size.items())]
    axes.plot([ratio for ratio, _ in means], [bits for _, bits in means], color=BLUE, lw=0.9)


def _capacity_caption(measured: CapacityMeasurement) -> str:
    """Say what the runs were, and how far the figure can be trusted."""
    parts = [
        f"Each mark is one model trained on random tokens ({count(measured.n_vocabulary)} kinds, sequences of "
        f"{count(measured.sample_tokens)}) to the end of its schedule; larger triangles are longer "
        "schedules. The capacity is the most that a run held: a lower bound, because training finds no optimum."
    ]
    if measured.last_gain is None:
        parts.append("With one length of schedule, nothing says whether longer training gives more.")
    else:
        then = "" if measured.converged else ": longer training gives more"
        parts.append(f"The longest schedule gained {percent(round(measured.last_gain, 3))} on the one before{then}.")
    if measured.extrapolations:
        values = sorted(found.bits_per_parameter for found in measured.extrapolations)
        parts.append(
            f"Extrapolated, not measured: {number(values[0], 2)} to {number(values[-1], 2)} bits per parameter."
        )
    if measured.seed_low is not None and measured.seed_high is not None:
        parts.append(f"Seeds alone: {number(measured.seed_low, 2)} to {number(measured.seed_high, 2)}.")
    parts.append(
        f"Fresh sequences have nothing in common with the data: log2({count(measured.n_vocabulary)}) bits per token is "
        "what knowing nothing costs, and more is overconfidence, which is largest where the data just fit."
    )
    return " ".join(parts)
