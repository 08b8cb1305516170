"""One audit on several processes: who scores what, and how the first one learns that the others are done.

Started by ``torchrun`` or ``accelerate launch``, or by hand with the same variables, every process reads the texts
and scores its own share into a file of its own in the one score store. Nothing is exchanged. While a process works
it holds a lock on a small file beside the scores. The first process waits until the others' locks are free, which
the system sees to however a process ends, reads whether the work was done, scores what was left, and reports.

To be wrong about another process costs work done twice, and no number: the store takes a text twice.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..documents.files import folder_for_owner
from ..errors import ConfigError, ResultError

__all__ = ["ALONE", "Rank"]

_FOLDER = "processes"
_AT_WORK, _DONE = "at work", "done"
_LATE_SECONDS = 60.0
"""How long after its own start the first process waits for one of which it has seen nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The place of this process among those that score together.

    Parameters
    ----------
    rank, world, local_rank : int
    run : str
        What the processes that were started together have in common.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    run: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Rank":
        """Read what ``torchrun`` and ``accelerate launch`` set; a process started otherwise is alone.

        Raises
        ------
        ConfigError
            If the variables do not fit together.
        """
        given = [environment.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
        if given[0] is None or given[1] is None or "MASTER_ADDR" not in environment:
            return cls()
        try:
            rank, world, local_rank = (int(value or 0) for value in given)
        except ValueError:
            rank, world, local_rank = -1, 0, 0
        if not 0 <= rank < world or local_rank < 0:
            raise ConfigError(
                f"RANK={given[0]!r}, WORLD_SIZE={given[1]!r} and LOCAL_RANK={given[2]!r} are no place among processes; "
                "start with torchrun or accelerate launch, or unset them"
            )
        names = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
        run = hashlib.sha256("\n".join(environment.get(name, "") for name in names).encode()).hexdigest()[:12]
        return cls(rank=rank, world=world, local_rank=local_rank, run=run)

    @property
    def is_first(self) -> bool:
        """Whether this process reports."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which of the texts, longest first, are this process's."""
        return slice(self.rank, None, self.world)

    @contextmanager
    def at_work(self, scores_folder: Path) -> Iterator["Others"]:
        """Let the first process know, for the length of a block, that this one works; and at its end, how it ended.

        Raises
        ------
        ResultError
            If the folder cannot be written, or its file system has no locks.
        """
        others = Others(self, scores_folder / _FOLDER)
        if self.world == 1:
            yield others
            return
        try:
            folder_for_owner(others.folder.parent)
            folder_for_owner(others.folder)
            if self.is_first:
                others.forget_the_past()
                file = None
            else:
                file = _locked(others.file_of(self.rank))
        except OSError as error:
            raise ResultError(
                f"cannot write and lock files in {others.folder}: {error.strerror}; several processes need a "
                "file system with locks that all of them reach"
            ) from error
        if file is None:
            yield others
            return
        with file:
            _say(file, _AT_WORK)
            yield others
            _say(file, _DONE)


class Others:
    """The other processes, as the first one sees them.

    Parameters
    ----------
    rank : Rank
        Of the process that looks.
    folder : Path
        Where each of them has a file.
    """

    def __init__(self, rank: Rank, folder: Path) -> None:
        self.folder = folder
        self._rank = rank
        self._started = time.monotonic()

    def file_of(self, rank: int) -> Path:
        """Where a process says how far it is."""
        return self.folder / f"{self._rank.run}-{rank}-of-{self._rank.world}"

    def forget_the_past(self) -> None:
        """Remove what processes of an earlier run left that ended before their time."""
        for rank in range(1, self._rank.world):
            with suppress(FileNotFoundError, BlockingIOError), open(self.file_of(rank), encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                long_ago = time.time() - os.fstat(file.fileno()).st_mtime > _LATE_SECONDS
                if file.read() != _DONE or long_ago:
                    self.file_of(rank).unlink()

    def wait(self) -> tuple[int, ...]:
        """Wait until no other process works; return those that did not finish, or never started."""
        return tuple(rank for rank in range(1, self._rank.world) if not self._finished(self.file_of(rank)))

    def _finished(self, path: Path) -> bool:
        """Wait for the end of one process."""
        while not _content(path):  # it holds the lock before it says a word
            if time.monotonic() > self._started + _LATE_SECONDS:
                return False
            time.sleep(0.1)
        with open(path, encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            finished = file.read() == _DONE
            path.unlink(missing_ok=True)
        return finished


ALONE = Rank()
"""A process that shares its work with none."""


def _locked(path: Path) -> IO[str]:
    """Open a file, and hold its lock until it is closed."""
    while True:
        with ExitStack() as unless_ours:
            file = unless_ours.enter_context(open(path, "a+", encoding="ascii"))
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):  # removed while we waited for it
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    unless_ours.pop_all()
                    return file


def _say(file: IO[str], word: str) -> None:
    """Replace the content of a file."""
    file.truncate(0)
    file.write(word)
    file.flush()


def _content(path: Path) -> str:
    """Read a file; empty if there is none."""
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii")
    return ""
