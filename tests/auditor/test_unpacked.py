"""A test of decompression bombs: tables of a few kilobytes that unpack to gigabytes are refused before they do."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.config import DataSpec
from auditor.data import load_texts
from auditor.documents.sample_table import SampleColumns
from auditor.documents.unpacked import MOST_AT_ONCE, decoded_bytes, refuse_arrow_bomb, refuse_bomb
from auditor.errors import DataError, ResultError

TEXT = "x" * 2**23
N = 40
"""Texts of a bomb: 320 MiB, beyond what anything may unpack to."""


def shared(*, n: int = N, kind: Any = None) -> Any:
    """One text in many rows, which is in memory once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([TEXT], kind))


def plain_parquet(path: Path) -> None:
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=False) as writer:
        for _ in range(N):
            writer.write_table(pa.table({"text": [TEXT]}, schema=schema))


def dictionary_parquet(path: Path) -> None:
    table = pa.table({"text": shared(n=8000)})  # 64 GB, which would not pass unnoticed
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False)


def arrow(path: Path, new: Callable[..., Any], columns: dict[str, Any], *, compression: str | None = "zstd") -> None:
    table = pa.table(columns)
    with new(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)


def views(path: Path) -> None:
    """Rows that all view the same bytes."""
    view = pa.array([TEXT], pa.string_view())
    many = pa.Array.from_buffers(pa.string_view(), N, [None, pa.py_buffer(view.buffers()[1].to_pybytes()[:16] * N),
                                                       *view.buffers()[2:]])  # fmt: skip
    arrow(path, pa.ipc.new_stream, {"text": many})


def run_ends(path: Path) -> None:
    arrow(path, pa.ipc.new_stream, {"text": pa.RunEndEncodedArray.from_arrays(pa.array([N], pa.int32()), [TEXT])})


BOMBS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "parquet": ("a.parquet", plain_parquet),
    "parquet dictionary": ("a.parquet", dictionary_parquet),
    "arrow stream": ("a.arrow", lambda path: arrow(path, pa.ipc.new_stream, {"text": [TEXT] * N})),
    "arrow file": ("a.arrow", lambda path: arrow(path, pa.ipc.new_file, {"text": [TEXT] * N}, compression="lz4")),
    "arrow dictionary": ("a.arrow", lambda path: arrow(path, pa.ipc.new_stream, {"text": shared(n=8000)})),
    "arrow views": ("a.arrow", views),
    "arrow run ends": ("a.arrow", run_ends),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    file, make = BOMBS[name]
    make(tmp_path / file)
    with pytest.raises(DataError, match=rf"cannot read .*{file} as .*decompression bomb") as caught:
        load_texts(DataSpec(path=str(tmp_path / file)))
    assert "\n" not in str(caught.value)


def test_a_column_of_nothing_has_as_many_rows_as_it_likes(tmp_path: Path) -> None:
    arrow(tmp_path / "a.arrow", pa.ipc.new_stream, {"text": pa.nulls(2**30)})
    with pytest.raises(DataError, match=r"row 0 .*reading stopped after 10,000"):
        load_texts(DataSpec(path=str(tmp_path / "a.arrow")))


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
@pytest.mark.parametrize("compression", ["zstd", "lz4", None])
def test_texts_of_every_layout_are_read(tmp_path: Path, new: Callable[..., Any], compression: str | None) -> None:
    texts = [f"text {i % 7}" for i in range(50)]
    for i, kind in enumerate((pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))):
        path = tmp_path / f"{i}.arrow"
        arrow(path, new, {"text": pa.array(texts).cast(kind), "empty": pa.nulls(50)}, compression=compression)
        with pa.memory_map(str(path)) as file:
            refuse_arrow_bomb(file.read_buffer())
        assert list(load_texts(DataSpec(path=str(path)))[0].texts) == texts
    pq.write_table(pa.table({"text": pa.array(texts).dictionary_encode()}), tmp_path / "a.parquet")
    assert list(load_texts(DataSpec(path=str(tmp_path / "a.parquet")))[0].texts) == texts


def test_the_limit_and_the_bytes_by_hand() -> None:
    refuse_bomb(MOST_AT_ONCE, 1)
    refuse_bomb(100 * 2**30, 2**30)
    with pytest.raises(ValueError, match="268,435,457 bytes, and a file of 1 may to 100 times that"):
        refuse_bomb(MOST_AT_ONCE + 1, 1)
    texts = ["ab", "", "cde", "cde"]
    dictionary = pa.array(texts).dictionary_encode()
    assert decoded_bytes(dictionary) == decoded_bytes(pa.chunked_array([dictionary])) == 2 + 3 + 3
    assert decoded_bytes(dictionary.slice(2, 1)) == 3
    assert decoded_bytes(pa.array(texts, pa.string_view()).slice(1, 2)) == 3
    assert decoded_bytes(pa.array([[None] * 5, []], pa.list_(pa.null()))) == 5 * 8
    nested = pa.array([[{"content": "abc"}]] * 3)
    assert decoded_bytes(nested) >= 3 * (8 + 3)


@pytest.mark.parametrize("place", range(0, 400, 3))
def test_damaged_metadata_are_refused_or_harmless(tmp_path: Path, place: int) -> None:
    """A byte of the metadata of a stream and of a file set to 255: nothing but the library's own errors and ours."""
    for new in (pa.ipc.new_stream, pa.ipc.new_file):
        arrow(tmp_path / "a.arrow", new, {"text": ["a", "b"]})
        data = bytearray((tmp_path / "a.arrow").read_bytes())
        data[min(place, len(data) - 1) if new is pa.ipc.new_stream else -1 - min(place, len(data) - 1)] = 255
        (tmp_path / "a.arrow").write_bytes(data)
        with suppress(DataError):  # and no other
            load_texts(DataSpec(path=str(tmp_path / "a.arrow")))


def test_a_table_of_samples_is_no_bomb_either(tmp_path: Path) -> None:
    table = pa.table({"sample_id": shared(), "text": shared()})
    pq.write_table(table, tmp_path / "samples.parquet", dictionary_pagesize_limit=2**30, store_schema=False)
    with pytest.raises(ResultError, match="decompression bomb"):
        SampleColumns(tmp_path / "samples.parquet")
