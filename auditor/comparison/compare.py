"""The comparison of two audits: both folders in, one frozen document out. The order of the fields is the format."""

from pathlib import Path

from ..documents.comparison import AuditComparison, ComparedAudit, Difference, LeftOut, Pairing, Reading
from ..documents.result import AuditResult, worst_verdict
from ..documents.sample_table import SampleTable
from ..errors import ConfigError, ResultError
from ..stats.clusters import with_copies
from ..version import __version__
from .audited import AuditedFolder, read_audit
from .changes import metric_changes
from .differences import comparable_attacks, differences
from .high import high_samples
from .pairing import Matched, match_samples

__all__ = ["compare_audits", "compare_folders"]


FEW = 0.5
"""Share of the smaller audit's samples below which paired ones may not stand for all."""

_OF_NEAR_DUPLICATES = ("near_duplicates", "near_duplicates_within")
"""Checks whose figure is 0 where no text has a near-duplicate."""


def compare_audits(old: Path, new: Path, *, level: float = 0.95) -> AuditComparison:
    """Compare two finished audits.

    Where texts are the same, each is its own control, so that a change is seen that the intervals of the two audits
    would hide. Where no texts are, the audits are compared as independent ones, and the rows say so.

    Parameters
    ----------
    old, new : Path
        Folders of audits, each with ``result.json`` and ``samples.parquet``.
    level : float
        Of every interval, each on its own.

    Raises
    ------
    ConfigError
        If the level is not in [0.5, 1).
    ResultError
        If a file is missing or not what it claims to be, the members of one audit are the non-members of the other, or
        nothing is left that both audits measured.

    Notes
    -----
    Intervals cover the sampling of texts, not of training runs: another seed of the same training changes figures,
    too. Clusters are the groups that the data named and copies of one text; an audit clusters near-duplicates as well,
    which its samples do not record, so that here intervals are shorter where there are many (a warning says so).
    """
    _check_level(level)  # before anything is read
    return compare_folders(read_audit(old), read_audit(new), level=level)


def _check_level(level: float) -> None:
    if not 0.5 <= level < 1:
        raise ConfigError(f"confidence must be in [0.5, 1), got {level}; a percentage? use 0.95")


def compare_folders(before: AuditedFolder, after: AuditedFolder, *, level: float = 0.95) -> AuditComparison:
    """Compare two finished audits that were read already; see :func:`compare_audits`.

    Raises
    ------
    ConfigError, ResultError
        As it does.
    """
    _check_level(level)
    old, new = before.path, after.path
    first, second = before.result, after.result
    if first.provenance.salt != second.provenance.salt:
        names = [one.provenance.salt or "none" for one in (first, second)]
        raise ResultError(
            f"{old} and {new} key the hashes of texts with other salts ({names[0]} and {names[1]}), so that none is "
            "known again: audit both with the same --salt"
        )
    matched = match_samples(before.samples, after.samples)
    labels, left_out = comparable_attacks(first, second)
    changes = metric_changes(
        before.samples, after.samples, matched, labels=labels, fprs=_fprs(first, second), level=level
    )
    left_out += _not_compared(before.samples, after.samples, labels)
    if not changes:
        reasons = "; ".join(f"{one.what}: {one.reason}" for one in left_out[-2:])
        raise ResultError(f"{old} and {new} have no figure in common ({reasons}); audit both with the same options")
    found = differences(first, second)
    warnings = _warnings(before, after, matched)
    headline = None if second.selection is None else second.selection.headline
    return AuditComparison(
        auditor_version=__version__,
        level=level,
        old=_described(before),
        new=_described(after),
        soundness=worst_verdict(one.soundness.verdict for one in (first, second) if one.soundness is not None),
        reading=_reading(found, matched, cautious=bool(warnings)),
        headline_attack=headline if headline in labels else None,
        pairing=matched.pairing,
        changes=changes,
        differences=found,
        high=high_samples(before.samples, after.samples, matched),
        left_out=tuple(left_out),
        warnings=tuple(warnings),
    )


def _fprs(*results: AuditResult) -> list[float]:
    """List all false-positive rates that either audit reports at: the scores allow any."""
    return sorted({rate.fpr for result in results for attack in result.attacks for rate in attack.tpr_at_fpr})


def _not_compared(old: SampleTable, new: SampleTable, labels: list[str]) -> list[LeftOut]:
    """Say which kinds of figures one of the audits, or both, cannot have."""
    found = []
    bare = [name for name, samples in (("old", old), ("new", new)) if samples.is_member.all()]
    if bare:
        reason = f"the {' and the '.join(bare)} audit has no non-members"
        found.append(LeftOut(what="AUC, rates and debiased bits", reason=reason))
    elif not labels:
        found.append(LeftOut(what="AUC and rates", reason="no attack was run alike in both audits"))
    without = [name for name, samples in (("old", old), ("new", new)) if samples.signed_bits is None]
    if without:
        found.append(LeftOut(what="bits", reason=f"the {' and the '.join(without)} audit has no reference model"))
    return found


def _reading(found: tuple[Difference, ...], matched: Matched, *, cautious: bool) -> Reading:
    effects = {difference.effect for difference in found}
    if "diagnosis" in effects:
        return "diagnosis"
    return "caution" if "caution" in effects or cautious or not matched.pairing.paired else "sound"


def _described(audit: AuditedFolder) -> ComparedAudit:
    result = audit.result
    target = next(model for model in result.provenance.models if model.role == "target")
    return ComparedAudit(
        path=str(audit.path),
        result_sha256=audit.result_sha256,
        target=target.path if target.adapter is None else f"{target.path} + adapter {target.adapter}",
        weights_sha256=target.weights_sha256,
        n_parameters=target.n_parameters,
        started_at=result.provenance.started_at,
        soundness=None if result.soundness is None else result.soundness.verdict,
        headline_attack=None if result.selection is None else result.selection.headline,
        n_members=result.data.members.n_samples,
        n_non_members=result.data.non_members.n_samples if result.data.non_members else 0,
        checksums="matched" if audit.is_vouched_for else "absent",
    )


def _warnings(old: AuditedFolder, new: AuditedFolder, matched: Matched) -> list[str]:
    """Say what makes the changes other than they look."""
    pairing, found = matched.pairing, []
    if not pairing.paired:
        found.append(
            f"the audits have {pairing.n_members} members and {pairing.n_non_members} non-members in common, too few "
            "to compare text by text: changes are not paired, their intervals treat the audits as independent, and the "
            "texts may be their cause as well as the model"
        )
    else:
        found += _few_paired(old.samples, new.samples, pairing)
    if pairing.n_cut_differently:
        found.append(
            f"{pairing.n_cut_differently} texts that both audits hold were cut at another place and are not paired "
            "(another --max-tokens, tokenizer or context window?)"
        )
    if pairing.n_changed_sides:
        found.append(
            f"{pairing.n_changed_sides} texts are members in one audit and non-members in the other, and not paired"
        )
    if any(_hides_clusters(audit) for audit in (old, new)):
        found.append(
            "the audits found near-duplicates, which the samples do not record: only exact copies count as one piece "
            "of evidence here, so intervals may be too short"
        )
    return found


def _hides_clusters(audit: AuditedFolder) -> bool:
    """Whether the audit knew of clusters that its samples do not show."""
    shown = with_copies(audit.samples.group, audit.samples.text_sha256)
    checks = audit.result.soundness.checks if audit.result.soundness else ()
    return shown is None and any(check.figure for check in checks if check.name in _OF_NEAR_DUPLICATES)


def _few_paired(old: SampleTable, new: SampleTable, pairing: Pairing) -> list[str]:
    """Warn of sides of which less than half is compared."""
    found = []
    for name, n_paired, is_member in (
        ("members", pairing.n_members, True),
        ("non-members", pairing.n_non_members, False),
    ):
        smaller = min(int((samples.is_member == is_member).sum()) for samples in (old, new))
        if n_paired < FEW * smaller:
            found.append(
                f"only {n_paired} {name} are in both audits, of {smaller} in the smaller one: changes are those of "
                "these texts, which may not stand for the others"
            )
    return found
