"""``auditor report`` and ``auditor attacks``: what exists already, told again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..errors import ResultError
from .kinds import PATH
from .output import check_files, make_console, print_document, write

if TYPE_CHECKING:
    from ..documents.result import AuditResult

__all__ = ["attacks", "report"]


@cloup.command(short_help="Write the report of an audit again.")
@click.argument("result", type=PATH)
@click.option("--format", "form", type=click.Choice(["html", "md", "json"]), required=True)
@click.option("--out", type=PATH, help="File to write; default: stdout.")
def report(result: Path, form: str, out: Path | None) -> None:
    """Render the RESULT of an audit (result.json or curve.json, or their folder) again."""
    check_files(out)
    from reports import CURVE_RENDERERS, RENDERERS

    from ..documents.curve import read_curve

    file = _document(result)
    if file.suffix.lower() in (".parquet", ".html", ".md"):
        raise ResultError(f"{file} is not a result: give result.json, curve.json, or the folder that holds it")
    text = CURVE_RENDERERS[form](read_curve(file)) if file.name == "curve.json" else RENDERERS[form](_read_result(file))
    if out is None:
        print_document(text)
    else:
        write(out, text)


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


def _document(path: Path) -> Path:
    """Find the document, given itself or its folder; the curve of a folder that holds several audits."""
    if not path.is_dir():
        return path
    curve = path / "curve.json"
    return curve if curve.exists() and not (path / "result.json").exists() else path / "result.json"


def _read_result(file: Path) -> "AuditResult":
    """Read result.json."""
    from reports import from_json

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"cannot read the result {file}: {getattr(error, 'strerror', error)}") from error
    return from_json(text)
