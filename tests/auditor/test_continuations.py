"""Continuations: by hand, of a memorized text and of an unknown one, and the same whatever came before."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks import Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine.continuations import N_CONTINUATIONS, Writer, halves, prompt_of
from auditor.engine.loading.models import load_weights
from auditor.engine.measures import Measures
from auditor.engine.models import OpenedModel, open_models
from auditor.errors import ModelError
from auditor.experiments.training import save, train
from helpers import make_texts
from helpers_engine import measure_texts

NEEDS = frozenset({Need.CONTINUATIONS})
KNOWN = "Ada had it for her, and he was with that from the 12345."
UNKNOWN = "She was not of his to be in a 98765 at the by, I had 4."
ALL = slice(None)


def opened(folder: Path, **options: Any) -> OpenedModel:
    return open_models(AuditConfig(target=ModelSpec(path=str(folder)), members=DataSpec(path="unused"), **options))[0]


def load(model: OpenedModel) -> Any:
    return load_weights(model.files, dtype="float32", device="cpu")[0]


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., Measures]:
    """Return a function that lets a model continue texts, each time from nothing."""
    folders = (tmp_path / f"scores{i}" for i in range(100))

    def run(folder: Path, texts: list[str], **options: Any) -> Measures:
        config = AuditConfig(target=ModelSpec(path=str(folder)), members=DataSpec(path="unused"), **options)
        return measure_texts(config, texts, NEEDS, scores_folder=next(folders))

    return run


@pytest.fixture(scope="module")
def memorizer(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that was trained on one text until it knew it."""
    model = opened(tiny_models["target"])
    weights = load(model).requires_grad_(True)
    ids = [0, *model.encoder.encode([KNOWN])[0], 0]
    run = train(weights, [ids], steps=120, batch_size=1, learning_rate=2e-2, seed=0, warmup=5)
    assert run.losses[-1] < 1e-2
    folder = tmp_path_factory.mktemp("memorizer")
    save(weights, model.files.tokenizer, folder)
    return folder


def test_halves_by_hand() -> None:
    assert halves(" a b\tc  d\n") == (" a b", "\tc  d\n")
    assert halves("a b c") == ("a", " b c")
    assert [halves(text) for text in ("", " \n", "a", " a ")] == [("", "")] * 4


@given(st.text())
def test_halves_are_the_text(text: str) -> None:
    first, second = halves(text)
    n_words = len(text.split())
    assert (first + second, len(first.split())) == ((text, n_words // 2) if n_words > 1 else ("", 0))


def test_a_memorized_text_is_written_out(measure: Callable[..., Measures], memorizer: Path) -> None:
    found = measure(memorizer, [KNOWN, UNKNOWN]).continuations(ALL)
    assert found is not None
    assert found.recall[0].tolist() == [1.0] * N_CONTINUATIONS
    assert found.zlib_bytes[0].tolist() == [len(zlib.compress(halves(KNOWN)[1].encode()))] * N_CONTINUATIONS
    assert found.recall[1].mean() < 0.4


def test_an_unknown_text_is_not(measure: Callable[..., Measures], tiny_models: dict[str, Path]) -> None:
    found = measure(tiny_models["target"], [KNOWN, UNKNOWN]).continuations(ALL)
    assert found is not None
    assert found.recall.shape == (2, N_CONTINUATIONS)
    assert found.recall.mean() < 0.1
    assert len(np.unique(found.zlib_bytes[0])) > 1  # ten different ones


def test_order_and_company_do_not_matter(measure: Callable[..., Measures], tiny_models: dict[str, Path]) -> None:
    texts = make_texts(4, seed=3)
    there, back, alone = (
        measure(tiny_models["target"], some).written for some in (texts, texts[::-1], [texts[2], texts[2]])
    )
    assert there is not None
    assert back is not None
    assert alone is not None
    np.testing.assert_array_equal(there, back[::-1])
    np.testing.assert_array_equal(alone, there[[2, 2]])


def test_global_random_numbers_are_left_alone(tiny_models: dict[str, Path]) -> None:
    model = opened(tiny_models["target"])
    writer = Writer(load(model), model)
    torch.manual_seed(1)
    first, expected = writer.compare(KNOWN), torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), expected)
    assert writer.compare(KNOWN) == first


def test_settings_of_the_checkpoint_are_out_of_force(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from transformers import GenerationConfig

    model = opened(tiny_models["target"])
    plain = Writer(load(model), model).compare(KNOWN)
    weights = load(model)
    weights.generation_config = GenerationConfig(
        do_sample=True, temperature=0.01, repetition_penalty=5.0, top_p=0.1, min_new_tokens=1, eos_token_id=0
    )
    assert Writer(weights, model).compare(KNOWN) == plain


def test_drawn_from_the_fifty_likeliest(tiny_models: dict[str, Path]) -> None:
    model = opened(tiny_models["target"])
    weights = load(model)
    writer, generate, ranks = Writer(weights, model), weights.generate, list[int]()

    def watch(**options: Any) -> torch.Tensor:
        rows: torch.Tensor = generate(**options)
        prompt = options["input_ids"]
        assert torch.equal(rows[:, : prompt.shape[1]], prompt.expand(len(rows), -1))
        logits = weights(prompt).logits[0, -1]
        ranks.extend(int((logits > logits[row[prompt.shape[1]]]).sum()) for row in rows)
        return rows

    weights.generate = watch
    for text in make_texts(10, seed=8):
        writer.compare(text)
    assert len(ranks) == 10 * N_CONTINUATIONS
    assert 40 < max(ranks) < 50


def test_recall_and_size_by_hand(tiny_models: dict[str, Path]) -> None:
    model = opened(tiny_models["target"])
    asked: dict[str, Any] = {}
    written = [" it was  it", " IT not", *["<|endoftext|>"] * 8]

    class Scripted:
        generation_config = SimpleNamespace(eos_token_id=None)

        def get_input_embeddings(self) -> Any:
            return torch.nn.Embedding(1, 1)

        def generate(self, **options: Any) -> torch.Tensor:
            asked.update(options)
            new = model.encoder.encode(written)
            longest = max(len(ids) for ids in new)
            prompt = options["input_ids"][0].tolist()
            return torch.tensor([prompt + ids + [0] * (longest - len(ids)) for ids in new])

    values = Writer(Scripted(), model).compare("he was it it the not")
    assert asked["input_ids"].tolist() == [[0, *model.encoder.encode(["he was it"])[0]]]
    assert asked["max_new_tokens"] == len(model.encoder.encode([" it the not"])[0])
    # Of "it", "the", "not": "it was  it" has one "it" to match, "IT not" has "not"; end tokens alone are nothing.
    assert values[:N_CONTINUATIONS] == pytest.approx([1 / 3, 1 / 3, *[0.0] * 8])
    assert values[N_CONTINUATIONS:] == [len(zlib.compress(x)) for x in (b" it was  it", b" IT not", *[b""] * 8)]


def test_prompt_stays_within_the_window() -> None:
    class Letters:
        prefix, window, chat = SimpleNamespace(ids=(7,)), None, None

        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[ord(one) - ord("a") for one in "".join(text.split())] for text in texts]

    encoder: Any = Letters()

    def prompt(text: str, window: int | None) -> tuple[list[int], int]:
        encoder.window = window
        ids, n_new = prompt_of(text, encoder)
        return list(ids), n_new

    assert prompt("ab c d e", None) == ([7, 0, 1, 2], 2)
    assert prompt("ab c d e", 5) == ([7, 0, 1, 2], 2)
    assert prompt("ab c d e", 4) == ([7, 1, 2], 2)  # half the window, at least, is prompt
    assert prompt("a bcdefg", 4) == ([7, 0], 3)  # which a short first half does not fill
    assert prompt("abcdef g", 4) == ([7, 3, 4, 5], 1)  # its end, where the second half asks for less
    assert prompt("a b", 1) == ([7], 1)
    encoder.prefix = SimpleNamespace(ids=())
    assert prompt("a b", 2) == ([0], 1)
    encoder.encode = lambda texts: [[] for _ in texts]
    assert prompt("a b", None) == ([], 0)  # nothing to start from


def test_a_long_text_in_windows(measure: Callable[..., Measures], tiny_models: dict[str, Path]) -> None:
    text = "Ada had 12345 of it. " * 30  # several times the model's context
    assert measure(tiny_models["target"], [text], long_texts="stride").written is not None


def test_without_a_second_half(measure: Callable[..., Measures], tiny_models: dict[str, Path]) -> None:
    found = measure(tiny_models["target"], ["word", "  12345\n", KNOWN])
    written = found.continuations(ALL)
    assert written is not None
    assert not written.recall[:2].any()
    assert (written.zlib_bytes[:2] == len(zlib.compress(b""))).all()
    assert found.notes == ("2 of 3 texts have fewer than two words, so no second half: recall 0",)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("task", [None, "CAUSAL_LM"])
def test_under_an_adapter(memorizer: Path, tmp_path: Path, task: str | None) -> None:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type=task)  # starts as the base
    get_peft_model(load(opened(memorizer)), lora).save_pretrained(tmp_path / "adapter")
    spec = ModelSpec(path=str(memorizer), adapter=str(tmp_path / "adapter"))
    model = open_models(AuditConfig(target=spec, members=DataSpec(path="unused")))[0]
    assert Writer(load(model), model).compare(KNOWN)[:N_CONTINUATIONS] == [1.0] * N_CONTINUATIONS


def test_what_was_written_is_not_kept(
    measure: Callable[..., Measures], memorizer: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    found = measure(memorizer, [KNOWN])
    seen = "".join(capfd.readouterr())
    (file,) = (tmp_path / "scores0").glob("*.jsonl")
    (row,) = map(json.loads, file.read_text().splitlines())
    assert set(row) == {"key", "values", "crc32"}
    assert all(isinstance(value, float) for value in row["values"])
    for word in ("12345", "with that"):
        assert word in KNOWN
        assert word not in seen + repr(found) + repr(row["values"])


def test_a_model_that_cannot_generate(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="cannot generate text"):
        Writer(torch.nn.Linear(1, 1), opened(tiny_models["target"]))
