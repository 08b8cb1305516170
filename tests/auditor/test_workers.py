"""Trainings side by side: order, resumption, and what happens when one fails or dies."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from auditor.errors import ModelError
from auditor.experiments import workers
from auditor.experiments.workers import Ledger, cores, run_jobs


@dataclass(frozen=True)
class Sum:
    """A job: add up the numbers below ``n``; 13 is unlucky, 14 is deadly, 15 too large."""

    n: int

    @property
    def cost(self) -> float:
        return float(self.n)


@dataclass(frozen=True)
class Total:
    value: int
    process: int


def add(job: Sum, on_share: Callable[[float], None]) -> Total:
    on_share(0.5)
    if job.n == 13:
        raise ModelError("training diverged")
    if job.n == 14:
        os._exit(9)
    if job.n == 15:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")
    return Total(sum(range(job.n)), os.getpid())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger[Total]:
    return Ledger(tmp_path / "runs.jsonl", Total)


def test_results_come_in_the_order_of_the_jobs(ledger: Ledger[Total]) -> None:
    found = run_jobs(add, [Sum(3), Sum(5), Sum(4)], ledger=ledger, workers=1)
    assert [total.value for total in found] == [3, 10, 6]
    assert {total.process for total in found} == {os.getpid()}


def test_processes_give_the_same(ledger: Ledger[Total]) -> None:
    found = run_jobs(add, [Sum(3), Sum(5), Sum(4), Sum(6)], ledger=ledger, workers=2)
    assert [total.value for total in found] == [3, 10, 6, 15]
    assert os.getpid() not in {total.process for total in found}


def test_what_is_finished_is_not_run_again(tmp_path: Path, ledger: Ledger[Total]) -> None:
    run_jobs(add, [Sum(3), Sum(5)], ledger=ledger, workers=1)
    with open(tmp_path / "runs.jsonl", "a", encoding="utf-8") as file:
        file.write(
            '{"job": "Sum',
        )  # a power cut in the middle of a line
    called = []

    def counting(job: Sum, on_share: Callable[[float], None]) -> Total:
        called.append(job.n)
        return add(job, on_share)

    again = Ledger(tmp_path / "runs.jsonl", Total)
    found = run_jobs(counting, [Sum(3), Sum(4), Sum(5)], ledger=again, workers=1)
    assert [total.value for total in found] == [3, 6, 10]
    assert called == [4]


def test_a_line_after_a_torn_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"job": "Sum')
    run_jobs(add, [Sum(3)], ledger=Ledger(path, Total), workers=1)
    assert Ledger(path, Total).get(Sum(3)) is not None


def test_progress_rises_to_the_whole(ledger: Ledger[Total]) -> None:
    told: list[tuple[float, float]] = []
    run_jobs(add, [Sum(3), Sum(5)], ledger=ledger, workers=1, on_progress=lambda *both: told.append(both))
    assert told == [(2.5, 8.0), (5.0, 8.0), (6.5, 8.0), (8.0, 8.0)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_told_and_the_rest_is_kept(ledger: Ledger[Total], workers: int) -> None:
    with pytest.raises(ModelError, match="diverged"):
        run_jobs(add, [Sum(20), Sum(21), Sum(13)], ledger=ledger, workers=workers)
    assert workers == 2 or ledger.get(Sum(21)) is not None


def test_a_process_that_dies_is_told(ledger: Ledger[Total]) -> None:
    with pytest.raises(ModelError, match="died"):
        run_jobs(add, [Sum(14), Sum(3)], ledger=ledger, workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_libraries_raise_is_one_line(ledger: Ledger[Total], workers: int) -> None:
    with pytest.raises(ModelError, match=r"^a training failed: CUDA out of memory\. \(RuntimeError\)$"):
        run_jobs(add, [Sum(15), Sum(16)], ledger=ledger, workers=workers)


def test_one_worker_uses_one_thread_and_gives_them_back(ledger: Ledger[Total]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []

        def counting(job: Sum, on_share: Callable[[float], None]) -> Total:
            seen.append(torch.get_num_threads())
            return add(job, on_share)

        run_jobs(counting, [Sum(3)], ledger=ledger, workers=1)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_a_closed_pipe_is_a_process_that_died() -> None:
    ours, theirs = Pipe()
    theirs.close()
    with pytest.raises(ModelError, match="died"):
        workers._send(ours, Sum(3))
    with pytest.raises(ModelError, match="died"):
        workers._receive(ours)


@pytest.mark.slow
def test_progress_of_processes_never_falls(ledger: Ledger[Total]) -> None:
    told: list[tuple[float, float]] = []
    run_jobs(add, [Sum(3), Sum(5), Sum(4)], ledger=ledger, workers=2, on_progress=lambda *both: told.append(both))
    assert told == sorted(told)
    assert told[-1] == (12.0, 12.0)


def test_there_is_a_core() -> None:
    assert cores() >= 1
