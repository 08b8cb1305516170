"""Golden files of the rendered text; ``UPDATE_GOLDEN=1`` rewrites them (say why in the commit)."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from auditor.results import AuditResult
from reports import RENDERERS, render_terminal

GOLDEN = Path(__file__).parent / "golden"


def terminal(result: AuditResult) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_terminal(result))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("name", ["report.html", "report.md", "terminal.txt"])
def test_golden(name: str, normal: AuditResult) -> None:
    text = terminal(normal) if name == "terminal.txt" else RENDERERS[name.rpartition(".")[2]](normal)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="\n")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")
