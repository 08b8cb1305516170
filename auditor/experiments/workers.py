"""Run independent trainings side by side, one thread each, longest first; what is finished is kept on disk.

Small models do not fill two cores with one training: two trainings do. A job is a frozen dataclass, its result
another one; a finished job is a line of the ledger, so that an interrupted experiment goes on where it was.
"""

import json
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..engine.loading.configs import first_line
from ..engine.row_file import RowFile
from ..errors import AuditError, ModelError

__all__ = ["Job", "Ledger", "RunProgress", "cores", "cpu_time", "run_jobs"]


class Job(Protocol):
    """What a worker is asked to do: a frozen dataclass of plain values."""

    @property
    def cost(self) -> float:
        """Work in any unit, the same for all jobs of an experiment: for the order and the time left."""


class Timed(Protocol):
    """A result that says what CPU time it took."""

    @property
    def cpu_seconds(self) -> float | None:
        """CPU time of the job, None if it is not known."""


J = TypeVar("J", bound=Job)
R = TypeVar("R")
RunProgress = Callable[[float, float], None]
"""Called with the cost done and the cost of all jobs."""

Task = Callable[[Any, Callable[[float], None]], Any]
"""A module-level function of a job and of a callback that takes the share of the job that is done."""

_DIED = "a training process died (out of memory?); finished runs are kept, run again"


class Ledger(Generic[R]):
    """Results of finished jobs, a JSON line each, by the job's own description.

    A line that cannot be read, as after a power cut, is not used; its job runs again.
    """

    def __init__(self, path: Path, kind: type[R]) -> None:
        self._file, self._adapter = RowFile(path, "the finished runs"), TypeAdapter(kind)
        self._results: dict[str, R] = {}
        for line in self._file.lines():
            try:
                entry = json.loads(line)
                self._results[entry["job"]] = self._adapter.validate_python(entry["result"])
            except (ValueError, KeyError, TypeError, ValidationError):
                continue

    def get(self, job: Any) -> R | None:
        """Return the result of a job that was finished before."""
        return self._results.get(_key(job))

    def add(self, job: Any, result: R) -> None:
        """Keep the result of a job."""
        self._results[_key(job)] = result
        line = json.dumps({"job": _key(job), "result": self._adapter.dump_python(result, mode="json")})
        self._file.append([f"{line}\n".encode()])


def cpu_time(runs: Sequence[Timed]) -> float | None:
    """Add up the CPU seconds of finished jobs; None if those of one are not known."""
    known = [run.cpu_seconds for run in runs if run.cpu_seconds is not None]
    return round(sum(known), 3) if len(known) == len(runs) else None


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    task: Callable[[J, Callable[[float], None]], R],
    jobs: Sequence[J],
    *,
    ledger: Ledger[R],
    workers: int,
    on_progress: RunProgress | None = None,
) -> list[R]:
    """Run jobs and return their results in the order of the jobs.

    Parameters
    ----------
    task : callable
        A module-level function; with one worker it runs in this process, with more in processes of their own. What
        it raises besides an `AuditError` becomes a `ModelError`.
    workers : int
        Jobs at the same time; each has one thread.
    on_progress : callable, optional

    Raises
    ------
    AuditError
        What a job raised; the results of finished jobs are kept.
    """
    todo = sorted((job for job in jobs if ledger.get(job) is None), key=lambda job: -job.cost)
    todo = list({_key(job): job for job in todo}.values())
    total, finished = sum(job.cost for job in jobs), [sum(job.cost for job in jobs if ledger.get(job) is not None)]

    def report(running: float) -> None:
        if on_progress is not None:
            on_progress(min(total, finished[0] + running), total)

    def keep(job: J, result: R, running: float) -> None:
        ledger.add(job, result)
        finished[0] += job.cost
        report(running)

    if workers < 2 or len(todo) < 2:
        from .training import one_thread

        with one_thread():
            for job in todo:
                keep(job, _attempt(task, job, _scaled(report, job.cost)), 0.0)
    else:
        _run_in_processes(task, todo, min(workers, len(todo)), keep=keep, report=report)
    results = [ledger.get(job) for job in jobs]
    return [result for result in results if result is not None]


def _scaled(report: Callable[[float], None], cost: float) -> Callable[[float], None]:
    return lambda share: report(share * cost)


def _attempt(task: Task, job: Any, on_share: Callable[[float], None]) -> Any:
    """Run a job; whatever goes wrong in it, as memory that runs out, is an error that can be told in a line."""
    try:
        return task(job, on_share)
    except AuditError:
        raise
    except Exception as error:
        raise ModelError(f"a training failed: {first_line(error)}") from error


def _run_in_processes(
    task: Task, todo: list[Any], n: int, *, keep: Callable[[Any, Any, float], None], report: Callable[[float], None]
) -> None:
    """Give each of ``n`` processes a job at a time, the longest first, until there are none."""
    context = multiprocessing.get_context("spawn")
    waiting = list(todo)
    running: dict[Any, tuple[Any, float]] = {}  # the job of each process, and the cost done of it
    processes = []
    try:
        for _ in range(n):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(task, theirs), daemon=True)
            with _deaf_to_ctrl_c():
                process.start()
            theirs.close()
            processes.append(process)
            running[ours] = (waiting.pop(0), 0.0)
            _send(ours, running[ours][0])
        while running:
            for ready in wait(list(running)):
                job, _ = running[ready]
                kind, value = _receive(ready)
                if kind == "share":
                    running[ready] = (job, value * job.cost)
                    report(sum(cost for _, cost in running.values()))
                    continue
                if kind == "error":
                    raise value
                del running[ready]
                keep(job, value, sum(cost for _, cost in running.values()))
                if waiting:
                    running[ready] = (waiting.pop(0), 0.0)
                    _send(ready, running[ready][0])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that start meanwhile hear no Ctrl-C of the terminal: it is for this one to end them, quietly."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(connection: Any, job: Any) -> None:
    try:
        connection.send(job)
    except OSError as error:
        raise ModelError(_DIED) from error


def _receive(connection: Any) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = connection.recv()
    except (EOFError, OSError) as error:
        raise ModelError(_DIED) from error
    return message


def _serve(task: Task, connection: "Connection[Any, Any]") -> None:
    """Work in a process of its own: job in, shares of progress and a result out, until the pipe closes."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # this process's own; it is not imported here yet
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    told = monotonic()

    def on_share(share: float) -> None:
        nonlocal told
        if monotonic() - told > 0.5:
            told = monotonic()
            connection.send(("share", share))

    while True:
        try:
            job = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            connection.send(("result", _attempt(task, job, on_share)))
        except AuditError as error:
            connection.send(("error", error))
        except KeyboardInterrupt:
            return


def _key(job: Any) -> str:
    return f"{type(job).__name__} {json.dumps(asdict(job), sort_keys=True, default=str)}"
