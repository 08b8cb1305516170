"""Consoles, documents, files and folders that the commands write to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console, Group

__all__ = [
    "check_figure",
    "check_files",
    "check_folder",
    "deliver",
    "make_console",
    "make_folder",
    "print_document",
    "quiet_libraries",
    "write",
]

Document = TypeVar("Document")


def check_figure(path: Path | None) -> None:
    """Refuse a figure of a kind that cannot be drawn, before anything is computed."""
    if path is not None and path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--plot {path}: a figure is an .svg, .png or .pdf file")
    check_files(path)


def deliver(
    document: Document,
    out: Path,
    name: str,
    *,
    draw: Callable[[Document, Path], None],
    render: Callable[[Document], "Group"],
    as_json: bool,
) -> None:
    """Write what was measured as ``name.json`` with its figure, and print it: the document itself, or its rendering."""
    from ..documents.files import to_text

    text = to_text(document)
    write(out / f"{name}.json", text)
    draw(document, out / f"{name}.svg")
    if as_json:
        print_document(text)
        return
    console = make_console(stderr=False)
    console.print(render(document))
    console.print(f"\nUse it: auditor predict ... --{name} {out}", markup=False, soft_wrap=True)


def make_folder(out: Path, *, folders: tuple[str, ...] = (), option: str = "--out") -> None:
    """Make the output folder and see that it can be written to, before anything is computed.

    ``folders`` are those that will be made in it; one that is a link would lead elsewhere, and is refused.
    """
    import tempfile

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


def check_folder(out: Path) -> None:
    """See that a folder can be made and written to, and make nothing yet."""
    import tempfile

    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from error


def check_files(*files: Path | None) -> None:
    """See that files can be written where they are wanted, before anything is computed."""
    import tempfile

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
    from ..documents.files import whole_file

    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def print_document(text: str) -> None:
    """Print what other programs read: UTF-8, whatever the terminal speaks."""
    click.echo(text.encode())


def make_console(*, stderr: bool) -> "Console":
    """Return a console; results go to stdout, everything else to stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def quiet_libraries() -> None:
    """Keep other libraries' bars and advice out of our streams; their errors reach the user through ours."""
    import warnings

    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.simplefilter("ignore")
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
