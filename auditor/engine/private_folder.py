"""A private folder for texts, as long as a run needs it: inside a folder of outputs, and gone in the end."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["private_folder"]


@contextmanager
def private_folder(place: Path, prefix: str = "texts-") -> Iterator[Path]:
    """Make a folder for texts that only its owner may read, beside outputs that are as confidential.

    It is locked as long as it is in use; those that killed runs left are removed.

    Parameters
    ----------
    place : Path
        Folder to make it in; it need not exist.
    prefix : str
        First part of its name.
    """
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{prefix}*"):
        with suppress(OSError), open(old / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=place.resolve()) as folder,
        open(Path(folder) / "lock", "wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)
