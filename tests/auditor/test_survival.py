"""Audits that are killed, starved of disk, doubled and lied to end as if nothing had happened, or say why not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.engine.forward import STATISTICS, SequenceScores
from auditor.engine.store import PassKey, ScoreStore

COLUMNS = STATISTICS
Stored = dict[tuple[str, bytes], SequenceScores]


class Survivor:
    """Starts audits in fresh forks of one process, and ends them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("survivor.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def _ask(self, **question: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, **run: Any) -> int:
        """Start an audit; return its process id."""
        return self._ask(**run)

    def wait(self, pid: int) -> int:
        """Return the exit code of an audit, negative if a signal ended it."""
        return self._ask(wait=pid)

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def survivor() -> Iterator[Survivor]:
    started = Survivor()
    yield started
    started.close()


class Audits:
    """Audits of the same data into folders beside each other."""

    def __init__(self, survivor: Survivor, root: Path, models: dict[str, Path], data: dict[str, Path]) -> None:
        self._survivor, self.root, self.models, self.data = survivor, root, models, data

    def start(self, out: str, *arguments: str, attacks: str = "reference lowercase", **run: Any) -> int:
        """Start an audit in small batches."""
        given = ["audit", "--members", self.data["members"], "--non-members", self.data["non_members"]]
        given += ["--target", self.models["target"], "--reference", self.models["reference"], "--batch-tokens", "60"]
        given += [arg for name in attacks.split() for arg in ("--attack", name)]
        given += ["--out", self.root / out, *arguments]
        return self._survivor.start(arguments=[str(part) for part in given], output=str(self.output(out)), **run)

    def run(self, out: str, *arguments: str, code: int = 0, **run: Any) -> None:
        """Audit to the end."""
        self.wait(out, self.start(out, *arguments, **run), code=code)

    def wait(self, out: str, pid: int, code: int = 0) -> None:
        """Wait for the end of an audit."""
        assert self._survivor.wait(pid) == code, self.output(out).read_text()

    def kill(self, pid: int) -> bool:
        """Kill an audit; False if it had ended by itself."""
        os.kill(pid, signal.SIGKILL)
        return self._survivor.wait(pid) == -signal.SIGKILL

    def output(self, out: str) -> Path:
        """What an audit printed."""
        return self.root / f"{out}.txt"

    def log(self, out: str) -> list[list[dict[str, Any]]]:
        """What each run did, from the log."""
        lines = (self.root / f"{out}.log").read_text().splitlines()
        runs: list[list[dict[str, Any]]] = []
        for event in map(json.loads, lines):
            if event["event"] == "start":
                runs.append([])
            runs[-1].append(event)
        return runs

    def stored(self, out: str) -> Stored:
        """Every stored row by pass and key."""
        return {
            (key.folder_name, name): row
            for key in keys_of(self.root / out / "scores")
            for name, row in ScoreStore(self.root / out / "scores", key).rows()
        }

    def n_rows(self, out: str) -> int:
        """Stored rows, those that came twice too."""
        scores = self.root / out / "scores"
        return sum(len(ScoreStore(scores, key).keys()) for key in keys_of(scores))

    def result(self, out: str) -> dict[str, Any]:
        """The document without what tells runs apart."""
        document: dict[str, Any] = json.loads((self.root / out / "result.json").read_text())
        for name in ("started_at", "seconds", "scoring_seconds", "n_tokens_scored", "n_tokens_reused"):
            del document["provenance"][name]
        for model in document["provenance"]["models"]:
            del model["scoring_path"]  # of this run; that of a finished model is not known to the next
        return document


def keys_of(scores: Path) -> list[PassKey]:
    found = []
    for path in sorted(scores.glob("*/pass.json")):
        fields = json.loads(path.read_text())
        found.append(PassKey(**{**fields, "prefix_token_ids": tuple(fields["prefix_token_ids"])}))
    return found


def assert_same(one: Stored, other: Stored) -> None:
    assert one.keys() == other.keys()
    for place, row in one.items():
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(row, name), getattr(other[place], name))


@pytest.fixture
def audits(survivor: Survivor, tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path]) -> Audits:
    return Audits(survivor, tmp_path, tiny_models, tiny_data)


def await_lines(path: Path, n: int, pid: int) -> None:
    """Wait for the n-th line of a run's log."""
    for _ in range(6000):
        if path.exists() and path.read_bytes().count(b"\n") >= n:
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} is stuck")


def check_kills(audits: Audits, n_kills: int, seed: int) -> None:
    """Kill an audit at random moments until it is left to finish."""
    audits.run("whole", log=str(audits.root / "whole.log"))
    (unbroken,) = audits.log("whole")
    rng = np.random.default_rng(seed)
    log, n_killed = audits.root / "broken.log", Counter[str]()
    for _ in range(n_kills):
        before = log.read_bytes().count(b"\n") if log.exists() else 0
        pause_at = int(rng.integers(1, 1.4 * len(unbroken) / n_kills))
        pid = audits.start("broken", log=str(log), pause_at=pause_at)
        await_lines(log, before + pause_at, pid)
        assert audits.kill(pid)
        n_killed[audits.log("broken")[-1][-1]["event"]] += 1
    audits.run("broken", log=str(log))
    runs = audits.log("broken")
    assert len(runs) == n_kills + 1
    assert sum(event["event"] == "score" for event in runs[-1]) > 0, "all was done before the last kill"

    assert_same(audits.stored("broken"), audits.stored("whole"))
    assert audits.n_rows("broken") == len(audits.stored("broken"))
    assert audits.result("broken") == audits.result("whole")
    scored = [[event["texts"] for event in run if event["event"] == "score"] for run in runs]
    finished: set[str] = set()
    for batches in scored:
        texts = [text for batch in batches for text in batch]
        assert len(set(texts)) == len(texts)
        assert finished.isdisjoint(texts), "a text of a finished batch was scored again"
        finished.update(text for batch in batches[:-1] for text in batch)
    assert {text for batch in scored for texts in batch for text in texts} == {
        text for event in unbroken if event["event"] == "score" for text in event["texts"]
    }
    print(n_killed, [len(run) for run in runs], len(unbroken))


@pytest.mark.slow
def test_an_audit_killed_three_times_ends_as_if_unbroken(audits: Audits) -> None:
    check_kills(audits, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_an_audit_killed_twenty_times_ends_as_if_unbroken(audits: Audits, seed: int) -> None:
    check_kills(audits, 20, seed)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [12_000, 1000, 30_000])
def test_a_full_disk_ends_an_audit_and_loses_nothing(audits: Audits, kept: int) -> None:
    """No file may become longer than this: first that of the texts is, then that of scores, then that of the pass."""
    audits.run("whole")
    audits.run("full", code=2, file_limit=kept)
    said = audits.output("full").read_text()
    (line,) = [one for one in said.splitlines() if one.startswith("Error: ")]
    assert "File too large" in line, said
    assert "Traceback" not in said
    before = audits.stored("full") if (audits.root / "full" / "scores").exists() else {}
    assert len(before) < len(audits.stored("whole"))
    assert (len(before) > 0) == (kept > 1000)
    audits.run("full")
    assert_same(audits.stored("full"), audits.stored("whole"))
    assert audits.result("full") == audits.result("whole")
    for place, row in before.items():
        np.testing.assert_array_equal(row.logprob, audits.stored("full")[place].logprob)


@pytest.mark.slow
def test_two_audits_at_once_in_one_folder(audits: Audits, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither knows of the other; what both scored is stored twice and read once."""
    audits.run("whole", log=str(audits.root / "whole.log"))
    (unbroken,) = audits.log("whole")
    whole = audits.stored("whole")
    for part in (0, 0.25, 0.6):  # of the work of the first
        out = f"both{part}"
        log = audits.root / f"{out}.log"
        one = audits.start(out, log=str(log), delay=0.05)
        await_lines(log, 1 + int(part * len(unbroken)), one)
        other = audits.start(out, log=str(log) + "2", delay=0.05)
        audits.wait(out, one)
        audits.wait(out, other)
        assert_same(audits.stored(out), whole)
        assert audits.result(out) == audits.result("whole")
        with capsys.disabled():
            print(
                f"\nsecond audit after {part:.0%} of the first: {audits.n_rows(out) / len(whole) - 1:.0%} scored twice"
            )


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["weights", "tokenizer", "prefix", "dtype", "text"])
def test_nothing_stale_is_used(audits: Audits, tmp_path: Path, changed: str) -> None:
    """What is changed in place between two runs is scored anew, to the same numbers as in a fresh folder."""
    folder, arguments = tmp_path / "model", []
    shutil.copytree(audits.models["target"], folder)
    members = tmp_path / "members.jsonl"
    shutil.copy(audits.data["members"], members)
    audits.models, audits.data = audits.models | {"target": folder}, audits.data | {"members": members}
    audits.run("changed")
    first = audits.stored("changed")
    if changed == "weights":
        edit_one_weight(folder)
    elif changed == "tokenizer":
        swap_two_tokens(folder)
    elif changed == "prefix":
        arguments = ["--prefix-token", "none"]
    elif changed == "dtype":
        arguments = ["--dtype", "bfloat16"]
    else:
        members.write_text(members.read_text().replace("ada 3.", "ada 4."))
    audits.run("changed", *arguments)
    audits.run("fresh", *arguments)
    fresh = audits.stored("fresh")
    assert fresh.keys() - first.keys()
    both = audits.stored("changed")
    assert_same({place: both[place] for place in fresh}, fresh)
    assert audits.result("changed") == audits.result("fresh")
    n_new = len(both.keys() - first.keys())
    n_rows = {"weights": 120, "tokenizer": 120, "prefix": 180, "dtype": 180, "text": 3}[changed]
    assert n_new == n_rows, "a pass scored too much or too little"


def edit_one_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.h.0.mlp.c_fc.weight"][0, 0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def swap_two_tokens(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    one, other = "a", "e"
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (folder / "tokenizer.json").write_text(json.dumps(document))
