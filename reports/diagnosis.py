"""A diagnosis on the terminal: a line for everything that was tried, what to do beneath it."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.diagnosis import Diagnosis, Finding

from .escaping import LINE, visible
from .numbers import plural
from .tones import STYLES, SYMBOLS, Tone

__all__ = ["render_diagnosis"]


def render_diagnosis(found: Diagnosis) -> Group:
    """Show every finding, and whether an audit can be run and trusted."""
    table = Table(box=None, pad_edge=False, show_header=False)
    part = ""
    for one in found.findings:
        tone = _tone(one)
        remedy = f"\n→ {visible(one.remedy, LINE)}" if one.remedy else ""
        table.add_row(
            Text(one.part if one.part != part else "", "bold"),
            Text(SYMBOLS[tone], STYLES[tone]),
            Text(visible(one.name)),
            Text(visible(one.detail, LINE)) + Text(remedy, "dim"),
        )
        part = one.part
    broken = found.broken
    verdict = (
        Text(f"{SYMBOLS['ok']} nothing that an audit needs is broken", STYLES["ok"])
        if found.can_audit
        else Text(f"{SYMBOLS['bad']} {plural(len(broken), 'thing')} that an audit needs: broken", STYLES["bad"])
    )
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    head = Text(f"auditor {found.auditor_version}, {visible(versions, LINE)}", "dim")
    return Group(head, Text(""), table, Text(""), verdict + Text(f" ({found.seconds:.0f} s)", "dim"))


def _tone(one: Finding) -> Tone:
    if one.state == "fine":
        return "ok"
    if one.state == "absent":
        return "info"
    return "bad" if one.needed else "warn"
