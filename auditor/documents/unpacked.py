"""Unpacked sizes: what compressed tables would take in memory, told before any of it is unpacked.

A few kilobytes may say that they unpack to gigabytes. Compressed text takes a fifth of its size, or a twentieth; what
would grow more than a hundredfold, to more than a text file may have in a line by far, is not text that anybody wrote.
"""

import struct
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

__all__ = [
    *("MOST_AT_ONCE", "MOST_TIMES", "decoded_bytes", "dictionary_columns", "refuse_arrow_bomb", "refuse_bomb"),
    "refuse_parquet_bomb",
]

MOST_AT_ONCE = 2**28
"""Bytes that anything may unpack to."""

MOST_TIMES = 100
"""Times the size of its file to which more than that may unpack."""

_END = b"ARROW1"
_BUFFER, _BLOCK = 16, 24  # bytes of the structs of these names in Arrow's format
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # of the union MessageHeader


def refuse_bomb(n_unpacked: int, n_packed: int) -> None:
    """Refuse what unpacks to far more than its size.

    Parameters
    ----------
    n_unpacked, n_packed : int, bytes

    Raises
    ------
    ValueError
        If so.
    """
    if n_unpacked > max(MOST_AT_ONCE, MOST_TIMES * n_packed):
        raise ValueError(
            f"it unpacks to {n_unpacked:,} bytes, and a file of {n_packed:,} may to {MOST_TIMES} times that: a "
            "decompression bomb; if not, write it without compression and dictionaries"
        )


def refuse_parquet_bomb(metadata: Any, columns: Collection[str], n_packed: int) -> None:
    """Refuse a Parquet file whose footer says that these columns unpack to far more than its size.

    Parameters
    ----------
    metadata : pyarrow.parquet.FileMetaData
    columns : collection of str
        Names at the top level.
    n_packed : int, bytes
        Size of the file.

    Raises
    ------
    ValueError
        If so.
    """
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    wanted = (chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns)
    refuse_bomb(sum(max(0, chunk.total_uncompressed_size) for chunk in wanted), n_packed)


def dictionary_columns(metadata: Any, columns: Collection[str]) -> list[str]:
    """Name the columns of text, to be read as dictionaries: a value that stands in many rows is then unpacked once."""
    schema = metadata.schema.to_arrow_schema()
    return [name for name in columns if _is_text(schema.field(name).type)]


def decoded_bytes(column: Any) -> int:
    """Bytes, or more, of the values of a column one by one: many may share theirs, and a list of nulls has none.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        return sum(map(decoded_bytes, column.chunks))
    kind, types = column.type, pa.types
    if types.is_dictionary(kind) and _is_text(kind.value_type):
        return int(pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        views = np.frombuffer(column.buffers()[1], dtype="<i4").reshape(-1, 4)  # the length comes first
        return int(views[column.offset : column.offset + len(column), 0].sum(dtype=np.int64))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        values = column.flatten()
        return 8 * len(values) + decoded_bytes(values)
    if types.is_struct(kind):
        return sum(map(decoded_bytes, column.flatten()))
    shares = types.is_list_view(kind) or types.is_large_list_view(kind) or types.is_run_end_encoded(kind)
    return int(column.nbytes) * (len(column) if shares else 1)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def refuse_arrow_bomb(data: Any) -> None:
    """Refuse an Arrow file or stream whose compressed buffers say that they unpack to far more than its size.

    Each of them begins with its uncompressed length (Arrow columnar format, "Recordbatch and dictionary compression"),
    which the library allocates before it decompresses.

    Parameters
    ----------
    data : pyarrow.Buffer
        All bytes, such as of a mapped file.

    Raises
    ------
    ValueError, pyarrow.ArrowException, OSError
        If so, or if it is damaged.
    """
    try:
        refuse_bomb(sum(map(_stated_bytes, _messages(data))), data.size)
    except (struct.error, IndexError) as error:
        raise ValueError("its metadata lead out of the file") from error


def _messages(data: Any) -> Iterator[Any]:
    """Yield the messages of a stream, or those that the footer of a file names."""
    import pyarrow as pa

    if data.slice(0, len(_END)).to_pybytes() != _END:
        yield from pa.ipc.MessageReader.open_stream(data)
        return
    end = data.size - len(_END) - 4
    (size,) = struct.unpack("<i", data.slice(end, 4).to_pybytes())
    footer = _Table.root(memoryview(data.slice(end - size, size)) if 0 < size <= end else memoryview(b""))
    for field in (2, 3):  # dictionaries, recordBatches
        for block in footer.structs(field, _BLOCK):
            start, _, _ = struct.unpack("<qi4xq", block)
            yield pa.ipc.read_message(data.slice(start))


def _stated_bytes(message: Any) -> int:
    """Sum what the compressed buffers of a message say that they unpack to; 0 if none is compressed."""
    table = _Table.root(memoryview(message.metadata))
    kind, header = table.byte(1), table.table(2)
    if kind == _DICTIONARY_BATCH and header is not None:
        header = header.table(1)
    elif kind != _RECORD_BATCH:
        return 0
    if header is None or header.table(3) is None:  # the field compression
        return 0
    body, total = memoryview(message.body), 0
    for place in header.structs(2, _BUFFER):
        start, size = struct.unpack("<qq", place)
        if size:
            total += max(0, struct.unpack_from("<q", body, start)[0])  # -1: left as it is
    return total


class _Table:
    """A table of the FlatBuffers format, as far as Arrow's metadata need it."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data, self._start = data, start
        self._fields = start - struct.unpack_from("<i", data, start)[0]
        if not 0 <= self._fields < len(data):
            raise IndexError("no table")

    @classmethod
    def root(cls, data: memoryview) -> "_Table":
        return cls(data, struct.unpack_from("<I", data)[0])

    def byte(self, field: int) -> int:
        place = self._place(field)
        return self._data[place] if place else 0

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return _Table(self._data, place + struct.unpack_from("<I", self._data, place)[0]) if place else None

    def structs(self, field: int, size: int) -> Iterator[memoryview]:
        if not (place := self._place(field)):
            return
        first = place + struct.unpack_from("<I", self._data, place)[0]
        (n,) = struct.unpack_from("<I", self._data, first)
        for i in range(n):
            start = first + 4 + i * size
            if start + size > len(self._data):
                raise IndexError("no struct")
            yield self._data[start : start + size]

    def _place(self, field: int) -> int:
        """Where a field is; 0 if it is left out."""
        (n_bytes,) = struct.unpack_from("<H", self._data, self._fields)
        at = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._fields + at)[0] if at + 2 <= n_bytes else 0
        return self._start + int(offset) if offset else 0
