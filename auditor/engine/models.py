"""Open a causal language model: its files, fingerprints and tokenizer first, its weights only when needed."""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import ModelSpec
from ..errors import ModelError
from .configs import context_window, count_parameters, first_line, load_config, load_tokenizer, rope_boundary

__all__ = ["ModelFiles", "choose_device", "count_adapter", "load_weights", "open_model"]

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model that can be loaded: everything about it that does not need its weights in memory."""

    spec: ModelSpec
    folder: Path
    config: Any
    tokenizer: Any
    weights_sha256: str
    config_sha256: str
    architecture: str
    n_parameters: int
    n_vocabulary: int
    stored_dtype: str
    context_window: int | None
    rope_boundary: int | None


def open_model(spec: ModelSpec, *, trust_remote_code: bool = False) -> ModelFiles:
    """Find a model's files, read its configuration and tokenizer, and fingerprint its weights.

    Parameters
    ----------
    spec : ModelSpec
        A local folder; anything else is taken as a hub id and fetched (naming it is asking for it; with
        ``HF_HUB_OFFLINE=1`` only what is already cached is used).

    Raises
    ------
    ModelError
        If the folder is no model, holds pickled weights only, or is not a causal language model.
    """
    folder = _resolve(spec, trust_remote_code=trust_remote_code)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{spec.path}: no config.json in this folder; give a Hugging Face model folder")
    weights = _weight_files(spec, folder)
    config = load_config(spec, folder, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(spec, folder, trust_remote_code=trust_remote_code)
    if spec.adapter is not None:
        weights += _adapter_files(spec.adapter)
    tensors = _read_tensors(spec, weights)
    architecture, n_parameters = count_parameters(spec, config, trust_remote_code=trust_remote_code)
    text_config = config.get_text_config()
    return ModelFiles(
        spec=spec,
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        weights_sha256=tensors.sha256,
        config_sha256=_fingerprint(
            [folder / "config.json", *(sorted(folder.glob("*.py")) if trust_remote_code else ())]
        ),
        architecture=architecture,
        n_parameters=n_parameters,
        n_vocabulary=int(text_config.vocab_size),
        stored_dtype=tensors.dtype,
        context_window=context_window(text_config),
        rope_boundary=rope_boundary(text_config),
    )


def load_weights(files: ModelFiles, *, dtype: str, device: str, trust_remote_code: bool = False) -> tuple[Any, str]:
    """Load the weights for scoring: safetensors only, evaluation mode, on the device.

    Returns
    -------
    model : transformers.PreTrainedModel
    note : str
        What of the checkpoint the architecture has no place for; empty if all of it was used.

    Raises
    ------
    ModelError
        If the weights do not fit the architecture (missing tensors would be random) or do not fit in memory.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            files.folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
        if files.spec.adapter is not None:
            model = _put_adapter(model, files.spec.adapter)
        model = model.to(device)
    except ModelError:
        raise
    except Exception as error:  # damaged files, foreign tensors, no memory: each library has its own kind
        raise ModelError(f"{files.spec}: the weights cannot be loaded: {first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{files.spec}: {len(missing)} tensors are missing from the checkpoint and would be random "
            f"({', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}); is it a complete causal LM?"
        )
    unused = sorted(report["unexpected_keys"])
    note = (
        f"{files.spec}: {len(unused)} tensors of the checkpoint have no place in the architecture and were not used "
        f"({', '.join(ascii(name) for name in unused[:3])}{' ...' if len(unused) > 3 else ''})"
    )
    return model.eval().requires_grad_(False), note if unused else ""


def choose_device(device: str) -> str:
    """Turn ``auto`` into the best device there is, and refuse one that is not there.

    Raises
    ------
    ModelError
        If the device does not exist.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"device {device!r} cannot be used: {first_line(error)}; try --device auto") from error
    return device


def choose_dtype(dtype: str, *, device: str, stored: str) -> str:
    """Turn ``auto`` into float32 on a CPU (half precision is slower there) and the stored precision elsewhere."""
    if dtype != "auto":
        return dtype
    return "float32" if device == "cpu" or stored not in ("float16", "bfloat16") else stored


def _resolve(spec: ModelSpec, *, trust_remote_code: bool) -> Path:
    """Return the local folder of a model, fetching a hub id without its pickles and code."""
    folder = Path(spec.path)
    if folder.is_dir():
        if spec.revision is not None:
            raise ModelError(f"{spec}: a revision needs a hub id, but {spec.path} is a local folder")
        return folder
    if folder.exists() or spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1:
        raise ModelError(f"{spec.path}: no such model folder; give a folder or a hub id")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(
            snapshot_download(
                spec.path,
                revision=spec.revision,
                allow_patterns=[*patterns, "*.py"] if trust_remote_code else patterns,
            )
        )
    except Exception as error:  # the hub client raises many kinds; all mean: it is not to be had
        raise ModelError(
            f"{spec}: neither a local folder nor a model that the hub gives: {first_line(error)}"
        ) from error


def _weight_files(spec: ModelSpec, folder: Path) -> list[Path]:
    """List the safetensors files of a model: one, or those that its index names."""
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


def _adapter_files(adapter: str) -> list[Path]:
    """List the files of a PEFT adapter."""
    files = [Path(adapter) / "adapter_config.json", Path(adapter) / "adapter_model.safetensors"]
    for file in files:
        if not file.is_file():
            raise ModelError(f"adapter {adapter}: no {file.name} in this folder")
    return files


def count_adapter(adapter: str) -> int:
    """Count the parameters of a PEFT adapter from the header of its file.

    Raises
    ------
    ModelError
        If the folder holds no adapter.
    """
    file = _adapter_files(adapter)[1]
    try:
        shapes = [tensor["shape"] for tensor in _header(file).values()]
        if not all(isinstance(side, int) and side >= 0 for shape in shapes for side in shape):
            raise ValueError("a side of a tensor is not a count")
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError, RecursionError) as error:
        raise ModelError(f"adapter {adapter}: {file.name} is not a safetensors file") from error
    return sum(math.prod(shape) for shape in shapes)


def _put_adapter(model: Any, adapter: str) -> Any:
    """Put a PEFT adapter on a loaded model, all of it: peft leaves out silently what does not fit."""
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise ModelError("--adapter needs the package peft: pip install peft") from error
    adapted = PeftModel.from_pretrained(model, adapter)
    stored, loaded = set(_header(_adapter_files(adapter)[1])), set(get_peft_model_state_dict(adapted))
    if stored != loaded:
        raise ModelError(
            f"adapter {adapter}: {len(stored ^ loaded)} of its tensors do not fit this model "
            f"(e.g. {min(stored ^ loaded)!a}); is the target the adapter's base?"
        )
    return adapted


@dataclass(frozen=True, slots=True)
class _Tensors:
    """What a checkpoint's tensors are, however they are spread over files."""

    sha256: str
    dtype: str


def _header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: dtype, shape and place of each tensor by name."""
    with open(path, "rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return header


def _read_tensors(spec: ModelSpec, files: Iterable[Path]) -> _Tensors:
    """Hash every tensor by name, and find the precision that most of the weights are stored in."""
    digests: dict[str, str] = {}
    n_bytes: dict[str, int] = {}
    for path in files:
        if path.suffix != ".safetensors":
            digests[path.name] = _fingerprint([path])
            continue
        try:
            header = _header(path)
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
    return _Tensors(total.hexdigest(), _DTYPES.get(stored, stored))


def _fingerprint(files: Iterable[Path]) -> str:
    """Hash the names and contents of files."""
    total = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
