"""What is read and counted before anything is trained: amounts, configurations, adapters, texts, documents."""

import contextlib
import json
import lzma
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.amounts import parse_amount
from auditor.config import ModelSpec
from auditor.documents.files import document, document_schema, from_text, read_document, to_text
from auditor.engine.counting import compressed_bits, count_texts
from auditor.engine.loading.adapters import count_adapter
from auditor.engine.loading.configs import ModelShape, open_shape
from auditor.errors import ModelError, ResultError
from auditor.experiments.presets import PRESETS
from helpers import make_texts

untimed = settings(deadline=None)

GPT2 = {"model_type": "gpt2", "vocab_size": 2048, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 1}
TABLE_5 = [(1, 32, 80_352, "8.04e4"), (1, 128, 468_864, "4.69e5"), (2, 128, 667_136, "6.67e5"),
           (4, 256, 3_700_224, "3.70e6"), (8, 256, 6_859_264, "6.86e6")]  # fmt: skip
S_SWEEP = [(4, 659_456, "6.59e5"), (8, 659_968, "6.60e5"), (16, 660_992, "6.61e5"), (32, 663_040, "6.63e5"),
           (64, 667_136, "6.67e5"), (128, 675_328, "6.75e5"), (256, 691_712, "6.92e5")]  # fmt: skip
TABLE_4 = [(12, 768, 123_702_528), (48, 1600, 1_556_075_200)]


def gpt2_parameters(n_layer: int, width: int, n_vocabulary: int, n_positions: int) -> int:
    """Count by hand: tables; per layer two norms (4d), attention (4d^2 + 4d), MLP (8d^2 + 5d); a last norm (2d)."""
    return (n_vocabulary + n_positions) * width + n_layer * (12 * width**2 + 13 * width) + 2 * width


def three_digits(value: float) -> str:
    return f"{value:.2e}".replace("e+0", "e")


@pytest.fixture
def shape_of(tmp_path: Path) -> Callable[..., ModelShape]:
    """Return a function that writes a configuration and opens it."""

    def call(config: Any) -> ModelShape:
        file = tmp_path / "plan.json"
        file.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
        return open_shape(ModelSpec(path=str(file)))

    return call


@pytest.mark.parametrize(("n_layer", "width", "exact", "printed"), TABLE_5)
def test_parameters_of_table_5(
    n_layer: int, width: int, exact: int, printed: str, shape_of: Callable[..., ModelShape]
) -> None:
    shape = shape_of(PRESETS[f"table5-{n_layer}x{width}"].config().to_json_string(use_diff=False))
    assert shape.n_parameters == gpt2_parameters(n_layer, width, 2048, 64) == exact
    assert three_digits(exact) == printed
    assert (shape.architecture, shape.n_vocabulary, shape.context_window) == ("GPT2LMHeadModel", 2048, 64)


@pytest.mark.parametrize(("n_tokens", "exact", "printed"), S_SWEEP)
def test_parameters_of_the_sweep_over_sample_lengths(
    n_tokens: int, exact: int, printed: str, shape_of: Callable[..., ModelShape]
) -> None:
    shape = shape_of(GPT2 | {"n_embd": 128, "n_layer": 2, "n_head": 4, "n_positions": n_tokens})
    assert shape.n_parameters == gpt2_parameters(2, 128, 2048, n_tokens) == exact
    assert three_digits(exact) == printed


@pytest.mark.parametrize(("n_layer", "width", "exact"), TABLE_4)
def test_parameters_of_table_4(n_layer: int, width: int, exact: int, shape_of: Callable[..., ModelShape]) -> None:
    """GPT-2 and GPT-2 XL as the paper trains them, with 64 positions; nothing of their size is put in memory."""
    shape = shape_of(GPT2 | {"vocab_size": 50257, "n_embd": width, "n_layer": n_layer, "n_head": width // 64})
    assert shape.n_parameters == gpt2_parameters(n_layer, width, 50257, 64) == exact


def test_an_untied_head_counts_twice(shape_of: Callable[..., ModelShape]) -> None:
    tied, untied = shape_of(GPT2), shape_of(GPT2 | {"tie_word_embeddings": False})
    assert untied.n_parameters - tied.n_parameters == 2048 * 32


def test_a_billion_parameters_by_hand(shape_of: Callable[..., ModelShape]) -> None:
    """Llama 3 8B: grouped-query attention, gated MLP, untied head."""
    d, kv, mlp, n_layer, n_vocabulary = 4096, 1024, 14336, 32, 128_256
    layer = 2 * d * d + 2 * d * kv + 3 * d * mlp + 2 * d
    config = {
        "model_type": "llama", "hidden_size": d, "intermediate_size": mlp, "num_hidden_layers": n_layer,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": n_vocabulary,
        "max_position_embeddings": 8192, "tie_word_embeddings": False, "dtype": "bfloat16",
    }  # fmt: skip
    shape = shape_of(config)
    assert shape.n_parameters == 2 * n_vocabulary * d + n_layer * layer + d == 8_030_261_248
    assert (shape.architecture, shape.context_window, shape.dtype) == ("LlamaForCausalLM", 8192, "bfloat16")


def test_a_folder_counts_what_its_weights_hold(tiny_models: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    shape = open_shape(ModelSpec(path=str(tiny_models["target"])))
    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    assert shape.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (shape.context_window, shape.dtype) == (64, str(torch.float32).removeprefix("torch."))


def test_no_weights_are_needed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    assert open_shape(ModelSpec(path=str(tmp_path))).n_parameters == 80_352
    assert open_shape(ModelSpec(path=str(tmp_path))).dtype is None  # not stated, so not made up


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({key: value for key, value in GPT2.items() if key != "vocab_size"}, "names no vocab_size"),
        (GPT2 | {"vocab_size": -1}, "cannot be built"),
        (GPT2 | {"vocab_size": "many"}, "cannot be read"),
        (GPT2 | {"n_embd": 33, "n_head": 2}, "cannot be built"),
        (GPT2 | {"model_type": "roberta"}, "reads both ways"),
        (GPT2 | {"model_type": "t5"}, "encoder-decoder"),
        (GPT2 | {"model_type": "no-such-model"}, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("3", "cannot be read"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_line(
    config: Any, says: str, shape_of: Callable[..., ModelShape]
) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        shape_of(config)
    assert "\n" not in str(caught.value)


def test_places_without_a_configuration_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    for path, says in (
        (tmp_path, "no config.json in this folder"),
        (tmp_path / "weights.bin", "is a .json file"),
        (tmp_path / "absent.json", "no such model folder"),
        ("./absent", "no such model folder"),
        ("a/b/c", "no such model folder"),
        ("nobody/nothing", "neither a local folder nor"),
    ):
        with pytest.raises(ModelError, match=says):
            open_shape(ModelSpec(path=str(path)))
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    with pytest.raises(ModelError, match="revision needs a hub id"):
        open_shape(ModelSpec(path=str(tmp_path), revision="main"))


def write_adapter(folder: Path, header: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return str(folder)


def test_an_adapter_by_hand(tmp_path: Path) -> None:
    """Rank 4 on one matrix of 16 to 48: 4 * 16 + 48 * 4."""
    tensors = {"a": {"shape": [4, 16]}, "b": {"shape": [48, 4]}, "scale": {"shape": []}, "__metadata__": {"x": "y"}}
    assert count_adapter(write_adapter(tmp_path / "lora", json.dumps(tensors).encode())) == 64 + 192 + 1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers so
def test_an_adapter_counts_what_peft_trains(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    lora = peft.LoraConfig(r=3, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, lora)
    adapted.save_pretrained(tmp_path / "lora")
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert count_adapter(str(tmp_path / "lora")) == trained == 2 * 3 * (16 + 48)  # 2 layers, 16 to 3 * 16


@pytest.mark.parametrize("header", [b"", b"{", b"\xff", b"[]", b'{"w": 3}', b'{"w": {}}', b'{"w": {"shape": "ab"}}'])
def test_what_is_no_adapter_is_refused(header: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a safetensors file"):
        count_adapter(write_adapter(tmp_path / "lora", header))


def test_an_adapter_that_is_cut_short_or_absent_is_refused(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "lora", b"{}")
    for content in (b"", b"\x01", b"\xff" * 8, (100).to_bytes(8, "little") + b'{"w": {"shape": [2'):
        (tmp_path / "lora" / "adapter_model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="not a safetensors file"):
            count_adapter(folder)
    (tmp_path / "lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        count_adapter(folder)


def test_texts_against_a_loop(tiny_models: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    texts = [*make_texts(1100, seed=3), "", "Ada.", "Ada.", "größer 🎉"]  # more than one batch of 1,000
    size = count_texts(texts, ModelSpec(path=str(tiny_models["target"])))
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    assert size.n_texts == 1104
    assert size.n_distinct == 1103
    assert size.n_tokens == sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert size.compressed_bits == compressed_bits(texts)


def test_special_tokens_around_a_text_are_not_counted(tiny_models: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    texts = ["the cat", "the dog was"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["other"])  # puts <s> before a text by itself
    with_special = sum(len(tokenizer(text)["input_ids"]) for text in texts)
    assert count_texts(texts, ModelSpec(path=str(tiny_models["other"]))).n_tokens == with_special - len(texts)


def test_no_texts_are_no_tokens(tiny_models: dict[str, Path]) -> None:
    size = count_texts([], ModelSpec(path=str(tiny_models["target"])))
    assert (size.n_texts, size.n_distinct, size.n_tokens) == (0, 0, 0)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this folder has no tokenizer"):
        count_texts(["a"], ModelSpec(path=str(tmp_path)))


def test_compression_against_the_whole_at_once() -> None:
    texts = ["one", "two\nthree", "größer 🎉", ""] * 300
    whole = "".join(text + "\n" for text in texts).encode()
    assert compressed_bits(texts) == 8 * len(lzma.compress(whole, preset=6))


def test_compressed_bits_bound_the_information_from_above() -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnop"))
    texts = ["".join(rng.choice(letters, 200)) for _ in range(100)]
    information = 100 * 200 * math.log2(16)
    assert information <= compressed_bits(texts) <= 1.3 * information
    assert compressed_bits(texts * 20) < 1.1 * compressed_bits(texts)  # repeats hold nothing new


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("124M", 124e6),
        ("1.5B", 1.5e9),
        ("1.5 B", 1.5e9),
        ("2t", 2e12),
        ("3G", 3e9),
        ("12,512", 12512.0),
        ("1e6", 1e6),
        ("12_512", 12512.0),
        ("  7 ", 7.0),
        ("1e-3k", 1.0),
        ("0.5k", 500.0),
        ("1E6", 1e6),
        ("+2", 2.0),
    ],
)
def test_amounts(text: str, value: float) -> None:
    assert parse_amount(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "1.5X",
        "nan",
        "inf",
        "-1",
        "0",
        "1e999",
        "²",
        "1.2.3",
        "1e308t",
        "-inf",
        "0x10",
        "1kk",
        "٣",
        "0.0B",
        "1e-999",
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|greater than 0"):
        parse_amount(text)


@untimed
@given(
    st.floats(1e-300, 1e11), st.sampled_from([("", 1.0), ("k", 1e3), ("M", 1e6), ("b", 1e9), ("G", 1e9), ("T", 1e12)])
)
def test_an_amount_is_read_exactly(value: float, suffix: tuple[str, float]) -> None:
    assert parse_amount(f"{value!r}{suffix[0]}") == value * suffix[1]


@untimed
@given(st.text(max_size=12))
def test_any_text_is_a_positive_number_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 < parse_amount(text) < math.inf


@document
class Sheet:
    """A document of every kind of field."""

    schema_version: str = "1.2"
    number: float
    count: int
    maybe: float | None
    table: Mapping[str, float]
    rows: tuple[tuple[str, float], ...]


SHEET = Sheet(number=0.1, count=3, maybe=None, table={"a": 1.5}, rows=(("x", 2.0),))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def read(text: str, version: str = "1.2") -> Sheet:
    return from_text(text, Sheet, version=version, what="sheet")


@untimed
@given(FINITE, st.integers(), st.none() | FINITE, st.dictionaries(st.text(), FINITE), st.text())
def test_any_document_survives_to_the_last_bit(
    number: float, count: int, maybe: float | None, table: dict[str, float], name: str
) -> None:
    sheet = Sheet(number=number, count=count, maybe=maybe, table=table, rows=((name, number),))
    found = read(to_text(sheet))
    assert found == sheet
    assert math.copysign(1, found.number) == math.copysign(1, number)
    assert to_text(found) == to_text(sheet)


def test_what_a_document_cannot_hold_is_refused_with_its_place() -> None:
    for broken, where in (
        (replace(SHEET, number=math.nan), r"result\.number is nan"),
        (replace(SHEET, table={"b": -math.inf}), r"result\.table\.b is -inf"),
        (replace(SHEET, rows=(("x", math.inf),)), r"result.rows\[0\]\[1\] is inf"),
    ):
        with pytest.raises(ValueError, match=where):
            to_text(broken)
    with pytest.raises(TypeError, match=r"result\.count is a int64"):
        to_text(replace(SHEET, count=np.int64(3)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"),
    [("number", "0.1"), ("number", True), ("number", None), ("count", 3.5), ("count", "3"), ("maybe", []),
     ("table", []), ("table", {"a": "b"}), ("rows", [["x"]]), ("rows", [["x", 1.0, 2.0]]), ("rows", {})],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(key: str, value: object) -> None:
    with pytest.raises(ResultError, match=f"not a sheet: {key}") as caught:
        read(json.dumps(json.loads(to_text(SHEET)) | {key: value}))
    assert "\n" not in str(caught.value)


def test_documents_of_an_older_minor_version_are_read_and_no_others() -> None:
    text = to_text(replace(SHEET, schema_version="1.0"))
    assert read(text).schema_version == "1.0"
    for version, says in (
        ("1.3", "newer"),
        ("2.0", "newer"),
        ("0.9", "older"),
        ("1", "schema_version is"),
        ("1.x", "is"),
    ):
        with pytest.raises(ResultError, match=says):
            read(to_text(replace(SHEET, schema_version=version)))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "sheet.json"
    file.write_text(to_text(SHEET), encoding="utf-8")
    assert read_document(file, Sheet, version="1.2", what="sheet") == SHEET
    file.write_bytes(b"\xff\xfe")
    (tmp_path / "wrong.json").write_text("{")
    for path, says in (
        (file, "cannot read the sheet"),
        (tmp_path / "absent", "No such file"),
        (tmp_path, "cannot read"),
        (tmp_path / "wrong.json", "wrong.json: not a sheet: not valid JSON"),
    ):
        with pytest.raises(ResultError, match=says):
            read_document(path, Sheet, version="1.2", what="sheet")


def test_the_schema_requires_every_key_and_allows_no_other() -> None:
    schema = document_schema(Sheet)
    assert schema["required"] == [field.name for field in fields(Sheet)]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "header", ['"x"', "null", "3", '{"a": {"shape": [-2]}}', '{"a": {"shape": [2.5]}}', "[" * 9000]
)
def test_a_foreign_adapter_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    body = header.encode()
    (tmp_path / "adapter_model.safetensors").write_bytes(len(body).to_bytes(8, "little") + body)
    with pytest.raises(ModelError, match="not a safetensors file"):
        count_adapter(str(tmp_path))
