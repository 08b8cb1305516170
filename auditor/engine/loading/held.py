"""Models in memory: checked and fingerprinted like those in files, scored where they are, handed back as they were."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelSpec
from ...errors import ConfigError, ModelError
from ...in_memory import HeldModel
from .adapters import refuse_virtual_tokens, trained_tensors, why_not_its_base, without_adapter
from .configs import context_window, rope_boundary
from .models import ModelFiles, input_device
from .quantization import quantization_of, stored_precision
from .tokenizer_files import refuse_made_up
from .weights import StoredWeights

__all__ = ["as_meant", "held_device", "is_adapted", "open_held", "refuse_unready", "same_random_states", "undisturbed"]

_KINDS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "float64": "F64", "int64": "I64", "int32": "I32",
          "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
          "float8_e5m2": "F8_E5M2"}  # fmt: skip
"""Names of the library safetensors for kinds of numbers."""


def is_adapted(model: Any) -> bool:
    """Whether a model carries a PEFT adapter."""
    return bool(getattr(model, "peft_config", None)) and hasattr(model, "disable_adapter")


def refuse_unready(model: Any, called: str, *, device: str = "auto", dtype: str = "auto") -> None:
    """Refuse an object that is no causal LM in evaluation mode, whole, on the device and in the precision asked for.

    Parameters
    ----------
    called : str
        Its name in messages: ``target``.

    Raises
    ------
    ConfigError, ModelError
        Saying what to do.
    """
    import torch
    from transformers import PreTrainedModel

    bare = model.get_base_model() if is_adapted(model) else model
    if not isinstance(bare, PreTrainedModel):
        wrapped = getattr(model, "module", None) or getattr(model, "_orig_mod", None)
        inner = "the model inside it (model.module, or model._orig_mod of torch.compile)" if wrapped else "one of these"
        raise ConfigError(
            f"{called}: {type(model).__name__} is neither a path, an id, a transformers model nor a PEFT model; give "
            f"{inner}"
        )
    config = bare.config
    if getattr(config, "is_encoder_decoder", False) or bare.get_output_embeddings() is None:
        raise ModelError(
            f"{called}: {type(bare).__name__} has no head of a causal language model; only these can be audited"
        )
    if any(module.training for module in model.modules()):
        raise ConfigError(
            f"{called}: the model is in training mode, in which dropout makes every score another; call model.eval() "
            "first (model.train() afterwards)"
        )
    parts = [*model.parameters(), *model.buffers()]
    if any(part.is_meta or hasattr(part, "ds_id") or hasattr(part, "_local_tensor") for part in parts):
        raise ModelError(
            f"{called}: only a part of the model is in this process (offloaded, FSDP, ZeRO-3 or tensor parallel); save "
            "it and give the folder"
        )
    here, asked = input_device(model), None if device == "auto" else torch.device(device)
    if asked is not None and (asked.type != here.type or asked.index not in (None, here.index or 0)):
        raise ConfigError(
            f"{called}: the model is on {here}, and device says {device}; move it (model.to({device!r})), or leave "
            "device out"
        )
    own = str(bare.dtype).removeprefix("torch.")
    if dtype not in ("auto", own):
        raise ConfigError(
            f"{called}: the model is in {own}, and dtype says {dtype}; convert a copy of it, or leave dtype out: a "
            "model in memory is scored as it is"
        )


def held_device(model: Any) -> str:
    """Name the device on which a model takes its inputs."""
    return str(input_device(model))


def open_held(spec: ModelSpec, held: HeldModel) -> ModelFiles:
    """Describe a model in memory as `open_model` describes one in files.

    A specification without adapter of a model that carries one means its base: the same copy with its adapter off.
    The hash of the weights is that of `read_tensors`, made of the tensors in memory: a model that was just loaded from
    a folder has the hash of that folder, where both name their tensors alike.

    Raises
    ------
    ModelError, ConfigError
        If it cannot be audited.
    """
    model = held.model
    bare, adapted = (model.get_base_model(), True) if is_adapted(model) else (model, False)
    if adapted:
        refuse_virtual_tokens(model, spec)
        if spec.adapter is None and (why := why_not_its_base(model)):
            raise ModelError(f"{spec}: the adapter cannot be switched off: {why}; give the base as reference")
    text_config = bare.config.get_text_config()
    n_vocabulary = int(text_config.vocab_size)
    stored = _fingerprint(model, base_only=adapted and spec.adapter is None)
    quantization = quantization_of(bare.config)
    place = Path(spec.path)
    refuse_made_up(held.tokenizer, place, n_vocabulary=n_vocabulary)
    n_adapter = sum(tensor.numel() for tensor in trained_tensors(model).values()) if adapted else 0
    return ModelFiles(
        spec=spec,
        source=Path(spec.path),
        config=bare.config,
        tokenizer=held.tokenizer,
        tokenizer_source=place,
        weights_sha256=stored.sha256,
        config_sha256=_fingerprint_config(bare.config),
        architecture=type(bare).__name__,
        n_parameters=bare.num_parameters() - n_adapter,
        n_vocabulary=n_vocabulary,
        stored_dtype=stored_precision(quantization, stored.dtype) if quantization else stored.dtype,
        compute_dtype=str(bare.dtype).removeprefix("torch."),
        context_window=context_window(text_config),
        rope_boundary=rope_boundary(text_config),
        quantization=quantization,
        held=held,
    )


@contextmanager
def as_meant(files: ModelFiles) -> Iterator[None]:
    """Switch the adapter of a model in memory off for the length of a block, if its base is what is meant."""
    with ExitStack() as stack:
        if files.held is not None and files.spec.adapter is None and is_adapted(files.held.model):
            stack.enter_context(without_adapter(files.held.model))
        yield


def _fingerprint(model: Any, *, base_only: bool) -> StoredWeights:
    """Hash every tensor by name as `read_tensors` does, a tensor at a time on the CPU; a tied one counts once."""
    import torch

    bare = model.get_base_model() if is_adapted(model) else model
    tied = set(getattr(bare, "all_tied_weights_keys", None) or ())
    tensors = model.state_dict()
    if base_only:
        tensors = _of_base(model, tensors)
    places = {tensor.data_ptr() for name, tensor in tensors.items() if name not in tied}
    digests, n_bytes = [], dict[str, int]()
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or (name in tied and tensor.data_ptr() in places):
            continue
        kind = str(tensor.dtype).removeprefix("torch.")
        digest = hashlib.sha256(f"{_KINDS.get(kind, kind)} {list(tensor.shape)}".encode())
        flat = tensor.detach().contiguous().cpu().reshape(-1)
        if flat.numel():
            digest.update(flat.view(torch.uint8).numpy().data)
        digests.append((name, digest.hexdigest()))
        n_bytes[kind] = n_bytes.get(kind, 0) + flat.numel() * flat.element_size()
    total = hashlib.sha256(json.dumps(sorted(digests)).encode())
    return StoredWeights(total.hexdigest(), max(n_bytes, key=lambda kind: n_bytes[kind], default="float32"))


def _of_base(model: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Keep the tensors of the base, by the names that it gives them itself."""
    own = {tensor.data_ptr() for tensor in trained_tensors(model).values()}
    return {
        name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", "."): tensor
        for name, tensor in tensors.items()
        if tensor.data_ptr() not in own
    }


def _fingerprint_config(config: Any) -> str:
    """Hash what decides, besides the weights, what the model computes."""
    stated = {key: value for key, value in config.to_dict().items() if key not in ("_name_or_path", "use_cache")}
    return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def undisturbed(*models: Any) -> Iterator[None]:
    """Put everything back that scoring might change in models, at the end of a block.

    That is the mode of every module, which tensors ask for a gradient, and the gradients that there are (set aside
    meanwhile).
    """
    modes = {module: module.training for model in models for module in model.modules()}
    wanted = {tensor: (tensor.requires_grad, tensor.grad) for model in models for tensor in model.parameters()}
    try:
        for tensor in wanted:
            tensor.grad = None
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for tensor, (asked, gradient) in wanted.items():
            if tensor.requires_grad != asked:
                tensor.requires_grad_(asked)
            tensor.grad = gradient


@contextmanager
def same_random_states() -> Iterator[None]:
    """Put all random states back at the end of a block: Python's, numpy's, torch's on the CPU and on GPUs in use."""
    import torch

    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (what the caller may draw from)
    with torch.random.fork_rng(devices=list(gpus)):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
