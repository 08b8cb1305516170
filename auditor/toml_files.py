"""TOML files that people write: read with limits, so that a hostile one is refused at once."""

import re
import tomllib
from pathlib import Path
from typing import Any

from .errors import ConfigError

__all__ = ["parse_toml", "read_toml_text"]

MOST_BYTES, MOST_CHARACTERS, MOST_DOTS = 2**18, 10_000, 30
"""Of a file, of a line, and of a line outside quotes: the time for a key ``a.b.c`` grows with the cube of its parts."""

_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|#.*")


def read_toml_text(path: Path, what: str) -> str:
    """Read the text of a TOML file.

    Parameters
    ----------
    path : Path
    what : str
        What it is, for messages: ``policy``.

    Raises
    ------
    ConfigError
        If it cannot be read, is no UTF-8 text, or is too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the {what} {path} is not UTF-8 text") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(f"the {what} {path} is larger than {MOST_BYTES:,} bytes; write a shorter one")
    return text


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Parse TOML; ``what`` names it in messages: ``the policy p.toml``.

    Raises
    ------
    ConfigError
        If it is not TOML, or a line is too long.
    """
    lines = text.split("\n")
    longest, most_dots = max(map(len, lines)), max(_QUOTED.sub("", line).count(".") for line in lines)
    if longest > MOST_CHARACTERS:
        raise ConfigError(f"{what} has a line of {longest:,} characters; at most {MOST_CHARACTERS:,} are allowed")
    if most_dots > MOST_DOTS:
        raise ConfigError(f"{what} has a line with {most_dots:,} dots outside quotes; at most {MOST_DOTS} are allowed")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise ConfigError(f"{what} is not valid TOML: {str(error)[:200]}") from error
