"""Mutated documents: whatever a file says, a command ends with 0, a verdict or one line, and never with a traceback."""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.documents.files import to_text
from helpers import Ran, Run, make_texts, save_gpt2, write_jsonl
from helpers_audits import build_full

ROOT = Path(__file__).parents[1]
POLICY = """version = 1
[[gate]]
name = "auc"
metric = "attacks.reference.auc"
max = 0.99
[[gate]]
name = "largest"
metric = "memorization.largest_sample_bits"
min = 0
max = 10000.0
[[waiver]]
gate = "auc"
reason = "until the next release"
expires = 2099-01-31
"""
WORTH = [None, True, -1, 0, 1, 2, 0.5, -0.5, 1e308, -1e308, 1e-320, 2**63, 10**30, "", "x" * 5000, [], {}, [[]], [None],
         {"value": 1}, "\x1b[31m##[error]x\n::error::x", "\ud800", "reference", "NaN", "1.0", "99.9"]  # fmt: skip
"""Values that something may not be ready for."""


def mutated_json(text: str, rng: random.Random) -> str:
    """Change one or a few places of a document; now and then its bytes."""
    if rng.random() < 0.1:
        return mutated_text(text, rng)
    document = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder, key = rng.choice(list(places(document)))
        change = rng.randrange(6)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif change == 2 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        elif change == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * rng.choice((-1, 1.5, 1e6, 1e-6)) + rng.choice((0, 1, -1))
        elif change == 4 and isinstance(holder[key], list) and len(holder[key]) > 1:
            holder[key] = rng.choice((holder[key][::-1], holder[key][:1], holder[key][1:], holder[key] * 3))
        else:
            holder[key] = rng.choice(WORTH)
        if not document:
            break
    return json.dumps(document)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document, as what holds it and its key or index."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


def mutated_text(text: str, rng: random.Random) -> str:
    """Change letters, or take a line or the end away."""
    at = rng.randrange(len(text))
    lines = text.split("\n")
    line = rng.randrange(len(lines))
    return rng.choice(
        (
            text[:at],
            text[:at] + rng.choice('"[]{}=.,-9e\x00\x1bé\n') + text[at + 1 :],
            text[:at] + rng.choice(("[" * 50_000, "9" * 5000, "a." * 3000, "'''", '"""')) + text[at:],
            "\n".join(lines[:line] + lines[line + 1 :]),
            "\n".join([*lines[:line], lines[line], *lines[line:]]),
        )
    )


def mutated_table(path: Path, rng: random.Random) -> None:
    """Change a column of a table of samples, or bytes of its file."""
    if rng.random() < 0.4:
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        return
    table = pq.read_table(path)
    i = rng.randrange(table.num_columns)
    name, values = table.column_names[i], table.column(i).to_pylist()
    change = rng.randrange(5)
    if change == 0:
        table = table.drop_columns([name])
    elif change == 1:
        table = table.slice(0, rng.randrange(table.num_rows))
    elif change == 2:
        table = table.set_column(i, name, pa.nulls(table.num_rows))
    elif change == 3:
        table = table.set_column(i, name, pa.array([str(value) for value in values]))
    else:
        row = rng.randrange(len(values))
        other = values[(row + 1) % len(values)]
        odd = rng.choice((None, float("nan"), float("inf"), -1.0)) if isinstance(other, float) else other
        table = table.set_column(
            i, name, pa.array([*values[:row], odd, *values[row + 1 :]], table.schema.field(i).type)
        )
    pq.write_table(table, path)


@pytest.fixture(scope="module")
def originals(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> Path:
    """A folder with a document of every kind, made by the commands."""
    from click.testing import CliRunner
    from transformers import AutoTokenizer

    from auditor.cli import cli

    root = tmp_path_factory.mktemp("originals")
    run_of = root / "run"
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    for step in (1, 2):
        save_gpt2(run_of / f"checkpoint-{step}", seed=step + 4, tokenizer=tokenizer)

    def call(*arguments: object) -> str:
        ran = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
        assert ran.exit_code in (0, 1), ran.output
        return ran.stdout

    sides = ("--members", tiny_data["members"], "--non-members", tiny_data["non_members"])
    common = ("--reference", tiny_models["reference"], *sides, "--attack", "loss", "--attack", "reference")
    call("audit", "--target", run_of / "checkpoint-*", *common, "--out", root / "runs")
    shutil.copy(root / "runs" / "curve.json", root / "curve.json")
    shutil.copytree(root / "runs" / "checkpoint-1", root / "old")
    shutil.copytree(root / "runs" / "checkpoint-2", root / "new")
    call("compare", root / "old", root / "new", "--out", root / "compared")
    shutil.copy(root / "compared" / "comparison.json", root / "comparison.json")
    (root / "prediction.json").write_text(call("predict", "--params", "1M", "--samples", "1M", "--json"))
    (root / "policy.toml").write_text(POLICY)
    (root / "full").mkdir()
    (root / "full" / "result.json").write_text(to_text(build_full()))
    (root / "gates.json").write_text(call("gate", root / "full", "--json"))
    call("split", write_jsonl(root / "corpus.jsonl", make_texts(60, seed=9)), "--out", root / "split")
    call("pack", *common, "--out", root / "texts.pack")
    for name, path in tiny_data.items():
        shutil.copy(path, root / f"{name}.jsonl")
    call("shadows", "--target", tiny_models["target"], *sides, "--models", 4, "--steps", 2, "--workers", 1,
         "--out", root / "shadows")  # fmt: skip
    for kind in FIGURES:  # with scores, so that what reads a mutated document runs no model
        for command in commands(kind, root, tiny_models, random.Random(0)):
            (root / f"{kind}.figures").write_text(json.dumps(FIGURES[kind](json.loads(call(*command)))))
    for name in ("capacity", "calibration"):
        shutil.copy(next((ROOT / "docs" / "data").glob(f"{name}*.json")), root / f"{name}.json")
    return root


def commands(kind: str, place: Path, models: dict[str, Path], rng: random.Random) -> list[tuple[object, ...]]:
    """What reads a document of a kind."""
    gate = ("gate", place / f"{kind}.json")
    forms = ("--junit", place / "j.xml", "--sarif", place / "s.sarif", "--summary", place / "s.md", "--badge",
             place / "b.svg", "--model-card", place / "m.md")  # fmt: skip
    policy = ("--policy", place / "policy.toml")
    verify = ("verify", place / "old", "--no-data", "--no-models")
    shadows = ("audit", "--target", models["target"], "--out", place / "shadowed", "--shadows", place / "shadows",
               "--members", place / "members.jsonl", "--non-members", place / "non_members.jsonl",
               "--attack", "lira", "--attack", "reference", "--json")  # fmt: skip
    split = ("audit", "--target", models["target"], "--out", place / "splitted", "--split-manifest",
             place / "split" / "manifest.json", "--members", place / "split" / "members.jsonl", "--non-members",
             place / "split" / "non_members.jsonl", "--attack", "loss", "--json")  # fmt: skip
    return {
        "full": [
            ("gate", place / "full", *policy, *forms),
            ("gate", place / "full", "--list"),
            *(("report", place / "full", "--format", form) for form in ("html", "md", "json")),
        ],
        "result": [verify, ("compare", place / "old", place / "new", "--out", place / "c"), ("gate", place / "old")],
        "samples": [verify, ("compare", place / "old", place / "new", "--json")],
        "checksums": [verify, ("gate", place / "old", *policy)],
        "gates": [(*gate, *forms), (*gate, "--json"), (*gate, "--annotations")],
        "comparison": [(*gate, *forms), (*gate, "--list")],
        "prediction": [(*gate, *forms), (*gate, "--list")],
        "curve": [("report", place / "curve.json", "--format", form) for form in ("html", "md", "json")],
        "capacity": [("predict", "--params", "1M", "--samples", "1M", "--capacity", place / "capacity.json")],
        "calibration": [("predict", "--params", "1M", "--samples", "1M", "--calibration", place / "calibration.json")],
        "policy": [("gate", place / "full", *policy, "--json"), ("gate", "--check-policy", place / "policy.toml")],
        "pack": [
            ("audit", "--target", models["target"], "--out", place / "out", "--pack", place / "texts.pack", "--json")
        ],
        "shadows": [shadows],
        "shadow": [shadows],
        "split": [split],
    }[kind]


FILES = {
    "full": "full/result.json", "result": "old/result.json", "samples": "old/samples.parquet",
    "checksums": "old/checksums.json", "policy": "policy.toml", "pack": "texts.pack",
    "shadows": "shadows/manifest.json", "shadow": "shadows/shadow-01/shadow.json", "split": "split/manifest.json",
}  # fmt: skip
KINDS = ("full", "full", "full", "result", "samples", "checksums", "gates", "comparison", "prediction", "curve",
         "capacity", "calibration", "policy", "policy", "shadows", "shadow", "split")  # fmt: skip
FIGURES: dict[str, Callable[[Any], Any]] = {
    "shadows": lambda result: [result["attacks"], result["memorization"], result["warnings"]],
    "shadow": lambda result: [result["attacks"], result["memorization"], result["warnings"]],
    "pack": lambda result: [result["attacks"], result["memorization"], result["data"], result["soundness"]],
    "split": lambda result: [one for one in result["soundness"]["checks"] if one["name"] == "split_manifest"],
}
"""What an audit makes of a document that it takes as evidence: a mutated one is refused, or changes nothing of it."""


def check(ran: Ran, command: tuple[object, ...], what: str) -> None:
    """Hold a run to what every run keeps to."""
    said = f"{what}: {' '.join(map(str, command))}: {ran.code}: {ran.err[-1500:]}"
    assert "Traceback" not in ran.err, said
    assert "Error: unexpected " not in ran.err, said
    assert not re.search(r"##\w*\[|^\s*::error::x", ran.err, re.MULTILINE), said
    if ran.code == 2:
        errors = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, said
        assert ran.err.splitlines()[-1] == errors[0], said
    elif ran.code == 1:
        assert command[0] == "gate", said
        assert "Error" not in ran.err, said
    else:
        assert ran.code == 0, said


def fuzz(run: Run, originals: Path, place: Path, models: dict[str, Path], *, seed: int, kind: str) -> None:
    """Mutate one document, and let every command that takes it have a look."""
    rng = random.Random(seed)
    file = place / FILES.get(kind, f"{kind}.json")
    shutil.copy(originals / file.relative_to(place), file)
    before = file.read_bytes()
    if kind == "samples":
        mutated_table(file, rng)
    elif kind == "pack":
        data = bytearray(before)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])
    else:
        mutate: Callable[[str, random.Random], str] = mutated_text if kind == "policy" else mutated_json
        file.write_text(mutate(before.decode(), rng), encoding="utf-8", errors="surrogatepass")
    try:
        for command in commands(kind, place, models, rng):
            ran = run(*command)
            check(ran, command, f"{kind} {seed}")
            if kind in ("result", "samples") and file.read_bytes() != before:  # checksums.json lies beside it
                assert ran.code == 2, f"{kind} {seed}: altered, and {command[0]} takes it"
            if kind in FIGURES and ran.code == 0:
                expected = json.loads((place / f"{kind}.figures").read_text())
                assert FIGURES[kind](ran.document) == expected, f"{kind} {seed}: altered, and believed"
    finally:
        file.write_bytes(before)


@pytest.fixture
def place(originals: Path, tmp_path: Path) -> Path:
    shutil.copytree(originals, tmp_path / "place", ignore=shutil.ignore_patterns("run", "runs", "compared"))
    return tmp_path / "place"


@pytest.mark.parametrize("kind", [*dict.fromkeys(KINDS), "pack"])
def test_a_few_mutated_documents(
    run: Run, originals: Path, place: Path, tiny_models: dict[str, Path], kind: str
) -> None:
    for seed in range(2 if kind == "pack" else 4):
        fuzz(run, originals, place, tiny_models, seed=seed, kind=kind)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_two_thousand_mutated_documents(
    run: Run, originals: Path, place: Path, tiny_models: dict[str, Path], part: int
) -> None:
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        kind = "pack" if seed % 50 == 0 else KINDS[seed % len(KINDS)]
        fuzz(run, originals, place, tiny_models, seed=seed, kind=kind)


def test_a_curve_of_rates_that_does_not_fit_together(run: Run, tmp_path: Path) -> None:
    document = json.loads(to_text(build_full()))
    document["attacks"][0]["roc"]["fpr"].pop(3)
    (tmp_path / "result.json").write_text(json.dumps(document))
    for command in (("gate", tmp_path), *(("report", tmp_path, "--format", form) for form in ("html", "md", "json"))):
        ran = run(*command)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran
        assert "roc" in ran.err
