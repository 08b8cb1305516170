"""The report as Markdown: short enough for a pull request, complete enough to decide on."""

import re
from collections.abc import Iterable, Sequence

from auditor.documents.epsilon import EpsilonResult
from auditor.documents.result import AuditResult, CalibrationResult, CheckResult, RiskBreakdown

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
    probabilities,
    retrained,
    risk,
    soundness,
    verdict,
    vetoed,
)
from .numbers import Quantity, count, percent, plain, plural
from .tones import SYMBOLS, TONES

__all__ = ["code", "details", "escaped", "table_lines", "to_markdown", "with_code"]

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PINGS = {"@": "@<!-- -->", "#": "\\#<!-- -->"}


def escaped(text: str, limit: int = escaping.LINE) -> str:
    r"""Escape any string so that no Markdown dialect reads markup, a link, a table cell or a mention in it.

    Examples
    --------
    >>> escaped("a|b <i> [x](y)")
    'a\\|b &lt;i&gt; \\[x\\](y)'
    """
    text = re.sub(r"[&<>]", lambda m: _ENTITIES[m[0]], escaping.visible(text, limit))
    text = re.sub(r"[\\`*_\[\]|~!$]", r"\\\g<0>", text)
    text = re.sub(r"[@#]", lambda m: _PINGS[m[0]], text)
    return re.sub(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)", r"\1\3\\\2\4", text)


def with_code(text: str) -> str:
    r"""Escape a sentence; what stands between backticks is shown as code.

    Examples
    --------
    >>> with_code("the attack `loss`, <b>")
    'the attack <code>loss</code>, &lt;b&gt;'
    """
    return re.sub(r"\\`([^`<>]+?)\\`", r"<code>\1</code>", escaped(text, 2 * escaping.LINE))


def code(text: str, limit: int = escaping.ID) -> str:
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
    found = verdict.verdict(result)
    chips = " · ".join(f"{SYMBOLS[chip.tone]} {chip.label}: **{escaped(chip.word)}**" for chip in verdict.chips(result))
    return [
        *_said(result, found),
        *([f"{SYMBOLS['warn']} **{escaped(found.unread)}**", ""] if found.unread else []),
        chips,
        "",
        *_audited(result),
        *(f"- {with_code(point)}" for point in found.points),
        "",
        "**What to do**",
        "",
        *(f"{i}. {escaped(step)}" for i, step in enumerate(advice.actions(result), 1)),
        "",
    ]


def _said(result: AuditResult, found: verdict.VerdictWords) -> list[str]:
    checks = soundness.trust(result)
    return [
        "## Memorization audit",
        "",
        f"{SYMBOLS[checks.tone]} Can these numbers be trusted? {escaped(checks.answer_with_names)}",
        "",
        f"### {SYMBOLS[found.tone]} {escaped(found.title)}",
        "",
        f"> {escaped(found.sentence, 4 * escaping.LINE)}",
        "",
    ]


def _audited(result: AuditResult) -> list[str]:
    """Name the models, the number of texts and the date."""
    data, targets = result.data, figure_rows.models(result, "target")
    others = plural(data.non_members.n_samples, "non-member") if data.non_members else "no non-members"
    return [
        f"Target {', '.join(code(model.path) for model in targets) or '—'} · reference {_references(result)} · "
        f"{plural(data.members.n_samples, 'member')}, {others} · "
        f"{escaped(verdict.date(result.provenance.started_at), 40)}",
        "",
    ]


def _references(result: AuditResult) -> str:
    models = figure_rows.models(result, "reference")
    if len(models) > figure_rows.MODELS:
        return figure_rows.references_word(result)
    return ", ".join(code(model.path) for model in models) or "none"


def _checks(result: AuditResult) -> list[str]:
    checks = soundness.trust(result)
    rows = [
        (
            f"{SYMBOLS[TONES[check.verdict]]} {check.verdict}",
            escaped(soundness.spoken(check.name), escaping.ID),
            escaped(soundness.check_figure(check), escaping.ID),
            _found(check),
        )
        for check in checks.checks
    ]
    if not rows:
        return []
    table = table_lines(("Verdict", "Check", "Figure", "What was found"), rows, right=9)
    table += [unseen, ""] if (unseen := soundness.unseen_shift(result)) else []
    return ["### Can these numbers be trusted?", "", *table] if checks.remarkable else details(
        escaped(checks.answer), table
    )  # fmt: skip


def _found(check: CheckResult) -> str:
    """Write what a check found, what to do about it, and which samples to leave out."""
    remedy = f" **{escaped(check.remedy)}**" if check.remedy else ""
    drop = soundness.drop_line(check)
    return f"{escaped(check.detail)}{remedy}" + (f" {escaped(drop, 2 * escaping.LINE)}" if drop else "")


def _heading(title: str, result: AuditResult) -> list[str]:
    """Head a part; under a veto it is marked as diagnosis."""
    veto = soundness.is_vetoed(result)
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
    quantities = figure_rows.memory_quantities(memory)
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
        *([split, ""] if (split := knowledge.sentence(memory)) else []),
        *([said, ""] if (said := figure_rows.unseen_line(memory)) else []),
    ]


def _notes(reasons: Sequence[str]) -> str:
    return "".join(f" ({i}) Not defined: {escaped(reason)}." for i, reason in enumerate(reasons, 1))


def _attacks(result: AuditResult) -> list[str]:
    ranked = attacks.ranked(result)
    title = _heading("Can an attacker tell members apart?", result)
    if not ranked or all(attack.auc.value is None for attack in ranked):
        reason = ranked[0].auc.undefined_reason if ranked else "no attack was run"
        return [*title, f"Not measured: {escaped(reason or '')}.", ""]
    table, memory = attacks.attack_table(result), result.memorization
    rows = []
    for row in table.rows:
        name = code(row.label, 40) if row.attack else row.label
        cells = (escaped(q) or "—" if isinstance(q, str) else _cell(q, table.reasons) for q in row.cells)
        rows.append((name + (" ▲ inverted" if row.attack and row.attack.inverted else ""), *cells))
    if memory is not None:
        rows.append(("implied by the bits", _cell(figure_rows.implied_auc(memory)), *("" for _ in table.header[1:])))
    more = (attacks.selection_sentence(result), attacks.combination_sentence(result))
    return [
        *title,
        *table_lines(("Attack", *table.header), rows),
        f"Brackets hold {percent(ranked[0].auc.level)} intervals.{_notes(table.reasons)} "
        f"{with_code(figure_rows.agreement(result) or '')}".rstrip(),
        "",
        *(f"- {with_code(line)}" for line in more if line),
        "",
    ]


def _risk(result: AuditResult) -> list[str]:
    found = result.risk
    if found is None:
        return []
    lines = [
        with_code(risk.probabilities_sentence(found)),
        escaped(risk.above_sentence(found)),
        escaped(risk.stability_sentence(found.stability)),
        escaped(risk.rarity_sentence(found.rarity_correlation)),
    ]
    tails = [(row.label, _cell(row.mean), _cell(row.least)) for row in risk.tail_rows(found)]
    stand_out = [(escaped(q.label), _cell(q)) for q in risk.stand_out_rows(found)]
    caveat = risk.tails_caveat(result)
    return [
        *_heading("Who is at risk", result),
        *(f"- {line}" for line in lines if line),
        "",
        *(table_lines(("Who stands out", "Members"), stand_out) if stand_out else []),
        *(table_lines(("Members", "Mean of them", "Each at least"), tails) if tails else []),
        *([f"▲ {escaped(caveat)}", ""] if tails and caveat else []),
        *_stated(found.calibration),
        *(line for part in risk.shown_breakdowns(found) for line in _breakdown(part)),
    ]


def _stated(calibration: CalibrationResult | None) -> list[str]:
    """List what was stated and what was observed, folded."""
    if calibration is None:
        return []
    rows = [
        (
            probabilities.bin_label(one),
            percent(round(one.mean_stated, 3)),
            _cell(Quantity(label="", unit="%", estimate=one.observed)),
        )
        for one in calibration.bins
    ]
    header = ("Stated probability", "Mean stated", "Members among them")
    return details("Stated and observed membership", table_lines(header, rows))


def _breakdown(part: RiskBreakdown) -> list[str]:
    """Say how groups differ, with their table folded."""
    said = f"{risk.breakdown_sentence(part)} {risk.left_out_sentence(part)}".rstrip()
    with_bits = risk.has_bits(part)
    rows = [
        (
            escaped(row.label, escaping.ID),
            count(row.n_members),
            *([_cell(row.bits) if row.bits else "—"] if with_bits else []),
            _cell(row.auc),
            _cell(row.posterior),
        )
        for row in risk.breakdown_rows(part)
    ]
    header = (
        escaped(risk.column_title(part), escaping.ID),
        "Members",
        *(["Mean bits"] if with_bits else []),
        "AUC",
        "Mean probability",
    )
    title = f"{escaped(risk.breakdown_title(part), escaping.ID)}: {escaped(said)}"
    return details(title, table_lines(header, rows)) if rows else [f"- {title}", ""]


def _extraction(result: AuditResult) -> list[str]:
    part = result.extraction
    if part is None:
        return []
    gaps = extraction.reasons(part)
    table = [(escaped(row.label), *(_cell(q, gaps) for q in row[1:])) for row in extraction.rows(part)]
    return [
        *_heading(extraction.TITLE, result),
        escaped(extraction.lede(part), 2 * escaping.LINE),
        "",
        f"{SYMBOLS[extraction.tone(part)]} {escaped(extraction.sentence(part), 2 * escaping.LINE)}",
        "",
        *table_lines(("Drawn out", "Members", "Non-members", "Beyond them"), table),
        *([_notes(gaps).strip(), ""] if gaps else []),
        *(f"- {escaped(line, 2 * escaping.LINE)}" for line in extraction.facts(part)),
        "",
    ]


def _retrained(result: AuditResult) -> list[str]:
    part = result.retrained
    if part is None:
        return []
    gaps, net = retrained.reasons(result), retrained.bits(part)
    rows = [
        (
            code(row.attack, 40),
            *(_cell(q, gaps) for q in (row.target, row.retrained, row.change)),
            escaped(row.p),
            f"{SYMBOLS[row.tone]} {row.finding}",
        )
        for row in retrained.rows(result)
    ]
    header = ("Attack", "AUC, target", "AUC, retrained", "Change", attacks.ADJUSTED_P, "Finding")
    return [
        *_heading(retrained.TITLE, result),
        f"{SYMBOLS[retrained.tone(part)]} {escaped(retrained.sentence(result), 2 * escaping.LINE)}",
        "",
        *table_lines(header, rows),
        f"{net.label}: {escaped(net.text)}. Margin: {plain(part.margin)} of AUC. Retrained model: {code(part.path)}, "
        f"weights {code(part.weights_sha256)}; another seed would give another one.{_notes(gaps)}",
        "",
    ]


def _canaries(result: AuditResult) -> list[str]:
    part = result.canaries
    if part is None:
        return []
    rows = [
        (row.label, row.counts, _cell(row.exposure), row.first, _cell(row.auc), f"**{row.bound}**", row.ceiling)
        for row in canaries.rows(part)
    ]
    header = ("Copies", "In, out", "Mean exposure", "First", "AUC", "ε", "At most")
    return [
        f"### {canaries.TITLE}",
        "",
        f"{SYMBOLS[canaries.tone(part)]} {escaped(canaries.sentence(part))}",
        "",
        *table_lines(header, rows),
        *(f"- {escaped(line)}" for line in canaries.under(part)),
        "",
        *(_conditions(part.tiers[0].epsilon) if part.tiers else []),
    ]


def _epsilon(result: AuditResult) -> list[str]:
    part = result.epsilon
    if part is None:
        return []
    return [
        *_heading(epsilon.TITLE, result),
        f"{SYMBOLS[epsilon.tone(part)]} {escaped(epsilon.sentence(part), 2 * escaping.LINE)}",
        "",
        *(f"- {escaped(line)}" for line in epsilon.lines(part)),
        "",
        *_conditions(part),
    ]


def _conditions(part: EpsilonResult) -> list[str]:
    """List what a bound on epsilon takes for granted, folded."""
    rows = [
        (f"{SYMBOLS[one.tone]} {one.word}", escaped(one.name), escaped(one.detail, 2 * escaping.LINE))
        for one in epsilon.conditions(part)
    ]
    return details("What the bound on ε takes for granted", table_lines(("", "Condition", "Found"), rows, right=9))


def _prediction(result: AuditResult) -> list[str]:
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
        for row in prediction.rows(beside)
    ]
    warnings = [f"- {SYMBOLS['warn']} {escaped(line)}" for line in prediction.warnings(beside)]
    notes = [f"- {escaped(line)}" for line in prediction.basis(beside)]
    return [
        *_heading("What its size lets expect", result),
        f"{SYMBOLS[prediction.tone(beside)]} {escaped(beside.summary, 4 * escaping.LINE)}",
        "",
        escaped(prediction.plan(beside)),
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
            code(escaping.middle(sample.text_sha256)),
            *([escaped(sample.text, 200)] if sample.text is not None else []),
            f"{verdict.sample_bits(sample)} bits",
            count(sample.n_tokens),
        )
        for sample in memory.top_samples
    ]
    with_text = verdict.shows_texts(result)
    rows = [row if len(row) == 5 + with_text else (*row[:3], "", *row[3:]) for row in rows]
    header = ("Sample", "Side", "SHA-256", *(["Text"] if with_text else []), "Signed bits", "Tokens")
    note = [escaped(advice.TEXTS_AS_SCORED), ""] if with_text else []
    table = table_lines(header, rows, right=len(header) - 2)
    return details(f"The {plural(len(rows), 'most memorized sample')}", [*table, *note])


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    return table_lines(
        ("What", "Value"), [(escaped(key, escaping.ID), escaped(text, escaping.PATH)) for key, text in rows], right=9
    )


def _provenance(result: AuditResult) -> list[str]:
    lines: list[str] = []
    for side, name in ((result.data.members, "Members"), (result.data.non_members, "Non-members")):
        if side is not None:
            lines += [
                f"**{name}**",
                "",
                *_rows(figure_rows.side_rows(side)),
                *(f"- {escaped(note)}" for note in side.notes),
                *([f"- {figure_rows.scored_part(result.data)}"] if side.n_turns is not None else []),
                "",
            ]
    for model in figure_rows.described(result):
        lines += [f"**{model.role.capitalize()}**", "", *_rows(figure_rows.model_rows(model))]
    if more := figure_rows.further(result):
        lines += [f"**{plural(len(more), 'more reference')}**", ""]
        lines += table_lines(("Reference", "Weights"), [(code(m.path), code(m.weights_sha256)) for m in more], right=9)
    lines += ["**Run**", "", *_rows(figure_rows.run_rows(result))]
    again = figure_rows.command(result.config)
    if again:
        lines += [
            "**How to reproduce**",
            "",
            "<br>".join(code(line.strip(), 400) for line in again.split("\n")),
            "",
        ]
    return details("Data and provenance", lines)


def _gates(result: AuditResult) -> list[str]:
    return [] if result.gates is None else details("Gates", _rows(figure_rows.flat(result.gates)))


def _parts(result: AuditResult) -> list[str]:
    """List the checks and all figures."""
    warnings = [f"- ▲ {escaped(warning)}" for warning in result.warnings]
    return [
        *_checks(result),
        *_memory(result),
        *_attacks(result),
        *_risk(result),
        *_extraction(result),
        *_retrained(result),
        *_prediction(result),
        *_canaries(result),
        *_epsilon(result),
        *(["### Warnings", "", *warnings, ""] if warnings else []),
        *_samples(result),
        *_gates(result),
        *_provenance(result),
    ]


def _vetoed(result: AuditResult, why: vetoed.Veto) -> list[str]:
    """Say why there is no verdict and what to do, and fold all else away."""
    return [
        *_said(result, verdict.verdict(result)),
        f"**What to do:** {with_code(why.action)}",
        "",
        *_audited(result),
        *details(escaped(why.folded), _parts(result)),
    ]


def to_markdown(result: AuditResult) -> str:
    """Render the audit as GitHub-flavoured Markdown."""
    limits, why = [f"- {escaped(limit)}" for limit in advice.limits(result)], vetoed.veto(result)
    lines = [
        *([*_top(result), *_parts(result)] if why is None else _vetoed(result, why)),
        f"**Confidential**: {escaped(advice.CONFIDENTIAL)}",
        "",
        *details("What this audit does not show", [*limits, ""]),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
