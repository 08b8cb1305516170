"""The surroundings of a call: libraries kept quiet, progress shown, and all of it put back at the end."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from ..engine.loading.held import same_random_states
from ..engine.scoring import ScoringProgress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Watch", "shown", "unnoticed"]

Watch = Callable[[ScoringProgress], None]

_SECONDS_BETWEEN_LINES = 0.2


@contextmanager
def unnoticed() -> Iterator[None]:
    """Keep other libraries' bars and advice out of the way for the length of a block, and random states as they are."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings(), same_random_states():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


@contextmanager
def shown(progress: bool | Watch) -> Iterator[Watch | None]:
    """Yield who is told of every batch: a line in a notebook, a bar on a terminal, the caller's function, or nobody.

    Where there is neither a terminal nor a notebook nothing is shown.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.console import Console

    console = Console(stderr=True)
    if progress and console.is_jupyter:
        with _line() as show:
            yield show
    elif progress and console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield None


@contextmanager
def _line() -> Iterator[Watch]:
    """Yield who writes one line beneath the cell of a notebook over and over, and clears it at the end."""
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    last = 0.0

    def show(done: ScoringProgress) -> None:
        nonlocal last
        if (now := monotonic()) - last < _SECONDS_BETWEEN_LINES and done.done_tokens < done.total_tokens:
            return
        last = now
        share = done.done_tokens / done.total_tokens if done.total_tokens else 1.0
        handle.update({"text/plain": f"{done.label}: {share:.0%} of {done.total_tokens:,} tokens"}, raw=True)

    try:
        yield show
    finally:
        handle.update({"text/plain": ""}, raw=True)


@contextmanager
def _bar(console: "Console") -> Iterator[Watch]:
    """Yield who draws a bar on a terminal, which is gone at the end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda done: bar.update(task, description=done.label, completed=done.done_tokens, total=done.total_tokens)
