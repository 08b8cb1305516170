"""Texts out of columns that Arrow holds: .parquet and .arrow files, saved datasets, the hub."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import DataSpec
from ..documents.unpacked import decoded_bytes, dictionary_columns, refuse_arrow_bomb, refuse_bomb, refuse_parquet_bomb
from ..errors import DataError
from .quoting import listing, plain, quoted, reason
from .rows import Columns, Row, chosen_columns, column_rows

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

__all__ = [
    "batch_rows",
    "dataset_rows",
    "is_hub_id",
    "is_saved_dataset",
    "read_arrow",
    "read_hub",
    "read_parquet",
    "read_saved_dataset",
]

_BATCH_ROWS = 1000
_HUB_ID = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[\w.+-]+))?")


def read_parquet(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read a Parquet file in batches."""
    import pyarrow.parquet as pq

    where, size = plain(path), path.stat().st_size
    with path.open("rb") as file, _refusals(f"{where} as Parquet"):
        metadata = pq.read_metadata(file)
        wanted = chosen_columns(metadata.schema.to_arrow_schema().names, columns, where, "schema")
        refuse_parquet_bomb(metadata, wanted, size)
        with pq.ParquetFile(file, read_dictionary=dictionary_columns(metadata, wanted)) as table:
            yield from batch_rows(table.iter_batches(_BATCH_ROWS, columns=wanted), columns, where, size)


def read_arrow(path: Path, columns: Columns, notes: list[str]) -> Iterator[Row]:
    """Read the file form or the stream form of Arrow; ``datasets`` keeps its caches in the latter."""
    import pyarrow as pa

    where, size = plain(path), path.stat().st_size
    with path.open("rb") as file, _refusals(f"{where} as Arrow"):
        _refuse_bomb(path)
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        with pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file) as table:
            wanted = chosen_columns(table.schema.names, columns, where, "schema")
            batches = map(table.get_batch, range(table.num_record_batches)) if is_file else table
            yield from batch_rows((batch.select(wanted) for batch in batches), columns, where, size)


def is_saved_dataset(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote this folder."""
    one = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def read_saved_dataset(spec: DataSpec, columns: Columns) -> Iterator[Row]:
    """Read a saved ``Dataset`` whole, or one split of a saved ``DatasetDict``."""
    import datasets

    where = plain(spec.path)
    with _refusals(f"{where} as a saved dataset"):
        for file in Path(spec.path).rglob("*.arrow"):
            _refuse_bomb(file)
    try:
        saved = datasets.load_from_disk(spec.path)
    except Exception as error:  # whatever a damaged folder makes it raise
        raise DataError(f"cannot read {where} as a saved dataset: {reason(error)}") from error
    if isinstance(saved, datasets.DatasetDict):
        if spec.split not in saved:
            splits = listing([plain(split) for split in saved], limit=20)
            raise DataError(
                f"{where} has no split {quoted(spec.split)}; splits there are: {splits}; choose with --split"
            )
        saved = saved[spec.split]
    yield from dataset_rows(saved, columns, plain(spec.path))


def is_hub_id(path: str) -> bool:
    """Whether a path has the form of ``name`` or ``name:config``."""
    return _HUB_ID.fullmatch(path) is not None


def read_hub(spec: DataSpec, columns: Columns, missing: str) -> Iterator[Row]:
    """Read a split of ``name`` or ``name:config``; ``missing`` says that this is no local path either."""
    import datasets

    hub_id = _HUB_ID.fullmatch(spec.path)
    name, config = (hub_id["name"], hub_id["config"]) if hub_id else (spec.path, None)
    try:
        dataset = datasets.load_dataset(name, config, split=spec.split)
    except Exception as error:  # whatever the hub, the network or the data make it raise
        tried = f"configuration {quoted(config)}, " if config else ""
        raise DataError(
            f"{missing}, and as the `datasets` id {quoted(name)} ({tried}split {quoted(spec.split)}) "
            f"it cannot be loaded: {type(error).__name__}: {reason(error)}"
        ) from error
    yield from dataset_rows(dataset, columns, plain(spec.path))


def dataset_rows(dataset: "datasets.Dataset", columns: Columns, where: str) -> Iterator[Row]:
    """Read a data set in batches, whatever its format; it is never copied whole."""
    wanted = chosen_columns(dataset.column_names, columns, where, "schema")
    with _refusals(f"{where} as a dataset"):
        tables = dataset.select_columns(wanted).with_format("arrow").iter(_BATCH_ROWS)
        size = sum(Path(file["filename"]).stat().st_size for file in dataset.cache_files) or dataset.data.nbytes
        yield from batch_rows(tables, columns, where, size)


def batch_rows(
    batches: Iterable["pa.RecordBatch | pa.Table"], columns: Columns, where: str, n_packed: int
) -> Iterator[Row]:
    """Take the rows out of batches, a few at a time, as long as they are not far more than the bytes they lie in."""
    start = n_bytes = 0
    for whole in batches:
        whole.validate(full=True)  # of UTF-8 too, and of offsets that would read outside the buffers
        for first in range(0, whole.num_rows, _BATCH_ROWS):
            batch = whole.slice(first, _BATCH_ROWS)
            n_bytes += sum(map(decoded_bytes, batch.columns))
            refuse_bomb(n_bytes, n_packed)
            found = {name: batch.column(name).to_pylist() for name in batch.schema.names}
            yield from column_rows(found, columns, where, start=start)
            start += batch.num_rows


def _refuse_bomb(path: Path) -> None:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        refuse_arrow_bomb(file.read_buffer())


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Say what could not be read where pyarrow finds it corrupt."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, OSError, MemoryError) as error:  # a flipped bit may ask for exabytes
        raise DataError(f"cannot read {what}: {reason(error)}") from error
