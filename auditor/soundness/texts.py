"""Texts of both sides compared without a model: what they share, which are one piece of evidence, what looks tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import SampleSet
from ..documents.result import CheckResult
from .blind import BlindBaseline, blind_baseline, blind_check
from .overlap import Overlap, check_overlap, find_overlap, near_duplicate_groups

__all__ = ["ComparedTexts", "compare_texts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTexts:
    """What the texts of an audit say by themselves.

    Parameters
    ----------
    sample_ids : sequence of str, length n_samples
    is_member : ndarray of bool, shape (n_samples,)
    text_keys : sequence of str, length n_samples
        Equal for equal texts, as scored.
    n_bytes : ndarray of int, shape (n_samples,)
        Bytes of the scored texts.
    groups : sequence of (str or None), length n_samples, or None
        Clusters: what copies, near-copies and the groups of the data tie together.
    overlap : Overlap or None
        Copies, near-copies and shared passages; None if they were not looked for.
    blind : BlindBaseline or None
        What the looks of the texts tell; None without non-members, or if they were not looked at.
    """

    sample_ids: Sequence[str]
    is_member: NDArray[np.bool_]
    text_keys: Sequence[str]
    n_bytes: NDArray[np.int64]
    groups: Sequence[str | None] | None
    overlap: Overlap | None = None
    blind: BlindBaseline | None = None

    def check_overlap(self) -> list[CheckResult]:
        """Judge what the texts have in common beyond exact copies."""
        return [] if self.overlap is None else check_overlap(self.overlap, self.is_member, self.sample_ids)

    def check_blind(self) -> list[CheckResult]:
        """Judge whether the looks of the texts tell the sides apart."""
        return [] if self.blind is None else [blind_check(self.blind)]


def compare_texts(
    data: SampleSet,
    texts: Sequence[str],
    text_keys: Sequence[str],
    n_bytes: NDArray[np.int64],
    *,
    seed: int,
    on_permutation: Callable[[int, int], None] | None = None,
) -> ComparedTexts:
    """Find overlap, clusters and blind baseline of the texts as scored, once.

    Parameters
    ----------
    data : SampleSet
        The texts as given.
    texts, text_keys : sequence of str, length n_samples
        As scored, and equal for equal texts.
    n_bytes : ndarray of int, shape (n_samples,)
    seed : int
        Of the blind baseline's folds and permutations.
    on_permutation : callable, optional
        Told how many permutations are done, and of how many.
    """
    overlap = find_overlap(texts, data.is_member, text_keys)
    groups = near_duplicate_groups(overlap, data.groups)
    one_side = bool(data.is_member.all())
    return ComparedTexts(
        sample_ids=data.ids,
        is_member=data.is_member,
        text_keys=text_keys,
        n_bytes=n_bytes,
        groups=groups,
        overlap=overlap,
        blind=None
        if one_side
        else blind_baseline(texts, data.is_member, groups, seed=seed, on_permutation=on_permutation),
    )
