"""Several checkpoints of one training run: how bits and attacks grow, as HTML, Markdown and on the terminal.

One page for a person who asks when memorization began. The document itself is the JSON format.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from auditor.documents.curve import AttackPoint, Curve, CurvePoint, sound_neighbours, steps_of
from auditor.documents.estimate import Estimate

from . import escaping, figures, numbers
from .escaping import visible
from .numbers import Change, Quantity, count, percent, plain, plural, times_in_100, unseen
from .to_html import style_sheet, templates
from .to_markdown import code, details, escaped, table_lines, with_code
from .tones import STYLES, SYMBOLS, TONES, Tone, in_a_line

__all__ = ["markdown_cell", "render_terminal", "terminal_cell", "to_html", "to_markdown", "verdict_line"]

_TICKS = 8
_WARNINGS = 4


class Finding(NamedTuple):
    """The curve in a title and a few sentences."""

    tone: Tone
    title: str
    sentence: str


def finding(curve: Curve) -> Finding:
    """Say when the bits rise fastest, among the checkpoints on which no soundness check forbids a verdict."""
    sound = [point for point in curve.points if point.soundness != "veto"]
    if not sound:
        return Finding(
            "bad",
            "No verdict",
            "A soundness check forbids a verdict on every checkpoint: the numbers below are for diagnosis only. The "
            "checks and their remedies are in the reports.",
        )
    rise, last, neighbours = curve.largest_rise, sound[-1], sound_neighbours(curve.points)
    tone: Tone
    if rise is not None:
        change = Change(label="", unit="bits", estimate=rise.change)
        tone, title = "warn", "Bits rise during training"
        before, after = (escaping.uncoded(label) for label in (rise.before, rise.after))
        grows = (
            f"Bits rise most from {before} to {after}: by {change.value} bits per member [{change.span}] "
            f"(adjusted p {_p(rise.p_value)})."
        )
    elif any(after.bits_change_p is not None for _, after in neighbours):
        tone, title = "info", "No rise beyond chance"
        among = "sound " if len(sound) < len(curve.points) else ""
        grows = f"Between no two neighbouring {among}checkpoints do the bits rise by more than chance explains."
    elif len(curve.points) > 1 and not neighbours:
        tone, title = "warn", "Cannot be told"
        grows = "Whether bits rise cannot be told: fewer than two sound checkpoints are neighbours."
    else:
        tone, title = "info", "No rise was tested"
        grows = "There are no two checkpoints with bits to compare."
    bits, head = bits_of(curve, last), headline(curve, last)
    end = [f"{bits.value_with_unit} per member {bits.interval}"] if bits.defined else []
    if head is not None and head.auc.value is not None:
        attack = escaping.as_code(head.attack)
        end.append(f"the attack {attack} picks the member of a pair {times_in_100(head.auc.value)}")
    return Finding(tone, title, f"{grows} At {escaping.uncoded(last.label)}: {'; '.join(end)}." if end else grows)


def _p(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else plain(value)


def notes(curve: Curve) -> list[tuple[Tone, str]]:
    """Everything that must not be overlooked: failures, missing checkpoints, warnings."""
    missing = curve.n_checkpoints - len(curve.points) - len(curve.failed)
    lines: list[tuple[Tone, str]] = [("bad", f"{one.label} could not be audited: {one.reason}") for one in curve.failed]
    if missing:
        lines.append(("bad", f"{plural(missing, 'checkpoint')} not audited yet: run the same command again to go on"))
    return lines + [("warn", line) for line in curve.warnings]


def methods(curve: Curve) -> list[str]:
    """Say how the numbers were made."""
    n_steps = sum(point.bits_change_p is not None for point in curve.points)
    level = percent(curve.level)
    lines = [
        f"Brackets and bands hold {level} intervals, each on its own, over the sampling of texts.",
        f"All checkpoints were audited on the same {plural(curve.n_members, 'member')} and "
        f"{plural(curve.n_non_members, 'non-member')}. A change is measured text by text, so its interval is "
        "shorter than the intervals of the two checkpoints suggest.",
        f"The largest rise is between neighbouring checkpoints, not per step; its p-value is adjusted by Holm over "
        f"{plural(n_steps, 'step')}.",
    ]
    for what, chosen in (("Change of bits", "bits_change"), ("Change of AUC", "auc_change")):
        found = (getattr(point, chosen) for point in curve.points)
        used = sorted({one.method for one in found if one is not None and one.value is not None})
        if used:
            lines.append(f"{what}: {'; '.join(used)}.")
    missed = max((point.bits_per_member.unseen_below or 0.0 for point in curve.points), default=0.0)
    if missed:
        lines.append(f"Of every mean of bits: {unseen(missed)}.")
    return lines


def bits_of(curve: Curve, point: CurvePoint) -> Quantity:
    """Put the bits of a checkpoint under their name."""
    label = "Bits per member" if curve.calibrated else "Bits per member, clipped, uncalibrated"
    return Quantity(label=label, unit="bits", estimate=point.bits_per_member)


def headline(curve: Curve, point: CurvePoint) -> AttackPoint | None:
    """Find the attack that verdicts rest on, at a checkpoint."""
    return next((one for one in point.attacks if one.attack == curve.headline_attack), None)


def attack_names(curve: Curve) -> list[str]:
    """List the attacks, the headline first, then by their AUC at the end."""
    last = curve.points[-1].attacks
    key = {one.attack: (one.attack != curve.headline_attack, -(one.auc.value or 0.0)) for one in last}
    return sorted(key, key=lambda name: key[name])


def cells(curve: Curve, point: CurvePoint) -> list[Quantity | None]:
    """Bits, their change, capacity, AUC, its change, members drawn out; None where there is nothing to compare with."""
    head = headline(curve, point)
    return [
        bits_of(curve, point),
        Change(label="Change of bits", unit="bits", estimate=point.bits_change) if point.bits_change else None,
        Quantity(label="Capacity used", unit="%", estimate=point.capacity_used),
        Quantity(label=f"AUC, {head.attack}", unit="", estimate=head.auc) if head else None,
        Change(label="Change of AUC", unit="", estimate=point.auc_change) if point.auc_change else None,
        *([_drawn(point)] * _has_extraction(curve)),
    ]


def _has_extraction(curve: Curve) -> bool:
    """Whether any checkpoint says what can be drawn out of it."""
    return any(point.extraction_rate_members is not None for point in curve.points)


def _drawn(point: CurvePoint) -> Quantity | None:
    found = point.extraction_rate_members
    return None if found is None else Quantity(label="Drawn out", unit="%", estimate=found)


def attack_cells(curve: Curve, point: CurvePoint) -> list[tuple[Quantity, Quantity] | None]:
    """AUC and TPR of every attack at a checkpoint, in the order of `attack_names`."""
    found = {one.attack: one for one in point.attacks}
    return [
        (
            Quantity(label=f"{name}: AUC", unit="", estimate=found[name].auc),
            Quantity(label=f"TPR at {percent(found[name].tpr.fpr)}", unit="%", estimate=found[name].tpr),
        )
        if name in found
        else None
        for name in attack_names(curve)
    ]


def headings(curve: Curve) -> list[str]:
    """Heads of the columns of `cells`."""
    bits = "Bits per member" if curve.calibrated else "Bits per member, uncalibrated"
    drawn = ["Drawn out"] * _has_extraction(curve)
    return [bits, "Change", "Capacity used", f"AUC, {curve.headline_attack or 'no attack'}", "Change", *drawn]


def reasons(curve: Curve) -> list[str]:
    """Why numbers are missing, each reason once."""
    all_cells = [cell for point in curve.points for cell in cells(curve, point)]
    pairs = [pair for point in curve.points for pair in attack_cells(curve, point) if pair]
    found = [cell.reason for cell in all_cells if cell] + [cell.reason for pair in pairs for cell in pair]
    return list(dict.fromkeys(reason for reason in found if reason))


def _places(curve: Curve) -> tuple[list[float], list[tuple[float, str]], str]:
    """Where the checkpoints stand on the axis in per cent, its ticks and its title."""
    steps = steps_of(curve.points)
    at = [float(x) for x in steps or range(1, len(curve.points) + 1)]
    span = at[-1] - at[0]
    places = [100 * (x - at[0]) / span if span else 50.0 for x in at]
    ticks: list[tuple[float, str]] = []
    for place, x in zip(places, at, strict=True):
        if not ticks or place - ticks[-1][0] >= 100 / _TICKS:
            ticks.append((place, count(int(x))))
    return places, ticks, "step of training" if steps else "checkpoint, in the order of the table"


def bits_figure(curve: Curve) -> Markup:
    """Draw the bits over training."""
    places, ticks, axis = _places(curve)
    estimates = [point.bits_per_member for point in curve.points]
    return figures.trace(
        "curve-bits", "Bits per member over training", _spoken("Bits per member", curve, estimates), ticks,
        [("s0", places, estimates)], level=0.0, axis=axis,
    )  # fmt: skip


def auc_figure(curve: Curve) -> Markup:
    """Draw the AUC of every attack over training."""
    places, ticks, axis = _places(curve)
    series: list[tuple[str, list[float], list[Estimate]]] = []
    for i, name in enumerate(attack_names(curve)):
        found = [
            (x, one.auc) for x, p in zip(places, curve.points, strict=True) for one in p.attacks if one.attack == name
        ]
        css = f"s{i}" if i < figures.N_SERIES else "sx"
        series.append((css, [x for x, _ in found], [auc for _, auc in found]))
    what = f"AUC of {plural(len(series), 'attack')}; the dashed rule is a coin flip. {curve.headline_attack}"
    return figures.trace(
        "curve-auc", "AUC of each attack over training", _spoken(what, curve, series[0][2]), ticks, series,
        level=0.5, axis=axis,
    )  # fmt: skip


def _spoken(what: str, curve: Curve, estimates: Sequence[Estimate]) -> str:
    """Say what a figure shows: its first and its last value."""
    known = [(p.label, e) for p, e in zip(curve.points, estimates, strict=False) if e.value is not None]
    ends = [
        f"{plain(e.value or 0.0)} at {escaping.visible(label, escaping.ID)}"
        for label, e in (known[:1] + known[1:][-1:])
    ]
    return f"{what}: {', then '.join(ends) or 'not defined'}. All values are in the tables."


_COLUMNS = 4
"""Checkpoints beside each other in a table of all attacks: as many as a page of paper holds."""


def _blocks(curve: Curve) -> list[tuple[list[CurvePoint], list[tuple[str, list[tuple[Quantity, Quantity] | None]]]]]:
    """Lay out a row an attack and a column a checkpoint, a few checkpoints at a time."""
    pairs = [attack_cells(curve, point) for point in curve.points]
    blocks = []
    for start in range(0, len(curve.points), _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        rows = [(name, [pair[i] for pair in pairs[columns]]) for i, name in enumerate(attack_names(curve))]
        blocks.append((list(curve.points[columns]), rows))
    return blocks


def to_html(curve: Curve, *, reports: Collection[str] = ()) -> str:
    """Render the curve as one self-contained HTML document.

    Parameters
    ----------
    curve : Curve
    reports : collection of str
        Checkpoints whose report lies in the folder of their name, beside the page.
    """
    context: dict[str, Any] = {
        "curve": curve,
        "style": style_sheet(),
        "finding": finding(curve),
        "notes": notes(curve),
        "methods": methods(curve),
        "headings": headings(curve),
        "rows": [(point, cells(curve, point), attack_cells(curve, point)) for point in curve.points],
        "names": attack_names(curve),
        "blocks": _blocks(curve),
        "links": {name: f"{quote(name, safe='')}/report.html" for name in reports},
        "reasons": reasons(curve),
        "bits_figure": bits_figure(curve) if any(p.bits_per_member.value is not None for p in curve.points) else None,
        "auc_figure": auc_figure(curve)
        if any(a.auc.value is not None for p in curve.points for a in p.attacks)
        else None,
        "figures": figures,
        "numbers": numbers,
        "escaping": escaping,
        "SYMBOLS": SYMBOLS,
        "TONES": TONES,
    }
    return templates().get_template("curve.html.j2").render(context).rstrip() + "\n"


def markdown_cell(quantity: Quantity | None, missing: Sequence[str]) -> str:
    """Write value and interval; nothing for None, and for what is undefined the number of its reason."""
    if quantity is None:
        return ""
    if not quantity.defined:
        return f"— ({missing.index(quantity.reason) + 1})"
    return f"**{quantity.value}** {escaped(quantity.interval)}"


def to_markdown(curve: Curve) -> str:
    """Render the curve as GitHub-flavoured Markdown."""
    found, missing = finding(curve), reasons(curve)
    rows = [
        (
            code(point.label),
            f"{SYMBOLS[TONES[point.soundness]]} {point.soundness}" if point.soundness else "—",
            *(markdown_cell(cell, missing) for cell in cells(curve, point)),
        )
        for point in curve.points
    ]
    attacks = [
        (
            code(point.label),
            *(
                "<br>".join(f"{'TPR ' if i else ''}{markdown_cell(cell, missing)}" for i, cell in enumerate(pair or ()))
                for pair in attack_cells(curve, point)
            ),
        )
        for point in curve.points
    ]
    models = table_lines(
        ("Checkpoint", "Path", "SHA-256 of the weights", "Parameters"),
        [
            (code(p.label), code(p.path, escaping.PATH), code(escaping.middle(p.weights_sha256)), count(p.n_parameters))
            for p in curve.points
        ],
        right=3,
    )
    lines = [
        f"## Memorization over training: {escaped(found.title)}",
        "",
        f"> {SYMBOLS[found.tone]} {with_code(found.sentence)}",
        "",
        f"Target {code(curve.target, escaping.PATH)} · reference {', '.join(map(code, curve.references)) or 'none'} · "
        f"{plural(curve.n_members, 'member')}, {plural(curve.n_non_members, 'non-member')}",
        "",
        *(f"- {SYMBOLS[tone]} {escaped(line)}" for tone, line in notes(curve)),
        "",
        *table_lines(("Checkpoint", "Sound", *map(escaped, headings(curve))), rows, right=2),
        *(f"{i}. Not defined: {escaped(reason)}." for i, reason in enumerate(missing, 1)),
        "",
        *details("Every attack", table_lines(("Checkpoint", *map(code, attack_names(curve))), attacks)),
        *details("How the numbers were made", [*(f"- {escaped(line)}" for line in methods(curve)), ""]),
        *details("Models", models),
    ]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).rstrip() + "\n"


def terminal_cell(quantity: Quantity | None) -> Text:
    """Write value and interval on two lines; nothing for None."""
    if quantity is None:
        return Text("")
    if not quantity.defined:
        return Text("—\nnot defined", style="dim")
    return Text(quantity.value, style="bold").append(f"\n{quantity.span}", style="dim not bold")


def render_terminal(curve: Curve) -> Group:
    """Compose the summary of a curve for a terminal of 80 columns."""
    found = finding(curve)
    panel = Panel(
        Text(visible(found.sentence, 2 * escaping.LINE)), title=Text(f" {SYMBOLS[found.tone]} {found.title} "),
        title_align="left", border_style=STYLES[found.tone], box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    table.collapse_padding = True
    for i, heading in enumerate(["Checkpoint", *headings(curve)]):
        if heading not in ("Capacity used", "Drawn out"):
            table.add_column(Text(visible(heading, 30)), justify="right" if i else "left", overflow="fold")
    for point in curve.points:
        label = Text(visible(point.label, escaping.ID), style="bold")
        if point.soundness is not None:
            tone = TONES[point.soundness]
            label.append(f"\n{SYMBOLS[tone]} {point.soundness}", style=f"not bold {STYLES[tone]}")
        bits, bits_change, _, auc, auc_change, *_ = (terminal_cell(cell) for cell in cells(curve, point))
        table.add_row(label, bits, bits_change, auc, auc_change)
    lines = notes(curve)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for mark, line in lines[:_WARNINGS]:
        grid.add_row(Text(SYMBOLS[mark], style=STYLES[mark]), Text(visible(line, 300)))
    if len(lines) > _WARNINGS:
        grid.add_row("", Text(f"{plural(len(lines) - _WARNINGS, 'more note')} in the report", style="dim"))
    title = Text(f"{plural(len(curve.points), 'checkpoint')} of {visible(curve.target, 60)}", style="bold")
    parts: list[RenderableType] = [title, panel, table, Text("")]
    legend = f"Bits, and changes from the checkpoint above, paired by text; {percent(curve.level)} intervals."
    parts += [grid, Text("")] if lines else []
    return Group(*parts, Text(legend, style="dim"))


def verdict_line(curve: Curve) -> Text:
    """Say what was found on one line: all that ``--quiet`` prints."""
    return in_a_line(*finding(curve))
