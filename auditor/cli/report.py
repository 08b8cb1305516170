"""``auditor report`` and ``auditor attacks``: what exists already, told again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ResultError
from .output import make_console, print_document, write

if TYPE_CHECKING:
    from ..results import AuditResult

__all__ = ["attacks", "report"]


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["html", "md", "json"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default: stdout.")
def report(result: Path, form: str, out: Path | None) -> None:
    """Render the RESULT of an audit (result.json, or its folder) again."""
    from reports import RENDERERS

    text = RENDERERS[form](_read_result(result))
    if out is None:
        print_document(text)
    else:
        write(out, text)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def attacks(as_json: bool) -> None:
    """List the attacks: name, parameters, needs, paper."""
    from attacks import BUILTIN

    rows = [
        {
            "name": name,
            "params": attack().params(),
            "needs": sorted(str(need) for need in attack.needs),
            "paper": attack.paper,
            "summary": attack.summary,
        }
        for name, attack in BUILTIN.items()
    ]
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("attack", "parameters", "needs", "paper", "score (higher = member)"):
        table.add_column(heading, overflow="fold")
    for name, attack in BUILTIN.items():
        params = ", ".join(f"{key}={value}" for key, value in attack().params().items())
        needs = ", ".join(sorted(attack.needs))
        table.add_row(name, params, needs, attack.paper, attack.summary)
    make_console(stderr=False).print(table)


def _read_result(path: Path) -> "AuditResult":
    """Read result.json, given itself or its folder."""
    from reports import from_json

    file = path / "result.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"cannot read the result {file}: {getattr(error, 'strerror', error)}") from error
    return from_json(text)
