"""Quantised checkpoints: what their configuration says of the weights, and which packages they need."""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError

__all__ = ["quantization_of", "require", "require_quantizer", "stored_precision"]

_PACKAGES: dict[str, tuple[str, ...]] = {
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "gptq": ("gptqmodel", "optimum", "accelerate"),
    "awq": ("gptqmodel", "accelerate"),
    "torchao": ("torchao", "accelerate"),
    "compressed-tensors": ("compressed-tensors", "accelerate"),
    "fp8": ("accelerate",),
    "fbgemm_fp8": ("accelerate",),
    "mxfp4": ("accelerate",),
    "quanto": ("optimum-quanto", "accelerate"),
}
"""What each method needs besides transformers; what is not here, transformers says when it loads."""

_MODULES = {"optimum-quanto": "optimum.quanto", "compressed-tensors": "compressed_tensors"}
_FLOAT_METHODS = {"fp8": "float8", "fbgemm_fp8": "float8", "mxfp8": "mxfp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4"}


def quantization_of(config: Any) -> Mapping[str, Any] | None:
    """Return the quantisation that a configuration states, under ``quant_method``; None if there is none."""
    for owner in (config, config.get_text_config()):
        stated = getattr(owner, "quantization_config", None)
        if stated is None:
            continue
        stated = dict(stated if isinstance(stated, Mapping) else stated.to_dict())
        if stated.get("load_in_8bit") or stated.get("load_in_4bit"):
            stated.setdefault("quant_method", "bitsandbytes")
        method = stated.get("quant_method", "unknown")
        return stated | {"quant_method": str(getattr(method, "value", method))}
    return None


def stored_precision(stated: Mapping[str, Any], tensors: str) -> str:
    """Name the precision of quantised weights and the method, as in ``int4 (gptq)``.

    Parameters
    ----------
    stated : mapping
        From :func:`quantization_of`.
    tensors : str
        Type of most of the checkpoint's bytes, for methods that say nothing.

    Examples
    --------
    >>> stored_precision({"quant_method": "gptq", "bits": 4}, "I32")
    'int4 (gptq)'
    """
    return f"{_precision(stated, tensors)} ({stated['quant_method']})"


def require_quantizer(spec: ModelSpec, stated: Mapping[str, Any]) -> None:
    """Refuse a quantised checkpoint whose packages are not installed, before anything is scored.

    Raises
    ------
    ModelError
        Naming what to install.
    """
    method = stated["quant_method"]
    require(spec, f"a checkpoint quantised by {method}", _PACKAGES.get(method, ()))


def require(spec: ModelSpec, what: str, packages: Iterable[str]) -> None:
    """Refuse a model that needs packages which are not installed.

    Raises
    ------
    ModelError
        Naming what to install.
    """
    missing = [package for package in packages if not _is_installed(_MODULES.get(package, package))]
    if missing:
        noun = "package" if len(missing) == 1 else "packages"
        raise ModelError(f"{spec}: {what} needs the {noun} {' and '.join(missing)}: pip install {' '.join(missing)}")


def _is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # the parent of a dotted name is absent
        return False


def _precision(stated: Mapping[str, Any], tensors: str) -> str:
    """Name the precision of the quantised weights."""
    match stated["quant_method"]:
        case "bitsandbytes":
            return "int8" if stated.get("load_in_8bit") else str(stated.get("bnb_4bit_quant_type", "fp4"))
        case "torchao":
            return _joined(_torchao_kinds(stated.get("quant_type"))) or tensors
        case "compressed-tensors":
            groups = (stated.get("config_groups") or {}).values()
            weights = [group.get("weights") or {} for group in groups if isinstance(group, Mapping)]
            return _joined(f"{w['type']}{w['num_bits']}" for w in weights if {"type", "num_bits"} <= set(w)) or tensors
        case method if method in _FLOAT_METHODS:
            return _FLOAT_METHODS[method]
    if isinstance(bits := stated.get("bits") or stated.get("nbits"), int):
        return f"int{bits}"
    return str(stated.get("weights") or tensors)


def _torchao_kinds(quant_type: Any) -> list[str]:
    """Find the types of weights in a torchao configuration, old (a word) or new (nested, one a module)."""
    if isinstance(quant_type, str):
        return [
            kind.replace("uint", "int") for kind in re.findall(r"(u?int\d|float\d|nf\d)_?weight", quant_type.lower())
        ]
    if not isinstance(quant_type, Mapping):
        return []
    kinds = _torchao_kinds(quant_type.get("_type"))
    for value in quant_type.values():
        kinds += _torchao_kinds(value) if isinstance(value, Mapping) else []
    return kinds


def _joined(kinds: Iterable[str]) -> str:
    """Join the different precisions of one checkpoint."""
    return "/".join(sorted(set(kinds)))
