"""Packages: whether the installed files are ours, and whether what they require is there, new enough and importable."""

import base64
import hashlib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from ..documents.diagnosis import Finding, State
from ..siblings import SIBLINGS

__all__ = ["DISTRIBUTION", "check_extras", "check_files", "check_requirements", "in_one_line"]

DISTRIBUTION = "lm-memorization-auditor"
"""The name under which auditor, attacks and reports are installed."""

_OURS = ("auditor", *SIBLINGS)
_MODULES = {"scikit-learn": "sklearn"}
"""The module of a requirement, where it is not the name with underscores."""

_PURPOSES = {
    "adapters": "PEFT adapters, LoRA shadow models",
    "device-map": "models spread over devices",
    "gguf": "GGUF files",
    "ray": "Ray clusters",
    "training": "audits while a Trainer trains",
    "zstd": ".zst files of data sets on the hub",
}
"""What an extra is for; one that is not here is for developers, or a collection of others."""


def check_files() -> Iterator[Finding]:
    """Compare the installed files with what was installed, and look for another project that installs over them."""
    here = Path(__file__).resolve().parent.parent
    try:
        ours = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        yield _installation("absent", f"run from {here} without being installed: what it requires is not known")
        return
    owners = packages_distributions()
    others = {name: sorted(set(owners.get(name, ())) - {DISTRIBUTION}) for name in _OURS}
    for name, found in others.items():
        if found:
            yield _installation("broken", f"{' and '.join(found)} installs a package {name!r} into the same folder")
    changed = _changed_files(ours)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        yield _installation("broken", f"changed since it was installed: {changed[0]}{more}")
    elif Path(str(ours.locate_file("auditor"))).resolve() != here:
        yield _installation("fine", f"run from {here}, not from the installed files; no file was checked")
    elif not any(found for found in others.values()):
        yield _installation("fine", "every file is as it was installed")


def _installation(state: State, detail: str) -> Finding:
    remedy = f"install {DISTRIBUTION} again, in an environment of its own" if state == "broken" else None
    return Finding(
        part="installation",
        name=DISTRIBUTION,
        state=state,
        needed=state == "broken",
        detail=detail,
        remedy=remedy,
    )


def _changed_files(ours: Distribution) -> list[str]:
    """List our files that are not what was installed, by the hashes that pip keeps."""
    changed = []
    for file in ours.files or ():
        if file.hash is None or file.parts[0] not in _OURS:
            continue
        path = Path(str(file.locate()))
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest() if path.is_file() else b""
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != file.hash.value:
            changed.append(str(file))
    return changed


def check_requirements() -> Iterator[Finding]:
    """Try every package that auditor requires: its version, and its import."""
    for requirement in _requirements(extra=""):
        problem = _try(requirement)
        yield Finding(
            part="packages",
            name=requirement.name,
            state="broken" if problem else "fine",
            needed=True,
            detail=problem.what if problem else _version(requirement.name),
            remedy=problem.remedy if problem else None,
        )


def check_extras() -> Iterator[Finding]:
    """Try the packages of every extra; one that is not there is nothing to worry about."""
    for extra, purpose in _PURPOSES.items():
        requirements = _requirements(extra=extra)
        if not requirements:
            continue  # of an installation without this extra
        installed = [one for one in requirements if _version(one.name)]
        problems = [problem for problem in map(_try, installed) if problem]
        is_whole = len(installed) == len(requirements)
        absent = None if is_whole else f"pip install '{DISTRIBUTION}[{extra}]'"
        found = ", ".join(f"{one.name} {_version(one.name) or 'not installed'}" for one in requirements)
        yield Finding(
            part="extras",
            name=extra,
            state="broken" if problems else "fine" if is_whole else "absent",
            needed=False,
            detail=f"{purpose}: {'; '.join(problem.what for problem in problems) or found}",
            remedy=problems[0].remedy if problems else absent,
        )


def _requirements(*, extra: str) -> list[Requirement]:
    """Return what the installed auditor requires, or requires beyond that for an extra."""
    try:
        stated = [Requirement(one) for one in distribution(DISTRIBUTION).requires or ()]
    except PackageNotFoundError:
        return []
    plain = [one for one in stated if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [one for one in stated if one not in plain and one.marker and one.marker.evaluate({"extra": extra})]


class _Problem(NamedTuple):
    """What is wrong with a package, and what to do about it."""

    what: str
    remedy: str


def _try(requirement: Requirement) -> _Problem | None:
    """Look at the version of a package and import it."""
    name, found = requirement.name, _version(requirement.name)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    install = f"pip install '{name}{extras}{requirement.specifier}'"
    if not found:
        return _Problem(f"{name} is not installed", install)
    if not requirement.specifier.contains(found, prereleases=True):
        return _Problem(f"{name} {found} is installed, {requirement.specifier} is required", install)
    try:
        import_module(_MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # whatever a broken package raises
        again = f"install {name} again (pip install --force-reinstall), or what it does not find"
        return _Problem(f"{name} {found} cannot be imported: {in_one_line(error)}", again)
    return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def in_one_line(error: Exception) -> str:
    """Return the type of an error and the start of what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
