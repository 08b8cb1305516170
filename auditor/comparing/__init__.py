"""What changed between two audits? Folders in, one document out; each text its own control where texts are the same."""

from ..documents.comparison import (
    COMPARISON_VERSION,
    AuditComparison,
    ComparedAudit,
    Difference,
    Effect,
    HighSample,
    HighSamples,
    LeftOut,
    MetricChange,
    Pairing,
    Reading,
    read_comparison,
)
from .document import compare_audits

__all__ = [
    "COMPARISON_VERSION",
    "AuditComparison",
    "ComparedAudit",
    "Difference",
    "Effect",
    "HighSample",
    "HighSamples",
    "LeftOut",
    "MetricChange",
    "Pairing",
    "Reading",
    "compare_audits",
    "read_comparison",
]
