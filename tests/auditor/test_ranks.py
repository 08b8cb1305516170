"""Several processes: who does what, and nobody waits for the dead."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auditor.engine import ranks
from auditor.engine.ranks import ALONE, Rank
from auditor.errors import ConfigError, ResultError

MASTER = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (0, 1, 0)),  # left over in a shell
        ({"RANK": "1", **MASTER}, (0, 1, 0)),
        ({"WORLD_SIZE": "2", **MASTER}, (0, 1, 0)),
        ({"RANK": "0", "WORLD_SIZE": "1", **MASTER}, (0, 1, 0)),
        ({"RANK": "0", "WORLD_SIZE": "2", **MASTER}, (0, 2, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", **MASTER}, (5, 8, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "", **MASTER}, (1, 2, 0)),
    ],
)
def test_places_from_the_environment(environment: dict[str, str], place: tuple[int, int, int]) -> None:
    found = Rank.from_environment(environment)
    assert (found.rank, found.world, found.local_rank) == place
    assert found.is_first == (place[0] == 0)


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "0"},
        {"RANK": "", "WORLD_SIZE": ""},
        {"RANK": "one", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2.0"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "-1"},
    ],
)
def test_no_place_among_processes(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="no place among processes"):
        Rank.from_environment({**environment, **MASTER})


def test_shares_are_everything_once() -> None:
    texts = list(range(17))
    shares = [texts[Rank(rank=rank, world=3).share] for rank in range(3)]
    assert sorted(text for share in shares for text in share) == texts
    assert texts[ALONE.share] == texts


def test_one_run_is_told_from_another() -> None:
    def run(**variables: str) -> str:
        return Rank.from_environment({"RANK": "0", "WORLD_SIZE": "2", **MASTER, **variables}).run

    assert run() == run(RANK="1")
    assert len({run(), run(MASTER_PORT="29501"), run(MASTER_ADDR="other"), run(TORCHELASTIC_RUN_ID="x")}) == 4


FIRST = Rank(rank=0, world=2, run="r")

PEER = """
import sys, time
from pathlib import Path
from auditor.engine.ranks import Rank
with Rank(rank=1, world=2, run="r").at_work(Path(sys.argv[1])):
    print("at work", flush=True)
    command = sys.stdin.readline().strip()
    if command == "fail":
        raise SystemExit(2)
"""


@pytest.fixture
def peer(tmp_path: Path) -> Any:
    """Return a process at work."""
    with subprocess.Popen(
        [sys.executable, "-c", PEER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def end(process: Any, how: str) -> None:
    if how == "killed":
        process.send_signal(signal.SIGKILL)
    else:
        process.stdin.write(how + "\n")
        process.stdin.flush()


@pytest.mark.parametrize(("how", "left"), [("finish", ()), ("fail", (1,)), ("killed", (1,))])
def test_the_first_waits_for_the_end_of_the_other(tmp_path: Path, peer: Any, how: str, left: tuple[int, ...]) -> None:
    from threading import Timer

    with FIRST.at_work(tmp_path) as others:
        Timer(0.5, end, (peer, how)).start()
        started = time.monotonic()
        assert others.wait() == left
        assert 0.3 < time.monotonic() - started < 10
    assert not list((tmp_path / "processes").iterdir())


def test_one_that_ended_before_the_first_started(tmp_path: Path) -> None:
    with Rank(rank=1, world=2, run="r").at_work(tmp_path):
        pass
    with FIRST.at_work(tmp_path) as others:
        assert others.wait() == ()


def test_one_that_never_came_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_LATE_SECONDS", 0.5)
    with FIRST.at_work(tmp_path) as others:
        assert others.wait() == (1,)


def test_what_an_earlier_run_left_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_LATE_SECONDS", 0.5)
    with pytest.raises(KeyboardInterrupt), Rank(rank=1, world=2, run="r").at_work(tmp_path):
        raise KeyboardInterrupt
    (said,) = (tmp_path / "processes").iterdir()
    assert said.read_text() == "at work"
    with FIRST.at_work(tmp_path):
        assert not said.exists()
    said.write_text("done")
    os.utime(said, (0, 0))
    with FIRST.at_work(tmp_path) as others:
        assert not said.exists()
        assert others.wait() == (1,)


def test_one_at_work_is_not_forgotten(tmp_path: Path, peer: Any) -> None:
    with FIRST.at_work(tmp_path) as others:
        end(peer, "finish")
        assert others.wait() == ()


def test_alone_there_is_nothing_to_lock(tmp_path: Path) -> None:
    with ALONE.at_work(tmp_path) as others:
        assert others.wait() == ()
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ResultError, match="No locks available"), Rank(rank=1, world=2, run="r").at_work(tmp_path):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "processes").write_text("in the way")
    with pytest.raises(ResultError, match="cannot write and lock"), FIRST.at_work(tmp_path):
        pass


class Commands:
    """The same audit, started in different ways."""

    def __init__(self, root: Path, models: dict[str, Path], data: dict[str, Path]) -> None:
        self.root = root
        self._audit = ["audit", "--members", str(data["members"]), "--non-members", str(data["non_members"])]
        self._audit += ["--target", str(models["target"]), "--reference", str(models["reference"])]
        self._audit += ["--attack", "reference", "--attack", "loss", "--batch-tokens", "60"]

    def start(self, out: str, *launcher: str, slow: str = "", **environment: str) -> "subprocess.Popen[str]":
        """Start it; a rank named slow takes a while for every batch."""
        return subprocess.Popen(
            [*launcher, str(self._script(slow)), *self._audit, "--out", str(self.root / out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")},
                **{"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
                **environment,
            },
        )

    def run(self, out: str, *launcher: str, **environment: str) -> str:
        """Run it to its end; return what it printed."""
        return finished(self.start(out, *launcher, **environment))

    def _script(self, slow: str) -> Path:
        """Write what the console script is, and what notes the process and dawdles."""
        path = self.root / f"start{slow}.py"
        path.write_text(
            "import os, sys, time\nfrom pathlib import Path\nfrom auditor.engine.forward import Scorer\n"
            "from auditor.cli import main\nscore = Scorer.score\nrank = os.environ.get('RANK', '0')\n"
            f"if rank == {slow!r}:\n"
            f"    with open({str(self.root / 'pids')!r}, 'a') as file:\n"
            "        print(os.getpid(), file=file)\n"
            "    def slowly(scorer, batch):\n        time.sleep(0.3)\n        return score(scorer, batch)\n"
            "    Scorer.score = slowly\n"
            "sys.exit(main())\n"
        )
        return path

    def pid(self) -> int:
        """Wait for the slow process to have scored something; return its id."""
        for _ in range(600):
            if (self.root / "pids").exists() and any((self.root / "two").glob("scores/*/*.ledger")):
                time.sleep(1)
                return int((self.root / "pids").read_text().split()[-1])
            time.sleep(0.1)
        raise AssertionError("nothing was scored")

    def result(self, out: str) -> Any:
        """What was found, to the last digit that matters."""
        document = json.loads((self.root / out / "result.json").read_text())
        return rounded([document["attacks"], document["memorization"], document["data"]])


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value


def finished(process: "subprocess.Popen[str]") -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    return printed


@pytest.fixture
def commands(tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path]) -> Commands:
    return Commands(tmp_path, tiny_models, tiny_data)


def torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return str(one.getsockname()[1])


def by_hand(rank: int, port: str) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}


@pytest.mark.slow
def test_two_processes_find_what_one_finds(commands: Commands) -> None:
    commands.run("one", sys.executable)
    commands.run("two", *torchrun())
    assert commands.result("two") == commands.result("one")
    document = json.loads((commands.root / "two" / "result.json").read_text())
    assert "2 processes" in document["provenance"]["models"][0]["scoring_path"]
    assert not any("ended early" in warning for warning in document["warnings"])
    for folder in (commands.root / "two" / "scores").glob("*/pass.json"):
        assert len(list(folder.parent.glob("*.arrow"))) == 2


@pytest.mark.slow
def test_accelerate_starts_it_too(commands: Commands) -> None:
    """Its ``--cpu`` starts one process whatever is asked for; ``--multi_gpu`` needs no GPU to start two."""
    pytest.importorskip("accelerate")
    commands.run("one", sys.executable)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    commands.run("two", *launch)
    assert commands.result("two") == commands.result("one")
    document = json.loads((commands.root / "two" / "result.json").read_text())
    assert "2 processes" in document["provenance"]["models"][0]["scoring_path"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_starts_a_killed_audit_again(commands: Commands, rank: str) -> None:
    commands.run("one", sys.executable)
    process = commands.start("two", *torchrun("--max-restarts", "1"), slow=rank)
    os.kill(commands.pid(), signal.SIGKILL)
    finished(process)
    assert len((commands.root / "pids").read_text().split()) == 2
    assert commands.result("two") == commands.result("one")
    document = json.loads((commands.root / "two" / "result.json").read_text())
    assert document["provenance"]["n_tokens_reused"] > 0


@pytest.mark.slow
def test_the_first_takes_over_from_one_killed(commands: Commands) -> None:
    commands.run("one", sys.executable)
    port = free_port()
    first = commands.start("two", sys.executable, **by_hand(0, port))
    other = commands.start("two", sys.executable, slow="1", **by_hand(1, port))
    other_pid = commands.pid()
    assert other.pid == other_pid
    other.kill()
    killed = time.monotonic()
    other.communicate()
    finished(first)
    assert time.monotonic() - killed < 30
    assert commands.result("two") == commands.result("one")
    warnings = json.loads((commands.root / "two" / "result.json").read_text())["warnings"]
    assert any("1 of 2 processes ended early" in warning for warning in warnings)


@pytest.mark.slow
def test_the_others_finish_without_the_first(commands: Commands) -> None:
    commands.run("two", sys.executable, **by_hand(1, free_port()))
    assert not (commands.root / "two" / "result.json").exists()
    commands.run("two", sys.executable)
    document = json.loads((commands.root / "two" / "result.json").read_text())
    assert document["provenance"]["n_tokens_reused"] > 0


@pytest.mark.slow
def test_the_first_does_not_wait_for_one_that_never_comes(commands: Commands) -> None:
    commands.run("one", sys.executable)
    started = time.monotonic()
    commands.run("two", sys.executable, **by_hand(0, free_port()))
    assert time.monotonic() - started < ranks._LATE_SECONDS + 30
    assert commands.result("two") == commands.result("one")
