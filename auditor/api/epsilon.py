"""The lower bound on epsilon of guessed coins, for programs."""

from ..documents.epsilon import EpsilonBound
from ..errors import ConfigError
from ..estimates.epsilon import bound_epsilon

__all__ = ["epsilon_lower_bound"]


def epsilon_lower_bound(
    *, canaries: int, guesses: int, correct: int, delta: float = 0.0, confidence: float = 0.95
) -> EpsilonBound:
    """Bound epsilon from below: what differential privacy a training run cannot have had.

    Parameters
    ----------
    canaries : int
        Records that were each put into training, or left out, by a fair coin of their own.
    guesses, correct : int
        Coins guessed from the model, their number declared before looking; and how many rightly.
    delta : float
        Of the claim that is tested.
    confidence : float
        Chance that the bound does not exceed the true epsilon.

    Returns
    -------
    EpsilonBound
        ``epsilon_lower_bound``, its ``ceiling`` (the most that so many guesses can show), method and warnings.

    Raises
    ------
    ConfigError
        For counts that do not fit together, and rates out of range.

    References
    ----------
    .. [1] Steinke, Nasr, Jagielski, *Privacy Auditing with One (1) Training Run*, arXiv:2305.08846, corollary 5.4.

    Examples
    --------
    >>> import auditor
    >>> round(auditor.epsilon_lower_bound(canaries=1000, guesses=100, correct=90).epsilon_lower_bound, 2)
    1.6
    """
    try:
        return bound_epsilon(
            n_canaries=canaries, n_guesses=guesses, n_correct=correct, delta=delta, confidence=confidence
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"no bound on epsilon: {error}") from error
