"""The result document itself: written without loss, read back only if it is one."""

from typing import Any

from auditor.documents.files import document_schema, from_text, to_text
from auditor.documents.result import SCHEMA_VERSION, AuditResult
from auditor.errors import ResultError

from .escaping import visible

__all__ = ["from_json", "json_schema", "to_json"]


def to_json(result: AuditResult) -> str:
    """Write the result document (see :mod:`auditor.documents.files`)."""
    return to_text(result)


def from_json(text: str) -> AuditResult:
    """Read a result document, checking every part of it.

    Raises
    ------
    ResultError
        In one harmless line, if the text is not such a document.
    """
    try:
        return from_text(text, AuditResult, version=SCHEMA_VERSION, what="result document")
    except ResultError as error:
        raise ResultError(visible(str(error), 400)) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the result document; unknown keys are errors in it too."""
    return document_schema(AuditResult)
