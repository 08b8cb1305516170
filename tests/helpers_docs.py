"""Fenced blocks of the documentation: what they hold, and the comment before each that says what becomes of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]*?) -->\n)?^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<body>.*?)\n(?P=indent)```$",
    re.S | re.M,
)
ORDINARY = "--target models/finetuned --reference models/base --members train.jsonl --non-members heldout.jsonl"
"""The models and texts that ``auditor audit ...`` stands for."""


class Fenced(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    mark: str
    language: str
    body: str


def blocks(page: Path, text: str | None = None) -> list[Fenced]:
    """Find the fenced blocks of a page, each with the comment in the line before it."""
    text = page.read_text(encoding="utf-8") if text is None else text
    name = page.relative_to(ROOT).as_posix()
    return [
        Fenced(name, text[: one.start()].count("\n") + 1, one["mark"] or "", one["language"], one["body"])
        for one in FENCE.finditer(text)
    ]


def lines(body: str) -> Iterator[str]:
    """Split a block of shell into its commands: continued lines joined, comments off, ``...`` written out."""
    for line in body.replace("\\\n", " ").splitlines():
        if command := re.sub(r"(^|\s+)#.*", "", " ".join(line.split())):
            yield command.replace("auditor audit ...", f"auditor audit {ORDINARY}")
