"""The group of all commands. Nothing heavy is imported before a command needs it."""

import click
import cloup

from ..version import __version__
from .audit import audit
from .bench import bench
from .calibrate import calibrate
from .canaries import canaries
from .capacity import capacity
from .compare import compare
from .demo import demo
from .doctor import doctor
from .epsilon import epsilon
from .gate import gate
from .pack import pack
from .predict import predict
from .report import attacks, report
from .reproduce import reproduce
from .secrets import secrets
from .shadows import shadows
from .split import split
from .verify import verify

__all__ = ["cli"]

_WIDEST = 10_000
"""Columns of help at most: as wide as the terminal is."""


def _print_versions(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the version, and the installed versions that a report of an error needs."""
    if not asked or context.resilient_parsing:
        return
    from ..diagnosis.versions import installed_versions

    click.echo(f"auditor, version {__version__}")
    for name, version in installed_versions().items():
        click.echo(f"{name} {version}")
    context.exit()


@cloup.group(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": _WIDEST}
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_versions,
              help="Show the versions of auditor and of what it runs on, and exit.")  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error (anywhere on the line).")
def cli(debug: bool) -> None:
    """Measure what a language model remembers, and who could tell.

    Bits of unintended memorization and membership-inference audits of Hugging Face causal language models.
    Start with `auditor demo`.
    """


cli.section("Start", demo, doctor)
cli.section("Before training", predict, split, canaries, capacity, calibrate)
cli.section("Audit", audit, secrets, shadows, pack, attacks, epsilon)
cli.section("Read and judge", report, gate, compare, verify)
cli.section("Research", bench, reproduce)
