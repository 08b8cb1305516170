"""Rows that readers hand on: each with its place, taken out of objects or columns by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Literal, NamedTuple

from ..errors import DataError
from .quoting import listing, plain, quoted

__all__ = ["Row", "chosen_columns", "column_rows", "record_row"]

_LIKE_A_NAME = re.compile(r"[^\W\d][\w.-]{0,28}")
_Source = Literal["schema", "keys", "header"]
_OPTIONAL = ("id", "group", "copies")


class Row(NamedTuple):
    """One row as it was found, before anything is known to be right about it.

    Parameters
    ----------
    place : str
        File and line, or file and row, for messages.
    text, id, group, copies : object
        Values as read; all but ``text`` are None where the data has none.
    """

    place: str
    text: object
    id: object = None
    group: object = None
    copies: object = None


def record_row(record: Mapping[str, object], text_field: str, place: str) -> Row:
    """Take text, id, group and copies out of one object; a column that is the text is not also the id."""
    if text_field not in record:
        raise _no_column(list(record), text_field, place, "keys")
    others = (None if text_field == name else record.get(name) for name in _OPTIONAL)
    return Row(place, record[text_field], *others)


def column_rows(
    columns: Mapping[str, Sequence[object]], text_field: str, where: str, *, start: int = 0
) -> Iterator[Row]:
    """Turn the chosen columns into rows, which are numbered from ``start``."""
    texts = columns[text_field]
    if any(len(column) != len(texts) for column in columns.values()):
        raise DataError(f"{where}: the columns {listing(list(map(plain, columns)))} are not of one length")
    others = [columns[name] if name in columns and name != text_field else repeat(None) for name in _OPTIONAL]
    # repeat() has no end, hence not strict; the lengths are checked above
    for number, values in enumerate(zip(texts, *others, strict=False), start=start):
        yield Row(f"{where} row {number} counting from 0", *values)


def chosen_columns(names: Sequence[str], text_field: str, where: str, source: _Source) -> list[str]:
    """Pick the columns that are used, each once and without doubt which.

    Parameters
    ----------
    names : sequence of str
        The columns there are.
    text_field : str
        The column that must be there, besides an optional ``id``, ``group`` and ``copies``.
    where : str
        What has these columns, for messages.
    source : {"schema", "keys", "header"}
        How sure it is that these are names and not texts, which no message may show: the names of a schema are;
        of the keys of an object those that look like names; of the first row of a CSV file, which may have no
        header, these and only if one of them is a column that is looked for.
    """
    if text_field not in names:
        raise _no_column(names, text_field, where, source)
    wanted = [name for name in dict.fromkeys((text_field, *_OPTIONAL)) if name in names]
    for name in wanted:
        if names.count(name) > 1:
            raise DataError(f"{where}: {names.count(name)} columns are named {quoted(name)}; keep one of them")
    return wanted


def _no_column(names: Sequence[str], text_field: str, where: str, source: _Source) -> DataError:
    sure = source == "schema"
    guessed = source == "keys" or not {"text", *_OPTIONAL}.isdisjoint(names)
    named = [plain(name, limit=40) for name in names if sure or (guessed and _LIKE_A_NAME.fullmatch(name))]
    others = len(names) - len(named)
    held = [listing(named, limit=20)] if named else []
    if others:
        held.append(f"{others} not shown, as {'it' if others == 1 else 'they'} may be text")
    return DataError(
        f"{where}: no column {quoted(text_field)}; columns there are: {' and '.join(held) or 'none'}; "
        "name the column of the texts with --text-field"
    )
