"""The paper's figures again: capacity over sizes, bits and losses on text, and what is recited."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from auditor.documents.calibration import Calibration, CalibrationCell
from auditor.documents.estimate import Estimate
from auditor.documents.reproduction import CapacityGrid, CapacitySweep, Slope

from ..escaping import ID, visible
from ..numbers import count, number, plain
from ..paper_claims import NOMINAL_BITS
from .sheet import BY_LINE, GREY, SERIES, log_ticks, new_sheet, padded, put_legend, short

__all__ = ["capacity_sweep_figure", "recited_figure", "text_figure", "training_figure"]

_DASHED = (0, (4, 2))


def capacity_sweep_figure(found: CapacitySweep, path: Path) -> None:
    """Draw what each size held by size of the data, and the most that it held by parameters.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    caption = (
        f"Each mark is one model trained on random tokens ({count(found.n_vocabulary)} kinds, sequences of "
        f"{found.sample_tokens}). Left: dashed, all of the data. Right: the most that each size held, a lower bound; "
        "filled in float32, hollow with the weights rounded to bfloat16; dashed, the paper's 3.64 bits per parameter."
    )
    with new_sheet(path, 7.4, 3.3, f"Capacity over sizes{_said(found.slope)}", caption) as sheet:
        left, right = sheet.add_axes((0.085, 0.14, 0.38, 0.68)), sheet.add_axes((0.6, 0.14, 0.38, 0.68))
        drawn: list[Artist] = []
        sizes = sorted({run.params for run in found.runs})
        for (color, marker), params in zip(SERIES * len(sizes), sizes, strict=False):
            runs = sorted((run for run in found.runs if run.params == params), key=lambda run: run.dataset_bits)
            drawn += left.plot(
                [run.dataset_bits for run in runs], [run.memorized_bits for run in runs],
                color=color, marker=marker, ms=4.5, lw=1, label=f"{short(params)} parameters",
            )  # fmt: skip
            for bits, face in (
                (max(run.memorized_bits for run in runs), color),
                (max(run.memorized_bits_bf16 for run in runs), "none"),
            ):
                right.plot([params], [bits], color=color, marker=marker, ms=5.5, mfc=face)
        x = padded([run.dataset_bits for run in found.runs], 1.3)
        top = 1.15 * max(run.memorized_bits for run in found.runs)
        left.set(xscale="log", xlim=x, ylim=(0, top), title="What a size holds")
        left.set(xlabel="information in the data (bits)", ylabel="memorised (bits)")
        grid = np.geomspace(*x, 100)
        left.plot(grid, grid, color=GREY, lw=0.9, ls=_DASHED)
        log_ticks(left, short)
        _draw_slope(right, sizes, found.slope, top)
        for axes in (left, right):
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        put_legend(sheet, drawn, 1)


def _draw_slope(axes: Axes, sizes: Sequence[int], slope: Slope | None, top: float) -> None:
    grid = np.array([0.0, 1.1 * max(sizes)])
    axes.plot(grid, 3.64 * grid, color=GREY, lw=0.9, ls=_DASHED)
    axes.set(xlim=tuple(grid), ylim=(0, max(top, 3.8 * max(sizes))), title="Most that each size holds")
    axes.set(xlabel="parameters", ylabel="memorised (bits)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    words = (
        "" if slope is None else f"slope {number(slope.value, 2)} [{number(slope.low, 2)} to {number(slope.high, 2)}]"
    )
    axes.annotate(words, (0.04, 0.96), xycoords="axes fraction", va="top", **BY_LINE)


def _said(slope: Slope | None) -> str:
    return "" if slope is None else f": {number(slope.value, 2)} bits for each further parameter (lower bounds)"


def training_figure(found: CapacityGrid, path: Path) -> None:
    """Draw bits held by steps of training, a line for each amount of data.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    caption = (
        "Each line is one model trained on random tokens to the end of its schedule: bits by the mean loss of the last "
        "pass over its data; the mark is what the trained model holds. Dashed: the paper's 3.64 bits per parameter."
    )
    with new_sheet(path, 7.4, 3.3, "Bits held during training", caption) as sheet:
        axes = sheet.add_axes((0.09, 0.14, 0.88, 0.68))
        drawn: list[Artist] = []
        for (color, marker), run in zip(SERIES * len(found.runs), found.runs, strict=False):
            steps = [point.steps for point in run.curve]
            held = [point.memorized_bits / run.params for point in run.curve]
            label = f"{count(run.n_samples)} sequences ({plain(run.dataset_bits / run.params)})"
            drawn += axes.plot(steps, held, color=color, lw=1, label=label)
            axes.plot([run.steps], [run.memorized_bits / run.params], color=color, marker=marker, ms=5)
        axes.axhline(3.64, color=GREY, lw=0.9, ls=_DASHED)
        axes.set(xscale="log", xlim=padded([p.steps for run in found.runs for p in run.curve], 1.2), ylim=(0, 4.2))
        axes.set(xlabel="steps", ylabel="memorised (bits per parameter)", title="By data (bits per parameter)")
        log_ticks(axes, short)
        put_legend(sheet, drawn, 1)


def text_figure(found: Calibration, path: Path) -> None:
    """Draw unintended bits and losses of every cell of a sweep on text, by data over nominal capacity.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`, or the sweep kept no bits.
    """
    caption = (
        f"Each mark is one model; data: bits of its texts under a reference of the same size on other texts; capacity: "
        f"{NOMINAL_BITS} bits per parameter. Left: the debiased clip with 95% intervals over texts; dashed, beside the "
        "largest reference; dotted, beside one of the same size on all texts. Right: filled, members; hollow, others."
    )
    title = f"Unintended memorization and double descent on {visible(found.data, ID)}"
    with new_sheet(path, 7.4, 3.3, title, caption) as sheet:
        left, right = sheet.add_axes((0.085, 0.14, 0.4, 0.68)), sheet.add_axes((0.575, 0.14, 0.4, 0.68))
        drawn: list[Artist] = []
        for (color, marker), cells in _sizes(found):
            x = [_filled(cell) for cell in cells]
            held = [_scaled(cell.memorized_bits, cell.params) for cell in cells]
            drawn += _with_intervals(left, x, held, color, marker, f"{short(cells[0].params)} parameters")
            other = [_scaled(cell.memorized_bits_by_largest, cell.params)[0] for cell in cells]
            left.plot(x, other, color=color, lw=0.8, ls=_DASHED)
            whole = [_scaled(cell.memorized_bits_by_whole, cell.params)[0] for cell in cells]
            left.plot(x, whole, color=color, lw=0.8, ls=":")
            right.plot(x, [cell.member_bits_per_token for cell in cells], color=color, marker=marker, ms=4.5, lw=1)
            others = [cell.non_member_bits_per_token for cell in cells]
            right.plot(x, others, color=color, marker=marker, ms=4.5, lw=1, mfc="none")
        ratios = padded([_filled(cell) for cell in found.cells], 1.3)
        left.set(ylabel="unintended bits per parameter", title="Unintended memorization")
        left.set_ylim(bottom=0)
        right.set(ylabel="bits per token", title="Losses")
        _by_capacity((left, right), ratios)
        put_legend(sheet, drawn, 1)


def recited_figure(found: Calibration, path: Path) -> None:
    """Draw how much is recited of members and of others, by data over capacity, and against membership.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`, or the sweep kept no recitation.
    """
    caption = (
        "Recited: the second half of a text is written, greedily, after its first half. Left: filled, members; hollow, "
        "held-out texts; with 95% intervals over texts. Middle and right: each mark is a model; below the dashed line "
        "membership is easier than extraction."
    )
    with new_sheet(path, 7.4, 3.3, f"Extraction on {visible(found.data, ID)}", caption) as sheet:
        left, middle, right = (sheet.add_axes((x, 0.14, 0.25, 0.68)) for x in (0.075, 0.405, 0.735))
        drawn: list[Artist] = []
        for (color, marker), cells in _sizes(found):
            x = [_filled(cell) for cell in cells]
            members = [_scaled(cell.recited_members, 1) for cell in cells]
            drawn += _with_intervals(left, x, members, color, marker, f"{short(cells[0].params)} parameters")
            others = [_scaled(cell.recited_non_members, 1)[0] for cell in cells]
            left.plot(x, others, color=color, marker=marker, ms=4.5, lw=0.8, mfc="none")
            f1 = [cell.loss_f1.value or math.nan for cell in cells]
            middle.plot(f1, [one for one, _, _ in members], color=color, marker=marker, ms=4.5, ls="")
            bits = [_scaled(cell.memorized_bits, cell.n_samples)[0] for cell in cells]
            right.plot(bits, [one for one, _, _ in members], color=color, marker=marker, ms=4.5, ls="")
        left.set(ylabel="share of texts recited", title="What is recited", ylim=(-0.02, 1.05))
        _by_capacity((left,), padded([_filled(cell) for cell in found.cells], 1.3))
        middle.plot([0.45, 1.02], [0.45, 1.02], color=GREY, lw=0.9, ls=_DASHED)
        middle.set(xlim=(0.45, 1.02), ylim=(-0.02, 1.05), title="Against membership")
        middle.set(xlabel="F1 of the loss attack", ylabel="members recited")
        right.set(ylim=(-0.02, 1.05), title="Against bits", xlabel="unintended bits a text", ylabel="members recited")
        right.set_xlim(left=0)
        put_legend(sheet, drawn, 1)


def _by_capacity(many: Sequence[Axes], x: tuple[float, float]) -> None:
    for axes in many:
        axes.set(xscale="log", xlim=x, xlabel="data ÷ capacity")
        axes.axvline(1, color=GREY, lw=0.9, ls=_DASHED)
        log_ticks(axes, plain)


def _sizes(found: Calibration) -> list[tuple[tuple[str, str], list[CalibrationCell]]]:
    """List the cells of each size with its colour and mark."""
    if any(cell.dataset_bits is None for cell in found.cells):
        raise ValueError("this calibration kept no bits: it was made by an older auditor")
    sizes = sorted({cell.params for cell in found.cells})
    cells = [sorted((c for c in found.cells if c.params == one), key=lambda c: c.n_samples) for one in sizes]
    return list(zip((SERIES * len(sizes))[: len(sizes)], cells, strict=True))


def _filled(cell: CalibrationCell) -> float:
    return (cell.dataset_bits or 0.0) / (NOMINAL_BITS * cell.params)


def _scaled(estimate: Estimate | None, divisor: float) -> tuple[float, float, float]:
    """Return value and both arms, over a divisor; all NaN where it is undefined, which draws nothing."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return math.nan, math.nan, math.nan
    return (
        estimate.value / divisor,
        (estimate.value - estimate.low) / divisor,
        (estimate.high - estimate.value) / divisor,
    )


def _with_intervals(
    axes: Axes, x: Sequence[float], held: Sequence[tuple[float, float, float]], color: str, marker: str, label: str
) -> list[Artist]:
    """Draw values with their intervals; return what a legend needs."""
    values, below, above = zip(*held, strict=True)
    axes.errorbar(x, values, yerr=(below, above), color=color, fmt="none", lw=0.8)
    return list(axes.plot(x, values, color=color, marker=marker, ms=4.5, lw=1, label=label))
