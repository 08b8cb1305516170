"""Consoles, documents, files and folders that the commands write to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..documents.places import check_files, make_folder, write
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
    "refuse_models_at_sight",
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


def check_folder(out: Path) -> None:
    """See that a folder can be made and written to, and make nothing yet."""
    import tempfile

    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from error


def print_document(text: str) -> None:
    """Print what other programs read: UTF-8, whatever the terminal speaks."""
    click.echo(text.encode())


def make_console(*, stderr: bool) -> "Console":
    """Return a console; results go to stdout, everything else to stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def refuse_models_at_sight(*models: str | None) -> None:
    """Refuse models whose configuration is hostile, before libraries are imported that take seconds."""
    from ..config import ModelSpec
    from ..engine.loading.configs import refuse_at_sight

    for model in models:
        if model is not None:
            refuse_at_sight(ModelSpec.parse(model))


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
