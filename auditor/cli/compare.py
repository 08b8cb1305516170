"""``auditor compare``: what changed between two audits, text by text where the texts are the same."""

import os
from pathlib import Path

import click
import cloup

from .kinds import PATH
from .options import folder_option, printing_options, shared
from .output import make_folder, print_document, print_summary, write

__all__ = ["compare"]

SECRETS = "secrets.json"


@cloup.command(short_help="Say what changed between two audits.")
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@folder_option("comparison.json, comparison.html and comparison.md")
@shared("--confidence", filled=True, metavar=None)
@printing_options("comparison.json on stdout")
def compare(old: Path, new: Path, out: Path | None, confidence: float, as_json: bool) -> None:
    """Say what changed from the audit OLD to the audit NEW (the folders that `auditor audit --out` wrote).

    Texts that both audits hold are compared one by one, so that a change is seen that the two intervals would hide;
    audits without common texts are compared as independent ones, and marked so. Also listed: members that became highly
    memorized or no longer are, and whatever else differs (reference, precision, prefix, options, data), with what that
    means for the figures. The exit code is 0 whatever changed: `auditor gate` judges a comparison.json.

    OLD and NEW may be two secrets.json of `auditor secrets`, too, or their folders: written is then secrets-changes.
    """
    if all(map(_holds_secrets, (old, new))):
        _compare_secrets(old, new, out, confidence=confidence, as_json=as_json)
        return
    from reports import COMPARISON_RENDERERS, html_comparison, render_comparison
    from reports.comparison import verdict_line

    from ..comparison.compare import compare_audits

    if out is not None:
        make_folder(out)
    comparison = compare_audits(old, new, level=confidence)
    if out is not None:
        for form, render in COMPARISON_RENDERERS.items():
            if form != "html":
                write(out / f"comparison.{form}", render(comparison))
        links = (_report(one, out) for one in (old, new))
        write(out / "comparison.html", html_comparison(comparison, old=next(links), new=next(links)))
    if as_json:
        print_document(COMPARISON_RENDERERS["json"](comparison))
        return
    below = [] if out is None else [f"\nReport: {out / 'comparison.html'}"]
    print_summary(render_comparison(comparison), *below, verdict=verdict_line(comparison))


def _holds_secrets(path: Path) -> bool:
    """Whether a path is ranked secrets, or a folder that holds them and no audit."""
    return path.name == SECRETS or ((path / SECRETS).is_file() and not (path / "result.json").is_file())


def _compare_secrets(old: Path, new: Path, out: Path | None, *, confidence: float, as_json: bool) -> None:
    """Say what changed between the secrets of two models."""
    from ..comparison.secrets import follow_secrets
    from ..documents.secrets import read_secrets
    from .secrets import tell_changes

    files = [one / SECRETS if one.is_dir() else one for one in (old, new)]
    audits = [(label, read_secrets(file)) for label, file in zip(("old", "new"), files, strict=True)]
    tell_changes(follow_secrets(audits, level=confidence), out, as_json=as_json)


def _report(audit: Path, out: Path) -> str | None:
    """Find the report of an audit as seen from a folder; None if there is none, or no relative path leads to it."""
    file = (audit if audit.is_dir() else audit.parent).resolve() / "report.html"
    try:
        return Path(os.path.relpath(file, out.resolve())).as_posix() if file.is_file() else None
    except ValueError:  # on another drive
        return None
