r"""Texts out of .txt, .jsonl, .json, .csv and .tsv files: streamed, exact, with a line to point at.

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
from typing import TYPE_CHECKING

from ..errors import DataError
from .quoting import counted, plain, quoted, reason
from .rows import Columns, Row, chosen_columns, column_rows, record_row

if TYPE_CHECKING:
    import _csv

__all__ = ["read_csv", "read_json", "read_jsonl", "read_tsv", "read_txt"]

_JSON_SPACE = " \t\r\n"
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LARGEST = 2**26
"""Bytes of a line and characters of a cell: a few kilobytes of a compressed file may hold gigabytes of one text."""
_LARGEST_JSON = 2**29
"""Bytes of a .json file, which is read whole."""


def read_txt(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
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


def read_jsonl(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read an object, or a string, a line."""
    where = plain(path)
    n_blank = 0
    for number, line in _lines(path):
        if line.strip(_JSON_SPACE):
            value = _json_value(line.rstrip("\r\n"), where, number)
            yield _json_row(value, columns, f"{where} line {number}")
        else:
            n_blank += 1
    _note_blank(n_blank, path, notes)


def read_json(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read a list of objects, a list of strings, or one object of columns."""
    where = plain(path)
    with _opened(path) as file:
        data = file.read(_LARGEST_JSON + 1)
    if len(data) > _LARGEST_JSON:
        raise DataError(f"{where}: a .json file is read whole, and has at most {_LARGEST_JSON:,} bytes; save as .jsonl")
    text = _decoded(data, path)
    if not text.strip(_JSON_SPACE):
        return
    value = _json_value(text, where)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield _json_row(item, columns, f"{where} item {number} counting from 0")
    elif isinstance(value, dict):
        found = {name: value[name] for name in chosen_columns(list(value), columns, where, "keys")}
        if not all(isinstance(column, list) for column in found.values()):
            raise DataError(
                f"{where}: a .json file that holds one object gives a list for each column; "
                "a file of one object a line is named .jsonl"
            )
        yield from column_rows(found, columns, where)
    else:
        raise DataError(f"{where}: a .json file holds a list or an object, not a {type(value).__name__}")


def read_csv(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read rows below a header, between commas, semicolons, tabs or bars: whatever gives the column of the texts."""
    delimiter = _delimiter(path, columns)
    if delimiter != ",":
        notes.append(f"read {plain(path.name)} as separated by {_DELIMITERS[delimiter]}")
    yield from _delimited(path, columns, notes, delimiter)


def read_tsv(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read rows below a header, between tabs."""
    yield from _delimited(path, columns, notes, "\t")


def _delimited(path: Path, columns: Columns, notes: list[str], delimiter: str) -> Iterator[Row]:
    """Read rows below a header; an empty ``id`` or ``group`` is none. Bad quoting is refused, not guessed."""
    where = plain(path)
    reader = _csv_reader(path, delimiter)
    header: list[str] = []
    n_blank, start = 0, 1
    try:
        for cells in reader:
            place, start = f"{where} line {start}", reader.line_num + 1
            if not cells:
                n_blank += 1
            elif not header:
                header = cells
                chosen_columns(header, columns, f"{where} (whose first row is its header)", "header")
            elif len(cells) != len(header):
                raise DataError(f"{place}: the row has {counted(len(cells), 'cell')}, the header {len(header)}")
            else:
                record = zip(header, cells, strict=True)
                texts = columns.of(header)
                named = {name: cell if name in texts else cell or None for name, cell in record}
                yield record_row(named, columns, place)
    except csv.Error as error:
        raise DataError(f"{where}: not valid CSV in the row from line {start}: {reason(error)}") from error
    _note_blank(n_blank, path, notes)


def _csv_reader(path: Path, delimiter: str) -> "_csv.Reader":
    csv.field_size_limit(_LARGEST)  # of the process; a text may well be longer than the default 128 KiB
    return csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)


def _delimiter(path: Path, columns: Columns) -> str:
    """Find what stands between the cells: with one of the delimiters the header has the column of the texts.

    Raises
    ------
    DataError
        If it has with several of them.
    """
    headers = {delimiter: _header(path, delimiter) for delimiter in _DELIMITERS}
    found = [delimiter for delimiter, header in headers.items() if columns.of(header)]
    if len(found) > 1 and any(len(headers[delimiter]) > 1 for delimiter in found):
        raise DataError(
            f"{plain(path)} (whose first row is its header): cells may be separated by "
            f"{' or by '.join(_DELIMITERS[delimiter] for delimiter in found)}: rename the column, or write the file "
            "with commas"
        )
    # without such a column the message names those of the likeliest delimiter; of equal ones the first, a comma
    return found[0] if found else max(headers, key=lambda delimiter: len(headers[delimiter]))


def _header(path: Path, delimiter: str) -> list[str]:
    """Read the first row that is not blank; empty if with this delimiter it is no CSV."""
    try:
        return next((cells for cells in _csv_reader(path, delimiter) if cells), [])
    except csv.Error:
        return []


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
        for number, line in enumerate(iter(lambda: file.readline(_LARGEST + 1), b""), start=1):
            if len(line) > _LARGEST:
                raise DataError(f"{plain(path)} line {number}: longer than {_LARGEST:,} bytes; split the text")
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


def _json_row(value: object, columns: Columns, place: str) -> Row:
    if isinstance(value, dict):
        return record_row(value, columns, place)
    if isinstance(value, str):
        return Row(place, value)
    kind = "null" if value is None else type(value).__name__
    raise DataError(f"{place}: must be an object with a column {quoted(columns.text)}, or a string; not {kind}")


def _note_blank(n_blank: int, path: Path, notes: list[str]) -> None:
    if n_blank:
        notes.append(f"skipped {counted(n_blank, 'blank line')} of {plain(path.name)}")
