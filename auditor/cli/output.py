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
    from rich.console import Console, Group, RenderableType

__all__ = [
    "DETAIL",
    "check_figure",
    "check_files",
    "check_folder",
    "deliver",
    "detail",
    "make_console",
    "make_folder",
    "print_document",
    "print_summary",
    "quiet_libraries",
    "refuse_models_at_sight",
    "write",
]

Document = TypeVar("Document")

DETAIL = "auditor.detail"
"""Where the context of a command keeps what ``--quiet`` or ``--verbose`` asked for."""
_LINES = 39
"""Lines of a summary in brief."""


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
    print_summary(render(document), f"\nUse it: auditor predict ... --{name} {out}")


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


def detail() -> str:
    """Say how much the command that runs prints: ``quiet``, ``brief`` or ``verbose``."""
    context = click.get_current_context(silent=True)
    return "brief" if context is None else str(context.meta.get(DETAIL, "brief"))


def make_console(*, stderr: bool, always: bool = False) -> "Console":
    """Return a console; results go to stdout, everything else to stderr, and under ``--quiet`` only what ``always``."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, quiet=detail() == "quiet" and not always)


def print_summary(summary: "RenderableType", *below: str, verdict: "RenderableType | None" = None) -> None:
    """Print a summary (in brief its beginning) and lines below it; under ``--quiet`` the verdict alone."""
    if detail() == "quiet":
        if verdict is not None:
            make_console(stderr=False, always=True).print(verdict, soft_wrap=True)
        return
    from rich.segment import Segment, Segments

    console = make_console(stderr=False)
    lines = console.render_lines(summary, pad=False)
    most = _LINES - len(below)
    shown = lines if detail() == "verbose" or len(lines) <= most else lines[: most - 1]
    for line in shown:
        console.print(Segments([*line, Segment.line()]), soft_wrap=True)
    if len(shown) < len(lines):
        console.print(f"{len(lines) - len(shown):,} lines more: --verbose", style="dim")
    for said in below:
        console.print(said, markup=False, soft_wrap=True)


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
