"""The command line: parse, call, print, exit code. Whatever happens, a run ends with one line and 0, 1 or 2.

Nothing is imported here but what that takes: the commands, and all that they need, come after the signals are handled.
"""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .process import ignore_signals, interruptible, streams

if TYPE_CHECKING:
    from .commands import cli

__all__ = ["cli", "main"]

_INTERRUPTED = "Error: interrupted; {}\n"
_KEPT = "what was finished is kept, run the same command again to go on"


_WINDOWS = sys.platform == "win32"
_NOT_HERE = (
    "Error: auditor is for Linux and macOS; on Windows no file mode keeps texts and scores for their owner alone, and "
    "nothing is tested: run it in WSL\n"
)


def __getattr__(name: str) -> Any:
    if name == "cli":
        from .commands import cli

        return cli
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line: exit code 0 done, 1 only for a failed gate, 2 for anything else."""
    code = 2
    if _WINDOWS:
        _write(_NOT_HERE)
        sys.exit(code)
    try:
        with interruptible(), streams():
            arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
            code = _run(arguments, debug=len(arguments) < len(sys.argv) - 1)
    except KeyboardInterrupt:  # between two lines of ours
        _write(_INTERRUPTED.format(_KEPT))
    sys.exit(code)


def _run(arguments: list[str], *, debug: bool) -> int:
    """Run a command, say in one line why it failed, and return the exit code."""
    try:
        return _call(arguments, debug=debug)
    except KeyboardInterrupt as stop:
        ignore_signals()
        _write(_INTERRUPTED.format(*(stop.args or (_KEPT,))))
        return 2


def _call(arguments: list[str], *, debug: bool) -> int:
    """Run a command that nobody interrupts."""
    import click

    from ..errors import AuditError, ConfigError
    from .commands import cli

    try:
        for argument in arguments:
            if any("\ud800" <= char <= "\udfff" for char in argument):
                raise ConfigError(f"the argument {argument} is not valid in the encoding of the terminal; rename it")
        if asked := os.environ.get("_AUDITOR_COMPLETE"):  # what a shell asks, see docs/quickstart.md
            from click.shell_completion import shell_complete

            return 0 if shell_complete(cli, {}, "auditor", "_AUDITOR_COMPLETE", asked) == 0 else 2
        code = 0
        with suppress(click.exceptions.Exit), cli.make_context("auditor", arguments) as context:
            code = int(cli.invoke(context) or 0)  # not `main`, which has ends of its own; --help is an Exit
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be printed is known now, not when the interpreter ends
    except SystemExit as stop:  # a library's own way out
        return 2 if stop.code else 0
    except click.exceptions.Abort as error:
        raise KeyboardInterrupt from error
    except KeyboardInterrupt:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        return _failed(error.format_message(), is_help=True)
    except click.UsageError as error:
        usage = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _failed(error.format_message() + usage)
    except click.ClickException as error:
        return _failed(error.format_message())
    except AuditError as error:
        return _failed(str(error), debug=debug)
    except BaseException as error:  # a panic of Rust code is no Exception
        return _failed(_unexpected(error), debug=debug)
    return code


def _unexpected(error: BaseException) -> str:
    """Say what nobody foresaw; 1 would read as a failed gate."""
    if isinstance(error, OSError) and error.errno:  # such as a full disk behind stdout
        return f"cannot read or write {error.filename or 'the output'}: {error.strerror}"
    hint = "(run with --debug for the traceback; please report it)"
    if not isinstance(error, Exception):  # what a panic says may quote the text that it was about
        return f"unexpected {type(error).__name__} in a library, such as the tokenizer {hint}"
    return f"unexpected {type(error).__name__}: {error} {hint}"


def _failed(message: str, *, debug: bool = False, is_help: bool = False) -> int:
    """Print one line, with nothing in it that a terminal would obey, or the help; return exit code 2."""
    import traceback

    from reports.escaping import visible

    if debug:
        _write(visible(traceback.format_exc(), 100_000, keep="\n") + "\n")
    _write((message if is_help else "Error: " + visible(" ".join(message.split()), 4000)) + "\n")
    return 2


def _write(line: str) -> None:
    """Write to stderr, whether or not anybody listens."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line)
        sys.stderr.flush()
