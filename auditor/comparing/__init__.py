"""What changed between two audits? Folders in, one document out; each text its own control where texts are the same."""

from .changes import MetricChange
from .differences import Difference, Effect, LeftOut
from .document import (
    COMPARISON_VERSION,
    AuditComparison,
    ComparedAudit,
    Reading,
    compare_audits,
    read_comparison,
)
from .high import HighSample, HighSamples
from .pairing import Pairing

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
