"""Reading a pack: what it holds, checked, and put where an audit looks for it."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config import DataSpec, ModelSpec
from ..data import load_samples
from ..documents.checksums import file_sha256
from ..documents.files import from_text, whole_file
from ..documents.result import AuditResult, SideData
from ..engine.loading.models import open_model
from ..engine.loading.recorded import write_record
from ..engine.loading.weights import StoredWeights
from ..engine.private_folder import private_folder
from ..engine.store import SCORING_VERSION, PassKey, ScoreStore
from ..engine.tokens import tokenizer_fingerprint
from ..errors import ConfigError, DataError, ResultError
from .archives import read_member, unpack_members
from .manifest import (
    MANIFEST,
    MEMBER,
    NAMED_TOKENIZER,
    SETTINGS,
    SIDES,
    VERSION,
    PackedReference,
    PackedSide,
    PackManifest,
)

__all__ = ["Unpacked", "opened_pack", "packed_tokenizer", "read_pack", "refuse_code"]


_ELSEWHERE = ("references", *SIDES, "text_field", "split", "non_members_split", "drop_ids", "split_manifest",
              "shadows", "reference_tokenizer")  # fmt: skip
"""Further keys that cannot be given beside a pack."""


_MOST_MANIFEST_BYTES = 64 * 2**20


def read_pack(path: Path) -> PackManifest:
    """Read what is in a pack; the texts stay where they are.

    Raises
    ------
    DataError, ResultError, ConfigError
        If it is not a pack, or not one that this version can use.
    """
    head = read_member(path, MANIFEST, most_bytes=_MOST_MANIFEST_BYTES)
    try:
        manifest = from_text(head.decode(), PackManifest, version=VERSION, what="manifest of a pack")
    except (ResultError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: {error}") from error
    if manifest.scoring_version != SCORING_VERSION:
        raise ConfigError(
            f"{path}: made by auditor {manifest.auditor_version}, whose scores this version does not use: pack again"
        )
    if unknown := sorted(set(manifest.settings) - set(SETTINGS)):
        raise DataError(f"{path}: not a pack: it settles {unknown[0][:80]!a}")
    return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A pack in a folder of its own, for as long as an audit runs."""

    path: Path
    sha256: str
    folder: Path
    manifest: PackManifest

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add to the options of an audit what the pack holds.

        Raises
        ------
        ConfigError
            If they name something that the pack settles, or that needs models or texts which it does not hold.
        """
        if settled := [key for key in (*SETTINGS, *_ELSEWHERE) if given.get(key) is not None]:
            option = settled[0].replace("_", "-")
            raise ConfigError(f"{option} cannot be given with --pack, which settles it: leave it out, or pack again")
        if given.get("trust_remote_code"):
            raise ConfigError("trust-remote-code cannot be given with --pack: a pack could then bring code")
        held = [side for side in SIDES if getattr(self.manifest, side) is not None]
        sides: dict[str, str] = {side: str(self.folder / f"{side}.jsonl") for side in held}
        references = [str(self.folder / "references" / str(i)) for i in range(len(self.manifest.references))]
        options = {**given, **self.manifest.settings, **sides, "references": references}
        for one in self.manifest.references:  # one tokenizer is named for all
            if (tokenizer := packed_tokenizer(self.folder, one)) is not None:
                options["reference_tokenizer"] = tokenizer
        return options

    def restated(self, result: AuditResult) -> AuditResult:
        """Name texts and references as what they are, not by the folder that they were in for a while."""
        manifest, provenance = self.manifest, result.provenance
        specs: dict[str, Any] = {name: _data_spec(getattr(manifest, name)) for name in SIDES}
        references = [
            asdict(ModelSpec(path=one.path, revision=one.revision, adapter=one.adapter, tokenizer=one.tokenizer))
            for one in manifest.references
        ]
        models = [
            replace(model, path=one.path, revision=one.revision, adapter=one.adapter, tokenizer=one.tokenizer,
                    tokenizer_of=one.tokenizer_of,
                    scoring_path="not run: all scores were in the pack")
            for model, one in zip(provenance.models[1:], manifest.references, strict=True)
        ]  # fmt: skip
        members = _restated_side(result.data.members, manifest.members)
        assert members is not None
        return replace(
            result,
            provenance=replace(provenance, models=(provenance.models[0], *models), pack_sha256=self.sha256),
            config={**result.config, **specs, "references": references},
            data=replace(
                result.data,
                members=members,
                non_members=_restated_side(result.data.non_members, manifest.non_members),
            ),
        )


@contextmanager
def opened_pack(path: Path, scores_folder: Path) -> Iterator[Unpacked]:
    """Unpack beside the scores, for their owner only and as long as it is needed; scores go to the store.

    Raises
    ------
    AuditError
        If the file is not a pack, is damaged, or holds anything else.
    """
    manifest = read_pack(path)
    with private_folder(scores_folder) as folder:
        unpack_members(path, folder, head=MANIFEST, sha256=manifest.files, pattern=MEMBER)
        _check_members(path, manifest)
        _check_texts(path, folder, manifest)
        refuse_code(folder / NAMED_TOKENIZER, path)
        for i, reference in enumerate(manifest.references):
            own = folder / "references" / str(i)
            refuse_code(own, path)
            weights = StoredWeights(reference.key.weights_sha256, reference.stored_dtype)
            write_record(own, weights, window=manifest.window_tokens)
            files = open_model(ModelSpec(path=str(own), tokenizer=packed_tokenizer(folder, reference)), fetch=False)
            key = replace(
                reference.key,
                config_sha256=files.config_sha256,
                tokenizer_sha256=tokenizer_fingerprint(files.tokenizer),
            )
            if key != reference.key:
                raise ConfigError(
                    f"{path}: the installed transformers reads the tokenizer of {reference.path} otherwise than the "
                    "one that packed it: pack again with these versions"
                )
            _check_scores(path, folder / "scores", key)
            _add_scores(folder / "scores" / key.folder_name, scores_folder, key)
        yield Unpacked(path=path, sha256=file_sha256(path), folder=folder, manifest=manifest)


def packed_tokenizer(folder: Path, reference: PackedReference) -> str | None:
    """Say where an unpacked pack has the tokenizer that a reference was asked to be read with; None if its own."""
    if reference.tokenizer is None:
        return None
    place = folder / NAMED_TOKENIZER
    return str(place / "tokenizer.json" if reference.tokenizer_is_file else place)


def _check_members(path: Path, manifest: PackManifest) -> None:
    """Refuse a pack whose members are not those of its texts and references."""
    folders = [f"references/{i}/" for i in range(len(manifest.references))]
    folders += sorted({f"scores/{one.key.folder_name}/" for one in manifest.references})
    if len({(one.tokenizer, one.tokenizer_is_file) for one in manifest.references}) > 1:
        raise DataError(f"{path}: not a pack: its references were read with several tokenizers that were named")
    if any(one.tokenizer is not None for one in manifest.references):
        folders.append(f"{NAMED_TOKENIZER}/")
    texts = [f"{side}.jsonl" for side in SIDES if getattr(manifest, side) is not None]
    needed = [*texts, *(f"{folder}config.json" for folder in folders if folder.startswith("references/"))]
    if absent := [name for name in needed if name not in manifest.files]:
        raise DataError(f"{path}: not a pack: {absent[0]} is missing")
    if odd := sorted(name for name in manifest.files if name not in texts and not name.startswith(tuple(folders))):
        raise DataError(f"{path}: not a pack: {odd[0][:80]!a} belongs to no text and no reference of its manifest")


def _check_texts(path: Path, folder: Path, manifest: PackManifest) -> None:
    """Refuse texts that are not as many, or not those, that the manifest says."""
    specs = [DataSpec(path=str(folder / f"{side}.jsonl")) for side in SIDES if getattr(manifest, side) is not None]
    try:
        data = load_samples(specs[0], specs[1] if len(specs) > 1 else None)
    except DataError as error:
        raise DataError(f"{path}: its texts cannot be used: {str(error).replace(str(folder), '')}") from error
    for side in SIDES:
        stated: PackedSide | None = getattr(manifest, side)
        if stated is None:
            continue
        if (n := len(data.rows(side))) != stated.n_samples:
            raise DataError(
                f"{path}: cut or changed: it holds {n} {side.replace('_', '-')}, its manifest says {stated.n_samples}; "
                "get the whole file, or pack again"
            )
        if data.sha256(side) != stated.sha256:
            raise DataError(
                f"{path}: changed: its {side.replace('_', '-')} are not those of its manifest (SHA-256); get the file "
                "as it was made, or pack again"
            )


def _check_scores(path: Path, root: Path, key: PassKey) -> None:
    """Refuse scores that are not what `auditor pack` writes, before any of them is used."""
    try:
        n_rows = sum(1 for _ in ScoreStore(root, key).rows())
    except ResultError as error:
        raise DataError(f"{path}: damaged: scores of a reference are not sound") from error
    if len(np.unique(ScoreStore(root, key).keys())) != n_rows:
        raise DataError(f"{path}: damaged: scores of a text stand in it twice")


def refuse_code(folder: Path, named: object) -> None:
    """Refuse a configuration or tokenizer that names code of its own.

    Raises
    ------
    ConfigError
        If one does, or is not JSON.
    """
    for file in sorted(folder.glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{named}: {file.name} is not JSON") from error
        if isinstance(document, dict) and "auto_map" in document:
            raise ConfigError(f"{named}: {file.name} names code of its own (auto_map), and a pack holds no code")


def _add_scores(packed: Path, scores_folder: Path, key: PassKey) -> None:
    """Put the rows of a pass into a store, unless they are in it from an earlier run with the same pack."""
    with ScoreStore(scores_folder, key):  # makes the folders, for their owner
        for file in sorted(packed.glob("*.*"), reverse=True):  # a ledger vouches for what is there: rows first
            place = scores_folder / key.folder_name / file.name
            if not place.is_file() or place.stat().st_size != file.stat().st_size:
                with whole_file(place) as partial:
                    shutil.copy2(file, partial)


def _restated_side(found: SideData | None, packed: PackedSide | None) -> SideData | None:
    """Say of a side what was done to its texts before they were packed."""
    if found is None or packed is None:
        return None
    return replace(found, path=packed.path, n_dropped=packed.n_dropped, notes=packed.notes)


def _data_spec(side: PackedSide | None) -> dict[str, str] | None:
    """Name the data of a side as a configuration does."""
    if side is None:
        return None
    return {"path": side.path, "text_field": side.text_field, "split": side.split}
