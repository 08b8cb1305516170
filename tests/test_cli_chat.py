"""Conversations from the command line: recognised, scored on what was completed, and refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers_chat import CHATML, INST, chat_tokenizer, conversations, in_form, save_chat_model, write_rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models and of conversations in every form."""
    root = tmp_path_factory.mktemp("chat")
    for seed, (name, template) in enumerate({"chat": CHATML, "other": CHATML, "inst": INST, "base": None}.items()):
        save_chat_model(root / name, seed=seed, template=template)
    for form in ("messages", "conversations", "prompt_completion_messages", "prompt_completion"):
        for side, seed in (("m", 1), ("n", 2)):
            rows = [in_form(talk, form) for talk in conversations(24, seed=seed)]
            write_rows(root / f"{side}-{form}.jsonl", rows, prefix=side)
    return root


def audited(
    run: Callable[..., Any], world: Path, out: Path, *more: object, form: str = "messages", **models: str
) -> Any:
    ran = run("audit", "--target", world / models.get("target", "chat"), "--reference",
              world / models.get("reference", "other"), "--members", world / f"m-{form}.jsonl", "--non-members",
              world / f"n-{form}.jsonl", "--out", out, "--attack", "reference", *more)  # fmt: skip
    return json.loads((out / "result.json").read_text()) if ran.code == 0 else ran


@pytest.mark.slow
@pytest.mark.parametrize("form", ["conversations", "prompt_completion_messages", "prompt_completion"])
def test_every_form_is_audited(run: Callable[..., Any], world: Path, tmp_path: Path, form: str) -> None:
    result = audited(run, world, tmp_path, form=form)
    assert result["data"]["form"] == form
    assert result["data"]["members"]["n_turns"] >= 24
    assert result["provenance"]["models"][0]["prefix_token_ids"] == []


def test_a_base_without_a_template_reads_with_the_targets(run: Callable[..., Any], world: Path, tmp_path: Path) -> None:
    result = audited(run, world, tmp_path, reference="base")
    assert any("no chat template" in warning for warning in result["warnings"])
    one, other = (model["chat_template_sha256"] for model in result["provenance"]["models"])
    assert one == other is not None


@pytest.mark.slow
def test_different_templates_score_the_same_contents(run: Callable[..., Any], world: Path, tmp_path: Path) -> None:
    result = audited(run, world, tmp_path, reference="inst")
    assert result["data"]["end_marks_scored"] is False
    assert any("different chat templates" in warning for warning in result["warnings"])
    tokenizer = chat_tokenizer()
    said = [m["content"] for talk in conversations(24, seed=1) for m in talk if m["role"] == "assistant"]
    alone = sum(len(tokenizer(text)["input_ids"]) for text in said)
    assert result["data"]["members"]["n_tokens"] == alone


def test_a_model_without_a_template_says_how_to_give_one(run: Callable[..., Any], world: Path, tmp_path: Path) -> None:
    ran = audited(run, world, tmp_path, target="base", reference="other")
    assert ran.code == 2
    assert "--chat-template FILE" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", "fails on 48 of 48 conversations"),
        ("{{ messages.__class__.__mro__ }}", "needs code"),
        ("{{ messages[0]['content'] + 1 }}", "fails on 48 of 48"),
        ("{{ raise_exception(messages[0]['content']) }}", "TemplateError"),
        ("{% for x in %}", "no template of jinja"),
        (None, "No such file"),
    ],
)
def test_templates_that_fail_are_one_line(
    run: Callable[..., Any], world: Path, tmp_path: Path, template: str | None, said: str
) -> None:
    file = tmp_path / "t.jinja"
    if template is not None:
        file.write_text(template)
    ran = audited(run, world, tmp_path / "out", "--chat-template", file)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    contents = [m["content"] for seed in (1, 2) for talk in conversations(24, seed=seed) for m in talk]
    assert not any(content in ran.err for content in contents)


def test_a_completion_beyond_the_window_is_named(run: Callable[..., Any], world: Path, tmp_path: Path) -> None:
    long = [{"role": "user", "content": "word it " * 200}, {"role": "assistant", "content": "yes"}]
    members = write_rows(tmp_path / "m.jsonl", [{"messages": m} for m in [*conversations(23, seed=1), long]])
    ran = run("audit", "--target", world / "chat", "--members", members, "--non-members", world / "n-messages.jsonl",
              "--out", tmp_path / "out")  # fmt: skip
    assert ran.code == 2
    assert "cuts the whole completion away from 1 of 48 texts" in ran.err
    assert "'m23'" in ran.err


def test_a_split_keeps_conversations(run: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{**in_form(talk, "conversations"), "source": "here"} for talk in conversations(50, seed=3)]
    ran = run("split", write_rows(tmp_path / "all.jsonl", rows), "--out", tmp_path / "split")
    assert ran.code == 0, ran.err
    kept = [json.loads(line) for line in (tmp_path / "split" / "members.jsonl").read_text().splitlines()]
    assert all(set(row) == {"id", "messages", "group", "source"} for row in kept)
    assert {row["messages"][0]["role"] for row in kept} == {"user"}


def test_a_prediction_counts_what_is_completed(run: Callable[..., Any], world: Path) -> None:
    found = {}
    for score in ("completion", "all"):
        ran = run(
            "predict", "--model", world / "chat", "--data", world / "m-messages.jsonl", "--score", score, "--json"
        )
        assert ran.code == 0, ran.err
        found[score] = json.loads(ran.out)["dataset_bits"]
    assert found["completion"] < found["all"]


@pytest.mark.slow
def test_shadows_train_on_what_is_scored(run: Callable[..., Any], world: Path, tmp_path: Path) -> None:
    texts = ("--members", world / "m-messages.jsonl", "--non-members", world / "n-messages.jsonl")
    ran = run("shadows", "--target", world / "chat", *texts, "--out", tmp_path / "s", "--models", 4, "--epochs", 2,
              "--workers", 1)  # fmt: skip
    assert ran.code == 0, ran.err
    settings = json.loads((tmp_path / "s" / "manifest.json").read_text())["settings"]
    assert settings["score"] == "completion"
    given = ("audit", "--target", world / "chat", *texts, "--shadows", tmp_path / "s", "--attack", "lira")
    assert run(*given, "--out", tmp_path / "a").code == 0
    refused = run(*given, "--out", tmp_path / "b", "--score", "all")
    assert refused.code == 2
    assert "--score completion" in refused.err


@pytest.mark.slow
def test_a_pack_of_conversations_gives_the_numbers_of_the_audit(
    run: Callable[..., Any], world: Path, tmp_path: Path
) -> None:
    plain = audited(run, world, tmp_path / "plain")
    texts = ("--members", world / "m-messages.jsonl", "--non-members", world / "n-messages.jsonl")
    packed = run("pack", "--reference", world / "other", *texts, "--out", tmp_path / "a.pack", "--attack", "reference")
    assert packed.code == 0, packed.err
    ran = run("audit", "--target", world / "chat", "--pack", tmp_path / "a.pack", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["memorization"] == plain["memorization"]
    assert result["attacks"] == plain["attacks"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["messages", "prompt_completion"])
def test_attacks_that_rewrite_continue_or_differentiate_take_conversations(
    run: Callable[..., Any], world: Path, tmp_path: Path, form: str
) -> None:
    shots, other, rare = (
        write_rows(tmp_path / f"{seed}.jsonl", [in_form(talk, form) for talk in conversations(4, seed=seed, turns=1)])
        for seed in (7, 8, 9)
    )
    names = ("samia", "gradient_norm", "neighbourhood_swap", "pac", "lowercase", "recall", "con_recall", "dc_pdd")
    more = [word for name in names for word in ("--attack", name)]
    texts = ("--shots", shots, "--member-shots", other, "--frequency-corpus", rare)
    result = audited(run, world, tmp_path / "out", *more, *texts, form=form)
    found = {attack["name"]: attack["auc"]["value"] for attack in result["attacks"]}
    assert set(names) <= set(found)
    assert all(value is not None and 0 < value < 1 for value in found.values())


@pytest.mark.parametrize("option", ["--shots", "--frequency-corpus"])
def test_other_texts_of_another_form_are_refused(
    run: Callable[..., Any], world: Path, tmp_path: Path, option: str
) -> None:
    other = world / "m-prompt_completion.jsonl"
    attack = "recall" if option == "--shots" else "dc_pdd"
    ran = audited(run, world, tmp_path / "out", "--attack", attack, option, other)
    assert ran.code == 2
    assert f"{option}: a prompt and a completion as strings, and the members are conversations of messages" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_a_calibration_trains_on_the_words_of_conversations(run: Callable[..., Any], tmp_path: Path) -> None:
    data = write_rows(tmp_path / "all.jsonl", [in_form(talk, "messages") for talk in conversations(400, seed=5)])
    ran = run("calibrate", "--data", data, "--out", tmp_path / "c", "--sample-tokens", 16, "--held-out", 20, "--ratios",
              "0.01,0.02", "--epochs", 1, "--least-steps", 2, "--reference-steps", 2, "--reference-samples", 20,
              "--workers", 1, "--vocabulary", 300, "--longer", 0)  # fmt: skip
    assert ran.code == 0, ran.err
    assert (tmp_path / "c" / "calibration.json").is_file()
