"""What an audit leaves alone in the folder of its outputs, and what of an earlier one does not stay there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers import make_texts, write_jsonl

POLICY = 'version = 1\nunsound = "pass"\n[[gate]]\nname = "auc"\nmetric = "attacks.headline.auc"\nmax = {}\n'


@pytest.fixture
def audit(run: Callable[..., Any], tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Any:
    """Return a function that audits the tiny models on the tiny data into one folder, with changes."""

    def call(*more: object, **changes: object) -> Any:
        options: dict[str, object] = {
            "target": tiny_models["target"],
            "members": tiny_data["members"],
            "non-members": tiny_data["non_members"],
            "out": tmp_path / "out",
            "attack": "loss",
        } | {key.replace("_", "-"): value for key, value in changes.items()}
        flags = [part for key, value in options.items() if value is not None for part in (f"--{key}", value)]
        return run("audit", *flags, *more)

    return call


def result(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return document


def test_another_model_is_refused_and_the_same_goes_on(
    audit: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert audit().code == 0
    before = (out / "result.json").read_bytes()
    other = audit(target=tiny_models["reference"])
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "holds the audit of another model" in other.err
    assert "--overwrite" in other.err
    assert (out / "result.json").read_bytes() == before
    moved = shutil.copytree(tiny_models["target"], tmp_path / "moved")  # the same weights elsewhere, another seed
    assert audit("--seed", 1, target=moved).code == 0
    assert audit("--overwrite", target=tiny_models["reference"]).code == 0
    assert result(out)["config"]["target"]["path"] == str(tiny_models["reference"])


@pytest.mark.slow
def test_other_texts_are_refused_but_not_fewer_of_the_same(
    audit: Any, tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert audit().code == 0
    others = write_jsonl(tmp_path / "others.jsonl", make_texts(30, seed=77), prefix="x")
    for side in ("members", "non_members"):
        refused = audit(**{side: others})
        assert refused.code == 2
        assert f"audit of other {side.replace('_', '-')}" in refused.err
    assert "other non-members" in audit(non_members=None).err
    drop = tmp_path / "drop.txt"
    drop.write_text(json.loads(tiny_data["members"].read_text().splitlines()[0])["id"] + "\n")
    assert audit("--drop-ids", drop).code == 0
    assert result(out)["data"]["members"]["n_dropped"] == 1
    assert audit().code == 0


@pytest.mark.slow
def test_the_verdict_of_another_policy_is_refused(audit: Any, tmp_path: Path) -> None:
    out, one, two = tmp_path / "out", tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(POLICY.format(1.0))
    two.write_text(POLICY.format(0.99999))
    assert audit("--policy", one).code == 0
    verdict = (out / "gates.json").read_bytes()
    refused = audit("--policy", two)
    assert refused.code == 2
    assert "holds gates.json, the verdict of another policy" in refused.err
    assert (out / "gates.json").read_bytes() == verdict
    assert audit("--policy", one).code == 0
    assert audit("--overwrite", "--policy", two).code == 0
    assert (out / "gates.json").read_bytes() != verdict


def test_a_result_that_cannot_be_read_is_not_replaced(audit: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text('{"mine": 1}')
    refused = audit()
    assert refused.code == 2
    assert "cannot be read" in refused.err
    assert (out / "result.json").read_text() == '{"mine": 1}'
    assert audit("--overwrite").code == 0


def test_an_old_drop_list_is_not_vouched_for(audit: Any, tmp_path: Path) -> None:
    """One that an audit wrote goes, one that somebody wrote stays and is nobody's word."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "drop-ids.txt").write_text("# leave out with: auditor audit --drop-ids THIS-FILE\nof other data\n")
    assert audit().code == 0
    vouched = json.loads((out / "checksums.json").read_text())["files"]
    assert ("drop-ids.txt" in vouched) is (out / "drop-ids.txt").exists()
    assert not (out / "drop-ids.txt").exists() or "of other data" not in (out / "drop-ids.txt").read_text()
    if not (out / "drop-ids.txt").exists():
        (out / "drop-ids.txt").write_text("my own\n")
        assert audit().code == 0
        assert (out / "drop-ids.txt").read_text() == "my own\n"
        assert "drop-ids.txt" not in json.loads((out / "checksums.json").read_text())["files"]
