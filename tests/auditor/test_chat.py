"""Conversations and prompts with completions: read, rendered and scored on what was completed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.config import DataSpec
from auditor.data import load_samples, load_texts
from auditor.data.chat import Chat, chat_columns
from auditor.engine.chat import ChatReader
from auditor.engine.models import chat_reader
from auditor.engine.tokens import Encoded, Encoder
from auditor.errors import DataError
from helpers_chat import CHATML, GENERATION, INST, chat_tokenizer, conversations, in_form, save_chat_model, write_rows

FORMS = ("messages", "conversations", "prompt_completion_messages", "prompt_completion")


def reader_of(template: str | None, *, form: str = "messages", score: str = "completion", **own: Any) -> ChatReader:
    return ChatReader(tokenizer=chat_tokenizer(template), form=form, template=template, score=score, **own)


def encoder_of(tokenizer: Any, form: str, score: str = "completion", *, window: int | None = None) -> Encoder:
    reader = chat_reader(tokenizer, form=form, score=score, template_file=None)
    return Encoder.build(
        tokenizer, rule="auto", n_vocabulary=400, context_window=window, max_tokens=None, form=form, chat=reader
    )


def read(tmp_path: Path, rows: list[dict[str, Any]]) -> Any:
    return load_texts(DataSpec(path=str(write_rows(tmp_path / "a.jsonl", rows))))[0]


def refused(tmp_path: Path, *rows: dict[str, Any]) -> str:
    with pytest.raises(DataError) as error:
        read(tmp_path, list(rows))
    return str(error.value)


def turn(role: str, content: Any = "secret words", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


# Which rows are conversations, and what they say


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recognised_and_said(form: str, tmp_path: Path) -> None:
    rows = [in_form(messages, form) for messages in conversations(5, seed=1)]
    data, notes = load_texts(DataSpec(path=str(write_rows(tmp_path / "a.jsonl", rows))))
    assert data.form == form
    assert any(note.startswith("read as ") for note in notes)
    assert all(Chat.read(text).words() == words for text, words in zip(data.texts, data.words, strict=True))


def test_the_same_words_have_the_same_hash_in_every_form_of_messages(tmp_path: Path) -> None:
    talks = conversations(4, seed=1)
    hashes = [
        read(tmp_path, [in_form(messages, form) for messages in talks]).text_sha256
        for form in ("messages", "conversations", "prompt_completion_messages")
    ]
    assert hashes[0] == hashes[1] == hashes[2]


def test_columns_are_looked_for_in_one_order() -> None:
    assert chat_columns(["messages", "text"], "text") == ("text",)
    assert chat_columns(["messages", "prompt"], "text") == ("messages",)
    assert chat_columns(["messages", "tools", "id"], "messages") == ("messages", "tools")
    assert chat_columns(["prompt", "completion"], "prompt") == ("prompt",)
    assert chat_columns(["id"], "text") == ()


def test_words_of_every_kind_are_said_once() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    chat = Chat(
        messages=(
            turn("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
            turn("assistant", "", reasoning_content="hm", tool_calls=[call]),
            turn("tool", "3"),
            turn("assistant", "it is 3"),
        ),
        template_kwargs={},
    )
    assert chat.words("completion") == 'hm\n\n{"name": "add", "arguments": {"a": 1}}\n\nit is 3'
    assert chat.words().startswith("one\n\ntwo\n\nhm")
    assert Chat.read(chat.packed()) == chat


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"messages": [turn("user")]}], "no turn of the assistant"),
        ([{"messages": [turn("assistant"), turn("user")]}], "roles are out of order: assistant after the start"),
        ([{"messages": [turn("user"), turn("user"), turn("assistant")]}], "user after a turn of user"),
        ([{"messages": [turn("user"), turn("tool"), turn("assistant")]}], "tool after a turn of user"),
        ([{"messages": [turn("user"), turn("assistant", "")]}], "a completion is empty"),
        ([{"prompt": "secret words", "completion": ""}], "a completion is empty"),
        ([{"prompt": "secret words", "completion": None}], "a completion is empty"),
        ([{"prompt": [turn("user")], "completion": []}], "a completion is empty"),
        ([{"prompt": "secret words", "completion": [turn("assistant")]}], "must both be strings, or both"),
        ([{"messages": []}], "must be a list of messages, and not empty"),
        ([{"messages": None}], "must be a list of messages"),
        ([{"messages": ["secret words"]}], "must be an object with role and content"),
        ([{"messages": [turn("secret"), turn("assistant")]}], "no role, or one that is not among"),
        ([{"messages": [turn("user", 3), turn("assistant")]}], "must be a string"),
        ([{"messages": [turn("user", [{"type": "image"}]), turn("assistant")]}], "image"),
        ([{"messages": [{"from": "human", "value": "secret words"}, turn("assistant")]}], "mixed forms"),
        (
            [
                {"messages": [turn("user"), turn("assistant")]},
                {"messages": [{"from": "human", "value": "b"}, {"from": "gpt", "value": "secret words"}]},
            ],
            "rows of mixed forms",
        ),
        ([{"messages": [turn("user"), turn("assistant")]}, {"text": "secret words"}], "rows of mixed forms"),
        ([{"messages": [turn("user"), turn("assistant", "\ud800")]}], "lone surrogate"),
        ([{"messages": [turn("user"), turn("assistant")], "tools": "[secret words"}], "JSON"),
        ([{"messages": [turn("user"), turn("assistant")], "chat_template_kwargs": {"messages": 1}}], "kwargs"),
    ],
)
def test_bad_conversations_get_a_line(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    message = refused(tmp_path, *rows)
    assert said in message
    assert "secret words" not in message
    assert "\n" not in message


def test_both_sides_are_of_one_form(tmp_path: Path) -> None:
    talks = conversations(4, seed=1), conversations(4, seed=2)
    one = write_rows(tmp_path / "m.jsonl", [in_form(m, "messages") for m in talks[0]])
    other = write_rows(tmp_path / "n.jsonl", [in_form(m, "prompt_completion") for m in talks[1]], prefix="n")
    alike = write_rows(tmp_path / "s.jsonl", [in_form(m, "conversations") for m in talks[1]], prefix="n")
    with pytest.raises(DataError, match="write both sides in one form"):
        load_samples(DataSpec(path=str(one)), DataSpec(path=str(other)))
    assert len(load_samples(DataSpec(path=str(one)), DataSpec(path=str(alike)))) == 8


@pytest.mark.parametrize("form", FORMS)
def test_tables_hold_conversations_as_json_lines_do(form: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [in_form(messages, form) for messages in conversations(5, seed=1, system=form == "messages")]
    plain = read(tmp_path, rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(load_texts(DataSpec(path=str(tmp_path / "a.parquet")))[0].texts) == list(plain.texts)


# Cutting


def test_a_cut_keeps_so_many_characters_of_the_contents() -> None:
    chat = Chat(messages=(turn("user", "abc"), turn("assistant", "defg")), template_kwargs={})
    for stop in range(1, 7):
        assert chat.cut(stop).contents() == "abcdefg"[:stop]
    assert chat.cut(3).scored("completion") == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.sampled_from([CHATML, GENERATION, INST]), st.booleans())
def test_a_cut_conversation_is_a_start_of_the_whole_one(stop: int, template: str, with_marks: bool) -> None:
    reader = reader_of(template, with_marks=with_marks)
    chat = Chat(messages=tuple(conversations(1, seed=4, turns=2)[0]), template_kwargs={})
    whole, cut = reader.render(chat.packed()), reader.render(chat.cut(stop).packed())
    assert whole.text.startswith(cut.text)
    n_scored = sum(stop - start for start, stop in cut.spans)
    assert n_scored <= sum(stop - start for start, stop in whole.spans)
    assert all(stop <= len(cut.text) for _, stop in cut.spans)


# What is scored


def test_spans_of_a_hand_made_conversation() -> None:
    chat = Chat(messages=(turn("user", "hi"), turn("assistant", "yo"), turn("user", "a"), turn("assistant", "b")),
                template_kwargs={})  # fmt: skip
    scored = [CHATML_TEXT[start:stop] for start, stop in reader_of(CHATML).render(chat.packed()).spans]
    assert scored == ["yo<|im_end|>\n", "b<|im_end|>\n"]
    generated = [CHATML_TEXT[start:stop] for start, stop in reader_of(GENERATION).render(chat.packed()).spans]
    assert generated == ["yo<|im_end|>", "b<|im_end|>"]  # as far as the template marks it
    contents = [CHATML_TEXT[a:b] for a, b in reader_of(CHATML, with_marks=False).render(chat.packed()).spans]
    assert contents == ["yo", "b"]
    assert reader_of(CHATML, score="all").render(chat.packed()).spans == [(0, len(CHATML_TEXT))]


CHATML_TEXT = (
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n"
    "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
)


def test_contents_are_the_same_characters_under_any_template() -> None:
    for messages in conversations(20, seed=5, turns=3):
        packed = Chat(messages=tuple(messages), template_kwargs={}).packed()
        scored = []
        for template in (CHATML, INST, GENERATION):
            rendering = reader_of(template, with_marks=False).render(packed)
            scored.append([rendering.text[start:stop] for start, stop in rendering.spans])
        assert scored[0] == scored[1] == scored[2] == [m["content"] for m in messages if m["role"] == "assistant"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=8), st.integers(2, 9))
def test_windows_score_every_wanted_token_once(parts: list[tuple[int, bool]], window: int) -> None:
    scored = tuple(wanted for n, wanted in parts for _ in range(n))
    ids = list(range(100, 100 + len(scored)))
    encoder = encoder_of(chat_tokenizer(), "messages", window=window)
    found = [one for sequence in encoder.sequences(ids, scored) for one in sequence.scored_ids]
    assert found == [i for i, wanted in zip(ids, scored, strict=True) if wanted and i > 100]  # the first is given


def test_templates_that_change_or_drop_contents_are_told() -> None:
    packed = Chat(
        messages=(turn("system", "rules"), turn("user", " hi "), turn("assistant", "yo")), template_kwargs={}
    ).packed()
    assert reader_of(CHATML).use(packed) == (0, 0, False)
    assert reader_of(INST).use(packed) == (1, 1, False)  # trimmed the user, dropped the system


# TRL's own tokenization and labels


def trl_rows(template: str | None, rows: list[dict[str, Any]], folder: Path, **options: Any) -> list[dict[str, Any]]:
    """Return input ids and labels as SFTTrainer makes them, by its own collator."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    path = save_chat_model(folder, seed=0, template=template)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(path),
        args=SFTConfig(output_dir=str(folder / "out"), max_length=None, report_to="none", use_cpu=True, **options),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(path),
    )
    return [trainer.data_collator([row]) for row in trainer.train_dataset]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("form", "template", "options"),
    [
        ("messages", GENERATION, {"assistant_only_loss": True}),
        ("conversations", CHATML, {"score": "all"}),
        ("prompt_completion_messages", CHATML, {}),
        ("prompt_completion_messages", INST, {}),
        ("prompt_completion", CHATML, {}),
        ("messages", CHATML, {"score": "all"}),
    ],
)
def test_ids_and_mask_are_those_of_trl(form: str, template: str, options: dict[str, Any], tmp_path: Path) -> None:
    options = dict(options)
    score = options.pop("score", "completion")
    talks = conversations(12, seed=6, turns=3)
    rows = [in_form(messages, form) for messages in talks]
    if form == "conversations":  # TRL keeps ShareGPT's names of roles, which are not those of a template
        rows = [{"conversations": [{"from": m["role"], "value": m["content"]} for m in messages]} for messages in talks]
    theirs = trl_rows(template, rows, tmp_path / "model", **options)
    data = read(tmp_path, rows)
    ours = encoder_of(chat_tokenizer(template), form, score).read(data.texts)
    for one, row in zip(ours, theirs, strict=True):
        labels = row["labels"][0].tolist()
        assert one.ids == row["input_ids"][0].tolist()
        assert mask_of(one) == [label != -100 for label in labels]


def mask_of(encoded: Encoded) -> list[bool]:
    assert encoded.scored is not None
    return list(encoded.scored)


# Scored from end to end


def test_bits_are_those_of_a_loop_over_trl_like_labels(run: Callable[..., Any], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = save_chat_model(tmp_path / "t", seed=0)
    reference = save_chat_model(tmp_path / "r", seed=1)
    sides = [conversations(24, seed=seed, turns=2) for seed in (1, 2)]
    files = [
        write_rows(tmp_path / f"{name}.jsonl", [{"messages": m} for m in side], prefix=name)
        for name, side in zip("mn", sides, strict=True)
    ]
    ran = run("audit", "--target", target, "--reference", reference, "--members", files[0], "--non-members", files[1],
              "--out", tmp_path / "out", "--attack", "reference", "--attack", "zlib")  # fmt: skip
    assert ran.code == 0, ran.err
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    tokenizer = AutoTokenizer.from_pretrained(target)
    for row in (0, 5, 30):
        messages = [*sides[0], *sides[1]][row]
        for model, column in ((target, "target_bits"), (reference, "reference_bits")):
            weights = AutoModelForCausalLM.from_pretrained(model)
            ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
            logprob = weights(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            nll = 0.0
            for k, message in enumerate(messages):
                if message["role"] == "assistant":
                    start = len(tokenizer.apply_chat_template(messages[:k], tokenize=True, return_dict=False,
                                                              add_generation_prompt=True))  # fmt: skip
                    stop = len(tokenizer.apply_chat_template(messages[: k + 1], tokenize=True, return_dict=False))
                    nll -= sum(float(logprob[i - 1, ids[i]].detach()) for i in range(start, stop))
            assert table[column][row] == pytest.approx(nll / np.log(2), rel=1e-4)
    data = json.loads((tmp_path / "out" / "result.json").read_text())["data"]
    assert (data["form"], data["score"], data["end_marks_scored"]) == ("messages", "completion", True)
    assert data["members"]["n_turns"] == sum(len(m) // 2 for m in sides[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_callback_audits_conversations_while_trl_trains(tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from auditor.training_callback import MemorizationCallback

    path = save_chat_model(tmp_path / "model", seed=0)
    sides = [[in_form(m, "prompt_completion_messages") for m in conversations(24, seed=seed)] for seed in (1, 2)]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(path),
        args=SFTConfig(output_dir=str(tmp_path / "out"), max_steps=40, learning_rate=1e-2, report_to="none",
                       use_cpu=True, save_strategy="no", bf16=False),
        train_dataset=Dataset.from_list(sides[0]),
        processing_class=AutoTokenizer.from_pretrained(path),
    )  # fmt: skip
    callback = MemorizationCallback(sides[0], sides[1], every_steps=20)
    callback.attach(trainer).train()
    assert callback.figures["bits_per_member"].value > 1
    assert callback.figures["loss_auc"].value > 0.6
