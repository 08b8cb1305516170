"""Growth: the time and memory of an audit as texts are added, against linear time and flat memory.

    python benchmarks/growth.py --sizes 1000,10000,100000

Runs ``auditor audit`` as a child process on ever more generated texts, with a tiny target and a tiny reference of
random weights, so that what is not the model shows. Reports the peak resident set size of the child, the seconds of
scoring per token (from the provenance in result.json; they include opening the models, which matters below some
thousand texts) and the bytes of the score store per scored token.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import click
import numpy as np
from rich.console import Console
from rich.table import Table

RUN_AUDITOR = [sys.executable, "-c", "from auditor.cli import main; main()"]
N_WORDS = 2000
TOKENIZER_TEXTS = 500


def make_texts(n: int, *, words: int, seed: int) -> Iterator[str]:
    """Invent distinct texts of Zipf words, some of them names, one at a time."""
    rng = np.random.default_rng(seed)
    vocabulary = ["".join(rng.choice(list("aeioulnrstdmkp"), rng.integers(2, 9))) for _ in range(N_WORDS)]
    vocabulary = [word.capitalize() if i % 10 == 0 else word for i, word in enumerate(vocabulary)]
    weights = 1 / np.arange(1, N_WORDS + 1)
    cumulative = np.cumsum(weights / weights.sum())
    for i in range(n):
        chosen = np.searchsorted(cumulative, rng.random(rng.integers(words // 2, 2 * words)))
        yield f"{' '.join(vocabulary[min(j, N_WORDS - 1)] for j in chosen)} {seed}-{i}."


def build_tokenizer(texts: Sequence[str], *, n_entries: int = 2048) -> Any:
    """Train a byte-level BPE on some texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    separator = "<|endoftext|>"
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_entries,
        special_tokens=[separator],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=separator, eos_token=separator)


def save_tiny_model(folder: Path, tokenizer: Any, *, seed: int) -> Path:
    """Save a tiny random GPT-2 with its tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_jsonl(path: Path, texts: Iterator[str]) -> Path:
    """Write texts, one a line."""
    with open(path, "w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"id": f"{path.stem}-{i}", "text": text}) + "\n")
    return path


def audit(folder: Path, n: int, *, words: int, threads: int) -> dict[str, float]:
    """Audit n texts, half of them members, in a child process; return what it took."""
    members = write_jsonl(folder / f"members-{n}.jsonl", make_texts(n // 2, words=words, seed=1))
    non_members = write_jsonl(folder / f"non-members-{n}.jsonl", make_texts(n - n // 2, words=words, seed=2))
    out = folder / f"audit-{n}"
    options = {
        "--target": folder / "target",
        "--reference": folder / "reference",
        "--members": members,
        "--non-members": non_members,
        "--out": out,
        "--device": "cpu",
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    started = time.monotonic()
    with open(folder / "log.txt", "w+") as log:
        process = subprocess.Popen(
            [*RUN_AUDITOR, "audit", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            sys.exit(f"auditor audit of {n} texts ended with {os.waitstatus_to_exitcode(status)}:\n{log.read()}")
    provenance = json.loads((out / "result.json").read_text())["provenance"]
    n_tokens = provenance["n_tokens_scored"]
    stored = sum(file.stat().st_size for file in (out / "scores").rglob("*") if file.is_file())
    return {
        "n": n,
        "n_tokens": n_tokens,
        "peak_mib": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "scoring_seconds": provenance["scoring_seconds"],
        "scoring_us_per_token": 1e6 * provenance["scoring_seconds"] / n_tokens,
        "stored_bytes_per_token": stored / n_tokens,
    }


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--sizes", default="1000,10000,100000", show_default=True, help="Numbers of texts.")
@click.option("--words", default=16, show_default=True, help="Texts have half to twice as many words.")
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all measurements.")
def main(sizes: str, words: int, threads: int, json_path: Path | None) -> None:
    """Audit each number of texts and print a table."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = build_tokenizer(list(make_texts(TOKENIZER_TEXTS, words=words, seed=3)))
        for seed, role in enumerate(("target", "reference")):
            save_tiny_model(folder / role, tokenizer, seed=seed)
        for n in map(int, sizes.split(",")):
            rows.append(audit(folder, n, words=words, threads=threads))
            print(f"  {n} texts: {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    table = Table(title="auditor audit, target and reference of 0.1 M parameters, all built-in attacks")
    columns = (
        "texts",
        "tokens scored",
        "whole audit, s",
        "scoring, us/token",
        "to the row above",
        "stored bytes/token",
    )
    for column in (*columns, "peak RSS, MiB", "to the row above"):
        table.add_column(column, justify="right")
    for before, row in zip([None, *rows], rows, strict=False):
        table.add_row(
            f"{row['n']:,}",
            f"{row['n_tokens']:,}",
            f"{row['seconds']:.1f}",
            f"{row['scoring_us_per_token']:.1f}",
            "" if before is None else f"{row['scoring_us_per_token'] / before['scoring_us_per_token']:.2f}",
            f"{row['stored_bytes_per_token']:.1f}",
            f"{row['peak_mib']:,.0f}",
            "" if before is None else f"{row['peak_mib'] / before['peak_mib']:.2f}",
        )
    console.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
