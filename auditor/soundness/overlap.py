"""Overlap: texts that both sides hold nearly alike, and samples that are one piece of evidence."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.near_duplicates import (
    MANY_TEXTS,
    ChosenTexts,
    NearDuplicates,
    lsh_recall,
    near_duplicate_pairs,
    ngram_share,
)
from ..documents.result import CheckResult, Verdict

__all__ = ["Overlap", "check_overlap", "find_overlap", "near_duplicate_groups"]

MOST_TOUCHED = 0.01
"""Share of non-members that may be near-duplicates of members, or made of their n-grams, before a veto.

Such a non-member scores like a member. A share s of them takes up to s / 2 off an AUC and all of a true-positive rate
at a false-positive rate of s or below, and 1% is a rate that audits report at.
"""

N_GRAM = 13
MOST_SHARED = 0.8
"""Share of its n-grams in members from which a non-member counts as made of them (Duan et al.)."""

MUCH_SHARED = 0.3
"""Mean share of n-grams in members from which there is little that only membership could tell (our choice)."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What the texts of an audit have in common; exact copies count once.

    Parameters
    ----------
    place : ndarray of int64, shape (n_samples,)
        Number of each sample's text among the different texts.
    pairs : NearDuplicates
        Of the different texts.
    shared_ngrams : ndarray of float64, shape (n_non_members,)
        See `ngram_share`.
    """

    place: NDArray[np.int64]
    pairs: NearDuplicates
    shared_ngrams: NDArray[np.float64]


def find_overlap(texts: Sequence[str], is_member: Mask, text_keys: Sequence[str], *, threshold: float = 0.8) -> Overlap:
    """Compare all texts once, for `check_overlap` and `near_duplicate_groups`.

    Parameters
    ----------
    texts : sequence of str
        As scored; read one at a time.
    is_member : ndarray of bool, shape (n_samples,)
    text_keys : sequence of str, length n_samples
        Equal for equal texts, as scored.

    Notes
    -----
    1,000 texts of 300 bytes took 0.5 s, 10,000 took 1.5 s and 100,000 took 17 s on one thread.
    """
    numbers: dict[str, int] = {}
    place = np.array([numbers.setdefault(key, len(numbers)) for key in text_keys], dtype=np.int64)
    first = np.unique(place, return_index=True)[1]
    return Overlap(
        place=place,
        pairs=near_duplicate_pairs(ChosenTexts(texts, first), threshold=threshold),
        shared_ngrams=ngram_share(texts, is_member, n=N_GRAM),
    )


def check_overlap(found: Overlap, is_member: Mask, sample_ids: Sequence[str]) -> list[CheckResult]:
    """Judge what the sides have in common beyond exact copies, which `check_soundness` judges.

    Returns
    -------
    list of CheckResult
        ``near_duplicates`` and ``ngram_overlap`` between the sides, where there are two, and
        ``near_duplicates_within`` them.
    """
    within = _within(found, is_member)
    return (
        [within]
        if is_member.all()
        else [_between(found, is_member, sample_ids), _ngrams(found, is_member, sample_ids), within]
    )


def near_duplicate_groups(found: Overlap, groups: Sequence[str | None]) -> list[str | None] | None:
    """Name the cluster of each sample: all that copies, near-duplicates and the groups of the data tie together.

    The stronger form of `with_copies`: a cluster may join several groups, and samples of both sides.

    Parameters
    ----------
    groups : sequence of (str or None), length n_samples
        As the data names them.

    Returns
    -------
    list of (str or None), or None
        The first group of a cluster names it, else its first text does; None for a sample on its own; None as a
        whole if all are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, n_texts = found.pairs, found.pairs.n_texts
    numbers: dict[str, int] = {}
    named = [(i, numbers.setdefault(name, len(numbers))) for i, name in enumerate(groups) if name is not None]
    rows = [*pairs.first, *(found.place[i] for i, _ in named)]
    columns = [*pairs.second, *(n_texts + number for _, number in named)]
    size = n_texts + len(numbers)
    links = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    label = connected_components(links, directed=False)[1][found.place]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for i, one in enumerate(label):
        members[int(one)].append(i)
    names: list[str | None] = list(groups)
    for cluster in members.values():
        if len(cluster) > 1:
            first_group = next((groups[i] for i in cluster if groups[i] is not None), None)
            for i in cluster:
                names[i] = f"text {int(found.place[cluster[0]])}" if first_group is None else first_group
    return names if any(name is not None for name in names) else None


def _between(found: Overlap, is_member: Mask, sample_ids: Sequence[str]) -> CheckResult:
    """No text may have a near-duplicate on the other side."""
    touched = _touched(found, is_member, other_side=True)
    n_members, n_non = int((touched & is_member).sum()), int((touched & ~is_member).sum())
    share = n_non / int((~is_member).sum())
    drop_members = share > 0.5 and n_members / int(is_member.sum()) < share
    dropped = touched & (is_member if drop_members else ~is_member)
    detail = (
        f"{n_non} of {int((~is_member).sum())} non-members are near-duplicates of {n_members} members "
        f"({_how(found.pairs)})"
    )
    return CheckResult(
        name="near_duplicates",
        verdict=_share_verdict(share),
        figure=share,
        unit="share of non-members",
        detail=detail,
        remedy=_drop_remedy("members" if drop_members else "non-members", int(dropped.sum())) if n_non else None,
        sample_ids=_ids(dropped, sample_ids),
    )


def _within(found: Overlap, is_member: Mask) -> CheckResult:
    """Near-duplicates within a side say the same thing twice."""
    touched = _touched(found, is_member, other_side=False)
    n = int(touched.sum())
    return CheckResult(
        name="near_duplicates_within",
        verdict="warn" if n else "pass",
        figure=float(n),
        unit="samples with a near-duplicate on their own side",
        detail=(
            f"{int((touched & is_member).sum())} members and {int((touched & ~is_member).sum())} non-members have a "
            f"near-duplicate, not a copy, on their own side ({_how(found.pairs)})"
            + ("; each family counts as one group" if n else "")
        ),
        remedy="near-duplicates add little evidence; keep one of each, as `auditor split` does" if n else None,
    )


def _ngrams(found: Overlap, is_member: Mask, sample_ids: Sequence[str]) -> CheckResult:
    """Non-members made of the members' own words were trained on in all but name."""
    shares = found.shared_ngrams
    counted = ~np.isnan(shares)
    n_short, n = int((~counted).sum()), int(counted.sum())
    short = f"; {n_short} have fewer than {N_GRAM} words and are not judged" if n_short else ""
    unit = f"mean share of {N_GRAM}-grams in members"
    if not n:
        return CheckResult(
            name="ngram_overlap", verdict="pass", figure=None, unit=unit,
            detail=f"does not apply: no non-member has {N_GRAM} words",
        )  # fmt: skip
    made = np.zeros(is_member.size, dtype=np.bool_)
    made[np.flatnonzero(~is_member)[counted]] = shares[counted] > MOST_SHARED
    n_made, mean = int(made.sum()), float(shares[counted].mean())
    verdict = _share_verdict(n_made / n)
    if verdict == "pass" and mean > MUCH_SHARED:
        verdict = "warn"
    remedy = "the sides repeat each other's passages: take whole documents to one side (column `group`)"
    return CheckResult(
        name="ngram_overlap",
        verdict=verdict,
        figure=mean,
        unit=unit,
        detail=(
            f"on average {mean:.1%} of the {N_GRAM}-grams of a non-member occur in an audited member; "
            f"{n_made} of {n} non-members have more than {MOST_SHARED:.0%} of them there{short}"
        ),
        remedy=None if verdict == "pass" else _drop_remedy("non-members", n_made) if n_made else remedy,
        sample_ids=_ids(made, sample_ids),
    )


def _touched(found: Overlap, is_member: Mask, *, other_side: bool) -> Mask:
    """Find the samples with a near-duplicate on the other side, or on their own."""
    on_side = np.zeros((2, found.pairs.n_texts), dtype=np.bool_)
    on_side[is_member.astype(int), found.place] = True
    first, second = found.pairs.first, found.pairs.second
    near = np.zeros_like(on_side)  # by side: the texts with a near-duplicate there
    for side in (0, 1):
        near[side, first[on_side[side, second]]] = True
        near[side, second[on_side[side, first]]] = True
    own = is_member.astype(int)
    touched: Mask = near[1 - own if other_side else own, found.place]
    return touched


def _share_verdict(share: float) -> Verdict:
    return "pass" if not share else "warn" if share <= MOST_TOUCHED else "veto"


def _how(pairs: NearDuplicates) -> str:
    """Say what was searched for, and what the search may have missed."""
    said = f"Jaccard similarity of at least {pairs.threshold:g} over runs of 5 words, or of 5 characters in short texts"
    recall = lsh_recall(pairs.threshold, threshold=pairs.threshold)
    said += f"; a pair is found with a probability of at least {np.floor(recall * 1e4) / 1e4:.2%}"
    if pairs.n_unchecked:
        said += f"; {pairs.n_unchecked:,} further candidate pairs were not compared"
    if pairs.n_texts > MANY_TEXTS:
        said += f"; {pairs.n_texts:,} texts make this slow"
    return said


def _drop_remedy(side: str, n: int) -> str:
    return f"leave out {n} {side} (--drop-ids), or split anew with `auditor split`"


def _ids(chosen: Mask, sample_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(sample_ids[int(i)] for i in np.flatnonzero(chosen))
