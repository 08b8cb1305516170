"""Audits as a sceptic would run them: strong attacks, shadows, a retrained model, sides that differ, drops."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers import WORDS, Run, build_tokenizer, make_texts, naive_logprobs, save_gpt2, write_jsonl

N = 60
SEEN_BY_ALL_ATTACKS = {
    *("loss", "reference", "zlib", "lowercase", "min_k", "min_k_plus_plus", "recall", "con_recall", "pac", "surp"),
    *("neighbourhood_swap", "ez", "wbc", "max_renyi", "dc_pdd", "gradient_norm", "samia", "informia"),
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train a target on the members, and a reference and a retrained model on other texts of the kind."""
    from transformers import AutoModelForCausalLM

    from auditor.experiments.training import save, train

    root = tmp_path_factory.mktemp("world")
    tokenizer = build_tokenizer()
    texts = {
        name: make_texts(N, seed=seed) for seed, name in enumerate(("members", "non_members", "others", "more"), 10)
    }
    found = {name: write_jsonl(root / f"{name}.jsonl", some, prefix=name[0]) for name, some in texts.items()}
    for seed, (name, trained_on) in enumerate(
        {"target": "members", "reference": "others", "retrained": "more"}.items()
    ):
        start = save_gpt2(root / f"{name}-start", seed=seed, tokenizer=tokenizer, scale=0.02)
        weights = AutoModelForCausalLM.from_pretrained(start)
        ids = [[0, *tokenizer(text)["input_ids"]] for text in texts[trained_on]]
        train(weights, ids, steps=250, batch_size=20, learning_rate=2e-2, seed=seed, warmup=5)
        save(weights, tokenizer, root / name)
        found[name] = root / name
    return found


@pytest.fixture
def audit(run: Run, world: dict[str, Path], tmp_path: Path) -> Run:
    """Return a function that audits the target of the world, with changes; its document, or what it said."""

    def call(*more: object, **changes: object) -> Any:
        options: dict[str, object] = {
            "target": world["target"],
            "reference": world["reference"],
            "members": world["members"],
            "non-members": world["non_members"],
            "out": tmp_path / "out",
        } | {key.replace("_", "-"): value for key, value in changes.items()}
        flags = [part for key, value in options.items() if value is not None for part in (f"--{key}", value)]
        return run("audit", *flags, *more)

    return call


def read(tmp_path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tmp_path / "out" / "result.json").read_text())
    return document


def by_label(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {attack["attack"]: attack for attack in result["attacks"]}


def check(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["soundness"]["checks"] if one["name"] == name)
    return found


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, texts: list[str], **columns: list[Any]) -> Path:
        rows = [{"id": f"{name}-{i}", "text": text} for i, text in enumerate(texts)]
        for column, values in columns.items():
            for row, value in zip(rows, values, strict=True):
                row[column] = value
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_every_attack_that_the_inputs_allow(audit: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    ran = audit(
        attack="all",
        shots=lines("shots", ["Nobody was trained on this 1."]),
        member_shots=lines("known", ["The target was trained on that 2."]),
        frequency_corpus=lines("counted", ["The cat was at the door of his house."] * 3),
    )
    assert ran.code == 0, ran.err
    result = read(tmp_path)
    assert set(by_label(result)) == SEEN_BY_ALL_ATTACKS
    for attack in result["attacks"]:
        assert attack["auc"]["value"] is not None
    assert by_label(result)["reference"]["auc"]["low"] > 0.9  # a target that knows its members by heart
    assert result["combination"]["features"] == [attack["attack"] for attack in result["attacks"]]
    assert result["selection"]["n_attacks"] == len(SEEN_BY_ALL_ATTACKS)
    assert result["selection"]["headline"] == "reference"
    again = audit(attack="all", json=None, shots=tmp_path / "shots.jsonl", member_shots=tmp_path / "known.jsonl",
                  frequency_corpus=tmp_path / "counted.jsonl")  # fmt: skip
    assert again.code == 0
    assert read(tmp_path)["provenance"]["n_tokens_scored"] == 0  # gradients and continuations are stored, too
    assert by_label(read(tmp_path)) == by_label(result)


def test_the_headline_is_declared_before_looking(audit: Run, tmp_path: Path) -> None:
    assert audit(headline="min_k:k=0.1").code == 0
    selection = read(tmp_path)["selection"]
    assert (selection["headline"], selection["declared_by"]) == ("min_k:k=0.1", "config")
    ran = audit(attack="loss", headline="zlib")
    assert (ran.code, "--headline zlib is not among the attacks: loss" in ran.err) == (2, True)
    ran = audit(headline="lira")
    assert (ran.code, "--headline lira needs shadow models" in ran.err) == (2, True)


@pytest.mark.slow
def test_shadows_are_references_for_what_they_did_not_see(
    audit: Run, run: Run, world: dict[str, Path], tmp_path: Path
) -> None:
    shadows = tmp_path / "shadows"
    ran = run(
        *("shadows", "--target", world["reference"], "--members", world["members"], "--out", shadows),
        *("--non-members", world["non_members"], "--models", 4, "--steps", 60, "--learning-rate", 2e-2, "--workers", 1),
    )
    assert ran.code == 0, ran.err
    assert audit(reference=None, shadows=shadows).code == 0
    result = read(tmp_path)
    assert {"lira", "lira_offline", "rmia", "reference"} <= set(by_label(result))
    assert by_label(result)["lira"]["auc"]["low"] > 0.7
    assert [model["role"] for model in result["provenance"]["models"]] == ["target"] + ["shadow"] * 4
    assert result["risk"]["stability"]["n_references"] == 2
    assert result["memorization"]["n_references"] == 4
    options = ("--target", world["reference"], "--members", world["members"], "--non-members", world["non_members"])
    assert run("shadows", *options, "--out", tmp_path / "pair", "--models", 2, "--steps", 2, "--workers", 1).code == 0
    ran = audit(reference=None, shadows=tmp_path / "pair", attack="lira")
    assert (ran.code, "two shadow models that saw" in ran.err) == (2, True)
    _check_first_text_against_a_loop(shadows, world, tmp_path)


def _check_first_text_against_a_loop(shadows: Path, world: dict[str, Path], tmp_path: Path) -> None:
    """The reference bits of a text are those of the even mixture of the models that did not see it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.documents.shadows import load_shadows

    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    text = json.loads(world["members"].read_text().splitlines()[0])["text"]
    found = load_shadows(shadows)
    out = [
        model for model, saw in zip(found.models, found.seen(table["text_sha256"][:1])[:, 0], strict=True) if not saw
    ]
    assert len(out) == 2
    ids = [0, *AutoTokenizer.from_pretrained(world["target"])(text)["input_ids"]]
    bits = [-sum(naive_logprobs(AutoModelForCausalLM.from_pretrained(model), ids, 1)) / math.log(2) for model in out]
    mixed = -np.logaddexp2(*(-np.array(bits))) + 1
    assert table["reference_bits"][0] == pytest.approx(mixed, abs=1e-3)


def test_unlearning_is_judged_against_a_retrained_model(audit: Run, world: dict[str, Path], tmp_path: Path) -> None:
    ran = audit(attack="loss", retrained=world["retrained"])
    assert ran.code == 0, ran.err
    found = read(tmp_path)["retrained"]
    assert found["finding"] == "residual"
    assert found["net_bits_per_member"]["low"] > 0
    same = tmp_path / "same"
    shutil.copytree(world["target"], same)
    assert audit("--overwrite", attack="loss", retrained=same).code == 0
    assert read(tmp_path)["retrained"]["finding"] == "indistinguishable"
    ran = audit(attack="loss", retrained=world["target"])
    assert (ran.code, "is the target" in ran.err) == (2, True)
    swapped = {"target": world["retrained"], "retrained": world["target"]}  # the worst case of over-erasure
    ran = audit("--overwrite", attack="loss", **swapped)
    assert read(tmp_path)["retrained"]["finding"] == "over_erased"
    assert "over-erased" in ran.out.lower()


def test_sides_that_the_texts_alone_tell_apart_get_no_verdict(
    audit: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    texts = make_texts(2 * N, seed=77)
    old = lines("old", [f"In 1993 {text}" for text in texts[:N]])
    new = lines("new", [f"In 2021 {text}" for text in texts[N:]])
    ran = audit(attack="loss", members=old, non_members=new)
    assert ran.code == 0, ran.err
    result = read(tmp_path)
    assert check(result, "blind_baseline")["verdict"] == "veto"
    assert "no verdict" in ran.out.lower()
    assert result["attacks"][0]["auc_residualised"]["value"] is not None
    assert "1993" not in json.dumps(result) + ran.out  # nothing of the texts is told


def test_near_duplicates_are_listed_and_dropped(audit: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS, 20)) for _ in range(2 * N)]
    for i in range(5):
        texts[N + i] = texts[i] + " at last"
    members, non_members = lines("m", texts[:N]), lines("n", texts[N:])
    ran = audit(attack="loss", members=members, non_members=non_members)
    assert ran.code == 0, ran.err
    found = check(read(tmp_path), "near_duplicates")
    assert (found["verdict"], sorted(found["sample_ids"])) == ("veto", [f"n-{i}" for i in range(5)])
    dropped = tmp_path / "out" / "drop-ids.txt"
    assert [line for line in dropped.read_text().splitlines() if not line.startswith("#")] == found["sample_ids"]
    assert audit("--overwrite", attack="loss", members=members, non_members=non_members, drop_ids=dropped).code == 0
    result = read(tmp_path)
    assert check(result, "near_duplicates")["verdict"] == "pass"
    assert result["data"]["non_members"]["n_dropped"] == 5
    assert result["data"]["non_members"]["n_samples"] == N - 5
    (tmp_path / "wrong.txt").write_text("nobody\n")
    wrong = tmp_path / "wrong.txt"
    ran = audit("--overwrite", attack="loss", members=members, non_members=non_members, drop_ids=wrong)
    assert (ran.code, "line 1" in ran.err, "nobody" in ran.err) == (2, True, False), ran.err


def test_a_split_is_checked_when_it_is_audited(
    audit: Run, run: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = lines("corpus", make_texts(3 * N, seed=5, words=30))
    assert run("split", corpus, "--out", tmp_path / "split").code == 0
    members, non_members, manifest = (tmp_path / "split" / name
                                      for name in ("members.jsonl", "non_members.jsonl", "manifest.json"))  # fmt: skip
    assert audit(attack="loss", members=members, non_members=non_members, split_manifest=manifest).code == 0
    assert check(read(tmp_path), "split_manifest")["verdict"] == "pass"
    swapped = {"members": non_members, "non_members": members}
    assert audit("--overwrite", attack="loss", **swapped, split_manifest=manifest).code == 0
    assert check(read(tmp_path), "split_manifest")["verdict"] == "veto"


def test_attacks_that_compare_tokens_are_left_out_of_models_that_read_differently(
    audit: Run, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    assert audit(reference=tiny_models["other"]).code == 0
    result = read(tmp_path)
    assert not {"ez", "wbc"} & set(by_label(result))
    assert any("different tokens: ez, wbc" in warning for warning in result["warnings"])
    ran = audit(reference=tiny_models["other"], attack="ez")
    assert (ran.code, "token by token" in ran.err) == (2, True)


def test_risk_by_copies_that_the_data_tell(
    audit: Run, world: dict[str, Path], lines: Callable[..., Path], tmp_path: Path
) -> None:
    texts = [json.loads(line)["text"] for line in world["members"].read_text().splitlines()]
    members = lines("m", texts, copies=[1 + 3 * (i % 2) for i in range(N)])
    ran = audit(members=members)
    assert ran.code == 0, ran.err
    (copies,) = [one for one in read(tmp_path)["risk"]["breakdowns"] if one["by"] == "copies"]
    assert [group["n_members"] for group in copies["groups"]] == [N // 2, N // 2]
    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    assert table["n_copies"][:4] == [1, 4, 1, 4]
    assert all(0 <= value <= 1 for value in table["posterior"])
    wrong = lines("w", texts, copies=["many"] * N)
    ran = audit(members=wrong)
    assert (ran.code, "copies must be a whole number" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attack": "con_recall"}, "members of its own to put before the texts (--member-shots)"),
        ({"attack": "dc_pdd"}, "a corpus to count tokens in (--frequency-corpus)"),
        ({"attack": "neighbourhood"}, "a masked language model that rewrites texts (--neighbour-model)"),
        ({"attack": "lira"}, "shadow models, made by `auditor shadows` (--shadows)"),
        ({"attack": "lira_offline"}, "two references or more"),
        ({"shadows": "nowhere"}, "nowhere"),
        ({"split_manifest": "nowhere.json"}, "nowhere.json"),
        ({"drop_ids": "nowhere.txt"}, "nowhere.txt"),
        ({"retrained": "nowhere"}, "nowhere"),
        ({"retrained_margin": 2}, "retrained-margin must be in (0, 0.5)"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
    ],
)
def test_wrong_input_is_one_line(audit: Run, options: dict[str, object], says: str) -> None:
    ran = audit(**options)
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.count("\n") == 1


def test_all_stands_alone(audit: Run) -> None:
    ran = audit("--attack", "all", "--attack", "loss")
    assert (ran.code, "give it alone" in ran.err) == (2, True)
