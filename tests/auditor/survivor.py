"""A process that has imported everything and forks audits, so that tests can kill one every moment.

    python survivor.py

Each line on stdin is a run (JSON); what is answered is its process id, and, to ``{"wait": pid}``, how it ended.
Every run appends to its log what it is about to do. Asked to pause at the n-th line, it does half of that and waits
for its killer.
"""

import hashlib
import json
import os
import resource
import sys
import time
from importlib import import_module
from typing import Any

PRELOADED = (
    "auditor.cli",
    "auditor.auditing.pipeline",
    "auditor.engine.scoring",
    "reports",
    "transformers.models.gpt2",
)
LOG_FLAGS = os.O_CREAT | os.O_APPEND | os.O_WRONLY


class Watched:
    """Tells the log what an audit is about to do."""

    def __init__(self, log: str, pause_at: int | None, delay: float) -> None:
        self._log = os.open(log, LOG_FLAGS, 0o600)
        self._delay = delay
        self._pause_at, self._n, self._quiet = pause_at, 0, False
        self._tell(event="start")

    def _tell(self, **event: Any) -> bool:
        """Whether this is the moment to be killed."""
        os.write(self._log, json.dumps(event).encode() + b"\n")
        self._n += 1
        return self._n == self._pause_at

    def watch(self) -> None:
        """Put a word before every forward pass and every step of writing."""
        from auditor.engine import scoring, store
        from auditor.engine.forward import Scorer

        load, start, write, sync = scoring.load_scorer, Scorer.start, store._CheckedFile.write, os.fsync

        def load_quietly(*given: Any, **named: Any) -> Any:
            self._quiet = True  # what is scored to check the model is no work done
            try:
                return load(*given, **named)
            finally:
                self._quiet = False

        def start_aloud(scorer: Scorer, batch: Any) -> Any:
            if not self._quiet:
                ids = [hashlib.sha256(repr(text.ids).encode()).hexdigest()[:16] for text in batch]
                if self._tell(event="score", texts=[f"{scorer.name} {one}" for one in ids]):
                    wait_for_the_end()
                time.sleep(self._delay)
            return start(scorer, batch)

        def write_aloud(file: Any, data: Any) -> int:
            block = bytes(data)
            if len(block) > 64 and self._tell(event="write"):
                write(file, block[: len(block) // 2])
                file._file.flush()
                wait_for_the_end()
            return write(file, data)

        def sync_aloud(number: int) -> None:
            if self._tell(event="sync"):
                wait_for_the_end()
            sync(number)

        scoring.load_scorer, Scorer.start, store._CheckedFile.write = load_quietly, start_aloud, write_aloud
        os.fsync = sync_aloud


def wait_for_the_end() -> None:
    time.sleep(60)


def audit(run: dict[str, Any]) -> None:
    """Run ``auditor`` in this fresh fork, as the command line does."""
    import torch

    torch.set_num_threads(1)  # a fork has no threads but its own
    output = os.open(run["output"], LOG_FLAGS, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(run.get("environment", {}))
    if "log" in run:
        Watched(run["log"], run.get("pause_at"), run.get("delay", 0)).watch()
    if "file_limit" in run:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run["file_limit"],) * 2)
    from auditor.cli import main

    sys.argv = ["auditor", *run["arguments"]]
    try:
        main()
    except SystemExit as end:
        os._exit(int(end.code or 0))


def serve() -> None:
    """Fork a run for every line."""
    for name in PRELOADED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            audit(asked)
            os._exit(3)
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
