"""What whoever waits is told."""

import io

import pytest
from rich.console import Console

from auditor.cli import progress
from auditor.engine.signals import ScoringProgress
from auditor.phases import AUDIT, Phase


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


def test_a_log_gets_every_phase_and_what_is_counted_now_and_then(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=120)
    with progress.phases(console, AUDIT) as shown:
        for at, phase in (
            (1.0, Phase(label=AUDIT[1])),
            (2.0, Phase(label=AUDIT[2])),
            (40.0, Phase(label=AUDIT[4])),
            (41.0, Phase(label=AUDIT[4], what="permutation", done=40, total=499)),  # too soon for a line
            (71.0, Phase(label=AUDIT[4], what="permutation", done=120, total=499)),
            (72.0, Phase(label=AUDIT[4], what="permutation", done=499, total=499)),
        ):
            clock[0] = at
            shown.at(phase)
            if phase.label == AUDIT[2]:
                clock[0] = 35.0
                shown.scored(ScoringProgress("scoring word swaps 4/5", 350, 1000))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "1/6 loading PyTorch",
        "2/6 reading the texts",
        "3/6 scoring",
        "3/6 scoring word swaps 4/5: 350 of 1,000 tokens, 10 tokens/s, 65 s left",
        "5/6 checking the sides",
        "5/6 checking the sides, permutation 120 of 499",
        "5/6 checking the sides, permutation 499 of 499",
    ]


def test_a_terminal_shows_the_phase_beside_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress.phases(console, AUDIT) as shown:
        shown.at(Phase(label=AUDIT[4], what="permutation", done=120, total=499))
    assert "checking the sides, permutation 120 of 499" in console.file.getvalue()  # type: ignore[attr-defined]
