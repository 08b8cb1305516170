"""The content of weight files: which files a model has, what its tensors hash to, and in which precision they are."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError

__all__ = [
    *("PICKLED", "FileStates", "StoredWeights", "file_states", "fingerprint", "read_header", "read_tensors"),
    *("refuse_replaced", "weight_files"),
]

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_STATED = "transformers_weights"
"""Key of config.json that names another weight file than the usual ones."""

PICKLED = (
    "which can run code when loaded; convert them to safetensors "
    "(load in a sandbox and save_pretrained(..., safe_serialization=True))"
)
"""Why a weight file of another kind is not loaded, and what to do."""

_MOST_HEADER_BYTES = 100_000_000
"""The limit of the library safetensors."""

FileStates = Mapping[Path, tuple[int, int, int]]
"""Size, time of the last change in ns, and inode of files: all that can be told of them without reading them again."""

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """What a checkpoint's tensors are, however they are spread over files, and the state of these before hashing."""

    sha256: str
    dtype: str
    states: FileStates = field(default_factory=dict, compare=False)


def weight_files(spec: ModelSpec, folder: Path) -> list[Path]:
    """List the safetensors files of a model that transformers loads: one, or those that an index names.

    The first of: what config.json names as ``transformers_weights``, model.safetensors, its index.

    Raises
    ------
    ModelError
        If there are none, only pickled ones, or a name leads out of the folder.
    """
    stated = _stated_weights(spec, folder)
    usual = _SINGLE if (folder / _SINGLE).is_file() or not (folder / _INDEX).is_file() else _INDEX
    first = folder / (usual if stated is None else stated)
    files = _indexed(spec, first) if first.name.endswith(".index.json") and first.is_file() else [first]
    absent = [file.name for file in files if not file.is_file()]
    if not absent:
        return files
    if absent == [_SINGLE] and stated is None and (any(folder.glob("*.bin")) or any(folder.glob("*.pt"))):
        raise ModelError(f"{spec}: only pickled weights here, {PICKLED}")
    raise ModelError(f"{spec}: missing weight files: {', '.join(map(ascii, absent[:3]))}")


def _stated_weights(spec: ModelSpec, folder: Path) -> str | None:
    """Read which file a configuration names instead of the usual ones; None if none is named."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        parts = [part for part in config.values() if isinstance(part, dict)]
        stated = config.get(_STATED)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{spec}: the configuration cannot be read: config.json is not a JSON object") from error
    if any(_STATED in part for part in parts) or (stated is not None and "text_config" in config):
        raise ModelError(
            f"{spec}: config.json has several parts and names {_STATED}: of which part is not clear; remove the entry, "
            f"and call the file {_SINGLE}"
        )
    return None if stated is None else _plain_name(spec, stated, (".safetensors", ".safetensors.index.json"), _STATED)


def _indexed(spec: ModelSpec, index: Path) -> list[Path]:
    """List the files that an index names, in the order in which they are loaded."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{spec}: {index.name} is not an index of weight files") from error
    return [
        index.parent / name for name in sorted(_plain_name(spec, name, (".safetensors",), index.name) for name in names)
    ]


def _plain_name(spec: ModelSpec, name: object, endings: tuple[str, ...], by: str) -> str:
    """Return the name of a weight file if it is one beside the configuration, and no pickle."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name:
        raise ModelError(
            f"{spec}: {by} names {str(name)[:80]!a} as a weight file; it must be the plain name of a safetensors file "
            "beside config.json: move the file there"
        )
    if not name.endswith(endings):
        raise ModelError(f"{spec}: {by} names {name[:80]!a} as a weight file: not safetensors but pickled, {PICKLED}")
    return name


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: dtype, shape and place of each tensor by name."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _MOST_HEADER_BYTES:
            raise ValueError("the header is too large")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return header


def read_tensors(spec: ModelSpec, files: Iterable[Path]) -> StoredWeights:
    """Hash every tensor by name, and find the precision that most of the weights are stored in.

    Of two tensors of one name the later is loaded, so both count, in their order.

    Raises
    ------
    ModelError
        If a file is not what its name says.
    """
    files = list(files)
    digests, states = list[tuple[str, str]](), file_states(files)
    n_bytes: dict[str, int] = {}
    for path in files:
        if path.suffix != ".safetensors":
            digests.append((path.name, fingerprint([path])))
            continue
        try:
            header = read_header(path)
            with open(path, "rb") as file:
                data_start = 8 + int.from_bytes(file.read(8), "little")
                for name, tensor in header.items():
                    start, stop = tensor["data_offsets"]
                    n_bytes[tensor["dtype"]] = n_bytes.get(tensor["dtype"], 0) + stop - start
                    digest = hashlib.sha256(f"{tensor['dtype']} {tensor['shape']}".encode())
                    file.seek(data_start + start)
                    while start < stop and (block := file.read(min(2**24, stop - start))):
                        digest.update(block)
                        start += len(block)
                    digests.append((name, digest.hexdigest()))
        except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError, RecursionError) as error:
            raise ModelError(f"{spec}: the weights cannot be loaded: {path.name} is not a safetensors file") from error
    total = hashlib.sha256(json.dumps(sorted(digests, key=itemgetter(0))).encode())
    stored = max(n_bytes, key=lambda kind: n_bytes[kind], default="F32")
    return StoredWeights(total.hexdigest(), _DTYPES.get(stored, stored), states)


def file_states(files: Iterable[Path]) -> FileStates:
    """Note what tells whether a file was replaced or changed; links are followed, and what is gone has no state."""
    return {path: (-1, -1, -1) if (found := _stat(path)) is None else found for path in files}


def refuse_replaced(spec: ModelSpec, before: FileStates) -> None:
    """Refuse a model of which a file is not the one that was hashed: what was loaded may be another.

    Raises
    ------
    ModelError
        Naming the first such file.
    """
    for path, state in before.items():
        if _stat(path) != state:
            raise ModelError(
                f"{spec}: {path.name} was replaced or changed after it was hashed, so that what was loaded may be "
                f"another; leave the folder alone while it is audited, and run again ({path})"
            )


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def fingerprint(files: Iterable[Path]) -> str:
    """Hash the names and contents of files."""
    total = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
