"""Kinds of values that the commands share: amounts, lists of numbers, paths."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..amounts import parse_amount

__all__ = ["AMOUNT", "FIGURES", "FLOATS", "PATH", "PLACE", "Amount", "FigureFormats", "FloatList", "Place"]


class FloatList(click.ParamType[tuple[float, ...]]):
    """Numbers between commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as .001,.01,.05", param, ctx)


class Amount(click.ParamType[float]):
    """A positive number, with a suffix K, M, B or T if wanted."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        try:
            return parse_amount(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Place(click.ParamType[str]):
    """A file, a folder or an id: whatever is written, with files to complete it."""

    name = "PLACE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Leave it as it is."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete files and folders."""
        return [CompletionItem(incomplete, type="file")]


class FigureFormats(click.ParamType[tuple[str, ...]]):
    """Formats of figures between commas."""

    name = "png,svg,pdf"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read the formats, each once."""
        if isinstance(value, tuple):
            return value
        formats = tuple(dict.fromkeys(part.strip().lower() for part in str(value).split(",")))
        for one in formats:
            if one not in _FORMATS:
                self.fail(
                    f"{one!r:.40} is not one of {', '.join(_FORMATS)}; give some of them, such as pdf,svg", param, ctx
                )
        return formats


_FORMATS = ("png", "svg", "pdf")
FIGURES = FigureFormats()
FLOATS, AMOUNT, PATH, PLACE = FloatList(), Amount(), click.Path(path_type=Path), Place()
