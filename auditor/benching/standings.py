"""The leaderboard of a bench: cells of finished audits, Holm over all of them, and attacks in order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..comparison.audited import AuditedFolder
from ..documents.estimate import Estimate
from ..documents.leaderboard import BoardCell, BoardData, FailedAudit, Leaderboard, Standing
from ..documents.sample_table import SampleColumns
from ..stats.metrics import auc
from ..stats.p_values import holm
from ..version import __version__
from .plan import DataEntry

__all__ = ["Done", "leaderboard", "mean_auc"]

_NARROW = "folds share their training texts, so the interval is rather narrow: the verdict is a permutation test's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished audit and its place in the bench."""

    target: str
    entry: DataEntry
    seed: int
    folder: str
    audit: AuditedFolder


def leaderboard(
    title: str, done: Sequence[Done], *, n_audits: int, level: float, failed: Sequence[FailedAudit] = ()
) -> Leaderboard:
    """Set the audits of a bench beside each other.

    Parameters
    ----------
    title : str
    done : sequence of Done
        In the order of the bench.
    n_audits : int
        Audits that the bench asks for.
    level : float
        Of every interval.
    failed : sequence of FailedAudit

    Returns
    -------
    Leaderboard
        Holm's adjustment counts every cell that has a p-value, of vetoed audits too: that costs power and no validity.
    """
    cells = _adjusted([cell for one in done for cell in _cells(one)])
    first: dict[tuple[str, int], Done] = {}
    for one in done:
        first.setdefault((one.entry.name, one.seed), one)
    data = tuple(_board_data(one, level) for one in first.values())
    separable = sorted({one.data for one in data if one.separable})
    warnings = [f"{name}: texts alone tell the sides apart; no AUC on it shows memorization" for name in separable]
    return Leaderboard(
        auditor_version=__version__,
        title=title,
        level=level,
        n_audits=n_audits,
        n_tests=sum(cell.p_value is not None for cell in cells),
        standings=_standings(cells, level),
        data=data,
        cells=cells,
        failed=tuple(failed),
        warnings=tuple(warnings),
    )


def _cells(done: Done) -> list[BoardCell]:
    result = done.audit.result
    return [
        BoardCell(
            target=done.target,
            data=done.entry.name,
            seed=done.seed,
            attack=attack.attack,
            folder=done.folder,
            auc=attack.auc,
            tpr_at_fpr=attack.tpr_at_fpr,
            p_value=attack.p_value,
            p_value_holm=None,
            soundness=None if result.soundness is None else result.soundness.verdict,
            result_sha256=done.audit.result_sha256,
        )
        for attack in result.attacks
    ]


def _adjusted(cells: Sequence[BoardCell]) -> tuple[BoardCell, ...]:
    adjusted = holm([cell.p_value for cell in cells])
    return tuple(replace(cell, p_value_holm=p) for cell, p in zip(cells, adjusted, strict=True))


def _board_data(done: Done, level: float) -> BoardData:
    """Describe a data set by the first audit of it; the blind classifier reads texts as that audit scored them."""
    samples, result, entry = done.audit.samples, done.audit.result, done.entry
    n_members = int(samples.is_member.sum())
    n_non_members = len(samples.is_member) - n_members
    checks = () if result.soundness is None else result.soundness.checks
    score = SampleColumns(done.audit.path / "samples.parquet").numbers_if_any("blind_score")
    check = next((one for one in checks if one.name == "blind_baseline" and score is not None), None)
    if score is None:
        blind = Estimate.undefined(
            "a side has too few texts for a classifier", level=level, n_members=n_members, n_non_members=n_non_members
        )
    else:
        groups = list(samples.group) if any(samples.group) else None
        blind = replace(auc(score, samples.is_member, level=level, groups=groups), caveat=_NARROW)
    public = entry.public
    return BoardData(
        data=entry.name,
        seed=done.seed,
        source=entry.source,
        licence=None if public is None else public.licence,
        n_members=n_members,
        n_non_members=n_non_members,
        blind_auc=blind,
        blind_verdict=None if check is None else check.verdict,
        separable=check is not None and check.verdict == "veto",
        caution=None if public is None else public.caution_of(entry.part or ""),
    )


def _standings(cells: Sequence[BoardCell], level: float) -> tuple[Standing, ...]:
    """Order the attacks by their mean AUC over sound cells; those without any come last."""
    standings = []
    for attack in dict.fromkeys(cell.attack for cell in cells):
        of_attack = [cell for cell in cells if cell.attack == attack]
        sound = [cell for cell in of_attack if cell.soundness != "veto"]
        standings.append(
            Standing(
                attack=attack,
                mean_auc=mean_auc(sound, level),
                n_cells=len(sound),
                n_vetoed=len(of_attack) - len(sound),
                n_significant=sum(
                    cell.p_value_holm is not None and cell.p_value_holm <= (1 - level) / 2 for cell in sound
                ),
            )
        )
    return tuple(sorted(standings, key=lambda one: -math.inf if one.mean_auc.value is None else one.mean_auc.value,
                        reverse=True))  # fmt: skip


def mean_auc(cells: Sequence[BoardCell], level: float) -> Estimate:
    """Mean AUC of cells that may share texts and models.

    Parameters
    ----------
    cells : sequence of BoardCell
    level : float
        Of the cells' intervals, and of this one.

    Returns
    -------
    Estimate
        Undefined without a cell that has an AUC.

    Notes
    -----
    The standard deviation of a mean is at most the mean of the standard deviations, whatever the cells have in common
    (Minkowski's inequality), with equality if all move together. So each arm is the mean of the cells' arms: it is as
    short as it can be for audits of the same texts, and too long for audits of different ones.
    ``benchmarks/bench_mean.py`` simulates both.
    """
    found = [one.auc for one in cells if one.auc.value is not None]
    if not found:
        reason = "every cell is vetoed" if not cells else "no cell has an AUC"
        return Estimate.undefined(reason, level=level)
    value, low, high = (sum(getattr(one, end) for one in found) / len(found) for end in ("value", "low", "high"))
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        level=level,
        method="mean over cells; arms are the mean of the cells' arms, which hold whatever the cells share",
        n_members=max(one.n_members for one in found),
        n_non_members=max(one.n_non_members for one in found),
    )
