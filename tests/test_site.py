"""The site of the documentation: it builds without a warning, and its pages load nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ELSEWHERE = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//"
    r"|<link\b[^>]*rel=\"(?:stylesheet|preconnect|icon)\"[^>]*href=\"(?:https?:)?//"
)
"""What a page would load from another machine as it is opened."""


def paths(nav: object) -> set[str]:
    """Collect the pages of a navigation."""
    if isinstance(nav, str):
        return {nav}
    return set().union(*(paths(one) for one in (nav.values() if isinstance(nav, dict) else nav)))  # type: ignore[attr-defined]


def test_every_page_is_in_the_navigation() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert paths(site["nav"]) == {page.name for page in (ROOT / "docs").glob("*.md")}
    assert site["theme"]["font"] is False


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "see words, [a](b.md)"),
        ("https://forge.example/o/n/", "see [words](https://forge.example/o/n/blob/HEAD/x/y.py), [a](b.md)"),
    ],
)
def test_links_that_leave_the_site(url: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import site_links
    finally:
        sys.path.pop(0)
    monkeypatch.setenv("REPOSITORY_URL", url)
    assert site_links.on_page_markdown("see [words](../x/y.py), [a](b.md)") == expected


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    pytest.importorskip("material")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    ran = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    pages = sorted((tmp_path / "site").glob("*.html"))
    assert {page.stem for page in pages} - {"404"} == {page.stem for page in (ROOT / "docs").glob("*.md")}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not ELSEWHERE.findall(text), page.name
    assert (tmp_path / "site" / "search" / "search_index.json").is_file()
    assert (tmp_path / "site" / "notebook.ipynb").is_file()
