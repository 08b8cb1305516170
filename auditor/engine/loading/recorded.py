"""Records of the weights of models that are not here: they stand in their place where scores are stored."""

import json
from pathlib import Path
from typing import Any

from ...errors import ConfigError, ModelError
from .weights import StoredWeights

__all__ = ["RECORD", "read_record", "refuse_unscored", "write_record"]

RECORD = "weights-not-here.json"


def write_record(folder: Path, weights: StoredWeights, *, window: int | None) -> None:
    """Say what the weights of the model in a folder were, and the window in which its texts were scored."""
    document = {"sha256": weights.sha256, "dtype": weights.dtype, "window": window}
    (folder / RECORD).write_text(json.dumps(document) + "\n", encoding="utf-8")


def read_record(folder: Path) -> StoredWeights | None:
    """Read the record of a folder without weights; None if there is none, or the weights are here after all.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    stated = _stated(folder)
    return None if stated is None else StoredWeights(stated["sha256"], stated["dtype"])


def refuse_unscored(folder: Path, *, n_texts: int) -> None:
    """Refuse to run a model whose weights are not here, before any other is run.

    Raises
    ------
    ConfigError
        If texts are to be scored that have no stored scores.
    """
    stated = _stated(folder) if n_texts else None
    if stated is not None:
        window = stated["window"]
        made = "whole texts" if window is None else f"a window of {window} tokens"
        raise ConfigError(
            f"--pack: {n_texts} distinct texts have no reference scores in it: it was made with {made}, and "
            "this target has a shorter window, or cuts long texts elsewhere; pack again with --max-tokens N, N no "
            "more than the shortest window of a target"
        )


def _stated(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD
    if not path.is_file() or any(folder.glob("*.safetensors")):
        return None
    try:
        stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: stated[key] for key in ("sha256", "dtype", "window")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a record of weights") from error
