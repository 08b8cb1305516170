"""Throughput: the speed of token log-probabilities against the ways of peers, as paired and interleaved ratios.

    python benchmarks/throughput.py --models gpt2-124m,llama-128k --n 200 --seeds 0,1,2

For each model and allocator mode one child process runs every contender once a seed, in random order, on the same
sequences. The number that counts is the ratio of a contender's seconds to ours on the same seed. Every contender is
checked against the loop, token by token, and the program fails if one disagrees.

Allocator modes: ``default`` is what a user gets; ``equalised`` tells glibc to keep freed memory instead of giving it
back, for all sides, so that the page faults of large temporaries are not counted against those who make them. How far
that succeeds depends on the version of glibc: the share of system time in the table tells.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

import click  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from contenders import CONTENDERS, Scored, disagreement, lm_eval_is_there  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from workloads import MODELS, build_model, make_sequences, n_vocabulary  # noqa: E402

from auditor.engine.tokens import TokenSequence  # noqa: E402

ALLOCATORS = {
    "default": {},
    "equalised": {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**36)},
}
LM_EVAL_BATCH_SIZES = (1, 4, 8, 16)
TUNING_SEED = 1_000_003
WARM_UP_SEED = 1_000_033
GEMM_ROWS = 1024
GEMM_REPEATS = 7


def model_shapes(model: Any) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Shapes (in, out) of the weight matrices of the blocks, and of the head."""
    head = model.get_output_embeddings()
    body = []
    for module in model.modules():
        kind = type(module).__name__
        if module is not head and kind in ("Linear", "Conv1D"):
            shape = tuple(module.weight.shape)
            body.append(shape if kind == "Conv1D" else shape[::-1])
    return body, tuple(head.weight.shape[::-1])


def model_flops(model: Any, sequences: Sequence[TokenSequence]) -> float:
    """Floating-point operations that scoring cannot do without: blocks on all tokens, head on scored, attention."""
    body, head = model_shapes(model)
    config = model.config.get_text_config()
    lengths = [len(sequence.ids) for sequence in sequences]
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * width * sum(n * n for n in lengths)
    n_scored = sum(sequence.n_scored for sequence in sequences)
    return 2.0 * sum(a * b for a, b in body) * sum(lengths) + 2.0 * head[0] * head[1] * n_scored + attention


def gemm_flops_per_second(model: Any) -> float:
    """Best rate of ``torch.mm`` in float32 at the model's own shapes, each weighted as the model uses it."""
    body, head = model_shapes(model)
    operations = seconds = 0.0
    for shape in {*body, head}:
        left, right = torch.randn(GEMM_ROWS, shape[0]), torch.randn(shape)
        out = torch.empty(GEMM_ROWS, shape[1])
        times = []
        for _ in range(GEMM_REPEATS):
            start = time.perf_counter()
            torch.mm(left, right, out=out)
            times.append(time.perf_counter() - start)
        n_uses = [*body, head].count(shape)
        operations += n_uses * 2.0 * GEMM_ROWS * shape[0] * shape[1]
        seconds += n_uses * min(times)
    return operations / seconds


def timed(run: Any, model: Any, sequences: Sequence[TokenSequence], **options: Any) -> tuple[Scored, dict[str, float]]:
    """Run a contender; return its scores and its seconds: wall, user and system over all threads."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    scored = run(model, sequences, **options)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return scored, {
        "wall": wall,
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
    }


def fits_in_memory(batch_size: int, sequences: Sequence[TokenSequence], n_vocabulary: int) -> bool:
    """Whether logits and log-softmax of the largest batch stay well within the free memory."""
    longest = max(len(sequence.ids) for sequence in sequences)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2 * 4 * batch_size * longest * n_vocabulary < 0.7 * free


def best_lm_eval_batch(model: Any, tuning: Sequence[TokenSequence], every: Sequence[TokenSequence]) -> dict[str, Any]:
    """Time lm_eval at each batch size that fits in memory, on sequences that are not timed later."""
    sizes = [size for size in LM_EVAL_BATCH_SIZES if size == 1 or fits_in_memory(size, every, n_vocabulary(model))]
    cpu = {}
    for size in sizes:
        seconds = timed(CONTENDERS["lm_eval"], model, tuning, batch_size=size)[1]
        cpu[size] = seconds["user"] + seconds["system"]
    return {"best": min(sizes, key=lambda size: cpu[size]), "cpu_seconds": cpu}


def run_child(settings: dict[str, Any]) -> dict[str, Any]:
    """Run all seeds and contenders on one model, in this process."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(settings["threads"])
    model = build_model(settings["model"], folder=settings["folder"])
    vocabulary = n_vocabulary(model)

    def draw(n: int, seed: int, median_tokens: int = settings["median_tokens"]) -> list[TokenSequence]:
        return make_sequences(n, n_vocabulary=vocabulary, median_tokens=median_tokens, seed=seed)

    by_seed = {seed: draw(settings["n"], seed) for seed in settings["seeds"]}
    options: dict[str, dict[str, Any]] = {name: {} for name in settings["contenders"]}
    warm_up = {}
    for name in settings["contenders"]:  # the first call compiles what there is to compile
        warm_up[name] = timed(CONTENDERS[name], model, draw(4, WARM_UP_SEED, 32))[1]["wall"]
    tuned = None
    if "lm_eval" in options:
        every = [sequence for sequences in by_seed.values() for sequence in sequences]
        tuned = best_lm_eval_batch(model, draw(settings["n"], TUNING_SEED), every)
        options["lm_eval"] = {"batch_size": tuned["best"]}
    peak = gemm_flops_per_second(model)

    runs = []
    for seed, sequences in by_seed.items():
        order = list(settings["contenders"])
        random.Random(seed).shuffle(order)
        scored = {}
        for name in order:
            scored[name], seconds = timed(CONTENDERS[name], model, sequences, **options[name])
            print(f"  seed {seed}: {name} {seconds['wall']:.1f} s", file=sys.stderr, flush=True)
            runs.append({"seed": seed, "contender": name, **seconds, "n_computed": scored[name].n_computed})
        for run in runs[-len(order) :]:
            try:
                run["disagreement"] = disagreement(scored[run["contender"]], scored["loop"])
            except ValueError as error:
                sys.exit(f"{settings['model']}, seed {seed}: {run['contender']} disagrees with the loop: {error}")
            run["n_tokens"] = sum(len(sequence.ids) for sequence in sequences)
            run["peak_share"] = model_flops(model, sequences) / run["wall"] / peak
    return {"runs": runs, "warm_up": warm_up, "lm_eval": tuned, "gemm_gflops": peak / 1e9, **settings}


def start_child(settings: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Run the measurements in a fresh process with these environment variables."""
    threads = str(settings["threads"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        command = [sys.executable, __file__, "--child", json.dumps(settings), "--json", str(out)]
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": threads, **variables})
        if done.returncode:
            sys.exit(f"the child process of {settings['model']} ended with code {done.returncode}")
        return dict(json.loads(out.read_text()))


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def summary(measured: dict[str, Any]) -> Table:
    """Make the table of one child."""
    tuned = measured["lm_eval"]
    title = (
        f"{measured['model']}, allocator {measured['allocator']}: {measured['n']} sequences x {len(measured['seeds'])} "
        f"seeds, {measured['threads']} threads, torch.mm {measured['gemm_gflops']:.0f} GFLOP/s"
        + (f", lm_eval at its best batch size, {tuned['best']}" if tuned else "")
    )
    table = Table(title=title, caption="Ratios: seconds of the contender / seconds of ours, paired by seed")
    for column in ("contender", "CPU ratio", "wall ratio", "system time", "tokens/s", "computed/real", "of GEMM peak"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    table.add_column("first call, s", justify="right")
    table.add_column("max |diff|, nats", justify="right")
    runs: dict[str, dict[int, dict[str, float]]] = {}
    for run in measured["runs"]:
        runs.setdefault(run["contender"], {})[run["seed"]] = {**run, "cpu": run["user"] + run["system"]}
    for name in measured["contenders"]:
        mine = list(runs[name].values())
        table.add_row(
            name,
            *(spread([run[kind] / runs["ours"][run["seed"]][kind] for run in mine]) for kind in ("cpu", "wall")),
            f"{median(run['system'] / run['cpu'] for run in mine):.0%}",
            f"{median(run['n_tokens'] / run['wall'] for run in mine):,.0f}",
            f"{median(run['n_computed'] / run['n_tokens'] for run in mine):.2f}",
            f"{median(run['peak_share'] for run in mine):.0%}",
            f"{measured['warm_up'][name]:.1f}",
            f"{max(run['disagreement'] for run in mine):.0e}",
        )
    return table


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--models", default="gpt2-124m,llama-128k", show_default=True, help=f"Some of {', '.join(MODELS)}.")
@click.option("--model", "folder", metavar="DIR", help="Folder of the real model, smollm2-135m.")
@click.option("--n", default=200, show_default=True, help="Sequences.")
@click.option("--median-tokens", default=90, show_default=True, help="Median length of a sequence.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds of the sequences; one round each.")
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--allocator", type=click.Choice(["both", *ALLOCATORS]), default="both", show_default=True)
@click.option("--contenders", default=",".join(CONTENDERS), show_default=True, help="ours and loop always run.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all measurements.")
@click.option("--child", hidden=True)
def main(
    models: str,
    folder: str | None,
    n: int,
    median_tokens: int,
    seeds: str,
    threads: int,
    allocator: str,
    contenders: str,
    json_path: Path | None,
    child: str | None,
) -> None:
    """Run every model in every allocator mode and print a table of each."""
    if child is not None and json_path is not None:
        json_path.write_text(json.dumps(run_child(json.loads(child))))
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    if (load := os.getloadavg()[0]) > 0.5:
        console.print(f"load average {load:.1f}: other work shares the cores, and threads will wait for each other")
    chosen = choose_contenders(contenders, console)
    measured = []
    for model in choose_models(models, folder, console):
        for mode in ALLOCATORS if allocator == "both" else [allocator]:
            settings = {
                "model": model,
                "folder": folder,
                "n": n,
                "median_tokens": median_tokens,
                "seeds": [int(seed) for seed in seeds.split(",")],
                "threads": threads,
                "allocator": mode,
                "contenders": chosen,
            }
            measured.append(start_child(settings, ALLOCATORS[mode]))
            console.print(summary(measured[-1]))
    if json_path is not None:
        json_path.write_text(json.dumps(measured, indent=1))


def choose_models(names: str, folder: str | None, console: Console) -> list[str]:
    """Read --models, leaving out the real model if its folder was not given."""
    models = names.split(",")
    if unknown := set(models) - set(MODELS):
        raise click.BadParameter(f"no model {', '.join(sorted(unknown))}; there are: {', '.join(MODELS)}")
    if "smollm2-135m" in models and (folder is None or not Path(folder).is_dir()):
        console.print("smollm2-135m is skipped: give its folder with --model DIR")
        models.remove("smollm2-135m")
    return models


def choose_contenders(names: str, console: Console) -> list[str]:
    """Read --contenders, adding ours and the loop and leaving out what is not installed."""
    wanted = set(names.split(","))
    if unknown := wanted - set(CONTENDERS):
        raise click.BadParameter(f"no contender {', '.join(sorted(unknown))}; there are: {', '.join(CONTENDERS)}")
    if "lm_eval" in wanted and not lm_eval_is_there():
        console.print("lm_eval is skipped: it is not installed (pip install lm_eval)")
        wanted.remove("lm_eval")
    return [name for name in CONTENDERS if name in wanted | {"ours", "loop"}]


if __name__ == "__main__":
    main()
