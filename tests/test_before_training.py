"""The worked example of docs/before-training.md is what the program prints and what the data beside it say."""

import io
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from auditor.cli import cli
from auditor.documents.calibration import read_calibration
from auditor.documents.capacity import read_capacity
from auditor.laws.calibration import fit_attack
from reports import render_calibration

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "before-training.md").read_text(encoding="utf-8")


def test_the_prediction_is_what_the_command_prints(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = re.search(r"<!-- run by [^\n]+ -->\n```sh\nauditor ([^\n]+)\n```\n\n```text\n(.+?)\n```", page, re.S)
    assert found
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(cli, shlex.split(found[1]))
    assert ran.exit_code == 0
    printed = "\n".join(line.rstrip() for line in ran.stdout.splitlines()).strip()
    assert printed == found[2].strip()
    assert (tmp_path / "map.svg").read_bytes() == (DOCS / "images" / "map.svg").read_bytes()


def test_the_capacity_is_that_of_the_file(page: str) -> None:
    measured = read_capacity(DOCS / "data" / "capacity-tiny.json")
    assert measured.bits_per_parameter == max(run.bits_per_parameter for run in measured.runs)
    assert f"**{measured.bits_per_parameter:.2f} bits per parameter**" in page
    for run in measured.runs:
        assert f"| {run.role} | {run.seed} | {run.n_samples} | {run.steps:,} |" in page
        assert f"{run.bits_per_parameter:.3f}" in page
    assert f"{measured.last_gain:.1%}" in page
    for one in measured.extrapolations:
        assert f"{one.bits_per_parameter:.2f}" in page


def test_the_calibration_is_that_of_the_file(page: str) -> None:
    calibration = read_calibration(DOCS / "data" / "calibration-kjv.json")
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_calibration(calibration))
    printed = "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip()
    assert printed in page
    for law in calibration.laws:  # the laws follow from the cells
        again = fit_attack(calibration.cells, law.attack)
        assert again.rmse == pytest.approx(law.rmse, abs=1e-6)
        assert again.held_out_size_rmse == pytest.approx(law.held_out_size_rmse, abs=1e-6)
