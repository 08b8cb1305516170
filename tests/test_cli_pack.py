"""A pack on the command line: made once, audited with while the references are gone, and found to be the same audit."""

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from auditor.phases import PACK
from helpers import Run, build_tokenizer, make_texts, save_gpt2, write_jsonl

FROM_ELSEWHERE = ("provenance", "config")
"""Parts of a result that say how it was made, and may differ."""


@pytest.fixture
def world(tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copy models and texts, so that they can be taken away."""
    models = {name: shutil.copytree(path, tmp_path / name) for name, path in tiny_models.items()}
    return models | {name: Path(shutil.copy(path, tmp_path)) for name, path in tiny_data.items()}


def make(run: Run, world: dict[str, Path], *more: object) -> Path:
    path = world["members"].parent / "probe.pack"
    ran = run("pack", "--reference", world["reference"], "--members", world["members"], "--non-members",
              world["non_members"], "--out", path, *more)  # fmt: skip
    assert ran.code == 0, ran.err
    return path


def audit(run: Run, world: dict[str, Path], out: str, *more: object, models: bool = False) -> dict[str, Any]:
    folder = world["members"].parent / out
    if models:
        more = ("--reference", world["reference"], "--members", world["members"], "--non-members",
                world["non_members"], *more)  # fmt: skip
    ran = run("audit", "--target", world["target"], "--out", folder, *more)
    assert ran.code == 0, ran.err
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


OTHERWISE = ("--max-tokens", 12, "--attack", "loss", "--attack", "ez", "--seed", 3)


@pytest.mark.parametrize("settings", [(), pytest.param(OTHERWISE, marks=pytest.mark.slow)])
def test_an_audit_with_a_pack_is_the_audit_with_the_models(
    run: Run, world: dict[str, Path], settings: tuple[object, ...]
) -> None:
    root = world["members"].parent
    expected = audit(run, world, "whole", *settings, models=True)
    path = make(run, world, *settings)
    shutil.rmtree(world["reference"])
    world["members"].unlink()
    found = audit(run, world, "packed", "--pack", path)
    assert {key: part for key, part in found.items() if key not in FROM_ELSEWHERE} == {
        key: part for key, part in expected.items() if key not in FROM_ELSEWHERE
    }
    assert pq.read_table(root / "packed" / "samples.parquet").equals(pq.read_table(root / "whole" / "samples.parquet"))
    assert {**found["config"], "dtype": "auto"} == expected["config"]
    for one, other in zip(found["provenance"]["models"], expected["provenance"]["models"], strict=True):
        assert {**one, "scoring_path": ""} == {**other, "scoring_path": ""}
    assert found["provenance"]["models"][1]["scoring_path"] == "not run: all scores were in the pack"
    assert found["provenance"]["pack_sha256"] is not None
    assert expected["provenance"]["pack_sha256"] is None
    of_the_reference = expected["provenance"]["n_tokens_scored"] - found["provenance"]["n_tokens_scored"]
    assert of_the_reference == sum(expected["data"][side]["n_tokens"] for side in ("members", "non_members"))
    ran = run("verify", root / "packed")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    "named",
    ["folder/named.json", *(pytest.param(n, marks=pytest.mark.slow) for n in ("folder", "folder/tokenizer.json"))],
)
def test_a_named_tokenizer_stays_named_in_a_pack(run: Run, tmp_path: Path, named: str) -> None:
    """Its class (Qwen2's, which splits figures) and its file (which joins them) read the texts otherwise."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = build_tokenizer(400)
    bare = Qwen2Config(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                       num_attention_heads=2, num_key_value_heads=2, bos_token_id=0, eos_token_id=0)  # fmt: skip
    models = {name: save_gpt2(tmp_path / name, seed=i, tokenizer=tokenizer) for i, name in enumerate(("target", "b"))}
    Qwen2ForCausalLM(bare).save_pretrained(tmp_path / "reference")  # no tokenizer of its own
    tokenizer.save_pretrained(tmp_path / "folder")
    bare.save_pretrained(tmp_path / "folder")
    settings = json.loads((tmp_path / "folder" / "tokenizer_config.json").read_text())
    (tmp_path / "folder" / "tokenizer_config.json").write_text(
        json.dumps(settings | {"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    shutil.copy(tmp_path / "folder" / "tokenizer.json", tmp_path / "folder" / "named.json")
    texts = make_texts(40, seed=4)
    world = models | {"reference": tmp_path / "reference", "members": write_jsonl(tmp_path / "m.jsonl", texts[:20]),
                      "non_members": write_jsonl(tmp_path / "n.jsonl", texts[20:], prefix="n")}  # fmt: skip
    more = ("--reference", models["b"], "--reference-tokenizer", tmp_path / named)
    expected = audit(run, world, "whole", *more, models=True)
    path = make(run, world, *more)
    shutil.rmtree(tmp_path / "folder")
    shutil.rmtree(tmp_path / "reference")
    found = audit(run, world, "packed", "--pack", path)
    assert {key: part for key, part in found.items() if key not in FROM_ELSEWHERE} == {
        key: part for key, part in expected.items() if key not in FROM_ELSEWHERE
    }
    for one, other in zip(found["provenance"]["models"], expected["provenance"]["models"], strict=True):
        assert {**one, "scoring_path": ""} == {**other, "scoring_path": ""}
    assert found["provenance"]["models"][1]["tokenizer"] == str(tmp_path / named)
    (check,) = [one for one in found["soundness"]["checks"] if one["name"] == "tokenizer_file"]
    assert check["verdict"] == ("warn" if named == "folder" else "pass")


def test_nothing_is_left_of_the_texts(run: Run, world: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = world["members"].parent
    (root / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root / "temporary"))
    path = make(run, world)
    audit(run, world, "packed", "--pack", path)
    assert list((root / "temporary").iterdir()) == []
    for file in [
        path,
        *(root / "packed" / "scores").glob("*/*.arrow"),
        *(root / "packed" / "scores").glob("*/*.ledger"),
    ]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name in ("result.json", "report.html", "report.md"):
        assert "temporary" not in (root / "packed" / name).read_text()


def test_a_target_with_a_shorter_window_is_told_to_pack_again(run: Run, world: dict[str, Path]) -> None:
    root = world["members"].parent
    tokenizer = build_tokenizer()
    short = save_gpt2(root / "short", seed=3, tokenizer=tokenizer, n_positions=16)
    path = make(run, world)
    ran = run("audit", "--pack", path, "--target", short, "--out", root / "out")
    assert ran.code == 2
    assert "distinct texts have no reference scores in it: it was made with a window of" in ran.err
    assert "pack again with --max-tokens N" in ran.err
    assert ran.err.count("\n") == 1
    path = make(run, world, "--max-tokens", 12)
    assert run("audit", "--pack", path, "--target", short, "--out", root / "out").code == 0


def test_another_tokenizer_of_the_target_is_told(run: Run, world: dict[str, Path]) -> None:
    path = make(run, world)
    world["target"] = world["other"]
    result = audit(run, world, "out", "--pack", path)
    check = next(one for one in result["soundness"]["checks"] if one["name"] == "tokenizer")
    assert check["verdict"] == "warn"
    assert any("read the texts as different tokens" in warning for warning in result["warnings"])


@pytest.mark.slow
def test_checkpoints_are_audited_with_one_pack(run: Run, world: dict[str, Path]) -> None:
    root = world["members"].parent
    path = make(run, world)
    for step in (1, 2):
        shutil.copytree(world["target" if step == 1 else "other"], root / "run" / f"checkpoint-{step}")
    ran = run("audit", "--pack", path, "--target", root / "run" / "checkpoint-*", "--out", root / "out")
    assert ran.code == 0, ran.err
    assert {one.name for one in (root / "out").iterdir()} >= {"checkpoint-1", "checkpoint-2", "curve.json"}


def test_the_command_says_what_is_confidential_and_what_the_texts_alone_tell(run: Run, world: dict[str, Path]) -> None:
    root = world["members"].parent
    arguments = ("pack", "--reference", world["reference"], "--members", world["members"], "--out", root / "a.pack")
    ran = run(*arguments, "--non-members", world["non_members"])
    assert "30 members and 30 non-members, scores of 1 reference, " in ran.out
    assert "as confidential" in ran.out
    assert set(PACK) <= set(ran.begun)
    apart = write_jsonl(root / "apart.jsonl", [f"{line} Yes." for line in make_texts(30, seed=1)], prefix="n")
    assert "veto: " in run(*arguments, "--non-members", apart).out
    assert run(*arguments, "--json").document["non_members"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--members", "x.jsonl"), "members cannot be given with --pack"),
        (("--attack", "loss"), "attacks cannot be given with --pack"),
        (("--trust-remote-code",), "trust-remote-code cannot be given with --pack"),
    ],
)
def test_what_the_pack_settles_is_refused(
    run: Run, world: dict[str, Path], more: tuple[object, ...], said: str
) -> None:
    path = make(run, world)
    ran = run("audit", "--pack", path, "--target", world["target"], "--out", world["members"].parent / "out", *more)
    assert ran.code == 2
    assert said in ran.err


def test_what_is_no_pack_is_refused(run: Run, world: dict[str, Path]) -> None:
    root = world["members"].parent
    for path in (root / "absent.pack", world["members"], root):
        ran = run("audit", "--pack", path, "--target", world["target"], "--out", root / "out")
        assert ran.code == 2
        assert ran.err.startswith(("Error: cannot unpack", f"Error: {path}: not a file of `auditor pack`"))


def test_a_pack_is_for_one_process(run: Run, world: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    ran = run("audit", "--pack", "x.pack", "--target", world["target"], "--out", world["members"].parent / "out")
    assert "--pack is for one process" in ran.err
