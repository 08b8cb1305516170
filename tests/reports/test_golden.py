"""Golden files of the rendered text; ``UPDATE_GOLDEN=1`` rewrites them (say why in the commit)."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from auditor.documents.result import AuditResult
from reports import RENDERERS, render_terminal

GOLDEN = Path(__file__).parent / "golden"


def terminal(result: AuditResult, *, verbose: bool) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_terminal(result, verbose=verbose))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize(
    ("name", "audit"),
    [
        ("report.html", "normal"),
        ("report.md", "normal"),
        ("terminal.txt", "normal"),
        ("full.md", "full"),
        ("full.txt", "full"),
        ("expected.md", "expected"),
        ("expected.txt", "expected"),
    ],
)
def test_golden(name: str, audit: str, results: dict[str, AuditResult]) -> None:
    result = results[audit]
    text = (
        terminal(result, verbose=name != "terminal.txt")
        if name.endswith(".txt")
        else RENDERERS[name.rpartition(".")[2]](result)
    )
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="\n")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")
