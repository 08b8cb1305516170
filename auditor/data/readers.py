"""The reader of a path: by its extension, file by file in a folder, as a saved dataset, or from the hub."""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from ..config import DataSpec
from ..errors import DataError
from .quoting import counted, listing, plain, quoted, reason
from .rows import Columns, Row
from .tables import is_hub_id, is_saved_dataset, read_arrow, read_hub, read_parquet, read_saved_dataset
from .text_files import read_csv, read_json, read_jsonl, read_tsv, read_txt

__all__ = ["read_rows"]

_Reader = Callable[[Path, Columns, list[str]], Iterator[Row]]
_TEXT_READERS: dict[str, _Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".txt": read_txt,
}
_READERS: dict[str, _Reader] = {**_TEXT_READERS, ".parquet": read_parquet, ".arrow": read_arrow}
_COMPRESSED = (".gz", ".zst")
_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Words that files are named after splits with, and the split that each is."""
_FORMATS = f"{', '.join(_TEXT_READERS)} (each also with .gz or .zst), .parquet, .arrow"


def read_rows(spec: DataSpec, notes: list[str], *, keep_others: bool = False) -> Iterator[Row]:
    """Read the rows of a file, of the files of a folder in the order of their names, or of a ``datasets`` id.

    What exists locally is read locally. A folder is read flat; what it holds besides files of a known format
    is left out, and noted. Of a clone of a data set, whose files lie in ``data``, these are read. The split matters
    for a saved ``DatasetDict``, for an id, and for a folder whose files are named after splits, such as
    ``train-00000-of-00001.parquet``.

    Parameters
    ----------
    spec : DataSpec
        What to read.
    notes : list of str
        Gets a line for everything that was left out or chosen on the way.
    keep_others : bool
        Read the columns that mean nothing here, too.

    Yields
    ------
    Row
        In the order of the data.

    Raises
    ------
    DataError
        If there is nothing to read, or it cannot be read as what it says it is.
    """
    path, columns = Path(spec.path), Columns(spec.text_field, keep_others)
    if spec.path in _STANDARD_INPUT:
        raise DataError(f"{spec.path}: standard input is not supported; write the texts to a file, such as texts.jsonl")
    if not os.path.exists(spec.path):  # unlike Path.exists, False for any string
        missing = f"{plain(spec.path)}: no such file or folder{_close_match(path)}"
        if not is_hub_id(spec.path) or path.suffix.lower() in (*_READERS, *_COMPRESSED):
            raise DataError(missing)
        yield from read_hub(spec, columns, missing)
    elif not path.is_dir():
        yield from _file_rows(path, columns, notes)
    elif is_saved_dataset(path):
        yield from read_saved_dataset(spec, columns)
    else:
        for file in _data_files(path, spec.split, notes):
            yield from _noted_if_empty(_file_rows(file, columns, notes), file, notes)


def _file_rows(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read one file by its extension."""
    reader = _READERS.get(_format(path))
    if reader is None:
        raise DataError(f"{plain(path)}: the extension {quoted(path.suffix)} is not one of {_FORMATS}")
    try:
        yield from reader(path, columns, notes)
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


def _data_files(folder: Path, split: str, notes: list[str]) -> list[Path]:
    """List the data files of a folder by name, and note what else is there; hidden entries do not count."""
    entries = _entries(folder)
    files = [entry for entry in entries if _is_data(entry)]
    others = [plain(entry.name) for entry in entries if not _is_data(entry)]
    if not files and (clone := folder / "data").is_dir() and any(map(_is_data, _entries(clone))):
        notes.append(f"read the folder data of {plain(folder.name)}")
        return _data_files(clone, split, notes)
    if not files:
        held = f"it holds {listing(others)}" if others else "it is empty"
        inside = [plain(entry.name) for entry in entries if entry.is_dir() and any(map(_is_data, _entries(entry)))]
        hint = f"; there are such files in its {listing(inside)}: name the folder that is meant" if inside else ""
        raise DataError(f"the folder {plain(folder)} has no file with an extension of {_FORMATS}; {held}{hint}")
    chosen = _of_split(files, split, folder)
    notes.append(f"read {counted(len(chosen), 'file')}: {listing([plain(file.name) for file in chosen])}")
    if left_out := [plain(file.name) for file in files if file not in chosen]:
        notes.append(f"left out what is not of the split {plain(split)}: {listing(left_out)}")
    if others:
        notes.append(f"left out what is not a data file: {listing(others)}")
    return chosen


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {plain(folder)}: {reason(error)}") from error


def _is_data(entry: Path) -> bool:
    return _format(entry) in _READERS and not entry.is_dir()


def _of_split(files: list[Path], split: str, folder: Path) -> list[Path]:
    """Choose the files of a split, if they are named after several splits, or as the hub names its shards.

    Raises
    ------
    DataError
        If there are splits, and this is none of them.
    """
    split_of = {file: _split_name(file) for file in files}
    named = {name for name in split_of.values() if name is not None}
    if len(named) < 2 and not all(_SHARD.fullmatch(file.name.partition(".")[0]) for file in files):
        return files
    wanted = _SPLITS.get(split, split)
    if wanted not in named:
        raise DataError(
            f"{plain(folder)} has no split {quoted(split)}; splits there are: {listing(sorted(named), limit=20)}; "
            "choose with --split"
        )
    return [file for file, name in split_of.items() if name == wanted]


def _split_name(file: Path) -> str | None:
    """Name the split that a file is of, as the hub names its shards; None if its name does not say."""
    stem = file.name.partition(".")[0]
    if shard := _SHARD.fullmatch(stem):
        return _SPLITS.get(shard["split"], shard["split"])
    return _SPLITS.get(re.split(r"[-_ ]", stem, maxsplit=1)[0].lower())


def _close_match(path: Path) -> str:
    try:
        neighbours = os.listdir(path.parent)
    except (OSError, ValueError):  # no such folder, or a NUL in its name
        return ""
    close = get_close_matches(path.name, neighbours, n=1)
    return f" (did you mean {plain(path.parent / close[0])}?)" if close else ""
