"""Tones: how bad a finding is, with a sign for each tone, so that no meaning hangs on colour alone."""

from typing import Literal

__all__ = ["SEVERITY", "STYLES", "SYMBOLS", "TONES", "Tone"]

Tone = Literal["bad", "warn", "info", "ok"]

SYMBOLS: dict[Tone, str] = {"bad": "✖", "warn": "▲", "info": "●", "ok": "✔"}
"""A sign for each tone."""

STYLES: dict[Tone, str] = {"bad": "red", "warn": "yellow", "info": "blue", "ok": "green"}
"""The colour of each tone on a terminal."""

SEVERITY: tuple[Tone, ...] = ("bad", "warn", "info", "ok")
"""The tones, worst first."""

TONES: dict[str, Tone] = {"veto": "bad", "warn": "warn", "pass": "ok"}
"""The tone of a check's verdict."""
