"""The bound on epsilon of an audit whose sides coins drew: guesses by the headline attack, and their conditions."""

import scipy

from ..data.splits import unit_name
from ..documents.epsilon import Condition, EpsilonResult
from ..documents.result import SoundnessResult
from ..documents.salt import read_salt
from ..documents.split import SplitManifest
from ..estimates.epsilon import Claim, Coined, bound_by_coins, by_unit, declared_conditions
from ..soundness.split import known_texts
from .evidence import Evidence
from .inputs import Inputs

__all__ = ["bound_epsilon", "why_no_bound"]

_CHOSEN = 1e-4
"""P-value of the number of members among fair coins below which the audited texts were picked by their side."""


def bound_epsilon(evidence: Evidence, soundness: SoundnessResult) -> EpsilonResult | None:
    """Bound epsilon from below by guessing the coins that drew the sides; None if no coins did, or they are hidden.

    Texts that the manifest does not know were drawn by no coin, and are left out. The guesses are made by the headline
    attack, whichever attack turned out best.
    """
    inputs, config = evidence.inputs, evidence.config
    manifest, coins = inputs.manifest, inputs.coins
    if manifest is None or coins is None or config.non_members is None:
        return None
    places = known_texts(manifest, inputs.data, read_salt(config.salt))
    headline = inputs.headline.label
    if len(places) < 2:
        return None
    groups = inputs.data.groups
    coined = by_unit(
        [unit_name(inputs.data.text_sha256[i], groups[i] if manifest.by_group else None) for i in places],
        evidence.table.scores[headline][places],
        inputs.data.is_member[places],
        copies=max((inputs.data.copies[i] or 1 for i in places), default=1),
    )
    return bound_by_coins(
        coined,
        claim=Claim(delta=config.delta, confidence=config.confidence, guess_share=config.guess_share),
        attack=headline,
        unit="all texts of a group" if manifest.by_group else "one text",
        conditions=(
            Condition(
                name="independent_fair_coins",
                verdict="met",
                detail=f"every one of {len(places)} texts is on the side of its own coin, and the seed of the coins is "
                f"the one that the manifest committed to ({(manifest.coins_sha256 or '')[:16]}…)",
            ),
            _every_unit(manifest, len(places), coined),
            *declared_conditions(
                headline=headline, by_default=inputs.headline.declared_by == "default", guess_share=config.guess_share
            ),
            _one_coin_a_unit(manifest, coined, inputs),
            *_reference(soundness),
            _sound(soundness),
        ),
    )


def why_no_bound(inputs: Inputs) -> list[str]:
    """Say why an audit of coins has no bound on epsilon, where that is so."""
    manifest = inputs.manifest
    if manifest is None or manifest.coins_sha256 is None:
        return []
    if inputs.coins is None:
        return ["no bound on epsilon: the coins of the split are not revealed; give its coins.json with --coins"]
    if inputs.config.non_members is None:
        return ["no bound on epsilon: of texts that coins left out none was given (--non-members)"]
    return []


def _every_unit(manifest: SplitManifest, n_texts: int, coined: Coined) -> Condition:
    """Check that the audited texts were not picked by their side."""
    n_in, n = int(coined.is_in.sum()), coined.is_in.size
    drawn = manifest.members.n_texts + manifest.non_members.n_texts
    counts = f"{n_texts} of {drawn} texts of the split, {n_in} of {n} coins in"
    p_value = float(scipy.stats.binomtest(n_in, n).pvalue)
    if p_value < _CHOSEN:
        return Condition(
            name="every_unit_audited",
            verdict="broken",
            detail=f"{counts}: fair coins do not fall so (p {p_value:.2g}); audit both files of the split whole",
        )
    if n_texts < drawn:
        return Condition(
            name="every_unit_audited",
            verdict="unchecked",
            detail=f"{counts}: that the others were not left out by their side or their score cannot be seen here",
        )
    return Condition(name="every_unit_audited", verdict="met", detail=counts)


def _one_coin_a_unit(manifest: SplitManifest, coined: Coined, inputs: Inputs) -> Condition:
    """Say what the unit of privacy is, and how many records one coin moves."""
    unit = "a coin for each group, whose texts count as one guess" if manifest.by_group else "a coin for each text"
    if not manifest.by_group and any(inputs.data.groups):
        unit += " (the bound holds for a text, and so for the group that it is of)"
    copies = f"; a text stands up to {coined.copies} times in training, and these copies count as a group"
    return Condition(
        name="one_coin_per_unit", verdict="met", detail=unit + (copies if coined.copies > 1 else "; each stands once")
    )


def _reference(soundness: SoundnessResult) -> tuple[Condition, ...]:
    """Say whether the reference may know the coins by itself."""
    check = next((one for one in soundness.checks if one.name == "reference_alone"), None)
    if check is None:
        return ()
    vetoed = check.verdict == "veto"
    told = "tells the sides apart by itself" if vetoed else "does not tell the sides apart by itself"
    return (
        Condition(
            name="reference_blind",
            verdict="broken" if vetoed else "unchecked",
            detail=f"the reference {told}; it must not have been trained on either side",
        ),
    )


def _sound(soundness: SoundnessResult) -> Condition:
    """Hold the soundness checks against the bound: a veto leaves nothing to conclude."""
    vetoes = [one.name for one in soundness.checks if one.verdict == "veto"]
    detail = f"vetoed by {', '.join(vetoes)}" if vetoes else "no soundness check forbids a verdict"
    return Condition(name="sound_sides", verdict="broken" if vetoes else "met", detail=detail)
