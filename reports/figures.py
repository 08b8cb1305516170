"""The figures of a report as inline SVG: no script, no font, no colour alone, readable at any width.

Every figure is drawn in percentages of its own box, so lines stretch with the page while text, strokes and
dots keep their size; colours come from the style sheet, which knows light, dark and paper.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from auditor.documents.estimate import Estimate, Histogram, RocCurve
from auditor.documents.result import AttackResult, CalibrationResult

from .escaping import visible
from .knowledge import Piece
from .numbers import percent, plain, plural

__all__ = ["auc_axis", "auc_scale", "auc_strip", "histogram", "meter", "pairs", "reliability", "roc", "split", "trace"]

Point = tuple[float, float]
Scale = tuple[float, float]

N_SERIES = 3
"""Curves that get a colour and a dash pattern of their own; the others share a thin grey."""


def _svg(name: str, title: str, description: str, body: Iterable[str], *, attributes: str = "") -> Markup:
    """Wrap a drawing with what a screen reader says of it."""
    head = Markup('<svg class="{0}" role="img" aria-labelledby="{0}-t {0}-d"').format(name)
    words = Markup('<title id="{0}-t">{1}</title><desc id="{0}-d">{2}</desc>').format(
        name, visible(title), visible(description)
    )
    return Markup(f"{head}{attributes}>{words}{''.join(body)}</svg>")


def _polyline(points: Iterable[Point], css: str, name: str = "") -> str:
    """Draw a line through points given in per cent of the box, y upwards; its name shows where a pointer rests."""
    path = " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in points)
    return (
        '<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none" class="stretch">'
        f'<polyline class="{css}" points="{path}" vector-effect="non-scaling-stroke">{_named(name)}</polyline></svg>'
    )


def _named(name: str) -> str:
    return Markup("<title>{}</title>").format(visible(name, 80)) if name else ""


def _polygon(points: Iterable[Point], css: str) -> str:
    """Fill the area between points given in per cent of the box, y upwards."""
    path = " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in points)
    return (
        '<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none" class="stretch">'
        f'<polygon class="band {css}" points="{path}"/></svg>'
    )


def _vertical(x: float, css: str) -> str:
    return f'<line class="{css}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>'


def _horizontal(y: float, css: str) -> str:
    return f'<line class="{css}" x1="0" x2="100%" y1="{100 - y:.2f}%" y2="{100 - y:.2f}%"/>'


def _below(x: float, text: str, css: str = "tick") -> str:
    return f'<text class="{css}" x="{x:.2f}%" y="100%" dy="1.5em" text-anchor="middle">{text}</text>'


def _beside(y: float, text: str) -> str:
    return f'<text class="tick" x="-8" y="{100 - y:.2f}%" dy=".35em" text-anchor="end">{text}</text>'


def _axis_title(text: str) -> str:
    return f'<text class="axis-title" x="50%" y="100%" dy="3.1em" text-anchor="middle">{text}</text>'


def _frame(columns: Sequence[tuple[float, str]], rows: Sequence[tuple[float, str]]) -> list[str]:
    """Draw grid lines and tick labels."""
    return [
        *(_vertical(x, "grid") + _below(x, text) for x, text in columns),
        *(_horizontal(y, "grid") + _beside(y, text) for y, text in rows),
    ]


_SHARES = [(y, f"{y}%") for y in (0, 25, 50, 75, 100)]


def _log_position(rate: float, decades: int) -> float:
    """Place a rate on an axis of so many decades, in per cent; what lies below sits at 0."""
    return 100 * max(0.0, 1 + math.log10(rate) / decades) if rate > 0 else 0.0


def _decades(attacks: Sequence[AttackResult]) -> int:
    n = max((attack.auc.n_non_members for attack in attacks), default=0)
    return min(5, max(2, math.ceil(math.log10(max(n, 1)))))


def _curve(curve: RocCurve, place: Callable[[float], float]) -> list[Point]:
    """Place the points; of those on the left edge, where a logarithmic axis puts what lies below, the last is kept."""
    points = [(place(x), place(y)) for x, y in zip(curve.fpr, curve.tpr, strict=True)]
    on_edge = sum(x <= 0 for x, _ in points)
    return points[max(0, on_edge - 1) :] if on_edge > 1 else points


def roc(attacks: Sequence[AttackResult], *, log: bool) -> Markup:
    """Draw the ROC curves, the first attack most prominent.

    Parameters
    ----------
    attacks : sequence of AttackResult
        In order of prominence; those without a curve are left out.
    log : bool
        Put both rates on logarithmic axes, where the attacks that matter differ: as drawn since LiRA
        (arXiv:2112.03570, figure 1).
    """
    drawn = [attack for attack in attacks if attack.roc is not None]
    decades = _decades(drawn)

    def place(rate: float) -> float:
        return _log_position(rate, decades) if log else 100 * rate

    lines = [
        _polyline(_curve(attack.roc, place), f"curve s{i if i < N_SERIES else 'x'}", attack.attack)
        for i, attack in reversed(list(enumerate(drawn)))
        if attack.roc is not None
    ]
    n = max((attack.auc.n_non_members for attack in drawn), default=0)
    blind = f'<rect class="blind" width="{place(1 / n):.2f}%" height="100%"/>' if n and log else ""
    ticks = [10.0**-k for k in range(decades, -1, -1)] if log else [0, 0.25, 0.5, 0.75, 1]
    body = [
        blind,
        *_frame([(place(x), percent(x)) for x in ticks], [(place(y), percent(y)) for y in ticks]),
        _polyline([(0, 0), (100, 100)], "chance"),
        *lines,
        *(_operating_points(drawn[0], place) if drawn else []),
        _axis_title("false-positive rate" + (", logarithmic" if log else "")),
    ]
    kind = "roc-log" if log else "roc"
    title = "ROC curves" + (", both rates logarithmic" if log else "")
    names = ", ".join(attack.attack for attack in drawn) or "none"
    return _svg(
        kind,
        title,
        f"True-positive rate against false-positive rate of {plural(len(drawn), 'attack')} ({names}). "
        "The dashed line is a coin flip. The figures are in the table of attacks.",
        body,
        attributes=' data-plot="square"' + (f' data-decades="{decades}"' if log else ""),
    )


def _operating_points(attack: AttackResult, place: Callable[[float], float]) -> list[str]:
    """Mark the reported rates of one attack with their intervals."""
    return [mark for rate in attack.tpr_at_fpr for mark in _whiskers(place(rate.fpr), rate, place)]


def _percent_of(share: float) -> float:
    return 100 * share


def _whiskers(x: float, share: Estimate, place: Callable[[float], float] = _percent_of) -> list[str]:
    """Mark a share of a whole and its interval; nothing if it is undefined."""
    if share.value is None or share.low is None or share.high is None:
        return []
    low, y, high = (100 - place(end) for end in (share.low, share.value, share.high))
    return [
        f'<line class="whisker" x1="{x:.2f}%" x2="{x:.2f}%" y1="{low:.2f}%" y2="{high:.2f}%"/>'
        f'<circle class="dot s0" cx="{x:.2f}%" cy="{y:.2f}%" r="3.5"/>'
    ]


def reliability(calibration: CalibrationResult) -> Markup:
    """Draw the share of members among texts against the probability of membership that was stated for them."""
    body = [
        *_frame([(x, f"{x}%") for x in (0, 25, 50, 75, 100)], _SHARES),
        _polyline([(0, 0), (100, 100)], "chance"),
        *(mark for one in calibration.bins for mark in _whiskers(100 * one.mean_stated, one.observed)),
        _axis_title("stated probability of membership"),
    ]
    return _svg(
        "reliability",
        "Stated and observed membership",
        f"Share of members in {plural(len(calibration.bins), 'bin')} of stated probability, with intervals. On the "
        "dashed line, what is stated is what is observed. The figures are in the table of every number.",
        body,
        attributes=' data-plot="square"',
    )


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _nice_step(span: float, steps: int = 6) -> float:
    """Choose a tick distance of 1, 2 or 5 times a power of ten."""
    raw = span / steps
    power = 10.0 ** math.floor(math.log10(raw))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= raw), 10 * power)


def _ticks(low: float, high: float, steps: int = 6) -> list[float]:
    if not high > low:
        return [low]
    step = _nice_step(high - low, steps)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _outline(edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    """Trace the steps of the bins from the first that is not empty to the last."""
    filled = [i for i, height in enumerate(heights) if height > 0]
    if not filled:
        return []
    first, last = filled[0], filled[-1]
    steps = [(edges[first], 0.0)]
    for i in range(first, last + 1):
        steps += [(edges[i], heights[i]), (edges[i + 1], heights[i])]
    return [*steps, (edges[last + 1], 0.0)]


def histogram(bars: Histogram) -> Markup:
    """Draw the signed bits of members (bars) and non-members (a stepped outline), as shares of each side."""
    low, high = bars.edges[0], bars.edges[-1]
    members, others = _shares(bars.members), _shares(bars.non_members)
    top = max([*members, *others, 0.01]) * 1.08

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low) if high > low else 50.0

    edges = [place(edge) for edge in bars.edges]
    rects = [
        f'<rect class="bar m" x="{x:.2f}%" y="{100 - 100 * share / top:.2f}%" '
        f'width="{right - x:.2f}%" height="{100 * share / top:.2f}%"/>'
        for x, right, share in zip(edges[:-1], edges[1:], members, strict=True)
        if share > 0
    ]
    heights = [(100 * y / top, percent(round(y, 6))) for y in _ticks(0, top, 4)]
    zero = [_vertical(place(0), "zero")] if low < 0 < high else []
    body = [
        *_frame([(place(x), plain(x)) for x in _ticks(low, high)], heights),
        *rects,
        _polyline(_outline(edges, [100 * share / top for share in others]), "outline n"),
        *zero,
        _axis_title(visible("bits the target holds beyond the reference, a text", 80)),
    ]
    return _svg(
        "histogram",
        "Histogram of signed bits",
        f"{plural(sum(bars.members), 'member')} (bars) and {plural(sum(bars.non_members), 'non-member')} (outline), as "
        f"shares of each side, from {plain(low)} to {plain(high)} {bars.unit}. "
        "The means are in the table of memorization.",
        body,
        attributes=' data-plot="wide"',
    )


def trace(
    name: str,
    title: str,
    description: str,
    columns: Sequence[tuple[float, str]],
    series: Sequence[tuple[str, Sequence[float], Sequence[Estimate]]],
    *,
    level: float | None,
    axis: str,
) -> Markup:
    """Draw estimates over training: lines with the bands of their intervals; what is undefined is left out.

    Parameters
    ----------
    name : str
        Of the drawing on its page.
    title, description : str
        What a screen reader says.
    columns : sequence of (float, str)
        Ticks of the horizontal axis, in per cent of its length.
    series : sequence of (css class, places, estimates)
        The most prominent first.
    level : float, optional
        Where a rule is drawn: what no memory looks like.
    axis : str
        Title of the horizontal axis.
    """
    ends = [end for _, _, estimates in series for e in estimates for end in (e.low, e.high) if end is not None]
    low, high = min([*ends, level or 0.0]), max([*ends, level or 0.0])
    room = 0.04 * (high - low) or 1.0
    scale = (low - room if low < (level or 0.0) else low, high + room)
    bands, lines = [], []
    for css, places, estimates in reversed(series):
        known = [
            (x, _on(scale, e.low), _on(scale, e.value), _on(scale, e.high))
            for x, e in zip(places, estimates, strict=True)
            if e.low is not None and e.value is not None and e.high is not None
        ]
        if css != "sx":
            bands.append(_polygon([(x, a) for x, a, _, _ in known] + [(x, b) for x, _, _, b in known[::-1]], css))
            lines += [f'<circle class="dot {css}" cx="{x:.2f}%" cy="{100 - y:.2f}%" r="3.5"/>' for x, _, y, _ in known]
        lines.insert(0, _polyline([(x, y) for x, _, y, _ in known], f"curve {css}"))
    rule = [] if level is None else [_horizontal(_on(scale, level), "chance")]
    body = [
        *_frame(columns, [(_on(scale, y), plain(round(y, 9))) for y in _ticks(*scale)]),
        *bands,
        *rule,
        *lines,
        _axis_title(visible(axis, 80)),
    ]
    return _svg(name, title, description, body, attributes=' data-plot="wide"')


def auc_scale(estimates: Iterable[Estimate]) -> Scale:
    """Choose one axis for all intervals of an AUC: from 0.4, or from 0 if one reaches below."""
    return (0.0 if any(e.low is not None and e.low < 0.4 for e in estimates) else 0.4, 1.0)


def _on(scale: Scale, value: float) -> float:
    return 100 * (value - scale[0]) / (scale[1] - scale[0])


def _auc_ticks(scale: Scale) -> list[float]:
    return [0, 0.25, 0.5, 0.75, 1] if scale[0] == 0 else [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def auc_strip(estimate: Estimate, scale: Scale, *, diamond: bool = False) -> Markup:
    """Draw one row of the forest plot: the interval and the point; the figures stand beside it as text."""
    body = [_vertical(_on(scale, tick), "chance" if tick == 0.5 else "grid") for tick in _auc_ticks(scale)]
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        low, at, high = (_on(scale, end) for end in (estimate.low, estimate.value, estimate.high))
        css = "s1" if diamond else "s0"
        shape = '<path d="M0-7 7 0 0 7-7 0z"/>' if diamond else '<circle r="4.5"/>'
        body += [
            f'<line class="interval {css}" x1="{low:.2f}%" x2="{high:.2f}%" y1="50%" y2="50%"/>',
            f'<svg class="stretch dot {css}" x="{at:.2f}%" y="50%">{shape}</svg>',
        ]
    return Markup(f'<svg class="strip" aria-hidden="true">{"".join(body)}</svg>')


def auc_axis(scale: Scale) -> Markup:
    """Draw the axis under the rows of the forest plot."""
    ticks = [
        f'<text class="tick" x="{_on(scale, tick):.2f}%" y="1em" text-anchor="middle">{tick:g}</text>'
        for tick in _auc_ticks(scale)
    ]
    flip = f'<text class="tick strong" x="{_on(scale, 0.5):.2f}%" y="2.3em" text-anchor="middle">coin flip</text>'
    return Markup(f'<svg class="strip-axis" aria-hidden="true">{"".join(ticks)}{flip}</svg>')


def pairs(auc: Estimate) -> Markup | None:
    """Draw 100 pairs of a member and a non-member, filled where the attacker picks the member."""
    if auc.value is None or auc.low is None or auc.high is None:
        return None
    won, most = round(100 * auc.value), round(100 * auc.high)
    dots = []
    for i in range(100):
        css = "won" if i < won else "maybe" if i < most else "lost"
        dots.append(f'<circle class="{css}" cx="{i % 10 * 10 + 5}" cy="{i // 10 * 10 + 5}" r="3.4"/>')
    return _svg(
        "pairs",
        f"{won} of 100 pairs",
        f"A hundred dots, {won} filled: how often an attacker picks the member of a pair. A coin flip fills 50.",
        dots,
        attributes=' viewBox="0 0 100 100"',
    )


def split(cut: Sequence[Piece]) -> Markup:
    """Draw what is known of an average member as one bar, its pieces end to end."""
    whole = sum(piece.bits for piece in cut) or 1.0
    rects, x = [], 0.0
    for piece in cut:
        width = 100 * piece.bits / whole
        rects.append(f'<rect class="piece {piece.css}" x="{x:.2f}%" width="{width:.2f}%" height="100%"/>')
        x += width
    said = ", ".join(f"{piece.label} {plain(piece.bits)}" for piece in cut)
    return _svg("split", "What the target knows of an average member", f"Bits: {said}.", rects)


def meter(share: float) -> Markup:
    """Draw a share of a whole as a bar."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="meter" aria-hidden="true"><rect class="whole" width="100%" height="100%" rx="3"/>'
        f'<rect class="part" width="{width:.2f}%" height="100%" rx="3"/></svg>'
    )
