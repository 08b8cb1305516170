"""The project keeps its own promises: documentation, layers, packaging, privacy of the repository."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from attacks import BUILTIN
from auditor.cli import cli
from auditor.config import AuditConfig

ROOT = Path(__file__).parents[1]
MOST_PARAMETERS = 8


def command(marker: str) -> str:
    """Return the one command of the README's block behind a marker."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {marker} -->\n```sh\n(.+)\n```", readme)
    assert found, f"no {marker} block of one line in README.md"
    return found[1]


def test_generated_docs_are_what_the_code_says() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=True)


def test_every_command_option_attack_and_key_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    groups = {f"{name} {inner}": one for name, group in cli.commands.items() if isinstance(group, click.Group)
              for inner, one in group.commands.items()}  # fmt: skip
    for name, one in (cli.commands | groups).items():
        assert f"`auditor {name}`" in page
        for parameter in one.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in page
    attacks = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    for name, attack in BUILTIN.items():
        assert f"## `{name}`" in attacks
        assert attack.paper in attacks
    config = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    for field in fields(AuditConfig):
        assert f"| `{field.name}` |" in config


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_commands_are_whole() -> None:
    assert command("demo").endswith("auditor demo")
    assert command("tests").endswith(".ci/check")
    for marker in ("demo", "tests"):
        assert command(marker).startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")


def test_layers() -> None:
    subprocess.run(["lint-imports", "--no-cache"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """Parse every module of the rooms, by its path from the root."""
    for room in rooms:
        for file in sorted((ROOT / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def functions(
    node: ast.AST, owner: ast.ClassDef | None = None
) -> Iterator[tuple[ast.FunctionDef, ast.ClassDef | None]]:
    """List the functions below a node, each with the class that it is a method of."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child, owner
        yield from functions(child, child if isinstance(child, ast.ClassDef) else None)


def test_module_docstrings_open_with_what_the_module_holds() -> None:
    wrong = []
    for name, module in modules("auditor", "attacks", "reports", "benchmarks", "examples", "tests"):
        first = (ast.get_docstring(module) or "").partition("\n")[0]
        asks = first.split(" ")[0] in ("What", "Which", "How", "Who", "Whether", "Where", "Why", "When")
        if not first or (asks and not name.startswith("tests")) or "?" in first:
            wrong.append(f"{name}: {first or 'no docstring'}")
    assert not wrong, "\n".join(wrong)


def test_a_function_of_many_parameters_says_why() -> None:
    wrong = []
    for name, module in modules("auditor", "attacks", "reports"):
        for function, owner in functions(module):
            if any("click." in ast.unparse(one) for one in function.decorator_list):
                continue  # the options of a command, which --help tells
            taken = function.args
            given = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
            if owner and given[:1] in (["self"], ["cls"]):
                del given[0]
            told = (ast.get_docstring(function) or "") + (
                ast.get_docstring(owner) or "" if owner and function.name == "__init__" else ""
            )
            if len(given) > MOST_PARAMETERS and not re.search(r"Many parameters:\s+\S", told):
                wrong.append(f"{name}:{function.lineno} {function.name}: {len(given)}")
    assert not wrong, "\n".join(wrong)


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))  # tests/attacks/__init__.py would shadow attacks


def test_constraints_pin_every_direct_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    wanted = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    assert {re.split(r"[<>=\[]", one)[0].lower() for one in wanted} - {project["name"]} <= pinned


def test_nothing_lies_at_the_top_that_does_not_belong_there() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    rooms = {"attacks", "auditor", "benchmarks", "ci", "docker", "docs", "examples", "reports", "tests"}
    files = {
        ".dockerignore",
        ".gitignore",
        ".pre-commit-hooks.yaml",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
        "MANIFEST.in",
        "README.md",
        "SECURITY.md",
        "action.yml",
        "constraints.txt",
        "mkdocs.yml",
        "pyproject.toml",
    }
    assert {name.split("/")[0] for name in tracked} <= rooms | files | {".ci"}


def test_no_paths_of_a_machine_and_no_hosts_of_a_registry() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    paths = re.compile(r"/(home|root|work|Users)/\w|index-url|find-links")
    for name in tracked:
        file = ROOT / name
        if file.suffix in {".py", ".md", ".toml", ".txt", ".json", ".html", ".j2", ".sh", ""} and file.is_file():
            if file == Path(__file__):
                continue
            found = paths.search(file.read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found[0] if found else ''}"


@pytest.mark.slow
def test_the_wheel_holds_exactly_three_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True, cwd=tmp_path
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"auditor", "attacks", "reports"}
    assert any(name.endswith("report.html.j2") for name in names)
    assert any(name == "auditor/py.typed" for name in names)
