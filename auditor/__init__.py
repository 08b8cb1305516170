"""Bits of unintended memorization in a language model, and membership-inference audits.

``import auditor`` is instant: nothing heavy is imported until it is used.
"""

from importlib.util import find_spec
from pathlib import Path

from .version import __version__

__all__ = ["__version__"]


def _refuse_foreign_siblings() -> None:
    """Fail loudly if another distribution's ``attacks`` or ``reports`` (generic names) shadows ours."""
    home = Path(__file__).resolve().parent.parent
    for name in ("attacks", "reports"):
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent.parent != home:
            raise ImportError(
                f"the package {name!r} was found at {origin}, but auditor's own lies in {home / name}. "
                "Another project with that name is on the path: run auditor in an environment of its own."
            )


_refuse_foreign_siblings()
