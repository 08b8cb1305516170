"""An earlier audit in the folder of outputs, which gives way to the same audit again and to no other unless told."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..config import AuditConfig, DataSpec
from ..data import SampleSet, Side
from ..documents.files import read_document
from ..documents.result import SCHEMA_VERSION, AuditResult, SideData
from ..documents.salt import Salt, read_salt
from ..engine.loading.models import ModelFiles
from ..errors import ConfigError, ResultError

__all__ = ["Earlier", "find_earlier", "refuse_other_policy"]

_WAY_OUT = "choose another folder (--out), or replace what is there with --overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The result of an audit, and the folder that it lies in."""

    folder: Path
    result: AuditResult

    def refuse_other_model(self, files: ModelFiles) -> None:
        """Refuse to replace this audit by one of another model; they are the same if their weights are.

        Raises
        ------
        ConfigError
            If so.
        """
        target = self.result.provenance.models[0]
        if files.weights_sha256 != target.weights_sha256:
            raise ConfigError(
                f"--out {self.folder} holds the audit of another model ({target.path}, weights "
                f"{target.weights_sha256[:12]}, not {files.weights_sha256[:12]}): {_WAY_OUT}"
            )

    def refuse_other_texts(self, config: AuditConfig, data: SampleSet) -> None:
        """Refuse to replace this audit by one of other texts, or with hashes that are keyed otherwise.

        Texts are the same if ids and texts are, or if they come from one source and only --drop-ids changed. Settings,
        references and attacks may change.

        Raises
        ------
        ConfigError
            If so.
        """
        salt = read_salt(config.salt)
        if self.result.provenance.salt != (None if salt is None else salt.name):
            raise ConfigError(f"--out {self.folder} holds an audit with another --salt, or with none: {_WAY_OUT}")
        sides: tuple[tuple[Side, SideData | None, DataSpec | None], ...] = (
            ("members", self.result.data.members, config.members),
            ("non_members", self.result.data.non_members, config.non_members),
        )
        for side, before, now in sides:
            if not _is_same(data, side, before, now, salt):
                held = "none" if before is None else before.path
                raise ConfigError(
                    f"--out {self.folder} holds an audit of other {side.replace('_', '-')} ({held}): {_WAY_OUT}"
                )


def _is_same(data: SampleSet, side: Side, before: SideData | None, now: DataSpec | None, salt: Salt | None) -> bool:
    if before is None or now is None:
        return before is None and now is None
    dropped_others = before.n_dropped != data.n_dropped(side)
    found = data.sha256(side) if salt is None else salt.keyed(data.sha256(side))
    return found == before.sha256 or (dropped_others and before.path == str(now))


def find_earlier(folder: Path) -> Earlier | None:
    """Find the audit that a folder holds, if it does.

    Raises
    ------
    ConfigError
        If there is a result.json that cannot be read, so that nobody knows what would be replaced.
    """
    file = folder / "result.json"
    if not file.is_file():
        return None
    try:
        result = read_document(file, AuditResult, version=SCHEMA_VERSION, what="result document")
    except ResultError as error:
        raise ConfigError(f"--out {folder} holds a result.json that cannot be read ({error}): {_WAY_OUT}") from error
    return Earlier(folder=folder, result=result)


def refuse_other_policy(folder: Path, policy_sha256: str) -> None:
    """Refuse to replace a verdict by that of another policy.

    Raises
    ------
    ConfigError
        If gates.json in the folder is of another policy than this one.
    """
    file = folder / "gates.json"
    if not file.is_file():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))["policy_sha256"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        before = None
    if before != policy_sha256:
        raise ConfigError(f"--out {folder} holds gates.json, the verdict of another policy: {_WAY_OUT}")
