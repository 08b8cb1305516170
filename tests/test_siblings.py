"""Another project's attacks or reports on the path: refused in every order of imports, with the way out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = f"sys.path.insert(0, {str(ROOT)!r})"

FORMS = {
    "package": ("{name}/__init__.py", "{name}/__init__.py"),
    "module": ("{name}.py", "{name}.py"),
}
"""Kinds of a foreign package: the file to make, and the place that the error names."""


def make(folder: Path, name: str, form: str) -> Path:
    """Put a foreign package into a folder; return the place that an error has to name."""
    file, place = (folder / one.format(name=name) for one in FORMS[form])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    return place


def python(*lines: str, cwd: Path, path: str = "", flag: str = "-P") -> subprocess.CompletedProcess[str]:
    """Run lines of Python, with what is given in PYTHONPATH and nothing else."""
    return subprocess.run(
        [sys.executable, flag, "-c", "import sys; " + "; ".join(lines)],
        capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def assert_refused(ran: subprocess.CompletedProcess[str], name: str, place: Path, way_out: str) -> None:
    error = ran.stderr.strip().splitlines()[-1]
    assert ran.returncode == 1
    assert f"ImportError: the package {name!r} was found at {str(place)!r}" in error
    assert f"auditor's own lies in {str(ROOT / name)!r}" in error
    assert way_out in error


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["attacks", "reports"])
@pytest.mark.parametrize("first", ["import auditor", "import auditor.cli", "from auditor.config import AuditConfig"])
def test_a_foreign_package_before_ours_is_refused(tmp_path: Path, name: str, form: str, first: str) -> None:
    place = make(tmp_path, name, form)
    ran = python(OURS, f"sys.path.insert(0, {str(tmp_path)!r})", first, cwd=ROOT.parent)
    assert_refused(ran, name, place, "run auditor in an environment of its own")


@pytest.mark.parametrize("name", ["attacks", "reports"])
def test_a_foreign_package_that_was_imported_before_is_refused(tmp_path: Path, name: str) -> None:
    place = make(tmp_path, name, "package")
    here = f"sys.path.insert(0, {str(tmp_path)!r})"
    ran = python(OURS, here, f"import {name}", f"sys.path.remove({str(tmp_path)!r})", "import auditor", cwd=tmp_path)
    assert_refused(ran, name, place, "imported before auditor: use auditor in a process of its own")


@pytest.mark.parametrize("first", ["reports", "reports.gates"])
def test_our_reports_imported_first_refuses_foreign_attacks(tmp_path: Path, first: str) -> None:
    place = make(tmp_path, "attacks", "package")
    here = f"sys.path.insert(0, {str(tmp_path)!r})"
    ran = python(OURS, here, f"import {first}", "import auditor", cwd=ROOT)
    assert_refused(ran, "attacks", place, "run auditor in an environment of its own")


def test_a_module_made_by_hand_is_refused(tmp_path: Path) -> None:
    ran = python(OURS, "import types", "sys.modules['attacks'] = types.ModuleType('attacks')", "import auditor",
                 cwd=tmp_path)  # fmt: skip
    assert ran.returncode == 1
    assert "imported before auditor: use auditor in a process of its own" in ran.stderr


def test_a_path_that_changes_later_is_refused_when_asked_again(tmp_path: Path) -> None:
    place = make(tmp_path, "attacks", "package")
    again = "from auditor.siblings import refuse_foreign_siblings as refuse"
    ran = python(OURS, "import auditor", again, f"sys.path.insert(0, {str(tmp_path)!r})", "refuse()", cwd=ROOT)
    assert_refused(ran, "attacks", place, "run auditor in an environment of its own")


def test_pythonpath_is_named_where_it_is_the_cause(tmp_path: Path) -> None:
    place = make(tmp_path / "clone", "reports", "package")
    ran = python("import auditor", cwd=tmp_path, path=os.pathsep.join([str(tmp_path / "clone"), str(ROOT)]))
    assert_refused(ran, "reports", place, f"Take {str(tmp_path / 'clone')!r} out of PYTHONPATH")


def test_a_module_one_folder_below_ours_is_not_taken_for_ours(tmp_path: Path) -> None:
    home = tmp_path / "site"
    (home / "auditor").mkdir(parents=True)
    for file in ("__init__.py", "siblings.py", "version.py"):
        (home / "auditor" / file).write_text((ROOT / "auditor" / file).read_text(encoding="utf-8"))
    for name in ("attacks", "reports"):
        make(home, name, "package")
    make(home / "project", "reports", "module")
    paths = f"sys.path[:0] = [{str(home / 'project')!r}, {str(home)!r}]"
    assert python(paths, "import auditor", cwd=tmp_path).returncode == 1
    assert python(f"sys.path.insert(0, {str(home)!r})", "import auditor", cwd=home / "project").returncode == 0


def test_an_installation_without_a_sibling_says_so(tmp_path: Path) -> None:
    (tmp_path / "auditor").mkdir()
    for file in ("__init__.py", "siblings.py", "version.py"):
        (tmp_path / "auditor" / file).write_text((ROOT / "auditor" / file).read_text(encoding="utf-8"))
    ran = python("import auditor", cwd=tmp_path, flag="-S")  # without the packages of this environment
    assert "the package 'attacks' of auditor is not in" in ran.stderr
    assert "install auditor again" in ran.stderr


@pytest.mark.parametrize("name", ["attacks", "reports"])
def test_folders_of_outputs_do_no_harm(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "report.html").write_text("")
    ran = python(f"sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]", "import auditor, attacks, reports", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_the_command_line_ends_with_2_and_one_line(tmp_path: Path) -> None:
    make(tmp_path, "attacks", "package")
    ran = subprocess.run(
        [sys.executable, "-m", "auditor", "--version"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 2  # 1 would read as a failed gate
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Error: the package 'attacks' was found at")
    assert line.endswith("Start from another folder, with the command `auditor`, or with `python -P`.")


def test_the_script_ends_with_2_and_one_line(tmp_path: Path) -> None:
    make(tmp_path / "clone", "reports", "module")
    script = tmp_path / "auditor"  # what pip writes
    script.write_text("import sys\nfrom auditor.cli import main\nsys.exit(main())\n")
    paths = os.pathsep.join([str(tmp_path / "clone"), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, "-P", script, "--version"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "out of PYTHONPATH" in line


def test_from_any_folder_without_another_all_is_well(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "auditor", "--version"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0
    assert ran.stdout.startswith("auditor, version ")
