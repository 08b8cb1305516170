"""Tones: how bad a finding is, and a sign for it, so that no meaning hangs on colour alone."""

from typing import Literal

from rich.text import Text

from . import escaping

__all__ = ["SEVERITY", "STYLES", "SYMBOLS", "TONES", "Tone", "in_a_line"]

Tone = Literal["bad", "warn", "info", "ok"]

SYMBOLS: dict[Tone, str] = {"bad": "✖", "warn": "▲", "info": "●", "ok": "✔"}
"""A sign for each tone."""

STYLES: dict[Tone, str] = {"bad": "red", "warn": "yellow", "info": "blue", "ok": "green"}
"""The colour of each tone on a terminal."""

SEVERITY: tuple[Tone, ...] = ("bad", "warn", "info", "ok")
"""The tones, worst first."""

TONES: dict[str, Tone] = {"veto": "bad", "warn": "warn", "pass": "ok"}
"""The tone of a check's verdict."""


def in_a_line(tone: Tone, title: str, sentence: str) -> Text:
    """Set a finding on one line."""
    line = Text(f"{SYMBOLS[tone]} {escaping.visible(title)}", style=f"bold {STYLES[tone]}")
    return line.append(f": {escaping.visible(sentence, 2 * escaping.LINE)}", style="not bold default")
