"""``auditor report``: the formats, what is linked where, and wrong input in one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.documents.result import AuditResult
from helpers import Run
from helpers_audits import BUILDERS
from reports import RENDERERS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An audit's folder, as far as its report links it."""
    write_result(tmp_path / "audit", BUILDERS["normal"]())
    (tmp_path / "audit" / "samples.csv").write_text("", encoding="utf-8")
    return tmp_path / "audit"


def write_result(folder: Path, result: AuditResult) -> None:
    folder.mkdir()
    (folder / "result.json").write_text(RENDERERS["json"](result), encoding="utf-8")


def test_html_is_what_one_gets(run: Run, folder: Path) -> None:
    assert run("report", folder).out.rstrip() == RENDERERS["html"](BUILDERS["normal"]()).rstrip()


def test_files_are_linked_only_from_beside_them(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("report", folder, "--out", folder / "again.html").code == 0
    source = (folder / "again.html").read_text(encoding="utf-8")
    assert '<a href="result.json">' in source
    assert '<a href="samples.csv">' in source
    assert "samples.parquet</a>" not in source
    assert run("report", folder, "--out", tmp_path / "elsewhere.html").code == 0
    assert 'href="samples.csv"' not in (tmp_path / "elsewhere.html").read_text(encoding="utf-8")


def test_a_summary_and_an_interactive_report(run: Run, folder: Path) -> None:
    assert "Memorization audit, summary" in run("report", folder, "--format", "summary").out
    source = run("report", folder, "--interactive").out
    assert source.count("<script>") == 1
    assert "script-src 'sha256-" in source
    assert "runs one script, which is part of it" in source


def test_an_interactive_report_of_other_samples_is_refused(run: Run, folder: Path) -> None:
    (folder / "samples.parquet").write_bytes(b"PAR1")
    result = BUILDERS["normal"]()
    stated = replace(result, provenance=replace(result.provenance, samples_sha256="0" * 64))
    (folder / "result.json").write_text(RENDERERS["json"](stated), encoding="utf-8")
    failed = run("report", folder, "--interactive")
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "holds the samples of another audit" in failed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "md", "--interactive"], "--interactive is for --format html, not for md"),
        (["--format", "pdf"], "pdf"),
    ],
)
def test_wrong_options_are_one_line(run: Run, folder: Path, arguments: list[str], said: str) -> None:
    failed = run("report", folder, *arguments)
    assert failed.code == 2
    assert said in failed.err


def test_the_csv_is_no_result(run: Run, folder: Path) -> None:
    failed = run("report", folder / "samples.csv")
    assert failed.code == 2
    assert failed.err.startswith("Error: ")
    assert "is not a result" in failed.err
