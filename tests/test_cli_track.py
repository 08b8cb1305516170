"""Trackers of experiments: what they are given, and what they are not."""

import importlib.util
import json
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.cli import audit_track
from auditor.cli.audit_track import Tracking, described, figures_of, tracking, without_samples
from auditor.documents.result import AuditResult, RiskBreakdown
from auditor.errors import ConfigError
from helpers import Run
from helpers_audits import build_full
from reports import RENDERERS
from reports.figure_rows import every_quantity

OWN = ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "TRACKIO_DIR")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test an environment of its own, and no key of wandb."""
    for key in {*OWN, *(key for more in audit_track._SETTINGS.values() for key in more)}:
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def named(result: AuditResult) -> AuditResult:
    """The same with a breakdown by groups that the data name."""
    assert result.risk is not None
    group = next(part for part in result.risk.breakdowns).groups[0]
    part = RiskBreakdown(by="group", unit="", groups=(replace(group, label="Jane Roe"),), p_value=None)
    return replace(result, risk=replace(result.risk, breakdowns=(*result.risk.breakdowns, part)))


class Recorder:
    """A tracker that keeps what it is given."""

    def __init__(self, name: str) -> None:
        self.name, self.logged, self.config = name, list[tuple[dict[str, float], int]](), dict[str, Any]()
        self.files, self.ended = list[str](), False

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((values, step))

    def log_artifact(self, path: str) -> None:
        self.files.append(Path(path).read_text(encoding="utf-8"))

    def finish(self) -> None:
        self.ended = True


def recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> Recorder:
    recorder = Recorder(name)
    monkeypatch.setattr(audit_track, "_started", lambda *_: recorder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///somewhere")
    return recorder


def test_figures_are_those_of_the_document() -> None:
    result = build_full()
    document = json.loads(RENDERERS["json"](result))
    figures = figures_of(result)
    bits = document["memorization"]["debiased_bits_per_member"]
    assert figures["memorization/debiased_bits_per_member"] == bits["value"]
    assert figures["memorization/debiased_bits_per_member.low"] == bits["low"]
    assert figures["memorization/debiased_bits_per_member.high"] == bits["high"]
    for attack in document["attacks"]:
        assert attack["auc"]["value"] in figures.values()
    assert all(re.fullmatch(r"[\w./-]+", name) for name in figures)
    assert not any("any" in re.split(r"[./]", name) for name in figures)


def test_the_report_holds_no_figure_that_is_not_logged() -> None:
    """Every defined quantity of the statistician's table that has a key of its own is there, bins of a curve apart."""
    logged = set(figures_of(build_full()).values())
    table = {part: [one for name, one in every_quantity(build_full()) if name == part] for part in ("memorization",)}
    table |= {
        one.attack: [q for name, q in every_quantity(build_full()) if name == one.attack]
        for one in build_full().attacks
    }
    for quantities in table.values():
        for one in quantities:
            assert not one.defined or one.estimate.value in logged, one.label


def test_nothing_of_single_samples_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = named(build_full())
    assert result.memorization is not None
    assert "Jane Roe" in RENDERERS["html"](result)
    recorder = recorded(monkeypatch, "mlflow")
    run = Tracking("mlflow", tmp_path)
    run.log(result, step=7)
    run.finish()
    (report,), ((figures, step),) = recorder.files, recorder.logged
    assert step == 7
    assert recorder.ended
    given = report + json.dumps([figures, recorder.config])
    for sample in result.memorization.top_samples:
        for private in (sample.sample_id, sample.text_sha256, sample.text_sha256[:16], sample.text or sample.sample_id):
            assert private not in given
    assert "Jane" not in given
    assert "/" not in json.dumps(described(result))
    assert result.soundness is None or all(not one.sample_ids for one in without_samples(result).soundness.checks)


def test_trackers_without_files_get_no_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    recorder = recorded(monkeypatch, "tensorboard")
    run = Tracking("tensorboard", tmp_path)
    run.log(build_full())
    run.finish()
    assert recorder.files == []
    assert "holds no files" in capsys.readouterr().err


def test_one_run_for_all_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = recorded(monkeypatch, "tensorboard")
    run = Tracking("tensorboard", tmp_path)
    for step in (100, 200):
        run.log(build_full(), step=step)
    assert [step for _, step in recorder.logged] == [100, 200]


def test_a_tracker_that_fails_is_one_line_and_the_audit_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr(audit_track, "_started", refuse)
    with pytest.raises(ConfigError, match="--track wandb: no route to host; the audit itself is written"):
        Tracking("wandb", tmp_path).log(build_full())


@pytest.mark.parametrize(
    ("name", "beside"), [("tensorboard", ""), ("mlflow", ""), ("wandb", " wandb"), ("trackio", " trackio")]
)
def test_what_is_not_installed_is_named_with_the_extra(
    name: str, beside: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda one, *more: None if one == name else found(one, *more))
    with pytest.raises(ConfigError) as raised, tracking(name, tmp_path / "out"):
        pass
    assert str(raised.value) == (
        f"--track {name}: {name} is not installed; pip install 'lm-memorization-auditor[track]'{beside}"
    )
    assert not (tmp_path / "out").exists()


def test_nothing_is_made_without_being_asked(tmp_path: Path) -> None:
    with tracking(None, tmp_path / "out") as run:
        assert run is None
    assert not (tmp_path / "out").exists()


def test_wandb_is_offline_unless_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert audit_track._places("wandb", tmp_path)["WANDB_MODE"] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "a key")
    assert "WANDB_MODE" not in audit_track._places("wandb", tmp_path)
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "WANDB_MODE" not in audit_track._places("wandb", tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example:8080/")
    assert audit_track._places("wandb", tmp_path)["WANDB_MODE"] == "offline"


@pytest.mark.parametrize(
    ("init", "more"),
    [
        (lambda project, name, auto_log_cpu=None, auto_log_gpu=None: None, {"auto_log_cpu", "auto_log_gpu"}),
        (lambda project, name, auto_log_gpu=None: None, {"auto_log_gpu"}),
    ],
)
def test_trackio_does_not_log_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, init: Any, more: set[str]
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(init=init))
    assert audit_track._options("trackio", tmp_path, "run") == {"name": "run"} | dict.fromkeys(more, False)


def test_wandb_gets_the_report_as_an_artifact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module in wandb's place, with the calls of its own that accelerate does not make for us."""
    held: list[str] = []

    class Artifact:
        def __init__(self, name: str, type: str) -> None:
            assert (name, type) == ("memorization-audit", "report")

        def add_file(self, path: str) -> None:
            held.append(Path(path).read_text(encoding="utf-8"))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(Artifact=Artifact))
    recorder = recorded(monkeypatch, "wandb")
    recorder.tracker = types.SimpleNamespace(log_artifact=lambda artifact: None)
    Tracking("wandb", tmp_path).log(build_full())
    assert held[0].startswith("<!doctype html>")


def arguments(models: dict[str, Path], data: dict[str, Path]) -> list[object]:
    given = ["--target", models["target"], "--reference", models["reference"], "--device", "cpu", "--attack", "loss"]
    return ["audit", *given, "--members", data["members"], "--non-members", data["non_members"]]


def test_refusals_before_anything_is_computed(run: Run, tiny_models, tiny_data, tmp_path: Path, monkeypatch) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('version = 1\n[[gate]]\nname = "a"\nmetric = "attacks.loss.auc"\nmax = 0.6\n', encoding="utf-8")
    asked = [*arguments(tiny_models, tiny_data), "--out", tmp_path / "out", "--track", "tensorboard"]
    ran = run(*asked, "--policy", policy, "--until-decided")
    assert (ran.code, "--until-decided writes none" in ran.err) == (2, True)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    ran = run(*asked)
    assert (ran.code, "--track is for one process" in ran.err) == (2, True)
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.slow
def test_tensorboard_on_disk(run: Run, tiny_models, tiny_data, tmp_path: Path, monkeypatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():  # left over in a shell
        monkeypatch.setenv(name, value)
    ran = run(*arguments(tiny_models, tiny_data), "--out", tmp_path, "--track", "tensorboard", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)  # nothing of the tracker stands there
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (tmp_path / "tracking" / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    ((auc),) = events.Scalars("attacks/loss.auc")
    assert (auc.step, auc.value) == (0, pytest.approx(result["attacks"][0]["auc"]["value"], abs=1e-6))


@pytest.mark.slow
def test_mlflow_on_disk(run: Run, tiny_models, tiny_data, tmp_path: Path) -> None:
    ran = run(*arguments(tiny_models, tiny_data), "--out", tmp_path, "--track", "mlflow", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    import mlflow

    client = mlflow.MlflowClient((tmp_path / "tracking" / "mlflow").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'memorization-audit'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.metrics["attacks/loss.auc"] == result["attacks"][0]["auc"]["value"]
    assert found.data.params["n_members"] == "30"
    assert found.data.tags["mlflow.user"] == "auditor"
    report = client.download_artifacts(found.info.run_id, "report-0.html", str(tmp_path))
    ids = [sample["sample_id"] for sample in result["memorization"]["top_samples"]]
    text = Path(report).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert not any(f">{one}<" in text for one in ids)
