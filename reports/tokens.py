"""Bits of the parts of a text, made visible: words shaded by what the target holds, or a strip without words."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from markupsafe import Markup, escape

from auditor.documents.result import TopSample

from .escaping import pieces, visible
from .numbers import number, plural

__all__ = ["LEVELS", "heaviest", "left_out", "legend", "scale_of", "shaded", "spoken_heaviest", "strip"]

LEVELS = (1.0, 2.0, 4.0, 8.0)
"""Bits of a piece from which it is shaded one step darker."""

_N_PASSAGES = 3
_GAP = 2
"""Pieces of few bits, such as spaces, that do not end a passage."""
_LONGEST = 160


class _Span(NamedTuple):
    text: str
    level: int


def _level(bits: float) -> int:
    """Step of shading: 0 for next to nothing, negative where the reference expects the piece more."""
    return -1 if bits <= -LEVELS[0] else sum(bits >= least for least in LEVELS)


def shaded(one: TopSample) -> Markup:
    """Write the text with every piece shaded by its bits: spans without script, each step with its own underline.

    Neighbours of one step share a span, so that a screen reader reads words and not pieces.
    """
    spans = [_Span(text, _level(bits)) for text, bits in zip(one.pieces or (), one.piece_bits or (), strict=True)]
    return Markup("").join(
        _marked("".join(span.text for span in run), level) for level, run in groupby(spans, key=lambda span: span.level)
    )


def _marked(text: str, level: int) -> Markup:
    inner = Markup("").join(
        Markup('<span class="esc">{}</span>').format(piece.text) if piece.replaced else escape(piece.text)
        for piece in pieces(text, 4000, keep="\n")
    )
    css = "less" if level < 0 else f"b{level}"
    return Markup('<span class="{}">{}</span>').format(css, inner) if level else inner


def legend() -> Markup:
    """Show what the steps of shading mean."""
    words = [f"{low:g} to {high:g} bits" for low, high in pairwise(LEVELS)]
    steps = [("less", "the reference expects it more"), ("b0", f"below {LEVELS[0]:g} bit")]
    steps += [(f"b{i}", word) for i, word in enumerate([*words, f"{LEVELS[-1]:g} bits and more"], 1)]
    keys = Markup(" ").join(
        Markup('<span class="key"><span class="{}">abc</span> {}</span>').format(css, word) for css, word in steps
    )
    return Markup('<p class="legend keys shades">{}</p>').format(keys)


def heaviest(one: TopSample) -> tuple[tuple[str, float], ...]:
    """Find the passages that hold most bits: runs of shaded pieces, over gaps of a space or two; the first is heaviest.

    Returns
    -------
    tuple of (str, float)
        Text, and its bits.
    """
    weighed = list(zip(one.pieces or (), one.piece_bits or (), strict=True))
    runs: list[list[int]] = []
    for i, (_, bits) in enumerate(weighed):
        if bits < LEVELS[0]:
            continue
        if runs and i - runs[-1][1] <= _GAP:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    found = [
        ("".join(text for text, _ in weighed[a : b + 1]), sum(bits for _, bits in weighed[a : b + 1])) for a, b in runs
    ]
    return tuple(sorted(found, key=lambda passage: -passage[1])[:_N_PASSAGES])


def spoken_heaviest(one: TopSample) -> str:
    """Name the passages that hold most bits, which shading keeps from a screen reader; empty if none does."""
    found = [f"“{visible(text.strip(), _LONGEST)}” {number(bits, 1)} bits" for text, bits in heaviest(one)]
    return f"Most bits: {'; '.join(found)}." if found else ""


def left_out(one: TopSample) -> str:
    """Count the tokens of a long text that are not shown; empty if all are."""
    before, after = one.tokens_before or 0, one.tokens_after or 0
    if not before + after:
        return ""
    return (
        f"Of a long text, the part with most bits: {plural(before, 'token')} before it and {plural(after, 'token')} "
        "after it are not shown."
    )


def scale_of(samples: Sequence[TopSample]) -> tuple[int, int]:
    """Choose one scale for the strips of all samples, which holds 0 and 1 bit."""
    bits = [part for one in samples for part in one.bits_by_position or ()]
    return min([0, *bits]), max([1, *bits])


def strip(name: str, parts: Sequence[int], scale: tuple[int, int]) -> Markup:
    """Draw the bits of equal parts of a text as bars from its beginning to its end; nothing without parts.

    Parameters
    ----------
    name : str
        Of the drawing on its page.
    parts : sequence of int, bits
    scale : (int, int), bits
        Least and most that the box has room for, the same for strips that are compared.
    """
    if not parts:
        return Markup("")
    low, top = scale
    zero, width = 100 * top / (top - low), 100 / len(parts)
    bars = []
    for i, bits in enumerate(parts):
        height = 100 * abs(bits) / (top - low)
        y, css = (zero - height, "m") if bits >= 0 else (zero, "n")
        bars.append(
            f'<rect class="bar {css}" x="{i * width:.2f}%" y="{y:.2f}%" width="{0.9 * width:.2f}%" '
            f'height="{height:.2f}%"/>'
        )
    most = max(range(len(parts)), key=lambda i: parts[i])
    said = (
        f"Bits in {plural(len(parts), 'equal part')} of the text: "
        f"{', '.join(number(float(bits), 0) for bits in parts)}; most in part {most + 1}."
    )
    title = Markup('<title id="{0}-t">Where the bits lie</title><desc id="{0}-d">{1}</desc>').format(name, said)
    line = f'<line class="zero" x1="0" x2="100%" y1="{zero:.2f}%" y2="{zero:.2f}%"/>'
    return Markup(
        f'<svg class="parts" role="img" aria-labelledby="{name}-t {name}-d">{title}{"".join(bars)}{line}</svg>'
    )
