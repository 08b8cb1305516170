"""Checksums: the SHA-256 of an audit's files, in a document beside them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import ResultError
from .files import document, read_document, to_text, whole_file

__all__ = ["CHECKSUMS", "OUTPUTS", "file_sha256", "read_checksums", "write_checksums"]

CHECKSUMS = "checksums.json"
OUTPUTS = ("result.json", "samples.parquet", "report.html", "report.md", "drop-ids.txt")
"""Files of one audit that are vouched for; ``scores/`` has ledgers of its own."""

VERSION = "1.0"


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


def write_checksums(folder: Path) -> None:
    """Vouch for the outputs in a folder as they are now; to be called after whatever changes one of them."""
    files = {name: file_sha256(folder / name) for name in OUTPUTS if (folder / name).is_file()}
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
