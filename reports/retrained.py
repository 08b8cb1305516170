"""The target beside a retrained model, in words: less than that and more than that are findings alike."""

from collections.abc import Iterator
from typing import NamedTuple

from auditor.documents.result import AuditResult, Finding, RetrainedAttack, RetrainedResult

from .attacks import headline_attack
from .numbers import Change, Quantity, p_value, plain, plural
from .tones import Tone

__all__ = ["TITLE", "RetrainedRow", "bits", "chip_word", "quantities", "reasons", "rows", "sentence", "step", "tone"]

TITLE = "Compared with a model that never saw the members"

_TONES: dict[Finding, Tone] = {
    "residual": "bad", "over_erased": "bad", "indistinguishable": "ok", "undecided": "info"
}  # fmt: skip
_WORDS: dict[Finding, str] = {
    "residual": "residual memory",
    "over_erased": "over-erased",
    "indistinguishable": "indistinguishable",
    "undecided": "undecided",
}


class RetrainedRow(NamedTuple):
    """One attack on both models."""

    attack: str
    target: Quantity
    retrained: Quantity
    change: Quantity
    p: str
    finding: str
    tone: Tone


def tone(part: RetrainedResult) -> Tone:
    """Say how the comparison came out, as a tone."""
    return _TONES[part.finding]


def chip_word(part: RetrainedResult) -> str:
    """Name the finding in a word or two."""
    return _WORDS[part.finding]


def _aucs(attack: RetrainedAttack) -> tuple[Quantity, Quantity, Quantity]:
    return (
        Quantity(label="AUC, target", unit="", estimate=attack.target_auc),
        Quantity(label="AUC, retrained", unit="", estimate=attack.retrained_auc),
        Change(label="Change of AUC", unit="", estimate=attack.change),
    )


def bits(part: RetrainedResult) -> Quantity:
    """Give what the target holds of a member beyond the retrained model."""
    return Change(
        label="Net bits beyond the retrained model",
        unit="bits per member",
        estimate=part.net_bits_per_member,
        note="Bits by which the target writes a member shorter than the retrained model does, less the same of a "
        "non-member.",
    )


def rows(result: AuditResult) -> tuple[RetrainedRow, ...]:
    """Write every attack as a row: the deciding one first, then the largest changes."""
    if result.retrained is None:
        return ()
    first = _deciding(result, result.retrained)

    def key(attack: RetrainedAttack) -> tuple[bool, float]:
        return attack is not first, -abs(attack.change.value or 0.0)

    return tuple(
        RetrainedRow(
            attack.attack, *_aucs(attack), p_value(attack.p_value_holm), _WORDS[attack.finding], _TONES[attack.finding]
        )
        for attack in sorted(result.retrained.attacks, key=key)
    )


def reasons(result: AuditResult) -> tuple[str, ...]:
    """List why figures are undefined, each reason once; tables refer to them by number."""
    found = (q.reason for row in rows(result) for q in (row.target, row.retrained, row.change))
    return tuple(dict.fromkeys(reason for reason in found if reason))


def quantities(part: RetrainedResult) -> Iterator[tuple[str, Quantity]]:
    """Walk every estimate with the part of the statistician's table that it belongs to."""
    yield "retrained", bits(part)
    for attack in part.attacks:
        for quantity in _aucs(attack):
            yield f"retrained: {attack.attack}", quantity


def _deciding(result: AuditResult, part: RetrainedResult) -> RetrainedAttack | None:
    """Find the attack that the finding of the whole rests on: the headline attack, or else the surest that has it."""
    headline = headline_attack(result)
    agreeing = [attack for attack in part.attacks if attack.finding == part.finding]
    for attack in agreeing:
        if headline is not None and attack.attack == headline.attack:
            return attack
    return min(agreeing, key=lambda attack: 2.0 if attack.p_value is None else attack.p_value, default=None)


def sentence(result: AuditResult) -> str:
    """Say what the comparison found; empty if there was none."""
    part = result.retrained
    if part is None:
        return ""
    attack, margin = _deciding(result, part), plain(part.margin)
    if attack is None:
        return "Undecided: no attack was compared."
    change = Change(label="", unit="", estimate=attack.change)
    name = attack.attack.replace("`", "'")  # nothing that others wrote is taken for code
    figures = f"change of AUC {change.text}, adjusted p {p_value(attack.p_value_holm)}, attack {name}"
    if part.finding == "residual":
        return f"The target still gives members away more than a model that never saw them does ({figures})."
    if part.finding == "over_erased":
        return (
            "Over-erased, which is a finding and no success: members stand out less than on a model that never saw "
            f"them, so what is missing gives them away ({figures})."
        )
    if part.finding == "indistinguishable":
        undecided = sum(other.finding == "undecided" for other in part.attacks)
        but = f" {plural(undecided, 'other attack')} cannot decide it." if undecided else ""
        return (
            f"Indistinguishable from a model that never saw the members, within {margin} of AUC: the whole interval "
            f"lies within that ({figures}).{but}"
        )
    return (
        f"Undecided: that the target is like a model that never saw the members, within {margin} of AUC, is neither "
        f"shown nor refuted ({figures})."
    )


def step(part: RetrainedResult) -> str:
    """Say what to do about the finding; empty if nothing."""
    return {
        "residual": "Do not call the members unlearned: retrain without them, or unlearn further, and compare again.",
        "over_erased": "Do not push members below what an unseen text scores: unlearn less, towards the retrained "
        "model, and compare again.",
        "undecided": "Give more texts of both sides, so that the comparison with the retrained model can decide.",
        "indistinguishable": "",
    }[part.finding]
