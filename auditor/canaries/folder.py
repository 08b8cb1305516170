"""The folder of a set of canaries: secrets for their owner alone, a manifest to show, and records on the way."""

from pathlib import Path
from typing import NamedTuple, TypeVar

from ..documents.canaries import CANARIES_VERSION, Canary, CanaryInsertion, CanaryManifest, CanarySecrets, FinalData
from ..documents.coins import coin, commitment, of_text
from ..documents.files import for_owner, read_document, to_text, whole_file
from ..errors import ConfigError, ResultError

__all__ = ["FILES", "CanarySet", "is_in", "read_canaries", "read_check", "read_insertions", "record", "write_canaries"]

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
    """Write down how canaries were inserted, beside earlier insertions, or what the final data hold of them.

    An insertion into a file that an earlier one wrote takes the place of its record, as it took that of the file.
    """
    _write(_place_of(folder, found) if isinstance(found, CanaryInsertion) else folder / CHECK, found)


def read_insertions(folder: Path) -> tuple[CanaryInsertion, ...]:
    """Read every insertion of the canaries, in the order of their records."""
    what = "record of an insertion (`auditor canaries insert`)"
    return tuple(found for file in _insertions(folder) if (found := _read(file, CanaryInsertion, what)) is not None)


def _insertions(folder: Path) -> list[Path]:
    """List the records of insertions: ``insertion.json``, ``insertion-2.json`` and so on."""
    found: list[Path] = []
    while (file := _numbered(folder, len(found) + 1)).exists():
        found.append(file)
    return found


def _numbered(folder: Path, number: int) -> Path:
    return folder / (INSERTION if number == 1 else INSERTION.replace(".", f"-{number}."))


def _place_of(folder: Path, made: CanaryInsertion) -> Path:
    """Choose the file of a record: that of an earlier insertion into the same data, else a new one."""
    earlier = read_insertions(folder)
    same = [number for number, one in enumerate(earlier, 1) if one.out == made.out]
    return _numbered(folder, same[0] if same else len(earlier) + 1)


def read_check(folder: Path) -> FinalData | None:
    """Read what the final data held of them; None if nobody looked."""
    return _read(folder / CHECK, FinalData, "record of a check (`auditor canaries check`)")


def _read(file: Path, kind: type[Record], what: str) -> Record | None:
    return read_document(file, kind, version=CANARIES_VERSION, what=what) if file.exists() else None


def _write(path: Path, found: object) -> None:
    with whole_file(path) as partial:
        partial.write_text(to_text(found), encoding="utf-8", newline="\n")
