"""The folder of a set of canaries: secrets for their owner alone, a manifest to show, and records on the way."""

from pathlib import Path
from typing import NamedTuple, TypeVar

from ..documents.canaries import CANARIES_VERSION, Canary, CanaryInsertion, CanaryManifest, CanarySecrets, FinalData
from ..documents.coins import coin, commitment, of_text
from ..documents.files import for_owner, read_document, to_text, whole_file
from ..errors import ConfigError, ResultError

__all__ = ["FILES", "CanarySet", "is_in", "read_canaries", "read_check", "read_insertion", "record", "write_canaries"]

SECRETS, MANIFEST, INSERTION, CHECK = "secrets.json", "manifest.json", "insertion.json", "check.json"
FILES = (SECRETS, MANIFEST, INSERTION, CHECK)

Record = TypeVar("Record", CanaryInsertion, FinalData)


class CanarySet(NamedTuple):
    """The canaries, and what may be shown of them."""

    secrets: CanarySecrets
    manifest: CanaryManifest


def is_in(secrets: CanarySecrets, canary: Canary) -> bool:
    """Whether the coin of a canary puts it into training."""
    return coin(secrets.seed, of_text(canary.sha256))


def write_canaries(made: CanarySet, folder: Path) -> None:
    """Write both files; the secrets are for their owner alone.

    Raises
    ------
    ResultError
        If they cannot be written.
    """
    with whole_file(folder / SECRETS) as partial, open(partial, "w", encoding="utf-8", opener=for_owner) as file:
        file.write(to_text(made.secrets))
    _write(folder / MANIFEST, made.manifest)


def read_canaries(folder: Path) -> CanarySet:
    """Read a set of canaries, and hold its secrets against its manifest.

    Raises
    ------
    ConfigError
        If the coins are not those that the manifest committed to, or the canaries not those whose hashes it shows.
    ResultError
        If a file cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the one that `auditor canaries make` wrote")
    what = "(`auditor canaries make`)"
    secrets = read_document(
        folder / SECRETS, CanarySecrets, version=CANARIES_VERSION, what=f"file of secret canaries {what}"
    )
    manifest = read_document(
        folder / MANIFEST, CanaryManifest, version=CANARIES_VERSION, what=f"manifest of canaries {what}"
    )
    try:
        committed = commitment(secrets.seed)
    except ValueError as error:
        raise ResultError(f"{folder / SECRETS}: its seed is not 64 hexadecimal digits") from error
    if committed != manifest.coins_sha256:
        raise ConfigError(
            f"the coins of {folder / SECRETS} do not match their commitment in {folder / MANIFEST}: one of the two is "
            "of another set of canaries, or was changed"
        )
    shown = [(one.id, one.copies, one.sha256) for one in manifest.canaries]
    if shown != [(one.id, one.copies, one.sha256) for one in secrets.canaries]:
        raise ConfigError(f"{folder / MANIFEST} is the manifest of other canaries than {folder / SECRETS} holds")
    return CanarySet(secrets, manifest)


def record(folder: Path, found: CanaryInsertion | FinalData) -> None:
    """Write down how canaries were inserted, or what the final data hold of them."""
    _write(folder / (INSERTION if isinstance(found, CanaryInsertion) else CHECK), found)


def read_insertion(folder: Path) -> CanaryInsertion | None:
    """Read how the canaries were inserted; None if that was not recorded."""
    return _read(folder / INSERTION, CanaryInsertion, "record of an insertion (`auditor canaries insert`)")


def read_check(folder: Path) -> FinalData | None:
    """Read what the final data held of them; None if nobody looked."""
    return _read(folder / CHECK, FinalData, "record of a check (`auditor canaries check`)")


def _read(file: Path, kind: type[Record], what: str) -> Record | None:
    return read_document(file, kind, version=CANARIES_VERSION, what=what) if file.exists() else None


def _write(path: Path, found: object) -> None:
    with whole_file(path) as partial:
        partial.write_text(to_text(found), encoding="utf-8", newline="\n")
