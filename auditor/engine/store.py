"""A score is computed once: an append-only store of token statistics that survives being killed.

A folder a pass (one model, one precision, one prefix rule), a file a process that ever wrote to it, a record
batch a forward batch, a row a text. A killed process leaves at most a torn last batch, which is not read; a
checksum a row guards the rest. Two processes never write to the same file. The files are Arrow IPC streams,
readable by pyarrow and ``datasets``.
"""

import json
import os
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from ..errors import ResultError
from .forward import SequenceScores

__all__ = ["SCORING_VERSION", "PassKey", "ScoreStore"]

SCORING_VERSION = 1
"""Raised whenever the numbers that scoring produces change; older scores are then not used."""

_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("logprob", pa.large_list(pa.float32())),
        ("logprob_mean", pa.large_list(pa.float32())),
        ("logprob_variance", pa.large_list(pa.float32())),
        ("rank", pa.large_list(pa.int32())),
        ("crc32", pa.uint32()),
    ]
)
_COLUMNS = ("logprob", "logprob_mean", "logprob_variance", "rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassKey:
    """What a stored score depends on besides its text. Anything that changes a number belongs here."""

    weights_sha256: str
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
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            description = self._folder / "pass.json"
            if not description.exists():
                description.write_text(json.dumps(asdict(self._key), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ResultError(f"cannot write the score store {self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        if self._writer is None:
            return
        with suppress(OSError) if kind else nullcontext():  # a full disk must not hide the error it caused
            self._writer.close()
            self._file.close()

    def append(self, scores: Mapping[str, SequenceScores]) -> None:
        """Write the texts of one batch durably, each under its key."""
        columns: dict[str, Any] = {"key": list(scores)}
        for name in _COLUMNS:
            columns[name] = [getattr(score, name) for score in scores.values()]
        columns["crc32"] = [_checksum(key, score) for key, score in scores.items()]
        try:
            if self._writer is None:
                self._file = open(self._folder / f"{uuid.uuid4().hex}.arrow", "xb")  # noqa: SIM115
                options = pa.ipc.IpcWriteOptions(compression="zstd")
                self._writer = pa.ipc.new_stream(self._file, _SCHEMA, options=options)
            self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ResultError(
                f"cannot write the score store {self._folder}: {error}; what is in it is kept, run again to go on"
            ) from error

    def read(self) -> dict[str, SequenceScores]:
        """Read every intact row, by key; torn or damaged ones are left out, to be scored again."""
        found: dict[str, SequenceScores] = {}
        for path in sorted(self._folder.glob("*.arrow")):
            for batch in _intact_batches(path):
                for row in range(batch.num_rows):
                    key = batch.column("key")[row].as_py()
                    values = (batch.column(name)[row].values.to_numpy() for name in _COLUMNS)
                    score = SequenceScores(*values)
                    if _checksum(key, score) == batch.column("crc32")[row].as_py():
                        found.setdefault(key, score)
        return found


def _checksum(key: str, score: SequenceScores) -> int:
    """CRC-32 over the key and the bytes of a row."""
    value = zlib.crc32(key.encode())
    for name in _COLUMNS:
        value = zlib.crc32(np.ascontiguousarray(getattr(score, name)).tobytes(), value)
    return value


def _intact_batches(path: Path) -> Iterator[Any]:
    """Yield the record batches of a stream up to the end or the first torn one."""
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader
    except (pa.ArrowInvalid, OSError):
        return


def concatenate(parts: Sequence[SequenceScores]) -> SequenceScores:
    """Join the windows of one text."""
    if len(parts) == 1:
        return parts[0]
    return SequenceScores(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))
