"""What is published: metadata, extras, the pages beside the code, the layout of a release, and the container images."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from auditor.cli import cli
from auditor.version import __version__

ROOT = Path(__file__).parents[1]
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))

KNOWN = {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "LABEL", "RUN", "SHELL", "USER", "WORKDIR"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_licence_is_the_one_that_is_stated(project: dict[str, Any]) -> None:
    text = read("LICENSE")
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert not [one for one in project["classifiers"] if one.startswith("License ::")]  # refused beside an expression


def test_python_of_classifiers_is_python_that_is_required(project: dict[str, Any]) -> None:
    versions = {one.rpartition(" ")[2] for one in project["classifiers"] if re.search(r":: 3\.\d+$", one)}
    assert project["requires-python"] == f">={min(versions, key=lambda one: int(one.split('.')[1]))}"
    assert "Typing :: Typed" in project["classifiers"]
    assert (ROOT / "auditor" / "py.typed").exists()


def test_the_extra_all_holds_every_other_extra_for_users(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    name, _, held = everything.rstrip("]").partition("[")
    assert name == project["name"]
    assert held.split(",") == sorted(set(extras) - {"all", "dev", "docs"})
    for extra in held.split(","):
        assert f"`{extra}`" in read("README.md")


def test_extras_that_messages_and_pages_name_exist(project: dict[str, Any]) -> None:
    named = set()
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("auditor/**/*.py"), *ROOT.glob("docker/*")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for extras in re.findall(rf"{project['name']}\[([\w,-]+)\]|EXTRAS=([\w,-]+)", text):
            named |= set("".join(extras).split(","))
    assert named
    assert named <= set(project["optional-dependencies"])


def test_the_changelog_is_kept() -> None:
    text = read("CHANGELOG.md")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading)
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"
    }  # fmt: skip
    assert __version__ in text
    for command in cli.commands:
        assert f"`auditor {command}" in text, f"auditor {command} is new: say so in CHANGELOG.md"


def test_the_citation_is_of_this_version_and_names_the_paper(project: dict[str, Any]) -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["license"] == project["license"]
    assert {"message", "title", "authors"} <= set(citation)
    (paper,) = citation["references"]
    assert paper["authors"][0]["family-names"] == "Morris"
    assert paper["year"] == 2025
    assert paper["url"].endswith("/2505.24832")
    assert "arXiv:2505.24832" in [one["value"] for one in paper["identifiers"]]


def test_contributors_and_readers_get_the_same_command_for_the_tests() -> None:
    command = re.search(r"<!-- tests -->\n```sh\n(.+)\n```", read("README.md"))
    assert command
    assert command[1] in read("CONTRIBUTING.md")


def test_a_release_has_absolute_links_and_urls(tmp_path: Path) -> None:
    release = [sys.executable, ROOT / ".ci" / "release.py"]
    url = "https://forge.example/owner/auditor"
    subprocess.run([*release, url + "/", tmp_path / "release"], check=True, capture_output=True)
    readme = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert targets
    assert all(one.startswith("https://") for one in targets)
    assert f"]({url}/raw/v{__version__}/docs/images/report.png)" in readme
    assert f"]({url}/blob/v{__version__}/docs/ci.md)" in readme
    found = tomllib.loads((tmp_path / "release" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found["urls"]["Repository"] == url
    assert found["scripts"] == {"auditor": "auditor.cli:main"}
    assert subprocess.run([*release, "forge.example"], check=False, capture_output=True).returncode == 2


class Instruction(NamedTuple):
    """An instruction of a Dockerfile, continuation lines joined."""

    name: str
    rest: str


def instructions(image: Path) -> list[Instruction]:
    """Parse a Dockerfile: comments out, continued lines joined."""
    lines = [line for line in image.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def of(image: Path, name: str) -> list[str]:
    return [one.rest for one in instructions(image) if one.name == name]


def test_there_is_an_image_for_cpus_and_one_for_cuda() -> None:
    assert [image.name for image in IMAGES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_an_image_is_well_formed(image: Path) -> None:
    found = instructions(image)
    assert {one.name for one in found} <= KNOWN
    assert found[0].name in ("ARG", "FROM")
    stages = [re.fullmatch(r"([\w./-]+):([\w.-]+)(?: AS (\w+))?", base) for base in of(image, "FROM")]
    assert all(stages)
    assert all(stage and stage[2] != "latest" for stage in stages)
    for shell in ("ENTRYPOINT", "CMD"):
        (form,) = of(image, shell)
        assert all(isinstance(word, str) for word in json.loads(form))  # a shell would eat the signals
    assert of(image, "ENTRYPOINT") == ['["auditor"]']
    names = [one.name for one in found]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not of(image, "USER")[-1].startswith(("root", "0"))
    for base in of(image, "FROM"):
        assert re.match(r"python:3\.11\b", base)  # the Python that the pinned versions were tested on


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_an_image_is_made_of_what_is_here(image: Path) -> None:
    rules = [one for one in read(".dockerignore").splitlines() if one and not one.startswith("#")]
    assert rules[0] == "*"
    allowed = [one.removeprefix("!") for one in rules if one.startswith("!")]
    stages = {one.rpartition(" AS ")[2] for one in of(image, "FROM") if " AS " in one}
    copied = set()
    for copy in of(image, "COPY"):
        *sources, target = copy.split()
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages
            continue
        for source in sources:
            assert (ROOT / source).exists()
            assert any(fnmatch(source, one) for one in allowed), f"{source} is ignored by .dockerignore"
            assert target == source if (ROOT / source).is_dir() else target == "./"
        copied |= set(sources)
    assert copied == set(allowed)
    assert {"attacks", "auditor", "reports", "pyproject.toml", "README.md", "LICENSE"} <= copied


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_what_an_image_installs_is_pinned_and_leaves_nothing_behind(image: Path) -> None:
    for run in of(image, "RUN"):
        for install in re.findall(r"pip install [^&]+", run):
            assert "--no-cache-dir" in install
            assert "-c constraints.txt" in install or "'^torch==' constraints.txt" in install
        if "apt-get install" in run:
            assert "apt-get update" in run
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
    assert any("pip install" in run for run in of(image, "RUN"))


def test_only_the_image_for_cpus_asks_for_a_torch_of_its_own() -> None:
    cpu, cuda = (image.read_text(encoding="utf-8") for image in IMAGES)
    assert "+cpu" in cpu
    assert "+cpu" not in cuda
    assert "NVIDIA_VISIBLE_DEVICES=all" in cuda
