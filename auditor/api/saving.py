"""The files of an audit, written into a folder: by the command line and by a program alike."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reports import RENDERERS, html_report

from ..auditing.pipeline import Audit
from ..data.drops import drop_ids_text, read_drop_ids
from ..documents.checksums import CHECKSUMS, LINKED, OUTPUTS, file_sha256, write_checksums
from ..documents.places import check_files, make_folder, write

__all__ = ["prepare_folder", "write_audit"]

_OURS = "leave out with: auditor audit --drop-ids THIS-FILE"
"""First line of the drop lists that audits write."""


def prepare_folder(out: Path) -> None:
    """Make the folder of an audit, and see that all of its files can be written."""
    make_folder(out, folders=("scores",))
    check_files(*(out / name for name in (*OUTPUTS, CHECKSUMS, "gates.json")))


def write_audit(done: Audit, out: Path, *, scores: Path | None = None) -> Audit:
    """Write the table of samples (once more for spreadsheets), the document, reports, drop list and checksums.

    Parameters
    ----------
    out : Path
        Made by :func:`prepare_folder`.
    scores : Path, optional
        A store of scores elsewhere, which is copied to ``out/scores``.

    Returns
    -------
    Audit
        The same, whose document names its table by the table's hash.
    """
    done.samples.write_parquet(out / "samples.parquet")
    done.samples.write_csv(out / "samples.csv")
    provenance = replace(done.result.provenance, samples_sha256=file_sha256(out / "samples.parquet"))
    done = replace(done, result=replace(done.result, provenance=provenance))
    write(out / "result.json", RENDERERS["json"](done.result))
    write(out / "report.html", html_report(done.result, files=LINKED))
    write(out / "report.md", RENDERERS["md"](done.result))
    has_list = _write_drop_ids(done, done.result.config, out / "drop-ids.txt")
    write_checksums(out, [name for name in OUTPUTS if has_list or name != "drop-ids.txt"])
    if scores is not None and scores.is_dir() and scores.resolve() != (out / "scores").resolve():
        shutil.copytree(scores, out / "scores", dirs_exist_ok=True)
    return done


def _write_drop_ids(done: Audit, config: Mapping[str, Any], path: Path) -> bool:
    """List the samples to leave out so that checks pass, after those that were left out this time, if there are any.

    A list that an earlier audit wrote goes: it may name samples of other texts. Return whether what is there now is of
    this audit, written by it or the list that it was given.
    """
    checks = done.result.soundness.checks if done.result.soundness else ()
    offenders = [sample_id for check in checks if check.verdict != "pass" for sample_id in check.sample_ids]
    given = None if config.get("drop_ids") is None else Path(config["drop_ids"])
    if offenders:
        before = [] if given is None else sorted(read_drop_ids(given))
        write(path, drop_ids_text([*before, *offenders], comment=_OURS))
        return True
    if given is not None and given.resolve() == path.resolve():
        return True
    if _is_ours(path):
        path.unlink()
    return False


def _is_ours(path: Path) -> bool:
    """Whether an audit wrote a drop list."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().strip() == f"# {_OURS}".encode()
