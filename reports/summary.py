"""The audit on one or two pages of paper: trust, verdict, what to do, the figures that matter and what they rest on."""

from markupsafe import Markup

from auditor.documents.result import AuditResult

from . import advice, attacks, escaping, extraction, figure_rows, figures, numbers, samples, soundness, vetoed
from . import verdict as verdict_words
from .numbers import Quantity, percent
from .risk import stand_out_rows
from .to_html import style_sheet, templates

__all__ = ["to_summary"]

_STEPS, _POINTS, _SAMPLES = 4, 3, 5


def to_summary(result: AuditResult) -> str:
    """Render the audit as one self-contained HTML document of one or two pages of A4."""
    found, memory = verdict_words.verdict(result), result.memorization
    veto = vetoed.veto(result)
    shown = memory is not None and veto is None and not samples.nothing_memorized(result)
    context = {
        "result": result,
        "style": style_sheet(),
        "verdict": found,
        "verdict_words": verdict_words,
        "veto": veto,
        "trust": soundness.trust(result),
        "steps": advice.actions(result)[:_STEPS],
        "points": found.points[:_POINTS],
        "figures_that_matter": () if veto else figures_that_matter(result),
        "pairs": _pairs(result, found),
        "top": memory.top_samples[:_SAMPLES] if memory is not None and shown else (),
        "columns": samples.columns(memory.top_samples[:_SAMPLES]) if memory is not None and shown else (),
        "limits": advice.limits(result),
        "targets": figure_rows.models(result, "target"),
        "references": figure_rows.models(result, "reference"),
        "figure_rows": figure_rows,
        "numbers": numbers,
        "escaping": escaping,
        "soundness": soundness,
    }
    return templates().get_template("summary.html.j2").render(context).rstrip() + "\n"


def _pairs(result: AuditResult, found: verdict_words.VerdictWords) -> Markup | None:
    """Draw the pairs of the headline attack, where they are what the verdict says."""
    attack = attacks.headline_attack(result)
    measured = attack is not None and found.kind in ("found", "none") and not found.stands_out
    return figures.pairs(attack.auc) if attack is not None and measured else None


def figures_that_matter(result: AuditResult) -> tuple[Quantity, ...]:
    """List the few figures that a reader takes away, each with its interval or the reason why there is none."""
    memory, attack = result.memorization, attacks.headline_attack(result)
    rows: list[Quantity] = []
    if memory is not None:
        rows += figure_rows.in_brief(memory)[:1]
    if attack is not None:
        rows.append(Quantity(label=f"AUC, {attack.attack}", unit="", estimate=attack.auc))
        rows += [
            Quantity(label=f"Members recognised at {percent(rate.fpr)} false alarms", unit="%", estimate=rate)
            for rate in sorted(attack.tpr_at_fpr, key=lambda rate: rate.fpr)
            if rate.value is not None
        ][:1]
    if result.risk is not None:
        rows += stand_out_rows(result.risk)[:1]
    if result.extraction is not None:
        rows += [quantity for _, quantity in extraction.quantities(result.extraction)][:1]
    if memory is not None:
        rows.append(Quantity(label=figure_rows.CAPACITY_USED, unit="%", estimate=memory.capacity_used))
    return tuple(rows)
