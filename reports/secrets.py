"""Ranked secrets, told: which of them a model holds, the null beside every exposure. Terminal, Markdown, HTML."""

from collections.abc import Iterator
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.estimate import Estimate
from auditor.documents.secrets import RankedSecret, SecretsResult

from . import escaping
from .numbers import count, number, p_value, percent, plural
from .tones import STYLES, SYMBOLS, Tone

__all__ = ["HEADINGS", "SecretRow", "render_secrets", "rows", "sentence", "to_html", "to_markdown", "tone", "under"]

HEADINGS = (
    *("Secret", "Form", "Rank", "Exposure", "No memory", "At most", "By fit", "Reference", "Beyond it"),
    *("Bits beyond it", "p"),
)
_LEAD = (
    "Each among the strings of its form that could stand in its place, the highest first; what they are is written "
    "nowhere."
)
_MOST_ROWS = 20
"""Rows on a terminal."""


class SecretRow(NamedTuple):
    """One secret."""

    tone: Tone
    id: str
    cells: tuple[str, ...]


def tone(found: SecretsResult) -> Tone:
    """Say how the audit came out, as a tone."""
    return "bad" if found.n_held else "info"


def sentence(found: SecretsResult) -> str:
    """Say how many secrets the target holds."""
    beyond = " beyond what the reference guesses" if found.references else ""
    held = f"{count(found.n_held)} of {plural(found.n_secrets, 'secret')}"
    if not found.n_held:
        return f"None of {plural(found.n_secrets, 'secret')} ranks higher{beyond} than chance lets one of so many rank."
    return f"The target holds {held}: they rank higher{beyond} than chance lets one of so many rank."


def under(found: SecretsResult) -> list[str]:
    """Say how to read the table."""
    averages = [f"mean exposure {_bits(found.mean_exposure)} where no memory has {number(found.mean_null_exposure, 2)}"]
    if found.references:
        averages.append(f"beyond the reference {_bits(found.mean_exposure_beyond_reference)}")
        averages.append(f"bits beyond the reference {_bits(found.mean_bits_beyond_reference)}")
    said = [
        f"Over all secrets: {'; '.join(averages)} ({percent(found.level)} intervals).",
        "Exposure, in bits, is by rank among the strings of a secret's form; on a tie the other goes first. Ranks "
        "over a whole space are exact and need no interval; those among random strings (≈) have that of their share.",
        "No memory: mean exposure of a secret that was drawn at random and not trained on. By fit: of a skew-normal "
        "distribution; what is after the + is extrapolated, beyond what a rank can show.",
        f"p is Holm's, for secrets that were drawn at random from their form; held means at most "
        f"{number(1 - found.level, 2)}.",
    ]
    if found.n_texts_without:
        said.append(f"{count(found.n_texts_without)} of {plural(found.n_texts, 'text')} hold no secret.")
    return [*said, *found.warnings]


def rows(found: SecretsResult) -> Iterator[SecretRow]:
    """Yield the secrets, the highest first."""
    for one in found.secrets:
        form = f"{one.kind}, {one.n_unknown} of {one.n_characters}"
        rank = f"{'' if one.exact else '≈ '}{count(one.n_before + 1)} of {count(one.n_ranked + 1)}"
        yield SecretRow(
            tone="bad" if one.held else "info",
            id=one.id,
            cells=(
                *(form, rank, _bits(one.exposure, exact=one.exact), number(one.null_exposure, 2)),
                *(number(one.largest_exposure, 2), _fitted(one), _short(one.reference_exposure)),
                *(_short(one.exposure_beyond_reference), _number(one.bits_beyond_reference), p_value(one.p_value_holm)),
            ),
        )


def render_secrets(found: SecretsResult) -> Group:
    """Compose the secrets for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    shown = (0, 2, 3, 4, 6, 8, 10) if found.references else (0, 1, 2, 3, 4, 6, 10)
    for i in shown:
        table.add_column(Text(HEADINGS[i]), justify="right" if i > 1 else "left", overflow="fold")
    for row in list(rows(found))[:_MOST_ROWS]:
        cells = (escaping.visible(row.id, escaping.ID), *row.cells)
        table.add_row(*(Text(cells[i], style=STYLES[row.tone] if i == 0 else "") for i in shown))
    more = found.n_secrets - _MOST_ROWS
    return Group(
        Text(f"{SYMBOLS[tone(found)]} {sentence(found)}", style="bold"),
        table,
        *([Text(f"{plural(more, 'more secret')} in secrets.json", style="dim")] if more > 0 else []),
        *(Text(escaping.visible(line, 2 * escaping.LINE), style="dim") for line in under(found)),
    )


def to_markdown(found: SecretsResult) -> str:
    """Render the secrets as GitHub-flavoured Markdown."""
    from .to_markdown import code, escaped, table_lines

    references = ", ".join(code(one) for one in found.references) or "none"
    return "\n".join(
        [
            "# Secrets ranked in a model",
            "",
            f"Target: {code(found.target)}; reference: {references}; texts: {code(found.data)}",
            "",
            f"{SYMBOLS[tone(found)]} **{escaped(sentence(found))}**",
            "",
            *table_lines(HEADINGS, [(code(row.id), *map(escaped, row.cells)) for row in rows(found)]),
            *(f"- {escaped(line, 2 * escaping.LINE)}" for line in under(found)),
            "",
        ]
    )


def to_html(found: SecretsResult) -> str:
    """Render the secrets as one self-contained HTML document."""
    from .to_html import style_sheet, templates

    context = {
        "brand": "Secrets ranked in a model",
        "subject": found.target,
        "facts": [
            ("Target", [found.target]),
            ("References" if len(found.references) > 1 else "Reference", found.references),
            ("Texts", [found.data]),
        ],
        "heading": f"{found.n_held} of {found.n_secrets} held",
        "style": style_sheet(),
        "tone": tone(found),
        "sentence": sentence(found),
        "tables": [("Secrets", _LEAD, HEADINGS, list(rows(found)))],
        "under": under(found),
        "escaping": escaping,
        "SYMBOLS": SYMBOLS,
    }
    return templates().get_template("secrets.html.j2").render(context).rstrip() + "\n"


def _bits(estimate: Estimate, *, exact: bool = False) -> str:
    """Write an estimate with its interval, which an exact rank has not."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"not defined ({estimate.undefined_reason})"
    interval = "" if exact else f" [{number(estimate.low, 2)}, {number(estimate.high, 2)}]"
    return f"{number(estimate.value, 2)}{interval}"


def _short(estimate: Estimate | None) -> str:
    return "—" if estimate is None or estimate.value is None else number(estimate.value, 2)


def _number(value: float | None) -> str:
    return "—" if value is None else number(value, 2)


def _fitted(one: RankedSecret) -> str:
    """Write the part of the fitted exposure that fills speak for, and what is extrapolated after it."""
    if one.fitted_exposure is None or one.extrapolated_bits is None:
        return "—"
    within = number(one.fitted_exposure - one.extrapolated_bits, 2)
    return f"{within} + {number(one.extrapolated_bits, 2)}" if one.extrapolated_bits else within
