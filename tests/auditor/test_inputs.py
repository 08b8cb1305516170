"""Before any model is opened: options that no attack uses are named, and inputs that undo the audit are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.auditing import inputs
from auditor.auditing.inputs import Inputs, read_inputs
from auditor.config import AuditConfig
from auditor.documents.shadows import ShadowSet
from auditor.errors import ConfigError


@pytest.fixture
def read(tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Callable[..., Inputs]:
    """Return a function that reads the inputs of an audit with more options; texts of its own lie beside it."""
    for name in ("shots", "known", "counted"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"Nobody wrote {name} down 1."}) + "\n")

    def call(**options: Any) -> Inputs:
        given = {"target": tiny_models["target"], "references": [tiny_models["reference"]], **tiny_data, **options}
        texts = {key: [str(part) for part in value] if isinstance(value, list) else str(value)
                 for key, value in given.items()}  # fmt: skip
        return read_inputs(AuditConfig.from_options(texts))

    return call


@pytest.fixture
def shadows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, ...]:
    """Let four folders be shadow models, of which two saw each text."""

    class Four(ShadowSet):
        def seen(self, text_sha256: Any) -> Any:
            return np.array([[True], [True], [False], [False]]) & np.ones(len(text_sha256), dtype=np.bool_)

        def n_unknown(self, text_sha256: Any) -> int:
            return 0

    models = tuple(tmp_path / "all" / f"shadow-{i}" for i in range(4))
    for model in models:
        model.mkdir(parents=True)
    found = Four(models=models, weights_sha256=("",) * 4, manifest=None)  # type: ignore[arg-type]  # not read here
    monkeypatch.setattr(inputs, "load_shadows", lambda folder: found)
    return models


def test_options_that_no_attack_named_uses_are_listed(
    read: Callable[..., Inputs], shadows: tuple[Path, ...], tmp_path: Path
) -> None:
    files = {"shots": tmp_path / "shots.jsonl", "member_shots": tmp_path / "known.jsonl",
             "frequency_corpus": tmp_path / "counted.jsonl"}  # fmt: skip
    given = {**files, "neighbour_model": "m", "shadows": "s"}
    every = "--shots, --member-shots, --frequency-corpus, --neighbour-model, --shadows"
    assert read(**given, attacks=["loss"]).warnings[-1] == f"not used by the attacks named: {every}"
    assert read(**files, attacks=["con_recall", "loss"]).warnings == (
        "not used by the attacks named: --frequency-corpus",
    )
    for attack in ("lira", "rmia", "reference"):
        assert not any("not used" in warning for warning in read(shadows="s", attacks=[attack]).warnings)
    assert not any("not used" in warning for warning in read(**given).warnings)
    assert read(member_shots=files["member_shots"]).warnings[-1] == (
        "not used by any attack that is run: --member-shots"
    )


def test_the_same_texts_are_not_both_kinds_of_shots(read: Callable[..., Inputs], tmp_path: Path) -> None:
    shots, link = tmp_path / "shots.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(shots)
    for other in (shots, link, tmp_path / "all" / ".." / "shots.jsonl"):
        with pytest.raises(ConfigError, match="--shots and --member-shots are both"):
            read(shots=shots, member_shots=other)
    assert read(shots=shots, member_shots=tmp_path / "known.jsonl").member_shots


def test_a_shadow_is_no_retrained_model(
    read: Callable[..., Inputs], shadows: tuple[Path, ...], tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    (tmp_path / "link").symlink_to(shadows[2])
    for model in (shadows[0], tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"is one of the --shadows, which trained on half of the texts"):
            read(shadows="s", retrained=model)
    assert read(shadows="s", retrained=tiny_models["other"]).config.retrained is not None


def test_an_adapter_among_the_shadows_is_no_retrained_model(
    read: Callable[..., Inputs], shadows: tuple[Path, ...], tiny_models: dict[str, Path]
) -> None:
    for model in shadows:
        (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_models["other"])}))
    with pytest.raises(ConfigError, match="is one of the --shadows"):
        read(shadows="s", retrained=shadows[1])
    assert read(shadows="s", retrained=tiny_models["other"]).config.retrained is not None  # their base is none of them
