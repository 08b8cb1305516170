"""Rows that readers hand on: each with its place, taken out of objects or columns by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ..errors import DataError
from .chat import CHAT_COLUMNS, as_chat, chat_columns
from .quoting import listing, plain, quoted

__all__ = ["Columns", "Row", "chosen_columns", "column_rows", "record_row"]

_LIKE_A_NAME = re.compile(r"[^\W\d][\w.-]{0,28}")
_Source = Literal["schema", "keys", "header"]
_OPTIONAL = ("id", "group", "copies")


class Columns(NamedTuple):
    """Which columns are read: that of the texts, those that have a meaning, and all others only where they are kept."""

    text: str
    keep_others: bool = False

    def of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Choose, of the columns that there are, those that the text is made of; none if there is no text."""
        return chat_columns(names, self.text)


class Row(NamedTuple):
    """One row as it was found, before anything is known to be right about it.

    Parameters
    ----------
    place : str
        File and line, or file and row, for messages.
    text, id, group, copies : object
        Values as read; all but ``text`` are None where the data has none. A conversation is packed into one string.
    form : str
        Form of the text, one of `auditor.data.chat.FORMS`.
    fault : str or None
        Why there is no text, if a conversation cannot be made of the row.
    others : dict of str to object, or None
        The other columns by name, where they are kept.
    """

    place: str
    text: object
    id: object = None
    group: object = None
    copies: object = None
    others: object = None
    form: str = "text"
    fault: str | None = None


def record_row(record: Mapping[str, object], columns: Columns, place: str) -> Row:
    """Take text, id, group and copies out of one object; a column that is the text is not also the id."""
    named = columns.of(list(record))
    if not named:
        raise _no_column(list(record), columns.text, place, "keys")
    text, form, fault = _text(record, named)
    own, group, copies = (None if name in named else record.get(name) for name in _OPTIONAL)
    found = Row(place, text, own, group, copies, form=form, fault=fault)
    if not columns.keep_others:
        return found
    used = {*named, *_OPTIONAL}
    return found._replace(others={name: value for name, value in record.items() if name not in used})


def _text(record: Mapping[str, object], named: Sequence[str]) -> tuple[object, str, str | None]:
    """Make the text of a row; also say its form, and what is wrong with it."""
    first = record[named[0]]
    is_list = isinstance(first, list) and bool(first) and isinstance(first[0], dict)
    if not is_list and named[0] not in CHAT_COLUMNS and "completion" not in named:
        return first, "text", None
    try:
        form, text = as_chat(record, named)
    except ValueError as error:
        return None, "text", str(error)
    return text, form, None


def column_rows(
    found: Mapping[str, Sequence[object]], columns: Columns, where: str, *, start: int = 0
) -> Iterator[Row]:
    """Turn the chosen columns into rows, which are numbered from ``start``."""
    n_rows = len(found[columns.of(list(found))[0]])
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
        The columns of the texts must be there, besides an optional ``id``, ``group`` and ``copies``, and others.
    where : str
        What has these columns, for messages.
    source : {"schema", "keys", "header"}
        How sure it is that these are names and not texts, which no message may show: the names of a schema are;
        of the keys of an object those that look like names; of the first row of a CSV file, which may have no
        header, these and only if one of them is a column that is looked for.
    """
    text_columns = columns.of(names)
    if not text_columns:
        raise _no_column(names, columns.text, where, source)
    wanted = [name for name in dict.fromkeys((*text_columns, *_OPTIONAL)) if name in names]
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
    return DataError(
        f"{where}: no column {quoted(text_field)}; columns there are: {' and '.join(held) or 'none'}; name the column "
        "of the texts with --text-field (conversations are found in messages, conversations, or prompt and completion)"
    )
