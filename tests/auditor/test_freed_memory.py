"""Freed memory is kept where glibc can, and only there."""

import os
import platform
import subprocess
import sys

import pytest

from auditor.engine.freed_memory import keep_freed_memory

PROGRAM = """
import ctypes, os, sys
from auditor.engine.freed_memory import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
block = bytearray(b"x") * 2**26
del block
print(round((resident() - before) / 2**26))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
@pytest.mark.parametrize(("asked", "kept"), [("keep", 1), ("default", 0)])
def test_a_block_that_was_freed_stays_with_the_process(asked: str, kept: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], capture_output=True, text=True, env=environment, check=True
    )
    assert int(ran.stdout) == kept


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()
