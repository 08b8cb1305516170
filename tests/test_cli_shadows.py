"""``auditor shadows``: from texts to shadow models, what it prints, and what it refuses."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from auditor.documents.shadows import load_shadows
from helpers import Ran, Run, save_gpt2


@pytest.fixture
def shadows(run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Callable[..., Ran]:
    def call(*more: object) -> Ran:
        return run(
            *("shadows", "--target", tiny_models["target"], "--members", tiny_data["members"]),
            *("--non-members", tiny_data["non_members"], "--out", tmp_path / "out", "--workers", 1),
            *("--steps", 2, "--learning-rate", 1e-9, *more),
        )

    return call


def test_shadows_are_trained_then_used_again(
    shadows: Callable[..., Ran], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    ran = shadows("--models", 4)
    assert ran.code == 0, ran
    for words in ("4 models trained, 0 reused", "shadow-03", "no gap", f"--shadows {tmp_path / 'out'}", "60 different"):
        assert words in ran.out
    hashes = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*/model.safetensors")}
    ran = shadows("--models", 4)
    assert "0 models trained, 4 reused" in ran.out
    assert hashes == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*/model.safetensors")}
    document = shadows("--models", 4, "--json").document
    assert document == json.loads((tmp_path / "out" / "manifest.json").read_text())
    found = load_shadows(tmp_path / "out")
    assert found.manifest.seen().sum(axis=1).tolist() == [30] * 4
    printed = ran.out + ran.err
    texts = [json.loads(line)["text"] for line in tiny_data["members"].read_text().splitlines()]
    assert not any(text in printed for text in texts)


@pytest.mark.slow
def test_adapters_are_trained_and_audited_as_models(
    shadows: Callable[..., Ran], run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    ran = shadows("--models", 2, "--base", tiny_models["reference"], "--lora", 2)
    assert ran.code == 0, ran
    assert "LoRA of rank 2 on" in " ".join(ran.out.split())
    assert "few shadows" in ran.out
    one, other = load_shadows(tmp_path / "out").models
    ran = run(
        *("audit", "--target", one, "--reference", other, "--members", tiny_data["members"], "--out", tmp_path / "a"),
        *("--non-members", tiny_data["non_members"], "--attack", "loss", "--json"),
    )
    assert ran.code == 0, ran


@pytest.fixture
def audit(run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Callable[..., Ran]:
    """Return a function that audits with the shadows, by the command that their training printed or by another."""

    def call(*more: object, printed: str = "") -> Ran:
        command = shlex.split(printed)[1:] if printed else [
            *("audit", "--target", tiny_models["target"], "--members", tiny_data["members"]),
            *("--non-members", tiny_data["non_members"], "--shadows", tmp_path / "out"),
        ]  # fmt: skip
        return run(*command, "--attack", "reference", "--out", tmp_path / "audit", *more)

    return call


@pytest.mark.slow
def test_the_printed_command_reads_texts_as_the_shadows_did(
    shadows: Callable[..., Ran], audit: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = shadows("--models", 2, "--max-tokens", 8, "--prefix-token", "none")
    assert ran.code == 0, ran
    printed = next(line for line in ran.out.splitlines() if line.startswith("Use them: ")).removeprefix("Use them: ")
    assert " --max-tokens 8 --prefix-token none --shadows " in printed
    for given, said in (
        ((), "give --prefix-token none"),
        (
            ("--prefix-token", "none"),
            "on at most 8 tokens of a text, and this audit reads at most 64 tokens",
        ),
        (("--max-tokens", 8), "was trained with the tokens [] before every text, and this audit puts [0] there"),
        (("--max-tokens", 7, "--prefix-token", "none"), "reads at most 7 tokens; give --max-tokens as to"),
        (("--max-tokens", 8, "--prefix-token", "none", "--long-texts", "stride"), "beyond the at most 8 tokens"),
    ):
        refused = audit(*given)
        assert refused.code == 2, given
        assert said in refused.err, given
        assert len(refused.err.strip().splitlines()) == 1, refused.err
    assert audit(printed=printed).code == 0


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_shadow_that_is_not_as_it_was_trained_is_refused(
    shadows: Callable[..., Ran], audit: Callable[..., Ran], tmp_path: Path, file: str
) -> None:
    assert shadows("--models", 2).code == 0
    assert audit().code == 0
    path = tmp_path / "out" / "shadow-01" / file
    if file == "model.safetensors":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1  # one bit of one weight
        path.write_bytes(content)
    else:
        document = json.loads(path.read_text())
        if file == "config.json":
            document["layer_norm_epsilon"] = 1e-4
        else:
            document["model"]["merges"].pop()
        path.write_text(json.dumps(document))
    what = {"model.safetensors": "weights", "config.json": "configuration", "tokenizer.json": "tokenizer"}[file]
    refused = audit()
    assert refused.code == 2
    assert f"the {what} of shadow-01 is not what its manifest says (SHA-256); remove that folder" in refused.err


@pytest.mark.slow
def test_processes_change_no_weight(shadows: Callable[..., Ran], tmp_path: Path) -> None:
    one = shadows("--json").document["shadows"]
    two = shadows("--json", "--workers", 2, "--out", tmp_path / "two").document["shadows"]
    assert [run["weights_sha256"] for run in one] == [run["weights_sha256"] for run in two]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--models", 3), "even number"),
        (("--models", 0), "even number"),
        (("--lora", 4), "needs a base"),
        (("--lora", 0, "--base", "TARGET"), "lora-rank must be greater than 0"),
        (("--members", "nowhere.jsonl"), "no such file"),
        (("--members", "NON_MEMBERS"), "exact text of a member"),
        (("--text-field", "body"), "no column"),
        (("--target", "./nowhere"), "no such model folder"),
        (("--base", "OTHER"), "must be like the target"),
        (("--device", "cuda:99"), "cannot be used"),
        (("--max-tokens", 0), "max-tokens must be greater than 0"),
        (("--epochs", "many"), "not a valid float"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    shadows: Callable[..., Ran],
    tiny_models: dict[str, Path],
    tiny_data: dict[str, Path],
    tmp_path: Path,
    more: tuple[object, ...],
    words: str,
) -> None:
    known: dict[object, object] = {"TARGET": tiny_models["target"], "NON_MEMBERS": tiny_data["non_members"]}
    if "OTHER" in more:
        known["OTHER"] = save_gpt2(tmp_path / "wide", seed=0, n_positions=640)
    ran = shadows(*(known.get(one, one) for one in more))
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert words in ran.err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_the_texts_are_asked_for(run: Run, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    ran = run("shadows", "--target", tiny_models["target"], "--out", tmp_path / "out")
    assert ran.code == 2
    assert "--members" in ran.err


def test_other_options_are_refused_by_name(shadows: Callable[..., Ran]) -> None:
    assert shadows("--models", 2).code == 0
    ran = shadows("--models", 2, "--seed", 4)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "seed (0 there, 4 now)" in ran.err


@pytest.mark.slow
def test_what_shadows_change_beside_a_reference_is_said(
    shadows: Callable[..., Ran], run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    """The figures are those of an audit without the shadows and of this one."""
    assert shadows("--models", 4).code == 0

    def audit(name: str, *more: object) -> dict[str, Any]:
        ran = run(
            *("audit", "--target", tiny_models["target"], "--reference", tiny_models["reference"]),
            *("--members", tiny_data["members"], "--non-members", tiny_data["non_members"], "--out", tmp_path / name),
            *("--attack", "reference", "--json", *more),
        )
        assert ran.code == 0, ran
        document: dict[str, Any] = ran.document
        return document

    alone, beside = audit("alone"), audit("beside", "--shadows", tmp_path / "out")
    assert not any("shadow" in warning for warning in alone["warnings"])
    assert any("mixture of 1 references and those of 4 shadows" in warning for warning in beside["warnings"])
    (said,) = [warning for warning in beside["warnings"] if warning.startswith("what the shadow models change")]
    before, after = (one["memorization"]["mean_bits_members"]["value"] for one in (alone, beside))
    assert f"with the references alone mean bits of a member {before:.1f}, AUC of the bits 0." in said
    assert f"; with them mean bits of a member {after:.1f}, AUC of the bits 0." in said
    rows = pq.read_table(tmp_path / "alone" / "samples.parquet", columns=["is_member", "signed_bits"]).to_pydict()
    bits, is_member = np.array(rows["signed_bits"]), np.array(rows["is_member"])
    pairs = bits[is_member][:, None] - bits[~is_member][None, :]
    assert f"AUC of the bits {(pairs > 0).mean() + (pairs == 0).mean() / 2:.3f}; with them" in said
