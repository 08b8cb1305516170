"""The packages ``attacks`` and ``reports`` beside this one: another project's of the same name is refused.

Nothing is imported here but the standard library, so that ``import auditor`` stays instant.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["SIBLINGS", "foreign_sibling", "refuse_foreign_siblings"]

SIBLINGS = ("attacks", "reports")
"""Names of the packages that are installed beside ``auditor``; generic ones, which other projects have, too."""

_HOME = Path(__file__).resolve().parent.parent


def refuse_foreign_siblings() -> None:
    """Fail loudly if another project's ``attacks`` or ``reports`` would be imported instead of ours.

    Called by ``import auditor``; call it again where the path may have changed since.

    Raises
    ------
    ImportError
        Naming both places and the way out. The command line prints it as its error and ends with exit code 2: 1 would
        read as a failed gate.
    """
    message = foreign_sibling()
    if message is None:
        return
    if _is_command():
        print(f"Error: {message}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(message)


def foreign_sibling() -> str | None:
    """Say which sibling is another project's, where it was found and what to do; None if both are ours."""
    for name in SIBLINGS:
        place, ours = _place(name), (_HOME / name).resolve()
        if place is None:
            return f"the package {name!r} of auditor is not in {str(ours)!r}: install auditor again, in one piece"
        if place.parent != ours:
            found, where = str(place), f"auditor's own lies in {str(ours)!r}"
            return f"the package {name!r} was found at {found!r}, but {where}. {_way_out(name, place)}"
    return None


def _place(name: str) -> Path | None:
    """Find what ``import name`` gives: a file, or the folder of a package without ``__init__.py``."""
    try:
        spec = find_spec(name)
    except ValueError:  # imported already, but by hand, without a spec
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file or f"<{name} made in this process>").resolve()
    if spec is None:
        return None
    origin = spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), spec.origin)
    return Path(origin or name).resolve()


def _way_out(name: str, place: Path) -> str:
    """Say how to get the other package out of the way, by how it came there."""
    inside = place.parent if place.name == "__init__.py" else place
    entry = inside.parent
    if name in sys.modules:
        return f"Another {name!r} was imported before auditor: use auditor in a process of its own."
    if entry in _paths(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        return f"Take {str(entry)!r} out of PYTHONPATH, or run auditor in an environment of its own."
    if entry == Path.cwd():
        return "Start from another folder, with the command `auditor`, or with `python -P`."
    return "Another project with that name is on the path: run auditor in an environment of its own."


def _paths(entries: list[str]) -> set[Path]:
    return {Path(entry).resolve() for entry in entries if entry}


def _is_command() -> bool:
    """Whether this process was started as ``auditor`` or ``python -m auditor``, and not by somebody's program."""
    started = (sys.argv or [""])[0]
    return Path(started).stem == "auditor" or (started == "-m" and "auditor" in sys.orig_argv)
