"""Texts that a program holds in memory: lists, data sets, frames and Arrow tables, read a batch at a time."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import DataError
from .quoting import quoted
from .rows import Columns, Row, chosen_columns, column_rows, record_row
from .tables import batch_rows, dataset_rows

__all__ = ["described", "held_rows"]

_BATCH_ROWS = 1000
_KINDS = (
    "texts are a list of strings (or of dicts), a dict of columns, a datasets.Dataset, a pandas or polars frame, an "
    "Arrow table, or a path"
)


def held_rows(texts: Any, columns: Columns, where: str) -> Iterator[Row]:
    """Read the rows of an object; of a table no more than a thousand are copied at once.

    Parameters
    ----------
    texts : list of str or dict, dict of columns, datasets.Dataset, pandas or polars frame or column, Arrow table
    columns : Columns
    where : str
        What it is called in messages.

    Raises
    ------
    DataError
        For anything else, a data set that streams, several splits, a table without the column, and a list of unequal
        kinds.
    """
    _refuse_streams(texts, where)
    if _is_a(texts, "datasets", "Dataset"):
        yield from dataset_rows(texts, columns, where)
    elif _is_a(texts, "pyarrow", "Table") or _is_a(texts, "pyarrow", "RecordBatch"):
        wanted = chosen_columns(texts.schema.names, columns, where, "schema")
        table = texts.select(wanted)
        starts = range(0, table.num_rows, _BATCH_ROWS)
        yield from batch_rows((table.slice(start, _BATCH_ROWS) for start in starts), columns, where, table.nbytes)
    elif _is_a(texts, "pandas", "DataFrame") or _is_a(texts, "polars", "DataFrame"):
        yield from _frame_rows(texts, columns, where)
    elif isinstance(texts, Mapping):
        wanted = chosen_columns([str(name) for name in texts], columns, where, "keys")
        yield from column_rows({name: _listed(texts[name], where) for name in wanted}, columns, where)
    else:
        yield from _list_rows(_listed(texts, where), columns, where)


def described(texts: Any) -> str:
    """Say in a few words what an object of texts is: its kind and, if it is known, how many there are.

    Examples
    --------
    >>> described(["a text", "another"])
    'list of 2'
    """
    kind = type(texts).__name__
    n = getattr(texts, "num_rows", None)
    if n is None and isinstance(texts, Mapping):
        n = max((len(column) for column in texts.values() if hasattr(column, "__len__")), default=0)
    if n is None and hasattr(texts, "__len__"):
        n = len(texts)
    return f"{kind} of {n:,}" if isinstance(n, int) else kind


def _is_a(value: Any, library: str, name: str) -> bool:
    """Whether a value is of a library's class; a library that nobody imported has none."""
    kind = getattr(sys.modules.get(library), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _refuse_streams(texts: Any, where: str) -> None:
    """Refuse what can be read once only, or is several data sets."""
    if any(_is_a(texts, "datasets", name) for name in ("DatasetDict", "IterableDatasetDict")):
        splits = ", ".join(quoted(str(split)) for split in texts)
        raise DataError(f"{where}: a data set of several splits ({splits}); give one of them, such as data['train']")
    if _is_a(texts, "polars", "LazyFrame"):
        raise DataError(f"{where}: a lazy frame has no rows yet; give frame.collect()")
    streams = _is_a(texts, "datasets", "IterableDataset") or _is_a(texts, "pyarrow", "RecordBatchReader")
    if streams or (hasattr(texts, "__next__") and not hasattr(texts, "__len__")):
        raise DataError(
            f"{where}: {type(texts).__name__} streams, and an audit reads its texts more than once; give a list, or "
            "datasets.Dataset.from_list(list(stream.take(1000)))"
        )


def _listed(texts: Any, where: str) -> Sequence[Any]:
    """Return a sequence of values out of a list, an array or a column."""
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow, polars and pandas, numpy
        if hasattr(texts, method):
            listed = getattr(texts, method)()
            return listed if isinstance(listed, list) else [listed]
    if isinstance(texts, Sequence) and not isinstance(texts, str | bytes | bytearray):
        return texts
    raise DataError(f"{where}: {_KINDS}")


def _list_rows(texts: Sequence[Any], columns: Columns, where: str) -> Iterator[Row]:
    """Read strings, or dicts with the column of the texts."""
    first: type | None = None
    for number, value in enumerate(texts):
        kind = dict if isinstance(value, Mapping) else str if isinstance(value, str) else type(value)
        first = first or kind
        if kind is not first or kind not in (str, dict):
            which = f"row 0 is {first.__name__}, row {number} {kind.__name__}"
            unequal = f"of unequal kinds ({which})" if kind is not first else f"of {kind.__name__}"
            raise DataError(f"{where}: a list {unequal}; give strings, or dicts with a column {quoted(columns.text)}")
        place = f"{where} row {number} counting from 0"
        yield Row(place, value) if kind is str else record_row(value, columns, place)


def _frame_rows(frame: Any, columns: Columns, where: str) -> Iterator[Row]:
    """Read a frame of pandas or polars in batches; what is missing is None."""
    wanted = chosen_columns([str(name) for name in frame.columns], columns, where, "schema")
    for start in range(0, len(frame), _BATCH_ROWS):
        batch = frame[start : start + _BATCH_ROWS]
        yield from column_rows({name: _cells(batch[name]) for name in wanted}, columns, where, start=start)


def _cells(column: Any) -> list[Any]:
    if hasattr(column, "notna"):
        column = column.astype(object).where(column.notna(), None)
    cells: list[Any] = column.to_list()
    return cells
