"""The doctor: each kind of break is found, named, and told apart from what can be missed."""

import base64
import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from auditor.diagnosis import devices, packages, self_test
from auditor.diagnosis.diagnose import diagnose
from auditor.documents.diagnosis import DIAGNOSIS_VERSION, Diagnosis, Finding
from auditor.documents.files import from_text, to_text
from auditor.version import __version__
from helpers import Run


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the installed auditor requires, to be added to: little, so that little is imported."""
    wanted = ["click>=8.1", "gguf>=0.10; extra == 'gguf'", "ray[data]>=2.60; extra == 'ray'"]
    ours = SimpleNamespace(
        requires=wanted, files=[], locate_file=lambda name: Path(packages.__file__).parents[2] / name
    )
    monkeypatch.setattr(packages, "distribution", lambda name: ours)
    monkeypatch.setattr(packages, "packages_distributions", lambda: {"attacks": [packages.DISTRIBUTION]})
    return wanted


@pytest.fixture
def unimportable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return names of modules, to be added to, whose import fails."""
    names: set[str] = set()

    def imported(name: str) -> Any:
        if name in names:
            raise OSError(f"lib{name}.so.1: cannot open shared object file\nsecond line")
        return import_module(name)

    monkeypatch.setattr(packages, "import_module", imported)
    return names


def one(findings: Any, name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    assert isinstance(found, Finding)
    return found


@pytest.mark.usefixtures("stated")
def test_a_sound_installation_can_audit_and_says_so(run: Run) -> None:
    document = run("doctor", "--json").document
    assert document["can_audit"] is True
    assert document["auditor_version"] == __version__
    assert document["versions"]["python"].startswith("3.")
    parts = [finding["part"] for finding in document["findings"]]
    assert list(dict.fromkeys(parts)) == ["installation", "packages", "extras", "devices", "kernels", "self-test"]
    assert {finding["state"] for finding in document["findings"] if finding["needed"]} == {"fine"}
    read = from_text(to_text(Diagnosis(**{**document, "findings": ()})), Diagnosis, version=DIAGNOSIS_VERSION, what="x")
    assert read.versions == document["versions"]


@pytest.mark.slow
@pytest.mark.usefixtures("stated")
def test_the_self_test_takes_less_than_20_seconds_and_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.diagnosis.diagnose.check_kernels", lambda **_: [])
    ran = run("doctor")
    assert ran.code == 0
    assert "nothing that an audit needs is broken" in ran.out
    seconds = float(" ".join(ran.out.split()).partition("every rank equal, in ")[2].partition(" s")[0])
    assert seconds < 20


def test_what_is_required_and_missing_old_or_unimportable_is_broken(stated: list[str], unimportable: set[str]) -> None:
    unimportable.add("datasketch")
    stated += ["torch>=99", "no-such-package>=1", "datasketch", "scikit-learn>=1", "also-not; python_version < '3'"]
    found = list(packages.check_requirements())
    assert all(finding.needed for finding in found)
    assert one(found, "click").state == one(found, "scikit-learn").state == "fine"
    assert "is installed, >=99 is required" in one(found, "torch").detail
    assert one(found, "torch").remedy == "pip install 'torch>=99'"
    assert "--force-reinstall" in str(one(found, "datasketch").remedy)
    assert one(found, "no-such-package").detail == "no-such-package is not installed"
    assert "cannot be imported: OSError: libdatasketch.so.1: cannot open" in one(found, "datasketch").detail
    assert {finding.name for finding in found if finding.state == "broken"} == {
        "torch", "no-such-package", "datasketch"
    }  # fmt: skip


def test_an_extra_that_is_absent_or_broken_stops_nothing(
    stated: list[str], unimportable: set[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("check_devices", "_self_test"):
        monkeypatch.setattr(f"auditor.diagnosis.diagnose.{part}", list)
    monkeypatch.setattr("auditor.diagnosis.diagnose.check_kernels", lambda **_: [])
    unimportable.add("gguf")
    stated[2] = "no-such-package>=1; extra == 'ray'"
    found = list(packages.check_extras())
    assert [finding.name for finding in found] == ["gguf", "ray"]  # the others are not of this installation
    assert one(found, "gguf").state == "broken"
    assert one(found, "ray").state == "absent"
    assert one(found, "ray").remedy == "pip install 'lm-memorization-auditor[ray]'"
    assert run("doctor").code == 0


def test_a_break_ends_with_2_and_names_it(stated: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("check_devices", "_self_test"):
        monkeypatch.setattr(f"auditor.diagnosis.diagnose.{part}", list)
    monkeypatch.setattr("auditor.diagnosis.diagnose.check_kernels", lambda **_: [])
    stated.append("no-such-package>=1")
    ran = run("doctor", "--json")
    assert ran.code == 2
    assert '"can_audit": false' in ran.out
    assert ran.err.startswith("Error: 1 of ")
    assert "packages, no-such-package: no-such-package is not installed" in ran.err
    assert "✖ no-such-package" in " ".join(run("doctor").out.split())


def test_without_torch_everything_else_is_still_told(stated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stated.append("torch>=2")
    monkeypatch.setitem(sys.modules, "torch", None)
    found = diagnose()
    assert not found.can_audit
    assert "torch" in {finding.name for finding in found.broken}
    for part in ("devices", "kernels"):
        assert "could not be tried: ModuleNotFoundError: import of torch" in one(found.broken, part).detail
    assert "click" in {finding.name for finding in found.findings if finding.state == "fine"}


def test_an_installation_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", absent)
    (found,) = packages.check_files()
    assert (found.state, found.needed) == ("absent", False)
    assert list(packages.check_requirements()) == list(packages.check_extras()) == []


@pytest.mark.usefixtures("stated")
def test_another_distribution_in_our_folders_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"attacks": [packages.DISTRIBUTION, "mia-clone"], "auditor": [packages.DISTRIBUTION]}
    monkeypatch.setattr(packages, "packages_distributions", lambda: owners)
    broken = [finding for finding in packages.check_files() if finding.state == "broken"]
    assert [finding.detail for finding in broken] == ["mia-clone installs a package 'attacks' into the same folder"]
    assert broken[0].needed


def test_files_that_changed_since_they_were_installed_are_found(tmp_path: Path) -> None:
    info = tmp_path / "lm_memorization_auditor-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {packages.DISTRIBUTION}\nVersion: 0.1.0\n")
    rows = []
    for name in ("attacks/__init__.py", "auditor/gone.py", "reports/same.py", "elsewhere/other.py"):
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"as installed").digest()).decode().rstrip("=")
        rows.append(f"{name},sha256={digest},12")
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("as installed" if name.endswith("same.py") else "by another project")
    (tmp_path / "auditor" / "gone.py").unlink()
    (info / "RECORD").write_text("\n".join([*rows, "attacks/no_hash.py,,"]) + "\n")
    changed = packages._changed_files(Distribution.at(info))
    assert changed == ["attacks/__init__.py", "auditor/gone.py"]


def uniform(size: int) -> Callable[..., Any]:
    """Return a model whose every logit is 7."""
    import torch

    return lambda input_ids, use_cache: SimpleNamespace(logits=torch.full((1, input_ids.shape[1], size), 7.0))


def test_the_loop_on_a_uniform_row() -> None:
    (found,) = self_test._loop(uniform(4), [0, 2])
    assert found.logprob == pytest.approx(-math.log(4))  # every p is 1/4
    assert found.mean == pytest.approx(-math.log(4))
    assert found.variance == pytest.approx(0)
    assert (found.rank_low, found.rank_high) == (0, 3)  # rounding decides among equals


def test_the_loop_by_hand() -> None:
    import torch

    rows = torch.tensor([[[0.0, math.log(2), math.log(5)]] * 2], dtype=torch.float64)  # p = 1/8, 2/8, 5/8
    (found,) = self_test._loop(lambda **_: SimpleNamespace(logits=rows), [0, 1])
    p = (1 / 8, 2 / 8, 5 / 8)
    mean = sum(x * math.log(x) for x in p)
    assert found.logprob == pytest.approx(math.log(1 / 4))
    assert found.mean == pytest.approx(mean)
    assert found.variance == pytest.approx(sum(x * math.log(x) ** 2 for x in p) - mean**2)
    assert (found.rank_low, found.rank_high) == (1, 1)


def shifted(values: np.ndarray) -> np.ndarray:
    return np.roll(values, 1)


def with_nan(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(values)) == 3, np.nan, values)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("logprob", shifted, "logprob of the engine and of the loop differ by"),
        ("logprob", with_nan, "logprob of the engine and of the loop differ by nan"),
        ("logprob_mean", lambda values: values + 0.01, "logprob_mean of the engine and of the loop differ by 0.01"),
        ("logprob_variance", lambda values: values * 2, "logprob_variance of the engine and of the loop differ by"),
        ("rank", lambda values: values + 1, "ranks of the engine are wrong"),
    ],
)
def test_an_engine_that_is_wrong_is_found(
    name: str, wrong: Callable[[np.ndarray], np.ndarray], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.engine.signals import collect_signals

    def collect(*arguments: Any, **options: Any) -> Any:
        collected = collect_signals(*arguments, **options)
        target = collected.signals.target
        spoilt = replace(target, **{name: wrong(getattr(target, name))})
        return SimpleNamespace(signals=SimpleNamespace(target=spoilt), models=collected.models)

    monkeypatch.setattr("auditor.engine.signals.collect_signals", collect)
    (found,) = self_test.check_scoring()
    assert (found.state, found.needed) == ("broken", True)
    assert said in found.detail


def test_the_self_test_leaves_the_random_state_as_it_was() -> None:
    import torch

    before = torch.random.get_rng_state()
    list(self_test.check_scoring())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_device_that_fails_is_broken() -> None:
    found = devices._tried("meta", "a device without memory", needed=True)  # what it computes cannot be read
    assert (found.state, found.needed) == ("broken", True)
    assert found.remedy
    assert "--device cpu" in found.remedy


@pytest.mark.parametrize(
    ("build", "driver", "state", "said"),
    [
        (None, None, "absent", "is built for CPUs only"),
        ("12.9", None, "absent", "is built for GPUs (12.9) and finds none"),
        (None, "nvidia-smi", "broken", "built for CPUs only, though this machine has an NVIDIA driver"),
        ("12.9", "nvidia-smi", "broken", "finds none, though this machine has an NVIDIA driver"),
    ],
)
def test_why_there_is_no_gpu(
    build: str | None, driver: str | None, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(devices.shutil, "which", lambda name: driver)
    monkeypatch.setattr(devices.Path, "exists", lambda self: False)
    found = devices._no_cuda()
    assert (found.state, found.needed) == (state, False)
    assert said in found.detail


def test_a_kernel_that_cannot_be_built_is_told_but_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.name: finding for finding in devices.check_kernels(compile_kernels=False)}
    assert found["plain"].state == "fine"
    monkeypatch.setitem(sys.modules, "auditor.engine.kernels.triton_kernel", None)
    import torch

    missing = devices._built("triton", torch.device("cpu"))
    assert (missing.state, missing.needed) == ("broken", False)
    assert "not triton (ModuleNotFoundError" in missing.detail
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    compiled = one(devices.check_kernels(compile_kernels=False), "compiled")
    assert (compiled.state, compiled.remedy) == ("absent", "install g++ or clang++")


@pytest.mark.slow
def test_the_kernel_of_large_jobs_is_compiled_when_asked_for() -> None:
    found = one(devices.check_kernels(compile_kernels=True), "compiled")
    assert (found.state, found.detail) == ("fine", "agrees with the plain one")


def test_the_version_names_what_matters_and_imports_none_of_it() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from auditor.cli import cli; "
        "print(CliRunner().invoke(cli, ['--version']).output); "
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pyarrow', 'pydantic', 'scipy', 'packaging'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = ran.stdout.split("\n")
    assert lines[0] == f"auditor, version {__version__}"
    assert lines[1].startswith("python 3.")
    import torch
    import transformers

    assert f"torch {torch.__version__}" in lines
    assert f"transformers {transformers.__version__}" in lines


def test_the_help_of_the_doctor_is_instant() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from auditor.cli import cli; "
        "assert CliRunner().invoke(cli, ['doctor', '--help']).exit_code == 0; "
        "assert not {'torch', 'transformers', 'numpy', 'packaging', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
