"""Extraction: the texts whose end can be drawn out of the target by their beginning, and how many draws that takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks import Signals
from attacks.base import TokenScores

from ..config import ExtractSpec
from ..documents.estimate import Estimate
from ..documents.extraction import (
    DrawsPoint,
    ExtractionByBits,
    ExtractionConfirmed,
    ExtractionResult,
    NearVerbatim,
    TemperedExtraction,
)
from ..documents.sample_extraction import LEAST_PROBABILITY, SampleExtraction, draws_needed, is_extractable
from ..stats.clusters import Groups, pick_groups
from ..stats.rates import median_with_infinities, rate, rate_difference

__all__ = [
    *("LEAST_TOKENS", "SAMPLER", "TOP_K"),
    *("confirmed", "extraction", "joined", "near_verbatim", "sample_extraction", "tempered"),
]

TOP_K = 40
SAMPLER = f"top-k {TOP_K} at temperature 1"
LEAST_TOKENS = 10
"""Of each half of a short text: fewer tokens are often guessed by anybody."""

N_DRAWS = tuple(10**k for k in range(7))
N_BINS, LEAST_IN_BIN = 5, 10
NO_REFERENCE = "no reference reads these texts as the same tokens"

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


def sample_extraction(signals: Signals, cut: ExtractSpec) -> SampleExtraction:
    """Read from the token scores of some texts how surely the target draws out their ends.

    The model is given the text itself, token by token, so the product of the probabilities of the suffix's tokens is
    the probability of drawing it after the prefix. No model is run.

    Parameters
    ----------
    signals : Signals
        With ``logprob_top40`` and ``tied``.
    cut : ExtractSpec
        Tokens of prefix and suffix. A text shorter than both is cut in halves, if each half has
        :data:`LEAST_TOKENS`.

    Returns
    -------
    SampleExtraction
        Of the suffix after the text's first tokens. Further on (``n_windows``, ``longest_run``) the target is given
        all of the text before, not the prefix alone: it may draw out more than after the prefix alone.

    References
    ----------
    .. [1] Cooper et al., *Extracting memorized pieces of (copyrighted) books from open-weight language models*,
       arXiv:2505.12546, section 3 (windows, top-k 40, the least probability). Their windows hide what stands before
       the prefix; ours do not.
    """
    target = signals.target
    windows = _Windows(target.offsets, cut)
    sampled, unrestricted = _sampled(target), _bits(target.logprob)
    totals = windows.totals(sampled)
    same = bool(signals.references) and signals.aligned
    mixed = [_mixed(signals, windows, column) for column in (_sampled, lambda one: _bits(one.logprob))] if same else []
    is_greedy = (target.rank == 0) & (_known(target.tied) == 0)
    return SampleExtraction(
        suffix_tokens=windows.suffix_tokens,
        log2_p=windows.first(totals),
        log2_p_unrestricted=windows.first(windows.totals(unrestricted)),
        reference_log2_p=mixed[0] if mixed else None,
        reference_log2_p_unrestricted=mixed[1] if mixed else None,
        is_greedy=windows.first(windows.totals(np.where(is_greedy, 0.0, -np.inf))) == 0,
        n_windows=windows.count(np.ones(len(totals), dtype=np.bool_)),
        n_windows_extractable=windows.count(is_extractable(totals)),
        longest_run=windows.longest_run(is_greedy),
    )


def joined(parts: Sequence[SampleExtraction]) -> SampleExtraction:
    """Put blocks of texts end to end."""
    columns: dict[str, list[Any]] = {
        one.name: [getattr(part, one.name) for part in parts] for one in fields(SampleExtraction)
    }
    whole: dict[str, Any] = {
        name: None if column[0] is None else np.concatenate(column) for name, column in columns.items()
    }
    return SampleExtraction(**whole)


def extraction(
    found: SampleExtraction,
    is_member: Mask,
    *,
    cut: ExtractSpec,
    groups: Groups,
    signed_bits: Array | None,
    level: float,
) -> ExtractionResult | None:
    """Count the texts that can be drawn out of the target; None if no member is long enough.

    Parameters
    ----------
    found : SampleExtraction
    is_member : ndarray of bool, shape (n_samples,)
    cut : ExtractSpec
    groups : sequence of (str or None), length n_samples, or None
        Clusters.
    signed_bits : ndarray of float64, shape (n_samples,), bits, or None
    level : float
        Of every interval.
    """
    read = found.is_read
    if not (read & is_member).any():
        return None
    here, sides, clusters = found.of(read), is_member[read], pick_groups(groups, read)
    ours, theirs = pick_groups(clusters, sides), pick_groups(clusters, ~sides)

    def share(hits: Mask) -> tuple[Estimate, Estimate]:
        return (
            rate(hits[sides], level=level, groups=ours),
            rate(hits[~sides], level=level, groups=theirs, of_members=False),
        )

    def rates(name: str, hits: Mask | None) -> dict[str, Any]:
        names = [f"{name}_{side}" for side in ("members", "non_members", "beyond")]
        if hits is None:
            return dict.fromkeys(names, Estimate.undefined(NO_REFERENCE, level=level))
        beyond = rate_difference(hits, sides, level=level, groups=clusters)
        return dict(zip(names, (*share(hits), beyond), strict=True))

    drawn = is_extractable(here.log2_p)
    guessed = None if here.reference_log2_p is None else is_extractable(here.reference_log2_p)
    for_half = draws_needed(here.log2_p, 0.5)
    both = None if guessed is None else drawn & guessed
    longest = [int(here.longest_run[side].max(initial=0)) for side in (sides, ~sides)]
    easy = sides & drawn
    return ExtractionResult(
        prefix_tokens=cut.prefix,
        suffix_tokens=cut.suffix,
        sampler=SAMPLER,
        least_probability=LEAST_PROBABILITY,
        n_members=int(sides.sum()),
        n_non_members=int((~sides).sum()),
        n_halved=int((here.n_windows == 0).sum()),
        n_too_short=int((~read).sum()),
        **rates("rate", drawn),
        **rates("greedy_rate", here.is_greedy),
        **rates("unrestricted_rate", is_extractable(here.log2_p_unrestricted)),
        **rates("by_heart_rate", None if guessed is None else drawn & ~guessed),
        guessable_rate_members=rates("guessable", both)["guessable_members"],
        **rates("any_window_rate", drawn | (here.n_windows_extractable > 0)),
        n_windows_members=int(here.n_windows[sides].sum()),
        n_windows_non_members=int(here.n_windows[~sides].sum()),
        n_windows_extractable_members=int(here.n_windows_extractable[sides].sum()),
        n_windows_extractable_non_members=int(here.n_windows_extractable[~sides].sum()),
        longest_run_members=longest[0],
        longest_run_non_members=longest[1],
        draws_for_half=median_with_infinities(for_half[easy], level=level, groups=pick_groups(clusters, easy)),
        by_draws=tuple(_point(n, *share(for_half <= n)) for n in N_DRAWS),
        by_bits=_by_bits(drawn, sides, None if signed_bits is None else signed_bits[read], clusters, level),
    )


def confirmed(n_claims: int, wrote: Mask, is_member: Mask, level: float) -> ExtractionConfirmed:
    """Say how many claims of greedy extraction the target confirmed by writing.

    Parameters
    ----------
    n_claims : int
    wrote, is_member : ndarray of bool, shape (n_generated,)
        Of the claims, drawn at random, that it was made to write.
    level : float
    """
    found = rate(wrote, level=level)
    counts = {"n_members": int(is_member.sum()), "n_non_members": int((~is_member).sum())}
    stated = {one.name: getattr(found, one.name) for one in fields(found)} | counts
    return ExtractionConfirmed(
        n_claims=n_claims, n_generated=len(wrote), n_confirmed=int(wrote.sum()), rate=Estimate(**stated)
    )


def tempered(temperature: float, log2_p: Array, is_member: Mask, *, groups: Groups, level: float) -> TemperedExtraction:
    """Count the texts that can be drawn out at another temperature.

    Parameters
    ----------
    temperature : float
    log2_p : ndarray of float64, shape (n_read,), bits
        Of the texts that are long enough.
    is_member : ndarray of bool, shape (n_read,)
    groups : sequence of (str or None), length n_read, or None
        Clusters.
    level : float
    """
    return TemperedExtraction(temperature=temperature, **_sides(is_extractable(log2_p), is_member, groups, level))


def near_verbatim(
    log2_near: Array,
    log2_p: Array,
    is_member: Mask,
    *,
    edited_share: float,
    n_beams: int,
    groups: Groups,
    level: float,
) -> NearVerbatim:
    """Count the texts that can be drawn out with a few tokens replaced.

    Parameters
    ----------
    log2_near, log2_p : ndarray of float64, shape (n_searched,), bits
        Lower bounds with tokens replaced, and word for word.
    is_member : ndarray of bool, shape (n_searched,)
    edited_share : float
    n_beams : int
    groups : sequence of (str or None), length n_searched, or None
        Clusters.
    level : float
    """
    verbatim = is_extractable(log2_p)
    hits = is_extractable(log2_near) | verbatim
    return NearVerbatim(
        edited_share=edited_share,
        n_beams=n_beams,
        n_members=int(is_member.sum()),
        n_non_members=int((~is_member).sum()),
        **_sides(hits, is_member, groups, level),
        verbatim_rate_members=_sides(verbatim, is_member, groups, level)["rate_members"],
        n_gained_members=int((hits & ~verbatim & is_member).sum()),
    )


def _sides(hits: Mask, is_member: Mask, groups: Groups, level: float) -> dict[str, Estimate]:
    """Return the rates of both sides, and of the members beyond the non-members."""
    ours, theirs = pick_groups(groups, is_member), pick_groups(groups, ~is_member)
    return {
        "rate_members": rate(hits[is_member], level=level, groups=ours),
        "rate_non_members": rate(hits[~is_member], level=level, groups=theirs, of_members=False),
        "rate_beyond": rate_difference(hits, is_member, level=level, groups=groups),
    }


def _point(n_draws: int, members: Estimate, non_members: Estimate) -> DrawsPoint:
    return DrawsPoint(n_draws=n_draws, members=members, non_members=non_members)


def _by_bits(
    drawn: Mask, sides: Mask, bits: Array | None, clusters: Groups, level: float
) -> tuple[ExtractionByBits, ...]:
    """Bin the texts by their signed bits, as many members in each bin."""
    n_bins = min(N_BINS, int(sides.sum()) // LEAST_IN_BIN)
    if bits is None or n_bins < 2:
        return ()
    edges = np.unique(np.quantile(bits[sides], np.linspace(0, 1, n_bins + 1)))
    if len(edges) < 3:
        return ()
    place = np.clip(np.searchsorted(edges, bits, side="right") - 1, 0, len(edges) - 2)
    inside = (bits >= edges[0]) & (bits <= edges[-1])
    bins = []
    for i in range(len(edges) - 1):
        own = [(place == i) & inside & side for side in (sides, ~sides)]
        estimates = [
            rate(drawn[one], level=level, groups=pick_groups(clusters, one), of_members=of_members)
            for one, of_members in zip(own, (True, False), strict=True)
        ]
        low, high = float(edges[i]), float(edges[i + 1])
        bins.append(ExtractionByBits(low=low, high=high, members=estimates[0], non_members=estimates[1]))
    return tuple(bins)


def _bits(nats: NDArray[Any]) -> Array:
    """Turn log-probabilities into bits, in float64."""
    return np.asarray(nats.astype(np.float64) / math.log(2))


def _known(column: NDArray[Any] | None) -> NDArray[Any]:
    """Refuse scores of before there was a column."""
    if column is None:
        raise ValueError("the token scores lack logprob_top40 and tied, which extraction is read from")
    return column


def _sampled(scores: TokenScores) -> Array:
    """Log-probability of each token under the sampler, bits: -inf for one that may not be among the likeliest.

    Of a token tied with the last that is drawn from, some samplers draw all and others none; it counts as not drawn.
    """
    among = scores.rank + _known(scores.tied) < TOP_K
    given = np.minimum(_bits(scores.logprob) - _bits(_known(scores.logprob_top40)), 0.0)
    return np.where(among, given, -np.inf)


def _mixed(signals: Signals, windows: "_Windows", column: Callable[[TokenScores], Array]) -> Array:
    """Log-probability of each suffix under the even mixture of the references that never saw the text, bits."""
    each = np.stack([windows.first(windows.totals(column(one))) for one in signals.references])
    each = np.where(signals.unseen, each, -np.inf)  # (n_references, n_samples)
    with np.errstate(invalid="ignore"):  # of -inf and -inf, and of the NaN of texts that are too short
        mixed = np.logaddexp2.reduce(each, axis=0)
    return np.asarray(mixed - np.log2(signals.unseen.sum(axis=0)))


class _Windows:
    """Where a suffix can stand in texts that lie end to end, and sums over every such place by cumulative sums."""

    def __init__(self, offsets: NDArray[Any], cut: ExtractSpec) -> None:
        self._offsets, self._n = offsets, int(offsets[-1])
        lengths = np.diff(offsets)  # (n_samples,)
        whole = lengths >= cut.prefix + cut.suffix
        halved = ~whole & (lengths >= 2 * LEAST_TOKENS)
        self._prefix = np.where(whole, cut.prefix, lengths // 2)
        self.suffix_tokens: Counts = np.where(whole, cut.suffix, np.where(halved, lengths - lengths // 2, 0))
        self._suffix = cut.suffix
        starts, stops = np.repeat(offsets[:-1] + self._prefix, lengths), np.repeat(offsets[1:], lengths)
        at = np.arange(self._n)
        self._after_prefix = (at >= starts) & np.repeat(self.suffix_tokens > 0, lengths)
        self._stands = self._after_prefix & (at + cut.suffix <= stops) & np.repeat(whole, lengths)  # (n_tokens,)

    def totals(self, values: Array) -> Array:
        """Sum values over the suffix that starts at each token, shape (n_tokens,); -inf where one of them is."""
        lengths = np.full(self._n, self._suffix)
        first = self._offsets[:-1] + np.minimum(self._prefix, np.diff(self._offsets) - 1)
        lengths[first] = np.maximum(self.suffix_tokens, 1)
        stops = np.minimum(np.arange(self._n) + lengths, self._n)
        is_never = np.isneginf(values)
        sums = np.concatenate([[0.0], np.cumsum(np.where(is_never, 0.0, values))])
        nevers = np.concatenate([[0], np.cumsum(is_never)])
        start = np.arange(self._n)
        return np.where(nevers[stops] > nevers[start], -np.inf, np.minimum(sums[stops] - sums[start], 0.0))

    def first(self, totals: Array) -> Array:
        """Take the suffix after the first tokens of each text, shape (n_samples,); NaN if the text is too short."""
        place = self._offsets[:-1] + np.minimum(self._prefix, np.diff(self._offsets) - 1)
        return np.where(self.suffix_tokens > 0, totals[place], np.nan)

    def count(self, holds: Mask) -> Counts:
        """Count the places of suffixes in each text where something holds, shape (n_samples,)."""
        return np.asarray(np.add.reduceat((holds & self._stands).astype(np.int64), self._offsets[:-1]))

    def longest_run(self, holds: Mask) -> Counts:
        """Most tokens on end of each text, after its prefix, of which something holds, shape (n_samples,)."""
        at = np.arange(self._n)
        broken = np.where(holds & self._after_prefix, -1, at)  # so is the first token of each text, of its prefix
        return np.asarray(np.maximum.reduceat(at - np.maximum.accumulate(broken), self._offsets[:-1]))
