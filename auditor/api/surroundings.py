"""The surroundings of a call: libraries kept quiet, progress shown, and all of it put back at the end."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..engine.loading.held import same_random_states
from ..engine.scoring import ScoringProgress

__all__ = ["Watch", "shown", "unnoticed"]

Watch = Callable[[ScoringProgress], None]


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
    """Yield who is told of every batch: a bar on stderr or in a notebook, the caller's function, or nobody.

    Where there is neither a terminal nor a notebook nothing is shown.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not progress or not (console.is_terminal or console.is_jupyter):
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("scoring", total=None)

        def show(done: ScoringProgress) -> None:
            bar.update(task, description=done.label, completed=done.done_tokens, total=done.total_tokens)

        yield show
