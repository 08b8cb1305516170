"""The diagnosis: every check in turn, and none that ends the others."""

import time
from collections.abc import Callable, Iterable

from ..documents.diagnosis import Diagnosis, Finding, Part
from ..version import __version__
from .devices import check_devices, check_kernels
from .packages import check_extras, check_files, check_requirements, in_one_line
from .versions import installed_versions

__all__ = ["diagnose"]

Check = Callable[[], Iterable[Finding]]


def diagnose(*, compile_kernels: bool = False, on_part: Callable[[Part], None] | None = None) -> Diagnosis:
    """Try everything that an audit needs or could use on this machine.

    Parameters
    ----------
    compile_kernels : bool
        Also the kernel that takes 10 s or more to compile.
    on_part : callable, optional
        Called with the name of each part before it is tried.
    """
    started = time.monotonic()
    checks: list[tuple[Part, Check]] = [
        ("installation", check_files),
        ("packages", check_requirements),
        ("extras", check_extras),
        ("devices", check_devices),
        ("kernels", lambda: check_kernels(compile_kernels=compile_kernels)),
        ("self-test", _self_test),
    ]
    findings: list[Finding] = []
    for part, check in checks:
        if on_part is not None:
            on_part(part)
        try:
            findings += check()
        except Exception as error:  # a part that cannot be tried is a finding
            findings.append(_not_tried(part, error))
    return Diagnosis(
        auditor_version=__version__,
        versions=installed_versions(),
        findings=tuple(findings),
        can_audit=not any(one.needed and one.state == "broken" for one in findings),
        seconds=round(time.monotonic() - started, 3),
    )


def _self_test() -> Iterable[Finding]:
    from .self_test import check_scoring  # what is not installed is a finding of this part

    return list(check_scoring())


def _not_tried(part: Part, error: Exception) -> Finding:
    return Finding(
        part=part,
        name=part,
        state="broken",
        needed=True,
        detail=f"could not be tried: {in_one_line(error)}",
        remedy="mend what is broken above first; if nothing is, please report it",
    )
