"""The summary on the terminal: whether it can be trusted, the verdict, then what it rests on, in one screen.

Everything is plain ``Text``: no string of the audit is read as rich markup, and none holds an escape code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from auditor.documents.estimate import Histogram
from auditor.documents.result import AttackResult, AuditResult, CheckResult, CombinationResult, MemorizationResult

from . import (
    advice,
    attacks,
    canaries,
    epsilon,
    escaping,
    extraction,
    figure_rows,
    knowledge,
    prediction,
    retrained,
    risk,
    soundness,
    verdict,
)
from .numbers import Change, Quantity, number, p_value, percent, plural
from .tones import STYLES, SYMBOLS, TONES, Tone, in_a_line

__all__ = ["render_terminal", "verdict_line"]

_PIECES = {"shared": "dim", "common": "yellow", "own": "blue", "rest": "dim"}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS = 8
_CHECKS = 4
_WARNINGS = 3
_STEPS = 2
_BEST = "best, held out"
_COMPARED = 4
_LINES = 36
"""Lines of a summary in brief, but for the two that say that there is more and the path of the report."""
_CHECKS_IN_BRIEF = 2
_ROWS_IN_BRIEF = 4
_MORE = "\nEvery part of it: --verbose, or the report."
_DIAGNOSIS = "\nChecks and figures, for diagnosis only: --verbose, or the report."


def _text(text: str, style: str = "", limit: int = escaping.LINE) -> Text:
    return Text(escaping.visible(text, limit), style=style)


def _title(text: str, result: AuditResult | None = None) -> Text:
    """Head a part; under a veto it is marked as diagnosis."""
    title = Text(f"\n{text}", style="bold")
    if result is not None and soundness.is_vetoed(result):
        title.append(" (for diagnosis only)", style="red")
    return title


def _mark(tone: Tone) -> Text:
    return Text(SYMBOLS[tone], style=STYLES[tone])


def _bullets(lines: list[tuple[Tone, str]], limit: int = 300) -> Table:
    """Set lines with a sign in front and a hanging indent."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for tone, line in lines:
        grid.add_row(_mark(tone), _text(line, limit=limit))
    return grid


def _heading(result: AuditResult) -> Text:
    data = result.data
    targets, references = (figure_rows.models(result, role) for role in ("target", "reference"))
    others = plural(data.non_members.n_samples, "non-member") if data.non_members else "no non-members"
    line = Text()
    line.append(escaping.visible(targets[0].path, 40) if targets else "—", style="bold")
    line.append(" against ")
    named = ", ".join(escaping.visible(model.path, 40) for model in references) or "no reference"
    line.append(named if len(references) <= 2 else figure_rows.references_word(result), style="bold")
    line.append(f" · {plural(data.members.n_samples, 'member')}, {others}", style="dim")
    return line


def _verdict(result: AuditResult) -> Panel:
    found = verdict.verdict(result)
    style = STYLES[found.tone]
    body = _text(found.sentence, limit=2 * escaping.LINE)
    if found.unread:
        body.append(f"\n{SYMBOLS['warn']} {found.unread}", style=STYLES["warn"])
    if found.action:
        body.append("\nWhat to do: ", style="bold").append(escaping.visible(found.action, 2 * escaping.LINE))
    return Panel(
        body, title=_text(f" {SYMBOLS[found.tone]} {found.title} ", f"bold {style}"), title_align="left",
        border_style=style, box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip


def _trust(result: AuditResult, most: int) -> Table:
    checks = soundness.trust(result)
    lines: list[tuple[Tone, str]] = [(checks.tone, f"Can these numbers be trusted? {checks.answer}")]
    if unseen := soundness.unseen_shift(result):
        lines.append(("info", unseen))
    for check in checks.remarkable[:most]:
        lines.append((TONES[check.verdict], _found(check)))
    if len(checks.remarkable) > most:
        lines.append(("info", f"{plural(len(checks.remarkable) - most, 'more such check')} in the report"))
    return _bullets(lines, limit=escaping.LINE)


def _found(check: CheckResult) -> str:
    """Say what a check found, and the way out."""
    remedy = f" → {soundness.as_sentence(check.remedy)}" if check.remedy else ""
    drop = soundness.drop_line(check, name_them=False)
    detail = escaping.visible(soundness.as_sentence(check.detail), 300)
    return f"{soundness.spoken(check.name)}: {detail}{remedy} {drop}".rstrip()


def _cells(quantity: Quantity) -> tuple[Text, Text]:
    if not quantity.defined:
        return Text("—"), _text("not defined", "dim")
    return Text(quantity.value_with_unit, style="bold"), Text(quantity.interval, style="dim")


def _grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if i == 0 else "right", no_wrap=i > 0, overflow="fold")
    return table


def _memory(result: AuditResult) -> list[RenderableType]:
    memory = result.memorization
    if memory is None:
        return [
            _title("How much is remembered", result),
            Text("  Not measured: bits need a reference model (--reference)."),
        ]
    quantities = figure_rows.memory_quantities(memory)
    table = _grid("", "value", f"{quantities[0].level} interval")
    for quantity in figure_rows.in_brief(memory):
        table.add_row(_text(quantity.label), *_cells(quantity))
    said = figure_rows.unseen_line(memory)
    note = [_text(f"  {line}", "dim") for line in (figure_rows.under_reading(memory), said) if line]
    bars = (*_split(memory), *_sparklines(memory.signed_bits_histogram))
    return [_title("How much is remembered", result), table, *note, *bars]


def _split(memory: MemorizationResult, width: int = 14) -> list[RenderableType]:
    """Draw what is known of an average member as one bar with its key, in a line."""
    cut = knowledge.pieces(memory)
    if not cut:
        return [_text(f"  {line}", "dim", 300) for line in (knowledge.sentence(memory),) if line]
    edges = np.cumsum([0.0, *(piece.bits for piece in cut)])
    ends = np.rint(width * edges / (edges[-1] or 1.0)).astype(int)
    bar, key = Text(), Text()
    for piece, start, end in zip(cut, ends[:-1], ends[1:], strict=True):
        bar.append(piece.glyph * (end - start), style=_PIECES[piece.css])
        key.append(f" {piece.glyph}", style=_PIECES[piece.css])
        key.append(f" {number(piece.bits, 0 if piece.bits >= 10 else 1)} {piece.word}", style="not bold dim")
    return [bar.append_text(key)]


def _spark(counts: tuple[int, ...], width: int = 48) -> str:
    """Draw counts as blocks, one a bin, at most ``width`` of them."""
    step = -(-len(counts) // width)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    top = max([*merged, 1])
    return "".join(_BLOCKS[-(-value * (len(_BLOCKS) - 1) // top)] for value in merged)


def _sparklines(bars: Histogram) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("members    ", style="dim"), Text(_spark(bars.members), style="blue"))
    if sum(bars.non_members):
        grid.add_row(Text("non-members", style="dim"), Text(_spark(bars.non_members), style="yellow"))
    low, high = (number(edge, 0) for edge in (bars.edges[0], bars.edges[-1]))
    gap = " " * max(1, len(_spark(bars.members)) - len(low) - len(high))
    grid.add_row(Text(""), Text(f"{low}{gap}{high} bits", style="dim"))
    return [grid]


def _rates(attack: AttackResult | CombinationResult) -> Text:
    """Give the rate at the lowest false-positive rate that can be resolved."""
    rates = [rate for rate in attack.tpr_at_fpr if rate.value is not None]
    if not rates:
        return Text("—")
    rate = min(rates, key=lambda rate: rate.fpr)
    quantity = Quantity(label="", unit="%", estimate=rate)
    return Text(f"{quantity.value} {quantity.interval} @{percent(rate.fpr)}")


def _attacks(result: AuditResult) -> list[RenderableType]:
    ranked = attacks.ranked(result)
    title = _title("Can an attacker tell members apart?", result)
    if not ranked or all(attack.auc.value is None for attack in ranked):
        reason = ranked[0].auc.undefined_reason if ranked else "no attack was run"
        return [title, _text(f"  Not measured: {reason}.", limit=200)]
    with_p = any(attack.p_value_holm is not None for attack in ranked)
    columns = ("AUC", f"{percent(ranked[0].auc.level)} interval", *(["p adj."] if with_p else []), "TPR @FPR")
    table = _grid("Attack", *columns)
    for attack in ranked[:_ROWS]:
        label = _text(attack.attack, "bold" if attack is ranked[0] else "", 24)
        if attack.inverted:
            label.append(" ▲ inverted", style="yellow")
        p = [Text(p_value(attack.p_value_holm))] if with_p else []
        table.add_row(label, *_cells(Quantity(label="AUC", unit="", estimate=attack.auc)), *p, _rates(attack))
    blank = [Text("")] if with_p else []
    for name, quantities in attacks.beside(result):
        rates = _rates(result.combination) if name == attacks.TOGETHER and result.combination else Text("")
        shown = _BEST if name == attacks.BEST else name
        table.add_row(Text(shown, style="dim"), *_cells(quantities[0]), *blank, rates)
    if result.memorization is not None:
        implied = figure_rows.implied_auc(result.memorization)
        table.add_row(Text("implied by the bits", style="dim"), *_cells(implied), *blank, Text(""))
    more = len(ranked) - _ROWS
    rest = [Text(f"  and {plural(more, 'more attack')} in the report", style="dim")] if more > 0 else []
    return [title, table, *rest, *_about_attacks(result)]


def _about_attacks(result: AuditResult) -> list[RenderableType]:
    """Say what the combination adds, and what is left where the texts alone tell the sides apart."""
    lines: list[tuple[Tone, str]] = []
    headline = attacks.headline_attack(result)
    if headline is not None and soundness.looks_differ(result):
        lines = [("warn", f"{headline.attack}: {q.label} {q.text}") for q in attacks.adjusted_quantities(headline)]
    if result.combination is not None:
        gain = Change(label="", unit="", estimate=result.combination.gain)
        measurable = result.combination.gain.low is not None and result.combination.gain.low > 0
        adds = "" if measurable or not gain.defined else ": nothing measurable"
        lines.append(("info", f"All attacks together, over the best single one: {gain.text}{adds}"))
    return [_bullets(lines)] if lines else []


def _risk(result: AuditResult) -> list[RenderableType]:
    found = result.risk
    if found is None:
        return []
    doubtful = found.calibration is None or not found.calibration.calibrated
    lines: list[tuple[Tone, str]] = [
        ("warn" if doubtful else "info", risk.probabilities_sentence(found)),
    ]
    if above := risk.above_sentence(found):
        lines.append(("info", above))
    lines += [("info", f"{q.label}: {q.text}") for q in risk.stand_out_rows(found) if q.defined]
    tails = [
        f"{row.label.lower()} {row.mean.value} {row.mean.interval}" for row in risk.tail_rows(found) if row.mean.defined
    ]
    if tails:
        caveat = risk.tails_caveat(result)
        lines.append(("warn" if caveat else "info", f"Mean bits per member: {'; '.join(tails)}. {caveat}".rstrip()))
    for part in risk.shown_breakdowns(found):
        too_small = risk.too_small_sentence(part)
        if part.p_value is not None or too_small:
            differs: Tone = "warn" if part.p_value is not None and part.p_value <= risk.DIFFERENT else "info"
            said = f"{risk.breakdown_title(part)}: {risk.breakdown_sentence(part)} {too_small}"
            lines.append((differs, said.rstrip()))
    if found.stability is not None:
        lines.append(("info", risk.stability_sentence(found.stability)))
    if words := risk.rarity_sentence(found.rarity_correlation):
        lines.append(("info", words))
    return [_title("Who is at risk", result), _bullets(lines, limit=400)]


def _extraction(result: AuditResult) -> list[RenderableType]:
    part = result.extraction
    if part is None:
        return []
    found = extraction.tone(part)
    lines: list[tuple[Tone, str]] = [(found, extraction.sentence(part))]
    lines += [("info", line) for line in extraction.facts(part)]
    return [_title(extraction.TITLE, result), _bullets(lines, limit=400)]


def _retrained(result: AuditResult) -> list[RenderableType]:
    part = result.retrained
    if part is None:
        return []
    rows, net = retrained.rows(result), retrained.bits(part)
    table = _grid("Attack", "target", "retr.", "change of AUC", "p adj.", "finding")
    table.columns[0].no_wrap = True
    for row in rows[:_COMPARED]:
        change = Text(row.change.value, style="bold").append(f" {row.change.interval}", style="not bold dim")
        finding = Text(f"{SYMBOLS[row.tone]} {row.finding.removesuffix(' memory')}", style=STYLES[row.tone])
        figures = (Text(text) for text in (row.target.value, row.retrained.value))
        table.add_row(_text(row.attack, limit=18), *figures, change, Text(row.p), finding)
    more = len(rows) - _COMPARED
    rest = [Text(f"  and {plural(more, 'more attack')} in the report", style="dim")] if more > 0 else []
    said: list[tuple[Tone, str]] = [
        (retrained.tone(part), retrained.sentence(result)),
        ("info", f"{net.label}: {net.text}"),
    ]
    return [_title(retrained.TITLE, result), _bullets(said, limit=400), table, *rest]


def _prediction(result: AuditResult) -> list[RenderableType]:
    beside = result.prediction
    if beside is None:
        return []
    table = _grid("", "predicted", "measured", "")
    for row in prediction.rows(beside):
        if row.measure != "f1" and (row.tone == "warn" or row.measure == "auc"):
            verdict = Text(f"{SYMBOLS[row.tone]} {row.verdict}", style=STYLES[row.tone])
            quantity = row.quantity.replace(" attack,", ",")
            measured = _text(row.measured, "bold").append(f" {row.interval}", style="not bold")
            table.add_row(_text(quantity), _text(f"{row.predicted} {row.band}".rstrip()), measured, verdict)
    return [
        _title("What its size lets expect", result),
        table,
        _bullets([(prediction.tone(beside), beside.summary)], limit=4 * escaping.LINE),
    ]


def _canaries(result: AuditResult) -> list[RenderableType]:
    return [] if result.canaries is None else [_title(canaries.TITLE), canaries.render_canaries(result.canaries)]


def _epsilon(result: AuditResult) -> list[RenderableType]:
    part = result.epsilon
    if part is None:
        return []
    n_unchecked = sum(one.verdict == "unchecked" for one in part.conditions)
    said: list[tuple[Tone, str]] = [(epsilon.tone(part), epsilon.sentence(part))]
    said += [("info", line) for line in epsilon.lines(part)[:1]]
    if n_unchecked:
        said.append(("info", f"It takes {plural(n_unchecked, 'condition')} for granted that nobody checked: see there"))
    return [_title(epsilon.TITLE, result), _bullets(said, limit=400)]


def _warnings(result: AuditResult) -> list[RenderableType]:
    if not result.warnings:
        return []
    lines: list[tuple[Tone, str]] = [("warn", warning) for warning in result.warnings[:_WARNINGS]]
    if len(result.warnings) > _WARNINGS:
        lines.append(("info", f"{plural(len(result.warnings) - _WARNINGS, 'more warning')} in the report"))
    return [_title("Warnings"), _bullets(lines, limit=160)]


def _next(result: AuditResult) -> list[RenderableType]:
    shown = soundness.trust(result).remarkable[:_CHECKS]
    said = {soundness.as_sentence(check.remedy) for check in shown if check.remedy} | {soundness.drop_action(result)}
    steps = [step for step in advice.actions(result) if step not in said]
    lines: list[tuple[Tone, str]] = [("info", step) for step in steps[: max(1, _STEPS - len(shown))]]
    return [_title("Next"), _bullets(lines, limit=160)]


@dataclass(frozen=True)
class _Screen:
    """Parts, the first of which are always shown; of the rest those that fit, and a line says that there is more."""

    first: Sequence[RenderableType]
    rest: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show parts while they fit."""
        yield from self.first
        left = _LINES - _height(self.first, console, options)
        for part in self.rest:
            height = _height([part], console, options)
            if height <= left:
                left -= height
                yield part
        yield Text(_MORE, style="dim")


def _height(parts: Sequence[RenderableType], console: Console, options: ConsoleOptions) -> int:
    return sum(len(console.render_lines(part, options, pad=False)) for part in parts)


def _attacks_in_brief(result: AuditResult) -> Group:
    ranked = [attack for attack in attacks.ranked(result) if attack.auc.value is not None][:_ROWS_IN_BRIEF]
    if not ranked:
        return Group(*_attacks(result))
    table = _grid("Attack", "AUC", f"{percent(ranked[0].auc.level)} interval", "TPR @FPR")
    for attack in ranked:
        label = _text(attack.attack, "bold" if attack is ranked[0] else "", 24)
        table.add_row(label, *_cells(Quantity(label="AUC", unit="", estimate=attack.auc)), _rates(attack))
    return Group(_title("Can an attacker tell members apart?", result), table)


def _memory_in_brief(result: AuditResult) -> Group:
    memory = result.memorization
    if memory is None:
        return Group(*_memory(result))
    shown = [figure_rows.headline_bits(memory)]
    shown += [q for q in figure_rows.in_brief(memory) if q.label in figure_rows.IN_FEW_LINES]
    table = _grid("", "value", f"{shown[0].level} interval")
    for quantity in shown:
        table.add_row(_text(quantity.label), *_cells(quantity))
    return Group(_title("How much is remembered", result), table)


def _findings(result: AuditResult) -> list[tuple[Tone, str]]:
    """Say in a sentence what each further part of the audit found."""
    said: list[tuple[Tone, str]] = []
    if result.extraction is not None:
        said.append((extraction.tone(result.extraction), extraction.sentence(result.extraction)))
    if result.retrained is not None:
        said.append((retrained.tone(result.retrained), retrained.sentence(result)))
    if result.epsilon is not None:
        said.append((epsilon.tone(result.epsilon), epsilon.sentence(result.epsilon)))
    if result.risk is not None and (above := risk.above_sentence(result.risk)):
        said.append(("info", above))
    if result.prediction is not None:
        said.append((prediction.tone(result.prediction), result.prediction.summary))
    return said


def _vetoed_in_brief(result: AuditResult) -> Group:
    """Say why there is no verdict and what to do; no figure, as none may be read as leakage."""
    checks = soundness.trust(result)
    said: list[tuple[Tone, str]] = [(checks.tone, f"Can these numbers be trusted? {checks.answer_with_names}")]
    return Group(_heading(result), _bullets(said, limit=escaping.LINE), _verdict(result), Text(_DIAGNOSIS, style="dim"))


def _in_brief(result: AuditResult) -> _Screen:
    findings = _findings(result)
    also = Group(_title("What else was found", result), _bullets(findings, limit=escaping.LINE))
    warned: list[tuple[Tone, str]] = [("warn", f"{plural(len(result.warnings), 'warning')} in the report")]
    return _Screen(
        first=(_heading(result), _trust(result, _CHECKS_IN_BRIEF), _verdict(result), Group(*_next(result))),
        rest=(
            *([also] if findings else []),
            _memory_in_brief(result),
            _attacks_in_brief(result),
            *([_bullets(warned)] if result.warnings else []),
        ),
    )


def render_terminal(result: AuditResult, *, verbose: bool = False) -> RenderableType:
    """Compose the summary; print it with a :class:`rich.console.Console`, which drops colours off a terminal.

    Parameters
    ----------
    verbose : bool
        Show every part; otherwise trust, verdict and what to do, then what fits in a screen of 40 lines.
    """
    is_vetoed = soundness.is_vetoed(result)
    if not verbose:
        return _vetoed_in_brief(result) if is_vetoed else _in_brief(result)
    return Group(
        _heading(result),
        _trust(result, _CHECKS),
        _verdict(result),
        *_memory(result),
        *_attacks(result),
        *_risk(result),
        *_extraction(result),
        *_retrained(result),
        *_prediction(result),
        *_canaries(result),
        *_epsilon(result),
        *_warnings(result),
        *([] if is_vetoed else _next(result)),
    )


def verdict_line(result: AuditResult) -> Text:
    """Say the verdict on one line: all that ``--quiet`` prints."""
    found = verdict.verdict(result)
    return in_a_line(found.tone, found.title, found.sentence)
