"""Coverage of a verification: the fields of an audit that no check computes again."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any, Literal

from ..documents.estimate import Estimate
from ..documents.extraction import ExtractionResult
from ..documents.result import (
    AttackResult,
    AuditResult,
    DataResult,
    MemorizationResult,
    ModelProvenance,
    Provenance,
    RetrainedResult,
    RiskResult,
    SideData,
    TopSample,
)

__all__ = ["Evidence", "unverified"]

Evidence = Literal["samples", "texts", "models"]
"""What there is to compute fields from: ``samples.parquet``, the texts, the weights."""

_Checked = Mapping[type[Any], Collection[str]]

_ALWAYS: _Checked = {AuditResult: {"schema_version"}}

_BY: Mapping[Evidence, _Checked] = {
    "samples": {
        AttackResult: {"attack", "auc", "advantage", "tpr_at_fpr", "f1_equal_error", "inverted", "roc", "p_value",
                       "p_value_holm"},
        MemorizationResult: {f.name for f in fields(MemorizationResult) if f.type in (Estimate, Estimate | None)}
        | {"n_parameters", "capacity_bits", "signed_bits_histogram"},
        TopSample: {"sample_id", "text_sha256", "is_member", "n_tokens", "signed_bits", "memorized_bits"},
        ExtractionResult: {f.name for f in fields(ExtractionResult)} - {"confirmed", "tempered", "near_verbatim"},
        DataResult: (),
        SideData: {"n_samples", "n_bytes", "n_tokens"},
        RiskResult: {"members_above", "stand_out"},
        Provenance: {"samples_sha256"},
    },
    "texts": {DataResult: (), SideData: {"sha256"}},
    "models": {
        Provenance: (),
        ModelProvenance: {"weights_sha256", "tokenizer_sha256"},
        RetrainedResult: {"weights_sha256"},
    },
}  # fmt: skip
"""Fields that `verify` computes again, by the evidence it takes; all others are listed as unverified."""


def unverified(result: AuditResult, by: Collection[Evidence]) -> dict[str, list[str]]:
    """List what is stated and not computed again.

    Parameters
    ----------
    result : AuditResult
    by : collection of {"samples", "texts", "models"}
        Evidence that was looked at.

    Returns
    -------
    dict of str to list of str
        By part of the document: the fields in it, dotted; none if it is the whole part. Parts that were not run (None,
        or empty) say nothing.
    """
    checked: dict[type[Any], set[str]] = {}
    for one in (_ALWAYS, *(_BY[evidence] for evidence in by)):
        for kind, names in one.items():
            checked[kind] = checked.get(kind, set()) | set(names)
    parts: dict[str, list[str]] = {}
    for path in dict.fromkeys(_paths(result, (), checked)):
        part, *inner = path
        parts.setdefault(part, []).extend([".".join(inner)] if inner else [])
    return parts


def _paths(value: Any, path: tuple[str, ...], checked: Mapping[type[Any], set[str]]) -> Iterator[tuple[str, ...]]:
    """Walk down to the fields that are not checked, as far as something below them is."""
    if value is None or value == () or value == {}:
        return
    items = value if isinstance(value, tuple) else (value,)
    if any(type(item) not in checked for item in items):
        yield path
        return
    for item in items:
        for f in fields(item):
            if f.name not in checked[type(item)]:
                yield from _paths(getattr(item, f.name), (*path, f.name), checked)
