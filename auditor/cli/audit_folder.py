"""An audit written into its folder, and its summary printed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .output import detail, make_console, make_folder, print_document, print_summary, quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..auditing.pipeline import Audit
    from ..config import AuditConfig
    from ..engine.ranks import Rank
    from ..packs.reading import Unpacked

__all__ = ["audit_into", "remove_verdict", "report_line", "run_audit"]

_FIGURES = "figures"
"""Folder of the figures of an audit, in that of its outputs."""


def run_audit(
    config: "AuditConfig",
    out: Path,
    *,
    as_json: bool,
    rank: "Rank | None" = None,
    pack: "Unpacked | None" = None,
    overwrite: bool = False,
    figures: "Sequence[str]" = (),
) -> "Audit":
    """Audit, write every output, print the summary."""
    from reports import RENDERERS, render_terminal
    from reports.to_terminal import verdict_line

    done = audit_into(
        config, out, scores_folder=out / "scores", rank=rank, pack=pack, overwrite=overwrite, figures=figures
    )
    if as_json:
        print_document(RENDERERS["json"](done.result))
    else:
        summary = render_terminal(done.result, verbose=detail() == "verbose")
        print_summary(summary, report_line("Report", out / "report.html"), verdict=verdict_line(done.result))
    return done


def audit_into(
    config: "AuditConfig",
    out: Path,
    *,
    scores_folder: Path,
    rank: "Rank | None",
    pack: "Unpacked | None" = None,
    overwrite: bool = False,
    figures: "Sequence[str]" = (),
) -> "Audit":
    """Audit and write every output; an audit of another model or of other texts is replaced only with ``overwrite``."""
    from ..phases import AUDIT
    from .progress import phases

    with phases(make_console(stderr=True), AUDIT) as shown:
        quiet_libraries()
        from ..api.saving import prepare_folder, write_audit
        from ..auditing.earlier import find_earlier
        from ..auditing.pipeline import audit as run
        from ..engine.freed_memory import keep_freed_memory
        from ..engine.ranks import ALONE

        keep_freed_memory()
        prepare_folder(out)
        make_folder(out, folders=(_FIGURES,))
        for file in config.attack_files:
            said = f"Running the code of {file} (--attack-file)"
            make_console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)
        done = run(
            config,
            scores_folder=scores_folder,
            on_progress=shown.scored,
            on_phase=shown.at,
            rank=rank or ALONE,
            replaces=None if overwrite else find_earlier(out),
        )
        if pack is not None:
            done = replace(done, result=pack.restated(done.result))
        remove_verdict(out)
        done = write_audit(done, out)
        _draw(done, out, figures)
        return done


def _draw(done: "Audit", out: Path, formats: "Sequence[str]") -> None:
    """Draw the figures of an audit; those of an earlier one in the folder go."""
    folder = out / _FIGURES
    if not formats and not folder.is_dir():
        return
    from reports.plots import AUDIT_FIGURES, FORMATS, audit_figures

    for name in (f"{figure}.{form}" for figure in AUDIT_FIGURES for form in FORMATS):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot remove {folder / name}, a figure of an earlier audit: {error.strerror}"
            ) from error
    if formats:
        make_folder(folder)
        audit_figures(done.result, done.samples, folder, formats)


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


def report_line(what: str, path: Path) -> str:
    """Say where the whole of what was printed lies."""
    from reports.escaping import visible

    return f"{what}: {visible(str(path), 4000)}"
