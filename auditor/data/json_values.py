"""Values of any column as JSON, so that columns that mean nothing here can be kept."""

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, time

__all__ = ["as_json"]


def as_json(value: object) -> str:
    """Write a value as JSON that every reader takes.

    Dates and times are written as ISO says, bytes in base64, what is not a number as null, and anything else that JSON
    has no kind for as Python writes it.

    Examples
    --------
    >>> as_json({"n": 1, "x": float("nan"), "day": date(2026, 3, 14), "raw": b"a", "of": (1, None)})
    '{"n": 1, "x": null, "day": "2026-03-14", "raw": "YQ==", "of": [1, null]}'
    """
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, date | time):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
