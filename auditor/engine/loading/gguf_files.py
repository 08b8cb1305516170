"""Models in one GGUF file, as llama.cpp keeps them: found, described, and refused where transformers would misread."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError
from .quantization import require

__all__ = ["GgufFacts", "check_rotary", "find_gguf", "read_gguf"]

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What the directory of a GGUF file says: most weights' type, their number, rotary scaling, BOS before texts."""

    dtype: str
    n_weights: int
    rotary_scaling: str | None
    adds_bos: bool | None = None


def find_gguf(spec: ModelSpec, path: Path) -> Path | None:
    """Return the GGUF file of a model: itself, or the only one of a folder that holds no safetensors.

    Raises
    ------
    ModelError
        If a folder holds several, or the file is one part of a model.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.gguf"))
    if path.is_dir() and (not files or any(path.glob("*.safetensors"))):
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise ModelError(f"{spec}: {len(files)} GGUF files here ({names}); give the path of one of them")
    if "-of-0" in files[0].stem:
        raise ModelError(f"{spec}: {files[0].name} is one part of a model; join the parts (llama-gguf-split --merge)")
    return files[0]


def read_gguf(spec: ModelSpec, path: Path) -> GgufFacts:
    """Read the directory of a GGUF file, not its weights.

    Raises
    ------
    ModelError
        If the package gguf is missing, or the file is damaged.
    """
    require(spec, "a GGUF file", ("gguf", "accelerate"))
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        sizes: Counter[str] = Counter()
        for tensor in reader.tensors:
            sizes[tensor.tensor_type.name] += 0 if _is_rotary(tensor.name) else int(tensor.n_elements)
        rotary = _rotary_scaling(reader)
        bos = reader.get_field("tokenizer.ggml.add_bos_token")
        adds_bos = None if bos is None else bool(bos.contents())
    except Exception as error:  # a damaged file fails in many ways
        raise ModelError(f"{spec}: the weights cannot be loaded: {path.name} is not a whole GGUF file") from error
    if not sizes.total():
        raise ModelError(f"{spec}: {path.name} holds no weights")
    (stored, _), *_ = sizes.most_common(1)
    return GgufFacts(_DTYPES.get(stored, stored), sizes.total(), rotary, adds_bos)


def check_rotary(spec: ModelSpec, facts: GgufFacts, text_config: Any) -> None:
    """Refuse a file whose rotary scaling did not reach the configuration: every logit would be off.

    Raises
    ------
    ModelError
        If so.
    """
    rope = getattr(text_config, "rope_parameters", None) or {}
    if facts.rotary_scaling and rope.get("rope_type", "default") == "default":
        raise ModelError(
            f"{spec}: its rotary scaling ({facts.rotary_scaling}) is not read from GGUF by this transformers, so "
            "that its logits would be wrong; audit the safetensors checkpoint that the file was made from"
        )


def _is_rotary(name: str) -> bool:
    """Whether a tensor holds factors of the rotary embedding, which are no weights."""
    return name.startswith("rope_")


def _rotary_scaling(reader: Any) -> str | None:
    """Name the rotary scaling of a file, if it has one that does anything."""
    for name, field in reader.fields.items():
        if name.endswith(".rope.scaling.type") and (kind := str(field.contents())) != "none":
            return kind
    factors = [tensor for tensor in reader.tensors if _is_rotary(tensor.name)]
    return factors[0].name if any((tensor.data != 1).any() for tensor in factors) else None
