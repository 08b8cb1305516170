"""Sequential gates: those that can be decided before all texts are scored, and whether one is decided yet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, Need

from ..documents.estimate import Estimate
from ..documents.figures import ANY, Figure, attack_path, catalogue
from ..errors import ConfigError
from ..estimates.scores import SampleScores
from ..stats.sequential import AucSequence, Decision, DifferenceSequence, TprSequence, anytime_p_value, decide
from .policy import Gate, Policy, check_metric
from .subject import explain_inversion, is_inverted, kind_of_path

__all__ = ["BITS", "Question", "Topic", "topics_of"]

BITS = ("debiased_bits_per_member", "net_bits_per_member")
"""Means over members beyond non-members that can be looked at early: clipped at 0, and with their sign."""

_MEASURED_AT_ONCE = frozenset({Need.GRADIENTS, Need.CONTINUATIONS, Need.DIVERGENCE})

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A gate, and one figure that it is about.

    Parameters
    ----------
    gate : Gate
    leaf : str
        ``auc``, one of :data:`BITS`, or empty for a TPR.
    attack : Attack or None
        None for bits.
    fpr : float or None
        Of a TPR.
    several : bool
        Whether the gate is about every attack.
    """

    gate: Gate
    leaf: str
    attack: Attack | None = None
    fpr: float | None = None
    several: bool = False

    def figure(self, estimate: Estimate) -> Figure:
        """Name an estimate by its path, in the words of a full audit."""
        plain = asdict(estimate)
        if self.attack is None:
            document: dict[str, object] = {"memorization": {self.leaf: plain}}
        else:
            found = {"tpr_at_fpr": [plain]} if self.fpr is not None else {self.leaf: plain}
            document = {"attacks": [{"attack": self.attack.label, **found}]}
        return next(iter(catalogue(document).values()))[0]


def topics_of(
    policy: Policy, attacks: Sequence[Attack], *, headline: str, has_reference: bool
) -> tuple[list[Topic], list[str]]:
    """Find what the gates of a policy are about; return it with the names of those about other documents.

    Parameters
    ----------
    attacks : sequence of Attack
        Those of the audit.
    headline : str
        Label of the one that was declared.

    Raises
    ------
    ConfigError
        If a gate cannot be decided early, naming all such gates and why, or no gate is about an audit.
    """
    topics, elsewhere, undecidable = list[Topic](), list[str](), list[str]()
    for gate in policy.gates:
        check_metric(gate, {}, source=policy.source)
        if kind_of_path(gate.metric) == "prediction":
            elsewhere.append(gate.name)
            continue
        found, why = _topics(gate, attacks, headline, has_reference)
        topics += found
        if why:
            undecidable.append(f"{gate.name} ({gate.metric}: {why})")
    if undecidable:
        raise ConfigError(
            f"policy {policy.source}: gates that cannot be decided early: {'; '.join(undecidable)}; leave them out, or "
            "audit without --until-decided, which judges every gate"
        )
    if not topics:
        raise ConfigError(f"policy {policy.source}: no gate is about an audit, so there is nothing to decide")
    return topics, elsewhere


def _topics(gate: Gate, attacks: Sequence[Attack], headline: str, has_reference: bool) -> tuple[list[Topic], str]:
    """Find the figures of one gate, or say why it must wait for all texts."""
    root, _, leaf = gate.metric.partition(".")
    if root == "memorization" and leaf in BITS:
        if not has_reference:
            return [], "bits need a reference model"
        return [Topic(gate=gate, leaf=leaf)], ""
    path = attack_path(gate.metric)
    if path is None or (path.leaf != "auc" and path.fpr is None):
        return [], "it is made of all texts at once"
    if path.label == "best":
        return [], "the best attack is chosen on all texts"
    fpr = path.fpr
    if fpr is not None and not 0 < fpr < 1:
        return [], "a false-positive rate lies between 0 and 1"
    wanted = headline if path.label == "headline" else path.label
    several = wanted == ANY
    meant = [attack for attack in attacks if several or attack.label == wanted]
    if not meant:
        return [], f"this audit does not run {wanted}, but {', '.join(attack.label for attack in attacks)}"
    if comparing := [attack.label for attack in meant if not attack.per_sample]:
        return [], f"compares samples with each other: {', '.join(comparing)}"
    if slow := [attack.label for attack in meant if attack.needs & _MEASURED_AT_ONCE]:
        return [], f"takes more than token scores of the target: {', '.join(slow)}"
    leaf = "auc" if fpr is None else ""
    return [Topic(gate=gate, leaf=leaf, attack=attack, fpr=fpr, several=several) for attack in meant], ""


class _Sequence(Protocol):
    """A figure that is looked at again and again."""

    def look(self, scores: SampleScores, is_member: Flags, *, last: bool) -> Estimate:
        """Take the scores of more samples; return the figure so far."""
        ...

    def p_value(self, gate: Gate) -> float | None:
        """Of the figure being within the limits, one-sided, valid at all looks at once; None if there is none."""
        ...


class _Auc:
    def __init__(self, attack: str, level: float, block: tuple[int, int]) -> None:
        self._attack, self._sequence = attack, AucSequence(level=level, block=block)

    def look(self, scores: SampleScores, is_member: Flags, *, last: bool) -> Estimate:
        self._sequence.update(scores.attacks[self._attack], is_member)
        if last:
            self._sequence.finish()
        return self._sequence.estimate()

    def p_value(self, gate: Gate) -> float | None:
        above = None if gate.max is None else self._sequence.log_evidence(gate.max)[0]
        below = None if gate.min is None else self._sequence.log_evidence(gate.min)[1]
        return min(anytime_p_value(evidence) for evidence in (above, below) if evidence is not None)


class _Tpr:
    def __init__(self, attack: str, level: float, fpr: float) -> None:
        self._attack, self._sequence = attack, TprSequence(fpr=fpr, level=level)

    def look(self, scores: SampleScores, is_member: Flags, *, last: bool) -> Estimate:
        self._sequence.update(scores.attacks[self._attack], is_member)
        return self._sequence.estimate()

    def p_value(self, gate: Gate) -> float | None:
        return None


class _Bits:
    """Bits of members beyond non-members: passes early by what is certain alone, waits for all texts otherwise."""

    def __init__(self, topic: Topic, level: float, cap: float) -> None:
        self._clipped, self._gate = topic.leaf == BITS[0], topic.gate
        self._sequence = DifferenceSequence(level=level, low=0.0 if self._clipped else -cap, high=cap)

    def look(self, scores: SampleScores, is_member: Flags, *, last: bool) -> Estimate:
        assert scores.bits is not None
        self._sequence.update(scores.bits.memorized if self._clipped else scores.bits.signed, is_member)
        if last:
            return self._sequence.final()
        has_least = self._gate.min is not None  # its lower end may pass a gate then
        return self._sequence.early(most=self._gate.max, certain=has_least)

    def p_value(self, gate: Gate) -> float | None:
        return None


@dataclass(kw_only=True)
class Question:
    """A gate beside what is known of its figure so far; the first decision is kept.

    A figure that is significantly inverted (an AUC below 0.5, bits below 0) is refused, as in a full audit; one that
    would be beyond the upper limit were the sides swapped does not pass, but waits for more texts.

    Parameters
    ----------
    topic : Topic
    level : float
        Of the confidence sequence.
    block : tuple of int
        Members and non-members of a block, see :class:`~auditor.stats.sequential.AucSequence`.
    cap : float, bits
        Most that a text can hold: its tokens times log2 of the target's vocabulary, of the largest text.
    """

    topic: Topic
    level: float
    block: tuple[int, int]
    cap: float
    decision: Decision | Literal["refused"] = "undecided"
    estimate: Estimate = field(init=False)
    _sequence: _Sequence = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.estimate = Estimate.undefined("no text was scored", level=self.level)
        attack = self.topic.attack
        if attack is None:
            self._sequence = _Bits(self.topic, self.level, self.cap)
        elif self.topic.fpr is None:
            self._sequence = _Auc(attack.label, self.level, self.block)
        else:
            self._sequence = _Tpr(attack.label, self.level, self.topic.fpr)

    def look(self, scores: SampleScores, is_member: Flags, *, last: bool) -> None:
        """Take the scores of more samples, in random order, unless the gate is decided.

        Parameters
        ----------
        last : bool
            Whether no more will come.
        """
        if self.decision != "undecided":
            return
        self.estimate = self._sequence.look(scores, is_member, last=last)
        self.decision = self._decide()

    @property
    def _neutral(self) -> float | None:
        """What a model that leaks nothing has; None of a rate, which says nothing of swapped sides."""
        return 0.5 if self.topic.leaf == "auc" else 0.0 if self.topic.leaf in BITS else None

    def _decide(self) -> Decision | Literal["refused"]:
        """Hold the interval against the limits; do not let what may be swapped sides pass for a small figure."""
        gate, neutral = self.topic.gate, self._neutral
        if neutral is not None and is_inverted(self.estimate, neutral):
            return "refused"
        found = decide(self.estimate, least=gate.min, most=gate.max)
        return "undecided" if found == "pass" and self._may_be_inverted else found

    @property
    def _may_be_inverted(self) -> bool:
        """Whether the figure would be beyond its upper limit were the sides swapped."""
        value, neutral, most = self.estimate.value, self._neutral, self.topic.gate.max
        return (
            value is not None and neutral is not None and most is not None and 2 * neutral - value > max(most, neutral)
        )

    @property
    def figure(self) -> Figure:
        """The figure as it was at the decision, or is by now."""
        return self.topic.figure(self.estimate)

    @property
    def p_value(self) -> float | None:
        """Of the figure being within its limits, valid at all looks at once; of an AUC only."""
        return None if self.estimate.value is None else self._sequence.p_value(self.topic.gate)

    @property
    def reason(self) -> str:
        """Why the decision is what it is, in a sentence."""
        gate, found = self.topic.gate, self.estimate
        if found.low is None or found.high is None:
            return found.undefined_reason or "the figure is not defined"
        if self.decision == "refused":
            attack = self.topic.attack
            what, name = ("bits are inverted", "bits") if attack is None else (f"{attack.label} is inverted", "AUC")
            return explain_inversion(what, name, self.figure)
        if self.decision == "pass":
            return "the whole interval is within the limit"
        if self.decision == "fail":
            side = "above" if gate.max is not None and found.low > gate.max else "below"
            return f"the whole interval is {side} the limit"
        if self._may_be_inverted:
            return "members score lower than non-members, and whether that is chance cannot be told; check the sides"
        limits = "a limit" if gate.min is not None and gate.max is not None else "the limit"
        return f"the interval holds {limits}; more texts would make it narrower"
