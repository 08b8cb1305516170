"""The report as Markdown: short enough for a pull request, complete enough to decide on."""

import re
from collections.abc import Iterable, Sequence

from auditor.results import AuditResult

from . import advice, expectation, ledger, safe, words
from .numbers import Quantity, count, plural
from .words import SYMBOLS

__all__ = ["code", "details", "escaped", "table_lines", "to_markdown"]

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PINGS = {"@": "@<!-- -->", "#": "\\#<!-- -->"}


def escaped(text: str, limit: int = safe.LINE) -> str:
    r"""Escape any string so that no Markdown dialect reads markup, a link, a table cell or a mention in it.

    Examples
    --------
    >>> escaped("a|b <i> [x](y)")
    'a\\|b &lt;i&gt; \\[x\\](y)'
    """
    text = re.sub(r"[&<>]", lambda m: _ENTITIES[m[0]], safe.visible(text, limit))
    text = re.sub(r"[\\`*_\[\]|~!$]", r"\\\g<0>", text)
    text = re.sub(r"[@#]", lambda m: _PINGS[m[0]], text)
    return re.sub(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)", r"\1\3\\\2\4", text)


def code(text: str, limit: int = safe.ID) -> str:
    """Set an identifier in code type; the string is escaped, because ``<code>`` alone protects nothing."""
    return f"<code>{escaped(text, limit)}</code>"


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 1) -> list[str]:
    """Lay out a table whose columns from ``right`` on hold numbers; the cells are escaped already."""
    marks = ["---" if i < right else "---:" for i in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, marks, *rows)] + [""]


def details(summary: str, lines: Iterable[str]) -> list[str]:
    """Fold lines under a summary, which is escaped already."""
    return [f"<details><summary>{summary}</summary>", "", *lines, "</details>", ""]


def _cell(quantity: Quantity, reasons: Sequence[str] = ()) -> str:
    """Write value and interval, or a dash with the reason (or its number in the notes under the table)."""
    if quantity.reason in reasons:
        return f"— ({reasons.index(quantity.reason) + 1})"
    if not quantity.defined:
        return f"— not defined: {escaped(quantity.reason)}"
    return f"**{quantity.value_with_unit}** {escaped(quantity.interval)}"


def _top(result: AuditResult) -> list[str]:
    found, checks = words.verdict(result), words.trust(result)
    data, targets = result.data, ledger.models(result, "target")
    references = ", ".join(code(model.path) for model in ledger.models(result, "reference")) or "none"
    others = plural(data.non_members.n_samples, "non-member") if data.non_members else "no non-members"
    date = escaped(words.date(result.provenance.started_at), 40)
    chips = " · ".join(
        f"{words.SYMBOLS[chip.tone]} {chip.label}: **{escaped(chip.word)}**" for chip in words.chips(result)
    )
    return [
        f"## Memorization audit: {escaped(found.title)}",
        "",
        f"{words.SYMBOLS[checks.tone]} Can these numbers be trusted? {escaped(checks.answer_with_names)}",
        "",
        f"> {escaped(found.sentence, 4 * safe.LINE)}",
        "",
        chips,
        "",
        f"Target {', '.join(code(model.path) for model in targets) or '—'} · reference {references} · "
        f"{plural(data.members.n_samples, 'member')}, {others} · {date}",
        "",
        *(f"- {escaped(point)}" for point in found.points),
        "",
        "**What to do**",
        "",
        *(f"{i}. {escaped(step)}" for i, step in enumerate(advice.actions(result), 1)),
        "",
    ]


def _checks(result: AuditResult) -> list[str]:
    checks = words.trust(result)
    rows = [
        (
            f"{words.SYMBOLS[words.TONES[check.verdict]]} {check.verdict}",
            escaped(check.name.replace("_", " "), safe.ID),
            escaped(words.check_figure(check), safe.ID),
            escaped(check.detail) + (f" **{escaped(check.remedy)}**" if check.remedy else ""),
        )
        for check in checks.checks
    ]
    if not rows:
        return []
    table = table_lines(("Verdict", "Check", "Figure", "What was found"), rows, right=9)
    return ["### Can these numbers be trusted?", "", *table] if checks.remarkable else details(
        escaped(checks.answer), table
    )  # fmt: skip


def _heading(title: str, result: AuditResult) -> list[str]:
    """Head a part; under a veto it is marked as diagnosis."""
    veto = words.verdict(result).kind == "veto"
    return [
        f"### {title}",
        "",
        *(["✖ **For diagnosis only**: a soundness check forbids a verdict.", ""] if veto else []),
    ]


def _memory(result: AuditResult) -> list[str]:
    memory = result.memorization
    title = _heading("How much is remembered", result)
    if memory is None:
        return [*title, "Not measured: bits need a reference model (<code>--reference</code>).", ""]
    quantities = ledger.memory_quantities(memory)
    level = quantities[0].level
    flag = [] if memory.calibrated else ["▲ **Uncalibrated**: no non-members were given; upper figures only.", ""]
    return [
        *title,
        *flag,
        *table_lines(
            ("Figure", f"Value and {level} interval", "What it is"),
            [(escaped(q.label), _cell(q), escaped(q.note)) for q in quantities],
            right=9,
        ),
    ]


def _attacks(result: AuditResult) -> list[str]:
    attacks = words.ranked(result)
    title = _heading("Can an attacker tell members apart?", result)
    if not attacks or all(attack.auc.value is None for attack in attacks):
        reason = attacks[0].auc.undefined_reason if attacks else "no attack was run"
        return [*title, f"Not measured: {escaped(reason or '')}.", ""]
    columns, reasons = ledger.attack_quantities(attacks[0]), ledger.reasons(attacks)
    rows = []
    for attack in attacks:
        name = code(attack.attack, 40) + (" ▲ inverted" if attack.inverted else "")
        rows.append((name, *(_cell(q, reasons) for q in ledger.attack_quantities(attack)[: len(columns)])))
    memory = result.memorization
    if memory is not None:
        rows.append(("implied by the bits", _cell(ledger.implied_auc(memory)), *("" for _ in columns[1:])))
    notes = "".join(f" ({i}) Not defined: {escaped(reason)}." for i, reason in enumerate(reasons, 1))
    table = table_lines(("Attack", *(q.label for q in columns)), rows)
    agreement = f" {ledger.agreement(result) or ''}".rstrip()
    return [*title, *table, f"Brackets hold {columns[0].level} intervals.{notes}{agreement}", ""]


def _expectation(result: AuditResult) -> list[str]:
    beside = result.prediction
    if beside is None:
        return []
    rows = [
        (
            escaped(row.quantity),
            escaped(f"{row.predicted} {row.band}".rstrip()),
            f"**{row.measured}** {escaped(row.interval)}" if not row.reason else "—",
            f"{SYMBOLS[row.tone]} {escaped(row.reason) or row.verdict}",
        )
        for row in expectation.rows(beside)
    ]
    warnings = [f"- {SYMBOLS['warn']} {escaped(line)}" for line in expectation.warnings(beside)]
    notes = [f"- {escaped(line)}" for line in expectation.basis(beside)]
    return [
        *_heading("What its size lets expect", result),
        f"{SYMBOLS[expectation.tone(beside)]} {escaped(beside.summary, 4 * safe.LINE)}",
        "",
        escaped(expectation.plan(beside)),
        "",
        *table_lines(("Figure", "Predicted and band", "Measured and interval", "Do they agree?"), rows, right=9),
        *warnings,
        "",
        *details("What the prediction rests on", [*notes, ""]),
    ]


def _samples(result: AuditResult) -> list[str]:
    memory = result.memorization
    if memory is None or not memory.top_samples:
        return []
    rows = [
        (
            code(sample.sample_id),
            "member" if sample.is_member else "non-member",
            code(safe.middle(sample.text_sha256)),
            *([escaped(sample.text, 200)] if sample.text is not None else []),
            f"{words.sample_bits(sample)} bits",
            count(sample.n_tokens),
        )
        for sample in memory.top_samples
    ]
    with_text = words.shows_texts(result)
    rows = [row if len(row) == 5 + with_text else (*row[:3], "", *row[3:]) for row in rows]
    header = ("Sample", "Side", "SHA-256", *(["Text"] if with_text else []), "Signed bits", "Tokens")
    note = [escaped(advice.TEXTS_AS_SCORED), ""] if with_text else []
    table = table_lines(header, rows, right=len(header) - 2)
    return details(f"The {plural(len(rows), 'most memorized sample')}", [*table, *note])


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    return table_lines(
        ("What", "Value"), [(escaped(key, safe.ID), escaped(text, safe.PATH)) for key, text in rows], right=9
    )


def _provenance(result: AuditResult) -> list[str]:
    lines: list[str] = []
    for side, name in ((result.data.members, "Members"), (result.data.non_members, "Non-members")):
        if side is not None:
            lines += [
                f"**{name}**",
                "",
                *_rows(ledger.side_rows(side)),
                *(f"- {escaped(note)}" for note in side.notes),
                "",
            ]
    for model in result.provenance.models:
        lines += [f"**{model.role.capitalize()}**", "", *_rows(ledger.model_rows(model))]
    lines += ["**Run**", "", *_rows(ledger.run_rows(result))]
    again = ledger.command(result.config)
    if again:
        lines += [
            "**How to reproduce**",
            "",
            "<br>".join(code(line.strip(), 400) for line in again.split("\n")),
            "",
        ]
    return details("Data and provenance", lines)


def _extras(result: AuditResult) -> list[str]:
    lines: list[str] = []
    for name in ("extraction", "canaries", "gates"):
        part = getattr(result, name)
        if part is not None:
            lines += details(name.capitalize(), _rows(ledger.flat(part)))
    return lines


def to_markdown(result: AuditResult) -> str:
    """Render the audit as GitHub-flavoured Markdown."""
    warnings = [f"- ▲ {escaped(warning)}" for warning in result.warnings]
    limits = [f"- {escaped(limit)}" for limit in advice.limits(result)]
    lines = [
        *_top(result),
        *_checks(result),
        *_memory(result),
        *_attacks(result),
        *_expectation(result),
        *(["### Warnings", "", *warnings, ""] if warnings else []),
        *_samples(result),
        *_extras(result),
        *_provenance(result),
        f"**Confidential**: {escaped(advice.CONFIDENTIAL)}",
        "",
        *details("What this audit does not show", [*limits, ""]),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
