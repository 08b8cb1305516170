"""Progress of scoring, for whoever waits: a bar on a terminal, a line now and then in a log."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from ..phases import Phase

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ..engine.scoring import ScoringProgress

__all__ = ["Phases", "phases", "training_progress"]

_SECONDS_BETWEEN_LINES = 30.0


class Phases:
    """Numbered phases of a command: on a terminal one line that changes, in a log a line each and now and then."""

    def __init__(self, console: "Console", labels: Sequence[str], bar: "Progress | None") -> None:
        self._console, self._labels, self._bar = console, tuple(labels), bar
        self._task = None if bar is None else bar.add_task("", total=None, counted="")
        self._head, self._printed, self._rate = "", monotonic(), _Rate()

    def begin(self, label: str) -> None:
        """Begin a phase."""
        self._head = f"{self._labels.index(label) + 1}/{len(self._labels)}"
        self._show(label, "", None, None, now=True)

    def at(self, phase: Phase) -> None:
        """Tell a phase that begins, or how far it has come."""
        if not phase.total:
            self.begin(phase.label)
        else:
            self._show(f"{phase.label}, {phase.counted}", "", phase.done, phase.total)

    def scored(self, progress: "ScoringProgress") -> None:
        """Tell how many tokens were scored, how fast, and how long the rest takes."""
        done, total, speed = progress.done_tokens, progress.total_tokens, self._rate.after(progress.done_tokens)
        left = f", {(total - done) / speed:,.0f} s left" if speed and self._bar is None else ""
        counted = f"{done:,} of {total:,} tokens, {speed:,.0f} tokens/s{left}" if done else ""
        self._show(progress.label, counted, done, total)

    def share(self, what: str) -> Callable[[float, float], None]:
        """Return who is told how much of the trainings is done."""
        pace = _Pace()

        def show(done: float, total: float) -> None:
            left = pace.left(done, total) if self._bar is None else ""
            self._show(what, f"{done / total:.0%}{left}", done, total)

        return show

    def _show(self, label: str, counted: str, done: float | None, total: float | None, *, now: bool = False) -> None:
        said = f"{self._head} {label}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=said, counted=counted, completed=done or 0, total=total)
            return
        finished = bool(total) and done == total
        if now or finished or monotonic() - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = monotonic()
            line = f"{said}: {counted}" if counted else said
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def phases(console: "Console", labels: Sequence[str]) -> Iterator[Phases]:
    """Yield the phases of a command, the first of which has begun."""
    if not console.is_terminal:
        shown = Phases(console, labels, None)
        shown.begin(labels[0])
        yield shown
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[counted]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        shown = Phases(console, labels, bar)
        shown.begin(labels[0])
        yield shown


@contextmanager
def training_progress(console: "Console") -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback that shows the stage of training, the steps done and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training the {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int) -> None:
        if not console.is_terminal:
            if done in (1, total):
                console.print(f"training the {stage}: step {done} of {total}", markup=False, highlight=False)
            return
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done)

    with bar:
        yield show


class _Pace:
    """Time that is left of trainings at the pace so far; what was done before does not count."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def left(self, done: float, total: float) -> str:
        """Say how long the rest takes; empty as long as nothing is known of it."""
        now = monotonic()
        start, before = self._first = self._first or (now, done)
        if now == start or done == before:
            return ""
        return f", {(total - done) * (now - start) / (done - before):,.0f} s left"


class _Rate:
    """Tokens per second of scoring: the time in which no token was scored (loading a model) does not count."""

    def __init__(self) -> None:
        self._tokens, self._busy, self._last = 0, 0.0, monotonic()

    def after(self, tokens: int) -> float:
        """Return the rate so far; call it whenever something happened."""
        now = monotonic()
        if tokens > self._tokens:
            self._busy += now - self._last
        self._tokens, self._last = tokens, now
        return tokens / self._busy if self._busy else 0.0
