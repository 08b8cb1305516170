"""The comparison of two audits, told: what changed, and how it may be read. HTML, Markdown, terminal.

One page for a reviewer. The document itself is the JSON format.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from auditor.documents.comparison import AuditComparison, Difference, Effect, HighSample, MetricChange

from . import escaping, figures, numbers
from .curve import markdown_cell, terminal_cell
from .escaping import visible
from .numbers import Change, Quantity, count, p_value, percent, plain, plural, unseen
from .to_html import style_sheet, templates
from .to_markdown import code, details, escaped, table_lines
from .tones import STYLES, SYMBOLS, TONES, Tone, in_a_line

__all__ = ["render_terminal", "to_html", "to_markdown", "verdict_line"]

EFFECTS: dict[Effect, Tone] = {"diagnosis": "bad", "caution": "warn", "none": "info"}

_UNITS = {"share": "%"}
_MEMBERS_ALONE = ("memorization.mean_bits_members", "memorization.clipped_bits_per_member")
"""Figures that a better model of the domain raises as well: no evidence of memory by themselves."""
_NOTES = 5
_DIFFERENCES = 6
_HASH = 16


class Finding(NamedTuple):
    """The comparison in a title and a few sentences."""

    tone: Tone
    title: str
    sentence: str


class Row(NamedTuple):
    """A figure before and after, ready to be written."""

    change: MetricChange
    old: Quantity
    new: Quantity
    difference: Change
    p_value: str

    @property
    def cells(self) -> tuple[Quantity, Quantity, Quantity]:
        """Old, new and change."""
        return self.old, self.new, self.difference


def finding(comparison: AuditComparison) -> Finding:
    """Say whether more or less is remembered, as far as chance does not explain it."""
    said = " ".join(filter(None, [_same_model(comparison), _headline(comparison), _survivors(comparison)]))
    if comparison.reading == "diagnosis":
        return Finding("bad", "No verdict", _unsound(comparison))
    if not comparison.pairing.paired:
        reason = "The audits have too few texts in common: the texts may be the cause of any change, the model or both."
        return Finding("warn", "Other texts: no diagnosis", f"{reason} {said}")
    up, down = ([row for row in _surviving(comparison, sign) if row.metric not in _MEMBERS_ALONE] for sign in (1, -1))
    tone: Tone
    if up and down:
        tone, title = "warn", "Some figures rose, others fell"
    elif up:
        tone, title = "warn", "More is remembered"
    elif down:
        tone, title = "ok", "Less is remembered"
    elif all(row.metric in _MEMBERS_ALONE for row in comparison.changes):
        tone, title = "info", "Members alone were compared: no verdict"
    elif any(row.p_value is not None for row in comparison.changes):
        tone, title = "info", "No change beyond chance"
    else:
        tone, title = "info", "No change could be tested"
    if comparison.reading == "caution":
        tone = "warn" if tone == "ok" else tone
        said += " Not only the model differs: see below before putting a change down to the model."
    return Finding(tone, title, said)


def _unsound(comparison: AuditComparison) -> str:
    """Say in one sentence why nothing can be concluded, and what to do."""
    audits = (("old", comparison.old), ("new", comparison.new))
    vetoed = [name for name, audit in audits if audit.soundness == "veto"]
    which, its = ("both audits", "their reports name") if len(vetoed) == 2 else (
        f"the {vetoed[0] if vetoed else 'new'} audit", "its report names"
    )  # fmt: skip
    return (
        f"A soundness check forbids a verdict on {which}, so nothing can be concluded from the changes. Mend what "
        f"{its} first, and compare again."
    )


def _same_model(comparison: AuditComparison) -> str:
    """Say that there is no change of the model to be found."""
    same = comparison.old.weights_sha256 == comparison.new.weights_sha256
    return "Both audits are of the same target weights: the model did not change." if same else ""


def _surviving(comparison: AuditComparison, sign: int) -> list[MetricChange]:
    """Find the changes in one direction that hold after Holm."""
    return [
        row
        for row in comparison.changes
        if row.p_value_holm is not None
        and row.p_value_holm <= 1 - comparison.level
        and sign * (row.change.value or 0) > 0
    ]


def _headline(comparison: AuditComparison) -> str:
    """Write the changes that a reader asks for first: bits, and the AUC of the headline attack."""
    wanted = (
        "memorization.debiased_bits_per_member",
        "memorization.clipped_bits_per_member",
        f"attacks.{comparison.headline_attack}.auc",
    )
    said = [_sentence(row) for row in map(table_row, comparison.changes) if row.change.metric in wanted]
    return " ".join(filter(None, said))


def _sentence(row: Row) -> str:
    if not row.difference.defined:
        return ""
    name = row.change.description
    if row.old.value == row.new.value:
        return f"{name[0].upper()}{name[1:]} stayed at {row.old.value}."
    moved = "rose" if (row.change.change.value or 0) > 0 else "fell"
    return (
        f"{name[0].upper()}{name[1:]} {moved} from {row.old.value} to {row.new.value} ({row.difference.value} "
        f"[{row.difference.span}], adjusted p {row.p_value})."
    )


def _survivors(comparison: AuditComparison) -> str:
    n_tested = sum(row.p_value is not None for row in comparison.changes)
    n_found = len(_surviving(comparison, 1)) + len(_surviving(comparison, -1))
    if not n_tested:
        return ""
    return f"Changes that hold after correction for testing all of them: {count(n_found)} of {count(n_tested)}."


def notes(comparison: AuditComparison) -> list[tuple[Tone, str]]:
    """Everything that must not be overlooked: vetoes, other causes of change, warnings."""
    lines = [(EFFECTS[one.effect], f"{one.what}: {one.meaning}") for one in ordered(comparison) if one.effect != "none"]
    alone = [name for name, one in (("old", comparison.old), ("new", comparison.new)) if one.checksums == "absent"]
    if alone:
        lines.append(("info", f"without checksums: no checksums.json lay beside the {' and the '.join(alone)} audit"))
    return lines + [("warn", line) for line in comparison.warnings]


def ordered(comparison: AuditComparison) -> list[Difference]:
    """List the differences, those that spoil the comparison first."""
    rank = list(EFFECTS)
    return sorted(comparison.differences, key=lambda one: rank.index(one.effect))


def table_row(change: MetricChange) -> Row:
    """Make a figure ready to be written."""
    unit = _UNITS.get(change.unit, change.unit)
    old, new = (Quantity(label=change.description, unit=unit, estimate=one) for one in (change.old, change.new))
    difference = Change(label=change.description, unit=unit, estimate=change.change)
    return Row(change, old, new, difference, p_value(change.p_value_holm))


def rows(comparison: AuditComparison) -> list[Row]:
    """List all figures: bits, then the headline attack, then the others as they come."""
    first = f"attacks.{comparison.headline_attack}."
    made = [table_row(change) for change in comparison.changes]
    return sorted(made, key=lambda row: (not row.change.metric.startswith("memorization."), _other(row, first)))


def _other(row: Row, first: str) -> bool:
    return not row.change.metric.startswith(first)


def reasons(comparison: AuditComparison) -> list[str]:
    """Why numbers are missing, each reason once."""
    found = [cell.reason for row in map(table_row, comparison.changes) for cell in row.cells]
    return list(dict.fromkeys(reason for reason in found if reason))


def paired_words(comparison: AuditComparison) -> str:
    """Say which samples are compared."""
    pairing = comparison.pairing
    if not pairing.paired:
        return "Not paired: the audits hold different texts and are compared as independent ones"
    alone = [
        (pairing.n_members_only_old + pairing.n_non_members_only_old, "only in the old audit"),
        (pairing.n_members_only_new + pairing.n_non_members_only_new, "only in the new one"),
    ]
    left = ", ".join(f"{count(n)} {where}" for n, where in alone if n)
    both = f"{plural(pairing.n_members, 'member')} and {plural(pairing.n_non_members, 'non-member')} are in both audits"
    return f"{both}, text by text" + (f"; {left} and left out" if left else "")


def high_words(comparison: AuditComparison) -> str:
    """Say how many members are highly memorized, and from where on."""
    high = comparison.high
    if high is None:
        return "Not compared: this needs a reference model and common members in both audits."
    return (
        f"Beyond {plain(high.old_threshold)} bits in the old audit {plural(high.n_old, 'member')}, beyond "
        f"{plain(high.new_threshold)} bits in the new one {plural(high.n_new, 'member')}: 10 bits, or what 99% of the "
        "non-members stay below, if that is more. Listed are members that crossed it."
    )


def high_tables(comparison: AuditComparison) -> Iterator[tuple[str, int, Sequence[HighSample]]]:
    """Yield title, number in all, and listed samples of those that came and those that went."""
    if comparison.high is not None:
        high = comparison.high
        yield "New among the highly memorized", high.n_appeared, high.appeared
        yield "No longer among them", high.n_vanished, high.vanished


def bits(value: float | None) -> str:
    """Write the bits of a sample."""
    return "not held" if value is None else numbers.number(value, 1)


def methods(comparison: AuditComparison) -> list[str]:
    """Say how the numbers were made."""
    n_tested = sum(row.p_value is not None for row in comparison.changes)
    used = sorted({row.change.method for row in comparison.changes if row.change.value is not None})
    missed = max((row.change.unseen_below or 0.0 for row in comparison.changes), default=0.0)
    return [
        f"Brackets hold {percent(comparison.level)} intervals, each on its own, over the sampling of texts: another "
        "seed of the same training changes figures, too.",
        f"Texts: {paired_words(comparison)}. Texts are the same if their SHA-256, their side and the length scored "
        "are; copies of one text are matched in the order of their ids and count as one piece of evidence.",
        "Old and new figures are those of the samples compared.",
        f"p-values are of no change, adjusted by Holm over {plural(n_tested, 'change')}.",
        f"Changes: {'; '.join(used)}.",
        *([f"Of every change of bits: {unseen(missed)}."] if missed else []),
    ]


def to_html(comparison: AuditComparison, *, old: str | None = None, new: str | None = None) -> str:
    """Render the comparison as one self-contained HTML document.

    Parameters
    ----------
    comparison : AuditComparison
    old, new : str, optional
        Relative paths of the reports of the two audits, to be linked.
    """
    made = rows(comparison)
    areas = [row for row in made if row.change.metric.endswith(".auc") and row.new.defined and row.old.defined]
    context: dict[str, Any] = {
        "comparison": comparison,
        "links": {name: quote(path) for name, path in (("old", old), ("new", new)) if path is not None},
        "style": style_sheet(),
        "finding": finding(comparison),
        "notes": notes(comparison),
        "methods": methods(comparison),
        "paired": paired_words(comparison),
        "parts": [
            ("Bits", [row for row in made if row.change.metric.startswith("memorization.")]),
            ("Extraction", [row for row in made if row.change.metric.startswith("extraction.")]),
            ("Attacks", [row for row in made if row.change.metric.startswith("attacks.")]),
        ],
        "areas": areas,
        "scale": figures.auc_scale(one for row in areas for one in (row.change.old, row.change.new)),
        "reasons": reasons(comparison),
        "differences": ordered(comparison),
        "high_words": high_words(comparison),
        "high_tables": list(high_tables(comparison)),
        "bits": bits,
        "EFFECTS": EFFECTS,
        "figures": figures,
        "numbers": numbers,
        "escaping": escaping,
        "SYMBOLS": SYMBOLS,
        "TONES": TONES,
    }
    return templates().get_template("comparison.html.j2").render(context).rstrip() + "\n"


def to_markdown(comparison: AuditComparison) -> str:
    """Render the comparison as GitHub-flavoured Markdown."""
    found, missing = finding(comparison), reasons(comparison)
    body = [
        (escaped(row.change.description), *(markdown_cell(cell, missing) for cell in row.cells), row.p_value)
        for row in rows(comparison)
    ]
    audits = [
        (
            which,
            code(audit.target, escaping.PATH),
            code(escaping.middle(audit.weights_sha256)),
            f"{SYMBOLS[TONES[audit.soundness]]} {audit.soundness}" if audit.soundness else "—",
            count(audit.n_members),
            count(audit.n_non_members),
        )
        for which, audit in (("Old", comparison.old), ("New", comparison.new))
    ]
    differ = [
        (f"{SYMBOLS[EFFECTS[one.effect]]} {escaped(one.what)}", code(one.old), code(one.new), escaped(one.meaning))
        for one in ordered(comparison)
    ]
    lines = [
        f"## Two audits compared: {escaped(found.title)}",
        "",
        f"> {SYMBOLS[found.tone]} {escaped(found.sentence, 2 * escaping.LINE)}",
        "",
        *(f"- {SYMBOLS[tone]} {escaped(line)}" for tone, line in notes(comparison)),
        "",
        *table_lines(("Audit", "Target", "Weights", "Sound", "Members", "Non-members"), audits, right=4),
        *table_lines(("Figure", "Old", "New", "Change", "p, adjusted"), body),
        *(f"{i}. Not defined: {escaped(reason)}." for i, reason in enumerate(missing, 1)),
        "",
        *details("Members to look at", [high_words(comparison), "", *_markdown_high(comparison)]),
        *details("What else differs", table_lines(("What", "Old", "New", "Effect"), differ, right=4)),
        *(f"- Not compared: {code(one.what)}, {escaped(one.reason)}." for one in comparison.left_out),
        "",
        *details("How the numbers were made", [*(f"- {escaped(line)}" for line in methods(comparison)), ""]),
    ]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).rstrip() + "\n"


def _markdown_high(comparison: AuditComparison) -> Iterator[str]:
    for title, n_all, samples in high_tables(comparison):
        yield f"**{title}: {count(n_all)}**" + (f", of which {len(samples)} are listed" if len(samples) < n_all else "")
        yield ""
        if samples:
            yield from table_lines(
                ("Sample", "Text (SHA-256)", "Old bits", "New bits"),
                [
                    (code(one.sample_id), code(one.text_sha256[:_HASH]), bits(one.old_bits), bits(one.new_bits))
                    for one in samples
                ],
                right=2,
            )


def render_terminal(comparison: AuditComparison) -> Group:
    """Compose the summary of a comparison for a terminal of 80 columns."""
    found = finding(comparison)
    title = Text("Compared: ", style="bold").append(visible(comparison.old.target, 60))
    title.append(" → ").append(visible(comparison.new.target, 60))
    panel = Panel(
        Text(visible(found.sentence, 2 * escaping.LINE)), title=Text(f" {SYMBOLS[found.tone]} {found.title} "),
        title_align="left", border_style=STYLES[found.tone], box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    table.collapse_padding = True
    for i, heading in enumerate(("Figure", "Old", "New", "Change", "p, adj.")):
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    shown = [row for row in rows(comparison) if row.change.unit != "share"]
    for row in shown:
        table.add_row(Text(visible(row.change.description, 40)), *map(terminal_cell, row.cells), row.p_value)
    parts: list[RenderableType] = [title, panel, table, Text("")]
    lines = [*notes(comparison), *_terminal_notes(comparison)]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for mark, line in lines:
        grid.add_row(Text(SYMBOLS[mark], style=STYLES[mark]), Text(visible(line, 300)))
    n_rates = len(comparison.changes) - len(shown)
    legend = f"{percent(comparison.level)} intervals; p adjusted by Holm. {paired_words(comparison)}."
    legend += f" {plural(n_rates, 'rate')} at low FPR: with --out or --json." if n_rates else ""
    return Group(*parts, grid, Text(""), Text(legend, style="dim"))


def _terminal_notes(comparison: AuditComparison) -> Iterator[tuple[Tone, str]]:
    """Yield what else a summary says in a line each."""
    if comparison.high is not None:
        high = comparison.high
        tone: Tone = "warn" if high.n_appeared else "info"
        ids = ", ".join(visible(one.sample_id, 30) for one in high.appeared[:_NOTES])
        named = f" ({ids}{', …' if high.n_appeared > _NOTES else ''})" if ids else ""
        yield (
            tone,
            (
                f"{plural(high.n_appeared, 'member')} new among the highly memorized{named}, "
                f"{count(high.n_vanished)} no longer among them"
            ),
        )
    harmless = [one.what for one in comparison.differences if one.effect == "none"]
    if harmless:
        more = f" and {len(harmless) - _DIFFERENCES} more" if len(harmless) > _DIFFERENCES else ""
        yield "info", f"also different: {', '.join(harmless[:_DIFFERENCES])}{more}"
    by_reason: dict[str, list[str]] = {}
    for one in comparison.left_out:
        by_reason.setdefault(one.reason, []).append(visible(one.what, 60))
    for reason, names in by_reason.items():
        yield "info", f"not compared ({reason}): {', '.join(names)}"


def verdict_line(comparison: AuditComparison) -> Text:
    """Say what was found on one line: all that ``--quiet`` prints."""
    return in_a_line(*finding(comparison))
