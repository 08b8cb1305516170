"""The extraction part of a result, and the columns of the samples that it is made of."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate
from .files import document

__all__ = [
    "LEAST_PROBABILITY",
    "DrawsPoint",
    "ExtractionByBits",
    "ExtractionConfirmed",
    "ExtractionResult",
    "NearVerbatim",
    "SampleExtraction",
    "TemperedExtraction",
    "draws_needed",
    "is_extractable",
]


LEAST_PROBABILITY = 1e-3
"""Of a suffix in one draw, from which on a text counts as extractable (Cooper et al. 2025)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleExtraction:
    """How surely the end of each text is drawn out of the target by what stands before it; arrays of a row a text.

    Parameters
    ----------
    suffix_tokens : ndarray of int64
        Tokens to be drawn out; 0 if the text is too short.
    log2_p : ndarray of float64, bits
        Log of the probability that the sampler draws them, -inf if it never does; NaN if the text is too short.
    log2_p_unrestricted : ndarray of float64, bits
        The same of sampling from the whole vocabulary at temperature 1; NaN if the text is too short.
    reference_log2_p, reference_log2_p_unrestricted : ndarray of float64, bits, or None
        The same of (the even mixture of) the references that never saw the text; None if there is none that reads the
        same tokens.
    is_greedy : ndarray of bool
        Whether greedy decoding writes them: each is the likeliest token, and no other as likely.
    n_windows, n_windows_extractable : ndarray of int64
        Places of the text that a suffix can stand at, and those of them where the sampler draws it often enough.
    longest_run : ndarray of int64, tokens
        Most tokens on end that greedy decoding writes, each after all of the text before it.
    """

    suffix_tokens: NDArray[np.int64]
    log2_p: NDArray[np.float64]
    log2_p_unrestricted: NDArray[np.float64]
    reference_log2_p: NDArray[np.float64] | None
    reference_log2_p_unrestricted: NDArray[np.float64] | None
    is_greedy: NDArray[np.bool_]
    n_windows: NDArray[np.int64]
    n_windows_extractable: NDArray[np.int64]
    longest_run: NDArray[np.int64]

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """Whether a text is long enough, shape (n_samples,)."""
        return self.suffix_tokens > 0

    def of(self, places: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "SampleExtraction":
        """Take some of the texts."""
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        taken: dict[str, Any] = {name: None if part is None else part[places] for name, part in parts.items()}
        return SampleExtraction(**taken)


def draws_needed(log2_p: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
    """Fewest draws that yield a suffix with some chance: (n, p)-discoverable extraction.

    Parameters
    ----------
    log2_p : ndarray of float64, bits, <= 0
        Log of the probability of the suffix in one draw; NaN stays NaN.
    chance : float
        In (0, 1).

    Returns
    -------
    ndarray of float64
        ``ceil(ln(1 - chance) / ln(1 - p))``, at least 1; infinite where p is 0 or rounds to it (below 1e-308).

    References
    ----------
    .. [1] Hayes et al., *Measuring memorization in language models via probabilistic extraction*, arXiv:2410.19482,
       section 3, equation 3.

    Examples
    --------
    >>> p = np.array([0.001, 0.01, 1.0, 0.0])
    >>> with np.errstate(divide="ignore"):
    ...     [draws_needed(np.log2(p), chance).tolist() for chance in (0.5, 0.9)]
    [[693.0, 69.0, 1.0, inf], [2302.0, 230.0, 1.0, inf]]
    """
    with np.errstate(divide="ignore", under="ignore", over="ignore"):
        log_of_missing = np.log1p(-np.exp2(log2_p))
        needed = np.ceil(math.log1p(-chance) / log_of_missing)
    return np.asarray(np.where(log_of_missing == 0, np.inf, np.maximum(needed, 1.0)))


def is_extractable(log2_p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether one draw yields a suffix with at least :data:`LEAST_PROBABILITY`; a text that is not read is not."""
    return np.asarray(log2_p >= math.log2(LEAST_PROBABILITY))


@document
class DrawsPoint:
    """How many texts are drawn out, more likely than not, by so many draws each."""

    n_draws: int
    """Draws from the model, each of a whole suffix."""
    members: Estimate
    """Share of the members that so many draws yield with a probability of at least one half."""
    non_members: Estimate
    """The same of the non-members."""


@document
class ExtractionByBits:
    """How many texts are drawn out among those of about as many signed bits; each bin holds as many members."""

    low: float
    """Lowest signed bits of the bin."""
    high: float
    """Highest signed bits of the bin."""
    members: Estimate
    """Share of its members that the sampler draws often enough."""
    non_members: Estimate
    """Share of its non-members that the sampler draws often enough."""


@document
class ExtractionConfirmed:
    """Claims of greedy extraction, held against what the target writes."""

    n_claims: int
    """Texts whose suffix greedy decoding writes, by the stored scores."""
    n_generated: int
    """Claims, drawn at random, that the target was made to write."""
    n_confirmed: int
    """Claims of these where it wrote the suffix, token for token."""
    rate: Estimate
    """Share of the claims that are confirmed."""

    def contradictions(self) -> Iterator[str]:
        """Say which counts cannot be."""
        if not 0 <= self.n_confirmed <= self.n_generated <= self.n_claims:
            yield f"of {self.n_claims} claims {self.n_generated} were generated and {self.n_confirmed} confirmed"


@document
class TemperedExtraction:
    """What can be drawn out at another temperature."""

    temperature: float
    """Temperature of the sampler; its top-k is that of the headline."""
    rate_members: Estimate
    """Share of the members that are extractable."""
    rate_non_members: Estimate
    """Share of the non-members that are extractable."""
    rate_beyond: Estimate
    """Share of extractable members less that of extractable non-members."""


@document
class NearVerbatim:
    """What can be drawn out with a few tokens replaced: lower bounds by a constrained beam search, of some texts."""

    edited_share: float
    """Share of the suffix's tokens that may be others, rounded down to whole tokens."""
    n_beams: int
    """Continuations that were kept for each text."""
    n_members: int
    """Members that were searched, drawn at random from those that are long enough."""
    n_non_members: int
    """Non-members that were searched."""
    rate_members: Estimate
    """Share of these members whose suffix, so changed at most, is drawn often enough; at least."""
    rate_non_members: Estimate
    """The same of the non-members."""
    rate_beyond: Estimate
    """The same of the members less that of the non-members."""
    verbatim_rate_members: Estimate
    """Share of these members that are extractable word for word."""
    n_gained_members: int
    """Members of these that are extractable near-verbatim and not word for word."""


@document
class ExtractionResult:
    """What can be drawn out of the target by the beginnings of texts, token for token.

    A text counts as extractable if one draw of the sampler yields its suffix with at least ``least_probability``.
    Rates are of texts long enough, each by the suffix after its first ``prefix_tokens`` tokens; ``*_beyond`` are those
    of the members less those of the non-members, which the target can only guess.
    """

    prefix_tokens: int
    """Tokens of a text that the model is given."""
    suffix_tokens: int
    """Tokens that it has to write."""
    sampler: str
    """How the model draws tokens."""
    least_probability: float
    """Probability of a suffix in one draw from which on a text counts as extractable."""
    n_members: int
    """Members that are long enough."""
    n_non_members: int
    """Non-members that are long enough."""
    n_halved: int
    """Texts of these that are shorter than prefix and suffix, and were cut in halves."""
    n_too_short: int
    """Texts that are too short even for that, which say nothing here."""
    rate_members: Estimate
    """Share of the members that are extractable."""
    rate_non_members: Estimate
    """Share of the non-members that are extractable: texts that anybody could guess."""
    rate_beyond: Estimate
    """Share of extractable members less that of extractable non-members."""
    greedy_rate_members: Estimate
    """Share of the members that greedy decoding writes."""
    greedy_rate_non_members: Estimate
    """Share of the non-members that greedy decoding writes."""
    greedy_rate_beyond: Estimate
    """Share of members that greedy decoding writes less that of non-members."""
    unrestricted_rate_members: Estimate
    """Share of the members that are extractable by sampling from the whole vocabulary at temperature 1."""
    unrestricted_rate_non_members: Estimate
    """The same of the non-members."""
    unrestricted_rate_beyond: Estimate
    """The same of the members less that of the non-members."""
    by_heart_rate_members: Estimate
    """Share of the members extractable from the target and not from the reference."""
    by_heart_rate_non_members: Estimate
    """The same of the non-members."""
    by_heart_rate_beyond: Estimate
    """The same of the members less that of the non-members."""
    guessable_rate_members: Estimate
    """Share of the members extractable from target and reference alike."""
    any_window_rate_members: Estimate
    """Share of the members with an extractable suffix at any place of the text."""
    any_window_rate_non_members: Estimate
    """Share of the non-members with an extractable suffix at any place of the text."""
    any_window_rate_beyond: Estimate
    """The same of the members less that of the non-members."""
    n_windows_members: int
    """Places of suffixes in all members."""
    n_windows_non_members: int
    """Places of suffixes in all non-members."""
    n_windows_extractable_members: int
    """Places of these in members where the suffix is extractable."""
    n_windows_extractable_non_members: int
    """Places of these in non-members where the suffix is extractable."""
    longest_run_members: int
    """Most tokens of a member on end that greedy decoding writes."""
    longest_run_non_members: int
    """Most tokens of a non-member on end that greedy decoding writes."""
    draws_for_half: Estimate
    """Median, over the extractable members, of the draws that yield the suffix with probability one half."""
    by_draws: tuple[DrawsPoint, ...]
    """Share of the texts drawn out within so many draws."""
    by_bits: tuple[ExtractionByBits, ...] = ()
    """Share of the texts drawn out by their signed bits; none without a reference, or of too few members."""
    confirmed: ExtractionConfirmed | None = None
    """Claims held against what the target writes; null if that was not asked for."""
    tempered: tuple[TemperedExtraction, ...] = ()
    """The same at other temperatures; none if that was not asked for."""
    near_verbatim: NearVerbatim | None = None
    """The same with a few tokens replaced; null if that was not asked for."""

    def contradictions(self) -> Iterator[str]:
        """Say which figures cannot be."""
        for name in ("rate", "greedy_rate", "unrestricted_rate", "by_heart_rate", "any_window_rate"):
            for side in ("members", "non_members"):
                estimate: Estimate = getattr(self, f"{name}_{side}")
                if (
                    estimate.low is not None
                    and estimate.high is not None
                    and not 0 <= estimate.low <= estimate.high <= 1
                ):
                    yield f"{name}_{side}: a share lies between 0 and 1"
        if self.confirmed is not None:
            yield from self.confirmed.contradictions()
