"""Blocks of the documentation do what they say: each is run, here or by the test that it names, or says why not."""

import ast
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from auditor.cli import cli
from helpers import Ran, build_tokenizer, make_texts, save_gpt2, write_jsonl
from helpers_docs import PAGES, ROOT, Fenced, blocks, lines

BY_ANOTHER_TEST = {
    ("README.md", "python"): "tests/test_docs_python.py::test_the_readme_block_runs",
    ("docs/ci.md", "sh"): "tests/test_docs_ci.py::test_every_command_ends_as_the_page_says",
    ("docs/python.md", "python"): "tests/test_docs_python.py::test_every_block_runs",
    ("docs/adding-an-attack.md", "python"): "tests/test_docs_python.py::test_every_block_runs",
    ("docs/adding-an-attack.md", "sh"): "tests/test_docs_python.py::test_every_block_runs",
    ("docs/notebook.md", "python"): "tests/test_notebook.py::test_the_notebook_runs",
}
"""Pages of which one test runs all blocks of a language, whatever comment stands before them."""
ON_A_FRESH_MACHINE = ("demo", "tests")
"""Blocks of the README that install: `.ci/run` runs the second, and tests read both."""
QUICK = {"docs/quickstart.md"}
"""Pages that are run with the quick tests; the others take longer, and are run with the slow ones."""
CODE = ("sh", "python")


def code_blocks() -> list[Fenced]:
    return [one for page in PAGES for one in blocks(page) if one.language in CODE]


def fate(block: Fenced) -> str:
    """Say what becomes of a block: ``run``, ``not run``, the test that runs it, or why it has no fate."""
    if test := BY_ANOTHER_TEST.get((block.page, block.language)):
        return test
    if block.page == "README.md" and block.mark in ON_A_FRESH_MACHINE:
        return "not run"
    if re.fullmatch(r"run(: exit [012])?", block.mark):
        return "run"
    if re.fullmatch(r"not run: \S.{9,}", block.mark):
        return "not run"
    if found := re.fullmatch(r"run by (tests/\S+\.py::test_\w+)", block.mark):
        return found[1]
    return f"no fate: {block.mark!r}"


def where(block: Fenced) -> str:
    return f"{block.page}:{block.line}"


def test_every_fence_says_its_language() -> None:
    known = (*CODE, "text", "toml", "json", "yaml", "markdown")
    wrong = [f"{where(one)}: {one.language!r}" for page in PAGES for one in blocks(page) if one.language not in known]
    assert not wrong, wrong


def test_no_fence_is_missed() -> None:
    for page in PAGES:
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.M)
        assert len(fences) == 2 * len(blocks(page)), page.name


def test_every_block_is_run_or_says_why_not() -> None:
    found = code_blocks()
    assert len(found) > 50
    wrong = [f"{where(one)}: {fate(one)}" for one in found if fate(one).startswith("no fate")]
    assert not wrong, "\n".join(wrong)


def test_the_tests_that_pages_name_exist() -> None:
    for test in {*map(fate, code_blocks()), *BY_ANOTHER_TEST.values()} - {"run", "not run"}:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}, test


@pytest.mark.parametrize(
    ("mark", "page", "expected"),
    [
        ("run", "docs/audit.md", "run"),
        ("run: exit 1", "docs/audit.md", "run"),
        ("run: exit 7", "docs/audit.md", "no fate"),
        ("", "docs/audit.md", "no fate"),
        ("not run: ", "docs/audit.md", "no fate"),
        ("not run: needs a GPU", "docs/audit.md", "not run"),
        ("run by tests/test_x.py::test_y", "docs/audit.md", "tests/test_x.py::test_y"),
        ("", "docs/ci.md", "tests/test_docs_ci.py::test_every_command_ends_as_the_page_says"),
    ],
)
def test_a_comment_decides(mark: str, page: str, expected: str) -> None:
    assert fate(Fenced(page, 1, mark, "sh", "auditor doctor")).startswith(expected)


def test_a_block_is_found_with_its_comment() -> None:
    page = "a\n<!-- run -->\n```sh\nb \\\n  c  # d\n\n# e\n```\n\n- f\n\n  ```python\n  g\n  ```\n```text\nh\n```\n"
    first, second, third = blocks(ROOT / "README.md", page)
    assert first == Fenced("README.md", 2, "run", "sh", "b \\\n  c  # d\n\n# e")
    assert (second.mark, second.language, second.body) == ("", "python", "  g")
    assert (third.language, third.body) == ("text", "h")
    assert list(lines(first.body)) == ["b c"]


def test_the_readme_is_short_and_leads_to_every_kind_of_reader() -> None:
    readers = ("quickstart", "which-reference", "troubleshooting", "for-privacy-officers", "for-statisticians")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 120
    for page in (*readers, "audit", "for-contributors"):
        assert f"](docs/{page}.md)" in readme


def option_problems(line: str) -> Iterator[str]:
    """Name the commands and options of a line that the command line does not have."""
    for words in re.findall(r"(?:^|\s|&&|\$\(which )auditor\)? ([a-z][^|&]*)", line):
        command: click.Command = cli
        given = shlex.split(words, posix=False)
        while isinstance(command, click.Group):
            name = given.pop(0) if given else ""
            if name not in command.commands:
                yield f"no command {name!r}"
                return
            command = command.commands[name]
        options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--debug"}
        yield from (f"no option {one}" for one in given if one.startswith("--") and one.split("=")[0] not in options)


def test_commands_and_options_of_all_blocks_exist() -> None:
    wrong = [
        f"{where(block)}: {problem}: {line}"
        for block in code_blocks()
        if block.language == "sh"
        for line in lines(block.body)
        for problem in option_problems(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_an_option_that_does_not_exist_is_told() -> None:
    assert list(option_problems("auditor audit --target a --nonsense b")) == ["no option --nonsense"]
    assert list(option_problems("x && auditor nothing")) == ["no command 'nothing'"]
    assert list(option_problems("torchrun $(which auditor) audit --out x")) == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make what the pages take for granted: models, texts of both sides and of neither, checkpoints."""
    import matplotlib

    matplotlib.use("Agg")
    tokenizer = build_tokenizer()
    names = ("finetuned", "base", "other", "without", "unlearned")
    for seed, name in enumerate(names):
        save_gpt2(tmp_path / "models" / name, seed=seed, tokenizer=tokenizer)
    for step in (10, 20):
        save_gpt2(tmp_path / "run" / f"checkpoint-{step}", seed=step, tokenizer=tokenizer)
    sizes = {"train": 24, "heldout": 24, "forget": 24, "other": 4, "more": 4, "corpus": 80}
    for seed, (name, n) in enumerate(sizes.items()):
        groups = [f"author {i // 2}" for i in range(n)]
        write_jsonl(tmp_path / f"{name}.jsonl", make_texts(n, seed=seed), prefix=name, group=groups)
    (tmp_path / "drop-ids.txt").write_text("train0\nheldout3\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def pages_that_are_run() -> list[Any]:
    names = sorted({one.page for one in code_blocks() if fate(one) == "run"})
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("page", pages_that_are_run())
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_of_a_page_run_in_its_order(page: str, place: Path, run: Callable[..., Ran]) -> None:
    from matplotlib import pyplot

    world: dict[str, Any] = {"__name__": "page"}
    for block in blocks(ROOT / page):
        if block.language not in CODE or fate(block) != "run":
            continue
        if block.language == "python":
            exec(compile(block.body, page, "exec", dont_inherit=True), world)
            continue
        commands = list(lines(block.body))
        for number, line in enumerate(commands, 1):
            ends = int(block.mark.partition("exit ")[2] or 0) if number == len(commands) else 0
            command, _, target = line.partition(" > ")
            words = shlex.split(command)
            if words[0] != "auditor":
                subprocess.run(line, shell=True, check=True)
                continue
            ran = run(*words[1:])
            assert ran.code == ends, f"{where(block)}: {line}\n{ran.err}"
            if target:
                (place / target).write_text(ran.out, encoding="utf-8")
    pyplot.close("all")


def said_by_the_code() -> set[str]:
    """Collect the strings of the code, with one ``…`` for whatever is put into them."""
    found = set()
    for file in sorted((ROOT / "auditor").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
                found.add(re.sub("…+", "…", "".join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_the_errors_that_are_quoted_are_those_of_the_code() -> None:
    said = said_by_the_code()
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^Error: (.+)$", page, re.M)
    assert len(quoted) > 20
    wrong = [line for line in quoted if line not in said]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--target", "nowhere", "--members", "train.jsonl", "--non-members", "heldout.jsonl"),
        ("--target", "models/finetuned", "--members", "empty.jsonl", "--non-members", "heldout.jsonl"),
        ("--target", "models/finetuned", "--members", "bad.jsonl", "--non-members", "heldout.jsonl"),
        ("--target", "models/finetuned", "--members", "train.jsonl", "--non-members", "train.jsonl"),
        ("--target", "pickled", "--members", "train.jsonl", "--non-members", "heldout.jsonl"),
        ("--target", "models/finetuned", "--members", "train.jsonl", "--device", "cuda:99"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_user_who_meets_an_error_finds_it_on_the_page(
    wrong: tuple[str, ...], place: Path, run: Callable[..., Ran]
) -> None:
    (place / "empty.jsonl").write_text('{"content": "x"}\n', encoding="utf-8")
    (place / "bad.jsonl").write_text('{"text": "x"\n', encoding="utf-8")
    pickled = save_gpt2(place / "pickled", seed=5)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    ran = run("audit", *wrong, "--out", "out")
    assert ran.code == 2
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^Error: (.+)$", page, re.M)
    line = ran.err.strip().splitlines()[-1]
    patterns = ["Error: " + ".*".join(map(re.escape, one.split("…"))) for one in quoted]
    assert [one for one in patterns if re.fullmatch(one, line)], line
