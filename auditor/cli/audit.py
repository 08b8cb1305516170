"""``auditor audit``, and the run of an audit that the demonstration shares."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from .kinds import AMOUNT, FLOATS
from .output import make_console, make_folder, print_document, quiet_libraries, write

if TYPE_CHECKING:
    from ..config import AuditConfig
    from ..engine.ranks import Rank
    from ..pipeline import Audit

__all__ = ["audit", "run_audit"]


@click.command()
@click.option(
    "--target",
    metavar="M",
    help="Audited model: a folder of a model or adapter, a .gguf file, or a hub id, ID@REVISION.",
)
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
@click.option("--device-map", metavar="auto|balanced|sequential",
              help="Spread each model over all devices, memory and disk.")  # fmt: skip
@click.option("--batch-tokens", metavar="N|auto", help="Tokens in a batch, padding included.  [default: auto]")
@click.option("--confidence", type=float, metavar="P", help="Level of every interval.  [default: 0.95]")
@click.option("--fpr", "fpr_targets", type=FLOATS, metavar="F,F,...",
              help="False-positive rates to report at.  [default: .001,.01,.05]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Of the bootstrap and of the certified bound.  [default: 0]")
@click.option("--bits-per-parameter", type=float, metavar="A", help="Capacity constant instead of the paper's.")
@click.option("--capacity", metavar="FILE", help="Capacity measured by `auditor capacity`.")
@click.option("--train-samples", type=AMOUNT, metavar="N",
              help="Samples of the target's whole training set: sets prediction beside measurement.")  # fmt: skip
@click.option("--train-tokens", type=AMOUNT, metavar="N", help="The same in tokens.")
@click.option("--epochs", type=AMOUNT, metavar="N", help="Passes of the target over its training set.")
@click.option("--fine-tuned", is_flag=True, default=None, help="The target was not trained from scratch.")
@click.option("--calibration", metavar="FILE", help="Membership law measured by `auditor calibrate`.")
@click.option("--include-text", is_flag=True, default=None, help="Write sample texts into the outputs.")
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run code that comes with a model.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="TOML",
              help="File with these settings, by the keys of docs/config.md; flags override it.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print result.json on stdout and nothing else.")
def audit(out: Path, config_file: Path | None, as_json: bool, **options: Any) -> None:
    """Audit a checkpoint: bits per sample, attacks, a report.

    DATA is a .jsonl, .json, .csv, .parquet, .txt or .arrow file (.gz and .zst too), a folder of them, or a
    `datasets` id (name:config); with a column `text`, and optionally `id` and `group` (an empty group is none).

    Started by `torchrun` or `accelerate launch`, every process scores its share and the first one reports.
    """
    from ..engine.ranks import Rank

    config, rank = _audit_config(config_file, options), Rank.from_environment()
    if rank.is_first:
        run_audit(config, out, as_json=as_json, rank=rank)
    else:
        _help(config, out, rank)


def _help(config: "AuditConfig", out: Path, rank: "Rank") -> None:
    """Score a share of an audit that another process reports."""
    quiet_libraries()
    from ..pipeline import help_audit

    make_folder(out)
    help_audit(config, scores_folder=out / "scores", rank=rank)


def _audit_config(config_file: Path | None, options: dict[str, Any]) -> "AuditConfig":
    """Merge the configuration file and the flags; flags win."""
    from ..config import AuditConfig, is_count, load_config_file

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


def run_audit(config: "AuditConfig", out: Path, *, as_json: bool, rank: "Rank | None" = None) -> "Audit":
    """Audit, write every output, print the summary."""
    from reports import RENDERERS, render_terminal
    from reports.safe import visible

    quiet_libraries()
    from ..engine.ranks import ALONE
    from ..pipeline import audit as run
    from ..progress import scoring_progress

    make_folder(out)
    with scoring_progress(make_console(stderr=True)) as on_progress:
        done = run(config, scores_folder=out / "scores", on_progress=on_progress, rank=rank or ALONE)
    document = RENDERERS["json"](done.result)
    write(out / "result.json", document)
    done.samples.write_parquet(out / "samples.parquet")
    write(out / "report.html", RENDERERS["html"](done.result))
    write(out / "report.md", RENDERERS["md"](done.result))
    if as_json:
        print_document(document)
    else:
        console = make_console(stderr=False)
        console.print(render_terminal(done.result))
        console.print(
            f"Report: {visible(str(out / 'report.html'), 4000)}", markup=False, highlight=False, soft_wrap=True
        )
    return done
