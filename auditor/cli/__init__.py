"""The command line: parse, call, print, exit code. Nothing heavy is imported before a command needs it."""

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import TextIO

import click

from ..errors import AuditError, ConfigError
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

__all__ = ["cli", "main"]


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


def main() -> None:
    """Run the command line: exit code 0 done, 1 only for a failed gate, 2 for anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that it has no code for ends no audit
            stream.reconfigure(errors="replace")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    code = _run(arguments, debug=len(arguments) < len(sys.argv) - 1)
    for stream in (sys.stdout, sys.stderr):
        _settle(stream)
    sys.exit(code)


def _run(arguments: list[str], *, debug: bool) -> int:
    """Run a command, say in one line why it failed, and return the exit code."""
    try:
        for argument in arguments:
            if any("\ud800" <= char <= "\udfff" for char in argument):
                raise ConfigError(f"the argument {argument} is not valid in the encoding of the terminal; rename it")
        code = int(cli.main(arguments, prog_name="auditor", standalone_mode=False) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be printed is known now, not when the interpreter ends
    except SystemExit as stop:  # click and rich exit with 1 on a closed pipe
        return 2 if stop.code else 0
    except BrokenPipeError:
        return 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _failed("interrupted; what was finished is kept, run the same command again to go on")
    except click.exceptions.NoArgsIsHelpError as error:
        return _failed(error.format_message(), is_help=True)
    except click.UsageError as error:
        usage = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _failed(error.format_message() + usage)
    except click.ClickException as error:
        return _failed(error.format_message())
    except AuditError as error:
        return _failed(str(error), debug=debug)
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # such as a full disk behind stdout
            what = error.filename or "the output"
            return _failed(f"cannot read or write {what}: {error.strerror}", debug=debug)
        unexpected = f"unexpected {type(error).__name__}: {error}"  # a bug of ours; 1 would read as a failed gate
        return _failed(f"{unexpected} (run with --debug for the traceback; please report it)", debug=debug)
    return code


def _failed(message: str, *, debug: bool = False, is_help: bool = False) -> int:
    """Print one line, with nothing in it that a terminal would obey, or the help; return exit code 2."""
    from reports.escaping import visible

    with suppress(OSError):  # nobody listens
        if debug:
            click.echo(visible(traceback.format_exc(), 100_000, keep="\n"), err=True)
        click.echo(message if is_help else "Error: " + visible(" ".join(message.split()), 4000), err=True)
    return 2


def _settle(stream: TextIO | None) -> None:
    """Flush a stream; if that fails, let the rest go nowhere, or it would fail again when the interpreter ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
