"""Memory: the peak resident set size of scoring, one fresh process per contender and model.

    python benchmarks/memory.py --models gpt2-124m,llama-128k --n 200

``model only`` builds or loads the model and scores nothing. The peak includes the interpreter, the libraries and the
weights. Every contender's log-probabilities are checked against the loop's, and the program fails if one disagrees.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

import click  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from contenders import CONTENDERS, disagreement  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from throughput import choose_contenders, choose_models  # noqa: E402
from workloads import build_model, make_sequences, n_vocabulary  # noqa: E402

MODEL_ONLY = "model only"


def run_child(settings: dict[str, Any]) -> None:
    """Score with one contender in this process and keep what it said."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(settings["threads"])
    model = build_model(settings["model"], folder=settings["folder"])
    if settings["contender"] == MODEL_ONLY:
        return
    sequences = make_sequences(
        settings["n"], n_vocabulary=n_vocabulary(model), median_tokens=settings["median_tokens"], seed=settings["seed"]
    )
    options = {"batch_size": settings["lm_eval_batch"]} if settings["contender"] == "lm_eval" else {}
    scored = CONTENDERS[settings["contender"]](model, sequences, **options)
    Path(settings["out"]).write_bytes(pickle.dumps(scored))


def peak_mib(command: list[str]) -> float:
    """Run a command and return the peak resident set size of its process, MiB."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"a child process ended with status {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(model: str, contenders: list[str], settings: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Peak of each contender on one model, and how far its log-probabilities are from the loop's."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [MODEL_ONLY, *contenders]:
            child = {**settings, "model": model, "contender": name, "out": str(Path(folder) / name)}
            peaks[name] = {"mib": peak_mib([sys.executable, __file__, "--child", json.dumps(child)])}
            print(f"  {model}: {name} {peaks[name]['mib']:.0f} MiB", file=sys.stderr, flush=True)
        scored = {name: pickle.loads((Path(folder) / name).read_bytes()) for name in contenders}
    for name in contenders:
        try:
            peaks[name]["disagreement"] = disagreement(scored[name], scored["loop"])
        except ValueError as error:
            sys.exit(f"{model}: {name} disagrees with the loop: {error}")
    return peaks


def summary(title: str, peaks: dict[str, dict[str, float]]) -> Table:
    """Make the table of one model."""
    table = Table(title=title, caption="One process each; the peak includes interpreter, libraries and weights")
    table.add_column("contender")
    for column in ("peak, MiB", "contender / ours", "ours / contender", "max |diff|, nats"):
        table.add_column(column, justify="right")
    ours = peaks["ours"]["mib"]
    for name, peak in peaks.items():
        difference = f"{peak['disagreement']:.0e}" if "disagreement" in peak else ""
        table.add_row(name, f"{peak['mib']:,.0f}", f"{peak['mib'] / ours:.2f}", f"{ours / peak['mib']:.2f}", difference)
    return table


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--models", default="gpt2-124m,llama-128k", show_default=True)
@click.option("--model", "folder", metavar="DIR", help="Folder of the real model, smollm2-135m.")
@click.option("--n", default=200, show_default=True, help="Sequences.")
@click.option("--median-tokens", default=90, show_default=True, help="Median length of a sequence.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--lm-eval-batch", default=8, show_default=True, help="Batch size of lm_eval.")
@click.option("--contenders", default=",".join(CONTENDERS), show_default=True, help="ours and loop always run.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all measurements.")
@click.option("--child", hidden=True)
def main(
    models: str, folder: str | None, contenders: str, json_path: Path | None, child: str | None, **settings: Any
) -> None:
    """Measure every model and print a table of each."""
    if child is not None:
        run_child(json.loads(child))
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    chosen = choose_contenders(contenders, console)
    settings["folder"] = folder
    measured = {}
    for model in choose_models(models, folder, console):
        measured[model] = measure(model, chosen, settings)
        title = f"{model}: {settings['n']} sequences, median {settings['median_tokens']} tokens"
        console.print(summary(title, measured[model]))
    if json_path is not None:
        json_path.write_text(json.dumps({"settings": settings, "peaks": measured}, indent=1))


if __name__ == "__main__":
    main()
