"""The report as one HTML file that needs nothing else: no network, font or image, and no script unless asked for."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from auditor.documents.result import AuditResult

from . import (
    advice,
    attacks,
    canaries,
    epsilon,
    escaping,
    extraction,
    figure_rows,
    figures,
    knowledge,
    numbers,
    prediction,
    retrained,
    risk,
    samples,
    soundness,
    tokens,
    verdict,
    vetoed,
)
from .interactive import SampleRows, script

__all__ = ["first_screen", "shown", "style_sheet", "templates", "to_html"]


def shown(value: object, limit: int = escaping.LINE, *, keep: str = "") -> Markup:
    """Escape any value for HTML; what was replaced in a string is marked so that it cannot be taken for text."""
    if isinstance(value, Markup):
        return value
    if not isinstance(value, str):
        return escape(numbers.count(value) if isinstance(value, int) else value)
    return Markup("").join(
        Markup('<span class="esc">{}</span>').format(piece.text) if piece.replaced else escape(piece.text)
        for piece in escaping.pieces(value, limit, keep=keep)
    )


def with_code(text: str) -> Markup:
    """Escape a sentence; what stands between backticks is shown as code."""
    return Markup(re.sub(r"`([^`<>]+)`", r"<code>\1</code>", str(shown(text, 2 * escaping.LINE))))


@cache
def templates() -> Environment:
    """Build the templates' world: everything is escaped, and every value passes through :func:`shown`."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["with_code"] = with_code
    environment.filters["middle"] = escaping.middle
    environment.filters["spoken"] = soundness.spoken
    return environment


def style_sheet() -> Markup:
    """Read the style sheet, which is ours and holds no value of the audit."""
    environment = templates()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, "report.css")[0])


def _context(result: AuditResult) -> dict[str, Any]:
    ranked, memory = attacks.ranked(result), result.memorization
    implied = figure_rows.implied_auc(memory) if memory else None
    modules = (
        *(advice, escaping, extraction, figure_rows, figures, knowledge, numbers, retrained, risk, samples),
        *(soundness, tokens),
    )
    found = verdict.verdict(result)
    measured = found.kind in ("found", "none") and ranked and not found.stands_out
    derived = [
        *((label, quantities[0]) for label, quantities in attacks.beside(result)),
        *([("implied by the bits", implied)] if implied else []),
    ]
    estimates = [attack.auc for attack in ranked] + [quantity.estimate for _, quantity in derived]
    return {module.__name__.rpartition(".")[2]: module for module in modules} | {
        "result": result,
        "verdict_words": verdict,
        "prediction_rows": prediction,
        "canary_rows": canaries,
        "epsilon_rows": epsilon,
        "style": style_sheet(),
        "beside": result.prediction,
        "verdict": found,
        "veto": vetoed.veto(result),
        "trust": soundness.trust(result),
        "attacks": ranked,
        "attack_words": attacks,
        "table": attacks.attack_table(result),
        "curves": [attack for attack in ranked if attack.roc is not None],
        "memory": memory,
        "implied": implied,
        "derived": derived,
        "scale": figures.auc_scale(estimates),
        "pairs": figures.pairs(ranked[0].auc) if measured else None,
        "level": numbers.percent(estimates[0].level) if estimates else None,
        "gates": () if result.gates is None else tuple(figure_rows.flat(result.gates)),
    }


def to_html(
    result: AuditResult, *, files: Sequence[str] = (), interactive: bool = False, rows: SampleRows | None = None
) -> str:
    """Render the whole audit as one self-contained HTML document.

    Parameters
    ----------
    result : AuditResult
    files : sequence of str
        Names of files beside the document, which it links.
    interactive : bool
        Add a script that sorts, filters and reads curves; the page forbids every other one by its hash.
    rows : SampleRows, optional
        All samples, for an interactive table.
    """
    context = _context(result) | {
        "files": files,
        "script": script() if interactive else None,
        "all_samples": rows if interactive else None,
    }
    return templates().get_template("report.html.j2").render(context).rstrip() + "\n"


def first_screen(result: AuditResult) -> str:
    """Render the head and the verdict of the report as a document of its own, for a frame in a notebook."""
    whole = to_html(result)
    end = whole.index("</article>") + len("</article>")
    return f"{whole[:end]}\n</main></div></body></html>\n"
