"""The manifest of a pack: the texts, reference scores and settings that an audit without the references needs.

The file is a zip of stored members: ``manifest.json``, the texts of each side, and of each reference the rows of the
score store, configuration and tokenizer, but no weights. It holds the texts: it is as confidential as they are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data import Side
from ..documents.result import CheckResult
from ..engine.store import PassKey

__all__ = [
    "MANIFEST",
    "MEMBER",
    "SETTINGS",
    "SIDES",
    "PackManifest",
    "PackedReference",
    "PackedSide",
]

VERSION = "1.0"
MANIFEST = "manifest.json"
WARNING = (
    "This file holds the texts of both sides, and says which of them a model was trained on: keep it as confidential "
    "as the texts."
)
SETTINGS = ("attacks", "headline", "max_tokens", "long_texts", "prefix_token", "dtype", "confidence", "fpr_targets",
            "seed", "bits_per_parameter")  # fmt: skip
"""Keys of an audit's configuration that a pack settles."""

SIDES: tuple[Side, ...] = ("members", "non_members")

_MODEL_FILE = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}\.(json|model|txt|jinja)"
MEMBER = re.compile(
    rf"(members|non_members)\.jsonl|references/[0-9]{{1,3}}/{_MODEL_FILE}"
    r"|scores/[0-9a-f]{20}/[0-9a-f]{32}\.(arrow|ledger)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSide:
    """The texts of one side: where they came from, and what was done to them."""

    path: str
    text_field: str
    split: str
    n_samples: int
    n_dropped: int
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedReference:
    """A reference that was run: what it was, and under which key its scores lie in the store."""

    path: str
    revision: str | None
    adapter: str | None
    stored_dtype: str
    key: PassKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PackManifest:
    """What is in a pack; the order of the fields is the file format.

    Parameters
    ----------
    settings : mapping of str to object
        As in the configuration of an audit: those that a verdict depends on are settled before a target is seen.
    window_tokens : int or None
        Most tokens of a text that were scored: a target with a shorter window needs another pack.
    soundness : tuple of CheckResult
        What the texts alone say; an audit checks them again, with the target.
    files : mapping of str to str
        SHA-256 of every other member.
    """

    schema_version: str = VERSION
    warning: str = WARNING
    auditor_version: str
    scoring_version: int
    created_at: str
    settings: Mapping[str, Any]
    members: PackedSide
    non_members: PackedSide | None
    window_tokens: int | None
    references: tuple[PackedReference, ...]
    soundness: tuple[CheckResult, ...]
    files: Mapping[str, str]
