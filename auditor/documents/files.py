"""Documents as files: frozen dataclasses written without loss, read back only if they are what they claim to be."""

import ast
import hashlib
import inspect
import json
import math
import os
import textwrap
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, dataclass_transform, runtime_checkable
from uuid import uuid4

from ..errors import ResultError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = [
    *("Contradictable", "document", "document_schema", "folder_for_owner", "for_owner", "from_text", "read_document"),
    *("refuse_contradictions", "sealed", "to_text", "whole_file"),
]

Document = TypeVar("Document")

_SEAL = "content_sha256"
"""Field of some documents: the SHA-256 of all their other fields, as the file has them."""


@runtime_checkable
class Contradictable(Protocol):
    """A document of which one part says what another one says, too."""

    def contradictions(self) -> Iterator[str]:
        """Say which parts do not agree, one line each."""
        ...


@dataclass_transform(frozen_default=True, kw_only_default=True)
def document(kind: type[Document]) -> type[Document]:
    """Make a class (a part of) a document: a frozen dataclass of keywords.

    When it is read back, unknown keys and numbers that are not finite are refused, and its schema describes every
    field by the line beneath it. Nothing heavy is imported before a document is read.
    """
    kind.__pydantic_config__ = {  # type: ignore[attr-defined]
        "extra": "forbid",
        "allow_inf_nan": False,
        "json_schema_extra": _describe,
    }
    return dataclass(frozen=True, slots=True, kw_only=True)(kind)


def _describe(schema: dict[str, Any], kind: type) -> None:
    """Add to a schema what the line beneath each field says.

    Only a schema needs the source: pydantic's own ``use_attribute_docstrings`` parses it whenever a document is read,
    which takes longer than all else of reading it.
    """
    for one in reversed(kind.__mro__[:-1]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, line in pairwise(body):
            match field, line:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    if name in schema["properties"]:
                        schema["properties"][name]["description"] = inspect.cleandoc(said)


@cache
def _adapter(kind: Hashable) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(cast(Any, kind))


def to_text(document: object) -> str:
    """Write a document as JSON, in the order of its fields.

    Numbers are written so that they read back exactly. A lone surrogate, which no UTF-8 file can hold, is
    written as its escape; so is the second of two ``#``, with which a CI system that logs a line takes commands.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message says where.
    """
    text = json.dumps(_plain(document, "result"), ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    return text.replace("##", "#\\u0023")


def from_text(text: str, kind: type[Document], *, version: str, what: str) -> Document:
    """Read a document, checking every part of it.

    Parameters
    ----------
    text : str
        JSON.
    kind : type
        The dataclass that the document must be.
    version : str
        Newest ``schema_version`` that can be read, ``MAJOR.MINOR``.
    what : str
        What it should be, for messages: ``result document``.

    Raises
    ------
    ResultError
        In one line, if the text is not JSON, not such a document, of a schema that cannot be read, or not what
        it claims to be (a missing or unknown key, a wrong kind, an impossible estimate, parts that contradict each
        other).
    """
    from pydantic import ValidationError

    document = _load(text, what)
    _refuse_other_kind(document, kind, what)
    _check_version(document, version, what)
    try:
        found: Document = _adapter(cast(Hashable, kind)).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ResultError(f"not a {what}: {_explain(error)}") from error
    _refuse_unsealed(document, what)
    refuse_contradictions(found, what)
    return found


def refuse_contradictions(document: object, what: str) -> None:
    """Refuse a document that was read and contradicts itself: nobody can tell which part of it is right.

    Raises
    ------
    ResultError
        In one line, naming the first contradiction.
    """
    first = next(document.contradictions(), None) if isinstance(document, Contradictable) else None
    if first is not None:
        raise ResultError(f"not a {what}: it contradicts itself: {first}"[:400])


def sealed(document: Document) -> Document:
    """Put the SHA-256 of all its other fields into a document's field ``content_sha256``."""
    return replace(document, **{_SEAL: _seal_of(_plain(document, "document"))})  # type: ignore[type-var]


def _seal_of(plain: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in plain.items() if key != _SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _refuse_unsealed(document: Any, what: str) -> None:
    """Refuse a document that is not what its seal says; one without a seal is not held to it."""
    if document.get(_SEAL) not in (None, _seal_of(document)):
        raise ResultError(
            f"not a {what} as it was written: its {_SEAL} is not that of the rest; take the file as it was, or make it "
            "again"
        )


def read_document(path: Path, kind: type[Document], *, version: str, what: str) -> Document:
    """Read a document from a file; see `from_text`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"cannot read the {what} {path}: {getattr(error, 'strerror', error)}") from error
    try:
        return from_text(text, kind, version=version, what=what)
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from error


def document_schema(kind: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of a document; unknown keys are errors in it too."""
    from pydantic.json_schema import GenerateJsonSchema

    class Described(GenerateJsonSchema):
        """Adds to inherited fields the line beneath them, which pydantic reads in a class's own source only."""

        def dataclass_schema(self, schema: Any) -> dict[str, Any]:
            found = super().dataclass_schema(schema)
            for parent in filter(is_dataclass, schema["cls"].__mro__[1:]):
                for name, inherited in document_schema(cast(type[Any], parent))["properties"].items():
                    found["properties"][name].setdefault("description", inherited["description"])
            return found

    schema = _adapter(cast(Hashable, kind)).json_schema(mode="validation", schema_generator=Described)
    schema["required"] = list(schema["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


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


def _refuse(number: str) -> float:
    raise ValueError(f"it holds {number}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:30])


def _load(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ResultError(f"not a {what}: not valid JSON ({where}: {error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"not a {what}: {str(error)[:120]}") from error


_KINDS = {
    "the result of an audit (`auditor audit`)": {"provenance", "soundness", "attacks"},
    "the curve of several audits (`auditor audit`)": {"points", "n_checkpoints"},
    "a comparison of two audits (`auditor compare`)": {"old", "new", "pairing"},
    "a verdict on gates (`auditor gate`)": {"gates", "policy_sha256"},
    "a prediction (`auditor predict`)": {"law", "ceiling", "capacity_bits"},
    "a measurement of capacity (`auditor capacity`)": {"best", "runs", "bits_per_parameter"},
    "a calibration (`auditor calibrate`)": {"laws", "cells"},
    "the manifest of a split (`auditor split`)": {"member_share", "source_sha256"},
    "the manifest of shadow models (`auditor shadows`)": {"shadows", "n_units"},
    "the leaderboard of a bench (`auditor bench`)": {"standings", "n_audits"},
    "a verification (`auditor verify`)": {"claims"},
}
"""Documents that may be taken for each other, and keys that each has, alone among them."""


def _refuse_other_kind(document: Any, kind: type[Any], what: str) -> None:
    """Refuse a document of another kind by its name, before its version or its keys are complained of."""
    if not isinstance(document, dict):
        return
    ours = {f.name for f in fields(kind)}
    for name, keys in _KINDS.items():
        if keys <= document.keys() and not keys <= ours:
            raise ResultError(f"not a {what}, but {name}")


def _check_version(document: Any, ours: str, what: str) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("schema_version"), str):
        raise ResultError(f"not a {what}: it has no schema_version")
    version = document["schema_version"]
    parts = version.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ResultError(f"not a {what}: schema_version is {version[:30]!a}")
    given, known = (tuple(int(part) for part in text.split(".")) for text in (version, ours))
    if given > known:
        raise ResultError(f"schema {version} is newer than this auditor, which reads up to {ours}: update the auditor")
    if given[0] != known[0]:
        raise ResultError(f"schema {version} is older than this auditor, which reads {known[0]}.x: measure again")


def _explain(error: "ValidationError") -> str:
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "unexpected_keyword_argument":
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        return f"unknown key {path.removeprefix('.')[:120]}{more}"
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}{more}"[:300]


def for_owner(path: str, flags: int) -> int:
    """Open a file that only its owner may read, and that is no link: the ``opener`` of :func:`open`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def folder_for_owner(path: Path) -> None:
    """Make a folder that only its owner may read; one that is there keeps its permissions.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to that becomes ``path`` once all is written; of a failed write nothing stays.

    What is there and is no file, such as ``/dev/stdout``, is written to as it is. A link is replaced, not followed.

    Raises
    ------
    ResultError
        If it cannot be written, as on a full disk.
    """
    partial = None
    try:
        if (path.exists() and not path.is_file()) or path.absolute().parts[1:2] in (("dev",), ("proc",)):
            yield path
            return
        partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")  # no other process writes to it
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
