"""Secrets in one model after another, told: what each holds, and what changed. Terminal, Markdown, HTML."""

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.estimate import Estimate
from auditor.documents.secrets_changes import SecretsChanges, SecretsPoint

from . import escaping
from .numbers import count, number, p_value, percent, plural
from .secrets import SecretRow
from .tones import STYLES, SYMBOLS, Tone

__all__ = ["POINT_HEADINGS", "point_rows", "render_secrets_changes", "sentence", "to_html", "to_markdown", "tone"]

POINT_HEADINGS = ("Model", "Held", "First", "Exposure", "No memory", "Change", "p", "Bits shorter", "New", "Gone")
_MOST_ROWS = 20
"""Rows of secrets on a terminal."""


def tone(found: SecretsChanges) -> Tone:
    """Say whether the last model holds secrets that the first did not, as a tone."""
    return "bad" if sum(one.held[-1] and not one.held[0] for one in found.secrets) else "info"


def sentence(found: SecretsChanges) -> str:
    """Say what the last model holds beside the first."""
    first, last = (sum(one.held[place] for one in found.secrets) for place in (0, -1))
    new = sum(one.held[-1] and not one.held[0] for one in found.secrets)
    models = "The two models hold" if len(found.points) == 2 else "The first and the last model hold"
    return f"{models} {count(first)} and {count(last)} of {plural(found.n_secrets, 'secret')}; {count(new)} are new."


def point_rows(found: SecretsChanges) -> Iterator[SecretRow]:
    """Yield a row a model."""
    for one in found.points:
        cells = (
            *(f"{count(one.n_held)} of {count(one.n_secrets)}", count(one.n_first), _interval(one.mean_exposure)),
            *(number(one.mean_null_exposure, 2), _interval(one.exposure_change), _p(one), _interval(one.bits_change)),
            *(_counted(one.n_newly_held), _counted(one.n_no_longer_held)),
        )
        yield SecretRow(tone="bad" if one.n_held else "info", id=one.label, cells=cells)


def secret_rows(found: SecretsChanges) -> Iterator[SecretRow]:
    """Yield a row a secret: its exposure in every model, starred where it is held."""
    for one in found.secrets:
        cells = (number(bits, 2) + (" *" if held else "") for bits, held in zip(one.exposures, one.held, strict=True))
        yield SecretRow(tone="bad" if one.held[-1] else "info", id=one.id, cells=(one.kind, *cells))


def under(found: SecretsChanges) -> list[str]:
    """Say how to read the tables."""
    return [
        f"Changes are since the model before, secret by secret, over the {plural(found.n_secrets, 'secret')} that were "
        f"ranked in every model ({percent(found.level)} intervals); p is Holm's. Bits shorter: of a secret's code "
        "under this model beside that under the one before. A star: held.",
        *found.warnings,
    ]


def render_secrets_changes(found: SecretsChanges) -> Group:
    """Compose the changes for a terminal."""
    more = found.n_secrets - _MOST_ROWS
    labels = [escaping.visible(one.label, escaping.ID) for one in found.points]
    return Group(
        Text(f"{SYMBOLS[tone(found)]} {sentence(found)}", style="bold"),
        _table(POINT_HEADINGS, list(point_rows(found))),
        _table(("Secret", "Form", *labels), list(secret_rows(found))[:_MOST_ROWS]),
        *([Text(f"{plural(more, 'more secret')} in secrets-changes.json", style="dim")] if more > 0 else []),
        *(Text(escaping.visible(line, 2 * escaping.LINE), style="dim") for line in under(found)),
    )


def to_markdown(found: SecretsChanges) -> str:
    """Render the changes as GitHub-flavoured Markdown."""
    from .to_markdown import code, escaped, table_lines

    def table(headings: tuple[str, ...], rows: Iterator[SecretRow]) -> list[str]:
        return table_lines(headings, [(code(row.id), *map(escaped, row.cells)) for row in rows])

    labels = tuple(escaped(one.label) for one in found.points)
    lines = ["# Secrets in several models", "", f"{SYMBOLS[tone(found)]} **{escaped(sentence(found))}**", ""]
    lines += [*table(POINT_HEADINGS, point_rows(found)), "", *table(("Secret", "Form", *labels), secret_rows(found))]
    return "\n".join([*lines, "", *(f"- {escaped(line, 2 * escaping.LINE)}" for line in under(found)), ""])


def to_html(found: SecretsChanges) -> str:
    """Render the changes as one self-contained HTML document."""
    from .to_html import style_sheet, templates

    labels = tuple(one.label for one in found.points)
    context = {
        "brand": "Secrets in several models",
        "subject": found.points[-1].target,
        "facts": [("Models", [one.target for one in found.points])],
        "heading": f"{sum(one.held[-1] for one in found.secrets)} of {found.n_secrets} held",
        "style": style_sheet(),
        "tone": tone(found),
        "sentence": sentence(found),
        "tables": [
            ("Models", "In order; each beside the one before it.", POINT_HEADINGS, list(point_rows(found))),
            (
                "Secrets",
                "Exposure by rank in every model, in bits.",
                ("Secret", "Form", *labels),
                list(secret_rows(found)),
            ),
        ],
        "under": under(found),
        "escaping": escaping,
        "SYMBOLS": SYMBOLS,
    }
    return templates().get_template("secrets.html.j2").render(context).rstrip() + "\n"


def _table(headings: tuple[str, ...], rows: list[SecretRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for i, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if i else "left", overflow="fold")
    for row in rows:
        cells = (escaping.visible(row.id, escaping.ID), *row.cells)
        table.add_row(*(Text(cell, style=STYLES[row.tone] if i == 0 else "") for i, cell in enumerate(cells)))
    return table


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return "—"
    return f"{number(estimate.value, 2)} [{number(estimate.low, 2)}, {number(estimate.high, 2)}]"


def _p(one: SecretsPoint) -> str:
    return "—" if one.exposure_change_p is None else p_value(one.exposure_change_p)


def _counted(n: int | None) -> str:
    return "—" if n is None else count(n)
