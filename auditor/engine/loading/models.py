"""Causal language models as they are opened: files, fingerprints and tokenizer first, weights only when needed."""

import copy
import hashlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...config import DEVICE_MAPS, ModelSpec
from ...errors import ModelError
from ...in_memory import HeldModel
from .adapters import adapter_files, put_adapter, refuse_resized
from .configs import (
    build_empty,
    context_window,
    first_line,
    load_config,
    located,
    refuse_code_elsewhere,
    rope_boundary,
)
from .gguf_files import GgufFacts, check_rotary, find_gguf, read_gguf
from .quantization import quantization_of, require, require_quantizer, stored_precision
from .recorded import read_record
from .tokenizer_files import TOKENIZER_OPTIONS, find_tokenizer, load_tokenizer, refuse_made_up
from .weights import FileStates, StoredWeights, file_states, fingerprint, read_tensors, refuse_replaced, weight_files

__all__ = [
    "ModelFiles",
    "choose_device",
    "choose_dtype",
    "config_files",
    "fingerprint_config",
    "input_device",
    "load_weights",
    "open_model",
    "read_folder",
    "resolve_source",
]


_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model that can be loaded: everything about it that does not need its weights in memory.

    ``source`` is its folder or its GGUF file, ``tokenizer_source`` that of its tokenizer: its own, its adapter's, or
    another that was named. ``stored_dtype`` is the precision of its weights on disk; ``compute_dtype`` is the one they
    are meant to be used in, which differs for quantised weights. ``states`` tell whether a file was replaced since it
    was hashed. ``held`` is the model itself if it is in memory already; source and tokenizer_source are then words, and
    no places.
    """

    spec: ModelSpec
    source: Path
    config: Any
    tokenizer: Any
    tokenizer_source: Path
    weights_sha256: str
    config_sha256: str
    architecture: str
    n_parameters: int
    n_vocabulary: int
    stored_dtype: str
    compute_dtype: str
    context_window: int | None
    rope_boundary: int | None
    quantization: Mapping[str, Any] | None = None
    gguf: GgufFacts | None = None
    held: HeldModel | None = None
    states: FileStates = field(default_factory=dict)

    @property
    def depends_on_batch(self) -> bool:
        """Whether a text's logits change with the texts beside it, so that each must be scored alone.

        LLM.int8 of bitsandbytes keeps a column of the activations in half precision if any row of the batch is large.
        """
        stated = self.quantization or {}
        return bool(stated.get("load_in_8bit")) and float(stated.get("llm_int8_threshold", 6.0)) > 0

    @property
    def tokenizer_of(self) -> Literal["model", "adapter", "option"]:
        """Whose tokenizer reads the texts."""
        if self.spec.tokenizer is not None:
            return "option"
        return "model" if self.tokenizer_source == self.source else "adapter"

    @property
    def adds_bos(self) -> bool | None:
        """Whether a GGUF file says that BOS stands before a text; None if nothing says so for this tokenizer."""
        return self.gguf.adds_bos if self.gguf and self.tokenizer_source == self.source else None


def open_model(spec: ModelSpec, *, trust_remote_code: bool = False, fetch: bool = True) -> ModelFiles:
    """Find a model's files, read its configuration and tokenizer, and fingerprint its weights.

    Parameters
    ----------
    spec : ModelSpec
        A local folder, a GGUF file, or the folder of a PEFT adapter, which is put on the base that it names; anything
        else is taken as a hub id and fetched (naming it is asking for it; with ``HF_HUB_OFFLINE=1`` only what is
        already cached is used).
    fetch : bool
        Whether a hub id may be asked for; else only what lies here is opened.

    Raises
    ------
    ModelError
        If the folder is no model, holds pickled weights only, or is not a causal language model; if it has no
        tokenizer; if it needs a package that is not installed, or code of its own and ``trust_remote_code`` is not
        given.
    """
    spec = spec.with_base()
    source = resolve_source(spec, trust_remote_code=trust_remote_code, fetch=fetch)
    file = find_gguf(spec, source)
    source = file or source
    states = file_states(config_files(source, trust_remote_code=trust_remote_code))
    gguf = None if file is None else read_gguf(spec, file)
    stored = read_record(source) if gguf is None else _read_gguf(spec, source, gguf)
    stored = stored or read_folder(spec, source, trust_remote_code=trust_remote_code)
    config = load_config(spec, source, trust_remote_code=trust_remote_code)
    text_config = config.get_text_config()
    if gguf is not None:
        check_rotary(spec, gguf, text_config)
    if quantization := quantization_of(config):
        require_quantizer(spec, quantization)
    empty = build_empty(spec, config, trust_remote_code=trust_remote_code)
    if spec.adapter is not None:
        refuse_resized(empty, spec)
    place = find_tokenizer(spec, source, trust_remote_code=trust_remote_code, fetch=fetch)
    tokenizer = load_tokenizer(
        spec, place, config=config, trust_remote_code=trust_remote_code, way_out=TOKENIZER_OPTIONS
    )
    refuse_made_up(tokenizer, place, n_vocabulary=int(text_config.vocab_size))
    return ModelFiles(
        spec=spec,
        source=source,
        config=config,
        tokenizer=tokenizer,
        tokenizer_source=place,
        weights_sha256=stored.sha256,
        config_sha256=stored.sha256 if gguf else fingerprint_config(source, trust_remote_code=trust_remote_code),
        architecture=type(empty).__name__,
        n_parameters=sum(parameter.numel() for parameter in empty.parameters()),
        n_vocabulary=int(text_config.vocab_size),
        stored_dtype=stored_precision(quantization, stored.dtype) if quantization else stored.dtype,
        compute_dtype=_stated_dtype(config) if quantization else stored.dtype,
        context_window=context_window(text_config),
        rope_boundary=rope_boundary(text_config),
        quantization=quantization,
        gguf=gguf,
        states={**states, **stored.states},
    )


def load_weights(
    files: ModelFiles, *, dtype: str, device: str, device_map: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, str]:
    """Load the weights for scoring: safetensors or GGUF only, evaluation mode, on the device.

    Parameters
    ----------
    dtype : str
        Precision of the computation, and of all weights that are not quantised.
    device : str
        Where the whole model goes; not used with a ``device_map``.
    device_map : {"auto", "balanced", "sequential"}, optional
        Spread the model over all devices, and over memory and disk if it does not fit; :func:`input_device` then says
        where its inputs go.

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
    if files.held is not None:
        return files.held.model, ""
    if device_map is not None:
        _check_device_map(files.spec, device_map)
    offload = Path(tempfile.mkdtemp(prefix="auditor-offload-")) if device_map else None
    try:
        model, report = _load(files, dtype, device, device_map, offload, trust_remote_code)
    except BaseException as error:  # damaged files, foreign tensors, no memory: each library has its own kind
        if offload is not None:
            shutil.rmtree(offload, ignore_errors=True)
        if isinstance(error, ModelError) or not isinstance(error, Exception):
            raise
        raise ModelError(f"{files.spec}: the weights cannot be loaded: {_why(error)}") from error
    if offload is not None:
        weakref.finalize(model, shutil.rmtree, offload, ignore_errors=True)
    refuse_replaced(files.spec, files.states)
    _refuse_missing(files.spec, report["missing_keys"])
    if files.quantization and str(model.dtype) != f"torch.{dtype}":
        raise ModelError(
            f"{files.spec}: asked for {dtype}, but {files.quantization['quant_method']} computes in "
            f"{str(model.dtype).removeprefix('torch.')} here; give that as --dtype"
        )
    return model.eval().requires_grad_(False), _note_unused(files, sorted(report["unexpected_keys"]))


def _why(error: Exception) -> str:
    """Say in one line why weights cannot be loaded; transformers' own advice, to keep random tensors, is none."""
    if "ignore_mismatched_sizes" in str(error) or "size mismatch" in str(error):
        return "tensors have another shape than config.json says; give the config.json that they were saved with"
    return first_line(error)


def input_device(model: Any) -> Any:
    """Find the device on which a model takes its inputs, wherever its parts are.

    The weights of an offloaded part are on the ``meta`` device and say nothing; its hook knows where it runs.

    Returns
    -------
    torch.device
    """
    import torch

    embeddings = model.get_input_embeddings()
    hooked = [module for module in embeddings.modules() if hasattr(module, "_hf_hook")]
    place = getattr(hooked[0]._hf_hook, "execution_device", None) if hooked else None
    if place is None:
        place = next(embeddings.parameters()).device
    return torch.device(place)


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
    if not _DEVICE.fullmatch(device):
        raise ModelError(f"device {device!r} cannot be used: it is none of auto, cpu, cuda, cuda:N and mps")
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


def resolve_source(spec: ModelSpec, *, trust_remote_code: bool, fetch: bool = True) -> Path:
    """Return the local folder or GGUF file of a model, fetching a hub id without its pickles and code, if it may."""
    path = Path(spec.path)
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        if spec.revision is not None:
            raise ModelError(f"{spec}: a revision needs a hub id, but {spec.path} is a local {_kind(path)}")
        return path
    hint = (
        f"; it is the base that {spec.adapter} is for: give it as target, and that as adapter" if spec.adapter else ""
    )
    if path.exists() or spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1 or path.suffix == ".gguf":
        if path.is_file():
            raise ModelError(f"{spec.path}: a file is no model, unless it is a .gguf; name its folder, {path.parent}")
        raise ModelError(f"{spec.path}: no such model folder or GGUF file; give one, or a hub id{hint}")
    if not fetch:
        raise ModelError(f"{spec}: not a model folder or GGUF file here, and nothing is fetched")
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
            f"{spec}: neither a local folder nor a model that the hub gives: {first_line(error)}{hint}"
        ) from error


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file"


def read_folder(spec: ModelSpec, folder: Path, *, trust_remote_code: bool = False) -> StoredWeights:
    """Fingerprint the safetensors of a model folder, with those of its adapter."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{spec.path}: no config.json in this folder; give a Hugging Face model folder")
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{spec.path}: holds a model and an adapter, and which of them is meant is not clear; move "
            "adapter_config.json and adapter_model.safetensors to a folder of their own and give that as --adapter"
        )
    refuse_code_elsewhere(spec, folder, trust_remote_code=trust_remote_code)
    weights = weight_files(spec, folder)
    return read_tensors(spec, [*weights, *(adapter_files(spec.adapter) if spec.adapter else ())])


def _read_gguf(spec: ModelSpec, path: Path, facts: GgufFacts) -> StoredWeights:
    """Fingerprint a GGUF file, with the tensors of an adapter."""
    if (path.parent / "adapter_config.json").exists():  # transformers would put that adapter on, unasked
        raise ModelError(f"{spec.path}: a GGUF file beside an adapter; move {path.name} to a folder of its own")
    states = file_states([path])
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if spec.adapter:
        adapter = read_tensors(spec, adapter_files(spec.adapter))
        digest, states = hashlib.sha256((digest + adapter.sha256).encode()).hexdigest(), {**states, **adapter.states}
    return StoredWeights(digest, facts.dtype, states)


def fingerprint_config(folder: Path, *, trust_remote_code: bool) -> str:
    """Hash what decides, besides the weights, what the model computes."""
    return fingerprint(config_files(folder, trust_remote_code=trust_remote_code))


def config_files(source: Path, *, trust_remote_code: bool) -> list[Path]:
    """List what decides, besides the weights, what the model in a folder computes; of a GGUF file that is itself."""
    if source.is_file():
        return [source]
    return [source / "config.json", *(sorted(source.glob("*.py")) if trust_remote_code else ())]


def _stated_dtype(config: Any) -> str:
    """Name the precision that a configuration asks for, for weights that do not say it themselves."""
    dtype = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None) or "float32"
    return str(dtype).removeprefix("torch.")


def _check_device_map(spec: ModelSpec, device_map: str) -> None:
    """Refuse a device map that there is not, and one without the package that makes it."""
    if device_map not in DEVICE_MAPS:
        raise ModelError(f"device-map must be one of {', '.join(DEVICE_MAPS)}, got {device_map!r}")
    require(spec, "a device map", ("accelerate",))


def _load(
    files: ModelFiles, dtype: str, device: str, device_map: str | None, offload: Path | None, trust_remote_code: bool
) -> tuple[Any, Mapping[str, Any]]:
    """Load a model and its adapter, and put it where it runs; quantised weights are placed as they are read."""
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = located(files.source)
    options |= _gguf_options() if files.gguf else {"use_safetensors": True}
    if files.quantization and files.quantization["quant_method"] == "bitsandbytes":
        options["config"] = _computing_in(files.config, dtype)
    if device_map is not None:
        options |= {"device_map": device_map, "offload_folder": str(offload)}
    elif files.quantization or files.gguf:
        options["device_map"] = {"": device}
    model, report = AutoModelForCausalLM.from_pretrained(
        **options, dtype=getattr(torch, dtype), trust_remote_code=trust_remote_code, output_loading_info=True
    )
    if files.spec.adapter is not None:
        model = put_adapter(model, files.spec.adapter, device_map=options.get("device_map"))
    return model if "device_map" in options else model.to(device), report


def _gguf_options() -> dict[str, Any]:
    """Ask for dense weights: with the package ``kernels`` transformers would keep them packed, and round otherwise."""
    import transformers

    packed = getattr(transformers, "GgufConfig", None)  # older versions know dense weights only
    return {} if packed is None else {"quantization_config": packed(dequantize=True)}


def _computing_in(config: Any, dtype: str) -> Any:
    """Copy the configuration of a bitsandbytes checkpoint, whose 4-bit layers else compute in what it names."""
    changed = copy.deepcopy(config)
    if isinstance(stated := changed.quantization_config, dict):
        stated["bnb_4bit_compute_dtype"] = dtype
    return changed


def _refuse_missing(spec: ModelSpec, names: Any) -> None:
    """Refuse a checkpoint without some of the model's tensors."""
    if missing := sorted(names):
        raise ModelError(
            f"{spec}: {len(missing)} tensors are missing from the checkpoint and would be random "
            f"({', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}); is it a complete causal LM?"
        )


def _note_unused(files: ModelFiles, unused: list[str]) -> str:
    """Say what of a checkpoint was not used; of a GGUF file transformers tells no names."""
    if files.gguf and (extra := files.gguf.n_weights - files.n_parameters) > 0:
        return f"{files.spec}: {extra:,} weights of the file have no place in the architecture and were not used"
    if not unused:
        return ""
    return (
        f"{files.spec}: {len(unused)} tensors of the checkpoint have no place in the architecture and were not used "
        f"({', '.join(ascii(name) for name in unused[:3])}{' ...' if len(unused) > 3 else ''})"
    )
