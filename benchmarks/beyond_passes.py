"""The CPU time of an audit beyond the forward passes, by phase; and its peak memory.

    python benchmarks/beyond_passes.py --sizes 1000,10000

Audits generated texts of 20 to 80 words with a tiny target and a tiny reference of random weights, and all attacks that
are the default, in a child process on one thread. A phase counts its own CPU seconds, not those of a phase inside it.
What a model computes (batches laid out, run, reduced to token statistics) and the loading of its weights is a forward
pass; all else is not, and is given per text. Peak memory is the largest resident set of the child.
"""

import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
from growth import TOKENIZER_TEXTS, build_tokenizer, make_texts, write_jsonl
from rich.console import Console
from rich.table import Table

WORDS = 40
"""Texts have half to twice as many words."""

PASSES = "forward passes"
PHASES = {
    "reading texts": ["auditor.auditing.pipeline:read_inputs"],
    "opening models": ["auditor.engine.signals:open_models"],
    "planning": ["auditor.engine.signals:make_plan"],
    "scoring beyond passes": ["auditor.engine.signals:score_missing"],
    PASSES: [
        "auditor.engine.forward:Scorer.start",
        "auditor.engine.forward:Running.scores",
        "auditor.engine.forward:Scorer.check",
        "auditor.engine.scoring:load_weights",
    ],
    "gathering": ["auditor.engine.signals:gather_passes"],
    "attacks": ["auditor.auditing.evidence:score_samples"],
    "overlap": ["auditor.soundness.texts:find_overlap", "auditor.soundness.texts:near_duplicate_groups"],
    "blind baseline": ["auditor.soundness.texts:blind_baseline"],
    "rarity": ["auditor.auditing.evidence:text_rarity", "auditor.auditing.evidence:count_copies"],
    "estimates": [
        f"auditor.auditing.pipeline:{name}"
        for name in (
            "judge_soundness",
            "estimate_memorization",
            "measure_attacks",
            "combine_attacks",
            "who_is_at_risk",
            "select_attack",
        )
    ],
    "writing": ["auditor.api.saving:write_audit"],
}
"""The functions of each phase, as ``module:name``. Start and end, and what no phase has, are `the rest`."""

START = "start (imports)"


class Clock:
    """CPU seconds by phase: a phase inside another one stops the outer one's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._running = [START]
        self._since = 0.0

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Let a function count for a phase."""

        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            self._turn(phase)
            try:
                return function(*arguments, **named)
            finally:
                self._turn(None)

        return run

    def stop(self) -> None:
        """Count what ran until now."""
        now = process_time()
        running = self._running[-1]
        self.seconds[running] = self.seconds.get(running, 0.0) + now - self._since
        self._since = now

    def _turn(self, phase: str | None) -> None:
        self.stop()
        if phase is None:
            self._running.pop()
        else:
            if self._running == [START]:
                self._running = ["the rest"]
            self._running.append(phase)


def timed_audit(report: str, *arguments: str) -> None:
    """Run ``auditor audit`` in this process and write the seconds of its phases into a file."""
    from auditor.cli import main

    clock = Clock()
    for phase, functions in PHASES.items():
        for place in functions:
            module_name, _, name = place.partition(":")
            owner: Any = importlib.import_module(module_name)
            *classes, last = name.split(".")
            for one in classes:
                owner = getattr(owner, one)
            setattr(owner, last, clock.timed(phase, getattr(owner, last)))
    sys.argv = ["auditor", "audit", *arguments]
    try:
        main()
    finally:
        clock.stop()
        Path(report).write_text(json.dumps(clock.seconds))


def save_model(folder: Path, tokenizer: Any, *, seed: int) -> Path:
    """Save a tiny random GPT-2, whose window holds every text, with its tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=1024, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def audit(folder: Path, n: int, options: tuple[str, ...]) -> dict[str, Any]:
    """Audit n texts, half of them members, in a child process; return what it took."""
    sides = {
        side: write_jsonl(folder / f"{side}-{n}.jsonl", make_texts(size, words=WORDS, seed=seed))
        for side, size, seed in (("members", n // 2, 1), ("non-members", n - n // 2, 2))
    }
    out, report = folder / f"audit-{n}", folder / f"phases-{n}.json"
    arguments = ["--target", folder / "target", "--reference", folder / "reference", "--out", out, "--device", "cpu"]
    arguments += [part for side, path in sides.items() for part in (f"--{side}", path)]
    with open(folder / "log.txt", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from beyond_passes import timed_audit; timed_audit(*sys.argv[1:])",
             *map(str, (report, *arguments, *options))],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            sys.exit(f"auditor audit of {n} texts ended with {os.waitstatus_to_exitcode(status)}:\n{log.read()}")
    whole = usage.ru_utime + usage.ru_stime
    phases = json.loads(report.read_text())
    return {
        "n": n,
        "n_tokens": json.loads((out / "result.json").read_text())["provenance"]["n_tokens_scored"],
        "phases": phases,
        "cpu_seconds": whole,
        "system_seconds": usage.ru_stime,
        "beyond_us_per_text": 1e6 * (whole - phases[PASSES]) / n,
        "beyond_share_of_passes": (whole - phases[PASSES]) / phases[PASSES],
        "peak_mib": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--sizes", default="1000,10000", show_default=True, help="Numbers of texts, such as 100000,1000000.")
@click.option("--max-tokens", type=int, metavar="N", help="Cut every text.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all measurements.")
def main(sizes: str, max_tokens: int | None, json_path: Path | None) -> None:
    """Audit each number of texts and print a table: microseconds of CPU a text by phase."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = build_tokenizer(list(make_texts(TOKENIZER_TEXTS, words=WORDS, seed=3)))
        for seed, role in enumerate(("target", "reference")):
            save_model(folder / role, tokenizer, seed=seed)
        options = () if max_tokens is None else ("--max-tokens", str(max_tokens))
        for n in map(int, sizes.split(",")):
            rows.append(audit(folder, n, options))
            print(f"  {n} texts: {rows[-1]['cpu_seconds']:.0f} CPU s", file=sys.stderr, flush=True)
    table = Table(title="auditor audit, two models of 0.1 M parameters, one thread: microseconds of CPU a text")
    table.add_column("phase")
    for row in rows:
        table.add_column(f"{row['n']:,} texts", justify="right")
    for phase in sorted(
        {phase for row in rows for phase in row["phases"]}, key=lambda p: -rows[-1]["phases"].get(p, 0)
    ):
        table.add_row(phase, *(f"{1e6 * row['phases'].get(phase, 0) / row['n']:,.0f}" for row in rows))
    table.add_section()
    for called, form in {
        "beyond_us_per_text": ",.0f",
        "beyond_share_of_passes": ".2f",
        "cpu_seconds": ".1f",
        "system_seconds": ".1f",
        "peak_mib": ",.0f",
    }.items():
        table.add_row(called.replace("_", " "), *(f"{row[called]:{form}}" for row in rows))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
