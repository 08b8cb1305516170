"""Lower bounds on epsilon from guesses of independent fair coins: what privacy a training run cannot have had."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "betting_epsilon",
    "epsilon_ceiling",
    "epsilon_lower_bound",
    "epsilon_of_several",
    "epsilon_p_value",
    "refuted_mu",
]

LARGEST_EPSILON = 50.0
"""Search ends here; no set of canaries that fits on a computer shows more."""

_GRID = 501


def epsilon_p_value(*, n_canaries: int, n_guesses: int, n_correct: int, epsilon: float, delta: float = 0.0) -> float:
    r"""Chance of at least so many right guesses if training was (epsilon, delta)-differentially private.

    .. math:: p = f(v) + 2 m \delta \max_{1 \le i \le v} \frac{f(v - i) - f(v)}{i}, \quad
              f(v) = P[\mathrm{Bin}(r, q) \ge v], \quad q = \frac{e^\epsilon}{1 + e^\epsilon}

    Parameters
    ----------
    n_canaries : int
        m: records that an independent fair coin put into training or left out.
    n_guesses : int
        r: coins that were guessed; the number is declared before looking, the others are left open.
    n_correct : int
        v: guesses that were right.
    epsilon, delta : float
        The claim.

    Raises
    ------
    ValueError
        If the counts do not nest, epsilon is negative, or delta is not in [0, 1).

    References
    ----------
    .. [1] Steinke, Nasr, Jagielski, *Privacy auditing with one (1) training run*, arXiv:2305.08846, corollary 5.4.

    Examples
    --------
    >>> found = epsilon_p_value(n_canaries=100, n_guesses=100, n_correct=75, epsilon=math.log(3))
    >>> round(found, 5)
    0.55347
    """
    _check(n_canaries, n_guesses, n_correct, delta)
    if not epsilon >= 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    return _p_value(n_canaries, n_guesses, n_correct, epsilon, delta)


def epsilon_lower_bound(
    *, n_canaries: int, n_guesses: int, n_correct: int, delta: float = 0.0, confidence: float = 0.95, copies: int = 1
) -> float:
    """Smallest epsilon that these guesses do not refute; 0 if they refute none.

    Whatever the true epsilon, the bound exceeds it with a probability of at most ``1 - confidence``, if coins were
    independent and fair, and guesses, their number and the attack were fixed without knowing them.

    Parameters
    ----------
    n_canaries, n_guesses, n_correct : int
    delta : float
    confidence : float
    copies : int
        k: records that each coin put in together. They are a group: (epsilon, delta) for a record means
        (k epsilon, delta (e^(k epsilon) - 1) / (e^epsilon - 1)) for the group, and the bound is that of a record.

    Raises
    ------
    ValueError
        As `epsilon_p_value` does; if the confidence is not in (0, 1), or there is not one copy at least.

    References
    ----------
    .. [1] Dwork, Roth, *The algorithmic foundations of differential privacy*, 2014, theorem 2.2 (groups, delta 0);
       Vadhan, *The complexity of differential privacy*, 2017, lemma 2.2 (groups, any delta).

    Examples
    --------
    >>> round(epsilon_lower_bound(n_canaries=1000, n_guesses=100, n_correct=75, delta=1e-4), 6)
    0.672985
    """
    _check(n_canaries, n_guesses, n_correct, delta)
    alpha = _alpha(confidence)
    if copies < 1:
        raise ValueError(f"need one copy at least, got {copies}")

    def margin(epsilon: float) -> float:
        of_group = copies * epsilon, _delta_of_group(epsilon, delta, copies)
        return _p_value(n_canaries, n_guesses, n_correct, *of_group) - alpha

    return _smallest_kept(margin)


def epsilon_ceiling(
    *, n_canaries: int, n_guesses: int, delta: float = 0.0, confidence: float = 0.95, copies: int = 1
) -> float:
    """Largest bound that so many guesses can show: that of guesses that are all right.

    Examples
    --------
    >>> round(epsilon_ceiling(n_canaries=100, n_guesses=100), 3)
    3.493
    """
    return epsilon_lower_bound(
        n_canaries=n_canaries,
        n_guesses=n_guesses,
        n_correct=n_guesses,
        delta=delta,
        confidence=confidence,
        copies=copies,
    )


def epsilon_of_several(
    *, n_canaries: int, guesses: Sequence[tuple[int, int]], delta: float = 0.0, confidence: float = 0.95
) -> float:
    """Best bound over several declared numbers of guesses, each at its share of the error.

    Parameters
    ----------
    guesses : sequence of (int, int)
        Guesses made and guesses right, for each declared number.

    References
    ----------
    .. [1] Steinke, Nasr, Jagielski, arXiv:2305.08846, corollary 5.8 (a union bound). To take the best of several
       numbers at the full error is unsound: at true epsilon 0 the best of 10 alarms in 13% of runs instead of 5%.
    """
    if not guesses:
        raise ValueError("give at least one number of guesses")
    shared = 1 - _alpha(confidence) / len(guesses)
    return max(
        epsilon_lower_bound(n_canaries=n_canaries, n_guesses=r, n_correct=v, delta=delta, confidence=shared)
        for r, v in guesses
    )


def betting_epsilon(correct: ArrayLike, *, confidence: float = 0.95) -> float:
    r"""Lower bound on epsilon (delta 0) that bets along the guesses, the surest first, and may stop anywhere.

    Parameters
    ----------
    correct : array_like of bool, shape (n_canaries,)
        Whether each guess is right, in an order that was fixed by scores alone.

    Notes
    -----
    Given the model, the canaries and the coins seen before, the next guess is right with a probability of at most
    ``q = e^eps / (1 + e^eps)``: pure differential privacy bounds the odds of a coin given the model and ALL other
    coins by ``e^eps``, and averaging over those not yet seen keeps the bound. The order and the guesses are made of
    the model's scores. So for every ``theta > q`` the product of ``theta / q`` for right and ``(1 - theta) / (1 - q)``
    for wrong guesses is a non-negative supermartingale from 1, and so is its mixture, uniform on (q, 1).
    By Ville's inequality it ever reaches ``1 / alpha`` with a probability of at most alpha: eps is refuted where it
    does. For delta above 0 the argument fails: use `epsilon_lower_bound`.
    """
    right = np.asarray(correct, dtype=np.bool_)
    if right.ndim != 1 or not right.size:
        raise ValueError("give one value a guess, and at least one guess")
    threshold = -math.log(_alpha(confidence))
    v = np.cumsum(right).astype(np.float64)  # (n_guesses,)
    w = np.arange(1, right.size + 1) - v
    return _smallest_kept(lambda epsilon: threshold - float(_log_capital(v, w, epsilon).max()))


def refuted_mu(*, n_canaries: int, n_guesses: int, n_correct: int, confidence: float = 0.95) -> float:
    """Largest mu whose Gaussian differential privacy the guesses refute; 0 if none.

    It speaks of Gaussian mechanisms only, and is no bound on epsilon of any other.

    References
    ----------
    .. [1] Mahloujifar, Melis, Chaudhuri, *Auditing f-differential privacy in one run*, arXiv:2410.22235, algorithm 3.
    """
    _check(n_canaries, n_guesses, n_correct, 0.0)
    alpha = _alpha(confidence)

    def kept(mu: float) -> float:
        return -1.0 if _refutes_gaussian(n_canaries, n_guesses, n_correct, mu, alpha) else 1.0

    return _smallest_kept(kept)


def _p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Return the p-value of corollary 5.4; ``f`` over all counts is one call."""
    q = scipy.special.expit(epsilon)
    tail = float(_at_least(v, r, q))
    if delta == 0 or v == 0:
        return min(1.0, tail)
    steps = np.arange(1, v + 1)
    gain = (_at_least(v - steps, r, q) - tail) / steps
    return float(min(1.0, tail + 2 * m * delta * gain.max()))


def _at_least(v: ArrayLike, r: int, q: float) -> NDArray[np.float64]:
    """P[Bin(r, q) >= v] by the incomplete beta function: a hundred times faster than a distribution's methods."""
    k = np.asarray(v, dtype=np.float64)
    return np.where(k > 0, scipy.special.betainc(np.maximum(k, 1), r - k + 1, q), 1.0)


def _delta_of_group(epsilon: float, delta: float, copies: int) -> float:
    """Delta of a group of copies of which each is (epsilon, delta)-private; at most 1."""
    if copies == 1 or delta == 0:
        return delta
    if copies * epsilon > LARGEST_EPSILON:
        return 1.0
    growth = copies if epsilon == 0 else math.expm1(copies * epsilon) / math.expm1(epsilon)
    return min(1.0, delta * growth)


def _log_capital(v: NDArray[np.float64], w: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """Logarithm of the capital after v right and w wrong guesses, bets mixed uniformly over theta in (q, 1)."""
    q = scipy.special.expit(epsilon)
    with np.errstate(divide="ignore"):  # where nothing of the mixture is left there is no capital
        log_mass = scipy.special.betaln(v + 1, w + 1) + np.log(scipy.special.betaincc(v + 1, w + 1, q))
    against = v * scipy.special.log_expit(epsilon) + w * scipy.special.log_expit(-epsilon)
    return np.asarray(log_mass - scipy.special.log_expit(-epsilon) - against)


def _refutes_gaussian(m: int, r: int, v: int, mu: float, alpha: float) -> bool:
    """Whether a Gaussian mechanism of mu could not have let so many guesses be right."""
    held, missed = alpha * v / m, alpha * (r - v) / m
    for i in range(v - 1, -1, -1):
        more = max(missed, float(scipy.special.ndtr(scipy.special.ndtri(held) - mu)))
        held += i / (r - i) * (more - missed)
        missed = more
    return held + missed > r / m


def _smallest_kept(margin: Callable[[float], float]) -> float:
    """Smallest epsilon whose margin is not negative: what lies below is refuted, whatever happens above."""
    if margin(0.0) >= 0:
        return 0.0
    step = LARGEST_EPSILON / (_GRID - 1)
    low = 0.0
    while low < LARGEST_EPSILON:
        if margin(low + step) >= 0:
            return float(scipy.optimize.bisect(margin, low, low + step, xtol=1e-9))
        low += step
    return LARGEST_EPSILON


def _alpha(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    return 1 - confidence


def _check(m: int, r: int, v: int, delta: float) -> None:
    if not 0 <= v <= r <= m or r < 1:
        raise ValueError(f"need 0 <= correct <= guesses <= canaries and a guess, got {v}, {r} and {m}")
    if not 0 <= delta < 1:
        raise ValueError(f"delta must be in [0, 1), got {delta}")
