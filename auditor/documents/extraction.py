"""The extraction part of a result."""

from collections.abc import Iterator

from .estimate import Estimate
from .files import document

__all__ = [
    "DrawsPoint",
    "ExtractionByBits",
    "ExtractionConfirmed",
    "ExtractionResult",
    "NearVerbatim",
    "TemperedExtraction",
]


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
