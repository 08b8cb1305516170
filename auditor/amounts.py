"""Numbers as people write them: ``1.5B`` parameters, ``300G`` tokens, ``2e12``."""

import math

__all__ = ["parse_amount"]

_LARGEST = 1e24
_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


def parse_amount(text: str) -> float:
    """Read a positive number, with ``_`` between digits and a suffix K, M, B (or G) or T if wanted.

    Raises
    ------
    ValueError
        If it is not a positive, finite number.

    Examples
    --------
    >>> parse_amount("1.5B"), parse_amount("12_512"), parse_amount("2e12")
    (1500000000.0, 12512.0, 2000000000000.0)
    """
    plain = text.strip().lower().replace("_", "").replace(",", "")
    factor = _SUFFIXES.get(plain[-1:], 1.0)
    digits = plain[:-1] if plain[-1:] in _SUFFIXES else plain
    try:
        value = float(digits) if digits.isascii() else math.nan
    except ValueError:
        value = math.nan
    value *= factor
    if math.isnan(value) or math.isinf(value):
        raise ValueError(f"{text!r} is not a number such as 124000000, 124M, 1.5B or 2e12")
    if value > _LARGEST:
        raise ValueError(f"must be at most {_LARGEST:g}, got {text}")
    if value <= 0:
        raise ValueError(f"must be greater than 0, got {text}")
    return value
