"""The pages on Python: every block is run, in order, in a folder that holds what the page takes for granted."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auditor
from helpers import Ran, build_tokenizer, make_texts, save_gpt2, write_jsonl

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>\n]+) -->\n)?```(?P<kind>python|sh)\n(?P<body>.*?)```", re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder of somebody who fine-tuned a model."""
    import matplotlib

    matplotlib.use("Agg")
    tokenizer = build_tokenizer()
    save_gpt2(tmp_path / "models" / "finetuned", seed=0, tokenizer=tokenizer)
    save_gpt2(tmp_path / "models" / "base", seed=1, tokenizer=tokenizer)
    write_jsonl(tmp_path / "train.jsonl", make_texts(12, seed=1), prefix="member-")
    write_jsonl(tmp_path / "heldout.jsonl", make_texts(12, seed=2), prefix="non_member-")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def blocks(page: str) -> list[re.Match[str]]:
    return list(BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", ["docs/python.md", "docs/adding-an-attack.md"])
@pytest.mark.filterwarnings("ignore")
def test_every_block_runs(page: str, place: Path, run: Callable[..., Ran]) -> None:
    from matplotlib import pyplot

    world: dict[str, Any] = {"held_out": make_texts(12, seed=2), "__name__": "page"}
    found = blocks(page)
    assert len(found) >= 4
    for block in found:
        body = block["body"]
        if block["kind"] == "sh":
            for line in body.replace("\\\n", " ").splitlines():
                assert run(*shlex.split(line)[1:]).code == 0
        elif block["mark"] and block["mark"].startswith("file "):
            (place / block["mark"].removeprefix("file ")).write_text(body, encoding="utf-8")
        else:
            exec(compile(body, page, "exec", dont_inherit=True), world)
    pyplot.close("all")
    assert isinstance(world["found"], auditor.Audit)


@pytest.mark.filterwarnings("ignore")
def test_the_readme_block_runs(place: Path) -> None:
    from matplotlib import pyplot

    (block,) = [one for one in blocks("README.md") if one["mark"] == "python"]
    assert len(block["body"].strip().splitlines()) <= 6
    exec(compile(block["body"], "README.md", "exec", dont_inherit=True), {"__name__": "page"})
    pyplot.close("all")
    assert (place / "roc.pdf").is_file()
    assert (place / "audit-results" / "report.html").is_file()


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for name in auditor.__all__:
        assert name == "__version__" or f"### `auditor.{name}`" in page
