"""The bound on epsilon of guessed coins, with its ceiling and what it takes for granted."""

from ..documents.epsilon import EpsilonBound
from ..stats.epsilon import epsilon_ceiling, epsilon_lower_bound, epsilon_p_value, refuted_mu
from ..version import __version__

__all__ = ["bound_epsilon"]

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
