"""The figure of a leaderboard: the AUC of every attack with its interval, a panel a data set, beside the blind one."""

from pathlib import Path

from matplotlib.axes import Axes

from auditor.documents.leaderboard import BoardCell, Leaderboard

from ..escaping import ID, visible
from ..numbers import percent
from .sheet import FAINT, GREY, INK, SERIES, new_sheet

__all__ = ["leaderboard_figure"]

_MOST_PANELS = 6
"""Panels of one figure; a bench of more data sets is drawn in its first ones, and says so."""


def leaderboard_figure(board: Leaderboard, path: Path) -> None:
    """Draw every cell that has an AUC.

    Parameters
    ----------
    board : Leaderboard
    path : Path
        Its extension decides on the format.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    names = list(dict.fromkeys(one.data for one in board.data))
    shown = names[:_MOST_PANELS]
    attacks = [one.attack for one in board.standings]
    left_out = f" {len(names) - len(shown)} more data sets are in the tables." if len(names) > len(shown) else ""
    caption = (
        f"AUC with {percent(board.level)} intervals; one mark a target and seed. Grey band: a classifier that sees the "
        f"texts and no model. Hollow: a check forbids a verdict.{left_out}"
    )
    width, height = max(4.2, 2.6 * len(shown) + 1.4), 0.9 + 0.42 * len(attacks)
    targets = list(dict.fromkeys(cell.target for cell in board.cells))
    with new_sheet(path, width, height, board.title, caption) as sheet:
        panels = sheet.subplots(1, max(1, len(shown)), sharey=True, squeeze=False)[0]
        sheet.subplots_adjust(left=1.35 / width, right=0.98, top=1 - 0.42 / height, bottom=0.4 / height, wspace=0.08)
        for axes, name in zip(panels, shown, strict=False):
            _panel(axes, board, name, attacks, targets)
        panels[0].set_yticks(range(len(attacks)), [visible(one, ID) for one in reversed(attacks)], parse_math=False)
        panels[0].set_ylim(-0.6, max(len(attacks), 1) - 0.4)
        handles, labels = panels[0].get_legend_handles_labels()
        if len(targets) > 1:
            sheet.legend(handles, labels, loc="upper right", ncols=min(4, len(labels)), fontsize=6.5)


def _panel(axes: Axes, board: Leaderboard, name: str, attacks: list[str], targets: list[str]) -> None:
    """Draw one data set: marks of one attack lie on one line, a little apart."""
    axes.axvline(0.5, color=FAINT, lw=0.9, ls=(0, (4, 3)))
    for one in board.data:
        if one.data == name and one.blind_auc.low is not None and one.blind_auc.high is not None:
            axes.axvspan(one.blind_auc.low, one.blind_auc.high, color=GREY, alpha=0.15, lw=0)
    separable = any(one.separable for one in board.data if one.data == name)
    found = [cell for cell in board.cells if cell.data == name]
    keys = list(dict.fromkeys((cell.target, cell.seed) for cell in found))
    for cell in found:
        offset = 0.6 * ((keys.index((cell.target, cell.seed)) + 0.5) / len(keys) - 0.5)
        _mark(axes, cell, len(attacks) - 1 - attacks.index(cell.attack) - offset, targets.index(cell.target))
    for i, target in enumerate(targets):
        colour, marker = SERIES[i % len(SERIES)]
        axes.plot([], [], color=colour, marker=marker, ls="", ms=4, label=visible(target, ID))
    axes.set(xlabel="AUC", title=f"{visible(name, ID)}{' (separable)' if separable else ''}")
    axes.title.set_fontsize(8)
    axes.tick_params(axis="y", length=0, labelcolor=INK)


def _mark(axes: Axes, cell: BoardCell, y: float, series: int) -> None:
    auc = cell.auc
    if auc.value is None or auc.low is None or auc.high is None:
        return
    colour, marker = SERIES[series % len(SERIES)]
    face = "white" if cell.soundness == "veto" else colour
    axes.plot([auc.low, auc.high], [y, y], color=colour, lw=0.9)
    axes.plot([auc.value], [y], color=colour, marker=marker, ms=4, mfc=face, ls="")
