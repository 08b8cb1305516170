"""``auditor capacity``, ``auditor calibrate``, and what ``predict`` and ``audit`` make of their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import Ran, Run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Texts of 400 invented words, enough for some hundred samples."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(400)]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": " ".join(rng.choice(words, 400))}) + "\n" for _ in range(60)))
    return path


def capacity(run: Run, out: Path, *more: object) -> Ran:
    return run("capacity", "--model", "smoke", "--steps", 5, "--workers", 1, "--out", out, *more)


def calibrate(run: Run, corpus: Path, out: Path, *more: object) -> Ran:
    return run(
        *("calibrate", "--data", corpus, "--out", out, "--ratios", ".005,.01", "--epochs", 2, "--least-steps", 3),
        *("--reference-steps", 5, "--reference-samples", 50, "--held-out", 60, "--workers", 1, *more),
    )


def test_a_measured_capacity_is_used(run: Run, tmp_path: Path) -> None:
    ran = capacity(run, tmp_path / "capacity")
    assert ran.code == 0, ran
    for words in ("Bits per parameter", "LOWER bound", "Self-check", "not measured", "self-check failed"):
        assert words in ran.out
    for name in ("capacity.json", "capacity.svg", "runs.jsonl"):
        assert (tmp_path / "capacity" / name).stat().st_size > 500
    document = json.loads((tmp_path / "capacity" / "capacity.json").read_text())
    ran = run("predict", "--params", "1M", "--tokens", "1M", "--capacity", tmp_path / "capacity", "--json")
    if document["bits_per_parameter"] > 0:
        assert json.loads(ran.out)["bits_per_parameter"] == document["bits_per_parameter"]


def test_a_configuration_of_ones_own_is_measured(run: Run, tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "vocab_size": 64, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16,
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    out = tmp_path / "llama"
    ran = run("capacity", "--model", path, "--steps", 3, "--seeds", 1, "--workers", 1, "--out", out, "--json")
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["architecture"] == "LlamaForCausalLM"
    assert document["sample_tokens"] == 16
    assert any("one seed" in warning for warning in document["warnings"])


def test_presets_are_listed(run: Run) -> None:
    ran = run("capacity", "--presets")
    assert ran.code == 0
    assert {line.split()[0] for line in ran.out.splitlines()} >= {"tiny", "table5-1x32", "table5-8x256"}


@pytest.mark.slow
def test_a_calibration_is_used(run: Run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibration"
    ran = calibrate(run, corpus, out)
    assert ran.code == 0, ran
    assert "Loss attack" in ran.out
    assert "epochs" in ran.out
    for name in ("calibration.json", "calibration.svg"):
        assert (out / name).stat().st_size > 1000
    again = calibrate(run, corpus, out, "--json")  # nothing is trained again
    first, second = json.loads((out / "calibration.json").read_text()), json.loads(again.out)
    assert first["cells"] == second["cells"]
    assert len(first["cells"]) == 4
    ran = run("predict", "--params", "12000", "--samples", "1000", "--calibration", out, "--json")
    assert json.loads(ran.out)["law"]["name"].startswith("calibrated")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("capacity", "--model", "nowhere"), "no preset"),
        (("capacity", "--model", "smoke", "--sample-tokens", 17), "reads 16 tokens"),
        (("capacity", "--model", "smoke", "--steps", 0), "0"),
        (("capacity", "--device", "cuda:99"), "cannot be used"),
        (("calibrate",), "--data"),
        (("calibrate", "--data", "nowhere.jsonl"), "no such file"),
        (("calibrate", "--data", "CORPUS", "--ratios", "a,b"), "list of numbers"),
        (("calibrate", "--data", "CORPUS", "--vocabulary", 10), "257"),
        (("calibrate", "--data", "CORPUS"), "the sweep needs"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    run: Run, corpus: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    ran = run(*(corpus if argument == "CORPUS" else argument for argument in arguments), "--out", tmp_path / "out")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert words in ran.err


@pytest.fixture
def audit(run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Callable[..., Any]:
    def call(*more: object) -> Ran:
        return run(
            *("audit", "--target", tiny_models["target"], "--reference", tiny_models["reference"]),
            *("--members", tiny_data["members"], "--non-members", tiny_data["non_members"]),
            *("--out", tmp_path / "out", *more),
        )

    return call


def test_the_audit_sets_prediction_beside_measurement(audit: Callable[..., Any], tmp_path: Path) -> None:
    ran = audit("--train-samples", "2k", "--epochs", 12)
    assert ran.code == 0, ran
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    beside = document["prediction"]
    n_tokens = document["data"]["members"]["n_tokens"] / document["data"]["members"]["n_samples"]
    assert beside["prediction"]["samples"] == pytest.approx(2000)
    assert beside["prediction"]["tokens"] == pytest.approx(2000 * n_tokens)
    assert beside["prediction"]["epochs"] == 12
    by_name = {row["quantity"]: row for row in beside["comparisons"]}
    loss = next(attack for attack in document["attacks"] if attack["name"] == "loss")
    assert by_name["loss attack, AUC"]["measured"] == loss["auc"]["value"]
    assert by_name["loss attack, AUC"]["predicted"] == beside["prediction"]["law"]["auc"]
    assert "capacity used by audited members (ceiling)" in by_name
    assert beside["summary"].split(":")[0] in " ".join(ran.out.split())  # among what else was found
    assert "What its size lets expect" in (tmp_path / "out" / "report.html").read_text()
    assert "--train-samples" in (tmp_path / "out" / "report.html").read_text()  # the command to reproduce


@pytest.mark.slow
def test_the_audit_uses_measured_constants(audit: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    capacity(run, tmp_path / "capacity")
    path = tmp_path / "capacity" / "capacity.json"
    document = json.loads(path.read_text())
    document["bits_per_parameter"] = 2.5
    path.write_text(json.dumps(document))
    assert audit("--train-tokens", "100k", "--capacity", path).code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["memorization"]["bits_per_parameter"] == 2.5
    assert result["prediction"]["prediction"]["bits_per_parameter"] == 2.5
    assert "measured" in result["memorization"]["bits_per_parameter_source"]


@pytest.mark.slow
def test_without_a_size_there_is_no_prediction(audit: Callable[..., Any], tmp_path: Path) -> None:
    assert audit().code == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["prediction"] is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--train-samples", "1k", "--train-tokens", "1k"), "not both"),
        (("--train-samples", "0"), "greater than 0"),
        (("--train-tokens", "-3"), "greater than 0"),
        (("--capacity", "nowhere.json"), "cannot read"),
        (("--calibration", "nowhere.json"), "cannot read"),
        (("--capacity", "x", "--bits-per-parameter", "3"), "not both"),
    ],
)
def test_wrong_sizes_and_files_are_refused(audit: Callable[..., Any], more: tuple[str, ...], words: str) -> None:
    ran = audit(*more)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert words in ran.err
