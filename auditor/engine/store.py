"""The store of token statistics: append-only, so that a score is computed once and survives being killed.

A folder a pass (one model, one precision, one prefix rule), a file a process that ever wrote to it, a record
batch a forward batch, a row a text. Beside each file lies a ledger: how long the file was after each batch, and
the checksum of what that batch added. Only bytes that agree with the ledger are ever decoded, so a torn or
damaged file costs the batches from the damage on, and nothing else. Two processes never write to the same file.
The files are Arrow IPC streams, readable by pyarrow and ``datasets``.

With the model at hand, token statistics give the texts away: the folder is as confidential as the texts, is
made readable for its owner only, and says so.
"""

import errno
import json
import os
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..documents.files import document, folder_for_owner, for_owner, whole_file
from ..documents.unpacked import refuse_arrow_bomb
from ..errors import ResultError
from .forward import COUNTS, STATISTICS, SequenceScores

__all__ = ["SCORING_VERSION", "PassKey", "ScoreStore"]

SCORING_VERSION = 4
"""Raised whenever scoring produces other numbers or rows; older scores are then not used.

Version 4 added ``logprob_top40`` and ``tied``, which extraction is read from.
"""

_SCHEMA = pa.schema(
    [("key", pa.string())] + [(name, pa.list_(pa.int32() if name in COUNTS else pa.float32())) for name in STATISTICS]
)
_WARNING = """This folder holds what models say of every token of the audited texts, so that a run can continue and a
second run needs no model. Together with the model, the texts can be reconstructed from it: keep it as
confidential as the texts, and delete it when the audit is done.
"""


@document
class PassKey:
    """What a stored score depends on besides its text. Anything that changes a number belongs here."""

    weights_sha256: str
    config_sha256: str
    tokenizer_sha256: str
    prefix_token_ids: tuple[int, ...]
    dtype: str
    scoring_version: int = SCORING_VERSION

    @property
    def folder_name(self) -> str:
        """Short name of the pass: a hash of all fields."""
        import hashlib

        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]


class ScoreStore:
    """The stored scores of one pass. Use as a context manager to append; reading needs no opening.

    Parameters
    ----------
    root : Path
        The ``scores`` folder of an audit.
    key : PassKey
    """

    def __init__(self, root: Path, key: PassKey) -> None:
        self._folder = root / key.folder_name
        self._key = key
        self._files = ExitStack()
        self._stream: _CheckedFile | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        try:
            folder_for_owner(self._folder.parent)
            folder_for_owner(self._folder)
            if self._folder.is_symlink():
                raise OSError(errno.ELOOP, "it is a link, and links are not followed; remove it")
            if not os.path.lexists(self._folder.parent / "README.txt"):  # a folder of the user's may have its own
                _write_once(self._folder.parent / "README.txt", _WARNING)
            _write_once(self._folder / "pass.json", json.dumps(asdict(self._key), indent=1) + "\n")
        except OSError as error:
            raise ResultError(f"cannot write the score store {self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        try:
            with self._files:
                if self._writer is not None:
                    self._writer.close()
        except OSError as error:
            if kind is None:  # a full disk must not hide the error it caused
                raise self._unwritable(error) from error

    def has_older(self) -> bool:
        """Whether scores of an older version of the scoring lie beside these, which cannot be used."""
        older = (replace(self._key, scoring_version=version) for version in range(1, self._key.scoring_version))
        return any((self._folder.parent / key.folder_name).is_dir() for key in older)

    def append(self, scores: Mapping[str, SequenceScores]) -> None:
        """Write the texts of one batch durably, each under its key."""
        ends = _plain(np.cumsum([0, *(len(score.logprob) for score in scores.values())]), pa.int32())
        columns = [_texts(list(scores))]
        for name in STATISTICS:
            values = np.concatenate([getattr(score, name) for score in scores.values()])
            columns.append(pa.ListArray.from_arrays(ends, _plain(values, _SCHEMA.field(name).type.value_type)))
        try:
            stream = self._stream or self._open()
            self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            stream.settle()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ResultError:
        why = error.strerror or error
        return ResultError(
            f"cannot write the score store {self._folder}: {why}; what is in it is kept, run again to go on"
        )

    def _open(self) -> "_CheckedFile":
        """Start a file of our own."""
        self._stream = _CheckedFile(self._folder / f"{uuid.uuid4().hex}.arrow")
        self._files.callback(self._stream.shut)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._stream, mode="w"), _SCHEMA, options=options)
        _settle_folder(self._folder)
        return self._stream

    def keys(self) -> NDArray[np.bytes_]:
        """Return the key of every stored text, in no order."""
        columns = [batch.column("key").to_pylist() for batch in self._batches(["key"])]
        return np.array([key.encode() for column in columns for key in column], dtype="S")

    def rows(self) -> Iterator[tuple[bytes, SequenceScores]]:
        """Yield every stored text by its key, one record batch in memory at a time; a text may come twice."""
        for batch in self._batches():
            ends = [0, *np.cumsum(np.from_dlpack(batch.column(STATISTICS[0]).value_lengths())).tolist()]
            columns: list[Any] = [np.from_dlpack(batch.column(name).flatten()) for name in STATISTICS]
            for row, key in enumerate(batch.column("key").to_pylist()):
                here = slice(ends[row], ends[row + 1])
                yield key.encode(), SequenceScores(*(column[here] for column in columns))

    def _batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield every intact record batch, or some columns of it; what is missing is to be scored again."""
        for path in sorted(self._folder.glob("*.arrow")):
            if path.is_file() and path.with_suffix(".ledger").is_file():
                try:
                    yield from _decode(_intact_segments(path), columns)
                except (pa.ArrowException, ValueError, MemoryError) as error:  # its ledger vouches: somebody made this
                    raise ResultError(f"{path} holds no scores, though its ledger says so; remove both") from error
                except OSError as error:
                    raise ResultError(f"cannot read the score store: {path}: {error.strerror or error}") from error


class _CheckedFile:
    """A file for Arrow to write to, with the ledger of what was written and settled."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", opener=for_owner)  # noqa: SIM115
        with ExitStack() as unless_both:
            unless_both.callback(self._file.close)
            self._ledger = open(path.with_suffix(".ledger"), "x", encoding="ascii", opener=for_owner)  # noqa: SIM115
            unless_both.pop_all()
        self._size = self._crc = 0

    def write(self, data: Any) -> int:
        """Append bytes (Arrow calls this)."""
        block = bytes(data)
        self._file.write(block)
        self._size += len(block)
        self._crc = zlib.crc32(block, self._crc)
        return len(block)

    def flush(self) -> None:
        """Do nothing (Arrow calls this): :meth:`settle` decides what is durable."""

    def settle(self) -> None:
        """Make what was written durable, then vouch for it in the ledger."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._ledger.write(f"{self._size} {self._crc}\n")
        self._ledger.flush()
        os.fsync(self._ledger.fileno())
        self._crc = 0

    def shut(self) -> None:
        """Close both files."""
        with self._ledger, self._file:
            pass


def _plain(values: NDArray[Any], kind: Any) -> Any:
    """Return numbers as an Arrow array of a kind; ``pyarrow.array`` would import pandas for it."""
    content = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(content), [None, pa.py_buffer(content)])


def _texts(values: Sequence[str]) -> Any:
    """Return strings as an Arrow array, likewise."""
    content = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, content)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(b"".join(content)))


def _write_once(path: Path, text: str) -> None:
    """Write a file unless it says this already: a full disk empties nothing."""
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _settle_folder(folder: Path) -> None:
    """Make the names of new files durable, where the system can."""
    with suppress(OSError):
        folder_file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_file)
        finally:
            os.close(folder_file)


def _intact_segments(path: Path) -> Iterator[bytes]:
    """Yield what each append wrote, as long as the ledger vouches for it."""
    with open(path, "rb") as file:
        done = 0
        for line in path.with_suffix(".ledger").read_text(encoding="ascii", errors="replace").split("\n")[:-1]:
            numbers = line.split()
            if len(numbers) != 2 or not all(number.isdecimal() and len(number) < 19 for number in numbers):
                return
            size, crc = map(int, numbers)
            if not done < size <= os.fstat(file.fileno()).st_size:
                return
            segment = file.read(size - done)
            if len(segment) != size - done or zlib.crc32(segment) != crc:
                return
            done = size
            yield segment


def _decode(segments: Iterator[bytes], columns: Sequence[str] | None) -> Iterator[Any]:
    """Decode the record batches of each append, or some columns of them; the first append also holds the schema.

    A checksum tells what was written, not that it is sound: offsets that lead out of the buffers would crash.
    """
    expected = _SCHEMA if columns is None else pa.schema([_SCHEMA.field(name) for name in columns])
    fields = None if columns is None else [_SCHEMA.get_field_index(name) for name in columns]
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    schema = b""
    for segment in segments:
        data = pa.py_buffer(schema + segment)
        refuse_arrow_bomb(data)
        with pa.ipc.open_stream(pa.BufferReader(data), options=options) as reader:
            if not reader.schema.equals(expected):
                return  # not a file of ours
            yield from map(_sound, reader)
        schema = _SCHEMA.serialize().to_pybytes()


def _sound(batch: Any) -> Any:
    """Return a record batch whose every offset and value is one that this store could have written.

    Raises
    ------
    pyarrow.ArrowInvalid
        For any other.
    """
    batch.validate(full=True)
    if any(column.null_count for column in batch.columns):
        raise pa.ArrowInvalid("null")
    lists = [column for column in batch.columns if pa.types.is_list(column.type)]
    lengths = [column.value_lengths() for column in lists]
    for column, its_lengths in zip(lists, lengths, strict=True):
        values = column.flatten()
        if values.null_count or not np.isfinite(np.from_dlpack(values)).all():
            raise pa.ArrowInvalid("not finite")
        if not its_lengths.equals(lengths[0]):
            raise pa.ArrowInvalid("statistics of one text differ in length")
    return batch


def concatenate(parts: Sequence[SequenceScores]) -> SequenceScores:
    """Join the windows of one text."""
    if len(parts) == 1:
        return parts[0]
    return SequenceScores(*(np.concatenate([getattr(part, name) for part in parts]) for name in STATISTICS))
