"""Where scoring stands, for whoever waits: a bar on a terminal, a line now and then in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from .engine.passes import ScoringProgress

__all__ = ["scoring_progress", "training_progress"]

_SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def scoring_progress(console: "Console") -> Iterator[Callable[["ScoringProgress"], None]]:
    """Yield a callback that shows tokens done, tokens per second and the time left."""
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    started = monotonic()
    bar = Progress(
        TextColumn("scoring {task.fields[label]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens, {task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("scoring", total=None, label="", speed=0.0, start=False, visible=False)

    def show(progress: "ScoringProgress") -> None:
        speed = progress.done_tokens / max(monotonic() - started, 1e-9)
        bar.start_task(task)
        bar.update(
            task,
            completed=progress.done_tokens,
            total=progress.total_tokens,
            label=progress.label,
            speed=speed,
            visible=True,
        )

    with bar:
        yield show


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


def _lines(console: "Console") -> Callable[["ScoringProgress"], None]:
    """Print a line every half minute, and the last one."""
    started = last = monotonic()

    def show(progress: "ScoringProgress") -> None:
        nonlocal last
        now = monotonic()
        finished = progress.done_tokens == progress.total_tokens
        if now - last < _SECONDS_BETWEEN_LINES and not finished:
            return
        last = now
        speed = progress.done_tokens / max(now - started, 1e-9)
        left = (progress.total_tokens - progress.done_tokens) / speed
        console.print(
            f"scored {progress.done_tokens:,} of {progress.total_tokens:,} tokens ({progress.label}), "
            f"{speed:,.0f} tokens/s, {left:,.0f} s left",
            markup=False,
            highlight=False,
        )

    return show
