"""What whoever waits is told."""

import io

import pytest
from rich.console import Console

from auditor.cli import progress
from auditor.engine.signals import ScoringProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_with_the_rate_of_scoring_alone(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=120)
    with progress.scoring_progress(console) as show:
        for at, label, done in (
            (0.0, "loading the target", 0),
            (100.0, "scoring the target, text", 0),  # a hundred seconds of loading are no scoring
            (110.0, "scoring the target, text", 1000),
            (120.0, "scoring the target, text", 2000),
            (160.0, "scoring the target, text", 6000),
            (200.0, "scoring the target, text", 10_000),
        ):
            clock[0] = at
            show(ScoringProgress(label, done, 10_000))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "1,000 of 10,000 tokens (scoring the target, text), 100 tokens/s, 90 s left",
        "6,000 of 10,000 tokens (scoring the target, text), 100 tokens/s, 40 s left",
        "10,000 of 10,000 tokens (scoring the target, text), 100 tokens/s, 0 s left",
    ]


def test_a_terminal_gets_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress.scoring_progress(console) as show:
        show(ScoringProgress("scoring the target, text", 500, 1000))
        show(ScoringProgress("scoring the target, text", 1000, 1000))
    assert "1,000/1,000 tokens" in console.file.getvalue()  # type: ignore[attr-defined]
    with progress.training_progress(console) as step:
        step("target", 3, 10)
    assert "3/10" in console.file.getvalue()  # type: ignore[attr-defined]
