"""Configurations of causal language models: architecture, parameters, vocabulary, window; no weights."""

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import ModelSpec
from ...errors import ModelError
from .gguf_files import find_gguf
from .quantization import quantization_of

__all__ = [
    "ModelShape",
    "build_empty",
    "capacity_notes",
    "context_window",
    "count_parameters",
    "first_line",
    "load_config",
    "located",
    "open_shape",
    "refuse_at_sight",
    "refuse_code_elsewhere",
    "refuse_foreign_code",
    "rope_boundary",
]

_WINDOW_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
"""Names of the context window in configurations. The tokenizer's ``model_max_length`` is often 1e30: not used."""

_MOST_CONFIG_BYTES, _MOST_LAYERS, _MOST_MODULES = 2**24, 2_000, 300_000

_ENCODERS = {
    *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert"),
    *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"),
}
"""Types whose causal-LM class attends in both directions unless ``is_decoder`` is set."""

_DIFFUSION = re.compile(r"llada|sdar|mdlm|sedd|bd3lm|rnd1|a2d|dhara|dream($|model|for)|fast_dllm|.*(diffusion|dllm)")
"""How the types and classes of diffusion language models begin, in lower case; few of them are part of transformers."""

_KERNELS = ("attn_implementation", "_attn_implementation")
"""Keys of config.json by which transformers fetches a kernel from the hub and runs it, unasked."""

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Names under which configurations count the experts of a mixture."""

_NO_WINDOW = {"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "bloom", "mpt"}
"""State-space and ALiBi models: no position table ends their context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A model as far as its configuration determines it."""

    config: Any
    architecture: str
    n_parameters: int
    n_vocabulary: int
    context_window: int | None
    dtype: str | None
    notes: tuple[str, ...] = ()


def capacity_notes(config: Any) -> tuple[str, ...]:
    """Say where a capacity in bits per parameter has not been measured for a model of this configuration."""
    notes = []
    n_experts = max(_count(config.get_text_config(), name) for name in _EXPERTS)
    if n_experts > 1:
        notes.append(
            f"mixture of {n_experts} experts: all its parameters are counted, not those active for a token; the bits "
            "per parameter of such a model have not been measured"
        )
    if quantization_of(config) is not None:
        notes.append(
            "quantised: the checkpoint is taken as it is shipped and counts by its parameters; it was filled in the "
            "precision of its training, so its capacity does not scale with the width of its numbers"
        )
    return tuple(notes)


def _count(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    return value if isinstance(value, int) else 0


def open_shape(spec: ModelSpec, *, trust_remote_code: bool = False) -> ModelShape:
    """Read a configuration and count its parameters on the meta device: no weights are read or fetched.

    Parameters
    ----------
    spec : ModelSpec
        A model folder, a configuration file (``.json``), a GGUF file, the folder of an adapter (its base is meant), or
        a hub id, of which only the configuration is fetched.

    Raises
    ------
    ModelError
        If there is none, or it is not that of a causal language model.
    """
    spec = spec.with_base()
    source = _config_source(spec)
    config = load_config(spec, source, trust_remote_code=trust_remote_code)
    _check_vocabulary(spec, source if source.is_file() else source / "config.json")
    architecture, n_parameters = count_parameters(spec, config, trust_remote_code=trust_remote_code)
    dtype = getattr(config, "dtype", None)
    return ModelShape(
        config=config,
        architecture=architecture,
        n_parameters=n_parameters,
        n_vocabulary=int(config.get_text_config().vocab_size),
        context_window=context_window(config.get_text_config()),
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        notes=capacity_notes(config),
    )


def _config_source(spec: ModelSpec) -> Path:
    """Find the configuration of a model: a file, a folder, or what the hub gives for an id."""
    path = Path(spec.path)
    if path.is_file():
        if path.suffix not in (".json", ".gguf"):
            raise ModelError(
                f"{spec.path}: a configuration is a .json file, lies in a model folder as config.json, or in a .gguf"
            )
        return path
    if path.is_dir():
        if spec.revision is not None:
            raise ModelError(f"{spec}: a revision needs a hub id, but {spec.path} is a local folder")
        if not (path / "config.json").is_file():
            if (gguf := find_gguf(spec, path)) is not None:
                return gguf
            raise ModelError(f"{spec.path}: no config.json in this folder; give a Hugging Face model folder")
        return path
    if spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1 or path.suffix == ".json":
        raise ModelError(f"{spec.path}: no such model folder or configuration; give a folder, a file or a hub id")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(spec.path, "config.json", revision=spec.revision))
    except Exception as error:  # the hub client raises many kinds; all mean: it is not to be had
        raise ModelError(
            f"{spec}: neither a local folder nor a model that the hub gives: {first_line(error)}"
        ) from error


def _check_vocabulary(spec: ModelSpec, file: Path) -> None:
    """Refuse a configuration without a vocabulary: transformers would fill in that of some other model.

    Models for several modalities may leave it to the default of their text model; those are let through.
    """
    if file.suffix == ".gguf":
        return  # transformers counts the tokens of the file
    given = json.loads(file.read_text(encoding="utf-8"))
    if "vocab_size" not in given and "text_config" not in given and "n_vocab" not in given:
        raise ModelError(f"{spec}: the configuration names no vocab_size; add it, the parameter count depends on it")
    if given.get("vocab_size", 1) in (0, None):
        raise ModelError(f"{spec}: vocab_size is {given['vocab_size']}; a causal LM has at least one token")


def load_config(spec: ModelSpec, source: Path, *, trust_remote_code: bool) -> Any:
    """Read the configuration in a folder or file, and refuse what is not a causal language model."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    _refuse_diffusion(spec, _given(spec, source if source.is_file() else source / "config.json"))
    try:
        config = AutoConfig.from_pretrained(**located(source), trust_remote_code=trust_remote_code)
    except Exception as error:  # a foreign or damaged config.json fails in many ways
        refuse_foreign_code(spec, error, trust_remote_code=trust_remote_code)
        raise ModelError(f"{spec}: the configuration cannot be read: {first_line(error)}") from error
    remote = trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{spec}: {config.model_type} is an encoder-decoder; only causal LMs can be audited")
    if config.model_type in _ENCODERS and not getattr(config, "is_decoder", False):
        raise ModelError(f"{spec}: {config.model_type} reads both ways (is_decoder is not set): not a causal LM")
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not remote:
        if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
            raise ModelError(_foreign_code(spec))
        raise ModelError(f"{spec}: {config.model_type} is not a causal LM that transformers knows")
    if getattr(config.get_text_config(), "vocab_size", None) is None:
        raise ModelError(f"{spec}: the configuration names no vocab_size")
    return config


def refuse_at_sight(spec: ModelSpec) -> None:
    """Refuse a local model for what its config.json says, before any library that runs models is imported.

    Raises
    ------
    ModelError
        If the file is none, names a size that would keep a machine busy, or a diffusion language model.
    """
    path = Path(spec.path)
    _refuse_diffusion(spec, _given(spec, path if path.is_file() else path / "config.json"))


def _given(spec: ModelSpec, file: Path) -> dict[str, Any]:
    """Read config.json as it is given, if there is one, unless it would keep a machine busy."""
    if file.suffix != ".json" or not file.is_file():
        return {}
    if file.stat().st_size > _MOST_CONFIG_BYTES:
        raise ModelError(f"{spec}: {file.name} is larger than {_MOST_CONFIG_BYTES:,} bytes: not a configuration")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{spec}: the configuration cannot be read: {first_line(error)}") from error
    for key, value in _numbers(found):
        if value > _MOST_LAYERS and "layer" in key:
            raise ModelError(f"{spec}: {key} is {value:,} in {file.name}; at most {_MOST_LAYERS:,} layers are allowed")
    return found if isinstance(found, dict) else {}  # what is no object transformers refuses


def _refuse_diffusion(spec: ModelSpec, given: dict[str, Any]) -> None:
    """Refuse a model that is known to fill in masked tokens in any order, before its own code is asked for."""
    classes = given.get("architectures")
    for name in (given.get("model_type"), *(classes if isinstance(classes, list) else ())):
        if isinstance(name, str) and _DIFFUSION.match(name.lower()):
            raise ModelError(
                f"{spec}: {name!a} is a diffusion language model, which gives tokens no probabilities from left "
                "to right; only causal LMs can be audited"
            )


def _numbers(found: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a configuration and of those in it, by their keys."""
    for key, value in found.items() if isinstance(found, dict) else ():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value
        else:
            yield from _numbers(value)


@contextmanager
def _bounded(spec: ModelSpec) -> Iterator[None]:
    """Stop building a model, for the length of a block, when it has more modules than any that there is."""
    from torch.nn.modules.module import register_module_module_registration_hook

    built = itertools.count(1)

    def count(*_: object) -> None:
        if next(built) > _MOST_MODULES:
            raise ModelError(f"{spec}: its configuration asks for more than {_MOST_MODULES:,} modules: not a model")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def located(source: Path | str) -> dict[str, Any]:
    """Say where something is in the words of ``from_pretrained``: a GGUF file is a file of its folder.

    For what is here, the hub is not asked, whatever the files name.
    """
    place = Path(source)
    if place.suffix == ".gguf" and place.is_file():
        return {"pretrained_model_name_or_path": place.parent, "gguf_file": place.name, "local_files_only": True}
    return {"pretrained_model_name_or_path": source, "local_files_only": place.exists()}


def refuse_foreign_code(spec: ModelSpec, error: Exception, *, trust_remote_code: bool) -> None:
    """Name our flag where transformers names its own."""
    if not trust_remote_code and "trust_remote_code" in str(error):
        raise ModelError(_foreign_code(spec)) from error


def refuse_code_elsewhere(spec: ModelSpec, folder: Path, *, trust_remote_code: bool) -> None:
    """Refuse a model whose files name code that lies elsewhere: no hash would cover it.

    Raises
    ------
    ModelError
        For an attention kernel of the hub, and, with ``trust_remote_code``, for classes of another repository.
    """
    for file in (folder / "config.json", folder / "tokenizer_config.json"):
        document = _object(file)
        parts = [document, *(part for part in document.values() if isinstance(part, dict))]
        named = [str(part[key]) for part in parts for key in _KERNELS if "/" in str(part.get(key))]
        if trust_remote_code:
            entries = [
                entry for part in parts if isinstance(part.get("auto_map"), dict) for entry in part["auto_map"].values()
            ]
            classes = [str(one) for entry in entries for one in (entry if isinstance(entry, list) else [entry])]
            named += [one for one in classes if "--" in one or "/" in one]
        if named:
            raise ModelError(
                f"{spec}: {file.name} names code that is not in the folder ({named[0][:80]!a}), so that no hash covers "
                "it; put its .py files there and name them without a repository, or remove the entry"
            )


def _object(file: Path) -> dict[str, Any]:
    """Read a file that should hold a JSON object; what does not is told where it is needed."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _foreign_code(spec: ModelSpec) -> str:
    return (
        f"{spec}: this model brings Python code of its own, which has not been run; read its .py files, and give "
        "--trust-remote-code (trust_remote_code = true) if you trust them"
    )


def count_parameters(spec: ModelSpec, config: Any, *, trust_remote_code: bool) -> tuple[str, int]:
    """Name the architecture and count its parameters on the meta device, tied weights once."""
    model = build_empty(spec, config, trust_remote_code=trust_remote_code)
    return type(model).__name__, sum(parameter.numel() for parameter in model.parameters())


def build_empty(spec: ModelSpec, config: Any, *, trust_remote_code: bool) -> Any:
    """Build a model on the meta device: all of its shapes, and no weights.

    Returns
    -------
    transformers.PreTrainedModel

    Raises
    ------
    ModelError
        If its own constructor fails.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"), _bounded(spec):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except ModelError:
        raise
    except Exception as error:  # whatever the model's own constructor raises
        raise ModelError(f"{spec}: the model cannot be built: {first_line(error)}") from error
    model.tie_weights()
    return model


def context_window(text_config: Any) -> int | None:
    """Read the longest input from the configuration; None if nothing limits it."""
    if text_config.model_type in _NO_WINDOW or getattr(text_config, "alibi", False):
        return None
    for key in _WINDOW_KEYS:
        value = getattr(text_config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def rope_boundary(text_config: Any) -> int | None:
    """Return the length at which a model changes its rotary factors for a whole batch (longrope, as in Phi-3)."""
    rope = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None) or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type")) != "longrope":
        return None
    boundary = rope.get("original_max_position_embeddings") or getattr(
        text_config, "original_max_position_embeddings", None
    )
    return int(boundary) if boundary else None


def first_line(error: BaseException) -> str:
    """Shorten another library's message to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]} ({type(error).__name__})" if lines else type(error).__name__
