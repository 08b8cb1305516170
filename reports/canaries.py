"""An audit of canaries in words and tables: tier by tier, never pooled, the null's mean beside every exposure."""

from collections.abc import Iterator
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.canaries import CanaryResult, CanaryTier, FinalData

from . import epsilon, escaping
from .numbers import Quantity, count, number, percent, plural
from .tones import STYLES, SYMBOLS, Tone

__all__ = ["TITLE", "TierRow", "quantities", "render_canaries", "render_check", "rows", "sentence", "tone", "under"]

TITLE = "Canaries"


class TierRow(NamedTuple):
    """One tier of copies."""

    label: str
    counts: str
    exposure: Quantity
    first: str
    auc: Quantity
    bound: str
    ceiling: str
    tone: Tone


def tone(part: CanaryResult) -> Tone:
    """Say how the audit came out, as a tone."""
    return "bad" if any(_is_found(one) for one in part.tiers) else "info"


def sentence(part: CanaryResult) -> str:
    """Say which tiers are remembered, and how much epsilon the surest of them rules out."""
    found = [one for one in part.tiers if _is_found(one)]
    if not found:
        return (
            f"Of {plural(part.n_canaries, 'canary').replace('canarys', 'canaries')} none is told from those that were "
            "never trained on, in any tier."
        )
    named = " and ".join(f"{one.copies}x (AUC {number(one.auc.value or 0.0, 3)})" for one in found)
    return f"Canaries are remembered: those that stood in training {named}."


def under(part: CanaryResult) -> list[str]:
    """Say how to read the table."""
    said = []
    if part.null_exposure is not None and part.largest_exposure is not None:
        said.append(
            "Exposure, in bits, is by rank among all canaries that were left out; those that are first lie above every "
            f"one of them. {number(part.null_exposure, 2)} bits is what a canary has on average that no model ever saw;"
            f" {number(part.largest_exposure, 2)} is the largest that a rank among {count(part.n_ranked_against)} "
            "can be."
        )
    if any(one.epsilon.ceiling == 0 for one in part.tiers):
        said.append("So few canaries of a tier can rule out no ε at all, whatever a model remembers: make more.")
    confidence = percent(part.tiers[0].epsilon.confidence) if part.tiers else ""
    said.append(
        f"ε is that of one copy, of k copies as a group of k; each tier's bound holds with {confidence} confidence by "
        "itself."
    )
    return [*said, *part.warnings]


def rows(part: CanaryResult) -> list[TierRow]:
    """List the tiers, fewest copies first."""
    return [
        TierRow(
            label=f"{one.copies}x",
            counts=f"{count(one.n_in)}, {count(one.n_out)}",
            exposure=Quantity(label="Mean exposure", unit="bits", estimate=one.exposure),
            first=f"{count(one.n_first)} of {count(one.n_in)}",
            auc=Quantity(label="AUC", unit="", estimate=one.auc),
            bound=epsilon.bound_word(one.epsilon),
            ceiling=number(one.epsilon.ceiling, 2),
            tone="bad" if _is_found(one) else "info",
        )
        for one in part.tiers
    ]


def quantities(part: CanaryResult) -> Iterator[tuple[str, Quantity]]:
    """List the estimates with the tier that each is of."""
    for one in rows(part):
        yield f"canaries {one.label}", one.exposure
        yield f"canaries {one.label}", one.auc


def render_canaries(part: CanaryResult) -> Group:
    """Compose the audit of canaries for a terminal."""
    table = _grid("Copies", "in, out", "exposure", "first", "AUC", "ε", "at most")
    for row in rows(part):
        table.add_row(
            Text(row.label, style=STYLES[row.tone]), Text(row.counts), _measured(row.exposure), Text(row.first),
            _measured(row.auc), Text(row.bound, style="bold"), Text(row.ceiling, style="dim"),
        )  # fmt: skip
    open_questions = epsilon.conditions(part.tiers[0].epsilon) if part.tiers else []
    return Group(
        Text(f"{SYMBOLS[tone(part)]} {sentence(part)}", style="bold"),
        table,
        *(Text(escaping.visible(line, escaping.LINE), style="dim") for line in under(part)),
        *(
            Text(f"{SYMBOLS[one.tone]} {one.name}: {escaping.visible(one.detail, escaping.LINE)}", STYLES[one.tone])
            for one in open_questions
            if one.tone != "ok"
        ),
    )


def render_check(found: FinalData) -> Group:
    """Compose what the final data hold for a terminal."""
    table = _grid("Copies", "inserted", "whole", "after their prefix", "not learned from", "cut")
    for one in found.tiers:
        numbers = (one.n_expected, one.n_whole, one.n_with_prefix, one.n_masked, one.n_cut)
        table.add_row(Text(f"{one.copies}x"), *(Text(count(n)) for n in numbers))
    fine: Tone = "ok" if found.holds else "bad"
    said = "holds every canary as often as it was inserted" if found.holds else "does not hold the canaries"
    size = f"{plural(found.n_rows, 'sequence')}, {plural(found.n_tokens, 'token')} learned from"
    lines = [Text(f"{SYMBOLS[fine]} {escaping.visible(found.data, escaping.PATH)} {said} ({size})", STYLES[fine])]
    foreign = sum(one.n_whole - one.n_with_prefix for one in found.tiers)
    if foreign:
        lines.append(
            Text(f"{SYMBOLS['warn']} {plural(foreign, 'whole secret')} stand apart from their prefix", STYLES["warn"])
        )
    if found.share_of_tokens > 0.001:
        share = percent(round(found.share_of_tokens, 5))
        lines.append(Text(f"{SYMBOLS['warn']} secrets are {share} of the tokens: 0.1% is usual", STYLES["warn"]))
    return Group(*lines, table)


def _is_found(one: CanaryTier) -> bool:
    """Whether a tier is told from canaries that were never trained on: its whole interval lies above one half."""
    return one.auc.low is not None and one.auc.low > 0.5


def _grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if i == 0 else "right")
    return table


def _measured(quantity: Quantity) -> Text:
    if not quantity.defined:
        return Text("—")
    return Text(quantity.value, style="bold").append(f" {quantity.interval}", style="not bold dim")
