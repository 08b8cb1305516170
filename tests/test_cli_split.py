"""``auditor split`` as its users meet it."""

import json
from functools import partial
from pathlib import Path

import pytest

from helpers import Run


@pytest.fixture
def split(run: Run) -> Run:
    """Return a function that runs ``auditor split`` in this process."""
    return partial(run, "split")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    texts = [f"Text number {i * 7919} is about subject {i * 104729}." for i in range(60)]
    path.write_text("\n".join([*texts, texts[0], texts[1].upper()]) + "\n")
    return path


def test_it_writes_both_sides_and_the_manifest(split: Run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    ran = split(corpus, "--out", out, "--seed", 3)
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "members.jsonl", "non_members.jsonl"]
    assert "Of 62 texts: dropped 1 copies, 1 near-duplicates" in ran.out
    assert "--split-manifest" in ran.out
    assert "number" not in ran.out  # no text
    sizes = [len((out / f"{name}.jsonl").read_text().splitlines()) for name in ("members", "non_members")]
    assert sizes == [30, 30]


def test_json_is_the_manifest_and_nothing_else(split: Run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    ran = split(corpus, "--out", out, "--holdout-share", 0.1, "--near-duplicates", "keep", "--json")
    assert ran.document == json.loads((out / "manifest.json").read_text())
    assert ran.document["near_duplicates"] is None
    assert ran.document["holdout"]["n_texts"] == 6
    assert (out / "holdout.jsonl").is_file()


def test_an_earlier_split_is_replaced_only_with_force(split: Run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    assert split(corpus, "--out", out, "--holdout-share", 0.1).code == 0
    before = (out / "manifest.json").read_text()
    refused = split(corpus, "--out", out, "--seed", 1)
    assert refused.code == 2
    assert "--force" in refused.err
    assert (out / "manifest.json").read_text() == before
    assert split(corpus, "--out", out, "--seed", 1, "--force").code == 0
    assert (out / "manifest.json").read_text() != before
    assert not (out / "holdout.jsonl").exists()  # it would belong to no manifest


def test_other_files_are_never_mixed_with(split: Run, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thesis.txt").write_text("mine")
    ran = split(corpus, "--out", tmp_path / "parts", "--force")
    assert ran.code == 2
    assert "not empty" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--member-share", "1.5"), "--member-share must lie between 0 and 1"),
        (("--member-share", "0.9"), "at least 20 on each side"),
        (("--near-duplicates", "some"), "--near-duplicates must be a number in (0, 1], or keep, got 'some'"),
        (("--by-group",), "no text has a group"),
        (("--seed", "-1"), "seed must be"),
    ],
)
def test_mistakes_are_said_in_one_line(
    split: Run, corpus: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    ran = split(corpus, "--out", tmp_path / "parts", *options)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "parts").exists()


def test_empty_and_missing_corpora(split: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    assert "holds no texts" in split(tmp_path / "empty.txt", "--out", tmp_path / "parts").err
    assert "no such file" in split(tmp_path / "none.txt", "--out", tmp_path / "parts").err
