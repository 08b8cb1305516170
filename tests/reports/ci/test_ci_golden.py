"""Golden files of what a pipeline shows; ``UPDATE_GOLDEN=1`` rewrites them (say why in the commit)."""

import os
from pathlib import Path

import pytest

from auditor.documents.gates import GateReport
from reports import GATE_RENDERERS

GOLDEN = Path(__file__).parent / "golden"
SUFFIXES = {
    "junit": "junit.xml",
    "sarif": "sarif",
    "summary": "summary.md",
    "annotations": "annotations.txt",
    "badge_svg": "badge.svg",
    "badge_json": "badge.json",
    "model_card": "model_card.md",
}


@pytest.mark.parametrize("case", ["mixed", "passing"])
@pytest.mark.parametrize("name", list(GATE_RENDERERS))
def test_golden(name: str, case: str, verdicts: dict[str, GateReport]) -> None:
    text, path = GATE_RENDERERS[name](verdicts[case]), GOLDEN / f"{case}.{SUFFIXES[name]}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(GATE_RENDERERS))
def test_nothing_unseen_reaches_a_file(name: str, any_verdict: GateReport) -> None:
    text = GATE_RENDERERS[name](any_verdict)
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.parametrize("name", list(GATE_RENDERERS))
def test_the_same_verdict_gives_the_same_bytes(name: str, any_verdict: GateReport) -> None:
    assert GATE_RENDERERS[name](any_verdict) == GATE_RENDERERS[name](any_verdict)
