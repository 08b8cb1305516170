"""The evidence annex of ``auditor report``: drawn from a result, with the checksums of the files it rests on."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, ResultError

if TYPE_CHECKING:
    from reports.annex import Files

    from ..documents.result import AuditResult

__all__ = ["annex_text", "check_annex"]


def check_annex(result: Path, out: Path | None) -> None:
    """Refuse what no annex can be drawn from or into, before anything is read."""
    if result.name == "curve.json":
        raise ResultError(f"{result} holds several audits, and an annex is of one: name the result.json of one of them")
    if out is not None and out.suffix.lower() not in (".html", ".htm", ".md"):
        raise ConfigError(f"--out {out}: an annex is an .html or .md file, by its ending")


def annex_text(result: "AuditResult", file: Path, out: Path | None) -> str:
    """Draw the annex by the ending of its file; Markdown where there is none.

    Raises
    ------
    ResultError
        If the checksums beside the result do not agree with it or with its samples.
    """
    from reports.annex import ANNEX_RENDERERS

    return ANNEX_RENDERERS[".md" if out is None else out.suffix.lower()](result, files_beside(file))


def files_beside(result: Path) -> "Files":
    """Hash the files beside a result, and hold them against its checksums; evidence that disagrees is an error."""
    from reports.annex import Files, FileSum

    from ..documents.checksums import CHECKSUMS, file_sha256, is_vouched_for, read_checksums

    folder, vouched = result.parent, is_vouched_for(result)
    stated = read_checksums(folder) if vouched else None
    if stated is None:
        alone = FileSum(result.name, file_sha256(result), "no checksums")
        return Files(
            (alone,), f"No {CHECKSUMS} beside it vouches for the result: its hash is that of the file as read here."
        )
    sums = tuple(FileSum(name, said, _state(folder / name, said)) for name, said in sorted(stated.items()))
    whole = (*sums, FileSum(CHECKSUMS, file_sha256(folder / CHECKSUMS), "the list itself"))
    return Files(whole, f"By {CHECKSUMS} beside the result, held against the files as they are now.", _signed(folder))


def _state(file: Path, stated: str) -> str:
    from ..documents.checksums import file_sha256

    if not file.is_file():
        return "not beside the result"
    return "agrees" if file_sha256(file) == stated else "DIFFERS: changed after the audit"


def _signed(folder: Path) -> str:
    """Say whether a signature lies beside the checksums; none is ever checked here."""
    from ..documents.checksums import CHECKSUMS

    beside = sorted(one.name for one in folder.glob(f"{CHECKSUMS}.*") if one.is_file())
    if beside:
        return f"Beside the list lies {', '.join(beside)}, which may sign it: it was not checked here."
    return (
        f"Not signed: {CHECKSUMS} shows that files were not changed by mistake. Who can change a file can change the "
        "list, too, until somebody signs it."
    )
