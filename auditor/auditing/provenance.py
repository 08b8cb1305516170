"""The provenance of an audit: software, models, precision, and how each model was run."""

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from ..config import AuditConfig
from ..data import SampleSet
from ..documents.result import DataResult, ModelProvenance, Provenance, SideData
from ..documents.sample_table import SampleTable
from ..engine.loading.tokenizer_files import stated_class
from ..engine.models import OpenedModel
from ..engine.signals import Collected
from ..engine.store import SCORING_VERSION
from ..version import __version__

__all__ = ["describe_data", "describe_run"]

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
            _model_provenance(model, role, n_otherwise)
            for model, role, n_otherwise in zip(
                collected.models, _roles(collected), collected.plan.n_otherwise, strict=True
            )
        ),
    )


def _roles(collected: Collected) -> list[_Role]:
    """Say which model is what: a reference that trained on some of the texts is a shadow model."""
    seen = collected.seen
    saw_some = [False] * (len(collected.models) - 1) if seen is None else [bool(row.any()) for row in seen]
    return ["target", *("shadow" if saw else "reference" for saw in saw_some)]


def _model_provenance(model: OpenedModel, role: _Role, n_otherwise: int | None) -> ModelProvenance:
    """Record which model scored, and how."""
    files, prefix, chat = model.files, model.encoder.prefix, model.encoder.chat
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
        tokenizer=files.spec.tokenizer,
        tokenizer_of=files.tokenizer_of,
        tokenizer_class=type(files.tokenizer).__name__,
        tokenizer_file_class=stated_class(files.tokenizer_source),
        n_read_otherwise=n_otherwise,
        chat_template_sha256=None if chat is None else chat.template_sha256,
    )


def _package_version(name: str) -> str:
    """Return the installed version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def describe_data(config: AuditConfig, data: SampleSet, collected: Collected, table: SampleTable) -> DataResult:
    """Describe the texts of both sides and what was cut."""
    reader = collected.models[0].encoder.chat
    windows = [model.encoder.window for model in collected.models if model.encoder.window is not None]

    def side(name: Literal["members", "non_members"], path: str) -> SideData:
        here = table.is_member == (name == "members")
        cut, is_chat = collected.plan.n_bytes_cut[here], data.form != "text"
        return SideData(
            path=path,
            n_samples=int(here.sum()),
            n_groups=data.n_groups(name),
            n_bytes=int(table.n_bytes[here].sum()),
            n_tokens=int(table.n_tokens[here].sum()),
            sha256=data.sha256(name),
            n_cut=int((cut > 0).sum()),
            n_bytes_cut=int(cut.sum()),
            n_windowed=int(collected.plan.windowed[here].sum()),
            n_repeated=data.n_repeated(name),
            n_turns=int(data.n_turns[here].sum()) if is_chat else None,
            n_tool_calls=int(data.n_tool_calls[here].sum()) if is_chat else None,
            n_dropped=data.n_dropped(name),
            notes=tuple(data.notes.get(name, ())),
        )

    return DataResult(
        members=side("members", str(config.members)),
        non_members=None if config.non_members is None else side("non_members", str(config.non_members)),
        window_tokens=min(windows, default=None),
        long_texts=config.long_texts,
        form=data.form,
        score="all" if reader is None else reader.score,
        end_marks_scored=None if reader is None else reader.with_marks,
    )
