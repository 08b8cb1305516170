"""Rows that readers hand on: each with its place, taken out of objects or columns by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ..errors import DataError
from .quoting import listing, plain, quoted

__all__ = ["Columns", "Row", "chosen_columns", "column_rows", "record_row"]

_LIKE_A_NAME = re.compile(r"[^\W\d][\w.-]{0,28}")
_Source = Literal["schema", "keys", "header"]
_OPTIONAL = ("id", "group", "copies")
_CHATS = frozenset({"messages", "conversations", "conversation"})


class Columns(NamedTuple):
    """Which columns are read: that of the texts, those that have a meaning, and all others only where they are kept."""

    text: str
    keep_others: bool = False


class Row(NamedTuple):
    """One row as it was found, before anything is known to be right about it.

    Parameters
    ----------
    place : str
        File and line, or file and row, for messages.
    text, id, group, copies : object
        Values as read; all but ``text`` are None where the data has none.
    others : dict of str to object, or None
        The other columns by name, where they are kept.
    """

    place: str
    text: object
    id: object = None
    group: object = None
    copies: object = None
    others: object = None


def record_row(record: Mapping[str, object], columns: Columns, place: str) -> Row:
    """Take text, id, group and copies out of one object; a column that is the text is not also the id."""
    if columns.text not in record:
        raise _no_column(list(record), columns.text, place, "keys")
    found = Row(
        place, record[columns.text], *(None if columns.text == name else record.get(name) for name in _OPTIONAL)
    )
    if not columns.keep_others:
        return found
    used = {columns.text, *_OPTIONAL}
    return found._replace(others={name: value for name, value in record.items() if name not in used})


def column_rows(
    found: Mapping[str, Sequence[object]], columns: Columns, where: str, *, start: int = 0
) -> Iterator[Row]:
    """Turn the chosen columns into rows, which are numbered from ``start``."""
    n_rows = len(found[columns.text])
    if any(len(column) != n_rows for column in found.values()):
        raise DataError(f"{where}: the columns {listing(list(map(plain, found)))} are not of one length")
    for number, values in enumerate(zip(*found.values(), strict=True), start=start):
        yield record_row(dict(zip(found, values, strict=True)), columns, f"{where} row {number} counting from 0")


def chosen_columns(names: Sequence[str], columns: Columns, where: str, source: _Source) -> list[str]:
    """Pick the columns that are used, each once and without doubt which.

    Parameters
    ----------
    names : sequence of str
        The columns there are.
    columns : Columns
        The column of the texts must be there, besides an optional ``id``, ``group`` and ``copies``, and others.
    where : str
        What has these columns, for messages.
    source : {"schema", "keys", "header"}
        How sure it is that these are names and not texts, which no message may show: the names of a schema are;
        of the keys of an object those that look like names; of the first row of a CSV file, which may have no
        header, these and only if one of them is a column that is looked for.
    """
    if columns.text not in names:
        raise _no_column(names, columns.text, where, source)
    wanted = [name for name in dict.fromkeys((columns.text, *_OPTIONAL)) if name in names]
    if columns.keep_others:
        wanted = list(dict.fromkeys((*wanted, *names)))
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
    chats = sorted(_CHATS.intersection(names))
    way_out = (
        f"a column {chats[0]} holds chats, not texts: write each as one text, as the tokenizer's chat template does "
        f"(apply_chat_template(..., tokenize=False)), into a column {quoted(text_field)}"
        if chats
        else "name the column of the texts with --text-field"
    )
    return DataError(
        f"{where}: no column {quoted(text_field)}; columns there are: {' and '.join(held) or 'none'}; {way_out}"
    )
