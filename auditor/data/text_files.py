r"""Texts out of .txt, .jsonl, .json and .csv files: streamed, exact, with a line to point at.

A line ends at ``\n`` or ``\r\n`` and nowhere else: U+2028, U+0085 and their like stay inside texts. A UTF-8
byte order mark at the start of a file is not part of a text. Nothing else is trimmed, normalised or repaired.
"""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from .quoting import counted, plain, quoted, reason
from .rows import Row, chosen_columns, column_rows, record_row

__all__ = ["read_csv", "read_json", "read_jsonl", "read_txt"]

_JSON_SPACE = " \t\r\n"
_LARGEST_CELL = 2**31 - 1  # characters; the most that a C long holds on every platform


def read_txt(path: Path, text_field: str, notes: list[str]) -> Iterator[Row]:
    """Read a text a line; a line of spaces is a text, a line of nothing is blank."""
    where = plain(path)
    n_blank = 0
    for number, line in _lines(path):
        text = line[:-1].removesuffix("\r") if line.endswith("\n") else line
        if text:
            yield Row(f"{where} line {number}", text)
        else:
            n_blank += 1
    _note_blank(n_blank, path, notes)


def read_jsonl(path: Path, text_field: str, notes: list[str]) -> Iterator[Row]:
    """Read an object, or a string, a line."""
    where = plain(path)
    n_blank = 0
    for number, line in _lines(path):
        if line.strip(_JSON_SPACE):
            value = _json_value(line.rstrip("\r\n"), where, number)
            yield _json_row(value, text_field, f"{where} line {number}")
        else:
            n_blank += 1
    _note_blank(n_blank, path, notes)


def read_json(path: Path, text_field: str, notes: list[str]) -> Iterator[Row]:
    """Read a list of objects, a list of strings, or one object of columns."""
    where = plain(path)
    with _opened(path) as file:
        text = _decoded(file.read(), path)
    if not text.strip(_JSON_SPACE):
        return
    value = _json_value(text, where)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield _json_row(item, text_field, f"{where} item {number} counting from 0")
    elif isinstance(value, dict):
        names = chosen_columns(list(value), text_field, where, "keys")
        columns = {name: value[name] for name in names}
        if not all(isinstance(column, list) for column in columns.values()):
            raise DataError(
                f"{where}: a .json file that holds one object gives a list for each column; "
                "a file of one object a line is named .jsonl"
            )
        yield from column_rows(columns, text_field, where)
    else:
        raise DataError(f"{where}: a .json file holds a list or an object, not a {type(value).__name__}")


def read_csv(path: Path, text_field: str, notes: list[str]) -> Iterator[Row]:
    """Read rows below a header; an empty ``id`` or ``group`` is none. Bad quoting is refused, not guessed."""
    where = plain(path)
    csv.field_size_limit(_LARGEST_CELL)  # of the process; a text may well be longer than the default 128 KiB
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    header: list[str] = []
    n_blank, start = 0, 1
    try:
        for cells in reader:
            place, start = f"{where} line {start}", reader.line_num + 1
            if not cells:
                n_blank += 1
            elif not header:
                header = cells
                chosen_columns(header, text_field, f"{where} (whose first row is its header)", "header")
            elif len(cells) != len(header):
                raise DataError(f"{place}: the row has {counted(len(cells), 'cell')}, the header {len(header)}")
            else:
                record = zip(header, cells, strict=True)
                named = {name: cell if name == text_field else cell or None for name, cell in record}
                yield record_row(named, text_field, place)
    except csv.Error as error:
        raise DataError(f"{where}: not valid CSV in the row from line {start}: {reason(error)}") from error
    _note_blank(n_blank, path, notes)


def _opened(path: Path) -> io.BufferedIOBase:
    """Open a file for reading bytes, decompressed if its name says so."""
    match path.suffix.lower():
        case ".gz":
            return gzip.open(path, "rb")
        case ".zst":
            import pyarrow as pa

            # zstandard's own reader takes the end of a file that was cut short for its end; this one refuses
            return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
        case _:
            return path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines, numbered from 1, each with the line break it came with."""
    offset = 0
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            yield number, _decoded(line, path, number=number, offset=offset)
            offset += len(line)


def _decoded(data: bytes, path: Path, *, number: int = 1, offset: int = 0) -> str:
    """Decode UTF-8 that starts at a line and a byte of the (decompressed) file."""
    body = data if offset else data.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        at = error.start + len(data) - len(body)
        line = number + data.count(b"\n", 0, at)
        utf_16 = not offset and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = " (it looks like UTF-16)" if utf_16 else ""
        raise DataError(
            f"{plain(path)} line {line}: not UTF-8 at byte {offset + at}, counting from 0{hint}; save the file as UTF-8"
        ) from error


def _json_value(text: str, where: str, number: int | None = None) -> object:
    """Parse the JSON of one line of a file, or of all of it."""
    place = where if number is None else f"{where} line {number}"
    try:
        value: object = json.loads(text, object_pairs_hook=_json_object)
    except json.JSONDecodeError as error:
        hint = "; a file of one object a line is named .jsonl" if error.msg.startswith("Extra data") else ""
        line = (number or 1) + error.lineno - 1
        raise DataError(f"{where} line {line}: not valid JSON: {error.msg} (column {error.colno}){hint}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise DataError(f"{place}: JSON that cannot be read: {reason(error)}") from error
    return value


def _json_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that gives a key twice: which of the values counts would be a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object gives one of its keys more than once; keep one of them")
    return found


def _json_row(value: object, text_field: str, place: str) -> Row:
    if isinstance(value, dict):
        return record_row(value, text_field, place)
    if isinstance(value, str):
        return Row(place, value)
    kind = "null" if value is None else type(value).__name__
    raise DataError(f"{place}: must be an object with a column {quoted(text_field)}, or a string; not {kind}")


def _note_blank(n_blank: int, path: Path, notes: list[str]) -> None:
    if n_blank:
        notes.append(f"skipped {counted(n_blank, 'blank line')} of {plain(path.name)}")
