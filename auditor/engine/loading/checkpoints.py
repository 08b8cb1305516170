"""A training run's checkpoints, in the order in which they were written."""

import glob
import re
from pathlib import Path

from ...errors import ModelError

__all__ = ["expand_checkpoints"]


def expand_checkpoints(pattern: str) -> list[str]:
    """List the models that a pattern such as ``run/checkpoint-*`` names, by their numbers.

    Parameters
    ----------
    pattern : str
        With ``*``, ``?`` or ``[...]``, as in a shell. Anything else, or a path that exists, stands for itself.

    Returns
    -------
    list of str
        Folders that hold a model or an adapter, and GGUF files; ``checkpoint-900`` comes before ``checkpoint-1000``.

    Raises
    ------
    ModelError
        If nothing matches, or nothing that matches is a model.

    Examples
    --------
    >>> expand_checkpoints("some/model")
    ['some/model']
    """
    if Path(pattern).exists() or not glob.has_magic(pattern):
        return [pattern]
    found = glob.glob(pattern)
    models = sorted((path for path in found if _is_model(Path(path))), key=_by_numbers)
    if models:
        return models
    wanted = "folders with config.json and safetensors, with one .gguf or with adapter_config.json, or .gguf files"
    what = f"none of the {len(found)} paths that match is a model" if found else "nothing matches"
    raise ModelError(f"{pattern}: {what}; looked for {wanted}")


def _is_model(path: Path) -> bool:
    """Whether a path holds a model or an adapter, whole or not."""
    if path.is_file():
        return path.suffix == ".gguf"
    has_weights = any(path.glob("*.safetensors")) or any(path.glob("*.bin"))
    return (
        (path / "adapter_config.json").is_file()
        or any(path.glob("*.gguf"))
        or ((path / "config.json").is_file() and has_weights)
    )


def _by_numbers(path: str) -> list[tuple[int, str]]:
    """Sort key in which numbers count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
