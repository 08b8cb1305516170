"""Places to write to: folders made and files checked before anything is computed, and files written whole."""

import tempfile
from pathlib import Path

from ..errors import ConfigError
from .files import whole_file

__all__ = ["check_files", "make_folder", "write"]


def make_folder(out: Path, *, folders: tuple[str, ...] = (), option: str = "--out") -> None:
    """Make the output folder and see that it can be written to, before anything is computed.

    ``folders`` are those that will be made in it; one that is a link would lead elsewhere, and is refused.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        for inner in (out / name for name in folders):
            if inner.is_symlink():
                raise ConfigError(f"{option} {out}: {inner.name} is a link, and links are not followed; remove it")
            if inner.exists() and not inner.is_dir():
                raise ConfigError(f"{option} {out}: {inner.name} is a file, and a folder is to be made; remove it")
            if inner.is_dir():
                make_folder(inner, option=option)
    except OSError as error:
        raise ConfigError(f"{option} {out}: {error.strerror}") from error


def check_files(*files: Path | None) -> None:
    """See that files can be written where they are wanted, before anything is computed."""
    for file in files:
        if file is None or (file.exists() and not file.is_file() and not file.is_dir()):  # a device or a pipe
            continue
        if file.is_dir():
            raise ConfigError(f"cannot write {file}: it is a folder; name a file")
        try:
            with tempfile.TemporaryFile(dir=file.absolute().parent):
                pass
        except OSError as error:
            raise ConfigError(f"cannot write {file}: {error.strerror}") from error


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
