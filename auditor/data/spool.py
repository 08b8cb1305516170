"""Texts on disk instead of in memory: appended once, then read one or a block at a time."""

from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import pread
from tempfile import TemporaryFile
from typing import IO, overload
from weakref import finalize

__all__ = ["TextSpool"]


class TextSpool(Sequence[str]):
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

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        self._file.flush()
        start, stop = self._ends[index], self._ends[index + 1]
        return pread(self._file.fileno(), stop - start, start).decode()


def _close(file: IO[bytes]) -> None:
    """Close a file of which nothing is kept: that the last bytes found no room does not matter any more."""
    with suppress(OSError):
        file.close()
