"""The blind baseline: how far the looks of the texts alone, without any model, tell members from non-members.

What a classifier of looks can do, the AUC of an attack does not prove. CPU seconds of one thread,
texts of 300 bytes: 0.9 for 1,000, 7.6 for 10,000 (4,000 of them fitted); beyond, 0.25 milliseconds a text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from ..documents.result import CheckResult, Verdict
from ..stats.clusters import Array, Groups, Ids, cluster_ids
from ..stats.crossfit import N_FOLDS, group_folds
from .looks import Kernel, Looks, left_out, left_out_by_steps
from .text_features import FAMILIES, READ_CHARACTERS, features_of, in_blocks

__all__ = ["BLIND_VETO_AUC", "BlindBaseline", "blind_baseline", "blind_check"]

BLIND_P = 0.01
"""Most chance of so high an AUC in an honest split at which the check no longer passes."""
BLIND_VETO_AUC = 0.6
"""The AUC of `reference_alone`'s veto. Published attacks on language models mostly lie between .5 and .65, so that
from here on looks alone explain what an attack finds. Splits by date reach .8 to .99; one that put whole threads on one
side reached .61."""
FEW_A_SIDE = 20
"""Clusters on a side below which permutations of whole clusters say little."""

N_PERMUTATIONS = 499
_COUNTED = 40
PLANTED = np.linspace(0.05, 1.0, 20)
"""Shares of foreign texts that are planted among the members, to see which of them the check finds."""
N_PLANTED = 20
"""Sides that are drawn for each share."""
FOUND = 0.8
"""Share of such sides that must be found."""
FIT_TEXTS = 4_000
FIT_CHARACTERS = 10_000_000

Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlindBaseline:
    """What the looks of the texts say of membership.

    Parameters
    ----------
    score : ndarray of float64, shape (n_samples,), or None
        Log-odds of membership of each text by a classifier that did not train on it or on its cluster, linearised about
        the share of members; higher for members. A covariate for `residualised_auc`.
    auc : float or None
        Area under the curve of the out-of-fold score; its interval under the null is ``null_low`` to ``null_high``.
    p_value : float or None
        Chance of at least this AUC if the sides were drawn at random: ``(1 + #{permuted >= auc}) / (1 + B)``.
    null_low, null_high : float or None
        Central 95% of the AUCs of permuted labels.
    n_permutations : int
    families : mapping of str to float
        AUC of each family of features (`auditor.soundness.text_features.FAMILIES`) by itself.
    n_members, n_non_members, n_fitted : int
        Samples, and how many of them the classifier was fitted and judged on (the others are only scored).
    detectable_share : float or None
        Smallest share of foreign texts among the members that the check finds with a probability of `FOUND`, where they
        differ from the rest as the two halves of these texts do that differ most in looks; None if it finds no share.
    undefined_reason : str or None
        Why nothing above is defined; None if it is.
    """

    score: Array | None
    auc: float | None
    p_value: float | None
    null_low: float | None
    null_high: float | None
    n_permutations: int
    families: Mapping[str, float]
    n_members: int
    n_non_members: int
    n_fitted: int
    detectable_share: float | None = None
    undefined_reason: str | None = None

    @property
    def strongest(self) -> str:
        """The family of features with the highest AUC by itself."""
        return max(self.families, key=lambda name: self.families[name])


def blind_baseline(
    texts: Sequence[str],
    is_member: Labels,
    groups: Groups,
    *,
    seed: int,
    on_permutation: Callable[[int, int], None] | None = None,
) -> BlindBaseline:
    """Train a classifier of looks on part of the texts, judge it on the rest, and compare with shuffled labels.

    Parameters
    ----------
    texts : sequence of str, length n_samples
        As scored; read a block at a time.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, or None
        Clusters, copies together (see `with_copies`): never both in training and in test.
    seed : int
        Of the folds and the permutations.
    on_permutation : callable, optional
        Told how many permutations are done, and of how many.

    Returns
    -------
    BlindBaseline
        Undefined if a side has fewer than 20 clusters.

    Raises
    ------
    ValueError
        If the lengths differ.

    Notes
    -----
    Ridge regression of the label on four families of features, each scaled to the same variance: TF-IDF of words and
    pairs, and of runs of 2-5 characters inside words (hashed, so that no vocabulary is kept); quantiles of lengths, and
    of shares of digits, capitals and the like, with their products. Five folds, stratified, clusters
    whole; labels are fitted on the training folds only. Weights of n-grams, quantiles and centres, which are made
    without labels, are those of all texts: every permutation meets the same, so that the test stays exact. Nothing is
    tuned.

    The cross-fitted AUC of honest splits scatters more than its Mann-Whitney interval says, because folds share
    their training texts, so it is compared with what the same classifier makes of permuted labels. These are
    permuted within folds, so that every permutation is as stratified as the labels are: single samples
    among each other, clusters that lie on one side as wholes, and inside clusters that lie on both. Ridge
    regression is linear in the labels, so that 499 permutations cost little more than one (`left_out`). Products are
    of single precision, and the AUC of each family alone is found to about 0.001 (`left_out_by_steps`).

    The test is one-sided. An AUC below the null range does not tell the sides apart: it comes about where near-copies
    lie on opposite sides, and is said so in the check.

    What a passed test could not have seen is found out on the same texts: random splits are changed until the members
    hold a share more of one kind of text than the non-members; how often is that found? The kind is the half
    of the clusters on one side of the leading principal component of the looks, the difference between these texts that
    shows most. As only labels change, no kernel is computed for it but the one of all texts. Texts that are
    more unlike are found at smaller shares, texts that differ less at larger ones.

    Of a text, the n-grams of the first 20,000 characters count. At most 4,000 texts (10 million characters) are
    fitted and judged, drawn in whole clusters; the others are scored by a classifier that saw none of them.

    References
    ----------
    .. [1] Das, Zhang, Tramer, *Blind baselines beat membership inference attacks for foundation models*,
       arXiv:2406.16201, sec. 3. Their code tunes on the test texts, too; we tune nothing.
    .. [2] Ojala, Garriga, *Permutation tests for studying classifier performance*, JMLR 11, 2010, test 1.
    .. [3] Winkler et al., *Multi-level block permutation*, NeuroImage 123, 2015 (exchange within and of blocks).
    """
    labels = np.asarray(is_member, dtype=np.bool_)
    if len(texts) != labels.size:
        raise ValueError(f"one label a text is needed: got {labels.size} for {len(texts)} texts")
    cluster = cluster_ids(labels.size, groups)
    rng = np.random.default_rng(seed)
    fitted = _drawn(texts, labels, cluster, rng)
    problem = _problem(labels[fitted], cluster[fitted])
    if problem:
        return _undefined(labels, problem)
    features = features_of(texts, fitted)
    observed, owners = labels[fitted], np.unique(cluster[fitted], return_inverse=True)[1]
    fold = group_folds(observed, owners, rng=np.random.default_rng(seed))
    looks, share = Looks(features), observed.mean()
    alone, kernel = {}, np.zeros((fitted.size, fitted.size), dtype=np.float32)
    for name in FAMILIES:
        likeness = looks.kernel(name)
        alone[name] = left_out_by_steps(likeness, observed - share, fold)
        kernel += likeness
        del likeness
    kernel /= np.float32(len(FAMILIES))
    units = _Units.of(observed, owners, fold)
    permuted = units.permuted(observed, N_PERMUTATIONS, rng)
    honest = units.permuted(observed, PLANTED.size * N_PLANTED, rng)
    planted = units.planted(honest, _kind(kernel, owners, rng), rng)
    candidates = np.column_stack([observed, permuted, planted])
    predicted, dual = left_out(kernel, candidates - share, fold)
    score = np.empty(labels.size)
    score[fitted] = predicted[:, 0]
    others, score_by_looks = np.setdiff1d(np.arange(labels.size), fitted), looks.scorer(dual)
    for part in in_blocks(others):
        score[part] = score_by_looks(features_of(texts, part))[np.arange(part.size), part % N_FOLDS]
    areas, found = np.split(_counted_areas(predicted, candidates, on_permutation), [1 + N_PERMUTATIONS])
    low, high = np.quantile(areas[1:], [0.025, 0.975])
    return BlindBaseline(
        score=np.asarray(score / (share * (1 - share)) + np.log(share / (1 - share))),
        auc=float(areas[0]),
        p_value=_p_values(areas[:1], areas[1:]).item(),
        null_low=float(low),
        null_high=float(high),
        n_permutations=N_PERMUTATIONS,
        families={name: float(_areas(values[:, None], observed[:, None])[0]) for name, values in alone.items()},
        n_members=int(labels.sum()),
        n_non_members=int((~labels).sum()),
        n_fitted=fitted.size,
        detectable_share=_detectable(_p_values(found, areas[1:]) <= BLIND_P),
    )


def blind_check(blind: BlindBaseline) -> CheckResult:
    """Judge the blind baseline: pass if an honest split would often give its AUC, veto if not and it is high.

    The detail names families of features, never words of the texts.
    """
    remedy = (
        "split one pool at random before training (auditor split), match lengths and dates, or read the residualised "
        "AUCs beside"
    )
    if blind.auc is None or blind.p_value is None:
        return CheckResult(
            name="blind_baseline",
            verdict="warn",
            figure=None,
            unit="AUC",
            detail=f"whether looks alone tell the sides apart is not known: {blind.undefined_reason}",
            remedy="give more texts, better several hundred a side",
        )
    verdict: Verdict = "pass"
    if blind.p_value <= BLIND_P:
        verdict = "veto" if blind.auc >= BLIND_VETO_AUC else "warn"
    says = {
        "pass": "does not tell the sides apart",
        "warn": "tells the sides apart, if a little,",
        "veto": "tells the sides apart",
    }[verdict]
    detail = (
        f"a classifier that sees the texts and no model {says} at the {BLIND_P:.0%} level: "
        f"AUC {blind.auc:.3f}, p = {blind.p_value:.3f}; "
        f"{blind.n_permutations} permutations of the labels give {blind.null_low:.3f} to {blind.null_high:.3f} (95%); "
        f"strongest family: {FAMILIES[blind.strongest]}, AUC {blind.families[blind.strongest]:.3f}"
    )
    if verdict == "pass":
        detail += f"; {_reach(blind)}"
    if blind.null_low is not None and blind.auc < blind.null_low:
        detail += "; below the range of permuted labels, as where near-copies lie on opposite sides"
    n_samples = blind.n_members + blind.n_non_members
    if blind.n_fitted < n_samples:
        detail += f"; from {blind.n_fitted} of {n_samples} texts, drawn at random"
    return CheckResult(
        name="blind_baseline",
        verdict=verdict,
        figure=blind.auc,
        unit="AUC",
        detail=detail,
        remedy=None if verdict == "pass" else remedy,
        detectable_share=blind.detectable_share,
    )


def _reach(blind: BlindBaseline) -> str:
    """Say which shift so many texts could have shown."""
    if blind.detectable_share is None:
        return f"so few texts show no share of foreign texts among the members in {FOUND:.0%} of simulated splits"
    return (
        f"so many texts show {blind.detectable_share:.0%} of foreign texts among the members in {FOUND:.0%} of "
        "simulated splits (foreign: as the halves of these texts that differ most); fewer may go unseen"
    )


def _p_values(areas: Array, null: Array) -> Array:
    return np.asarray((1 + (null >= areas[:, None]).sum(axis=1)) / (1 + null.size))


def _detectable(is_found: Labels) -> float | None:
    """Smallest planted share that is found often enough, the shares of found splits being made to rise."""
    from sklearn.isotonic import IsotonicRegression

    power = is_found.reshape(PLANTED.size, N_PLANTED).mean(axis=1)
    enough = np.flatnonzero(IsotonicRegression().fit_transform(PLANTED, power) >= FOUND)
    return float(PLANTED[enough[0]]) if enough.size else None


def _kind(kernel: Kernel, cluster: Ids, rng: np.random.Generator) -> Labels:
    """Whether each sample is of one kind of looks: half of the clusters, by their leading principal component."""
    from scipy.sparse.linalg import eigsh

    leading = eigsh(kernel, k=1, v0=rng.standard_normal(len(kernel)))[1][:, 0]
    mean = np.bincount(cluster, weights=leading) / np.bincount(cluster)
    return np.asarray((mean > np.median(mean))[cluster])


def _undefined(labels: Labels, reason: str) -> BlindBaseline:
    return BlindBaseline(
        score=None,
        auc=None,
        p_value=None,
        null_low=None,
        null_high=None,
        n_permutations=0,
        families={},
        n_members=int(labels.sum()),
        n_non_members=int((~labels).sum()),
        n_fitted=0,
        undefined_reason=reason,
    )


def _problem(labels: Labels, cluster: Ids) -> str | None:
    """Why nothing can be told, or None."""
    for name, side in (("members", labels), ("non-members", ~labels)):
        n_clusters = np.unique(cluster[side]).size
        if n_clusters < FEW_A_SIDE:
            return f"at least {FEW_A_SIDE} different texts or groups a side are needed, the {name} have {n_clusters}"
    return None


def _drawn(texts: Sequence[str], labels: Labels, cluster: Ids, rng: np.random.Generator) -> Ids:
    """Draw whole clusters at random up to the limits, both sides in turn, so that a small side is drawn whole."""
    sizes = np.array([min(len(text), READ_CHARACTERS) for text in texts])
    if sizes.size <= FIT_TEXTS and sizes.sum() <= FIT_CHARACTERS:
        return np.arange(sizes.size)
    side = np.bincount(cluster, weights=labels) > np.bincount(cluster) / 2
    turn = np.empty(side.size)
    for one in (side, ~side):
        turn[one] = rng.permutation(int(one.sum()))
    turns = turn[cluster]
    order = np.argsort(turns, kind="stable")
    room = (np.cumsum(sizes[order]) <= FIT_CHARACTERS) & (np.arange(sizes.size) < FIT_TEXTS)
    return np.flatnonzero(turns < turns[order[room]].max(initial=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """What labels move in, within blocks: single samples, and clusters of one label as wholes.

    The samples of a mixed cluster are units, and the cluster is their block.

    Parameters
    ----------
    unit : ndarray of int64, shape (n_samples,)
        Unit of each sample.
    first, block : ndarray of int64, shape (n_units,)
        A sample of each unit, and the units that its label may be exchanged with.
    n_blocks : int
        Blocks of units of any cluster; those of mixed clusters have higher numbers.
    """

    unit: Ids
    first: Ids
    block: Ids
    n_blocks: int = 2 * N_FOLDS

    @classmethod
    def of(cls, labels: Labels, cluster: Ids, fold: Ids) -> "_Units":
        sizes, share = np.bincount(cluster), np.bincount(cluster, weights=labels)
        mixed = ((share > 0) & (share < sizes))[cluster]
        unit = np.unique(np.where(mixed, cluster.size + np.arange(cluster.size), cluster), return_inverse=True)[1]
        first = np.unique(unit, return_index=True)[1]
        block = np.where(mixed, 2 * N_FOLDS + cluster, 2 * fold + (sizes[cluster] > 1))[first]
        return cls(unit=unit, first=first, block=block)

    def permuted(self, labels: Labels, n: int, rng: np.random.Generator) -> Labels:
        """Permute the labels within blocks, shape (n_samples, n)."""
        permuted = np.empty((labels.size, n), dtype=np.bool_)
        home, moving = np.argsort(self.block, kind="stable"), labels[self.first]
        for column in permuted.T:
            moved = np.empty_like(moving)
            moved[home] = moving[np.lexsort((rng.random(self.block.size), self.block))]
            column[:] = moved[self.unit]
        return permuted

    def planted(self, honest: Labels, kind: Labels, rng: np.random.Generator) -> Labels:
        """Exchange labels until members have a share more of one kind, `PLANTED` in turn, `N_PLANTED` columns each.

        In each block, members of the other kind give their labels to non-members of this one, as far as there are any.
        """
        planted, is_kind = honest.copy(), kind[self.first]
        for block in range(self.n_blocks):
            inside = np.flatnonzero(self.block == block)
            if not inside.size:
                continue
            of_kind, others = inside[is_kind[inside]], inside[~is_kind[inside]]
            for column, share in zip(planted.T, np.repeat(PLANTED, N_PLANTED), strict=True):
                label = column[self.first]
                n_members = label[inside].sum()
                wanted = share * n_members * (inside.size - n_members) / inside.size
                give, take = others[label[others]], of_kind[~label[of_kind]]
                n = min(int(wanted + rng.random()), give.size, take.size)
                label[rng.permutation(give)[:n]], label[rng.permutation(take)[:n]] = False, True
                column[:] = label[self.unit]
        return planted


def _counted_areas(scores: NDArray[Any], labels: Labels, on_permutation: Callable[[int, int], None] | None) -> Array:
    """AUC of each column, of which the permutations are counted."""
    areas = []
    for start in range(0, scores.shape[1], _COUNTED):
        columns = slice(start, start + _COUNTED)
        areas.append(_areas(scores[:, columns], labels[:, columns]))
        if on_permutation is not None and start < N_PERMUTATIONS:
            on_permutation(min(start + _COUNTED, N_PERMUTATIONS), N_PERMUTATIONS)
    return np.concatenate(areas)


def _areas(scores: NDArray[Any], labels: Labels) -> Array:
    """AUC of each column of scores for the labels in the same column; ties count one half."""
    ranks = scipy.stats.rankdata(scores, axis=0)
    n_members = labels.sum(axis=0, dtype=np.float64)
    above = (ranks * labels).sum(axis=0) - n_members * (n_members + 1) / 2
    return np.asarray(above / (n_members * (len(labels) - n_members)))
