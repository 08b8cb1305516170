"""The Ray engine: the numbers of the local one, whatever happens to its workers."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacks import Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import ray_cluster
from auditor.engine.private_folder import private_folder
from auditor.engine.ranks import Rank
from auditor.engine.request import ScoringRequest
from auditor.engine.scoring import ScoringProgress
from auditor.engine.signals import Collected, collect_signals
from auditor.errors import ConfigError, ModelError
from helpers import make_texts, save_gpt2

Collect = Callable[..., Collected]


@pytest.fixture
def collect(tiny_models: dict[str, Path], tmp_path: Path) -> Collect:
    """Return a function that scores texts with the tiny models, on two Ray workers unless told otherwise."""
    texts = make_texts(150, seed=5)

    def run(scores: str = "ray", *, target: Path | None = None, on_progress: Any = None, **options: Any) -> Collected:
        given = {"engine": "ray", "ray_workers": 2, "batch_tokens": 64, "device": "cpu"} | options
        config = AuditConfig(
            target=ModelSpec(path=str(target or tiny_models["target"])),
            references=(ModelSpec(path=str(tiny_models["reference"])),),
            members=DataSpec(path="unused"),
            **given,
        )
        return collect_signals(
            config,
            ScoringRequest(
                sample_ids=[f"s{i}" for i in range(len(texts))],
                texts=texts,
                needs=frozenset({Need.REFERENCE, Need.LOWERCASE, Need.SHOTS}),
                shots=make_texts(2, seed=6),
            ),
            scores_folder=tmp_path / scores,
            on_progress=on_progress,
        )

    return run


@pytest.fixture(scope="module")
def ray() -> Any:
    """Start a Ray that the tests share which do not start their own."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def same(ours: Collected, theirs: Collected) -> None:
    """Check that two runs know the same."""
    for one, other in zip(ours.plan.passes, theirs.plan.passes, strict=True):
        np.testing.assert_array_equal(one.keys, other.keys)
    ours_all, theirs_all = (
        (run.signals.target, *run.signals.references, *run.signals.views.values()) for run in (ours, theirs)
    )
    for one, other in zip(ours_all, theirs_all, strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=1e-5)
        np.testing.assert_allclose(one.logprob_variance, other.logprob_variance, atol=1e-4)
        np.testing.assert_array_equal(one.n_tokens, other.n_tokens)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_starts_and_ends_a_ray_of_its_own_and_scores_the_same(collect: Collect, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    seen: list[ScoringProgress] = []
    ours, local = collect(on_progress=seen.append), collect("local", engine="local", ray_workers=None)
    import ray

    assert not ray.is_initialized()
    same(ours, local)
    assert ours.n_tokens_scored == local.n_tokens_scored
    assert seen[-1].done_tokens == seen[-1].total_tokens == ours.n_tokens_scored
    assert "Ray, 2 workers" in ours.models[0].scoring_path
    assert not list((tmp_path / "ray").glob("texts-*"))
    again = collect()
    assert (again.n_tokens_scored, again.models[0].scoring_path) == (0, "not run: all scores were stored")
    assert collect(engine="local", ray_workers=None).n_tokens_scored == 0  # one store for both


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_costs_nothing(collect: Collect, ray: Any) -> None:
    killer = Killer()
    ours = collect(on_progress=killer)
    assert killer.killed
    same(ours, collect("local", engine="local", ray_workers=None))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_that_keep_dying_end_it_and_what_was_scored_is_kept(
    collect: Collect, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ray_cluster, "_RETRIES", 0)
        with pytest.raises(ModelError, match="the Ray cluster gave up"):
            collect(on_progress=Killer())
    whole = collect("local", engine="local", ray_workers=None)
    resumed = collect(engine="local", ray_workers=None)
    assert 0 < resumed.n_tokens_scored < whole.n_tokens_scored
    same(resumed, whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_with_another_model_is_refused(collect: Collect, ray: Any, tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path / "model", seed=0)

    def swap(progress: ScoringProgress) -> None:
        if not progress.done_tokens:
            save_gpt2(folder, seed=1)

    with pytest.raises(ModelError, match=r"on the Ray worker .*not the driver's model \(other weights\)"):
        collect(target=folder, on_progress=swap)
    with pytest.raises(ModelError, match=r"on the Ray worker .*missing weight files"):
        collect(target=folder, on_progress=lambda _: (folder / "model.safetensors").unlink(missing_ok=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_more_workers_than_places(collect: Collect, ray: Any) -> None:
    with pytest.raises(ConfigError, match="2 CPUs and each worker needs one, but there are to be 3"):
        collect(ray_workers=3)


class Killer:
    """Kills a worker once, as soon as there are first scores."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def __call__(self, progress: ScoringProgress) -> None:
        if progress.done_tokens and not self.killed:
            self.killed = workers()[:1]
            for pid in self.killed:
                os.kill(pid, signal.SIGKILL)


def workers() -> list[int]:
    """Process ids of the scoring workers that descend from this process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"_ScoringWorker" in (folder / "cmdline").read_bytes() and descends(int(folder.name)):
                found.append(int(folder.name))
        except (OSError, IndexError):
            continue
    return found


def descends(pid: int) -> bool:
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()


def test_without_ray_it_says_what_to_install(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"needs the package ray: pip install 'ray\[data\]'"):
        collect()
    assert time.monotonic() - started < 10


def test_a_remote_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match="run on a node of the cluster"):
        ray_cluster._address()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark", "ray_workers": None}, "engine must be one of local, ray, got 'spark'"),
        ({"ray_workers": 0}, "ray-workers must be at least 1"),
        ({"engine": "local"}, "ray-workers is for engine ray"),
        ({"device": "cuda:1"}, "gives each worker one GPU"),
        ({"device": "auto", "device_map": "auto"}, "gives each worker one GPU"),
    ],
)
def test_what_does_not_go_together_is_refused(collect: Collect, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        collect(**options)


def test_not_under_torchrun(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    config = AuditConfig(
        target=ModelSpec(path=str(tiny_models["target"])), members=DataSpec(path="unused"), engine="ray"
    )
    with pytest.raises(ConfigError, match="without torchrun"):
        collect_signals(
            config, ScoringRequest(sample_ids=["a"], texts=["Ada"]), scores_folder=tmp_path, rank=Rank(world=2)
        )


def test_workers_are_one_a_gpu_or_one_a_node() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 4.0}},
        {"Alive": True, "Resources": {"CPU": 16.0}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 4.0}},
    ]
    assert ray_cluster._count_workers(nodes, "cuda", None) == 4
    assert ray_cluster._count_workers(nodes, "cuda", 3) == 3
    assert ray_cluster._count_workers(nodes, "cpu", None) == 2
    with pytest.raises(ConfigError, match="4 GPUs and each worker needs one"):
        ray_cluster._count_workers(nodes, "cuda", 5)
    with pytest.raises(ConfigError, match="0 GPUs"):
        ray_cluster._count_workers(nodes[1:], "cuda", None)


def test_texts_of_a_killed_driver_are_removed_and_those_of_a_live_one_are_not(tmp_path: Path) -> None:
    dead = tmp_path / "texts-dead"
    dead.mkdir()
    for name in ("lock", "0.arrow"):
        (dead / name).touch()
    with private_folder(tmp_path) as live:
        assert live.stat().st_mode & 0o777 == 0o700
        assert not dead.exists()
        with private_folder(tmp_path) as other:
            assert live.exists()
            assert other != live
    assert not list(tmp_path.iterdir())
