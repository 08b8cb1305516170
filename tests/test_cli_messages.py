"""Messages name the user's mistake: what was given, what is allowed, what to do, and no text of the data."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.auditing.probe import read_probe
from auditor.errors import ConfigError
from helpers import save_gpt2


@pytest.fixture
def refused(run: Callable[..., Any]) -> Callable[..., str]:
    """Return a function that runs a command that must fail, and returns the one line that it says."""

    def call(*arguments: object) -> str:
        ran = run(*arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        line: str = ran.err
        return line

    return call


@pytest.fixture
def audited(run: Callable[..., Any], tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Path:
    """Audit the tiny models as a curve of two checkpoints; return the folder."""
    for step in (2, 10):
        shutil.copytree(tiny_models["target"], tmp_path / "run" / f"checkpoint-{step}")
    ran = run(
        *("audit", "--target", tmp_path / "run" / "checkpoint-*", "--members", tiny_data["members"]),
        *("--non-members", tiny_data["non_members"], "--out", tmp_path / "out", "--attack", "loss"),
    )
    assert ran.code == 0, ran
    return tmp_path / "out"


def test_documents_of_other_kinds_are_named(refused: Callable[..., str], audited: Path) -> None:
    result, plan = audited / "checkpoint-10" / "result.json", ("predict", "--params", "1M", "--tokens", "1M")
    said = refused(*plan, "--calibration", result)
    assert "not a calibration (`auditor calibrate`), but the result of an audit (`auditor audit`)" in said
    assert "but the result of an audit" in refused(*plan, "--capacity", result)
    assert "but the curve of several audits" in refused(*plan, "--calibration", audited / "curve.json")
    assert f"name the folder of one, such as {audited / 'checkpoint-10'}" in refused("gate", audited)
    assert "gate the result.json of a checkpoint" in refused("gate", audited / "curve.json")
    said = refused("report", result.with_name("samples.parquet"), "--format", "md")
    assert "samples.parquet is not a result: give result.json" in said
    assert "holds none of result.json" in refused("gate", audited / "scores")


def test_the_folder_of_a_comparison_is_judged(run: Callable[..., Any], audited: Path, tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    assert run("compare", audited / "checkpoint-2", audited / "checkpoint-10", "--out", folder).code == 0
    (policy := tmp_path / "policy.toml").write_text(
        'version = 1\n[[gate]]\nname = "no-rise"\nmetric = "change.attacks.headline.auc"\nmax = 0.5\n'
    )
    ran = run("gate", folder, "--policy", policy)
    assert ran.code in (0, 1), ran
    assert "no-rise" in ran.out


def test_a_data_set_as_drop_list_shows_no_text(
    refused: Callable[..., str], tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    texts = [json.loads(line)["text"] for line in tiny_data["members"].read_text().splitlines()]
    plain, strings = tmp_path / "texts.txt", tmp_path / "strings.jsonl"
    plain.write_text("\n".join(texts))
    strings.write_text("\n".join(map(json.dumps, texts)))
    for file, words in (
        (tiny_data["members"], "line 1: a JSON object, not an id: write the ids alone, one a line"),
        (plain, "30 ids of no sample (line 1, line 2, line 3, line 4, line 5 and 25 more)"),
        (strings, "30 ids of no sample (line 1,"),
    ):
        said = refused(
            *("audit", "--target", tiny_models["target"], "--members", tiny_data["members"], "--drop-ids", file),
            *("--non-members", tiny_data["non_members"], "--out", tmp_path / "out"),
        )
        assert words in said
        assert not any(text[:20] in said for text in texts)


def test_mistakes_about_the_model_are_named(
    refused: Callable[..., str], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = save_gpt2(tmp_path / "model", seed=1)
    data = ("--members", tiny_data["members"], "--non-members", tiny_data["non_members"], "--out", tmp_path / "out")
    said = refused("audit", "--target", model, *data, "--device", "tpu")
    assert "device 'tpu' cannot be used: it is none of auto, cpu, cuda, cuda:N and mps" in said
    said = refused("audit", "--target", model / "model.safetensors", *data)
    assert f"name its folder, {model}" in said
    file = model / "model.safetensors"
    tensors = load_file(file)
    name = "transformer.wpe.weight"
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, file, metadata={"format": "pt"})
    said = refused("audit", "--target", model, *data, "--dtype", "float32")
    assert "NaN" in said
    assert "float16" not in said
    assert "check how the checkpoint was saved" in said
    save_file(tensors | {name: tensors[name][:-1].clone()}, file, metadata={"format": "pt"})
    said = refused("audit", "--target", model, *data)
    assert "another shape than config.json says" in said
    assert "ignore_mismatched_sizes" not in said


@pytest.mark.parametrize(("members", "others"), [(["a"], None), (None, ["a"]), (3, ["a"])])
def test_a_probe_without_a_side_is_named(members: Any, others: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be a file or a list of texts, not (NoneType|int); both sides"):
        read_probe(members, others)
