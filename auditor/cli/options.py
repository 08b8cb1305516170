"""Options that several commands share, each with its words once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import cloup

from .kinds import FLOATS, PATH, PLACE
from .output import DETAIL

__all__ = ["detail_options", "folder_option", "grouped", "printing_options", "shared"]

Command = TypeVar("Command", bound=Callable[..., Any])

SHARED: dict[str, dict[str, Any]] = {
    "--reference": dict(name="references", type=PLACE, metavar="M", multiple=True,
                        help="Model that never saw the members."),
    "--tokenizer": dict(type=PLACE, metavar="M",
                        help="Tokenizer of the target (and its shadows), not its own: a folder, a hub id, or a "
                             "tokenizer.json, which is read as it is."),
    "--reference-tokenizer": dict(type=PLACE, metavar="M", help="The same for every reference."),
    "--members": dict(type=PLACE, metavar="DATA", help="Texts the target was trained on."),
    "--drop-ids": dict(type=PLACE, metavar="FILE", help="Sample ids to leave out, one a line."),
    "--salt": dict(type=PLACE, metavar="FILE", help="Secret that keys the hashes of texts in all documents."),
    "--attack": dict(alias="--attacks", name="attacks", metavar="NAME[:k=v,...]", multiple=True,
                     help="Attack to run; default: all that the inputs allow."),
    "--headline": dict(metavar="NAME[:k=v,...]", help="Attack that the verdict rests on."),
    "--text-field": dict(metavar="NAME", default="text",
                         help="Column that holds the text; without it, conversations are looked for."),
    "--dataset-split": dict(alias="--split", name="split", metavar="NAME", default="train",
                            help="Split of a `datasets` data set (no matter of `auditor split`)."),
    "--non-members-split": dict(metavar="NAME", default="that of --dataset-split", help="The same of the non-members."),
    "--fine-tuned": dict(alias="--fine-tuning", is_flag=True, default=False,
                         help="Training starts from a trained model: an extrapolation."),
    "--long-texts": dict(type=click.Choice(["cut", "stride"]), default="cut"),
    "--score": dict(type=click.Choice(["completion", "all"]), default="completion",
                    help="Of conversations, score what was completed (all turns of the assistant), or everything."),
    "--chat-template": dict(type=PLACE, metavar="FILE",
                            help="Chat template of every model, instead of its tokenizer's own."),
    "--prefix-token": dict(metavar="auto|none|bos|eos|ID", default="auto",
                           help="What stands before the first token of each text."),
    "--dtype": dict(metavar="auto|float32|bfloat16|float16", default="auto", help="Precision of the weights."),
    "--device": dict(metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="Where to run."),
    "--batch-tokens": dict(default="auto", help="Tokens in a batch, padding included."),
    "--confidence": dict(type=float, metavar="P", default=0.95, help="Level of every interval."),
    "--delta": dict(type=float, metavar="D", default=0.0, help="Delta of the claim that coins are held against."),
    "--guess-share": dict(type=float, metavar="S", default=0.2,
                          help="Share of the coins that is guessed; declare it before looking."),
    "--fpr": dict(name="fpr_targets", type=FLOATS, metavar="F,F,...", default=".001,.01,.05",
                  help="False-positive rates to report at."),
    "--seed": dict(type=int, metavar="N", default=0, help="Of the bootstrap and of the certified bound."),
    "--workers": dict(type=click.IntRange(min=1), default="the cores; 1 on an accelerator",
                      help="Trainings at the same time."),
    "--bits-per-parameter": dict(type=float, metavar="A", help="Capacity constant instead of the paper's."),
    "--capacity": dict(type=PLACE, metavar="FILE", help="Capacity measured by `auditor capacity`."),
    "--calibration": dict(type=PLACE, metavar="FILE", help="Membership law measured by `auditor calibrate`."),
    "--trust-remote-code": dict(is_flag=True, help="Run code that comes with a model."),
}  # fmt: skip
"""Settings of ``click.option`` by flag: ``name`` is the argument of the command, if not the flag's own, and ``alias``
another flag for the same, which older scripts use."""


def shared(*flags: str, filled: bool = False, **own: Any) -> Callable[[Command], Command]:
    """Give a command options of the table, in this order.

    Parameters
    ----------
    flags : str
        Their names, as on the command line.
    filled : bool
        Fill an option that is not given with its default. Otherwise it is None, so that a configuration file, a pack
        or the code beneath can decide, and the help only names the default.
    own : any
        What this command says otherwise than the table, as arguments of ``click.option``.
    """

    def decorated(command: Command) -> Command:
        for flag in reversed(flags):
            settings = {"name": flag.lstrip("-").replace("-", "_")} | SHARED[flag] | own
            names = [flag, *filter(None, [settings.pop("alias", None)]), settings.pop("name")]
            if not filled and settings.get("default") is not None:
                settings["help"] += f"  [default: {settings.pop('default')}]"
            command = click.option(*names, **settings)(command)
        return command

    return decorated


def folder_option(holds: str, **own: Any) -> Callable[[Command], Command]:
    """Give a command ``--out``, the folder that it writes to."""
    return click.option("--out", type=PATH, help=f"Folder for {holds}.", **own)


def printing_options(what: str) -> Callable[[Command], Command]:
    """Give a command ``--json``, ``--quiet`` and ``--verbose``; what the last two ask for, the consoles know."""

    def decorated(command: Command) -> Command:
        return click.option("--json", "as_json", is_flag=True, help=f"Print {what} and nothing else.")(
            detail_options(command)
        )

    return decorated


def detail_options(command: Command) -> Command:
    """Give a command ``--quiet`` and ``--verbose``, the last of which counts."""
    for short, flag, said in (
        ("-v", "--verbose", "Print the whole summary, not just what fits in 40 lines."),
        ("-q", "--quiet", "Print errors only, and of a verdict one line."),
    ):
        command = click.option(short, flag, is_flag=True, expose_value=False, callback=_keep, help=said)(command)
    return command


def _keep(context: click.Context, param: click.Parameter, given: bool) -> None:
    """Let the consoles of this command know how much is to be printed."""
    if given:
        context.meta[DETAIL] = param.name


def grouped(title: str, *options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Give a command options that stand in its help under a title of their own."""
    group = cloup.OptionGroup(title)

    def decorated(command: Command) -> Command:
        before = len(getattr(command, "__click_params__", ()))
        for option in reversed(options):
            command = option(command)
        for added in command.__click_params__[before:]:  # type: ignore[attr-defined]
            added.group = group
        return command

    return decorated
