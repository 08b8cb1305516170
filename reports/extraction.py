"""Extraction, told: what can be drawn out of the target, what anybody could guess, and how many draws it takes."""

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from auditor.documents.estimate import Estimate
from auditor.documents.extraction import ExtractionResult, NearVerbatim, TemperedExtraction

from . import figures
from .numbers import Change, Quantity, count, percent, plain, plural
from .tones import Tone

__all__ = [
    "TITLE",
    "ExtractionRow",
    "bits_figure",
    "draws_figure",
    "facts",
    "lede",
    "quantities",
    "reasons",
    "rows",
    "sentence",
    "tone",
]

TITLE = "What can be drawn out"

_KINDS = (
    ("rate", "By one draw in 1,000, as texts are generated", "a draw yields the suffix with a probability of at least"),
    ("greedy_rate", "By greedy decoding", "each token is the likeliest, and no other as likely"),
    ("unrestricted_rate", "By draws from the whole vocabulary", "temperature 1, no token left out"),
    ("by_heart_rate", "By heart: from the target, not from the reference", "what training left beyond a guess"),
    ("any_window_rate", "At any place of the text", "after all that stands before it"),
)
_SIDES = ("members", "non_members", "beyond")


class ExtractionRow(NamedTuple):
    """One way to draw texts out: how many members, non-members, and members beyond these."""

    label: str
    members: Quantity
    non_members: Quantity
    beyond: Quantity


def lede(part: ExtractionResult) -> str:
    """Say what was asked of the target."""
    halved = f"; {plural(part.n_halved, 'shorter text')} in two halves" if part.n_halved else ""
    return (
        f"Given the first {plural(part.prefix_tokens, 'token')} of a text, does the target write the next "
        f"{count(part.suffix_tokens)}{halved}? Read off the scores; sampler: {part.sampler}."
    )


def tone(part: ExtractionResult) -> Tone:
    """Warn where members are drawn out that non-members are not."""
    return "warn" if part.rate_beyond.low is not None and part.rate_beyond.low > 0 else "info"


def sentence(part: ExtractionResult) -> str:
    """Say how many members can be drawn out, beside the non-members."""
    members = Quantity(label="", unit="%", estimate=part.rate_members)
    said = (
        f"{members.text} of the members can be drawn out: one draw yields the suffix with a probability of at least "
        f"{percent(part.least_probability)}"
    )
    if part.rate_non_members.value is None:
        return f"{said}. Without non-members it is not known how many of these anybody could guess."
    others = Quantity(label="", unit="%", estimate=part.rate_non_members)
    beyond = Change(label="", unit="%", estimate=part.rate_beyond)
    measurable = f"beyond these {beyond.text}" if tone(part) == "warn" else f"no measurable difference, {beyond.text}"
    return f"{said}; of the non-members, which can only be guessed, {others.text}: {measurable}."


def rows(part: ExtractionResult) -> tuple[ExtractionRow, ...]:
    """Write each way to draw texts out as a row."""
    return tuple(ExtractionRow(label, *_row(part, name, label)) for name, label, _ in _KINDS)


def _row(part: ExtractionResult, name: str, label: str) -> tuple[Quantity, Quantity, Quantity]:
    members, non_members, beyond = (getattr(part, f"{name}_{side}") for side in _SIDES)
    note = next(said for key, _, said in _KINDS if key == name)
    if name == "rate":
        note = f"{note} {percent(part.least_probability)}"
    return (
        Quantity(label=f"{label}: members", unit="%", estimate=members, note=note),
        Quantity(label=f"{label}: non-members", unit="%", estimate=non_members, note=note),
        Change(label=f"{label}: members beyond non-members", unit="%", estimate=beyond, note=note),
    )


def reasons(part: ExtractionResult) -> tuple[str, ...]:
    """List why figures are undefined, each reason once; tables refer to them by number."""
    found = (q.reason for row in rows(part) for q in row[1:])
    return tuple(dict.fromkeys(reason for reason in found if reason))


def _draws(part: ExtractionResult) -> Quantity:
    return Quantity(
        label="Draws for an even chance, median of the extractable members", unit="draws", estimate=part.draws_for_half
    )


def _guessable(part: ExtractionResult) -> Quantity:
    return Quantity(
        label="Guessable: members drawn from target and reference alike", unit="%", estimate=part.guessable_rate_members
    )


def facts(part: ExtractionResult) -> tuple[str, ...]:
    """Say what stands beside the rates: runs, windows, draws, what generation confirmed, what is too short."""
    draws, guessable = _draws(part), _guessable(part)
    lines = [
        f"Longest run that greedy decoding writes: {plural(part.longest_run_members, 'token')} of a member"
        + (f", {count(part.longest_run_non_members)} of a non-member." if part.n_non_members else "."),
    ]
    if draws.defined:
        lines.append(f"{draws.label}: {draws.text}.")
    if guessable.defined:
        lines.append(f"{guessable.label}: {guessable.text}.")
    if part.n_windows_members:
        said = _of(part.n_windows_extractable_members, part.n_windows_members, "members")
        if part.n_windows_non_members:
            said += f", {_of(part.n_windows_extractable_non_members, part.n_windows_non_members, 'non-members')}"
        lines.append(f"Places of a text where the next {count(part.suffix_tokens)} tokens can be drawn out: {said}.")
    lines += [_tempered(one) for one in part.tempered]
    if part.near_verbatim is not None:
        lines.append(_near(part.near_verbatim))
    if part.confirmed is not None:
        lines.append(_confirmed(part))
    if part.n_too_short:
        lines.append(f"Too short to be cut in two, and left out: {plural(part.n_too_short, 'text')}.")
    return tuple(lines)


def _confirmed(part: ExtractionResult) -> str:
    found = part.confirmed
    assert found is not None
    if not found.n_generated:
        return "Greedy decoding writes no suffix by the scores, so there was no claim to confirm."
    share = Quantity(label="", unit="%", estimate=found.rate)
    return (
        f"Of {plural(found.n_claims, 'claim')} of greedy decoding, {count(found.n_generated)} were tested: the "
        f"target wrote {count(found.n_confirmed)} of them token for token, {share.text}."
    )


def _tempered(one: TemperedExtraction) -> str:
    members, others = (Quantity(label="", unit="%", estimate=each) for each in (one.rate_members, one.rate_non_members))
    beside = f", {others.text} of the non-members" if others.defined else ""
    return f"At temperature {plain(one.temperature)}: {members.text} of the members{beside}."


def _near(found: NearVerbatim) -> str:
    near, word_for_word, others = (
        Quantity(label="", unit="%", estimate=one)
        for one in (found.rate_members, found.verbatim_rate_members, found.rate_non_members)
    )
    beside = f"; of {plural(found.n_non_members, 'non-member')} {others.text}" if others.defined else ""
    return (
        f"With up to {percent(found.edited_share)} of the tokens replaced, of {plural(found.n_members, 'member')} "
        f"drawn at random at least {near.text}, {word_for_word.text} word for word{beside}."
    )


def _of(n: int, total: int, side: str) -> str:
    return f"{count(n)} of {count(total)} in {side}"


def quantities(part: ExtractionResult) -> Iterator[tuple[str, Quantity]]:
    """Walk every estimate with the part of the statistician's table that it belongs to."""
    for row in rows(part):
        yield from (("extraction", quantity) for quantity in row[1:])
    yield "extraction", _guessable(part)
    yield "extraction", _draws(part)
    for point in part.by_draws:
        label = f"More likely than not within {plural(point.n_draws, 'draw')}"
        yield "extraction", Quantity(label=f"{label}: members", unit="%", estimate=point.members)
        yield "extraction", Quantity(label=f"{label}: non-members", unit="%", estimate=point.non_members)
    for one in part.by_bits:
        label = f"Extractable of {plain(one.low)} to {plain(one.high)} signed bits"
        yield "extraction", Quantity(label=f"{label}: members", unit="%", estimate=one.members)
        yield "extraction", Quantity(label=f"{label}: non-members", unit="%", estimate=one.non_members)
    for level in part.tempered:
        label = f"Extractable at temperature {plain(level.temperature)}"
        yield "extraction", Quantity(label=f"{label}: members", unit="%", estimate=level.rate_members)
        yield "extraction", Quantity(label=f"{label}: non-members", unit="%", estimate=level.rate_non_members)
        yield "extraction", Change(label=f"{label}: beyond", unit="%", estimate=level.rate_beyond)
    if (near := part.near_verbatim) is not None:
        label = f"Near-verbatim, {percent(near.edited_share)} of the tokens replaced"
        yield "extraction", Quantity(label=f"{label}: members", unit="%", estimate=near.rate_members)
        yield "extraction", Quantity(label=f"{label}: non-members", unit="%", estimate=near.rate_non_members)
        yield "extraction", Change(label=f"{label}: beyond", unit="%", estimate=near.rate_beyond)
        yield "extraction", Quantity(label="The same members word for word", unit="%",
                                     estimate=near.verbatim_rate_members)  # fmt: skip
    if part.confirmed is not None and part.confirmed.n_generated:
        yield "extraction", Quantity(label="Claims confirmed by generation", unit="%", estimate=part.confirmed.rate)


def draws_figure(part: ExtractionResult) -> Markup:
    """Draw the share of texts that are drawn out, more likely than not, within so many draws."""
    last = len(part.by_draws) - 1
    places = [100 * i / max(last, 1) for i in range(last + 1)]
    ticks = [(x, count(point.n_draws)) for x, point in zip(places, part.by_draws, strict=True)]
    ours = [point.members for point in part.by_draws]
    theirs = [point.non_members for point in part.by_draws]
    most = part.by_draws[-1]
    return _shares(
        "extraction-draws",
        "Texts drawn out within so many draws",
        f"Share of members and non-members by draws, with {percent(part.rate_members.level)} bands; within "
        f"{count(most.n_draws)} draws {Quantity(label='', unit='%', estimate=most.members).text} of the members. The "
        "figures are in the table of every number.",
        ticks,
        (places, ours, theirs),
        axis="draws a text, logarithmic",
    )


def bits_figure(part: ExtractionResult) -> Markup | None:
    """Draw the share of texts that can be drawn out by the bits that the target holds of them; None without bits."""
    if not part.by_bits:
        return None
    n = len(part.by_bits)
    places = [100 * (i + 0.5) / n for i in range(n)]
    ticks = [(x, f"{plain(one.low)} to {plain(one.high)}") for x, one in zip(places, part.by_bits, strict=True)]
    series = (places, [one.members for one in part.by_bits], [one.non_members for one in part.by_bits])
    return _shares(
        "extraction-bits",
        "Texts drawn out by their bits",
        f"Share of members and non-members that can be drawn out, in {plural(n, 'bin')} of signed bits with as many "
        "members each. The figures are in the table of every number.",
        ticks,
        series,
        axis="signed bits of a text, bins of as many members",
    )


def _shares(
    name: str,
    title: str,
    description: str,
    ticks: list[tuple[float, str]],
    series: tuple[list[float], list[Estimate], list[Estimate]],
    *,
    axis: str,
) -> Markup:
    """Draw shares of both sides in per cent."""
    places, *sides = series
    return figures.trace(
        name,
        title,
        description,
        ticks,
        [(css, places, [one.scaled(100) for one in side]) for css, side in zip(("s0", "s1"), sides, strict=True)],
        level=None,
        axis=axis,
    )
