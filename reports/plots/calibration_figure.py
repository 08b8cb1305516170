"""A calibrated law: the cells with their intervals, the fit with its band, the paper's law."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from auditor.documents.calibration import Calibration, CalibrationCell, TrainingEffect
from auditor.documents.estimate import Estimate
from auditor.laws.calibration import law_from
from auditor.laws.membership import PAPER_LAW, REFERENCE_LAW

from ..escaping import ID, visible
from ..numbers import count, number, percent, plain, plural
from .sheet import BLUE, FAINT, GREY, INK, SERIES, log_ticks, new_sheet, padded, put_legend

__all__ = ["calibration_figure"]

Attack = Literal["loss", "reference"]


def calibration_figure(calibration: Calibration, path: Path) -> None:
    """Draw the cells of a calibration with the laws fitted to them, beside the paper's law.

    Parameters
    ----------
    calibration : Calibration
    path : Path
        Written; its extension is the format.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    title = f"The membership law, calibrated on {visible(calibration.data, ID)}"
    rows = math.ceil((len({cell.params for cell in calibration.cells}) + 6) / 4)
    height = 3.05 + 0.17 * rows
    with new_sheet(path, 7.4, height, title, _calibration_caption(calibration)) as sheet:
        left, right = (sheet.add_axes((x, 0.45 / height, 0.425, 2.35 / height)) for x in (0.075, 0.56))
        left.set_ylabel("F1 at equal error")
        legend = _draw_calibration(left, calibration, "loss") + _draw_calibration(right, calibration, "reference")
        put_legend(sheet, legend, rows)


def _draw_calibration(axes: Axes, calibration: Calibration, attack: Attack) -> list[Artist]:
    """Draw F1 of one attack against samples per parameter; return what a legend needs."""
    cells = [cell for cell in calibration.cells if _f1(cell, attack).value is not None]
    effect = calibration.training_effect
    shown = [*cells, *((effect.short, effect.long) if effect else ())]
    ratios = [cell.samples_per_parameter for cell in shown] or [PAPER_LAW.fitted_from, PAPER_LAW.fitted_to]
    x = padded(ratios, 1.35)
    lows = [low for cell in shown if (low := _f1(cell, attack).low) is not None]
    axes.set(xscale="log", xlim=x, ylim=(min([0.47, *lows]) - 0.01, 1.02))
    axes.set(title=f"{attack.capitalize()} attack", xlabel="64-token samples per parameter")
    log_ticks(axes, plain)
    axes.axhline(0.5, color=FAINT, lw=0.7)
    drawn: list[Artist] = []
    for index, params in enumerate(sorted({cell.params for cell in calibration.cells})):
        of_size = [cell for cell in cells if cell.params == params]
        drawn += _draw_cells(axes, of_size, attack, index) if of_size else []
    if effect is not None:
        drawn += _draw_effect(axes, effect, attack)
    return drawn + _draw_laws(axes, calibration, attack, np.geomspace(*x, 200).tolist())


def _draw_laws(axes: Axes, calibration: Calibration, attack: Attack, grid: list[float]) -> list[Artist]:
    """Draw the fitted law with its band and range, and the paper's."""
    drawn: list[Artist] = []
    if any(fit.attack == attack for fit in calibration.laws):
        law = law_from(calibration, attack)
        low, high = zip(*(law.band.around(law.f1(ratio)) for ratio in grid), strict=True)
        span = axes.axvspan(
            law.fitted_from, law.fitted_to, fc="#f2f2f2", ec="#e0e0e0", lw=0.8, zorder=0, label="range of the fit"
        )
        band = axes.fill_between(grid, low, high, color=BLUE, alpha=0.14, lw=0, label="its band")
        drawn += axes.plot(grid, [law.f1(ratio) for ratio in grid], color=INK, lw=1.4, label="fitted law")
        drawn += [band, span]
    drawn += axes.plot(
        grid, [PAPER_LAW.f1(ratio) for ratio in grid], color=GREY, lw=1.1, ls=(0, (5, 2)), label="paper's law"
    )
    if attack == "reference":
        drawn += axes.plot(
            grid, [REFERENCE_LAW.f1(ratio) for ratio in grid], color=GREY, lw=1.1, ls=(0, (1, 1.5)),
            label=f"paper's law at {plain(REFERENCE_LAW.scale)} × the samples",
        )  # fmt: skip
    return drawn


def _draw_cells(axes: Axes, cells: Sequence[CalibrationCell], attack: Attack, index: int) -> list[Artist]:
    """Draw the cells of one model size with their intervals; from the eighth size on in hollow marks."""
    color, marker = SERIES[index % len(SERIES)]
    face, edge = (color, "white") if index < len(SERIES) else ("white", color)
    x, y, below, above = zip(*(_bar(cell, attack) for cell in cells), strict=True)
    axes.errorbar(x, y, (below, above), ls="", color=color, elinewidth=0.9, capsize=2, capthick=0.9)
    label = plural(cells[0].params, "parameter")
    return list(axes.plot(x, y, ls="", marker=marker, ms=5, mfc=face, mec=edge, mew=0.6, label=label, zorder=4))


def _draw_effect(axes: Axes, effect: TrainingEffect, attack: Attack) -> list[Artist]:
    """Draw an arrow from a cell to the same cell trained longer."""
    start, end = _f1(effect.short, attack).value, _f1(effect.long, attack).value
    if start is None or end is None:
        return []
    at = (effect.long.samples_per_parameter, end)
    axes.annotate(
        "", at, xytext=(effect.short.samples_per_parameter, start),
        arrowprops={"arrowstyle": "->", "color": INK, "lw": 0.9, "shrinkA": 3, "shrinkB": 3}, zorder=5,
    )  # fmt: skip
    label = f"trained {plain(effect.long.steps / effect.short.steps)} × longer"
    return list(axes.plot(*at, ls="", marker="o", ms=5.5, mfc="white", mec=INK, mew=1, label=label, zorder=4))


def _f1(cell: CalibrationCell, attack: Attack) -> Estimate:
    return cell.loss_f1 if attack == "loss" else cell.reference_f1


def _bar(cell: CalibrationCell, attack: Attack) -> tuple[float, float, float, float]:
    """Place a cell, and give the lengths of its interval below and above."""
    f1 = _f1(cell, attack)
    value, low, high = f1.value or 0.0, f1.low or 0.0, f1.high or 0.0
    return cell.samples_per_parameter, value, value - low, high - value


def _calibration_caption(calibration: Calibration) -> str:
    """Say what was measured, and what the lines are."""
    levels = {percent(cell.loss_f1.level) for cell in calibration.cells}
    parts = [
        f"{visible(calibration.architecture, ID)} with the tokenizer {visible(calibration.tokenizer, ID)}, samples of "
        f"{count(calibration.sample_tokens)} tokens, {plural(len(calibration.cells), 'cell')}: each mark is one model "
        f"trained on one number of samples, with the {' or '.join(sorted(levels))} interval over samples of its F1 at "
        "equal error (0.5 is a coin flip)."
    ]
    for fit in calibration.laws:
        form = (
            f"paper's law at {plain(fit.scale)} × the samples"
            if fit.scale is not None
            else f"F1 = Φ(d′/2), d′ = {plain(fit.amplitude or 0.0)} · x^−{plain(fit.exponent or 0.0)}"
        )
        parts.append(
            f"Fitted to the {fit.attack} attack: {form}; root mean square error {number(fit.rmse, 3)} (the paper's law "
            f"{number(fit.paper_rmse, 3)}); band: {visible(law_from(calibration, fit.attack).band.source)}."
        )
    parts.append("The fit holds for training of this length; longer training raises F1.")
    return " ".join(parts)
