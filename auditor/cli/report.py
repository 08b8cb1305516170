"""``auditor report`` and ``auditor attacks``: what exists already, told again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..errors import ConfigError, ResultError
from .kinds import PATH
from .output import check_files, make_console, print_document, write
from .report_annex import annex_text, check_annex

if TYPE_CHECKING:
    from ..documents.result import AuditResult

__all__ = ["attacks", "report"]

DOCUMENTS = ("result.json", "curve.json", "secrets.json", "secrets-changes.json")


@cloup.command(short_help="Write the report of an audit again.")
@click.argument("result", type=PATH)
@click.option("--format", "form", type=click.Choice(["html", "md", "json", "summary", "annex"]), default="html",
              show_default=True, help=(
                  "summary: one or two pages of HTML, to be printed or passed on. annex: the evidence beside what "
                  "EDPB, NIST, AI Act and GDPR ask for."))  # fmt: skip
@click.option("--interactive", is_flag=True, help=(
    "With html: a table of all samples that sorts and filters, and curves that can be read, by one script in the page."
))  # fmt: skip
@click.option("--out", type=PATH, help="File to write (an annex by its ending: .html or .md); default: stdout.")
def report(result: Path, form: str, interactive: bool, out: Path | None) -> None:
    """Render the RESULT of an audit (result.json, curve.json or secrets.json, or their folder) again."""
    check_files(out)
    if interactive and form != "html":
        raise ConfigError(f"--interactive is for --format html, not for {form}; leave one of them out")
    file = _document(result)
    if file.suffix.lower() in (".parquet", ".csv", ".html", ".md"):
        raise ResultError(f"{file} is not a result: give result.json, curve.json, or the folder that holds it")
    if file.name in ("secrets.json", "secrets-changes.json"):
        text = _secrets(file, form, interactive)
    elif form == "annex":
        check_annex(file, out)
        text = annex_text(_read_result(file), file, out)
    elif file.name == "curve.json":
        text = _curve(file, form, interactive, out)
    else:
        text = _audit(file, form, interactive, out)
    if out is None:
        print_document(text)
    else:
        write(out, text)


def _audit(file: Path, form: str, interactive: bool, out: Path | None) -> str:
    """Render an audit; its report links what lies beside it."""
    from reports import RENDERERS, html_report

    result = _read_result(file)
    if form != "html":
        return RENDERERS[form](result)
    from ..documents.checksums import LINKED

    beside = () if out is None else tuple(name for name in LINKED if out.with_name(name).is_file())
    samples = file.with_name("samples.parquet")
    is_ours = out is not None and out.absolute().parent == file.absolute().parent
    return html_report(
        result,
        files=beside if is_ours else (),
        interactive=interactive,
        samples=samples if samples.is_file() else None,
    )


def _curve(file: Path, form: str, interactive: bool, out: Path | None) -> str:
    """Render a curve; its page links the reports of the checkpoints, where they lie beside it."""
    from reports import CURVE_RENDERERS, html_curve

    from ..documents.curve import read_curve

    if form not in CURVE_RENDERERS or interactive:
        asked = "--interactive" if interactive else f"--format {form}"
        raise ConfigError(f"{asked} is for one audit, and {file} is a curve of several: give the folder of one of them")
    curve = read_curve(file)
    if form != "html" or out is None:
        return CURVE_RENDERERS[form](curve)
    found = [point.label for point in curve.points if (out.parent / point.label / "report.html").is_file()]
    return html_curve(curve, reports=found)


@cloup.command(short_help="List the attacks.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def attacks(as_json: bool) -> None:
    """List the attacks: what each scores, its parameters, its paper, and when it is run."""
    from attacks import BUILTIN

    from ..auditing.attack_choice import when_run

    rows = [
        {
            "name": name,
            "params": attack().params(),
            "needs": sorted(str(need) for need in attack.needs),
            "paper": attack.paper,
            "summary": attack.summary,
            "run": when_run(attack.needs),
        }
        for name, attack in BUILTIN.items()
    ]
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    table.add_column("score (higher = member); parameters, paper, when it is run")
    for name, attack in BUILTIN.items():
        params = [f"{key}={value}" for key, value in attack().params().items()]
        details = "; ".join([*params, attack.paper, when_run(attack.needs)])
        table.add_row(name, f"{attack.summary}\n  {details}")
    make_console(stderr=False).print(table)


def _secrets(file: Path, form: str, interactive: bool) -> str:
    """Render ranked secrets, which have neither samples nor a summary."""
    from reports import SECRETS_CHANGES_RENDERERS, SECRETS_RENDERERS

    from ..documents.secrets import read_secrets
    from ..documents.secrets_changes import read_secrets_changes

    if interactive or form not in SECRETS_RENDERERS:
        given = "--interactive" if interactive else f"--format {form}"
        raise ConfigError(f"{given} is for an audit, not for {file.name}; give --format html, md or json")
    if file.name == "secrets-changes.json":
        return SECRETS_CHANGES_RENDERERS[form](read_secrets_changes(file))
    return SECRETS_RENDERERS[form](read_secrets(file))


def _document(path: Path) -> Path:
    """Find the document, given itself or its folder: the audit, else the curve of several, else the secrets."""
    if not path.is_dir():
        return path
    held = [path / name for name in DOCUMENTS if (path / name).exists()]
    return held[0] if held else path / "result.json"


def _read_result(file: Path) -> "AuditResult":
    """Read result.json."""
    from reports import from_json

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"cannot read the result {file}: {getattr(error, 'strerror', error)}") from error
    return from_json(text)
