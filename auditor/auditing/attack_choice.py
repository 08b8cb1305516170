"""The choice of attacks: which of them an audit runs, and which one was declared before looking."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attacks import BUILTIN, Attack, Need, get_attack

from ..config import AttackSpec, AuditConfig
from ..errors import ConfigError
from .own_attacks import OwnAttacks

__all__ = [
    "ALL",
    "Headline",
    "choose_attacks",
    "choose_headline",
    "is_by_name",
    "needs_of",
    "when_run",
    "without_misaligned",
]

ALL = "all"
"""Name that stands for every built-in attack that the inputs allow, whatever it costs."""

_COSTLY = frozenset({Need.SWAPS, Need.GRADIENTS, Need.CONTINUATIONS, Need.DIVERGENCE})
"""Needs that cost several passes or more; such attacks are run when named, or with ``all``."""

_OFFERS = frozenset({Need.SHOTS, Need.MEMBER_SHOTS, Need.NEIGHBOURS, Need.TOKEN_COUNTS, Need.SHADOWS,
                     Need.SEVERAL_REFERENCES})  # fmt: skip
"""Needs of an input of their own: that it was not given is no gap in an audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The attack that the verdict rests on, and who said so."""

    label: str
    declared_by: Literal["config", "default"]


_NONE = OwnAttacks()


def choose_attacks(config: AuditConfig, own: OwnAttacks = _NONE) -> tuple[list[Attack], list[str]]:
    """Build the attacks asked for, or every built-in one that the inputs allow; say which were left out.

    Those of ``own`` are known by name, too; what is wanted of them comes beside all others.

    Raises
    ------
    ConfigError
        For an unknown attack or parameter, one named twice, or one whose needs are not met.
    """
    names = [spec.name for spec in config.attacks]
    if names and names != [ALL]:
        if ALL in names:
            raise ConfigError(f"--attack {ALL} stands for every attack: give it alone, or name the attacks")
        return _named(config, own), []
    chosen: list[Attack] = []
    lacking: dict[str, list[str]] = {}
    for attack in (get_attack(name) for name in BUILTIN):
        missing = _lacking(attack, config)
        if missing and not attack.needs & _OFFERS:
            lacking.setdefault(missing, []).append(attack.name)
        elif not missing and (names or not attack.needs & _COSTLY):
            chosen.append(attack)
    chosen += [_build(AttackSpec(name=name, params={}), config, own, option="--attack-file") for name in own.wanted]
    if config.headline is not None and config.headline not in {attack.label for attack in chosen}:
        chosen.append(_build(AttackSpec.parse(config.headline), config, own, option="--headline"))
    return chosen, [f"left out, as they need {what}: {', '.join(those)}" for what, those in lacking.items()]


def choose_headline(config: AuditConfig, attacks: Sequence[Attack], own: OwnAttacks = _NONE) -> Headline:
    """Say on which attack the verdict rests: declared, or the reference attack, or loss, or the first one.

    Raises
    ------
    ConfigError
        If the declared attack is not among those that are run.
    """
    labels = {attack.name: attack.label for attack in reversed(attacks)}
    if config.headline is None:
        label = labels.get("reference") or labels.get("loss") or attacks[0].label
        return Headline(label=label, declared_by="default")
    declared = _build(AttackSpec.parse(config.headline), config, own, option="--headline").label
    if declared not in {attack.label for attack in attacks}:
        raise ConfigError(f"--headline {declared} is not among the attacks: {', '.join(a.label for a in attacks)}")
    return Headline(label=declared, declared_by="config")


def needs_of(attacks: Sequence[Attack], config: AuditConfig) -> frozenset[Need]:
    """Union of what attacks need; aligned tokens only if the attacks were named, so that none may be left out."""
    needs = frozenset[Need]().union(*(attack.needs for attack in attacks))
    return needs if is_by_name(config) else needs - {Need.ALIGNED_TOKENS}


def without_misaligned(
    attacks: Sequence[Attack], headline: Headline, *, aligned: bool
) -> tuple[list[Attack], list[str]]:
    """Leave out attacks that compare token by token where models read the texts as different tokens; say so."""
    if aligned:
        return list(attacks), []
    left_out = [attack.label for attack in attacks if Need.ALIGNED_TOKENS in attack.needs]
    if headline.label in left_out:
        raise ConfigError(f"--headline {headline.label} compares target and reference token by token, but they read "
                          "the texts as different tokens: declare another attack")  # fmt: skip
    kept = [attack for attack in attacks if attack.label not in left_out]
    why = "left out, as target and references read the texts as different tokens"
    return kept, [f"{why}: {', '.join(left_out)}"] if left_out else []


def when_run(needs: frozenset[Need]) -> str:
    """Say when an attack with these needs is run.

    Examples
    --------
    >>> when_run(frozenset()), when_run(frozenset({Need.SWAPS}))
    ('run always', 'run when named')
    """
    inputs = [_OPTIONS[need] for need in _OPTIONS if need in needs]
    given = f" and with {' and '.join(inputs)}" if inputs else ""
    if needs & _COSTLY:
        return f"run when named{given}"
    return f"run{given.removeprefix(' and')}" if given else "run always"


def is_by_name(config: AuditConfig) -> bool:
    """Whether the attacks were named, so that none of them may be left out."""
    return bool(config.attacks) and config.attacks[0].name != ALL


def _named(config: AuditConfig, own: OwnAttacks) -> list[Attack]:
    """Build the attacks that were asked for by name, or by their file."""
    named: dict[str, Attack] = {}
    names = {spec.name for spec in config.attacks}
    of_files = [AttackSpec(name=name, params={}) for name in own.wanted if name not in names]
    for spec in (*config.attacks, *of_files):
        attack = _build(spec, config, own, option="--attack")
        if attack.label in named:
            raise ConfigError(f"--attack {attack.label} was given twice")
        named[attack.label] = attack
    return list(named.values())


def _build(spec: AttackSpec, config: AuditConfig, own: OwnAttacks, *, option: str) -> Attack:
    """Build one attack whose needs are met."""
    try:
        attack = get_attack(spec.name, spec.params, own=own.classes)
    except (LookupError, ValueError) as error:
        raise ConfigError(f"{option}: {error.args[0]}") from error
    if lacking := _lacking(attack, config):
        raise ConfigError(f"{option} {attack.label} needs {lacking}")
    return attack


def _lacking(attack: Attack, config: AuditConfig) -> str:
    """Say what an attack needs that was not given; empty if it has all."""
    given = {
        Need.REFERENCE: bool(config.references or config.shadows),
        Need.SHOTS: config.shots is not None,
        Need.MEMBER_SHOTS: config.member_shots is not None,
        Need.NEIGHBOURS: config.neighbour_model is not None,
        Need.TOKEN_COUNTS: config.frequency_corpus is not None,
        Need.SHADOWS: config.shadows is not None,
        Need.SEVERAL_REFERENCES: len(config.references) >= 2 or config.shadows is not None,
    }
    missing = [f"{_WORDS[need]} ({_OPTIONS[need]})" for need in _WORDS if need in attack.needs and not given[need]]
    return " and ".join(missing)


_WORDS = {
    Need.REFERENCE: "a reference model",
    Need.SHOTS: "non-members of its own to put before the texts",
    Need.MEMBER_SHOTS: "members of its own to put before the texts",
    Need.NEIGHBOURS: "a masked language model that rewrites texts",
    Need.TOKEN_COUNTS: "a corpus to count tokens in",
    Need.SHADOWS: "shadow models, made by `auditor shadows`",
    Need.SEVERAL_REFERENCES: "two references or more",
}
_OPTIONS = {
    Need.REFERENCE: "--reference",
    Need.SHOTS: "--shots",
    Need.MEMBER_SHOTS: "--member-shots",
    Need.NEIGHBOURS: "--neighbour-model",
    Need.TOKEN_COUNTS: "--frequency-corpus",
    Need.SHADOWS: "--shadows",
    Need.SEVERAL_REFERENCES: "two --reference or --shadows",
}
