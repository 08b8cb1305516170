"""Freed memory of this process, kept for what is allocated next instead of given back to the system."""

import ctypes
import os

__all__ = ["keep_freed_memory"]

_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
"""Numbers of glibc's options (mallopt(3)), by the variables with which a user sets them."""

_KEPT = 2**30
"""Bytes: blocks up to this size come from what was freed, and as much of it is kept."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory; say whether it does.

    A batch on a CPU allocates and frees the same tens of megabytes over and over. By default glibc maps each such block
    anew, and the system clears it page by page: a tenth of the time of scoring. Other libraries of C know no such
    option, and what the user asked for in the environment stays.
    """
    if any(name in os.environ for name in (*_OPTIONS, "GLIBC_TUNABLES")):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([set_option(number, _KEPT) == 1 for number in _OPTIONS.values()])
