"""Drop lists: the ids of samples left out on purpose, a file with one a line."""

import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError
from .quoting import plain, reason

__all__ = ["drop_ids_text", "read_drop_ids"]


def read_drop_ids(path: Path) -> dict[str, int]:
    """Read the ids of a file, each with the first line, from 1, that names it.

    Parameters
    ----------
    path : Path
        UTF-8. An id a line, exactly; blank lines and lines that start with ``#`` are skipped. A line that starts with
        a double quote is a JSON string, for ids that could not be written otherwise.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--drop-ids: cannot read {plain(path)}: {reason(error)}") from error
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            found.setdefault(_sample_id(line.removesuffix("\r"), f"{plain(path)} line {number}"), number)
    return found


def drop_ids_text(sample_ids: Iterable[str], *, comment: str) -> str:
    """Write such a file: a comment of one line, then each id once, in order."""
    ids = [one if _is_plain(one) else json.dumps(one) for one in dict.fromkeys(sample_ids)]
    return "\n".join([f"# {' '.join(comment.split())}", *ids, ""])


def _is_plain(sample_id: str) -> bool:
    """Whether an id is read back as it is from a line of its own."""
    return sample_id.isprintable() and bool(sample_id.strip()) and not sample_id.startswith(("#", '"', "{"))


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _sample_id(line: str, place: str) -> str:
    if line.startswith("{") and _is_json(line):
        raise DataError(f"--drop-ids: {place}: a JSON object, not an id: write the ids alone, one a line")
    if not line.startswith('"'):
        return line
    try:
        found: object = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"--drop-ids: {place}: a line that starts with a quote must be a JSON string") from error
    return str(found)
