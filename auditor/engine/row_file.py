"""Row file: lines of JSON that are appended durably, for their owner only; a process that dies leaves whole lines."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..documents.files import folder_for_owner, for_owner
from ..errors import ResultError

__all__ = ["RowFile"]


class RowFile:
    """A file to which whole lines are appended.

    Parameters
    ----------
    path : Path
        It and its folder need not exist.
    what : str
        What its lines are, for messages.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self._what = path, what

    def lines(self) -> Iterator[bytes]:
        """Yield every line with its end; none if there is no file, and not what a process that died left of one.

        Raises
        ------
        ResultError
            If there is a file and it cannot be read.
        """
        try:
            with suppress(FileNotFoundError), open(self.path, "rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))
        except OSError as error:
            raise ResultError(f"cannot read {self._what} {self.path}: {error.strerror or error}") from error

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines durably.

        The file is locked meanwhile, so that a line without an end is that of a process that died, and is cut off.

        Raises
        ------
        ResultError
            If they cannot be written.
        """
        try:
            folder_for_owner(self.path.parent)
            with open(self.path, "a+b", opener=for_owner) as file:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                _cut_torn_line(file)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ResultError(
                f"cannot write {self._what} {self.path}: {error.strerror or error}; what is in it is kept, run again "
                "to go on"
            ) from error


def _cut_torn_line(file: IO[bytes]) -> None:
    """Cut off what a process that died left of a line at the end."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
