"""The leaderboard document of `auditor bench`, and the state of its folder. The order of fields is the file format."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from .estimate import Estimate, TprAtFpr
from .files import document, read_document
from .result import Verdict

__all__ = [
    *("LEADERBOARD_VERSION", "BenchState", "BoardCell", "BoardData", "FailedAudit", "Leaderboard", "Standing"),
    *("read_bench_state", "read_leaderboard"),
]

LEADERBOARD_VERSION = "1.0"


@document
class BenchState:
    """What a folder of `auditor bench` is of: a second run goes on only if it asks for the same audits, or for more."""

    kind: Literal["bench"] = "bench"
    """Kind of the document."""
    schema_version: str = "1.0"
    """Version of this document's schema, MAJOR.MINOR."""
    title: str
    """Title of the bench."""
    audits: Mapping[str, str]
    """SHA-256 of the settings of every audit, by its folder."""


@document
class BoardData:
    """One data set as one seed drew it, with what its texts tell without any model."""

    data: str
    """Name of the data set in the bench."""
    seed: int
    """Seed that drew its texts."""
    source: str
    """Where it comes from: a public set by name, or the user's own texts."""
    licence: str | None
    """Licence of a public set as its authors state it; null for the user's own texts."""
    n_members: int
    """Number of members."""
    n_non_members: int
    """Number of non-members."""
    blind_auc: Estimate
    """AUC of a classifier that sees the texts and no model: what an attack must beat to show memorization."""
    blind_verdict: Verdict | None
    """Verdict of that classifier's permutation test; null if a side is too small for it."""
    separable: bool
    """Whether texts alone tell members from non-members, so that no AUC on this data set shows memorization."""
    caution: str | None
    """What is known of the set besides; null if nothing."""


@document
class BoardCell:
    """One attack on one target and one data set with one seed."""

    target: str
    """Name of the target in the bench."""
    data: str
    """Name of the data set in the bench."""
    seed: int
    """Seed of the audit, and of the draw of texts."""
    attack: str
    """Label of the attack, with its parameters."""
    folder: str
    """Folder of the audit, from that of the bench."""
    auc: Estimate
    """Area under the ROC curve."""
    tpr_at_fpr: tuple[TprAtFpr, ...]
    """True-positive rates at the configured false-positive rates."""
    p_value: float | None
    """One-sided p-value of an AUC of at most one half; null if undefined."""
    p_value_holm: float | None
    """The p-value adjusted by Holm over all cells of the bench; null if undefined."""
    soundness: Verdict | None
    """Worst verdict of the soundness checks of the audit; null if there were none."""
    result_sha256: str
    """SHA-256 of the audit's result.json."""


@document
class Standing:
    """One attack over all cells on which no soundness check forbids a verdict."""

    attack: str
    """Label of the attack, with its parameters."""
    mean_auc: Estimate
    """Mean AUC over its sound cells; undefined without any."""
    n_cells: int
    """Number of its sound cells."""
    n_vetoed: int
    """Number of its other cells, which do not count."""
    n_significant: int
    """Number of its sound cells with an AUC above one half after Holm."""


@document
class FailedAudit:
    """An audit that could not be done, and why."""

    folder: str
    """Folder of the audit, from that of the bench."""
    reason: str
    """Why it could not be done."""


@document
class Leaderboard:
    """Targets, attacks, data sets and seeds, every combination audited: one document, written as `leaderboard.json`."""

    kind: Literal["leaderboard"] = "leaderboard"
    """Kind of the document."""
    schema_version: str = LEADERBOARD_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    title: str
    """Title of the bench."""
    level: float
    """Confidence level of every interval."""
    n_audits: int
    """Number of audits that the bench asks for: done, failed, or not reached yet."""
    n_tests: int
    """Number of p-values that Holm's adjustment counts."""
    standings: tuple[Standing, ...]
    """Every attack over its sound cells, the highest mean AUC first."""
    data: tuple[BoardData, ...]
    """Every data set as every seed drew it, with its blind baseline."""
    cells: tuple[BoardCell, ...]
    """Every attack on every target and data set with every seed."""
    failed: tuple[FailedAudit, ...] = field(default=())
    """Audits that could not be done."""
    warnings: tuple[str, ...] = field(default=())
    """Warnings to a reader of the figures."""

    def contradictions(self) -> Iterator[str]:
        """Say which cells stand twice, or belong to no data set."""
        keys = [(one.target, one.data, one.seed, one.attack) for one in self.cells]
        if len(set(keys)) < len(keys):
            yield "a cell stands twice"
        if {(one.data, one.seed) for one in self.cells} - {(one.data, one.seed) for one in self.data}:
            yield "a cell is of a data set that is not listed"


def read_leaderboard(path: Path) -> Leaderboard:
    """Read what ``auditor bench`` wrote.

    Raises
    ------
    ResultError
        If the file cannot be read or is no such document.
    """
    return read_document(path, Leaderboard, version=LEADERBOARD_VERSION, what="leaderboard (`auditor bench`)")


def read_bench_state(path: Path) -> BenchState:
    """Read what a folder of ``auditor bench`` is of.

    Raises
    ------
    ResultError
        If the file cannot be read or is no such document.
    """
    return read_document(path, BenchState, version="1.0", what="state of a bench (`auditor bench`)")
