"""Versions of what an audit runs on, read from the installed metadata: nothing is imported."""

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_versions"]

_NEEDED = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "pyarrow",
    "numpy",
    "scipy",
    "scikit-learn",
)
_OPTIONAL = ("triton", "accelerate", "peft", "gguf", "ray", "zstandard")


def installed_versions() -> dict[str, str]:
    """Return the version of Python and of each package by name; optional ones only where they are installed."""
    found = {"python": f"{platform.python_version()} ({platform.system()} {platform.machine()})"}
    for name in (*_NEEDED, *_OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name in _NEEDED:
                found[name] = "not installed"
    return found
