"""Numbers into words: the verdict in one sentence, the chips, and whether the numbers can be trusted.

HTML, Markdown and the terminal take their words from here, so that the three never disagree. Everything
returned is plain text that may hold strings from the data: the renderers escape it.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from auditor.documents.estimate import Estimate, TprAtFpr
from auditor.documents.result import GRADES, AttackResult, AuditResult, Grade, GradeResult, TopSample
from auditor.estimates.grade import grade_of_auc, grade_signal, surest_count

from . import escaping, retrained
from .attacks import declaration, headline_attack, ranked, survives
from .figure_rows import CAPACITY_USED, headline_bits
from .numbers import Quantity, number, one_in, percent, plain, plural, times_in_100
from .soundness import is_vetoed, trust
from .tones import SEVERITY, SYMBOLS, TONES, Tone
from .vetoed import veto

__all__ = [
    "SYMBOLS",
    "TONES",
    "Chip",
    "Grade",
    "Tone",
    "VerdictWords",
    "chips",
    "date",
    "headline_attack",
    "sample_bits",
    "shows_texts",
    "verdict",
]

Kind = Literal["veto", "uncalibrated", "unmeasured", "inverted", "none", "found"]

_NEXT_TO_NOTHING = 0.01
"""Share of the texts or of their bytes up to which it is not said beside the verdict that they were cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A finding in a few words; ``tone`` says how bad it is."""

    tone: Tone
    label: str
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictWords:
    """What the audit found: a title of a few words, one sentence, and the points that belong beside it.

    ``grade`` is the strength of a signal that was found, the worse of average and tail; ``stands_out`` tells whether
    the tail decided it, a few members where the average says less. ``unread`` says how much of the texts no figure is
    about, empty if it is next to nothing; ``action`` is the one thing to do about a veto.
    """

    kind: Kind
    tone: Tone
    title: str
    sentence: str
    points: tuple[str, ...]
    grade: Grade | None = None
    stands_out: bool = False
    unread: str = ""
    action: str = ""


def _strengths(auc: Estimate) -> tuple[Grade, Grade]:
    """Name the strength of a signal at both ends of its interval, so that few samples do not sound sure."""
    assert auc.low is not None
    assert auc.high is not None
    return grade_of_auc(auc.low), grade_of_auc(auc.high)


def _auc_words(auc: Estimate) -> str:
    quantity = Quantity(label="AUC", unit="", estimate=auc)
    return f"AUC {quantity.value}, {quantity.level} interval {quantity.span}"


def _picks(auc: Estimate, who: str) -> str:
    assert auc.value is not None
    return f"shown a member and a non-member, {who} the member {times_in_100(auc.value)}"


def _bits_clause(result: AuditResult) -> str:
    """Say how much is held; only an interval above 0 is said to be something."""
    memory = result.memorization
    bits = headline_bits(memory) if memory else None
    if bits is None or not bits.defined:
        return ""
    if bits.estimate.low is None or bits.estimate.low <= 0:
        return f"bits of members are not measurably above those of non-members ({bits.value} {bits.interval})"
    return (
        f"on average the target holds {bits.value} bits ({bits.level} interval {bits.span}) "
        "of each member that the reference does not"
    )


def _veto(result: AuditResult) -> VerdictWords:
    found = veto(result)
    return VerdictWords(
        kind="veto",
        tone="bad",
        title="No verdict",
        sentence="The audit is not sound, so nothing can be concluded." if found is None else found.sentence,
        points=("The figures are kept for diagnosis. They must not be read as leakage, nor as its absence.",),
        action="Repair the inputs and audit again." if found is None else found.action,
    )


def _uncalibrated(result: AuditResult) -> VerdictWords:
    memory = result.memorization
    bits = headline_bits(memory) if memory else None
    figure = (
        f"; the target codes each member in {bits.value} fewer bits than the reference ({bits.level} interval "
        f"{bits.span}), an uncalibrated upper figure that noise and domain adaptation also produce"
        if bits and bits.defined
        else ""
    )
    return VerdictWords(
        kind="uncalibrated",
        tone="warn",
        title="Not enough to judge: no non-members",
        sentence=f"No verdict on membership: no non-members were given, so no attack can be measured{figure}.",
        points=("Without texts that the target has not seen there is nothing to compare the members with.",),
    )


def _unmeasured(result: AuditResult, attack: AttackResult | None) -> VerdictWords:
    reason = f"{attack.attack}: {attack.auc.undefined_reason}" if attack else "no attack was run"
    return VerdictWords(
        kind="unmeasured",
        tone="warn",
        title="Not measured",
        sentence=f"No verdict on membership: {reason}.",
        points=(),
    )


def _inverted(attack: AttackResult) -> VerdictWords:
    return VerdictWords(
        kind="inverted",
        tone="warn",
        title="Inverted signal",
        sentence=f"No verdict: the score of {attack.attack} is inverted, members score lower than non-members "
        f"({_auc_words(attack.auc)}); it is reported as measured, never flipped.",
        points=("Usual causes: the two sides are swapped, or they are not texts of the same kind.",),
    )


def _none(result: AuditResult, attack: AttackResult) -> VerdictWords:
    what = (
        "memorization beyond the reference" if attack.name == "reference" else "members standing out from non-members"
    )
    others = [other for other in ranked(result) if other is not attack]
    beyond = [other.attack for other in others if survives(other)]
    chance = [
        f"{escaping.as_code(other.attack)} reaches AUC {number(other.auc.value or 0.0, 2)}"
        for other in others
        if other.auc.low and other.auc.low > 0.5 and not survives(other)
    ]
    high = Quantity(label="", unit="", estimate=attack.auc).span.rpartition(" ")[2]
    points = [f"An AUC of up to {high} remains compatible with these texts."]
    if chance:
        points.insert(
            0,
            f"{' and '.join(chance)}; the best of {plural(len(result.attacks), 'attack')} often does by chance.",
        )
    if beyond:
        points.insert(
            0,
            f"But {', '.join(beyond)} {'does' if len(beyond) == 1 else 'do'} tell the sides apart. Either the "
            "sides differ in kind, or this score misses a leak: look at the checks and the attack table.",
        )
    return VerdictWords(
        kind="none",
        tone="warn" if beyond else "info",
        title="No evidence found",
        sentence=f"No evidence of {what} was found (which is not proof of none): "
        f"{_picks(attack.auc, 'an attacker picks')}, where a coin flip gives 50 ({_auc_words(attack.auc)}).",
        points=tuple(points),
    )


def _stand_out(result: AuditResult) -> str:
    """Count the members who stand out, with what chance explains of them; empty if chance explains all."""
    count = surest_count(result.risk)
    if result.risk is None or count is None or not count.value or not count.low:
        return ""
    stand_out, n = result.risk.stand_out, f"{count.value:,.0f} of {count.n_members:,} members"
    if stand_out is not None and count is stand_out.n_above_bits:
        said = f"{n} hold more than {plain(stand_out.threshold_bits)} bits each"
    else:
        said = f"{n} stand out beyond every one of {plural(count.n_non_members, 'non-member')}"
    by_chance = count.value - count.low
    return f"{said}, of which chance explains at most {by_chance:,.0f}" if by_chance else said


def _sure(count: Estimate) -> str:
    """Count those who stand out for sure, whatever chance does."""
    assert count.low is not None
    return f"{count.low:,.0f}" if count.low == count.value else f"at least {count.low:,.0f}"


def _few(result: AuditResult, attack: AttackResult, grade: Grade) -> VerdictWords:
    """Speak of the members who stand out, where the average says less than they do."""
    count = surest_count(result.risk)
    assert count is not None
    sure = _sure(count)
    those = "these" if count.low == count.value else f"{sure} of them"
    is_hidden = attack.auc.low is None or grade_of_auc(attack.auc.low) in ("weak", "moderate")
    average = "The average hides them:" if is_hidden else "The average is high, too:"
    return VerdictWords(
        kind="found",
        tone="bad",
        title=f"{sure[0].upper()}{sure[1:]} of {count.n_members:,} members stand out",
        sentence=f"{_stand_out(result)}: {those} can be told from texts that the target never saw, whatever the "
        f"average says. {average} {_picks(attack.auc, 'an attacker picks')} over all members "
        f"({_auc_words(attack.auc)}).",
        points=(
            f"The verdict goes by the members who stand out, a {grade} signal, and not by the average.",
            *_found_points(result, attack),
        ),
        grade=grade,
        stands_out=True,
    )


def _found(result: AuditResult, attack: AttackResult) -> VerdictWords:
    low, high = _strengths(attack.auc)
    strength = low if low == high else f"{low} to {high}"
    bits = _bits_clause(result)
    claim, who, rest = _claim(low, high)
    return VerdictWords(
        kind="found",
        tone="warn" if low == "weak" else "bad",
        title=f"{strength[0].upper()}{strength[1:]} membership signal",
        sentence=f"{claim}: {_picks(attack.auc, who)}{rest} ({_auc_words(attack.auc)})"
        + (f"; {bits}." if bits else "."),
        points=(*([f"{said}."] if (said := _stand_out(result)) else []), *_found_points(result, attack)),
        grade=low,
    )


def _claim(low: Grade, high: Grade) -> tuple[str, str, str]:
    """Grade what is said of an attacker: that they can tell is said only if even the low end is strong."""
    coin = ", where a coin flip gives 50"
    if low == "weak":
        claim = "A small but measurable tendency" if high == "weak" else "A measurable tendency of uncertain size"
        return claim, "an attacker picks", coin
    if low == "moderate":
        return "A clear tendency, though the verdict on a single text is often wrong", "an attacker picks", coin
    can = "An attacker who holds a text can usually tell whether the target was trained on it"
    return can, "they pick", ""


def _rate_point(rate: TprAtFpr) -> str:
    """Say what is recognised at few false alarms, or why nothing can be said."""
    quantity = Quantity(label="", unit="%", estimate=rate)
    false_alarms = f"at most {percent(rate.fpr)} false alarms"
    if rate.low is not None and rate.low > rate.fpr:
        return (
            f"With {false_alarms} it still recognises {quantity.value} of the members "
            f"({quantity.level} interval {quantity.span}), {_times(rate)} as many as chance would."
        )
    needed = float(f"{math.log(2 / (1 - rate.level)) / rate.fpr:.2g}")
    if rate.n_non_members < needed:
        return (
            f"What share of the members is recognised with {false_alarms} cannot be pinned down with "
            f"{plural(rate.n_non_members, 'non-member')}: that needs about {plain(needed)}."
        )
    return f"With {false_alarms}, the share of members recognised is not measurably above that of false alarms."


def _times(rate: TprAtFpr) -> str:
    """Say how many times chance a rate of members is."""
    assert rate.value is not None
    times = rate.value / rate.fpr
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"


def _found_points(result: AuditResult, attack: AttackResult) -> tuple[str, ...]:
    points = []
    rates = [rate for rate in attack.tpr_at_fpr if rate.value is not None]
    if rates:
        points.append(_rate_point(min(rates, key=lambda rate: rate.fpr)))
    memory = result.memorization
    bits = headline_bits(memory) if memory else None
    if memory and bits and bits.estimate.value and bits.estimate.low and bits.estimate.low >= 1:
        points.append(
            f"{bits.value} bits are what it takes to pick {one_in(bits.estimate.value)}; for scale, 1 bit is a "
            "coin flip and 20 bits pick one in a million."
        )
    return tuple(points)


def _cut(result: AuditResult) -> dict[str, tuple[float, float]]:
    """Shares of texts that were cut and of bytes left unread, by side; empty up to 1% of both everywhere."""
    sides = {"members": result.data.members, "non-members": result.data.non_members}
    shares = {
        name: (side.n_cut / max(1, side.n_samples), side.n_bytes_cut / max(1, side.n_bytes + side.n_bytes_cut))
        for name, side in sides.items()
        if side is not None
    }
    return shares if max(map(max, shares.values())) > _NEXT_TO_NOTHING else {}


def _unread(result: AuditResult) -> str:
    """Say how much of the texts was cut, and so never scored, and what to do; empty if next to nothing was."""
    said = [
        f"{_share(texts)} of the {name} were cut to fit and {_share(read)} of their bytes never read"
        for name, (texts, read) in _cut(result).items()
    ]
    if not said:
        return ""
    return f"{'; '.join(said)}. The figures are of what was read: --long-texts stride scores texts whole."


def _share(share: float) -> str:
    return percent(float(f"{share:.2g}"))


def _with_context(result: AuditResult, words: VerdictWords, attack: AttackResult | None) -> VerdictWords:
    if words.kind == "veto":
        return words
    words = replace(words, unread=_unread(result))
    after = [retrained.sentence(result)] if result.retrained else []
    if words.kind == "inverted" and (said := _stand_out(result)):
        after.append(f"But {said}.")
    if attack and words.kind in ("found", "none", "inverted"):
        after.append(declaration(result, attack))
    return replace(words, points=(*words.points, *after))


def verdict(result: AuditResult) -> VerdictWords:
    """Say in one sentence what the audit found, or why it says nothing.

    A veto comes before everything; then missing non-members; then an attack that is undefined or inverted. Then the
    worse of tail and average decides: members who stand out, or else an interval of the headline attack that includes
    0.5, or a signal whose strength is named by both ends of its interval.
    """
    attack = headline_attack(result)
    grades = grade_signal(attack, result.risk, soundness=result.soundness)
    if is_vetoed(result):
        words = _veto(result)
    elif result.data.non_members is None:
        words = _uncalibrated(result)
    elif attack is None or attack.auc.low is None or attack.auc.high is None:
        words = _unmeasured(result, attack)
    elif attack.inverted or attack.auc.high < 0.5:
        words = _inverted(attack)
    elif grades is not None and (worse := _tail_is_worse(grades)) is not None:
        words = _few(result, attack, worse)
    elif attack.auc.low <= 0.5:
        words = _none(result, attack)
    else:
        words = _found(result, attack)
    return _with_context(result, words, attack)


def _tail_is_worse(grades: GradeResult) -> Grade | None:
    """Return the grade of the tail, if it is worse than that of the average."""
    if grades.tail is None or grades.average is None:
        return None
    return grades.tail if GRADES.index(grades.tail) > GRADES.index(grades.average) else None


def _chip_bits(bits: Quantity) -> str:
    return bits.held if bits.defined else "not defined"


def _memory_chips(result: AuditResult) -> list[Chip]:
    memory = result.memorization
    if memory is None:
        return [Chip(tone="info", label="Memorized", word="not measured: no reference")]
    if is_vetoed(result):
        return [Chip(tone="info", label="Memorized", word="withheld")]
    bits, used = headline_bits(memory), Quantity(label="", unit="%", estimate=memory.capacity_used)
    rows = [Chip(tone="info", label="Memorized", word=_chip_bits(bits))]
    if not memory.calibrated:
        rows.append(Chip(tone="warn", label="Bits", word="uncalibrated"))
    if used.defined:
        rows.append(
            Chip(tone="info", label=CAPACITY_USED, word=used.held if (used.estimate.low or 0.0) <= 0 else used.value)
        )
    return rows


def _stand_out_chips(result: AuditResult) -> list[Chip]:
    """Count the members who stand out, if more do than chance explains."""
    count = surest_count(result.risk)
    if is_vetoed(result) or count is None or count.value is None or not count.low:
        return []
    return [Chip(tone="bad", label="Stand out", word=f"{_sure(count)} of {count.n_members:,} members")]


def _retrained_chips(result: AuditResult) -> list[Chip]:
    part, label = result.retrained, "Against retrained"
    if part is None:
        return []
    if is_vetoed(result):
        return [Chip(tone="info", label=label, word="withheld")]
    return [Chip(tone=retrained.tone(part), label=label, word=retrained.chip_word(part))]


def chips(result: AuditResult) -> tuple[Chip, ...]:
    """Summarise the audit in a few words each, worst first."""
    words, checks = verdict(result), trust(result)
    state = {"ok": "sound", "warn": "caution", "bad": "veto"}[checks.tone] if checks.checks else "not checked"
    membership = {"veto": "withheld", "uncalibrated": "not measured", "unmeasured": "not measured"}
    membership |= {"none": "no evidence", "inverted": "inverted"}
    signal = membership.get(words.kind) or words.title.removesuffix(" membership signal").lower()
    if words.stands_out:
        signal = f"{words.grade}, for some members"
    rows = [
        Chip(tone=checks.tone, label="Soundness", word=state),
        Chip(tone="info" if words.kind == "veto" else words.tone, label="Membership signal", word=signal),
        *_stand_out_chips(result),
        *_memory_chips(result),
        *_retrained_chips(result),
    ]
    if cut := _cut(result):
        most = max(read for _, read in cut.values())
        rows.append(Chip(tone="warn", label="Never read", word=f"{_share(most)} of the bytes of a side"))
    if result.warnings:
        rows.append(Chip(tone="warn", label="Warnings", word=str(len(result.warnings))))
    return tuple(sorted(rows, key=lambda chip: SEVERITY.index(chip.tone)))


def shows_texts(result: AuditResult) -> bool:
    """Tell whether the report holds texts that were audited."""
    memory = result.memorization
    return memory is not None and any(sample.text is not None for sample in memory.top_samples)


def sample_bits(sample: TopSample) -> str:
    """Write the signed bits of one sample, which carry no interval."""
    return number(sample.signed_bits, 1)


def date(started_at: str) -> str:
    """Shorten an ISO time stamp to the minute; anything else is left as it is.

    Examples
    --------
    >>> date("2026-03-14T09:26:53.589+00:00"), date("yesterday")
    ('2026-03-14 09:26 UTC', 'yesterday')
    """
    day, mark, clock = started_at.partition("T")
    if not mark or len(day) != 10 or clock[2:3] != ":":
        return started_at
    zone = " UTC" if clock.endswith(("Z", "+00:00")) else ""
    return f"{day} {clock[:5]}{zone}"
