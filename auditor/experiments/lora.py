"""LoRA adapters for experiments: a new one on any model, and the frozen weights that its capacity is measured on."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ..config import ModelSpec
from ..engine.loading.quantization import require
from ..errors import ModelError

__all__ = ["keep_base", "open_base", "require_peft", "with_lora"]


def require_peft(name: str) -> None:
    """Refuse to begin without the package that puts adapters on models.

    Raises
    ------
    ModelError
        Naming what to install.
    """
    require(ModelSpec(path=name), "a LoRA", ("peft",))


def with_lora(model: Any, rank: int, *, seed: int) -> Any:
    """Put a new LoRA adapter on all linear layers but the head; the strength is twice the rank over the rank.

    All other parameters are frozen.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return get_peft_model(model.cpu(), config).to(model.device)


def keep_base(folder: Path, recipe: str, make: Callable[[], Any]) -> Path:
    """Return the file of a base in a folder, made if it is not there yet.

    Parameters
    ----------
    folder : Path
    recipe : str
        All that the weights depend on: the file of another recipe is another file.
    make : callable
        Trains the base and returns it.
    """
    from safetensors.torch import save_model

    path = folder / f"base-{sha256(recipe.encode()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        partial = path.with_suffix(".partial")
        save_model(make(), str(partial))
        partial.replace(path)
    return path


def open_base(path: str, empty: Callable[[], Any]) -> Any:
    """Load the weights that a LoRA is put on: those of a model folder, or of a file that `keep_base` made.

    Parameters
    ----------
    path : str
    empty : callable
        Builds the model of a file.

    Raises
    ------
    ModelError
        If they cannot be read.
    """
    if Path(path).is_dir():
        from ..engine.loading.models import load_weights, open_model

        return load_weights(open_model(ModelSpec(path=path)), dtype="float32", device="cpu")[0]
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    model = empty()
    try:
        load_model(model, path)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the base of the LoRA cannot be read; remove the file, it is made again") from error
    return model
