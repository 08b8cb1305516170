"""The content of weight files: which files a model has, what its tensors hash to, and in which precision they are."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError

__all__ = ["StoredWeights", "fingerprint", "read_header", "read_tensors", "weight_files"]

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """What a checkpoint's tensors are, however they are spread over files."""

    sha256: str
    dtype: str


def weight_files(spec: ModelSpec, folder: Path) -> list[Path]:
    """List the safetensors files of a model: one, or those that its index names.

    Raises
    ------
    ModelError
        If there are none, or only pickled ones.
    """
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]  # the one transformers takes if there are both
    if index.is_file() and not files[0].is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            files = [folder / Path(name).name for name in names]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{spec}: {index.name} is not an index of weight files") from error
    absent = [file.name for file in files if not file.is_file()]
    if not absent:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise ModelError(
            f"{spec}: only pickled weights here, which can run code when loaded; convert them to safetensors "
            "(load in a sandbox and save_pretrained(..., safe_serialization=True))"
        )
    raise ModelError(f"{spec}: missing weight files: {', '.join(absent[:3])}")


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: dtype, shape and place of each tensor by name."""
    with open(path, "rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return header


def read_tensors(spec: ModelSpec, files: Iterable[Path]) -> StoredWeights:
    """Hash every tensor by name, and find the precision that most of the weights are stored in.

    Raises
    ------
    ModelError
        If a file is not what its name says.
    """
    digests: dict[str, str] = {}
    n_bytes: dict[str, int] = {}
    for path in files:
        if path.suffix != ".safetensors":
            digests[path.name] = fingerprint([path])
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
                    digests[name] = digest.hexdigest()
        except (ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            raise ModelError(f"{spec}: the weights cannot be loaded: {path.name} is not a safetensors file") from error
    total = hashlib.sha256(json.dumps(sorted(digests.items())).encode())
    stored = max(n_bytes, key=lambda kind: n_bytes[kind], default="F32")
    return StoredWeights(total.hexdigest(), _DTYPES.get(stored, stored))


def fingerprint(files: Iterable[Path]) -> str:
    """Hash the names and contents of files."""
    total = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
