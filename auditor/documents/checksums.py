"""Checksums: the SHA-256 of an audit's files, in a document beside them."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from ..errors import ResultError
from .files import document, read_document, to_text, whole_file

__all__ = [
    *("CHECKSUMS", "LINKED", "OUTPUTS", "VERDICT", "Checksums", "file_sha256", "is_vouched_for", "read_checksums"),
    "write_checksums",
]

CHECKSUMS = "checksums.json"
OUTPUTS = ("result.json", "samples.parquet", "samples.csv", "report.html", "report.md", "drop-ids.txt")
"""Files of one audit that are vouched for; ``scores/`` has ledgers of its own."""

LINKED = OUTPUTS[:3]
"""Files that the report links, beside it."""

EVIDENCE = OUTPUTS[:2]
"""Files that a verdict rests on; the others are drawn from them."""

VERDICT = "gates.json"
"""File that is vouched for where it is all that an audit wrote, as it stopped early."""

VERSION = "1.0"

Checksums = Literal["matched", "absent"]
"""What checksums say of a result that was read: they agree with it, or there are none; to disagree is an error."""


@document
class _Checksums:
    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    files: Mapping[str, str]
    """SHA-256 of each file, by its name."""


def file_sha256(path: Path) -> str:
    """Hash the bytes of a file.

    Raises
    ------
    ResultError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Vouch for the outputs of an audit in its folder as they are now, and for no file that it did not write."""
    files = {name: file_sha256(folder / name) for name in names}
    with whole_file(folder / CHECKSUMS) as partial:
        partial.write_text(to_text(_Checksums(files=files)), encoding="utf-8", newline="\n")


def read_checksums(folder: Path) -> Mapping[str, str] | None:
    """Read what the outputs of a folder should hash to; None if nobody said.

    Raises
    ------
    ResultError
        If the file is there and is not what it should be.
    """
    path = folder / CHECKSUMS
    return read_document(path, _Checksums, version=VERSION, what="list of checksums").files if path.exists() else None


def is_vouched_for(result: Path) -> bool:
    """Whether the checksums beside a result agree with it and with its samples; False if there are none.

    Samples are looked at where they lie beside the result. A result under another name than the audit gave it is
    nobody's to vouch for, and neither is the verdict beside a whole audit.

    Raises
    ------
    ResultError
        If one of the two is not what the checksums say, or they leave it out.
    """
    stated = read_checksums(result.parent)
    names = (VERDICT,) if result.name == VERDICT else EVIDENCE
    if stated is None or result.name not in names or (names != EVIDENCE and EVIDENCE[0] in stated):
        return False
    for file in (result.with_name(name) for name in names):
        if file.is_file() and file_sha256(file) != stated.get(file.name):
            raise ResultError(
                f"{file} is not the file that {CHECKSUMS} beside it vouches for (SHA-256): it was changed after the "
                "audit, or comes from another one; take the audit's own files, or audit again"
            )
    return True
