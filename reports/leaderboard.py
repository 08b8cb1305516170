"""The leaderboard of a bench for papers and pull requests: Markdown, LaTeX, CSV and the terminal.

The document itself is the JSON format. Every AUC stands with its interval, and every data set with its blind baseline.
"""

import csv
import io
from collections.abc import Sequence
from functools import partial

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.documents.estimate import Estimate
from auditor.documents.leaderboard import BoardCell, BoardData, Leaderboard, Standing

from .escaping import ID, LINE, visible
from .numbers import Quantity, count, p_value, percent, plural
from .to_markdown import code, escaped, table_lines

__all__ = ["render_terminal", "shared_rate", "to_csv", "to_latex", "to_markdown"]

_VETOED = "†"


def shared_rate(board: Leaderboard) -> float | None:
    """Return the smallest false-positive rate that every cell resolves; None if there is none."""
    defined = [{one.fpr for one in cell.tpr_at_fpr if one.value is not None} for cell in board.cells]
    common = set.intersection(*defined) if defined else set()
    return min(common, default=None)


def methods(board: Leaderboard) -> list[str]:
    """Say how the figures were made, and what they do not say."""
    holds = percent(board.level)
    lines = [
        f"Brackets hold {holds} intervals over the sampling of texts, each on its own. p is of an AUC of at most one "
        f"half, one-sided, adjusted by Holm over all {plural(board.n_tests, 'cell')}.",
        "Blind: a classifier that sees the texts and no model. Where its test vetoes, texts alone tell members from "
        "non-members, and an AUC shows no memorization.",
        f"{_VETOED} A check forbids a verdict on this audit: its figures are for diagnosis and count in no mean.",
        "A mean takes as its arms the mean of the cells' arms, which holds whatever texts and models they share.",
    ]
    if len({one.seed for one in board.data}) > 1:
        lines.append(
            "Seeds draw texts where the bench names per_side; elsewhere scores are the same for every seed, and only "
            "resampled figures differ."
        )
    return lines


def _quantity(estimate: Estimate, unit: str = "") -> str:
    found = Quantity(label="", unit=unit, estimate=estimate)
    return f"{found.value} {found.interval}".rstrip()


def _rate(cell: BoardCell, fpr: float | None) -> str:
    found = next((one for one in cell.tpr_at_fpr if one.fpr == fpr), None)
    return "—" if found is None else _quantity(found, "%")


def _blind_words(one: BoardData) -> str:
    if one.separable:
        return "SEPARABLE"
    said = {None: "too few texts to tell", "warn": "slightly separable", "pass": "not separable"}
    return said[one.blind_verdict if one.blind_verdict != "veto" else "warn"]


def _standing_row(one: Standing) -> list[str]:
    return [_quantity(one.mean_auc), count(one.n_cells), count(one.n_significant), count(one.n_vetoed)]


_STANDING = ["attack", "mean AUC", "cells", "above chance (Holm)", "vetoed"]


def _data_row(one: BoardData) -> list[str]:
    return [f"{count(one.n_members)} + {count(one.n_non_members)}", _quantity(one.blind_auc)]


def _cell_header(fpr: float | None) -> list[str]:
    rate = "TPR" if fpr is None else f"TPR at {percent(fpr)} FPR"
    return ["target", "data", "seed", "attack", "AUC", rate, "p (Holm)"]


def _cell_figures(cell: BoardCell, fpr: float | None) -> list[str]:
    mark = f" {_VETOED}" if cell.soundness == "veto" else ""
    return [f"{_quantity(cell.auc)}{mark}", _rate(cell, fpr), p_value(cell.p_value_holm)]


def _unfinished(board: Leaderboard) -> list[str]:
    """Say which audits are missing."""
    lines = [f"{one.folder} could not be audited: {one.reason}" for one in board.failed]
    missing = board.n_audits - len({cell.folder for cell in board.cells}) - len(board.failed)
    return lines + ([f"{plural(missing, 'audit')} not done yet: the same command goes on"] if missing > 0 else [])


def to_markdown(board: Leaderboard) -> str:
    """Write the leaderboard as Markdown."""
    fpr = shared_rate(board)
    lines = [f"# {escaped(board.title)}", ""]
    lines += [f"- **{escaped(line, LINE)}**" for line in (*_unfinished(board), *board.warnings)]
    lines += ["", "## Attacks", ""]
    lines += table_lines(_STANDING, ([code(one.attack), *_standing_row(one)] for one in board.standings))
    lines += ["## Data sets", ""]
    lines += table_lines(
        ["data", "source", "licence", "seed", "members + non-members", "blind AUC", "texts alone"],
        (
            [code(one.data), escaped(one.source), escaped(one.licence or "—"), str(one.seed), *_data_row(one),
             escaped(_blind_words(one) + (f"; {one.caution}" if one.caution else ""))]
            for one in board.data
        ),
        right=3,
    )  # fmt: skip
    lines += ["## Cells", ""]
    lines += table_lines(
        _cell_header(fpr),
        ([code(cell.target), code(cell.data), str(cell.seed), code(cell.attack), *_cell_figures(cell, fpr)]
         for cell in board.cells),
        right=4,
    )  # fmt: skip
    return "\n".join([*lines, "## How", "", *(f"- {escaped(line, LINE)}" for line in methods(board)), ""])


_ROWS_A_PAGE = 40
_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "—": "---",
    "…": r"\ldots{}",
    _VETOED: r"$^\dagger$",
}


def _latex(text: str, limit: int = LINE) -> str:
    r"""Escape any string for LaTeX; what pdfLaTeX's fonts may lack becomes ``?``.

    Examples
    --------
    >>> _latex(r"min_k & 5% \input{x}")
    'min\\_k \\& 5\\% \\textbackslash{}input\\{x\\}'
    """
    return "".join(_LATEX.get(char, char if char.isascii() else "?") for char in visible(text, limit))


def _tabular(columns: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str) -> list[str]:
    """Write floats of at most a page each, that fit a page of one column; in two columns they span both."""
    pages = [rows[i : i + _ROWS_A_PAGE] for i in range(0, len(rows), _ROWS_A_PAGE)] or [rows]
    captions = [caption, *(f"Table continued, part {i} of {len(pages)}." for i in range(2, len(pages) + 1))]
    labels = [label, *(f"{label}-{i}" for i in range(2, len(pages) + 1))]
    floats = map(partial(_float, columns, header), pages, captions, labels)
    return [line for one in floats for line in one]


def _float(columns: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str) -> list[str]:
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in rows]
    head = " & ".join(_latex(cell) for cell in header) + r" \\"
    return [
        r"\begin{table*}[t]", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_latex(caption, 2000)}}}",
        rf"\label{{tab:{label}}}", rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
        r"\end{table*}", "",
    ]  # fmt: skip


def to_latex(board: Leaderboard) -> str:
    """Write three tables for a paper; they need the package ``booktabs``."""
    fpr, said = shared_rate(board), methods(board)
    lines = [r"% \usepackage{booktabs}"]
    lines += [f"% {_latex(line)}" for line in (*_unfinished(board), *board.warnings)]
    attacks = [[one.attack, *_standing_row(one)] for one in board.standings]
    lines += _tabular("lrrrr", _STANDING, attacks, f"{board.title}: attacks. {said[0]} {said[3]}", "attacks")
    data = [[one.data, str(one.seed), *_data_row(one), _blind_words(one)] for one in board.data]
    header = ["data", "seed", "texts", "blind AUC", "texts alone"]
    lines += _tabular("lrrrl", header, data, f"{board.title}: data sets. {said[1]}", "data")
    cells = [[one.target, one.data, str(one.seed), one.attack, *_cell_figures(one, fpr)] for one in board.cells]
    caption = f"{board.title}: every cell. {said[0]} {said[2]}"
    lines += _tabular("llrlrrr", _cell_header(fpr), cells, caption, "cells")
    return "\n".join(lines)


def to_csv(board: Leaderboard) -> str:
    """Write a row a cell, with all digits, beside the blind baseline of its data set."""
    blind = {(one.data, one.seed): one for one in board.data}
    rates = sorted({one.fpr for cell in board.cells for one in cell.tpr_at_fpr})
    ends = ("value", "low", "high")
    header = ["target", "data", "seed", "attack", *(f"auc_{end}" for end in ends), "p_value", "p_value_holm"]
    header += [f"tpr_at_{rate:g}_{end}" for rate in rates for end in ends]
    header += ["n_members", "n_non_members", "soundness", *(f"blind_auc_{end}" for end in ends), "separable", "folder"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for cell in board.cells:
        data, found = blind[cell.data, cell.seed], {one.fpr: one for one in cell.tpr_at_fpr}
        writer.writerow(
            [cell.target, cell.data, cell.seed, visible(cell.attack, ID), *(getattr(cell.auc, end) for end in ends),
             cell.p_value, cell.p_value_holm,
             *(getattr(found.get(rate), end, None) for rate in rates for end in ends),
             data.n_members, data.n_non_members, cell.soundness, *(getattr(data.blind_auc, end) for end in ends),
             str(data.separable).lower(), cell.folder]
        )  # fmt: skip
    return file.getvalue()


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < right else "right", no_wrap=i >= right)
    for row in rows:
        table.add_row(*(Text(visible(cell, ID)) for cell in row))
    return table


def render_terminal(board: Leaderboard) -> Group:
    """Render attacks and data sets for the terminal; cells are many, and in the files."""
    parts: list[RenderableType] = [Text(visible(board.title), style="bold")]
    parts += [Text(visible(line), style="red") for line in (*_unfinished(board), *board.warnings)]
    parts.append(_table(_STANDING, [[one.attack, *_standing_row(one)] for one in board.standings], 1))
    data = [[one.data, str(one.seed), *_data_row(one), _blind_words(one)] for one in board.data]
    parts.append(_table(["data", "seed", "texts", "blind AUC", "texts alone"], data, 1))
    parts.append(Text(f"{plural(len(board.cells), 'cell')}, one by one, are in the files.", style="dim"))
    return Group(*parts)
