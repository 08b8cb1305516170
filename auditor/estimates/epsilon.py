"""The bound on epsilon of guessed coins, with its ceiling and what it takes for granted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..documents.epsilon import Condition, EpsilonBound, EpsilonResult
from ..stats.epsilon import betting_epsilon, epsilon_ceiling, epsilon_lower_bound, epsilon_p_value, refuted_mu
from ..version import __version__

__all__ = [
    *("GUESS_SHARE", "Claim", "Coined", "bound_by_coins", "bound_epsilon", "by_unit", "declared_conditions"),
    *("n_guesses", "surest_first"),
]

GUESS_SHARE = 0.2
"""Share of the coins that is guessed where nothing else is declared."""

METHOD = "Steinke, Nasr, Jagielski 2023 (arXiv:2305.08846), corollary 5.4, one training run"

_GRANTED = (
    "taken for granted: each record was put into training by its own fair coin, the coins were not known to whoever "
    "tuned the model or chose the attack, and the number of guesses was declared before looking",
    "the unit of privacy is one record: where k copies of it were trained on, or several records are of one person, "
    "the bound is that of the whole group",
)


def bound_epsilon(
    *, n_canaries: int, n_guesses: int, n_correct: int, delta: float = 0.0, confidence: float = 0.95
) -> EpsilonBound:
    """Bound epsilon from below, and say what the bound can show at most.

    Parameters
    ----------
    n_canaries, n_guesses, n_correct : int
    delta, confidence : float

    Raises
    ------
    ValueError
        As `epsilon_lower_bound` does.
    """
    guesses = {"n_canaries": n_canaries, "n_guesses": n_guesses, "n_correct": n_correct}
    bound = epsilon_lower_bound(**guesses, delta=delta, confidence=confidence)
    return EpsilonBound(
        auditor_version=__version__,
        n_canaries=n_canaries,
        n_guesses=n_guesses,
        n_correct=n_correct,
        delta=delta,
        confidence=confidence,
        epsilon_lower_bound=bound,
        p_value_at_zero=epsilon_p_value(**guesses, epsilon=0.0, delta=delta),
        ceiling=epsilon_ceiling(n_canaries=n_canaries, n_guesses=n_guesses, delta=delta, confidence=confidence),
        refuted_mu=refuted_mu(**guesses, confidence=confidence),
        method=METHOD,
        warnings=(*_weak(n_canaries, n_guesses, bound, delta), *_GRANTED),
    )


def _weak(n_canaries: int, n_guesses: int, bound: float, delta: float) -> list[str]:
    """Say what keeps the bound low."""
    found = []
    if n_guesses == n_canaries and n_canaries > 1:
        found.append("every coin was guessed, the unsure ones too, which is weak: declare a fifth of them beforehand")
    if delta * n_canaries >= 1:
        found.append(
            f"delta {delta:g} allows that whole records leak: {delta * n_canaries:.3g} of {n_canaries} canaries may be "
            "given away; take a delta well below one in the number of canaries"
        )
    if not bound:
        found.append("nothing is refuted, which is no proof of privacy: other canaries or attacks may show more")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Coined:
    """Units of which a coin put each into training or left it out.

    Parameters
    ----------
    names : sequence of str, length n_units
        What their coins were thrown by; it orders equal scores, as it knows nothing of the coins.
    scores : ndarray of float64, shape (n_units,)
        Of one attack, higher for members.
    is_in : ndarray of bool, shape (n_units,)
        The coins.
    copies : int
        Records that a coin put in together, at most.
    """

    names: Sequence[str]
    scores: NDArray[np.float64]
    is_in: NDArray[np.bool_]
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is tested, and how: fixed before anybody looks.

    Parameters
    ----------
    delta, confidence : float
    guess_share : float, in (0, 1]
        Share of the coins that is guessed.
    """

    delta: float = 0.0
    confidence: float = 0.95
    guess_share: float = GUESS_SHARE


def by_unit(names: Sequence[str], scores: NDArray[np.float64], is_in: NDArray[np.bool_], copies: int = 1) -> Coined:
    """Put texts of one unit together: its score is their mean, its coin is theirs.

    Parameters
    ----------
    names : sequence of str, length n_texts
        Unit of each text.
    scores : ndarray of float64, shape (n_texts,)
    is_in : ndarray of bool, shape (n_texts,)
        The same for all texts of a unit.
    copies : int
    """
    units, first, unit = np.unique(np.array(names, dtype=np.str_), return_index=True, return_inverse=True)
    mean = np.bincount(unit, weights=scores) / np.bincount(unit)
    return Coined(names=[str(one) for one in units], scores=mean, is_in=is_in[first], copies=copies)


def n_guesses(n_canaries: int, share: float) -> int:
    """Count the guesses at a share of the coins: even, as half of them are in and half out, and two at least."""
    return min(max(2, 2 * round(share * n_canaries / 2)), n_canaries)


def surest_first(coined: Coined) -> NDArray[np.bool_]:
    """Whether each guess is right, the surest first: highest score in, lowest out, next highest in, and so on.

    Returns
    -------
    ndarray of bool, shape (n_units,)
        Order and guesses are made of the scores alone; equal scores stand in the order of the names.
    """
    upward = np.lexsort((np.array(coined.names, dtype=np.str_), coined.scores))
    n = upward.size
    order = np.empty(n, dtype=np.int64)
    order[0::2] = upward[::-1][: (n + 1) // 2]
    order[1::2] = upward[: n // 2]
    return np.asarray(coined.is_in[order] == (np.arange(n) % 2 == 0))


def declared_conditions(*, headline: str, by_default: bool, guess_share: float) -> tuple[Condition, ...]:
    """Say whether attack and number of guesses were fixed before looking, and what no file can show."""
    usual = guess_share == GUESS_SHARE
    return (
        Condition(
            name="declared_attack",
            verdict="met" if by_default else "unchecked",
            detail=f"{headline} is what is taken by default, whatever it finds"
            if by_default
            else f"{headline} was asked for; that it was declared before anybody looked cannot be seen here",
        ),
        Condition(
            name="declared_guesses",
            verdict="met" if usual else "unchecked",
            detail=f"{guess_share:.0%} of the coins are guessed"
            + (", as by default" if usual else "; that this share was declared before anybody looked cannot be seen"),
        ),
        Condition(
            name="committed_before_training",
            verdict="unchecked",
            detail="a commitment binds from the day on which it was shown to somebody else: was it before training?",
        ),
        Condition(
            name="coins_unknown",
            verdict="unchecked",
            detail="whoever chose how to train, or what to audit, must not have known the coins otherwise than by the "
            "data that they trained on",
        ),
    )


def bound_by_coins(
    coined: Coined, *, claim: Claim, attack: str, unit: str, conditions: Sequence[Condition]
) -> EpsilonResult:
    """Bound epsilon from below by how many of the surest guesses are right.

    Parameters
    ----------
    coined : Coined
        Two units at least.
    claim : Claim
    attack : str
        Label of the attack behind the scores.
    unit : str
        Unit of privacy, in words.
    conditions : sequence of Condition
        One that is broken voids the bound.

    Notes
    -----
    ``r`` of ``m`` coins are guessed: the ``r / 2`` highest scores are in, the ``r / 2`` lowest out. The bound is that
    of `epsilon_lower_bound`. For delta 0 a second one bets along the same order (`betting_epsilon`).
    """
    m, k = coined.is_in.size, coined.copies
    r = n_guesses(m, claim.guess_share)
    broken = [f"{one.name}: {one.detail}" for one in conditions if one.verdict == "broken"]
    right = surest_first(coined)
    v = int(right[:r].sum())
    guesses = {"n_canaries": m, "n_guesses": r, "n_correct": v}
    lower = partial(epsilon_lower_bound, **guesses, delta=claim.delta, confidence=claim.confidence)
    betting = betting_epsilon(right, confidence=claim.confidence) / k if claim.delta == 0 else None
    return EpsilonResult(
        epsilon_lower_bound=None if broken else lower(copies=k),
        undefined_reason="; ".join(broken) or None,
        ceiling=epsilon_ceiling(n_canaries=m, n_guesses=r, delta=claim.delta, confidence=claim.confidence, copies=k),
        delta=claim.delta,
        confidence=claim.confidence,
        method=METHOD if k == 1 else f"{METHOD}; group privacy for {k} copies",
        unit=unit,
        conditions=tuple(conditions),
        attack=attack,
        n_canaries=m,
        n_guesses=r,
        n_correct=None if broken else v,
        copies=k,
        group_lower_bound=None if broken else lower(),
        p_value_at_zero=None if broken else epsilon_p_value(**guesses, epsilon=0.0, delta=claim.delta),
        betting_lower_bound=None if broken else betting,
        refuted_mu=None if broken else refuted_mu(**guesses, confidence=claim.confidence),
    )
