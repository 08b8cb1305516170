"""An audit written into its folder, and its summary printed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .output import check_files, make_console, make_folder, print_document, quiet_libraries, write

if TYPE_CHECKING:
    from rich.console import Group

    from ..audit.pipeline import Audit
    from ..config import AuditConfig
    from ..engine.ranks import Rank
    from ..packs.reading import Unpacked

__all__ = ["audit_into", "print_summary", "remove_verdict", "run_audit"]

_OURS = "leave out with: auditor audit --drop-ids THIS-FILE"
"""First line of the drop lists that audits write."""


def run_audit(
    config: "AuditConfig",
    out: Path,
    *,
    as_json: bool,
    rank: "Rank | None" = None,
    pack: "Unpacked | None" = None,
    overwrite: bool = False,
) -> "Audit":
    """Audit, write every output, print the summary."""
    from reports import RENDERERS, render_terminal

    done = audit_into(config, out, scores_folder=out / "scores", rank=rank, pack=pack, overwrite=overwrite)
    if as_json:
        print_document(RENDERERS["json"](done.result))
    else:
        print_summary(render_terminal(done.result), "Report", out / "report.html")
    return done


def audit_into(
    config: "AuditConfig",
    out: Path,
    *,
    scores_folder: Path,
    rank: "Rank | None",
    pack: "Unpacked | None" = None,
    overwrite: bool = False,
) -> "Audit":
    """Audit and write every output; an audit of another model or of other texts is replaced only with ``overwrite``."""
    quiet_libraries()
    from reports import RENDERERS

    from ..audit.earlier import find_earlier
    from ..audit.pipeline import audit as run
    from ..documents.checksums import CHECKSUMS, OUTPUTS, write_checksums
    from ..engine.ranks import ALONE
    from .progress import scoring_progress

    make_folder(out, folders=("scores",))
    check_files(*(out / name for name in (*OUTPUTS, CHECKSUMS, "gates.json")))
    replaces = None if overwrite else find_earlier(out)
    with scoring_progress(make_console(stderr=True)) as on_progress:
        done = run(config, scores_folder=scores_folder, on_progress=on_progress, rank=rank or ALONE, replaces=replaces)
    if pack is not None:
        done = replace(done, result=pack.restated(done.result))
    remove_verdict(out)
    done.samples.write_parquet(out / "samples.parquet")
    done = _vouched_for(done, out / "samples.parquet")
    write(out / "result.json", RENDERERS["json"](done.result))
    write(out / "report.html", RENDERERS["html"](done.result))
    write(out / "report.md", RENDERERS["md"](done.result))
    has_list = _write_drop_ids(done, config, out / "drop-ids.txt")
    write_checksums(out, [name for name in OUTPUTS if has_list or name != "drop-ids.txt"])
    return done


def remove_verdict(out: Path) -> None:
    """Remove the verdict on what lay in a folder before, as it is not one on the audit that is written now."""
    verdict = out / "gates.json"
    try:
        verdict.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot remove {verdict}, the verdict on an earlier audit: {error.strerror}") from error
    said = f"Removed: {verdict}, the verdict on an earlier audit"
    make_console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)


def _vouched_for(done: "Audit", samples: Path) -> "Audit":
    """Name the table of samples in the result by its hash."""
    from ..documents.checksums import file_sha256

    provenance = replace(done.result.provenance, samples_sha256=file_sha256(samples))
    return replace(done, result=replace(done.result, provenance=provenance))


def _write_drop_ids(done: "Audit", config: "AuditConfig", path: Path) -> bool:
    """List the samples to leave out so that checks pass, after those that were left out this time, if there are any.

    A list that an earlier audit wrote goes: it may name samples of other texts. Return whether what is there now is of
    this audit, written by it or the list that it was given.
    """
    from ..data.drops import drop_ids_text, read_drop_ids

    checks = done.result.soundness.checks if done.result.soundness else ()
    offenders = [sample_id for check in checks if check.verdict != "pass" for sample_id in check.sample_ids]
    given = None if config.drop_ids is None else Path(config.drop_ids)
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


def print_summary(summary: "Group", what: str, path: Path) -> None:
    """Print a summary and where the whole of it lies."""
    from reports.escaping import visible

    console = make_console(stderr=False)
    console.print(summary)
    console.print(f"{what}: {visible(str(path), 4000)}", markup=False, highlight=False, soft_wrap=True)
