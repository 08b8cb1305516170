"""The comparison document: what changed between two audits. The order of the fields is the file format."""

from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Literal

from .checksums import Checksums
from .estimate import Estimate
from .files import document, read_document
from .result import Verdict, worst_verdict

__all__ = [
    "COMPARISON_VERSION",
    "MOST_LISTED",
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


@document
class MetricChange:
    """One figure before and after."""

    metric: str
    """Path of the figure in a result; of a rate it ends with the false-positive rate."""
    description: str
    """The figure in words."""
    unit: str
    """Unit of the figure: empty, share, or bits."""
    old: Estimate
    """Figure of the old audit; of the samples that both audits hold, if paired."""
    new: Estimate
    """Figure of the new audit; of the samples that both audits hold, if paired."""
    change: Estimate
    """New minus old."""
    p_value: float | None
    """Two-sided p-value of no change; null if undefined."""
    p_value_holm: float | None
    """The p-value adjusted by Holm over all changes of the comparison; null if undefined."""
    paired: bool
    """Whether each text is its own control."""


Effect = Literal["none", "caution", "diagnosis"]


@document
class Difference:
    """Something that is not the same in two audits."""

    what: str
    """What differs, such as target weights or an option."""
    old: str
    """What it was, as text; none for what was not there."""
    new: str
    """What it is, as text; none for what is not there."""
    effect: Effect
    """none: moves no figure by itself; caution: figures differ for it too; diagnosis: no verdict may rest on them."""
    meaning: str
    """The effect in words; empty if there is none."""


@document
class LeftOut:
    """Something that could not be compared, and why."""

    what: str
    """What could not be compared."""
    reason: str
    """Why it could not be."""


@document
class HighSample:
    """A member that is beyond the threshold of one audit, and not of the other."""

    sample_id: str
    """In the audit in which it is highly memorized."""
    text_sha256: str
    """SHA-256 of the text, UTF-8."""
    old_bits: float | None
    """Bits in the old audit; null if it does not hold the text."""
    new_bits: float | None
    """Bits in the new audit; null if it does not hold the text."""


@document
class HighSamples:
    """The highly memorized members of two audits.

    A threshold is 10 bits, or the 99 % point of the audit's non-members where that is more; 10 bits in both audits if
    one of them has no non-members. Members that the other audit does not hold count as appeared or vanished, too.
    """

    old_threshold: float
    """Signed bits beyond which a member of the old audit counts as highly memorized."""
    new_threshold: float
    """Signed bits beyond which a member of the new audit counts as highly memorized."""
    n_old: int
    """Number of members beyond the threshold in the old audit, of all its members."""
    n_new: int
    """Number of members beyond the threshold in the new audit, of all its members."""
    n_appeared: int
    """Number of members beyond it in the new audit and not in the old one."""
    n_vanished: int
    """Number of members beyond it in the old audit and not in the new one."""
    appeared: tuple[HighSample, ...]
    """Members beyond the threshold in the new audit only, most bits first, at most 100."""
    vanished: tuple[HighSample, ...]
    """Members beyond the threshold in the old audit only, most bits first, at most 100."""


MOST_LISTED = 100
"""Members that are listed of those that appeared or vanished."""

ROUNDING = 1e-6
"""How far a change may lie from the difference of its figures, relative to them: sums are made in another order."""


@document
class Pairing:
    """How the samples of two audits were matched.

    Copies of one text are matched one to one, in the order of their ids.
    """

    paired: bool
    """Whether changes are measured text by text; if not, all samples of each audit are used."""
    n_members: int
    """Number of members that both audits hold: same text, same side, cut at the same place."""
    n_non_members: int
    """Number of non-members that both audits hold."""
    n_members_only_old: int
    """Number of members that only the old audit holds."""
    n_members_only_new: int
    """Number of members that only the new audit holds."""
    n_non_members_only_old: int
    """Number of non-members that only the old audit holds."""
    n_non_members_only_new: int
    """Number of non-members that only the new audit holds."""
    n_cut_differently: int
    """Number of texts on the same side in both audits, but scored to another length."""
    n_changed_sides: int
    """Texts that are members in one audit and non-members in the other."""


COMPARISON_VERSION = "1.3"


Reading = Literal["sound", "caution", "diagnosis"]


@document
class ComparedAudit:
    """One of the two audits."""

    path: str
    """Folder of the audit."""
    result_sha256: str
    """SHA-256 of the bytes of its result.json."""
    target: str
    """Target as it was given."""
    weights_sha256: str
    """SHA-256 fingerprint of the weights."""
    n_parameters: int
    """Number of parameters, tied ones once."""
    started_at: str
    """Time of the audit's start, ISO, UTC."""
    soundness: Verdict | None
    """Worst verdict of the soundness checks; null if there were none."""
    headline_attack: str | None
    """Attack that its verdict rests on, declared before looking; null if no attack was run."""
    n_members: int
    """Number of members of the audit."""
    n_non_members: int
    """Number of non-members of the audit."""
    checksums: Checksums | None = None
    """matched: checksums.json beside the audit agreed with it; absent: it came without; null: not known."""


@document
class AuditComparison:
    """What changed from one audit to another, written as ``comparison.json``."""

    schema_version: str = COMPARISON_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    level: float
    """Confidence level of the interval."""
    old: ComparedAudit
    """The old audit."""
    new: ComparedAudit
    """The new audit."""
    soundness: Verdict | None
    """The worse verdict of the two audits; null if neither was checked."""
    reading: Reading
    """sound: a change of the model; caution: something else moves figures too; diagnosis: a check forbids it."""
    headline_attack: str | None
    """Headline attack of the new audit; null if it is not compared."""
    pairing: Pairing
    """How the samples were matched."""
    changes: tuple[MetricChange, ...]
    """Bits first, then each attack."""
    differences: tuple[Difference, ...]
    """Besides the figures."""
    high: HighSamples | None
    """Members that became highly memorized, or no longer are; null without bits or common members."""
    left_out: tuple[LeftOut, ...] = field(default=())
    """What could not be compared."""
    warnings: tuple[str, ...] = field(default=())
    """Warnings to a reader of the figures."""

    def contradictions(self) -> Iterator[str]:
        """Say how changes, differences and reading disagree."""
        metrics = [one.metric for one in self.changes]
        if len(set(metrics)) < len(metrics):
            yield "the change of a figure stands twice"
        for one in self.changes:
            old, new, change = one.old.value, one.new.value, one.change.value
            if old is not None and new is not None and change is not None and not _is_difference(change, old, new):
                yield f"{one.metric[:80]!a} goes from {old:.6g} to {new:.6g}, and its change is {change:.6g}"
            if one.paired != self.pairing.paired:
                yield f"{one.metric[:80]!a} and the pairing disagree on whether texts are paired"
        effects = {one.effect for one in self.differences}
        if (self.reading == "diagnosis") != ("diagnosis" in effects):
            yield f"its reading is {self.reading}, which its differences do not say"
        if self.reading == "sound" and ("caution" in effects or not self.pairing.paired):
            yield "its reading is sound, and not only the models differ"
        verdicts = [one.soundness for one in (self.old, self.new) if one.soundness is not None]
        if self.soundness != worst_verdict(verdicts):
            yield f"soundness is {self.soundness or 'null'}, which is not the worse of its two audits"
        if self.soundness == "veto" and "diagnosis" not in effects:
            yield "soundness is veto, and no difference says so"
        yield from self._high_contradictions()

    def _high_contradictions(self) -> Iterator[str]:
        """Say how the counts of highly memorized members disagree."""
        if self.high is None:
            return
        if self.high.n_old - self.high.n_vanished != self.high.n_new - self.high.n_appeared:
            yield "highly memorized members: those that both audits hold are not as many in one as in the other"
        for what, n, listed in (
            ("appeared", self.high.n_appeared, self.high.appeared),
            ("vanished", self.high.n_vanished, self.high.vanished),
        ):
            if len(listed) != min(n, MOST_LISTED):
                yield f"highly memorized members: {n} {what}, and {len(listed)} are listed"


def _is_difference(change: float, old: float, new: float) -> bool:
    return abs(new - old - change) <= ROUNDING * max(1.0, abs(old), abs(new))


def read_comparison(path: Path) -> AuditComparison:
    """Read what ``auditor compare`` wrote.

    Raises
    ------
    ResultError
        If the file cannot be read or is no such document.
    """
    return read_document(path, AuditComparison, version=COMPARISON_VERSION, what="comparison (`auditor compare`)")
