"""Panics of Rust code: errors of ours, without what a panic prints, which may quote the text that it was about."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock

from ...errors import ModelError

__all__ = ["no_panics"]

_STDERR = 2
_HUSHED = RLock()
"""Held by the thread that sent the descriptor elsewhere: there is one in a process."""


@contextmanager
def no_panics(what: str) -> Iterator[None]:
    """Turn a panic within a block into an error, and keep the descriptor of stderr quiet meanwhile.

    A panic is no ``Exception``, and is printed, with a stack, before Python hears of it.

    Parameters
    ----------
    what : str
        What may panic, for the message: ``the tokenizer``.

    Raises
    ------
    ModelError
        If the block panics.
    """
    with ExitStack() as restored:
        restored.enter_context(_HUSHED)
        with suppress(OSError):  # there is no stderr
            before = os.dup(_STDERR)
            restored.callback(os.close, before)
            restored.callback(os.dup2, before, _STDERR)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            restored.callback(os.close, nowhere)
            os.dup2(nowhere, _STDERR)
        try:
            yield
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise ModelError(
                f"{what} fails on a text: its library panicked, as for a pattern that backtracks without end; give "
                "another --tokenizer, or correct tokenizer.json"
            ) from error
