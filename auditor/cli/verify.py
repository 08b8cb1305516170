"""``auditor verify``: the claims of a finished audit, computed again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..errors import ResultError
from .kinds import PATH
from .options import printing_options
from .output import print_document, print_summary, quiet_libraries

if TYPE_CHECKING:
    from rich.table import Table

    from ..documents.verification import Verification

__all__ = ["verify"]


@cloup.command(short_help="Compute the claims of an audit again.")
@click.argument("result", type=PATH)
@click.option("--data/--no-data", default=True, help="Read the texts again, if they are here.")
@click.option("--models/--no-models", default=True,
              help="Hash the weights again, if they are here (about a second a gigabyte).")  # fmt: skip
@printing_options("every claim as JSON on stdout")
def verify(result: Path, data: bool, models: bool, as_json: bool) -> None:
    """Compute again what the RESULT of an audit (result.json, or its folder) claims.

    Checksums of the files; counts, AUCs, the other figures of every attack and the bits from samples.parquet; texts
    and weights where they still lie where the audit found them. Says what no longer matches, what could not be
    checked and why. Exit code 2 if anything does not match. Of the gates.json of --until-decided: checksum, policy and
    weights. Of a secrets.json: what follows from its ranks, and the target's weights.
    """
    quiet_libraries()
    from ..documents.files import to_text
    from ..verification.verify import verify as run

    found = run(result, data=data, models=models)
    if as_json:
        print_document(to_text(found))
    else:
        print_summary(_table(found))
    if differing := found.of("differs"):
        n = len(found.claims) - len(found.of("not_checked"))
        first = f"{differing[0].name}: {differing[0].detail}"
        raise ResultError(f"{len(differing)} of {n} claims of {found.result} do not match; {first}")


def _table(found: "Verification") -> "Table":
    """Show every claim in a row."""
    from rich.table import Table
    from rich.text import Text

    from reports.escaping import PATH, visible

    words = {"matches": ("matches", "green"), "differs": ("DIFFERS", "bold red"), "not_checked": ("not checked", "dim")}
    table = Table("claim", "", "what was found", box=None, pad_edge=False)
    for claim in found.claims:
        word, style = words[claim.status]
        table.add_row(Text(visible(claim.name, PATH)), Text(word, style=style), Text(visible(claim.detail, 1000)))
    return table
