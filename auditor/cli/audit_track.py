"""The trackers of experiments: figures of an audit and its report, put where runs are watched, only when asked."""

import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .output import make_console, make_folder

if TYPE_CHECKING:
    from ..documents.result import AuditResult

__all__ = ["TRACKERS", "Tracking", "figures_of", "tracking", "without_samples"]

TRACKERS = ("tensorboard", "mlflow", "wandb", "trackio")
"""Trackers by the names that accelerate gives them, which are those of their modules, too."""

PROJECT = "memorization-audit"
"""Project or experiment under which runs stand."""

_EXTRA = "lm-memorization-auditor[track]"

_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "tensorboard": {},
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"},
    "wandb": {
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "WANDB__DISABLE_META": "true",
        "WANDB__DISABLE_STATS": "true",
    },
    "trackio": {},
}
"""Environment in which a tracker sends nothing but what it is given here; what the user has set stays."""


@dataclass
class Tracking:
    """A run of a tracker, started with the first audit that is logged, so that a failed audit leaves none.

    Parameters
    ----------
    name : str
        One of :data:`TRACKERS`.
    folder : Path
        Where the tracker keeps its files, unless its own settings (environment) name a place or a server.
    """

    name: str
    folder: Path
    _tracker: Any = field(default=None, repr=False)

    def log(self, result: "AuditResult", *, step: int = 0) -> None:
        """Log the figures of an audit at a step of training, and its report where the tracker holds files.

        Nothing of single samples goes there: no text, no id, no hash, no group.

        Raises
        ------
        ConfigError
            If the tracker fails, such as for want of a network. The audit is written all the same.
        """
        result = without_samples(result)
        try:
            with redirect_stdout(sys.stderr):  # where trackers greet; stdout is for results
                if self._tracker is None:
                    self._tracker = _started(self.name, self.folder, _run_name(result))
                    self._tracker.store_init_configuration(described(result))
                self._tracker.log(figures_of(result), step=step)
                _attach_report(self._tracker, result, step)
        except Exception as error:  # whatever a tracker raises
            raise _failed(self.name, error) from error

    def finish(self) -> None:
        """End the run, and say on stderr where it is."""
        if self._tracker is None:
            return
        try:
            with redirect_stdout(sys.stderr):
                self._tracker.finish()
        except Exception as error:  # as above
            raise _failed(self.name, error) from error
        report = "the report" if self.name in _HOLDERS else "no report, as it holds no files"
        said = f"Tracked by {self.name} in {_place(self.name, self.folder)}: the figures and {report}"
        make_console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def tracking(name: str | None, out: Path) -> Iterator[Tracking | None]:
    """Prepare a tracker before anything is computed, and end its run; None if nobody asked for one.

    Raises
    ------
    ConfigError
        If the tracker is not installed, or its folder cannot be written to.
    """
    if name is None:
        yield None
        return
    for module in ("accelerate", name):
        if importlib.util.find_spec(module) is None:
            beside = f" {name}" if name in ("wandb", "trackio") else ""
            raise ConfigError(f"--track {name}: {module} is not installed; pip install '{_EXTRA}'{beside}")
    make_folder(out, folders=("tracking",))
    run = Tracking(name, (out / "tracking").absolute())
    try:
        yield run
    finally:
        run.finish()


def without_samples(result: "AuditResult") -> "AuditResult":
    """Take out what an audit says of single samples and of groups that the data name: ids, hashes, texts."""
    if result.memorization is not None:
        result = replace(result, memorization=replace(result.memorization, top_samples=()))
    if result.soundness is not None:
        checks = tuple(replace(check, sample_ids=()) for check in result.soundness.checks)
        result = replace(result, soundness=replace(result.soundness, checks=checks))
    if result.risk is not None:
        unnamed = tuple(part for part in result.risk.breakdowns if part.by != "group")
        result = replace(result, risk=replace(result.risk, breakdowns=unnamed))
    return result


def figures_of(result: "AuditResult") -> dict[str, float]:
    """List every estimate by its key in ``result.json``, with both ends of its interval; undefined ones are left out.

    Names hold letters, digits, ``_``, ``-``, ``.`` and ``/`` alone, as MLflow wants it: ``attacks/loss.auc``,
    ``attacks/min_k_k_0.2_.auc`` and the same with ``.low`` and ``.high``.
    """
    import json

    from reports import RENDERERS

    from ..documents.figures import catalogue
    from ..gates.subject import AUDIT_PARTS

    named: dict[str, float] = {}
    for path, figures in catalogue(json.loads(RENDERERS["json"](result)), AUDIT_PARTS).items():
        root, _, leaf = path.partition(".")
        figure, name = figures[0], f"{root}/{re.sub(r'[^A-Za-z0-9_.-]+', '_', leaf)}"
        if "any" in path.split(".") or figure.value is None:
            continue
        if figure.level is not None and figure.low is not None and figure.high is not None:
            named |= {name: figure.value, f"{name}.low": figure.low, f"{name}.high": figure.high}
        elif path.endswith("epsilon_lower_bound"):  # which is an end of an interval itself
            named[name] = figure.value
    return named


def described(result: "AuditResult") -> dict[str, str | int]:
    """Say what was audited by hashes and counts: no path, no name of a machine or of a file."""
    target = next(model for model in result.provenance.models if model.role == "target")
    others = result.data.non_members
    return {
        "auditor_version": result.provenance.auditor_version,
        "started_at": result.provenance.started_at,
        "target_weights_sha256": target.weights_sha256,
        "n_parameters": target.n_parameters,
        "n_members": result.data.members.n_samples,
        "n_non_members": 0 if others is None else others.n_samples,
        "headline_attack": result.selection.headline if result.selection else "none",
        "soundness": result.soundness.verdict if result.soundness else "not checked",
        "grade": (result.grade.overall if result.grade else None) or "none given",
    }


def _run_name(result: "AuditResult") -> str:
    """Name a run by its start, so that a second one does not lie over the first."""
    return re.sub(r"[^0-9T]+", "-", result.provenance.started_at[:19])


def _started(name: str, folder: Path, run: str) -> Any:
    """Start a run of a tracker, which keeps its files in a folder unless the user has named a place."""
    for key, value in {**_SETTINGS[name], **_places(name, folder)}.items():
        os.environ.setdefault(key, value)
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS
    from accelerate.utils import clear_environment

    with clear_environment():  # as this process is alone, whatever variables of a launcher are left over
        PartialState()  # without which accelerate's own logger raises
    tracker = LOGGER_TYPE_TO_CLASS[name](*_first(name, run), **_options(name, folder, run))
    tracker.start()
    return tracker


def _places(name: str, folder: Path) -> dict[str, str]:
    """Say by a tracker's own environment where it keeps its files, and that it sends nothing unless logged in."""
    if name == "mlflow":
        return {"MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri()}
    if name == "wandb":
        own = {key: str(folder / "wandb") for key in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR")}
        return {"WANDB_DIR": str(folder)} | own | ({} if _is_logged_in() else {"WANDB_MODE": "offline"})
    return {"TRACKIO_DIR": str(folder / "trackio")} if name == "trackio" else {}


def _is_logged_in() -> bool:
    """Whether wandb has a key: from the environment, or where `wandb login` writes it."""
    import netrc

    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        host = re.sub(r"^https?://|[:/].*$", "", os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _first(name: str, run: str) -> tuple[str, ...]:
    return (f"{PROJECT}-{run}",) if name == "tensorboard" else (PROJECT,)


def _options(name: str, folder: Path, run: str) -> dict[str, Any]:
    if name == "tensorboard":
        return {"logging_dir": folder / "tensorboard"}
    if name == "mlflow":  # which else names the user and the script
        return {"run_name": run, "tags": {"mlflow.user": "auditor", "mlflow.source.name": "auditor audit"}}
    if name == "trackio":  # which else logs the state of the machine, in versions that can
        taken = inspect.signature(importlib.import_module(name).init).parameters
        return {"name": run} | {one: False for one in ("auto_log_cpu", "auto_log_gpu") if one in taken}
    return {"name": run}


_HOLDERS = ("mlflow", "wandb")
"""Trackers that hold files."""


def _attach_report(tracker: Any, result: "AuditResult", step: int) -> None:
    """Attach the report without its samples, where a tracker holds files."""
    if tracker.name not in _HOLDERS:
        return
    from reports import RENDERERS

    with TemporaryDirectory() as folder:
        file = Path(folder) / f"report-{step}.html"
        file.write_text(RENDERERS["html"](result), encoding="utf-8", newline="\n")
        if tracker.name == "mlflow":
            tracker.log_artifact(str(file))
            return
        import wandb

        artifact = wandb.Artifact(PROJECT, type="report")
        artifact.add_file(str(file))
        tracker.tracker.log_artifact(artifact)


def _place(name: str, folder: Path) -> str:
    """Say where a run is: in the folder, or where the user's own settings sent it."""
    if name == "mlflow" and not os.environ["MLFLOW_TRACKING_URI"].startswith("file:"):
        return "the server of MLFLOW_TRACKING_URI"
    if name == "wandb" and os.environ.get("WANDB_MODE") != "offline":
        return "the account that wandb is logged in to"
    where = {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "WANDB_DIR", "trackio": "TRACKIO_DIR"}.get(name)
    place = str(folder / "tensorboard") if where is None else os.environ[where].removeprefix("file://")
    return f"{place} (offline: `wandb sync` sends it)" if name == "wandb" else place


def _failed(name: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ConfigError(f"--track {name}: {reason}; the audit itself is written, and `auditor report` reads it")
