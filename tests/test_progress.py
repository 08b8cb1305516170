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
    with progress.phases(console, AUDIT) as shown:
        shown.at(Phase(label=AUDIT[2]))
        for at, label, done in (
            (0.0, "loading the target", 0),
            (10.0, "scoring the target, text", 0),  # ten seconds of loading are no scoring
            (20.0, "scoring the target, text", 1000),
            (30.0, "scoring the target, text", 2000),
            (70.0, "scoring the target, text", 6000),
            (110.0, "scoring the target, text", 10_000),
        ):
            clock[0] = at
            shown.scored(ScoringProgress(label, done, 10_000))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[2:] == [
        "3/6 scoring the target, text: 2,000 of 10,000 tokens, 100 tokens/s, 80 s left",
        "3/6 scoring the target, text: 6,000 of 10,000 tokens, 100 tokens/s, 40 s left",
        "3/6 scoring the target, text: 10,000 of 10,000 tokens, 100 tokens/s, 0 s left",
    ]


def test_a_log_says_how_long_the_rest_of_trainings_takes_from_what_was_done_since(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=120)
    with progress.phases(console, ("loading PyTorch", "training")) as shown:
        shown.begin("training")
        tell = shown.share("training 8 shadows")
        for at, done in ((0.0, 0.5), (50.0, 0.6), (100.0, 0.75), (150.0, 1.0)):  # half of it is of an earlier run
            clock[0] = at
            tell(done, 1.0)
    assert console.file.getvalue().splitlines()[2:] == [  # type: ignore[attr-defined]
        "2/2 training 8 shadows: 60%, 200 s left",
        "2/2 training 8 shadows: 75%, 100 s left",
        "2/2 training 8 shadows: 100%, 0 s left",
    ]


def test_a_terminal_gets_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
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
