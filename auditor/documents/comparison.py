"""The comparison document: what changed between two audits. The order of the fields is the file format."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .estimate import Estimate
from .files import read_document
from .result import Verdict

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
    "read_comparison",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """One figure before and after.

    Parameters
    ----------
    metric : str
        Path of the figure in a result, such as ``attacks.reference.auc`` or ``memorization.net_bits_per_member``;
        of a rate its false-positive rate is added: ``attacks.reference.tpr_at_fpr.0.01``.
    description : str
        The figure in words.
    unit : {"", "share", "bits"}
    old, new : Estimate
        Of the samples that are compared: those that both audits hold, if ``paired``.
    change : Estimate
        New minus old.
    p_value, p_value_holm : float or None
        Two-sided, of no change; as it is, and adjusted by Holm over all changes of the comparison.
    paired : bool
        Whether each text is its own control.
    """

    metric: str
    description: str
    unit: str
    old: Estimate
    new: Estimate
    change: Estimate
    p_value: float | None
    p_value_holm: float | None
    paired: bool


Effect = Literal["none", "caution", "diagnosis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not the same in two audits.

    Parameters
    ----------
    what : str
        Such as ``target weights``, ``reference weights``, ``option max_tokens``.
    old, new : str
        As text; ``none`` for what is not there.
    effect : {"none", "caution", "diagnosis"}
        ``none``: what a comparison is for, or nothing that moves a figure. ``caution``: figures differ for this reason
        too. ``diagnosis``: no verdict may rest on the figures.
    meaning : str
        The effect in words; empty if there is none.
    """

    what: str
    old: str
    new: str
    effect: Effect
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that could not be compared, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HighSample:
    """A member that is beyond the threshold of one audit, and not of the other.

    Parameters
    ----------
    sample_id : str
        In the audit in which it is highly memorized.
    text_sha256 : str
    old_bits, new_bits : float or None
        Signed bits; None where the audit does not hold the sample, cut at the same place.
    """

    sample_id: str
    text_sha256: str
    old_bits: float | None
    new_bits: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HighSamples:
    """The highly memorized members of two audits.

    Parameters
    ----------
    old_threshold, new_threshold : float, bits
        Signed bits beyond which a member counts as highly memorized: 10, or the 99 % point of the audit's non-members
        where that is more. 10 in both if one of the audits has no non-members.
    n_old, n_new : int
        Members beyond it in each audit, of all its members.
    n_appeared, n_vanished : int
        Members beyond it in the new audit and not in the old one, and the other way round; those that the other audit
        does not hold count.
    appeared, vanished : tuple of HighSample
        Those with most bits first; at most 100 of each.
    """

    old_threshold: float
    new_threshold: float
    n_old: int
    n_new: int
    n_appeared: int
    n_vanished: int
    appeared: tuple[HighSample, ...]
    vanished: tuple[HighSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """How the samples of two audits were matched.

    Parameters
    ----------
    paired : bool
        Whether changes are measured text by text. If not, the audits have (nearly) no text in common, and all samples
        of each are used.
    n_members, n_non_members : int
        Samples that both audits hold: the same text, on the same side, cut at the same place. Copies of one text are
        matched one to one, in the order of their ids.
    n_members_only_old, n_members_only_new, n_non_members_only_old, n_non_members_only_new : int
        The others, left out of paired changes.
    n_cut_differently : int
        Pairs of these others that have the same text on the same side, scored to another length.
    n_changed_sides : int
        Texts that are members in one audit and non-members in the other.
    """

    paired: bool
    n_members: int
    n_non_members: int
    n_members_only_old: int
    n_members_only_new: int
    n_non_members_only_old: int
    n_non_members_only_new: int
    n_cut_differently: int
    n_changed_sides: int


COMPARISON_VERSION = "1.0"


Reading = Literal["sound", "caution", "diagnosis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAudit:
    """One of the two audits.

    Parameters
    ----------
    path : str
        Its folder.
    result_sha256 : str
        Of the bytes of its ``result.json``.
    target, weights_sha256 : str
    n_parameters : int
    started_at : str
    soundness : {"pass", "warn", "veto"} or None
    headline_attack : str or None
        The attack that its verdict rests on, declared before looking.
    n_members, n_non_members : int
    """

    path: str
    result_sha256: str
    target: str
    weights_sha256: str
    n_parameters: int
    started_at: str
    soundness: Verdict | None
    headline_attack: str | None
    n_members: int
    n_non_members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditComparison:
    """What changed from one audit to another, written as ``comparison.json``.

    Parameters
    ----------
    level : float
        Of every interval, each on its own.
    old, new : ComparedAudit
    soundness : {"pass", "warn", "veto"} or None
        The worse verdict of the two audits; None if neither was checked.
    reading : {"sound", "caution", "diagnosis"}
        ``sound``: the figures may be read as a change of the model. ``caution``: something else that moves them differs
        too (see ``differences`` and ``warnings``). ``diagnosis``: a check forbids a verdict on one of the audits.
    headline_attack : str or None
        The new audit's, if it is compared.
    pairing : Pairing
    changes : tuple of MetricChange
        Bits first, then each attack.
    differences : tuple of Difference
        Besides the figures.
    high : HighSamples or None
        Members that became highly memorized, or no longer are; None without bits in both audits or common members.
    left_out : tuple of LeftOut
        What could not be compared.
    warnings : tuple of str
    """

    schema_version: str = COMPARISON_VERSION
    auditor_version: str
    level: float
    old: ComparedAudit
    new: ComparedAudit
    soundness: Verdict | None
    reading: Reading
    headline_attack: str | None
    pairing: Pairing
    changes: tuple[MetricChange, ...]
    differences: tuple[Difference, ...]
    high: HighSamples | None
    left_out: tuple[LeftOut, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())


def read_comparison(path: Path) -> AuditComparison:
    """Read what ``auditor compare`` wrote.

    Raises
    ------
    ResultError
        If the file cannot be read or is no such document.
    """
    return read_document(path, AuditComparison, version=COMPARISON_VERSION, what="comparison (`auditor compare`)")
