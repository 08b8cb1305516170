"""The description of one audit: what is read, what is refused, and how it says so."""

from pathlib import Path
from typing import Any

import pytest

from auditor.config import AttackSpec, AuditConfig, DataSpec, ModelSpec, load_config_file
from auditor.errors import ConfigError


def config(**options: Any) -> AuditConfig:
    return AuditConfig.from_options({"target": "t", "members": "m.jsonl"} | options)


def test_defaults_and_strings() -> None:
    found = config(references=["base@main"], non_members="n.jsonl", text_field="body", attacks=["min_k:k=0.1"])
    assert found.target == ModelSpec(path="t")
    assert found.references == (ModelSpec(path="base", revision="main"),)
    assert found.members == DataSpec(path="m.jsonl", text_field="body")
    assert found.attacks == (AttackSpec(name="min_k", params={"k": 0.1}),)
    assert (found.confidence, found.fpr_targets, found.prefix_token) == (0.95, (0.001, 0.01, 0.05), "auto")


def test_an_existing_folder_may_contain_an_at_sign(tmp_path: Path) -> None:
    folder = tmp_path / "run@3"
    folder.mkdir()
    assert ModelSpec.parse(str(folder)) == ModelSpec(path=str(folder))
    assert ModelSpec.parse("a/b@c") == ModelSpec(path="a/b", revision="c")
    with pytest.raises(ConfigError, match="ID@REVISION"):
        ModelSpec.parse("name@")


def test_each_side_may_have_its_split() -> None:
    found = config(non_members="m.jsonl", split="train", non_members_split="test")
    assert found.non_members is not None
    assert (found.members.split, found.non_members.split) == ("train", "test")


def test_attack_parameters() -> None:
    assert AttackSpec.parse("a:x=1,y=0.5,z=true,w=word").params == {"x": 1, "y": 0.5, "z": True, "w": "word"}
    for wrong in ("a:", "a:x", "a:x=", "a:=1"):
        with pytest.raises(ConfigError, match="key=value"):
            AttackSpec.parse(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"referencess": ["x"]}, "did you mean 'references'"),
        ({"target": 5}, "takes a string"),
        ({"references": "base"}, "takes a list"),
        ({"references": [5]}, "takes a list"),
        ({"fpr_targets": ["x"]}, "takes a list"),
        ({"fpr_targets": [1]}, r"fpr must be in \(0, 1\)"),
        ({"fpr_targets": []}, "at least one"),
        ({"fpr_targets": [True]}, "takes a list"),
        ({"fpr_targets": [5]}, r"got 5.0; a percentage\? use 0.05$"),
        ({"fpr_targets": [float("nan")]}, r"got nan$"),
        ({"fpr": [0.1]}, "did you mean 'fpr_targets'"),
        ({"reference": "x"}, "did you mean 'references'"),
        ({"attack": "x"}, "did you mean 'attacks'"),
        ({"references": ["x", "y", "./x/"]}, r"'\./x/' is given twice"),
        ({"seed": True}, "takes an integer"),
        ({"seed": -1}, "not be negative"),
        ({"seed": 1.5}, "takes an integer"),
        ({"include_text": 1}, "takes true or false"),
        ({"confidence": 95}, "a percentage"),
        ({"max_tokens": 0}, "at least 1"),
        ({"bits_per_parameter": 0}, "bits-per-parameter"),
        ({"bits_per_parameter": 1e-320}, "bits-per-parameter"),
        ({"bits_per_parameter": float("nan")}, "bits-per-parameter"),
        ({"capacity": "c.json", "bits_per_parameter": 3.0}, "capacity or bits-per-parameter, not both"),
        ({"train_samples": 5, "train_tokens": 5}, "train-samples or train-tokens, not both"),
        ({"train_samples": 0}, "train-samples must be greater than 0"),
        ({"train_tokens": -1.0}, "train-tokens must be greater than 0"),
        ({"train_tokens": float("inf")}, "at most 1e18, got inf"),
        ({"train_tokens": float("nan")}, "got nan"),
        ({"train_tokens": 10**400}, "train-tokens: .*too large"),
        ({"epochs": "many"}, "epochs: 'many' is not a number such as"),
        ({"train_samples": "-1M"}, "train-samples: must be greater than 0"),
        ({"train_samples": True}, "takes a number"),
        ({"train_samples": [5]}, "takes a number"),
        ({"calibration": 5}, "takes a string"),
        ({"fine_tuned": 1}, "takes true or false"),
        ({"device": "meta"}, "holds no weights"),
        ({"long_texts": "drop"}, "cut, stride"),
        ({"dtype": "int4"}, "float32"),
        ({"prefix_token": "-1"}, "a token id"),
        ({"prefix_token": "²"}, "a token id"),
        ({"prefix_token": "٣"}, "a token id"),
        ({"prefix_token": "9" * 5000}, "a token id"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**options)


def test_amounts_may_have_a_suffix() -> None:
    found = config(train_samples="1.5M", epochs=3)
    assert (found.train_samples, found.train_tokens, found.epochs) == (1.5e6, None, 3.0)
    assert config(train_tokens="2e12").train_tokens == 2e12


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text('target = "t"\nmembers = "m"\n')
    assert load_config_file(path) == {"target": "t", "members": "m"}
    path.write_text("target = \n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config_file(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config_file(tmp_path / "none.toml")
