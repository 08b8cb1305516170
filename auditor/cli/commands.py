"""The group of all commands. Nothing heavy is imported before a command needs it."""

import click

from ..version import __version__
from .audit import audit
from .calibrate import calibrate
from .capacity import capacity
from .compare import compare
from .demo import demo
from .epsilon import epsilon
from .gate import gate
from .pack import pack
from .predict import predict
from .report import attacks, report
from .shadows import shadows
from .split import split
from .verify import verify

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="auditor")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (anywhere on the line).")
def cli(debug: bool) -> None:
    """Measure what a language model remembers, and who could tell.

    Bits of unintended memorization and membership-inference audits of Hugging Face causal language models.
    Start with `auditor demo`.
    """


_COMMANDS = (audit, split, pack, predict, capacity, calibrate, shadows, demo, report, attacks, compare, gate, verify)
for _one in (*_COMMANDS, epsilon):
    cli.add_command(_one)
