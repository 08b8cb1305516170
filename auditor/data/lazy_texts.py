"""Texts on disk instead of in memory: appended once, then read one or a block at a time."""

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import pread
from tempfile import TemporaryFile
from typing import IO, overload
from weakref import finalize

__all__ = ["LazyTexts", "TextSpool"]


class LazyTexts(Sequence[str]):
    """A sequence of texts, each of which is made when it is asked for."""

    @abstractmethod
    def text(self, index: int) -> str:
        """Make the text at a place, counted from 0."""

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(len(self))[place]
        return self.text(places) if isinstance(places, int) else [self.text(index) for index in places]


class TextSpool(LazyTexts):
    """A sequence of texts whose memory is eight bytes a text.

    The texts lie in a temporary file without a name (``$TMPDIR`` decides where), which nobody else can open and
    which is gone with the process, however that ends.

    Parameters
    ----------
    texts : iterable of str
        Valid Unicode; kept exactly.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._file = TemporaryFile()  # noqa: SIM115
        finalize(self, _close, self._file)
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add a text at the end."""
        self._ends.append(self._ends[-1] + self._file.write(text.encode()))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def text(self, index: int) -> str:
        """Read the text at a place, counted from 0."""
        self._file.flush()
        start, stop = self._ends[index], self._ends[index + 1]
        return pread(self._file.fileno(), stop - start, start).decode()


def _close(file: IO[bytes]) -> None:
    """Close a file of which nothing is kept: that the last bytes found no room does not matter any more."""
    with suppress(OSError):
        file.close()
