"""Writing a pack: references scored, and what an audit needs of them put into one file."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attacks import Need

from ..auditing.attack_choice import needs_of
from ..auditing.inputs import Inputs, read_inputs
from ..config import AuditConfig, DataSpec, ModelSpec
from ..data import SampleSet, Side
from ..documents.checksums import file_sha256
from ..documents.files import to_text
from ..documents.result import CheckResult
from ..engine.forward import SequenceScores
from ..engine.loading.recorded import RECORD, write_record
from ..engine.loading.weights import StoredWeights
from ..engine.models import OpenedModel, open_models, open_one, reading_alike
from ..engine.plan import make_plan
from ..engine.private_folder import private_folder
from ..engine.request import ScoringRequest
from ..engine.scoring import ScoringProgress
from ..engine.signals import Collected, collect_signals
from ..engine.store import SCORING_VERSION, ScoreStore
from ..errors import ConfigError
from ..phases import PACK, OnPhase, Phase, unwatched
from ..soundness.texts import compare_texts
from ..version import __version__
from .archives import write_archive
from .manifest import (
    MANIFEST,
    MEMBER,
    NAMED_TOKENIZER,
    SETTINGS,
    SIDES,
    TOKENIZER_FILES,
    PackedReference,
    PackedSide,
    PackManifest,
)
from .reading import packed_tokenizer, refuse_code

__all__ = ["make_pack"]

_ROWS = 256
"""Rows of the store written at once."""


def make_pack(
    options: Mapping[str, Any],
    path: Path,
    *,
    scores_folder: Path | None = None,
    on_progress: Callable[[ScoringProgress], None] | None = None,
    on_phase: OnPhase = unwatched,
) -> PackManifest:
    """Score the references, and write texts, scores, settings and fingerprints into one file.

    Parameters
    ----------
    options : mapping of str to object
        As `AuditConfig.from_options` takes them, without a target.
    path : Path
        File to write, readable for its owner only.
    scores_folder : Path, optional
        Score store to take scores from and to keep them in, such as that of an audit; none is kept if None.
    on_progress, on_phase : callable, optional
        Told of every batch scored, and of every phase that begins, of `auditor.phases.PACK`.

    Raises
    ------
    AuditError
        With one line: what was given, what is allowed, what to do.
    """
    config = _config(options)
    on_phase(Phase(label=PACK[1]))
    inputs = read_inputs(config)
    on_phase(Phase(label=PACK[2]))
    with private_folder(path.absolute().parent) as folder:
        references_only = replace(config, target=config.references[0], references=config.references[1:])
        collected = collect_signals(
            references_only,
            ScoringRequest(
                sample_ids=inputs.data.ids,
                texts=_cut_texts(references_only, inputs),
                form=inputs.data.form,
                target_called="reference",
            ),
            scores_folder=scores_folder or folder / "store",
            on_progress=on_progress,
        )
        on_phase(Phase(label=PACK[3]))
        windows = [model.encoder.window for model in collected.models if model.encoder.window is not None]
        _write_texts(inputs.data, folder)
        _copy_rows(collected, scores_folder or folder / "store", folder / "scores")
        references = tuple(_reference(i, model, config, folder) for i, model in enumerate(collected.models))
        dtype = _one_dtype(references)
        names = sorted(
            str(file.relative_to(folder))
            for file in folder.rglob("*")
            if file.is_file() and MEMBER.fullmatch(str(file.relative_to(folder))) and file.name != RECORD
        )
        manifest = PackManifest(
            auditor_version=__version__,
            scoring_version=SCORING_VERSION,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            settings={key: options[key] for key in SETTINGS if options.get(key) is not None} | {"dtype": dtype},
            members=_side(inputs.data, config.members, "members"),
            non_members=None if config.non_members is None else _side(inputs.data, config.non_members, "non_members"),
            window_tokens=min(windows, default=None),
            references=references,
            soundness=_soundness(inputs, collected),
            files={name: file_sha256(folder / name) for name in names},
        )
        write_archive(path, (MANIFEST, to_text(manifest).encode()), folder, names)
    return manifest


def _config(options: Mapping[str, Any]) -> AuditConfig:
    """Check the options of a pack as those of an audit."""
    if not options.get("references"):
        raise ConfigError("a pack needs a --reference, whose scores it is to hold")
    if options.get("trust_remote_code"):
        raise ConfigError("models that need trust-remote-code cannot be packed: a pack holds no code")
    return AuditConfig.from_options({**options, "target": options["references"][0]})


def _cut_texts(config: AuditConfig, inputs: Inputs) -> Sequence[str]:
    """Cut long texts where an audit will: some attacks show a target views that are longer than the text."""
    needs = needs_of(inputs.attacks, inputs.config) & {Need.LOWERCASE}
    plan = make_plan(
        reading_alike(open_models(config, form=inputs.data.form))[0],
        sample_ids=inputs.data.ids,
        texts=inputs.data.texts,
        needs=needs,
        cut=config.long_texts == "cut",
        rewrite=lambda _texts: ([], []),
    )
    return plan.texts


def _write_texts(data: SampleSet, folder: Path) -> None:
    """Write each side as JSON lines, as `load_samples` reads them."""
    for side in SIDES:
        rows = data.rows(side)
        if not rows:
            continue
        with open(folder / f"{side}.jsonl", "w", encoding="ascii") as file:
            for row in rows:
                sample = data[row]
                kept = {"id": sample.id, **sample.columns(), "group": sample.group, "copies": sample.copies}
                file.write(json.dumps({key: value for key, value in kept.items() if value is not None}) + "\n")


def _copy_rows(collected: Collected, source: Path, target: Path) -> None:
    """Copy the rows of these texts, and no others, into a store of their own."""
    for key in {one.model.key for one in collected.plan.passes}:
        wanted = {row for one in collected.plan.passes if one.model.key == key for row in one.keys.tolist()}
        with ScoreStore(target, key) as store:
            batch: dict[str, SequenceScores] = {}
            for row, scores in ScoreStore(source, key).rows():
                if row in wanted:
                    wanted.remove(row)
                    batch[row.decode()] = scores
                if len(batch) == _ROWS or (batch and not wanted):
                    store.append(batch)
                    batch = {}


def _reference(i: int, model: OpenedModel, config: AuditConfig, folder: Path) -> PackedReference:
    """Copy configuration and tokenizer of a reference, and see that they are read back as the same."""
    spec, source = model.files.spec, model.files.source
    if not source.is_dir():
        raise ConfigError(f"reference {spec}: a GGUF file cannot be packed without its weights; convert it to a folder")
    own = folder / "references" / str(i)
    own.mkdir(parents=True)
    shutil.copyfile(source / "config.json", own / "config.json")
    _copy_tokenizer(model, own if spec.tokenizer is None else folder / NAMED_TOKENIZER)
    chat = model.encoder.chat
    if chat is not None and chat.template is not None:
        place = own if spec.tokenizer is None else folder / NAMED_TOKENIZER
        (place / "chat_template.jinja").write_text(chat.template, encoding="utf-8", newline="\n")
    refuse_code(own, spec)
    write_record(own, StoredWeights(model.files.weights_sha256, model.files.stored_dtype), window=None)
    packed = PackedReference(
        path=spec.path, revision=spec.revision, adapter=spec.adapter, stored_dtype=model.files.stored_dtype,
        tokenizer=spec.tokenizer, tokenizer_of=model.files.tokenizer_of,
        tokenizer_is_file=spec.tokenizer is not None and model.files.tokenizer_source.is_file(),
        key=model.key,
    )  # fmt: skip
    form = "text" if chat is None else chat.form
    again = open_one(ModelSpec(path=str(own), tokenizer=packed_tokenizer(folder, packed)), model.role, config,
                     model.device, form=form)  # fmt: skip
    if again.key != model.key or again.files.stored_dtype != model.files.stored_dtype:
        whose = "its tokenizer" if spec.tokenizer is None else f"the tokenizer {spec.tokenizer}"
        raise ConfigError(f"reference {spec}: cannot be packed, as {whose} is made of more than its usual files")
    return packed


def _copy_tokenizer(model: OpenedModel, folder: Path) -> None:
    """Copy the files of a tokenizer; with one that was named also those that decide on its class."""
    place, named = model.files.tokenizer_source, model.files.spec.tokenizer
    if place.suffix == ".gguf":
        raise ConfigError(
            f"reference {model.files.spec}: its tokenizer {named} is a GGUF file, and a pack holds none: name a folder "
            "or a tokenizer.json with --reference-tokenizer"
        )
    folder.mkdir(exist_ok=True)
    beside = place if place.is_dir() else place.parent
    patterns = TOKENIZER_FILES if named is None else ("config.json", *TOKENIZER_FILES)
    for file in {file for pattern in patterns for file in beside.glob(pattern) if file.is_file()}:
        shutil.copyfile(file, folder / file.name)
    if place.is_file():
        shutil.copyfile(place, folder / "tokenizer.json")
    refuse_code(folder, named or model.files.spec)


def _one_dtype(references: Sequence[PackedReference]) -> str:
    """Name the precision that all references ran in, and that a target will."""
    dtypes = sorted({reference.key.dtype for reference in references})
    if len(dtypes) > 1:
        raise ConfigError(f"the references ran in {' and '.join(dtypes)}: name one precision with --dtype")
    return dtypes[0]


def _side(data: SampleSet, spec: DataSpec, side: Side) -> PackedSide:
    """Say where the texts of a side came from."""
    return PackedSide(
        path=spec.path,
        text_field=spec.text_field,
        split=spec.split,
        n_samples=len(data.rows(side)),
        n_dropped=data.n_dropped(side),
        sha256=data.sha256(side),
        notes=tuple(data.notes.get(side, ())),
    )


def _soundness(inputs: Inputs, collected: Collected) -> tuple[CheckResult, ...]:
    """Check what can be checked without a target: what the sides have in common, and whether texts alone tell them."""
    plan = collected.plan
    texts = compare_texts(inputs.data, plan.words, plan.text_keys, plan.n_bytes, seed=inputs.config.seed)
    return (*texts.check_overlap(), *texts.check_blind())
