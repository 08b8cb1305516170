"""Risk by group, length, rarity of words, script and number of copies."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.result import RiskBreakdown, RiskGroup
from ..stats.clusters import Array, Ids, cluster_ids, influence_spread, pick_groups, with_copies
from ..stats.intervals import mean
from ..stats.metrics import auc, placements
from ..stats.p_values import holm
from ..stats.roc import score_sides

__all__ = ["Scored", "break_down"]

LEAST_IN_GROUP = 5  # to count in a test
LEAST_FOR_ESTIMATES = 10  # members, else a group is pooled with others
MAX_GROUPS = 100
MAX_NAMED = 20  # of the groups that are pooled
COPIES = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, None))

_Mask = NDArray[np.bool_]  # (n_samples,)
_Group = tuple[str, _Mask]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What is known of each sample.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Of the headline attack, higher for members.
    is_member : ndarray of bool, shape (n_samples,)
    clusters : sequence of (str or None), length n_samples
        Samples that are not independent.
    text_keys : sequence, length n_samples
        Equal for equal texts.
    signed_bits, posterior : ndarray of shape (n_samples,), or None
    level : float
    """

    scores: Array
    is_member: _Mask
    clusters: Sequence[str | None] | None
    text_keys: Sequence[Hashable]
    signed_bits: Array | None
    posterior: Array | None
    level: float


def break_down(
    samples: Scored,
    *,
    units: Sequence[str | None],
    n_bytes: NDArray[np.integer],
    rarity: Array | None,
    n_copies: NDArray[np.integer],
    scripts: Sequence[str] | None = None,
) -> tuple[RiskBreakdown, ...]:
    """Set groups of members beside each other, along up to five properties.

    Parameters
    ----------
    samples : Scored
    units : sequence of (str or None), length n_samples
        Group that the data name for each sample: the 20 largest with at least 5 members are set beside each other.
    n_bytes : ndarray of int, shape (n_samples,)
    rarity : ndarray of shape (n_samples,), or None
        Mean TF-IDF weight of the words; both are cut at the members' quartiles.
    n_copies : ndarray of int, shape (n_samples,)
        Times that the text stands among the members.
    scripts : sequence of str, length n_samples, optional
        Unicode script of each text; left out where all members are written in one.

    Returns
    -------
    tuple of RiskBreakdown
        A group of fewer than 10 members is pooled with the next, named groups with all other small ones, so that every
        member counts; where fewer than 10 are left even so, estimates are undefined. By group, samples of a group
        count as independent unless they are copies: the group is what is asked about, not a draw. Everywhere else
        `Scored.clusters` holds.
        By length, rarity and script the p-value is that of one AUC in all parts: scores follow all three without any
        membership, so members are set against non-members of the same part. By group and by copies, where all are set
        against the same non-members, it is Kruskal and Wallis's of the members' scores, with one value, the mean rank,
        for all samples of a cluster in a group, so that no cluster counts twice there.
    """
    copies = with_copies([None] * samples.is_member.size, samples.text_keys)
    named, pooled = _by_unit(units, samples.is_member)
    within = replace(samples, clusters=_own_clusters(samples, copies))
    found = [
        _breakdown(within, "group", "name", named, pooled),
        _breakdown(
            samples, "length", "bytes", list(_by_quartile(n_bytes.astype(np.float64), samples.is_member, ".0f"))
        ),
    ]
    if rarity is not None:
        quartiles = list(_by_quartile(rarity, samples.is_member, ".3g"))
        found.append(_breakdown(samples, "rarity", "mean TF-IDF weight of a word", quartiles))
    if scripts is not None:
        written, few = _by_script(scripts, samples.is_member)
        found += [_breakdown(samples, "script", "script", written, few)] if len(written) > 1 else []
    found.append(
        _breakdown(samples, "copies", "copies among the members", list(_by_copies(n_copies, samples.is_member)))
    )
    adjusted = holm([breakdown.p_value for breakdown in found])
    return tuple(replace(b, p_value=p) for b, p in zip(found, adjusted, strict=True))


def _own_clusters(samples: Scored, copies: Sequence[str | None] | None) -> list[str | None]:
    """Members in the clusters of their copies only, non-members in those that they have."""
    none = [None] * samples.is_member.size
    pairs = zip(samples.is_member, copies or none, samples.clusters or none, strict=True)
    return [copy if member else cluster for member, copy, cluster in pairs]


def _by_unit(units: Sequence[str | None], is_member: _Mask) -> tuple[list[_Group], list[str]]:
    """Give the groups that the data name, the largest first, the small ones together as the last; and name these."""
    counts = Counter(unit for unit, member in zip(units, is_member, strict=True) if member and unit is not None)
    sizes = counts.most_common()
    alone = [unit for unit, count in sizes[:MAX_GROUPS] if count >= LEAST_FOR_ESTIMATES]
    pooled = [unit for unit, _ in sizes[len(alone) :]]
    masks = {unit: ~is_member for unit in alone}
    together = ~is_member
    for index in np.flatnonzero(is_member).tolist():
        unit = units[index]
        if unit is not None:
            masks.get(unit, together)[index] = True
    label = pooled[0] if len(pooled) == 1 else f"{len(pooled)} smaller groups together"
    return [*masks.items(), *([(label, together)] if pooled else [])], pooled


def _by_script(scripts: Sequence[str], is_member: _Mask) -> tuple[list[_Group], list[str]]:
    """Give the members and non-members of each script, the most used first, the rare ones together; and name these."""
    named, pooled = _by_unit(scripts, is_member)
    written = np.array(scripts)
    alone = [(label, written == label) for label, _ in named[: len(named) - bool(pooled)]]
    return [*alone, *([(named[-1][0], np.isin(written, pooled))] if pooled else [])], pooled


def _runs(sizes: Sequence[int]) -> list[list[int]]:
    """Put neighbours together until none is too small to be measured, the smallest first, with its smaller neighbour.

    Examples
    --------
    >>> _runs([60, 50, 20, 4, 7]), _runs([60, 9, 20, 11]), _runs([3, 4]), _runs([])
    ([[0], [1], [2], [3, 4]], [[0], [1, 2], [3]], [[0, 1]], [])
    """
    runs = [[place] for place in range(len(sizes))]

    def size(at: int) -> int:
        return sum(sizes[place] for place in runs[at])

    while len(runs) > 1:
        least = min(range(len(runs)), key=size)
        if size(least) >= LEAST_FOR_ESTIMATES:
            break
        beside = min((at for at in (least - 1, least + 1) if 0 <= at < len(runs)), key=size)
        first = min(least, beside)
        runs[first : first + 2] = [runs[first] + runs[first + 1]]
    return runs


def _by_quartile(values: Array, is_member: _Mask, form: str) -> Iterator[_Group]:
    """Cut at the members' quartiles; the ends take non-members beyond them."""
    if not is_member.any():
        return
    own = values[is_member]
    cuts = np.unique(np.quantile(own, [0.25, 0.5, 0.75], method="inverted_cdf"))
    number = np.searchsorted(cuts, values, side="left")
    parts, sizes = np.unique(number[is_member], return_counts=True)
    for run in _runs(sizes.tolist()):
        here = np.isin(number, parts[run])
        inside = own[here[is_member]]
        yield f"{inside.min():{form}}-{inside.max():{form}}", here


def _by_copies(n_copies: NDArray[np.integer], is_member: _Mask) -> Iterator[_Group]:
    """Powers of two; against all non-members."""
    most = int(n_copies.max(initial=1))
    own = [is_member & (n_copies >= low) & (n_copies <= (high or most)) for low, high in COPIES]
    held = [(low, high, inside) for (low, high), inside in zip(COPIES, own, strict=True) if inside.any()]
    for run in _runs([int(inside.sum()) for *_, inside in held]):
        low, high = held[run[0]][0], held[run[-1]][1]
        inside = np.logical_or.reduce([held[place][2] for place in run])
        label = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        yield label, inside | ~is_member


def _breakdown(
    samples: Scored,
    by: Literal["group", "length", "rarity", "script", "copies"],
    unit: str,
    groups: Sequence[_Group],
    pooled: Sequence[str] = (),
) -> RiskBreakdown:
    test = _equal_scores if by in ("group", "copies") else _equal_areas
    p_value, reason = test(samples, groups)
    return RiskBreakdown(
        by=by,
        unit=unit,
        groups=tuple(_risk_group(samples, label, here) for label, here in groups),
        p_value=p_value,
        n_groups_left_out=len(pooled) if len(pooled) > 1 else 0,
        pooled=tuple(pooled[:MAX_NAMED]) if len(pooled) > 1 else (),
        undefined_reason=reason,
    )


def _risk_group(samples: Scored, label: str, here: _Mask) -> RiskGroup:
    """Measure the members of one group, and the non-members that they are set against."""
    members = here & samples.is_member
    n = int(members.sum())
    clusters = pick_groups(samples.clusters, here)
    few = f"at least {LEAST_FOR_ESTIMATES} members are needed, got {n}" if n < LEAST_FOR_ESTIMATES else None

    def average(values: Array | None, without: str) -> Estimate:
        problem = few or (without if values is None else None)
        if problem is not None or values is None:
            return Estimate.undefined(str(problem), level=samples.level, n_members=n)
        return mean(values[members], level=samples.level, groups=pick_groups(samples.clusters, members))

    area = (
        Estimate.undefined(few, level=samples.level, n_members=n, n_non_members=int(here.sum()) - n)
        if few
        else auc(samples.scores[here], samples.is_member[here], level=samples.level, groups=clusters)
    )
    posterior = average(samples.posterior, "there are no posteriors")
    return RiskGroup(
        label=label,
        n_members=n,
        mean_bits=None if samples.signed_bits is None else average(samples.signed_bits, ""),
        auc=area,
        posterior=replace(posterior.mapped(lambda end: min(max(end, 0.0), 1.0)), unseen_below=None),
    )


def _equal_areas(samples: Scored, strata: Sequence[_Group]) -> tuple[float | None, str | None]:
    """P-value of one AUC in all strata, or why there is none (Welch 1951, with the AUC in place of the mean)."""
    found = [area for _, here in strata if (area := _stratum_area(samples, here)) is not None]
    if len(found) < 2:
        return None, f"at least 2 parts with {LEAST_IN_GROUP} independent samples a side are needed, got {len(found)}"
    areas, variances, df = np.array(found).T
    weights = 1 / variances
    shares, n = weights / weights.sum(), len(found)
    between = float(np.sum(weights * (areas - np.sum(shares * areas)) ** 2)) / (n - 1)
    wobble = float(np.sum((1 - shares) ** 2 / df))
    scale = 1 + 2 * (n - 2) / (n**2 - 1) * wobble
    return float(scipy.stats.f.sf(between / scale, n - 1, (n**2 - 1) / (3 * wobble))), None


def _stratum_area(samples: Scored, here: _Mask) -> tuple[float, float, float] | None:
    """AUC within a stratum with its variance and degrees of freedom; None where a side is too small.

    Where members and non-members are all but separated the variance is at least that of one text misranked by half.
    """
    sides = score_sides(samples.scores[here], samples.is_member[here], pick_groups(samples.clusters, here))
    if (
        sides.problem
        or min(np.unique(ids).size for ids in (sides.cluster_members, sides.cluster_non_members)) < LEAST_IN_GROUP
    ):
        return None
    above, below = placements(sides)
    area, least = float(above.mean()), min(above.size, below.size)
    spread = influence_spread(
        (above - area) / above.size, (below - area) / below.size, sides.cluster_members, sides.cluster_non_members
    )
    shrunk = (area * least + 0.5) / (least + 1)
    return area, max(spread.variance, shrunk * (1 - shrunk) / least**2), min(spread.df, least - 1.0)


def _equal_scores(samples: Scored, groups: Sequence[_Group]) -> tuple[float | None, str | None]:
    """P-value of equal scores in all groups of members, or why there is none."""
    ranks = scipy.stats.rankdata(samples.scores)
    cluster = cluster_ids(samples.is_member.size, samples.clusters)
    cells = [_cluster_means(ranks, cluster, here & samples.is_member) for _, here in groups]
    told = [cell for cell in cells if cell.size >= LEAST_IN_GROUP]
    if len(told) < 2:
        return None, f"at least 2 groups of {LEAST_IN_GROUP} independent members are needed, got {len(told)}"
    if np.ptp(np.concatenate(told)) == 0:
        return None, "all members have the same score"
    return float(scipy.stats.kruskal(*told).pvalue), None


def _cluster_means(values: Array, cluster: Ids, here: _Mask) -> Array:
    """Mean of each cluster's values in a group, shape (n_clusters_here,)."""
    number = np.unique(cluster[here], return_inverse=True)[1]
    means: Array = np.bincount(number, weights=values[here]) / np.bincount(number)
    return means
