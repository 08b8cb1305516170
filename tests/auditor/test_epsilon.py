"""Lower bounds on epsilon: published values, exact cases, and false alarms at known epsilon."""

import json
import math

import numpy as np
import pytest

from auditor.stats.epsilon import (
    betting_epsilon,
    epsilon_ceiling,
    epsilon_lower_bound,
    epsilon_of_several,
    epsilon_p_value,
    refuted_mu,
)
from helpers import Run


def bound(m: int, r: int, v: int, delta: float = 0.0) -> float:
    return epsilon_lower_bound(n_canaries=m, n_guesses=r, n_correct=v, delta=delta)


def test_p_value_of_the_paper() -> None:
    found = epsilon_p_value(n_canaries=100, n_guesses=100, n_correct=75, epsilon=math.log(3))
    assert found == pytest.approx(0.55347, abs=5e-6)


@pytest.mark.parametrize(
    ("guessed", "expected"),
    [
        ((100, 100, 75, 0), 0.702214),
        ((100, 100, 75, 1e-4), 0.699467),
        ((1000, 100, 75, 1e-4), 0.672985),
        ((100_000, 1510, 1439, 1e-5), 2.675851),
        ((10_000, 10_000, 9820, 1e-5), 3.871317),
    ],
)
def test_bounds_of_published_values(guessed: tuple[int, int, int, float], expected: float) -> None:
    assert bound(*guessed) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("m", "pure", "approximate"),
    [(16, 1.580, 1.580), (100, 3.493, 3.490), (256, 4.442, 4.435), (1000, 5.809, 5.782), (2000, 6.503, 6.449)],
)
def test_ceilings(m: int, pure: float, approximate: float) -> None:
    assert epsilon_ceiling(n_canaries=m, n_guesses=m) == pytest.approx(pure, abs=6e-4)
    assert epsilon_ceiling(n_canaries=m, n_guesses=m, delta=1e-5) == pytest.approx(approximate, abs=6e-4)
    assert pure == pytest.approx(-math.log(0.05 ** (-1 / m) - 1), abs=6e-4)  # delta 0, all right: closed form


def test_half_right_refutes_nothing() -> None:
    assert bound(100, 40, 20) == 0
    assert bound(100, 1, 1) == 0  # a single coin is right half of the time
    assert refuted_mu(n_canaries=100, n_guesses=40, n_correct=20) == 0


def test_more_right_guesses_never_show_less() -> None:
    bounds = [bound(200, 40, v, 1e-5) for v in range(41)]
    assert bounds == sorted(bounds)
    mus = [refuted_mu(n_canaries=200, n_guesses=40, n_correct=v) for v in range(20, 41)]
    assert mus == sorted(mus)


def test_several_numbers_of_guesses_share_the_error() -> None:
    single = epsilon_of_several(n_canaries=100, guesses=[(20, 18)])
    several = epsilon_of_several(n_canaries=100, guesses=[(20, 18), (50, 30)])
    assert single == bound(100, 20, 18)
    assert several == epsilon_lower_bound(n_canaries=100, n_guesses=20, n_correct=18, confidence=0.975) < single


def test_betting_knows_the_capital_of_one_guess() -> None:
    # uniform on (q, 1): the mean of theta / q is (1 + q) / (2 q) = 1.5 at q = 1/2, far from 20
    assert betting_epsilon([True]) == 0
    assert betting_epsilon([True] * 200) > betting_epsilon([True] * 100) > 3
    assert betting_epsilon([True] * 100 + [False] * 100) == betting_epsilon([True] * 100)  # stopped before


@pytest.mark.parametrize(
    ("m", "r", "v", "delta"), [(10, 20, 5, 0), (10, 5, 6, 0), (10, 0, 0, 0), (10, 5, 5, 1), (10, 5, -1, 0)]
)
def test_counts_that_do_not_nest_are_refused(m: int, r: int, v: int, delta: float) -> None:
    with pytest.raises(ValueError, match=r"need 0 <=|delta must be"):
        bound(m, r, v, delta)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_bounds_exceed_the_truth_no_more_often_than_they_may(epsilon: float) -> None:
    """Randomised response is (epsilon, 0)-private: each coin is told rightly with probability q."""
    rng, n, m, r = np.random.default_rng(7), 400, 100, 20
    q = 1 / (1 + math.exp(-epsilon))
    right = rng.random((n, m)) < q
    fixed = np.mean([bound(m, r, int(row[:r].sum())) > epsilon + 1e-9 for row in right])
    betting = np.mean([betting_epsilon(row) > epsilon + 1e-9 for row in right])
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)
    assert max(fixed, betting) <= most


@pytest.mark.slow
def test_a_gaussian_of_mu_is_not_refuted_more_often_than_it_may_be() -> None:
    rng, n, m, r, mu = np.random.default_rng(8), 400, 100, 20, 1.0
    alarms = 0
    for _ in range(n):
        coins = rng.random(m) < 0.5
        scores = rng.normal(mu * (coins - 0.5))
        surest = np.argsort(-np.abs(scores))[:r]
        v = int(((scores > 0) == coins)[surest].sum())
        alarms += refuted_mu(n_canaries=m, n_guesses=r, n_correct=v) > mu
    assert alarms / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_the_calculator(run: Run) -> None:
    found = run("epsilon", "--canaries", "1000", "--guesses", "100", "--correct", "75", "--delta", "1e-4", "--json")
    said = json.loads(found.out)
    assert found.code == 0
    assert said["epsilon_lower_bound"] == pytest.approx(0.672985, abs=1e-6)
    assert said["epsilon_lower_bound"] < said["ceiling"]
    assert {"delta", "confidence", "method", "warnings"} <= said.keys()
    shown = run("epsilon", "--canaries", "100", "--guesses", "100", "--correct", "75")
    assert "0.702" in shown.out
    assert "3.493" in shown.out
    assert "declare a fifth" in shown.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--canaries", "10", "--guesses", "5", "--correct", "6"), "need 0 <= correct <= guesses"),
        (("--canaries", "10", "--guesses", "5", "--correct", "5", "--delta", "1"), "delta must be in"),
        (("--canaries", "10", "--guesses", "5", "--correct", "5", "--confidence", "95"), "confidence must be in"),
    ],
)
def test_wrong_counts_are_one_line(run: Run, given: tuple[str, ...], said: str) -> None:
    found = run("epsilon", *given)
    assert found.code == 2
    assert said in found.err
    assert len(found.err.strip().splitlines()) == 1
