"""The reader of a path: by its extension, file by file in a folder, as a saved dataset, or from the hub."""

import os
import zlib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from ..config import DataSpec
from ..errors import DataError
from .quoting import counted, listing, plain, quoted, reason
from .rows import Row
from .tables import is_hub_id, is_saved_dataset, read_arrow, read_hub, read_parquet, read_saved_dataset
from .text_files import read_csv, read_json, read_jsonl, read_txt

__all__ = ["read_rows"]

_Reader = Callable[[Path, str, list[str]], Iterator[Row]]
_TEXT_READERS: dict[str, _Reader] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".txt": read_txt,
}
_READERS: dict[str, _Reader] = {**_TEXT_READERS, ".parquet": read_parquet, ".arrow": read_arrow}
_COMPRESSED = (".gz", ".zst")
_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_FORMATS = f"{', '.join(_TEXT_READERS)} (each also with .gz or .zst), .parquet, .arrow"


def read_rows(spec: DataSpec, notes: list[str]) -> Iterator[Row]:
    """Read the rows of a file, of the files of a folder in the order of their names, or of a ``datasets`` id.

    What exists locally is read locally. A folder is read flat; what it holds besides files of a known format
    is left out, and noted. The split matters for a saved ``DatasetDict`` and for an id only.

    Parameters
    ----------
    spec : DataSpec
        What to read.
    notes : list of str
        Gets a line for everything that was left out or chosen on the way.

    Yields
    ------
    Row
        In the order of the data.

    Raises
    ------
    DataError
        If there is nothing to read, or it cannot be read as what it says it is.
    """
    path = Path(spec.path)
    if spec.path in _STANDARD_INPUT:
        raise DataError(f"{spec.path}: standard input is not supported; write the texts to a file, such as texts.jsonl")
    if not os.path.exists(spec.path):  # unlike Path.exists, False for any string
        missing = f"{plain(spec.path)}: no such file or folder{_close_match(path)}"
        if not is_hub_id(spec.path) or path.suffix.lower() in (*_READERS, *_COMPRESSED):
            raise DataError(missing)
        yield from read_hub(spec, missing)
    elif not path.is_dir():
        yield from _file_rows(path, spec.text_field, notes)
    elif is_saved_dataset(path):
        yield from read_saved_dataset(spec)
    else:
        for file in _data_files(path, notes):
            yield from _noted_if_empty(_file_rows(file, spec.text_field, notes), file, notes)


def _file_rows(path: Path, text_field: str, notes: list[str]) -> Iterator[Row]:
    """Read one file by its extension."""
    reader = _READERS.get(_format(path))
    if reader is None:
        raise DataError(f"{plain(path)}: the extension {quoted(path.suffix)} is not one of {_FORMATS}")
    try:
        yield from reader(path, text_field, notes)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {plain(path)}: {reason(error)}") from error


def _noted_if_empty(rows: Iterator[Row], path: Path, notes: list[str]) -> Iterator[Row]:
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        notes.append(f"{plain(path.name)} holds no texts")


def _format(path: Path) -> str:
    """Extension that decides the format: ``.jsonl`` of ``a.jsonl.gz``; ``.gz`` where that is not allowed."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in _COMPRESSED and suffixes[0] in _TEXT_READERS:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _data_files(folder: Path, notes: list[str]) -> list[Path]:
    """List the data files of a folder by name, and note what else is there; hidden entries do not count."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {plain(folder)}: {reason(error)}") from error
    is_data = {entry: _format(entry) in _READERS and not entry.is_dir() for entry in entries}
    files = [entry for entry in entries if is_data[entry]]
    others = [plain(entry.name) for entry in entries if not is_data[entry]]
    if not files:
        held = f"it holds {listing(others)}" if others else "it is empty"
        raise DataError(f"the folder {plain(folder)} has no file with an extension of {_FORMATS}; {held}")
    notes.append(f"read {counted(len(files), 'file')}: {listing([plain(file.name) for file in files])}")
    if others:
        notes.append(f"left out what is not a data file: {listing(others)}")
    return files


def _close_match(path: Path) -> str:
    try:
        neighbours = os.listdir(path.parent)
    except (OSError, ValueError):  # no such folder, or a NUL in its name
        return ""
    close = get_close_matches(path.name, neighbours, n=1)
    return f" (did you mean {plain(path.parent / close[0])}?)" if close else ""
