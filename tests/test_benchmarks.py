"""Benchmarks and examples: each of them starts, on its smallest input, and prints what it is for."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from auditor.engine.kernels import PLAIN, Kernel
from auditor.experiments.demo import draw_records
from helpers import make_texts, write_jsonl
from helpers_chat import save_chat_model

ROOT = Path(__file__).parents[1]
RUNS = {
    "benchmarks/architectures.py": (
        "--types gpt2,bert,deepseek_v32",
        "3 types tried: 2 right (1 of them one text at a time), 1 refused, 0 not tried further, 0 wrong",
    ),
    "benchmarks/bench_mean.py": ("--runs 3 --n 20 --cells 2", "2 cells of 20 texts a side"),
    "benchmarks/beyond_passes.py": ("--sizes 60", "beyond us per text"),
    "benchmarks/blind_power.py": ("--runs 2 --n 60 --shares 0,0.5", "60 texts, 2 splits each"),
    "benchmarks/bits_until_decided.py": (
        "--out OUT/bits.json --runs 4 --largest 300 --laws normal --workers 1",
        "promised laws, 2 cases of 4 audits",
    ),
    "benchmarks/extraction_cost.py": (
        "--layers 1 --vocabulary 400 --texts 4 --tokens 30 --rounds 1",
        "reading extraction off the scores",
    ),
    "benchmarks/dp_sgd.py": ("--out OUT/dp.json --runs 1 --steps 2", "above accountant's"),
    "benchmarks/epsilon_peers.py": ("--out OUT/peers.json --runs 2 --coins 40", "auditor, a declared fifth"),
    "benchmarks/few_hold_everything.py": ("--out OUT/few.json --runs 2 --largest 100", "6% hold 100"),
    "benchmarks/epsilon_alarms.py": ("--out OUT/alarms.json --runs 2", "betting along the order"),
    "benchmarks/gpu_check.py": (
        "--device cpu --quick --json OUT/gpu.json --steps kernel,layouts,memory,speed-1b,idle",
        "5 steps right or measured, 0 failed, 0 not run",
    ),
    "benchmarks/growth.py": ("--sizes 40 --words 4 --threads 1", "peak RSS, MiB"),
    "benchmarks/memory.py": (
        "--models gpt2-124m --n 2 --median-tokens 16 --contenders ours,loop --threads 1",
        "One process each",
    ),
    "benchmarks/means_grid.py": (
        "--out OUT/means.json --runs 10 --candidate-runs 4 --largest 50 --laws normal t3",
        "kept: gamma, one more twice as far",
    ),
    "benchmarks/null_calibration.py": (
        "--out OUT/null.json --scale 0.05 --splits 2 --slow-splits 1 --grouped-splits 1 --per-side 60 --small-side 40",
        "certified bits above 0",
    ),
    "benchmarks/power.py": (
        "--data RECORDS --out OUT/power --levels 0.01 --epochs 1 --shadows 4 --words 8 --reference-texts 100",
        "lira",
    ),
    "benchmarks/secret_ranks.py": ("TARGET --digits 2 --threads 1", "10^2 fills, 100.0% of them read"),
    "benchmarks/tails_grid.py": ("--out OUT/tails.json --runs 4", "identified at an FPR of 5%"),
    "benchmarks/throughput.py": (
        "--models gpt2-124m --n 2 --median-tokens 16 --seeds 0 --allocator default --contenders ours,loop --threads 1",
        "seconds of the contender / seconds of ours",
    ),
    "benchmarks/token_statistics.py": ("--rows 8 --rounds 1", "compiled against plain"),
    "benchmarks/twenty_limits.py": ("--out OUT/twenty.json --runs 2", "10 groups a side"),
    "benchmarks/until_decided.py": ("--out OUT/until-decided.json --runs 4 --naive-runs 4", "TPR at 5% FPR"),
    "benchmarks/whole_audit.py": (
        "--target TARGET --reference REFERENCE --n 8 --threads 1",
        "a pass per attack / one attack more",
    ),
    "examples/finetune_chat.py": (
        "--model CHAT --corpus RECIPES --out OUT/chat --members 8 --non-members 8 --characters 30 --epochs 1",
        "train_loss",
    ),
    "examples/finetune_smollm2.py": (
        "--model REFERENCE --corpus RECORDS --out OUT/tuned --members 8 --non-members 8 --reference-texts 8 --epochs 1 "
        "--max-tokens 32",
        "training the reference on 8 texts",
    ),
    "examples/train_with_audit.py": (
        "--model REFERENCE --members MEMBERS --non-members OTHERS --reference REFERENCE --out OUT/trained --steps 4 "
        "--every 2",
        "audit/reference_auc",
    ),
}
"""Smallest arguments of each program, and what its output holds."""


@pytest.fixture(scope="module")
def gpu_check() -> ModuleType:
    """Return the program as a module."""
    return importlib.import_module("gpu_check")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return texts that all differ, enough for the smallest table of `power.py`."""
    file = tmp_path_factory.mktemp("records") / "records.jsonl"
    drawn = draw_records(2000, np.random.default_rng(0))
    rows = [json.dumps({"id": str(i), "text": record.text}) for i, record in enumerate(drawn)]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def test_every_program_is_started() -> None:
    programs = {
        str(path.relative_to(ROOT))
        for folder in ("benchmarks", "examples")
        for path in (ROOT / folder).glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    }
    assert programs == set(RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("program", RUNS)
def test_a_program_runs_on_its_smallest_input(
    program: str, tiny_models: dict[str, Path], tiny_data: dict[str, Path], records: Path, tmp_path: Path
) -> None:
    arguments, told = RUNS[program]
    recipes = [f"Dish {i}\n{text}" for i, text in enumerate(make_texts(20, seed=3))]
    places: dict[str, Any] = {
        "TARGET": tiny_models["target"], "REFERENCE": tiny_models["reference"], "RECORDS": records,
        "MEMBERS": tiny_data["members"], "OTHERS": tiny_data["non_members"], "OUT": tmp_path,
        "CHAT": save_chat_model(tmp_path / "chat-model", seed=0),
        "RECIPES": write_jsonl(tmp_path / "recipes.jsonl", recipes),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, ROOT / program, *(_filled(word, places) for word in arguments.split())],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert told in done.stdout + done.stderr


def test_the_busy_share_of_a_device_by_hand(gpu_check: Any) -> None:
    # [0, 3] and [5, 6] of [0, 6], whatever lies within another and in which order
    assert gpu_check.busy_share([(5, 6), (0, 2), (1, 3), (1, 2)]) == pytest.approx(4 / 6)


def test_a_step_of_the_gpu_check_that_fails_or_has_no_time_is_an_answer(
    gpu_check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = gpu_check.Where(torch.device("cpu"), quick=True)
    monkeypatch.setattr(gpu_check, "STEPS", {"broken": (40, lambda where: 1 / 0), "long": (400, lambda where: {})})
    failed, late = (gpu_check.run_step(name, where) for name in ("broken", "long"))
    assert (failed["passed"], failed["why"]) == (False, "ZeroDivisionError: division by zero")
    assert late["passed"] is None
    assert late["why"].endswith("s were left, and it may take 400")


def test_a_wrong_kernel_is_found_by_the_gpu_check(gpu_check: Any) -> None:
    where = gpu_check.Where(torch.device("cpu"), quick=True)
    wrong = Kernel("wrong", lambda logits, true: PLAIN(logits.bfloat16().float(), true))
    worst = gpu_check.worst_of_kernel(wrong, where, torch.float32)
    right = gpu_check.worst_of_kernel(PLAIN, where, torch.float32)
    assert all(right[name] <= limit for name, limit in gpu_check.TOLERANCES.items())
    assert worst["logprob"] > gpu_check.TOLERANCES["logprob"]


def _filled(word: str, places: dict[str, Any]) -> str:
    """Put a path in the place of its name, which may have more behind it."""
    name, slash, rest = word.partition("/")
    return f"{places[name]}{slash}{rest}" if name in places else word
