"""Generalization: what a target saves on a text beyond knowing nothing, and how much of it the reference knows too."""

import lzma
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..documents.estimate import Estimate
from ..documents.result import MemorizationResult
from ..stats import intervals
from ..stats.clusters import Groups, pick_groups
from .code_lengths import Bits, SampleBits

__all__ = ["KnowledgeBits", "lzma_bits", "split_knowledge", "uniform_bits"]

_LZMA2 = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 16}]
"""Without the header and checksum of a file, which would outweigh a short text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBits:
    """Code lengths of every sample under target, reference and codes that know nothing, shape (n_samples,), bits.

    The paper's equations (arXiv:2505.24832, section 2), each with a likelihood in the place of a shortest program::

        mem   = H(x) - H(x | target)                        saved
        mem_U = H(x | reference) - H(x | reference, target)  memorized, the unintended part
        mem_I = mem - mem_U                                  generalization, the intended part

    With ``-log2 max(p_target, p_reference)`` for the code that has both models, ``mem_U`` is ``max(0, reference -
    target)`` and ``mem_I`` is ``H(x) - max(target, reference)``: the saving of whichever of the two saves less.
    """

    bits: SampleBits
    uniform: Bits
    lzma: Bits

    @property
    def saved(self) -> Bits:
        """Bits that the target saves beyond a uniform code; negative where it does worse than knowing nothing."""
        return self.uniform - self.bits.target

    @property
    def generalization(self) -> Bits:
        """Bits of these that the reference saves as well: ``saved - memorized``, exactly."""
        return self.uniform - np.maximum(self.bits.target, self.bits.reference)

    @property
    def generalization_beyond_lzma(self) -> Bits:
        """Bits that both models save beyond a compressor that was trained on nothing."""
        return self.lzma - np.maximum(self.bits.target, self.bits.reference)


def uniform_bits(n_tokens: NDArray[np.int64], n_vocabulary: int) -> Bits:
    """Code length where every token of the vocabulary is as likely as any other, bits, shape (n_samples,).

    Parameters
    ----------
    n_tokens : ndarray of int, shape (n_samples,)
        Scored tokens under the target.
    n_vocabulary : int
        Entries of the target's vocabulary.

    Examples
    --------
    >>> uniform_bits(np.array([2, 10]), 512)
    array([18., 90.])
    """
    return np.asarray(n_tokens * math.log2(n_vocabulary), dtype=np.float64)


def lzma_bits(texts: Iterable[str]) -> Bits:
    """Code length of each text by itself under LZMA2 without container, bits, shape (n_samples,).

    Short texts hardly compress: it is then their bytes and a few more.
    """
    sizes = [len(lzma.compress(text.encode(), format=lzma.FORMAT_RAW, filters=_LZMA2)) for text in texts]
    return 8.0 * np.array(sizes, dtype=np.float64)


def split_knowledge(
    found: MemorizationResult,
    knowledge: KnowledgeBits,
    is_member: NDArray[np.bool_],
    *,
    groups: Groups,
    level: float,
) -> MemorizationResult:
    """Add to the memorization of a dataset the other half of what the target knows of it.

    Parameters
    ----------
    found : MemorizationResult
        Estimated from the same bits.
    knowledge : KnowledgeBits
        Of members and non-members.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, or None
        Clusters of samples.
    level : float
        Of every interval. Intervals cover the sampling of texts, not of training runs.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832, section 2. That a sum over samples bounds the dataset's memorization
       from below (super-additivity) is shown there for the unintended part; the sum of the shared part is no such
       bound: what two texts have in common is counted for each.
    """
    ours, theirs = pick_groups(groups, is_member), pick_groups(groups, ~is_member)
    n_members = int(is_member.sum())

    def of_members(values: Bits) -> Estimate:
        return intervals.mean(values[is_member], level=level, groups=ours)

    def of_non_members(values: Bits) -> Estimate:
        if is_member.all():
            return Estimate.undefined("no non-members were given", level=level)
        return intervals.mean(values[~is_member], level=level, groups=theirs, n_as="non_members")

    saved, shared = of_members(knowledge.saved), of_members(knowledge.generalization)
    return replace(
        found,
        uniform_bits_per_member=of_members(knowledge.uniform),
        saved_bits_per_member=saved,
        generalization_bits_per_member=shared,
        generalization_bits_per_non_member=of_non_members(knowledge.generalization),
        saved_total_bits=saved.scaled(n_members, method=f"{saved.method}, times n members"),
        generalization_total_bits=shared.scaled(n_members, method=f"{shared.method}, times n members"),
        generalization_share=_ratio(
            knowledge.generalization[is_member], knowledge.saved[is_member], level=level, groups=ours
        ),
        lzma_bits_per_member=of_members(knowledge.lzma),
        generalization_beyond_lzma_bits_per_member=of_members(knowledge.generalization_beyond_lzma),
    )


def _ratio(part: Bits, whole: Bits, *, level: float, groups: Groups) -> Estimate:
    """Ratio of two means, by the delta method; undefined where the whole may be nothing."""
    total = intervals.mean(whole, level=level, groups=groups)
    if total.value is None or total.low is None or total.low <= 0:
        reason = total.undefined_reason or "the target may save nothing beyond a code that knows nothing"
        return Estimate.undefined(reason, level=level, n_members=len(part))
    ratio = float(part.mean()) / total.value
    linear = intervals.mean(ratio + (part - ratio * whole) / total.value, level=level, groups=groups)
    return replace(linear, method=f"ratio of means, delta method; {linear.method}", unseen_below=None)
