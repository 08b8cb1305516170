"""The curve document: what a training run remembers over time. The order of the fields is the file format."""

from collections.abc import Sequence
from dataclasses import field
from itertools import pairwise
from pathlib import Path

from .estimate import Estimate, TprAtFpr
from .files import document, read_document
from .result import Verdict

__all__ = [
    "CURVE_VERSION",
    "AttackPoint",
    "Curve",
    "CurvePoint",
    "Failed",
    "Rise",
    "read_curve",
    "sound_neighbours",
    "steps_of",
]


CURVE_VERSION = "1.3"


@document
class AttackPoint:
    """One attack at one checkpoint; ``tpr`` is at the smallest false-positive rate that the texts can resolve."""

    attack: str
    """Label of the attack, with its parameters."""
    auc: Estimate
    """Area under the ROC curve."""
    tpr: TprAtFpr
    """True-positive rate at the smallest false-positive rate that the texts can resolve."""


@document
class CurvePoint:
    """One audited checkpoint, and how it changed from the one before it."""

    label: str
    """Name of its folder of outputs."""
    step: int | None
    """Number at the end of the checkpoint's name; null without one."""
    path: str
    """Path of the model; of an adapter its folder."""
    weights_sha256: str
    """SHA-256 fingerprint of the weights."""
    n_parameters: int
    """Number of parameters, tied ones once."""
    soundness: Verdict | None
    """Worst verdict of the soundness checks, but for that of being the reference itself; null if there were none."""
    bits_per_member: Estimate
    """Debiased bits of a member; without non-members clipped and uncalibrated."""
    capacity_used: Estimate
    """Share of the capacity that the members use."""
    attacks: tuple[AttackPoint, ...]
    """Every attack at this checkpoint."""
    bits_change: Estimate | None
    """Change of the bits since the checkpoint before, paired by text; null for the first."""
    bits_change_p: float | None
    """Two-sided p-value of no change of bits, adjusted by Holm over the curve; null if undefined."""
    auc_change: Estimate | None
    """Change of the headline attack's AUC since the checkpoint before, paired by text; null for the first."""
    extraction_rate_members: Estimate | None = None
    """Share of the members that can be drawn out; null if extraction was not read."""
    extraction_rate_beyond: Estimate | None = None
    """The same less that of the non-members; null if extraction was not read."""


@document
class Rise:
    """The largest rise in bits between two neighbouring checkpoints that chance does not explain.

    ``change`` is the step's own interval; ``p_value`` is adjusted by Holm over all steps.
    """

    before: str
    """Label of the checkpoint before the rise."""
    after: str
    """Label of the checkpoint after it."""
    change: Estimate
    """Change of the bits of a member, with the step's own interval."""
    p_value: float
    """Two-sided p-value of no change, adjusted by Holm over all steps."""


@document
class Failed:
    """A checkpoint that could not be audited, and why."""

    label: str
    """Name of the checkpoint."""
    path: str
    """Path or id as it was given."""
    reason: str
    """Why it could not be audited."""


@document
class Curve:
    """The checkpoints of a training run, audited alike: one document, written as ``curve.json``."""

    schema_version: str = CURVE_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    target: str
    """The pattern that named the checkpoints."""
    references: tuple[str, ...]
    """References of every audit."""
    n_checkpoints: int
    """Number of checkpoints that the pattern named: audited, failed, or never reached."""
    n_members: int
    """Number of members, the same at every checkpoint."""
    n_non_members: int
    """Number of non-members, the same at every checkpoint."""
    level: float
    """Confidence level of the interval."""
    calibrated: bool
    """False without non-members: bits are then clipped, not debiased, an upper figure."""
    headline_attack: str | None
    """Attack that verdicts rest on, fixed in advance; null if no attack was run."""
    points: tuple[CurvePoint, ...]
    """Audited checkpoints, in order of training."""
    largest_rise: Rise | None
    """The largest rise between sound neighbours that holds after Holm; null if there is none."""
    failed: tuple[Failed, ...] = field(default=())
    """Checkpoints that could not be audited."""
    warnings: tuple[str, ...] = field(default=())
    """Warnings to a reader of the figures."""


def read_curve(path: Path) -> Curve:
    """Read what ``auditor audit`` wrote for several checkpoints.

    Raises
    ------
    ResultError
        If the file cannot be read or is no such document.
    """
    return read_document(path, Curve, version=CURVE_VERSION, what="curve of checkpoints (`auditor audit`)")


def steps_of(points: Sequence[CurvePoint]) -> list[int] | None:
    """Return the step of every checkpoint, or None if one has none or they do not rise."""
    steps = [point.step for point in points if point.step is not None]
    rising = all(before < after for before, after in pairwise(steps))
    return steps if rising and len(steps) == len(points) else None


def sound_neighbours(points: Sequence[CurvePoint]) -> list[tuple[CurvePoint, CurvePoint]]:
    """List the neighbouring checkpoints of which no soundness check vetoes either."""
    return [pair for pair in pairwise(points) if all(point.soundness != "veto" for point in pair)]
