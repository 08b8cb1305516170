"""The command line: parse, call, print, exit code. Nothing heavy is imported before a command needs it."""

import io
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from .errors import AuditError, ConfigError, ResultError
from .version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from .config import AuditConfig
    from .pipeline import Audit
    from .results import AuditResult

__all__ = ["cli", "main"]


class _FloatList(click.ParamType[tuple[float, ...]]):
    """Numbers between commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as .001,.01,.05", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="auditor")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (anywhere on the line).")
def cli(debug: bool) -> None:
    """Measure what a language model remembers, and who could tell.

    Bits of unintended memorization and membership-inference audits of Hugging Face causal language models.
    Start with `auditor demo`.
    """


@cli.command()
@click.option("--target", metavar="M", help="Audited model: a local folder, or a hub id, ID@REVISION.")
@click.option("--reference", "references", metavar="M", multiple=True, help="Model that never saw the members.")
@click.option("--members", metavar="DATA", help="Texts the target was trained on.")
@click.option("--non-members", metavar="DATA", help="Texts of the same distribution that it was not trained on.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("audit-results"), show_default=True,
              help="Folder for result.json, samples.parquet, report.html, report.md and scores/.")  # fmt: skip
@click.option("--adapter", metavar="PEFT_DIR", help="PEFT adapter on the target; the reference is then its base.")
@click.option("--attack", "attacks", metavar="NAME[:k=v,...]", multiple=True,
              help="Attack to run; default: all that the inputs allow. See `auditor attacks`.")  # fmt: skip
@click.option("--text-field", metavar="NAME", help="Column that holds the text.  [default: text]")
@click.option("--split", metavar="NAME", help="Split of a `datasets` data set.  [default: train]")
@click.option("--non-members-split", metavar="NAME", help="Split of the non-members.  [default: that of --split]")
@click.option(
    "--max-tokens",
    type=int,
    metavar="N",
    help="Score at most N tokens of a text (with --long-texts stride: windows of N tokens).",
)
@click.option("--long-texts", type=click.Choice(["cut", "stride"]), help=(
    "Texts beyond a context window: cut at the same character for all models, or scored whole in windows that "
    "overlap by half.  [default: cut]"))  # fmt: skip
@click.option("--prefix-token", metavar="auto|none|bos|eos|ID",
              help="What stands before the first token of each text.  [default: auto]")  # fmt: skip
@click.option("--dtype", metavar="auto|float32|bfloat16|float16", help="Precision of the weights.  [default: auto]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to run.  [default: auto]")
@click.option("--batch-tokens", metavar="N|auto", help="Padded tokens in a batch.  [default: auto]")
@click.option("--confidence", type=float, metavar="P", help="Level of every interval.  [default: 0.95]")
@click.option("--fpr", "fpr_targets", type=_FloatList(), metavar="F,F,...",
              help="False-positive rates to report at.  [default: .001,.01,.05]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Of the bootstrap and of the certified bound.  [default: 0]")
@click.option("--bits-per-parameter", type=float, metavar="A", help="Capacity constant instead of the paper's.")
@click.option("--include-text", is_flag=True, default=None, help="Write sample texts into the outputs.")
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run code that comes with a model.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="TOML",
              help="File with these settings, by the keys of docs/config.md; flags override it.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print result.json on stdout and nothing else.")
def audit(out: Path, config_file: Path | None, as_json: bool, **options: Any) -> None:
    """Audit a checkpoint: bits per sample, attacks, a report.

    DATA is a .jsonl, .json, .csv, .parquet, .txt or .arrow file (.gz and .zst too), a folder of them, or a
    `datasets` id (name:config); with a column `text`, and optionally `id` and `group` (an empty group is none).
    """
    _run_audit(_audit_config(config_file, options), out, as_json=as_json)


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-audit"), show_default=True,
              help="Folder for the invented data, the two models and the report.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
def demo(out: Path, seed: int) -> None:
    """Show it all on invented people: train, audit, report. Offline, on a CPU, about a minute.

    A small model is trained on records of invented people, some of them repeated, and audited. Because the
    entropy of each record is known exactly, the bits that the audit finds can be checked against the truth.
    """
    from reports import render_demo

    from .config import AuditConfig
    from .demo import make_demo, memorization_by_copies
    from .progress import training_progress

    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed must be in [0, 2**32), got {seed}")
    _quiet_libraries()
    _make_folder(out)
    console = _console(stderr=False)
    console.print(
        "Inventing 700 people. A small model, the [bold]target[/], trains on the records of 300 of them, some "
        "repeated; another, the [bold]reference[/], on records of other people. Then the audit asks: what does the "
        "target remember, and could you tell whose record it saw?"
    )
    with training_progress(_console(stderr=True)) as on_progress:
        made = make_demo(out, seed=seed, on_progress=on_progress)
    config = AuditConfig.from_options(
        {
            "target": str(made.target),
            "references": [str(made.reference)],
            "members": str(made.members),
            "non_members": str(made.non_members),
            "seed": seed,
        }
    )
    samples = _run_audit(config, out, as_json=False).samples
    if samples.signed_bits is not None and samples.memorized_bits is not None:
        rows = memorization_by_copies(
            made,
            sample_id=samples.sample_id,
            target_bits=samples.target_bits,
            signed_bits=samples.signed_bits,
            memorized_bits=samples.memorized_bits,
        )
        console.print(render_demo(rows))
    console.print(
        "\nYour own model: auditor audit --target MODEL --reference BASE --members train.jsonl "
        "--non-members heldout.jsonl",
        markup=False,
    )


@cli.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["html", "md", "json"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default: stdout.")
def report(result: Path, form: str, out: Path | None) -> None:
    """Render the RESULT of an audit (result.json, or its folder) again."""
    from reports import RENDERERS

    text = RENDERERS[form](_read_result(result))
    if out is None:
        _print_document(text)
    else:
        _write(out, text)


@cli.command()
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
    _console(stderr=False).print(table)


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
        return _failed("interrupted; scores so far are kept, run the same command again to go on")
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
    from reports.safe import visible

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


def _audit_config(config_file: Path | None, options: dict[str, Any]) -> "AuditConfig":
    """Merge the configuration file and the flags; flags win."""
    from .config import AuditConfig, is_count, load_config_file

    given = {key: value for key, value in options.items() if value not in (None, ())}
    batch_tokens = given.pop("batch_tokens", None)
    if batch_tokens not in (None, "auto"):
        if not is_count(batch_tokens):
            raise ConfigError(f"--batch-tokens must be a number or auto, got {batch_tokens!r}")
        given["batch_tokens"] = int(batch_tokens)
    for key in ("references", "attacks"):
        if key in given:
            given[key] = list(given[key])
    return AuditConfig.from_options((load_config_file(config_file) if config_file else {}) | given)


def _run_audit(config: "AuditConfig", out: Path, *, as_json: bool) -> "Audit":
    """Audit, write every output, print the summary."""
    from reports import RENDERERS, render_terminal
    from reports.safe import visible

    _quiet_libraries()
    from .pipeline import audit as run
    from .progress import scoring_progress

    _make_folder(out)
    with scoring_progress(_console(stderr=True)) as on_progress:
        done = run(config, scores_folder=out / "scores", on_progress=on_progress)
    document = RENDERERS["json"](done.result)
    _write(out / "result.json", document)
    done.samples.write_parquet(out / "samples.parquet")
    _write(out / "report.html", RENDERERS["html"](done.result))
    _write(out / "report.md", RENDERERS["md"](done.result))
    if as_json:
        _print_document(document)
    else:
        console = _console(stderr=False)
        console.print(render_terminal(done.result))
        console.print(
            f"Report: {visible(str(out / 'report.html'), 4000)}", markup=False, highlight=False, soft_wrap=True
        )
    return done


def _make_folder(out: Path) -> None:
    """Make the output folder, or say why it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from error


def _read_result(path: Path) -> "AuditResult":
    """Read result.json, given itself or its folder."""
    from reports import from_json

    file = path / "result.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"cannot read the result {file}: {getattr(error, 'strerror', error)}") from error
    return from_json(text)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from .samples import whole_file

    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _print_document(text: str) -> None:
    """Print what other programs read: UTF-8, whatever the terminal speaks."""
    click.echo(text.encode())


def _console(*, stderr: bool) -> "Console":
    """Return a console; results go to stdout, everything else to stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _quiet_libraries() -> None:
    """Keep other libraries' bars and advice out of our streams; their errors reach the user through ours."""
    import warnings

    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.simplefilter("ignore")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
