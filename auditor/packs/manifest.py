"""The manifest of a pack: texts, reference scores and settings of an audit whose references stay elsewhere.

The file is a zip of stored members: ``manifest.json``, the texts of each side, and of each reference the rows of the
score store, configuration and tokenizer, but no weights. It holds the texts: it is as confidential as they are.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from ..data import Side
from ..documents.files import document
from ..documents.result import CheckResult
from ..engine.store import PassKey

__all__ = [
    "MANIFEST",
    "MEMBER",
    "NAMED_TOKENIZER",
    "SETTINGS",
    "SIDES",
    "TOKENIZER_FILES",
    "PackManifest",
    "PackedReference",
    "PackedSide",
]

VERSION = "1.2"
MANIFEST = "manifest.json"
WARNING = (
    "This file holds the texts of both sides, and says which of them a model was trained on: keep it as confidential "
    "as the texts."
)
SETTINGS = ("attacks", "headline", "max_tokens", "long_texts", "score", "prefix_token", "dtype", "confidence",
            "fpr_targets", "seed", "bits_per_parameter")  # fmt: skip
"""Keys of an audit's configuration that a pack settles."""

SIDES: tuple[Side, ...] = ("members", "non_members")

TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
                   "merges.txt", "*.model", "chat_template.jinja")  # fmt: skip
"""Patterns of the files of a reference that are packed beside its ``config.json``: its tokenizer, and nothing else."""

NAMED_TOKENIZER = "tokenizer"
"""Folder in a pack of the tokenizer that --reference-tokenizer names, which reads for every reference."""

_MODEL_FILE = "|".join(
    re.escape(name).replace(r"\*", "[A-Za-z0-9_.-]{0,80}") for name in ("config.json", *TOKENIZER_FILES)
)
MEMBER = re.compile(
    rf"(members|non_members)\.jsonl|(references/(0|[1-9][0-9]{{0,2}})|{NAMED_TOKENIZER})/({_MODEL_FILE})"
    r"|scores/[0-9a-f]{20}/[0-9a-f]{32}\.(arrow|ledger)"
)


@document
class PackedSide:
    """The texts of one side: where they came from, and what was done to them."""

    path: str
    """Path or id as it was given."""
    text_field: str
    """Column that held the texts."""
    split: str
    """Split of the data set that they were read from."""
    n_samples: int
    """Number of samples."""
    n_dropped: int
    """Number of samples left out by a drop list."""
    sha256: str
    """SHA-256 of ids and texts of the side, in order."""
    notes: tuple[str, ...]
    """Remarks on what was left out or done on the way."""


@document
class PackedReference:
    """A reference that was run: what it was, and under which key its scores lie in the store."""

    path: str
    """Path or id as it was given."""
    revision: str | None
    """Revision of a hub model; null for a folder."""
    adapter: str | None
    """Folder of the PEFT adapter; null without one."""
    tokenizer: str | None = None
    """Tokenizer that was asked for in place of its own; null if none was."""
    tokenizer_of: Literal["model", "adapter", "option"] | None = None
    """Whose tokenizer read the texts: the model's, its adapter's, or the one that was asked for; null if unknown."""
    tokenizer_is_file: bool = False
    """Whether a tokenizer.json was asked for, which is read as it says and not by the class of its model."""
    stored_dtype: str
    """Precision of the stored weights."""
    key: PassKey
    """Key of its scores in the store."""


@document
class PackManifest:
    """What is in a pack; the order of the fields is the file format."""

    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    warning: str = WARNING
    """Warning that the file holds texts."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    scoring_version: int
    """Version of the scoring; scores of another one are not used."""
    created_at: str
    """Time at which it was made, ISO, UTC."""
    settings: Mapping[str, Any]
    """Settings of the audit that a verdict depends on, settled before a target is seen."""
    members: PackedSide
    """The members' side."""
    non_members: PackedSide | None
    """The non-members' side; null without one."""
    window_tokens: int | None
    """Most tokens of a text that were scored, which a target must be able to read; null without a limit."""
    references: tuple[PackedReference, ...]
    """References that were used."""
    soundness: tuple[CheckResult, ...]
    """Checks of the texts alone; an audit makes them again, with the target."""
    files: Mapping[str, str]
    """SHA-256 of every other member of the archive."""
