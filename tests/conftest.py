"""Fixtures that every folder of tests uses: tiny models and data, and the command line in this process."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from helpers import Ran, apart, build_tokenizer, make_texts, save_gpt2, write_jsonl

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine proves nothing
hypothesis.settings.load_profile("untimed")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return model folders: target and reference share a tokenizer, ``other`` has another one."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = build_tokenizer()
    return {
        "target": save_gpt2(root / "target", seed=0, tokenizer=tokenizer),
        "reference": save_gpt2(root / "reference", seed=1, tokenizer=tokenizer),
        "other": save_gpt2(root / "other", seed=2, tokenizer=build_tokenizer(290, bos=True)),
    }


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return JSONL files of 30 members and 30 non-members."""
    root = tmp_path_factory.mktemp("data")
    return {
        "members": write_jsonl(root / "members.jsonl", make_texts(30, seed=1), prefix="m"),
        "non_members": write_jsonl(root / "non_members.jsonl", make_texts(30, seed=2), prefix="n"),
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Return a function that runs the command line in this process."""
    from auditor.cli import main

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["auditor", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        streams = capsys.readouterr()
        phases, err = apart(streams.err)
        return Ran(int(stop.value.code or 0), streams.out, err, phases)

    return call
