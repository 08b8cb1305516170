"""PEFT adapters: their files, putting one on a model, and taking it off again without a second copy."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError
from .weights import PICKLED, read_header

__all__ = [
    "adapter_files",
    "changes_its_base",
    "count_adapter",
    "put_adapter",
    "refuse_resized",
    "refuse_virtual_tokens",
    "trained_tensors",
    "why_not_its_base",
    "without_adapter",
]

_GENTLE_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to start LoRA that leave the base as it is; PiSSA, OLoRA and others move a part of it into the adapter."""


_FURTHER_MODELS = ("adapters", "shadow_model")
"""Entries of an adapter's configuration (X-LoRA, shadow networks) that name models elsewhere."""


def adapter_files(adapter: str) -> list[Path]:
    """List the files of a PEFT adapter.

    Raises
    ------
    ModelError
        If one is not there.
    """
    files = [Path(adapter) / "adapter_config.json", Path(adapter) / "adapter_model.safetensors"]
    for file in files:
        if not file.is_file():
            pickled = any(Path(adapter).glob("*.bin"))
            hint = f": its weights are pickled, {PICKLED}" if pickled and file.suffix == ".safetensors" else ""
            raise ModelError(f"adapter {adapter}: no {file.name} in this folder{hint}")
    return files


def count_adapter(adapter: str) -> int:
    """Count the parameters of a PEFT adapter from the header of its file.

    Raises
    ------
    ModelError
        If the folder holds no adapter.
    """
    file = adapter_files(adapter)[1]
    try:
        shapes = [tensor["shape"] for tensor in read_header(file).values()]
        if not all(isinstance(side, int) and side >= 0 for shape in shapes for side in shape):
            raise ValueError("a side of a tensor is not a count")
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError, RecursionError) as error:
        raise ModelError(f"adapter {adapter}: {file.name} is not a safetensors file") from error
    return sum(math.prod(shape) for shape in shapes)


def refuse_resized(model: Any, spec: ModelSpec) -> None:
    """Refuse an adapter that was trained with more or fewer rows of embeddings than its base has.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The base; shapes are enough.
    spec : ModelSpec
        The base with its adapter.

    Raises
    ------
    ModelError
        If so.
    """
    assert spec.adapter is not None
    both = [model.get_input_embeddings(), model.get_output_embeddings()]
    tables = [(f"{name}.", module) for name, module in model.named_modules() if any(module is one for one in both)]
    for key, tensor in read_header(adapter_files(spec.adapter)[1]).items():
        place = key.removeprefix("base_model.model.")
        n_rows = _rows_of_embeddings(place, tensor["shape"])
        n_base = next((module.weight.shape[0] for name, module in tables if place.startswith(name)), None)
        if n_base is not None and n_rows not in (None, n_base):
            raise ModelError(
                f"adapter {spec.adapter}: it was trained on a base whose embeddings were resized to {n_rows:,} rows, "
                f"and {spec.path} has {n_base:,}: merge it into that base (merge_and_unload, save_pretrained) and "
                "audit the merged model, or give the resized base as target and this as --adapter"
            )


def put_adapter(model: Any, adapter: str, *, device_map: str | dict[str, str] | None = None) -> Any:
    """Put a PEFT adapter on a loaded model, all of it: peft leaves out silently what does not fit.

    Parameters
    ----------
    device_map : str or dict, optional
        The one that the model was loaded with; peft may place the model anew.

    Raises
    ------
    ModelError
        If peft is not installed, the adapter is not this model's or adds tokens, or parts of the model are on disk.
    """
    try:
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise ModelError("--adapter needs the package peft: pip install peft") from error
    if "disk" in {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}:
        raise ModelError(
            f"adapter {adapter}: peft cannot put it on a model that does not fit in memory; merge it into its base "
            "first (merge_and_unload), and audit the merged model"
        )
    config = PeftConfig.from_pretrained(adapter, local_files_only=True)
    if named := next((key for key in _FURTHER_MODELS if getattr(config, key, None)), None):
        raise ModelError(
            f"adapter {adapter}: {config.peft_type.value} loads further models ({named}), which no hash covers; such "
            "adapters cannot be audited: merge it into its base first"
        )
    _refuse_virtual_tokens(config, adapter)
    options = {} if device_map is None else {"device_map": device_map}
    adapted = PeftModel.from_pretrained(model, adapter, local_files_only=True, **options)
    stored = set(read_header(adapter_files(adapter)[1]))
    loaded = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))  # "auto" asks the hub
    if stored != loaded:
        loaded = set(get_peft_model_state_dict(adapted, save_embedding_layers=True))
    if stored != loaded:
        raise ModelError(
            f"adapter {adapter}: {len(stored ^ loaded)} of its tensors do not fit this model "
            f"(e.g. {min(stored ^ loaded)!a}); is the target the adapter's base?"
        )
    return adapted


def _refuse_virtual_tokens(config: Any, adapter: str) -> None:
    if config.is_prompt_learning and config.peft_type != "PREFIX_TUNING":
        raise ModelError(
            f"adapter {adapter}: {config.peft_type.value} puts virtual tokens before every text, so that positions of "
            "logits and tokens differ; such adapters cannot be audited"
        )


def refuse_virtual_tokens(model: Any, spec: ModelSpec) -> None:
    """Refuse a model in memory whose adapter puts virtual tokens before every text.

    Raises
    ------
    ModelError
        If so.
    """
    for config in model.peft_config.values():
        _refuse_virtual_tokens(config, str(spec))


def trained_tensors(model: Any) -> dict[str, Any]:
    """Return the tensors of a model in memory that its adapters consist of, by adapter and name."""
    from peft import get_peft_model_state_dict

    return {
        f"{adapter}.{name}": tensor
        for adapter in model.peft_config
        for name, tensor in get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False).items()
    }


@contextmanager
def without_adapter(model: Any) -> Iterator[Any]:
    """Switch a model's adapter off for the length of a block, so that the same copy scores as its own base.

    Parameters
    ----------
    model : peft.PeftModel
        What :func:`auditor.engine.loading.models.load_weights` returns for a spec with an adapter.

    Yields
    ------
    peft.PeftModel
        The same model, whose logits are now exactly the base's.

    Raises
    ------
    ModelError
        If there is no adapter, or one whose base cannot be had back exactly.
    """
    if reason := why_not_its_base(model):
        raise ModelError(f"the adapter cannot be switched off: {reason}; load the base as a model of its own")
    with model.disable_adapter():
        yield model


def changes_its_base(adapter: str) -> str:
    """Say, from its configuration alone, how an adapter changes its base for good; empty if it can be switched off.

    Raises
    ------
    ModelError
        If the folder holds no adapter.
    """
    file = adapter_files(adapter)[0]
    try:
        return _change_of_base(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, AttributeError) as error:
        raise ModelError(f"adapter {adapter}: {file.name} is not the configuration of a PEFT adapter") from error


def why_not_its_base(model: Any) -> str:
    """Say why the base is not what is left when the adapter is disabled; empty if it is."""
    configs = getattr(model, "peft_config", None)
    if not configs or not hasattr(model, "disable_adapter"):
        return "this model carries no PEFT adapter"
    merged = [name for name, module in model.named_modules() if getattr(module, "merged", False)]
    if merged:
        return f"it is merged into the weights ({merged[0]}), and taking it out again rounds"
    return next(filter(None, (_change_of_base(config.to_dict()) for config in configs.values())), "")


def _rows_of_embeddings(name: str, shape: list[int]) -> int | None:
    """Read from a tensor of an adapter how many rows the embeddings had that it changes; None if it does not tell."""
    if len(shape) != 2:
        return None
    if name.endswith("lora_embedding_A"):
        return shape[1]
    whole = name.endswith("weight") and "lora_" not in name
    return shape[0] if whole or name.endswith("lora_B.weight") else None


def _change_of_base(stated: Mapping[str, Any]) -> str:
    """Read from an adapter's configuration what stays changed in the base."""
    bias, start = stated.get("bias", "none"), stated.get("init_lora_weights", True)
    if bias != "none":
        return f"it trains biases of the base (bias={bias!r}), which stay changed"
    if start not in _GENTLE_STARTS:
        return f"it changed the base when it was made (init_lora_weights={start!r})"
    return ""
