"""``auditor predict`` as its users meet it: plans in, documents out, one line for every mistake."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers import Run

XL, XL_SAMPLES = 1_556_075_200, 76_795_021  # table 4 of the paper: F1 of 0.75


@pytest.fixture
def predict(run: Run) -> Run:
    """Return a function that runs ``auditor predict`` in this process."""
    return partial(run, "predict")


@pytest.fixture
def gpt2_config(tmp_path: Path) -> Path:
    config = {"model_type": "gpt2", "vocab_size": 2048, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 1}
    path = tmp_path / "gpt2.json"
    path.write_text(json.dumps(config))
    return path


def test_the_document_is_the_contract(predict: Run) -> None:
    found = predict("--params", XL, "--samples", XL_SAMPLES, "--bits-per-token", "3.2", "--json").document
    assert set(found) >= {
        *("params", "samples", "sample_tokens", "samples_per_parameter", "tokens_per_parameter", "bits_per_parameter"),
        *("capacity_bits", "dataset_bits", "memorized_bits", "bits_per_sample", "law", "reference_attack", "ceiling"),
        "warnings",
    }
    assert set(found["law"]) >= {"name", "f1", "f1_low", "f1_high", "auc", "in_range"}
    assert set(found["ceiling"]) == {"bits_per_sample", "advantage", "auc"}
    assert found["law"]["f1"] == pytest.approx(0.75, abs=0.002)
    assert found["law"]["auc"] == pytest.approx(0.830, abs=0.002)
    assert found["law"]["in_range"] is True
    assert found["capacity_bits"] == pytest.approx(3.51 * XL)
    assert found["dataset_bits"] == pytest.approx(3.2 * 64 * XL_SAMPLES)
    assert found["memorized_bits"] == min(found["capacity_bits"], found["dataset_bits"])
    assert found["bits_per_sample"] == pytest.approx(found["memorized_bits"] / XL_SAMPLES)


def test_samples_and_tokens_say_the_same(predict: Run) -> None:
    by_samples = predict("--params", "12.5k", "--samples", 1250, "--json").document
    by_tokens = predict("--params", "12500", "--tokens", "80_000", "--json").document
    assert by_samples == by_tokens


def test_precision_and_given_constants(predict: Run) -> None:
    plan = ("--params", "1M", "--tokens", "1M", "--json")
    assert predict(*plan).document["bits_per_parameter"] == 3.51
    assert predict(*plan, "--precision", "fp32").document["bits_per_parameter"] == 3.83
    assert predict(*plan, "--bits-per-parameter", "2.5").document["capacity_bits"] == 2.5e6


def test_a_target_solves_for_what_is_left_out(predict: Run) -> None:
    by_model = predict("--params", "100M", "--target-auc", "0.6", "--json").document
    assert by_model["law"]["auc"] == pytest.approx(0.6, abs=1e-6)
    assert by_model["tokens"] == pytest.approx(by_model["inverse"]["tokens_needed"])
    by_data = predict("--tokens", by_model["tokens"], "--target-auc", "0.6", "--json").document
    assert by_data["params"] == pytest.approx(100e6, rel=1e-6)
    both = predict("--params", "100M", "--tokens", "1B", "--target-f1", "0.6", "--json").document
    assert both["tokens"] == 1e9
    assert both["inverse"]["tokens_needed"]
    assert both["inverse"]["params_at_most"]


def test_what_is_extrapolated_is_flagged(predict: Run) -> None:
    inside = ("--params", "1M", "--tokens", "3.2M", "--bits-per-token", "3", "--json")
    assert predict(*inside).document["law"]["in_range"] is True
    for more in (
        ("--sample-tokens", "512"), ("--epochs", "3"), ("--trainable", "900k"), ("--fine-tuning",),
    ):  # fmt: skip
        found = predict(*inside, *more).document
        assert found["law"]["in_range"] is False, more
        assert any("extrapolation" in warning for warning in found["warnings"]), more
    beyond = predict("--params", "1M", "--tokens", "20M", "--json").document
    assert beyond["law"]["in_range"] is False
    assert beyond["law"]["f1"] == pytest.approx(0.5, abs=0.001)
    assert any("no guarantee" in warning for warning in beyond["warnings"])


def test_a_configuration_is_counted(predict: Run, gpt2_config: Path) -> None:
    found = predict("--model", gpt2_config, "--tokens", "1M", "--json").document
    assert found["params"] == 80_352  # the paper's smallest model, 8.04e4 in table 5
    folder = gpt2_config.parent / "model"
    folder.mkdir()
    gpt2_config.rename(folder / "config.json")
    assert predict("--model", folder, "--tokens", "1M", "--json").document["params"] == 80_352


def test_texts_are_counted_with_a_tokenizer(predict: Run, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["Ada was born in May.", "Bob was not.", "Ada was born in May."]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found = predict("--model", tiny_models["target"], "--data", data, "--json").document
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    n_tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert found["tokens"] == n_tokens
    assert found["samples"] == pytest.approx(3)
    assert found["dataset_bits"] > 0
    assert "LZMA" in found["dataset_bits_source"]
    assert any("repeat" in warning for warning in found["warnings"])


def test_the_terminal_says_what_each_number_means(predict: Run) -> None:
    ran = predict("--params", "1.5B", "--tokens", "30B", "--target-f1", "0.6")
    assert ran.code == 0
    for words in ("Capacity", "Memorised bits", "Loss attack, F1", "Ceiling", "coin flip", "extrapolation", "at least"):
        assert words in ran.out
    quiet = predict("--params", "1.5B", "--tokens", "30B", "--quiet")
    assert quiet.out.startswith(
        "● Expected: a coin flip, on average: Shown a member and a non-member, the loss attack "
    )
    assert (quiet.out.count("\n"), quiet.err) == (1, "")


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_map_is_drawn(predict: Run, tmp_path: Path, suffix: str) -> None:
    figure = tmp_path / f"map.{suffix}"
    assert predict("--params", "1.5B", "--tokens", "30B", "--plot", figure).code == 0
    assert figure.stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--params", "0", "--tokens", "1M"), "greater than 0"),
        (("--params", "-1", "--tokens", "1M"), "greater than 0"),
        (("--params", "1M", "--samples", "0"), "greater than 0"),
        (("--params", "many", "--tokens", "1M"), "not a number"),
        (("--params", "1M", "--tokens", "nan"), "not a number"),
        (("--params", "1M", "--tokens", "inf"), "not a number"),
        (("--params", "1M"), "no data given"),
        (("--tokens", "1M"), "no model given"),
        ((), "no model given"),
        (("--params", "1M", "--tokens", "1M", "--samples", "1"), "only one of"),
        (("--params", "1M", "--tokens", "1M", "--target-f1", ".6", "--target-auc", ".6"), "only one of"),
        (("--params", "1M", "--target-auc", "0.5"), "between 0.5"),
        (("--params", "1M", "--target-auc", "1"), "between 0.5"),
        (("--params", "1M", "--target-f1", "75"), "use 0.75"),
        (("--params", "1M", "--tokens", "1M", "--trainable", "2M"), "more than all"),
        (("--params", "1M", "--tokens", "1M", "--trainable", "nowhere"), "PEFT adapter"),
        (("--params", "1M", "--tokens", "1M", "--bits-per-parameter", "100"), "[0.01, 64)"),
        (("--params", "1M", "--tokens", "1M", "--tokenizer", "x"), "--data"),
        (("--params", "1M", "--data", "x.jsonl"), "tokenizer"),
        (("--params", "1M", "--tokens", "1M", "--plot", "map.gif"), ".svg"),
        (("--params", "1M", "--tokens", "1M", "--capacity", "nowhere.json"), "cannot read"),
        (("--params", "1M", "--tokens", "1M", "--calibration", "nowhere.json"), "cannot read"),
        (("--model", "nowhere.json", "--tokens", "1M"), "no such model"),
    ],
)
def test_every_mistake_is_one_line_and_code_2(predict: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = predict(*arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
    assert words in ran.err


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gpt2", "n_embd": 32}, "no vocab_size"),
        ({"model_type": "bert", "vocab_size": 100}, "reads both ways"),
        ({"model_type": "t5", "vocab_size": 100}, "encoder-decoder"),
        ({"model_type": "vit"}, "not a causal LM"),
        ({"vocab_size": 10}, "cannot be read"),
    ],
)
def test_what_is_no_causal_lm_is_refused(predict: Run, tmp_path: Path, config: dict[str, Any], words: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    ran = predict("--model", tmp_path, "--tokens", "1M")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert words in ran.err


def test_plain_numbers_need_nothing_heavy() -> None:
    code = (
        "import sys, auditor.cli; from click.testing import CliRunner; "
        "ran = CliRunner().invoke(auditor.cli.cli, ['predict', '--params', '1B', '--tokens', '1B', *sys.argv[1:]]); "
        "assert ran.exit_code == 0, ran; "
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'scipy', 'pyarrow', 'pydantic', 'matplotlib'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run([sys.executable, "-c", code, "--json"], check=True)


def test_a_repeated_text_is_said_with_its_share(predict: Run) -> None:
    found = predict("--params", "350M", "--tokens", "1.2B", "--copies", "50")
    assert found.code == 0
    assert "A text seen 50 times" in found.out
    assert "read, not measured" in found.out
    assert "2510.19811" in found.out
    refused = predict("--params", "350M", "--tokens", "1.2B", "--copies", "0.5")
    assert refused.code == 2
    assert "copies must be at least 1" in refused.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}, "mixture of 4 experts"),
        ({"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ({"model_type": "llama"}, None),
    ],
)
def test_what_was_not_measured_of_an_architecture_is_said(
    predict: Run, tmp_path: Path, changes: dict[str, Any], words: str | None
) -> None:
    shape = {"vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(shape | changes))
    found = predict("--model", path, "--tokens", "1M", "--json").document
    said = [text for text in found["warnings"] if text.startswith(("mixture", "quantised"))]
    assert (said[0].startswith(words) if words else not said) is True
    experts = 4 if words and "mixture" in words else 1
    assert found["params"] > 2 * experts * 3 * 32 * 64  # all experts are counted
