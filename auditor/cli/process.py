"""The process of the command line: signals that end it in order, and streams that others read."""

import atexit
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["ignore_signals", "interruptible", "streams"]

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_AGAIN_SECONDS = 0.05
_COMMAND = re.compile(r"##(?=\w*\[)|^(\s*)::", re.MULTILINE)
"""What CI systems take for a command: ``##[error]``, ``##vso[...]``, ``##teamcity[...]``; ``::error::`` on a line."""


class _Interrupted(KeyboardInterrupt):
    """Another class than Python's own, of which a library that embeds Python makes a death by SIGINT."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, so that every block is left in order.

    A signal that the caller ignores stays ignored, as under ``nohup``. One that arrives where Python can raise nothing
    (in a destructor, as imports run many) is raised a moment later.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    unraisable = sys.unraisablehook

    def raise_again(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            signal.signal(signal.SIGALRM, _interrupt)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            unraisable(lost)

    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        atexit.register(ignore_signals)  # what is left is to end
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(*_: object) -> None:
    raise _Interrupted


def ignore_signals() -> None:
    """Let nothing disturb the last steps."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def streams() -> Iterator[None]:
    """Print, for the length of a block, so that no reader is harmed, and none is needed.

    A character that a stream has no code for is replaced. What a reader that has seen enough (``| head -1``) no longer
    takes goes nowhere, and the command goes on to its end and its exit code. What would be a command to a CI system
    that reads the log is written with an escape; documents, which are bytes, are left as they are.
    """
    before = sys.stdout, sys.stderr
    ours = [_Stream.over(stream) for stream in before]
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in ours:
            if isinstance(stream, _Stream):
                stream.leave()


class _Stream(io.TextIOWrapper):
    """Text for people and logs."""

    @classmethod
    def over(cls, stream: Any) -> Any:
        """Lie over another stream, if it is one of bytes."""
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        binary: Any = stream.buffer
        if isinstance(getattr(binary, "raw", binary), io.FileIO):  # with -u nothing lies between
            binary = io.BufferedWriter(_Pipe(binary.fileno(), "wb", closefd=False))
        return cls(binary, encoding=stream.encoding, errors="replace", line_buffering=stream.line_buffering)

    def write(self, text: str) -> int:
        super().write(_COMMAND.sub(lambda found: r"#\x23" if found[1] is None else rf"{found[1]}:\x3a", text))
        return len(text)

    def leave(self) -> None:
        """Flush; if that fails, let the rest go nowhere, or it would fail again when the interpreter ends."""
        try:
            self.flush()
        except OSError:
            with suppress(OSError, ValueError):
                _forget(self.fileno())
            with suppress(OSError):
                self.flush()
        self.detach()


class _Pipe(io.FileIO):
    """A file whose reader may leave."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _forget(self.fileno())
            return super().write(data)


def _forget(descriptor: int) -> None:
    """Send what is written to a descriptor from now on nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
