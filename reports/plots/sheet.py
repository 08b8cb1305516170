"""The sheet of all figures: title and caption, settings, colours, axes and legends."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from ..numbers import count, plain

__all__ = [
    "BLUE",
    "BY_LINE",
    "FAINT",
    "FORMATS",
    "GREEN",
    "GREY",
    "INK",
    "PAPER",
    "RED",
    "SERIES",
    "Array",
    "Point",
    "log_ticks",
    "new_sheet",
    "padded",
    "put_legend",
    "short",
    "step_words",
]

FORMATS = ("svg", "png", "pdf")
"""What a figure can be written as."""

Point = tuple[float, float]

Array = NDArray[np.float64]

INK, GREY, FAINT = "#1a1a1a", "#595959", "#bdbdbd"

BLUE, RED, GREEN = "#0072b2", "#d55e00", "#009e73"  # of Okabe and Ito, which colour-blind readers can tell apart

PAPER: dict[str, Any] = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75}
"""What a label lies on, so that lines do not run through it."""

BY_LINE: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": GREY, "bbox": PAPER}
"""How the name of a line is written beside it."""

SERIES = ((BLUE, "o"), (RED, "s"), (GREEN, "^"), ("#cc79a7", "D"), ("#56b4e9", "v"), ("#e69f00", "P"), (INK, "X"))

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "font.size": 8,
    "hatch.linewidth": 0.35,
    "legend.borderaxespad": 0.55,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "auditor",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
}

_UNDATED: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


@contextmanager
def new_sheet(path: Path, width: float, height: float, title: str, caption: str) -> Iterator[SubFigure]:
    """Give a blank area of a size in inches, under a title and above a caption; write it all when it is drawn."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"a figure is written as .{', .'.join(FORMATS)}, by the end of its name, not as {str(path)!r}")
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # a name in a script without a font
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        head, foot = FontProperties(size=9, weight="bold"), FontProperties(size=6.6)
        upper, lower = (_wrapped(text, font, 72 * width - 14.4) for text, font in ((title, head), (caption, foot)))
        above, below = 0.15 + 0.18 * len(upper.splitlines()), 0.15 + 0.125 * len(lower.splitlines())
        figure = Figure(figsize=(width, above + height + below))
        FigureCanvasAgg(figure)  # measures text
        rows = figure.add_gridspec(3, 1, height_ratios=(above, height, below))
        left, edge = 0.1 / width, 0.1 / figure.get_figheight()
        figure.text(left, 1 - edge, upper, va="top", fontproperties=head, linespacing=1.3)
        figure.text(left, edge, lower, va="bottom", fontproperties=foot, color=GREY, linespacing=1.35)
        yield figure.add_subfigure(rows[1])
        figure.savefig(path, format=kind, metadata={**_UNDATED[kind], "Title": title})


def _wrapped(text: str, font: FontProperties, width: float) -> str:
    """Break a text into lines of at most so many points, inside a word where it alone is longer."""

    def fits(line: str) -> bool:
        size, _, _ = text_to_path.get_text_width_height_descent(line, font, ismath=False)
        return bool(size <= width)

    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if fits(longer):
            lines[-1] = longer
        else:
            lines.append("")
            for char in word:
                lines += [] if fits(lines[-1] + char) else [""]
                lines[-1] += char
    return "\n".join(lines).lstrip("\n")


def put_legend(sheet: SubFigure, drawn: Sequence[Artist], rows: int) -> None:
    """Put one legend over all panels; of several artists of one name it shows the last."""
    by_name = {str(artist.get_label()): artist for artist in drawn}
    columns = max(1, math.ceil(len(by_name) / rows))
    sheet.legend(list(by_name.values()), list(by_name), loc="upper left", ncols=columns)


def short(value: float) -> str:
    """Write an amount with its suffix: ``1.5B``.

    Examples
    --------
    >>> short(1e6), short(1.5e9), short(5488), short(20), short(1e16)
    ('1M', '1.5B', '5.49K', '20', '1e16')
    """
    if value >= 1e15:
        return f"{value:.3g}".replace("e+", "e")
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return plain(value / size) + suffix
    return plain(value)


def padded(values: Iterable[float], factor: float) -> Point:
    """Give a logarithmic axis some room on both sides, and never less than a decade in all."""
    found = list(values)
    low, high = min(found) / factor, max(found) * factor
    more = max(1.0, math.sqrt(10 * low / high))
    return low / more, high * more


def log_ticks(axes: Axes, write: Callable[[float], str]) -> None:
    """Tick a logarithmic horizontal axis: at 1, 2 and 5 where decades alone would be too few."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,), numticks=30))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def step_words(lengths: Sequence[int]) -> str:
    """Write the lengths of schedules, all of them if they are few."""
    few = len(lengths) <= 4
    return (" / ".join(map(count, lengths)) if few else f"{count(lengths[0])} to {count(lengths[-1])}") + " steps"
