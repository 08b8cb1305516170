"""One audit on a Ray cluster: missing texts as a dataset, scored by workers that each hold the model.

The driver plans as ever, writes the texts that have no stored row to a private folder, a file a block, and streams
them through ``ray.data`` to workers. A worker loads the model once, refuses one that is not the driver's, and scores
its blocks as a process on its own would. What comes back is stored as it arrives: a driver that is killed continues
from its store, and the block of a worker that is killed is scored by another.
"""

import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..config import AuditConfig, ModelSpec
from ..errors import AuditError, ConfigError, ModelError
from .batches import Budget, make_batches
from .forward import COUNTS, STATISTICS, SequenceScores
from .loading.configs import first_line
from .loading.models import choose_device, load_weights
from .models import OpenedModel, Shots, open_one
from .plan import Plan, Stored, measure_texts
from .private_folder import private_folder
from .scoring import Ends, Progress, ScoringProgress, Todo, by_model, choose_budget, ends, load_scorer, score_batches
from .store import PassKey, ScoreStore

__all__ = ["cluster_device", "score_on_ray"]

_BATCHES_A_BLOCK = 8
"""Lost when a worker dies, and scored again."""

_BLOCKS_A_WORKER = 4
"""At least, so that none is idle while another has much to do."""

_RETRIES = 5
"""Deaths of a worker over one block, before the block itself is to blame."""

_NOTHING = SequenceScores(*(np.zeros(0, dtype="i4" if name in COUNTS else "f4") for name in STATISTICS))
_TEXTS = pa.schema([("view", pa.string()), ("key", pa.string()), ("text", pa.string())])


def cluster_device(config: AuditConfig) -> str:
    """Choose where workers run a model: ``auto`` is a GPU if the cluster has any, whatever the driver's node has.

    Raises
    ------
    ConfigError
        If ``ray`` is not installed, or the driver is not on a node of the cluster.
    """
    ray = _require_ray()
    if config.device != "auto":
        return config.device
    if not (_address() or ray.is_initialized()):
        return choose_device("auto")
    with _connected():
        return "cuda" if ray.cluster_resources().get("GPU") else "cpu"


def score_on_ray(
    plan: Plan,
    models: Sequence[OpenedModel],
    config: AuditConfig,
    *,
    stored: Stored,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> tuple[list[OpenedModel], list[str]]:
    """Score every text that has no stored row on the workers of a Ray cluster, one model after the other.

    ``RAY_ADDRESS`` names the cluster; without it, one is started on this machine for the time of scoring.

    Returns
    -------
    models : list of OpenedModel
        The same, with the way in which each made its logits.
    notes : list of str
        What had to be given up, and weights that were not used.

    Raises
    ------
    ModelError
        If a worker's model is not the driver's, cannot be loaded, or workers keep dying.
    ConfigError
        If the cluster has no room for the workers.
    """
    todo = [Todo(one=one, places=one.missing(stored)) for one in plan.passes]
    progress = Progress(sum(part.n_tokens for part in todo), on_progress)
    scored, notes = list(models), list[str]()
    if not any(len(part.places) for part in todo):
        return scored, notes
    with _connected() as ray:
        for model, ours in by_model(models, todo):
            n_workers = _count_workers(ray.nodes(), model.device, config.ray_workers)
            told = _Told()
            run = _Run(ray=ray, plan=plan, config=config, n_workers=n_workers, progress=progress, told=told)
            run.score(model, ours, scores_folder)
            scored[models.index(model)] = replace(model, scoring_path=told.path(n_workers))
            notes += told.notes()
    return scored, notes


class _Told:
    """What each worker said last of how it scores."""

    def __init__(self) -> None:
        self._by_worker: dict[str, dict[str, Any]] = {}

    def add(self, block: Any) -> None:
        """Hear what came with a block.

        Raises
        ------
        ModelError
            If it is an error.
        """
        for said in map(json.loads, block.column("told").unique().to_pylist()):
            if "error" in said:
                raise ModelError(said["error"])
            self._by_worker[said["worker"]] = said

    def path(self, n_workers: int) -> str:
        """Return how logits were made, on whichever workers."""
        paths = dict.fromkeys(said["path"] for said in self._by_worker.values())
        return f"{' / '.join(paths)}; Ray, {n_workers} worker{'s' * (n_workers > 1)}"

    def notes(self) -> list[str]:
        """Return what had to be given up."""
        return list(dict.fromkeys(note for said in self._by_worker.values() for note in said["notes"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What it takes to score one model on a cluster."""

    ray: Any
    plan: Plan
    config: AuditConfig
    n_workers: int
    progress: Progress
    told: _Told

    def score(self, model: OpenedModel, todo: Sequence[Todo], scores_folder: Path) -> None:
        """Score what the passes of one model miss, and store each block as it comes."""
        called = model.called
        self.progress.add(0, f"loading the {called} on {self.n_workers} Ray workers")
        label = f"scoring the {called} on {self.n_workers} Ray workers"
        with ScoreStore(scores_folder, model.key) as store, private_folder(scores_folder) as folder:
            n_blocks = self._write_texts(folder, model, todo)
            for block in self._stream(folder, n_blocks, self._job(model, todo)):
                self.told.add(block)
                scores = _unpack(block)
                store.append(scores)
                self.progress.add(sum(len(one.logprob) for one in scores.values()), label)

    def _job(self, model: OpenedModel, todo: Sequence[Todo]) -> "_Job":
        n_cpus = self.ray.cluster_resources().get("CPU", 1)
        return _Job(
            config=self.config,
            spec=model.files.spec,
            role=model.role,
            device=model.device,
            window=model.encoder.window,
            form="text" if model.encoder.chat is None else model.encoder.chat.form,
            template=None if model.encoder.chat is None else model.encoder.chat.template,
            with_marks=model.encoder.chat is None or model.encoder.chat.with_marks,
            shots=model.shots,
            key=model.key,
            tried=ends(self.plan, model),
            n_tokens=sum(part.n_tokens for part in todo) // self.n_workers,
            n_threads=max(1, int(n_cpus) // self.n_workers),
        )

    def _write_texts(self, folder: Path, model: OpenedModel, todo: Sequence[Todo]) -> int:
        """Write the texts to be scored, longest first, a file a block; return how many."""
        n_tokens = sum(int((part.one.longest * part.one.n_sequences)[part.places].sum()) for part in todo)
        share = n_tokens // (self.n_workers * _BLOCKS_A_WORKER)
        size = max(1, min(choose_budget(self.config, model.device).tokens * _BATCHES_A_BLOCK, share))
        n = 0
        for part in todo:
            longest, n_sequences = part.one.longest[part.places], part.one.n_sequences[part.places]
            for block in make_batches(longest, n_sequences, Budget(size), packed=True):
                _write_block(_block_file(folder, n), part, part.places[block], self.plan)
                n += 1
        return n

    def _stream(self, folder: Path, n_blocks: int, job: "_Job") -> Iterator[Any]:
        """Yield scored blocks in the order in which they are done."""
        from ray.exceptions import RayError, RayTaskError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of arguments for Ray's own, which 2.64 will not take
            scored = self._dataset(folder, n_blocks, job)
        try:
            yield from scored.iter_batches(batch_size=None, batch_format="pyarrow")
        except RayTaskError:
            raise  # a defect, with its traceback
        except RayError as error:
            raise ModelError(
                f"{job.spec}: the Ray cluster gave up: {first_line(error)}; run again to go on from there"
            ) from error

    def _dataset(self, folder: Path, n_blocks: int, job: "_Job") -> Any:
        """Describe what is to be done: one reader on this node, which needs no CPU of its own, and the workers."""
        from ray.data import ActorPoolStrategy, TaskPoolStrategy
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        blocks = self.ray.data.from_items(list(range(n_blocks)), override_num_blocks=n_blocks)
        texts = blocks.map_batches(
            partial(_read_block, folder),
            batch_size=None,
            compute=TaskPoolStrategy(size=1),
            num_cpus=0,
            scheduling_strategy=here,
        )
        return texts.map_batches(
            _ScoringWorker,
            fn_constructor_args=(job,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=self.n_workers, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=1 if job.device == "cuda" else 0,
            scheduling_strategy="SPREAD",
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What a worker is told: nothing that has to be unpickled with a model's own code."""

    config: AuditConfig
    spec: ModelSpec
    role: str
    device: str
    window: int | None
    form: str
    template: str | None
    with_marks: bool
    shots: Mapping[str, Shots]
    key: PassKey
    tried: Ends
    n_tokens: int
    n_threads: int


class _ScoringWorker:
    """Holds one model, and scores blocks of texts with it."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._loaded: _Loaded | None = None

    def __call__(self, block: Any) -> Iterator[Any]:
        """Yield the scores of each forward batch; an error a user can cause is told, not raised."""
        try:
            yield from self._score(block)
        except AuditError as error:
            yield _pack({"": _NOTHING}, {"error": f"on the Ray worker {self._name}: {error}"})

    def _score(self, block: Any) -> Iterator[Any]:
        import torch

        texts = block.column("text").to_pylist()
        if self._loaded is None:
            torch.set_num_threads(self._job.n_threads)
            self._loaded = _Loaded(self._job)
        scorer, model, budget = self._loaded.scorer, self._loaded.model, self._loaded.budget
        one = measure_texts(model, block.column("view")[0].as_py(), texts)
        keys = one.keys_at(np.arange(len(texts)))
        if keys != block.column("key").to_pylist():
            raise ModelError(f"{self._job.spec}: reads the texts as other tokens than on the driver")
        for batch, scores in score_batches(Todo(one=one, places=np.arange(len(texts))), scorer, budget):
            notes = [note for note in (self._loaded.unused, budget.note(str(model.files.spec))) if note]
            told = {"worker": self._name, "path": scorer.path, "notes": notes}
            yield _pack(dict(zip(one.keys_at(batch), scores, strict=True)), told)


class _Loaded:
    """The driver's model in a worker's memory, ready to score."""

    def __init__(self, job: _Job) -> None:
        self.model = model = _open_same(job)
        weights, self.unused = load_weights(
            model.files, dtype=job.key.dtype, device=model.device, trust_remote_code=job.config.trust_remote_code
        )
        self.budget = choose_budget(job.config, model.device)
        self.scorer = load_scorer(weights, model, job.tried, self.budget, n_tokens=job.n_tokens)


def _open_same(job: _Job) -> OpenedModel:
    """Open the model on a worker, and refuse one that is not the driver's: it would score silently, and wrongly."""
    config = replace(job.config, chat_template=None)  # its file need not be on this node; the driver read it
    model = open_one(job.spec, job.role, config, choose_device(job.device), form=job.form)
    ours, theirs = asdict(model.key), asdict(job.key)
    if differing := [name.removesuffix("_sha256") for name in ours if ours[name] != theirs[name]]:
        raise ModelError(
            f"{job.spec}: not the driver's model (other {', '.join(differing)}); give a folder that all nodes share, "
            "or a hub id with its revision, ID@REVISION"
        )
    chat = model.encoder.chat
    if chat is not None:
        chat = replace(chat, template=job.template, with_marks=job.with_marks)
    return replace(model, encoder=replace(model.encoder, window=job.window, chat=chat), shots=job.shots)


def _pack(scores: Mapping[str, SequenceScores], told: Mapping[str, Any]) -> Any:
    """Make a block of some scores, by their keys, and of what the worker tells."""
    columns: dict[str, Any] = {"key": list(scores), "told": [json.dumps(told)] * len(scores)}
    for name in STATISTICS:
        columns[name] = [getattr(one, name) for one in scores.values()]
    return pa.table(columns)


def _unpack(block: Any) -> dict[str, SequenceScores]:
    """Read the scores of a block, by their keys."""
    columns = [[row.values.to_numpy() for row in block.column(name)] for name in STATISTICS]
    scores = (SequenceScores(*values) for values in zip(*columns, strict=True))
    return dict(zip(block.column("key").to_pylist(), scores, strict=True))


def _write_block(path: Path, part: Todo, places: NDArray[np.int64], plan: Plan) -> None:
    columns = {
        "view": [part.one.view.name] * len(places),
        "key": part.one.keys_at(places),
        "text": part.one.show([plan.texts[int(place)] for place in places]),
    }
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _TEXTS) as writer:
        writer.write_batch(pa.record_batch(columns, schema=_TEXTS))


def _read_block(folder: Path, numbers: Mapping[str, Any]) -> Any:
    """Read the texts of a block, on the driver's node."""
    (number,) = numbers["item"]
    with pa.OSFile(str(_block_file(folder, int(number)))) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def _block_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.arrow"


def _require_ray() -> Any:
    """Import Ray, or say what is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("engine ray needs the package ray: pip install 'ray[data]'") from error
    return ray


@contextmanager
def _connected() -> Iterator[Any]:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start one; at the end, leave what was entered."""
    ray = _require_ray()
    _silence(ray)
    if ray.is_initialized():
        yield ray
        return
    address = _address()
    options = {"address": address} if address else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"Ray does not start, or RAY_ADDRESS={address!r} is no cluster: {first_line(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _address() -> str:
    """Read where a running cluster is; empty if none is named."""
    address = os.environ.get("RAY_ADDRESS", "")
    if "://" in address:
        raise ConfigError(f"RAY_ADDRESS={address!r}: run on a node of the cluster, with its address as host:port")
    return address


def _silence(ray: Any) -> None:
    """Let the audit's own progress be the only one."""
    import logging

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a cluster may have other things to do first
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _count_workers(nodes: Sequence[Mapping[str, Any]], device: str, wanted: int | None) -> int:
    """Count the workers: one a GPU, or one a node where there is none, unless a number is asked for."""
    kind = "GPU" if device == "cuda" else "CPU"
    places = [int(node["Resources"].get(kind, 0)) for node in nodes if node["Alive"]]
    room = sum(places)
    n = wanted or (room if kind == "GPU" else sum(place > 0 for place in places))
    if not 1 <= n <= room:
        raise ConfigError(
            f"the Ray cluster has {room} {kind}s and each worker needs one, but there are to be {max(n, 1)} workers "
            "(--ray-workers); start more nodes, or ask for fewer"
        )
    return n
