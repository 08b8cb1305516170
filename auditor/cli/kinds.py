"""Kinds of values that the commands share: amounts, lists of numbers, paths."""

from pathlib import Path
from typing import Any

import click

from ..amounts import parse_amount

__all__ = ["AMOUNT", "FLOATS", "PATH", "Amount", "FloatList"]


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


FLOATS, AMOUNT, PATH = FloatList(), Amount(), click.Path(path_type=Path)
