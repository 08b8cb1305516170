"""The map of a prediction: parameters and tokens, the law's F1 and AUC, the plan, and models that readers know."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from auditor.documents.prediction import Prediction
from auditor.laws.membership import LAW_SAMPLE_TOKENS, MembershipLaw, auc_from_f1

from ..escaping import ID, visible
from ..numbers import banded, number, plain
from .labels import Labels, apart
from .landmarks import LANDMARKS
from .sheet import BLUE, FAINT, GREY, INK, Point, new_sheet, short

__all__ = ["prediction_map"]

_LEVELS = (0.51, 0.55, 0.6, 0.75, 0.9, 0.95)

_SHADES = ("#fffdf7", "#feefd6", "#fde2b6", "#fbcf8f", "#f5b16a", "#ea9250", "#dc7a45")
"""From a coin flip to every member recognised; light enough for black text, and a ramp in grey as well."""


def prediction_map(prediction: Prediction, law: MembershipLaw, path: Path) -> None:
    """Draw where a plan lies among all sizes of models and training sets, and what the law says there.

    Parameters
    ----------
    prediction : Prediction
    law : MembershipLaw
        The law behind ``prediction.law``.
    path : Path
        Written; its extension is the format.

    Raises
    ------
    ValueError
        If the extension is none of `FORMATS`.
    """
    caption = (
        f"F1 at equal error, and the AUC that goes with it, by the law “{visible(law.name, ID)}” "
        f"({visible(law.source)}). Hatched: extrapolation; the law was fitted on {plain(law.fitted_from)} to "
        f"{plain(law.fitted_to)} 64-token samples per trainable parameter. It describes models trained until they "
        "hold what they can (rings: those of Morris et al.). Dots stand at the tokens seen in training; the law counts "
        "unique tokens, which are fewer where texts were repeated. Those models saw most texts once or a few times: "
        "there this attack does worse than the map says. A coin flip here is no guarantee: other attacks do better."
    )
    title = "Predicted membership inference, by size of model and training set"
    with new_sheet(path, 7.4, 6.5, title, caption) as sheet:
        axes = sheet.add_axes((0.085, 0.075, 0.765, 0.91))
        plan = (float(prediction.trainable_params), prediction.tokens)
        lines = _contours(law)
        x, y = _map_limits(plan, lines)
        axes.set(xscale="log", yscale="log", xlim=x, ylim=y)
        axes.set(xlabel="trainable parameters", ylabel="tokens of the training set")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=30))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        _shade(axes, law, lines)
        _label_contours(axes, lines)
        labels = Labels(axes)
        for point in (plan, *((landmark.params, landmark.tokens) for landmark in LANDMARKS)):
            labels.avoid(point)
        _mark_plan(axes, labels, prediction, plan)
        labels.in_corner("a coin flip for this attack", left=True)
        labels.in_corner("members recognised", left=False)
        labels.along(math.sqrt(law.fitted_from * law.fitted_to) * LAW_SAMPLE_TOKENS, "the law was fitted here")
        axes.plot(x, [20 * end for end in x], color=GREY, lw=0.9, ls=(0, (1, 2)))
        labels.along(20, "20 tokens per parameter (Chinchilla)", lift=7, color=GREY)
        for landmark in LANDMARKS:
            at = (landmark.params, landmark.tokens)
            axes.plot(*at, marker="o", ms=4.5, mec=INK, mew=0.9, mfc="white" if landmark.unique else INK)
            labels.beside(landmark.name, at, fontsize=7)


def _contours(law: MembershipLaw) -> list[tuple[float, float]]:
    """Tokens per parameter at which the law gives each level of F1, from a coin flip on; without the unreachable."""
    found = []
    for level in _LEVELS:
        try:
            ratio = law.samples_per_parameter(level)
        except ValueError:
            continue
        if ratio > 0:
            found.append((level, ratio * LAW_SAMPLE_TOKENS))
    return found


def _map_limits(plan: Point, lines: Sequence[tuple[float, float]]) -> tuple[Point, Point]:
    """Whole decades that hold the plan, the landmarks and, at the right edge, the contour lines."""

    def decades(values: Iterable[float]) -> Point:
        logs = [math.log10(value) for value in values]
        return 10.0 ** math.floor(min(logs) - 0.2), 10.0 ** math.ceil(max(logs) + 0.2)

    x = decades([plan[0], *(landmark.params for landmark in LANDMARKS)])
    exits = [slope * x[1] for _, slope in lines if 1e-3 < slope < 1e4]
    return x, decades([plan[1], *(landmark.tokens for landmark in LANDMARKS), *exits])


def _shade(axes: Axes, law: MembershipLaw, lines: Sequence[tuple[float, float]]) -> None:
    """Shade the map by F1, and hatch what lies outside the range of the fit."""
    x, (bottom, top) = axes.get_xlim(), axes.get_ylim()
    slopes = [top / x[0], *(slope for _, slope in lines), bottom / x[1]]
    floors = [0.5, *(level for level, _ in lines)]
    for floor, (above, below) in zip(floors, pairwise(slopes), strict=True):
        shade = _SHADES[sum(level <= floor for level in _LEVELS)]
        axes.fill_between(x, [below * end for end in x], [above * end for end in x], color=shade, lw=0)
    for _, slope in lines:
        axes.plot(x, [slope * end for end in x], color=INK, lw=0.7)
    first, last = law.fitted_from * LAW_SAMPLE_TOKENS, law.fitted_to * LAW_SAMPLE_TOKENS
    for below, above in ((bottom / x[1], first), (last, top / x[0])):
        axes.fill_between(
            x, [below * end for end in x], [above * end for end in x], facecolor="none", edgecolor=FAINT, lw=0,
            hatch=2 * "\\",
        )  # fmt: skip


def _label_contours(axes: Axes, lines: Sequence[tuple[float, float]]) -> None:
    """Write F1 and AUC of each line in the right margin, apart from each other, with a line to where it ends."""
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    span = math.log(top / bottom)
    ends = [math.log(slope * right / bottom) / span for _, slope in lines]
    shown = sorted((end, level) for end, (level, _) in zip(ends, lines, strict=True) if 0 <= end <= 1)
    margin = axes.transAxes
    heights = apart([end for end, _ in shown], 0.024)
    for (end, level), height in zip(shown, heights, strict=True):
        axes.plot([1, 1.02, 1.03], [end, height, height], transform=margin, color=GREY, lw=0.6, clip_on=False)
        axes.text(1.038, height, number(level, 2), transform=margin, va="center", fontsize=7.5)
        axes.text(1.105, height, number(auc_from_f1(level), 3), transform=margin, va="center", fontsize=7.5)
    if shown:
        head = heights[-1] + 0.03
        axes.text(1.038, head, "F1", transform=margin, va="center", weight="bold", fontsize=7.5)
        axes.text(1.105, head, "AUC", transform=margin, va="center", weight="bold", fontsize=7.5)


def _mark_plan(axes: Axes, labels: Labels, prediction: Prediction, at: Point) -> None:
    """Mark the plan, with what the law and the ceiling say of it."""
    law = prediction.law
    where = "this plan" if law.in_range else "this plan (extrapolated)"
    words = (
        f"{where}\nF1 {banded(law.f1, law.f1_low, law.f1_high, law.bound, 2)}, "
        f"AUC {banded(law.auc, law.auc_low, law.auc_high, law.bound, 2)}\n"
        f"ceiling, from text and model alone: AUC {number(prediction.ceiling.auc, 3)}"
    )
    axes.plot(*at, marker="*", ms=17, mfc=BLUE, mec="white", mew=1.2, zorder=6)
    labels.avoid(at, 8)
    labels.beside(words, at, fontsize=8, color=BLUE, gap=11)
