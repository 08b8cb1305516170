"""The result document itself: written without loss, read back only if it is one."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.errors import ResultError
from auditor.results import SCHEMA_VERSION, AuditResult

from .safe import visible

__all__ = ["from_json", "json_schema", "to_json"]


@cache
def _adapter() -> TypeAdapter[AuditResult]:
    return TypeAdapter(AuditResult)


def _encodable(text: str) -> str:
    """Write a lone surrogate, which no UTF-8 file can hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any, where: str) -> Any:
    """Turn dataclasses, mappings and tuples into what JSON has; refuse what it cannot hold exactly."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: a result document holds finite numbers only")
        return float(value)
    if isinstance(value, str):
        return _encodable(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _plain(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}, which a result document cannot hold")


def to_json(result: AuditResult) -> str:
    """Write the result document, in the order of its fields.

    Numbers are written so that they read back exactly. A lone surrogate, which no UTF-8 file can hold, is
    written as its escape.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message says where.
    """
    return json.dumps(_plain(result, "result"), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _refuse(number: str) -> float:
    raise ValueError(f"it holds {number}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(visible(text, 30))


def _load(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ResultError(f"not a result document: not valid JSON ({where}: {error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"not a result document: {visible(str(error), 120)}") from error


def _check_version(document: Any) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("schema_version"), str):
        raise ResultError("not a result document: it has no schema_version; give the result.json of an audit")
    version = document["schema_version"]
    parts = version.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ResultError(f"not a result document: schema_version is {visible(version, 30)!r}")
    given, ours = (tuple(int(part) for part in text.split(".")) for text in (version, SCHEMA_VERSION))
    if given > ours:
        raise ResultError(
            f"schema {version} is newer than this auditor, which reads up to {SCHEMA_VERSION}: update the auditor"
        )
    if given[0] != ours[0]:
        raise ResultError(f"schema {version} is older than this auditor, which reads {ours[0]}.x: run the audit again")


def _unknown(given: Any, known: Any, where: str = "") -> str | None:
    """Find the first key of a document that the result does not have."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, inner in given.items():
            path = f"{where}.{key}" if where else key
            found = path if key not in known else _unknown(inner, known[key], path)
            if found is not None:
                return found
    elif isinstance(given, list) and isinstance(known, list):
        for i, (inner, ours) in enumerate(zip(given, known, strict=True)):
            if (found := _unknown(inner, ours, f"{where}[{i}]")) is not None:
                return found
    return None


def _explain(error: ValidationError) -> str:
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return visible(f"{where}: {first['msg']}{more}", 300)


def from_json(text: str) -> AuditResult:
    """Read a result document, checking every part of it.

    Raises
    ------
    ResultError
        In one line, if the text is not JSON, not a result document, of a schema that this auditor cannot
        read, or not what it claims to be (a missing or unknown key, a wrong kind, an impossible estimate).
    """
    document = _load(text)
    _check_version(document)
    try:
        result = _adapter().validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ResultError(f"not a result document: {_explain(error)}") from error
    key = _unknown(document, _plain(result, "result"))
    if key is not None:
        raise ResultError(f"not a result document: unknown key {visible(key, 120)}")
    return result


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the result document; unknown keys are errors in it too."""
    schema = _adapter().json_schema(mode="validation")
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
    schema["required"] = list(schema["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
