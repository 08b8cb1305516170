"""What an audit was made with: software, models, precision, and how each model was run."""

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from .documents.result import ModelProvenance, Provenance
from .engine.models import OpenedModel
from .engine.signals import Collected
from .engine.store import SCORING_VERSION
from .version import __version__

__all__ = ["describe_run"]

_Role = Literal["target", "reference", "shadow"]

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pyarrow")


def describe_run(collected: Collected, started_at: datetime, seconds: float) -> Provenance:
    """Record what is needed to run an audit again: software, models, and how each made its logits."""
    return Provenance(
        auditor_version=__version__,
        scoring_version=SCORING_VERSION,
        packages={name: _package_version(name) for name in _PACKAGES},
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        started_at=started_at.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        n_tokens_scored=collected.n_tokens_scored,
        n_tokens_reused=collected.n_tokens_reused,
        scoring_seconds=round(collected.seconds, 3),
        models=tuple(
            _model_provenance(model, role) for model, role in zip(collected.models, _roles(collected), strict=True)
        ),
    )


def _roles(collected: Collected) -> list[_Role]:
    """Say which model is what: a reference that trained on some of the texts is a shadow model."""
    seen = collected.seen
    saw_some = [False] * (len(collected.models) - 1) if seen is None else [bool(row.any()) for row in seen]
    return ["target", *("shadow" if saw else "reference" for saw in saw_some)]


def _model_provenance(model: OpenedModel, role: _Role) -> ModelProvenance:
    """Record which model scored, and how."""
    files, prefix = model.files, model.encoder.prefix
    return ModelProvenance(
        role=role,
        path=files.spec.path,
        revision=files.spec.revision,
        adapter=files.spec.adapter,
        weights_sha256=files.weights_sha256,
        tokenizer_sha256=model.key.tokenizer_sha256,
        architecture=files.architecture,
        n_parameters=files.n_parameters,
        n_vocabulary=files.n_vocabulary,
        stored_dtype=files.stored_dtype,
        dtype=model.key.dtype,
        device=model.device,
        context_window=files.context_window,
        prefix_token_ids=prefix.ids,
        prefix_rule=prefix.rule,
        scoring_path=model.scoring_path,
    )


def _package_version(name: str) -> str:
    """Return the installed version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
