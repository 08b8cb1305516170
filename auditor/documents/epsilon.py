"""The bound on epsilon: what ``auditor epsilon --json`` prints, and what audits of coins and of canaries hold."""

from typing import Literal

from .files import document

__all__ = ["EPSILON_VERSION", "Condition", "EpsilonBound", "EpsilonResult"]

EPSILON_VERSION = "1.0"


@document
class EpsilonBound:
    """What guesses of independent fair coins say of differential privacy, as a lower bound on epsilon."""

    schema_version: str = EPSILON_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    n_canaries: int
    """Number of records that a coin put into training or left out."""
    n_guesses: int
    """Number of coins that were guessed, declared before looking."""
    n_correct: int
    """Number of right guesses."""
    delta: float
    """Delta of the claim that is tested."""
    confidence: float
    """Chance that the bound does not exceed the true epsilon, at least."""
    epsilon_lower_bound: float
    """Smallest epsilon that the guesses do not refute; 0 if they refute none."""
    p_value_at_zero: float
    """Chance of so many right guesses if training had hidden every coin (epsilon 0, this delta)."""
    ceiling: float
    """Largest bound that so many guesses can show, all of them right."""
    refuted_mu: float
    """Largest mu of Gaussian privacy that is refuted, which is no epsilon; 0 if none is."""
    method: str
    """How the bound was made."""
    warnings: tuple[str, ...]
    """What makes the bound weak, and what it takes for granted."""


ConditionVerdict = Literal["met", "broken", "unchecked"]


@document
class Condition:
    """Something that must hold for a bound on epsilon to be one."""

    name: str
    """Name of the condition."""
    verdict: ConditionVerdict
    """Whether it was checked and is met, is broken, which voids the bound, or could not be checked."""
    detail: str
    """What was found, or what nobody but the reader can know."""


@document
class EpsilonResult:
    """A lower bound on epsilon from guesses of the coins that put texts into training, and what it rests on."""

    epsilon_lower_bound: float | None
    """Smallest epsilon of one record that the guesses do not refute; 0 if they refute none, null if it is void."""
    undefined_reason: str | None
    """Why there is no bound; null if there is one."""
    ceiling: float
    """Largest bound that so many guesses can show, all of them right."""
    delta: float
    """Delta of the claim that is tested."""
    confidence: float
    """Chance that the bound does not exceed the true epsilon, at least."""
    method: str
    """How the bound was made."""
    unit: str
    """Unit of privacy that a coin put in or left out."""
    conditions: tuple[Condition, ...]
    """What the bound takes for granted, checked where it can be."""
    attack: str
    """Label of the attack whose scores made the guesses."""
    n_canaries: int
    """Number of coins that were scored."""
    n_guesses: int
    """Number of coins that were guessed: half of them in, for the highest scores, half out, for the lowest."""
    n_correct: int | None
    """Number of right guesses; null if the bound is void."""
    copies: int
    """Number of records that one coin put in together; the bound is that of one of them."""
    group_lower_bound: float | None
    """The bound for all copies together; null if it is void."""
    p_value_at_zero: float | None
    """Chance of so many right guesses if training had hidden every coin; null if the bound is void."""
    betting_lower_bound: float | None
    """Another bound for delta 0, betting along the order of confidence; each holds alone, not the larger of both."""
    refuted_mu: float | None
    """Largest mu of Gaussian privacy of the group that is refuted, which is no epsilon; null if the bound is void."""
