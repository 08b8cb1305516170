"""Extraction from the command line: probabilities as of another sampler, and every document that knows them."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from auditor.engine.store import PassKey
from helpers import Ran, make_texts, write_jsonl
from helpers_engine import load_plainly

Run = Callable[..., Ran]
PREFIX, SUFFIX = 6, 2


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> dict[str, Any]:
    """Audit a tiny model once; the first member is what greedy decoding writes."""
    from click.testing import CliRunner

    from auditor.cli.audit import audit

    model, tokenizer = load_plainly(tiny_models["target"])
    prompt = tokenizer(make_texts(1, seed=7)[0])["input_ids"][: PREFIX - 1]
    texts = make_texts(12, seed=1)
    texts[0] = greedy_text(model, tokenizer, prompt, n=14)
    root = tmp_path_factory.mktemp("extraction")
    members = write_jsonl(root / "members.jsonl", texts, prefix="m")
    others = write_jsonl(root / "non_members.jsonl", make_texts(12, seed=2), prefix="n")
    arguments = ["--target", tiny_models["target"], "--reference", tiny_models["reference"], "--members", members]
    arguments += ["--non-members", others, "--attack", "loss", "--attack", "reference"]
    arguments += ["--extract", f"{PREFIX}/{SUFFIX}", "--confirm-extraction", 50, "--out", root / "out"]
    ran = CliRunner().invoke(audit, [str(one) for one in arguments], standalone_mode=False)
    assert ran.exception is None, ran.output
    return {"out": root / "out", "arguments": arguments, "texts": texts, "model": model, "tokenizer": tokenizer}


def greedy_text(model: Any, tokenizer: Any, prompt: list[int], *, n: int) -> str:
    """Write on greedily until the text reads back as the tokens that were written."""
    for first in range(2, 300):
        ids = [tokenizer.bos_token_id, first, *prompt]
        for _ in range(n):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        text = str(tokenizer.decode(ids[1:]))
        if tokenizer(text)["input_ids"] == ids[1:]:
            return text
    raise AssertionError("no greedy text survives tokenisation")


def result(audited: dict[str, Any]) -> Any:
    return json.loads((audited["out"] / "result.json").read_text())


def test_probabilities_are_those_of_another_sampler(audited: dict[str, Any]) -> None:
    from transformers.generation.logits_process import TopKLogitsWarper

    rows = pq.read_table(audited["out"] / "samples.parquet").to_pylist()[:8]
    model, tokenizer = audited["model"], audited["tokenizer"]
    warper, n_finite = TopKLogitsWarper(40), 0
    for row, text in zip(rows, audited["texts"], strict=False):
        ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]
        logits = model(torch.tensor([ids])).logits[0].double()
        sampled = unrestricted = 0.0
        for t in range(1 + PREFIX, 1 + PREFIX + SUFFIX):
            sampled += float(warper(None, logits[t - 1 : t].clone()).log_softmax(-1)[0, ids[t]])
            unrestricted += float(logits[t - 1].log_softmax(-1)[ids[t]])
        assert row["extraction_suffix_tokens"] == SUFFIX
        assert row["extraction_log2_p_unrestricted"] == pytest.approx(unrestricted / math.log(2), abs=1e-3)
        if math.isinf(sampled):
            assert row["extraction_log2_p"] is None
            assert row["draws_for_half"] is None
        else:
            n_finite += 1
            assert row["extraction_log2_p"] == pytest.approx(sampled / math.log(2), abs=1e-3)
            p = math.exp(sampled)
            assert row["draws_for_half"] == pytest.approx(math.ceil(math.log(0.5) / math.log1p(-p)), rel=1e-2)
    assert n_finite


def test_generation_confirms_what_greedy_decoding_writes(audited: dict[str, Any]) -> None:
    rows = pq.read_table(audited["out"] / "samples.parquet").to_pylist()
    assert rows[0]["extraction_is_greedy"]
    assert rows[0]["longest_greedy_run"] >= 10
    found = result(audited)["extraction"]
    assert found["confirmed"]["n_claims"] >= 1
    assert found["confirmed"]["n_confirmed"] == found["confirmed"]["n_generated"] == found["confirmed"]["n_claims"]
    assert found["confirmed"]["rate"]["value"] == 1.0
    assert (found["prefix_tokens"], found["suffix_tokens"], found["n_too_short"]) == (PREFIX, SUFFIX, 0)
    assert found["greedy_rate_members"]["value"] >= 1 / 12


def test_every_document_knows_it(audited: dict[str, Any], run: Run, tmp_path: Path) -> None:
    out = audited["out"]
    for name in ("report.html", "report.md"):
        assert "What can be drawn out" in (out / name).read_text()
    verified = json.loads(run("verify", out, "--json").out)
    assert {one["name"]: one["status"] for one in verified["claims"]}["extraction"] == "matches"
    (tmp_path / "policy.toml").write_text(
        'version = 1\n[[gate]]\nname = "drawn-out"\nmetric = "extraction.greedy_rate_members"\nmax = 0.9\n'
    )
    judged = run("gate", out, "--policy", tmp_path / "policy.toml")
    assert "drawn-out" in judged.out
    compared = json.loads(run("compare", out, out, "--json").out)
    changes = {one["metric"]: one["change"] for one in compared["changes"]}
    assert changes["extraction.greedy_rate_beyond"]["value"] == 0
    assert changes["extraction.greedy_rate_beyond"]["low"] <= 0 <= changes["extraction.rate_beyond"]["high"]


def test_verify_finds_a_rate_that_was_changed(audited: dict[str, Any], run: Run, tmp_path: Path) -> None:
    for name in ("result.json", "samples.parquet"):
        (tmp_path / name).write_bytes((audited["out"] / name).read_bytes())
    plain = result(audited)
    plain["extraction"]["greedy_rate_members"]["value"] = plain["extraction"]["greedy_rate_members"]["low"]
    (tmp_path / "result.json").write_text(json.dumps(plain))
    verified = json.loads(run("verify", tmp_path, "--json").out)
    (claim,) = [one for one in verified["claims"] if one["name"] == "extraction"]
    assert claim["status"] == "differs"
    assert "greedy_rate_members" in claim["detail"]


def test_an_older_store_is_told_and_scored_again(audited: dict[str, Any], run: Run, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    for file in (audited["out"] / "scores").glob("*/pass.json"):
        stated = json.loads(file.read_text()) | {"scoring_version": 3}
        stated["prefix_token_ids"] = tuple(stated["prefix_token_ids"])
        (scores / PassKey(**stated).folder_name).mkdir(parents=True)
    arguments = [*audited["arguments"][:-1], tmp_path]
    assert run("audit", *arguments).code == 0
    again = json.loads((tmp_path / "result.json").read_text())
    assert any("older version of the auditor" in one for one in again["warnings"])
    assert again["provenance"]["n_tokens_reused"] == 0
    assert again["extraction"] == result(audited)["extraction"]


def test_other_temperatures_and_texts_nearby(audited: dict[str, Any], run: Run, tmp_path: Path) -> None:
    options = [*audited["arguments"][:-2], "--extract", "4/10", "--extract-temperature", "0.5,1", "--near-verbatim", 6]
    out = tmp_path / "out"
    ran = run("audit", *options, "--out", out)
    assert ran.code == 0, ran.err
    found = json.loads((out / "result.json").read_text())["extraction"]
    cold, plain = found["tempered"]
    assert (cold["temperature"], plain["temperature"]) == (0.5, 1.0)
    for side in ("members", "non_members", "beyond"):
        assert plain[f"rate_{side}"] == found[f"rate_{side}"]
    assert cold["rate_members"]["n_members"] == plain["rate_members"]["n_members"] == 12
    near = found["near_verbatim"]
    assert (near["n_members"], near["n_non_members"], near["n_beams"], near["edited_share"]) == (6, 6, 20, 0.1)
    assert near["rate_members"]["value"] >= near["verbatim_rate_members"]["value"]
    page = (out / "report.html").read_text()
    assert "At temperature 0.5:" in page
    assert "With up to 10% of the tokens replaced, of 6 members" in page
    policy = tmp_path / "policy.toml"
    policy.write_text(
        "version = 1\n"
        + "".join(f'[[gate]]\nname = "g{i}"\nmetric = "extraction.{path}"\nmax = 1.0\n'
                  for i, path in enumerate(("tempered.0.5.rate_members", "near_verbatim.rate_beyond")))
    )  # fmt: skip
    judged = json.loads(run("gate", out, "--policy", policy, "--json").out)  # beyond is refused of so few texts
    assert [one["outcome"] for one in judged["gates"]] == ["pass", "refused"]
    verified = run("verify", out, "--json", "--no-models")
    rest = {one["name"]: one["detail"] for one in verified.document["claims"]}["the rest of extraction"]
    assert rest.startswith("confirmed, tempered, near_verbatim: not computed again")


def test_none_leaves_it_out(audited: dict[str, Any], run: Run, tmp_path: Path) -> None:
    arguments = [one for one in audited["arguments"][:-6]]
    assert run("audit", *arguments, "--extract", "none", "--out", tmp_path).code == 0
    assert json.loads((tmp_path / "result.json").read_text())["extraction"] is None
    assert "What can be drawn out" not in (tmp_path / "report.html").read_text()
    assert set(pq.read_table(tmp_path / "samples.parquet")["draws_for_half"].to_pylist()) == {None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--extract", "0/50"), "extract must be PREFIX/SUFFIX"),
        (("--extract", "abc"), "got 'abc'"),
        (("--extract", "300/300"), "takes 600 tokens of a text at once, and the target reads"),
        (("--extract", "none", "--confirm-extraction", 3), "extract is none"),
        (("--confirm-extraction", 0), "confirm-extraction must be at least 1"),
        (("--near-verbatim", 0), "near-verbatim must be at least 1"),
        (("--extract", "none", "--near-verbatim", 5), "extract is none, so leave near-verbatim out"),
        (("--extract-temperature", "0"), "extract-temperature must be in [0.01, 10], got 0"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    audited: dict[str, Any], run: Run, tmp_path: Path, options: tuple[Any, ...], said: str
) -> None:
    ran = run("audit", *audited["arguments"][:-6], *options, "--out", tmp_path)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_the_key_of_an_older_version_is_another_folder() -> None:
    key = PassKey(weights_sha256="w", config_sha256="c", tokenizer_sha256="t", prefix_token_ids=(0,), dtype="float32")
    assert key.folder_name != replace(key, scoring_version=3).folder_name
