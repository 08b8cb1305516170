"""SURP against arithmetic by hand and a slow loop."""

import numpy as np
import pytest

from attacks import SURP, MinK, Signals
from helpers_attacks import signals_of, token_scores


def signals(logprob: list[list[float]], entropy: list[list[float]]) -> Signals:
    return signals_of(token_scores(*logprob, mean=-np.hstack(entropy)))


def test_by_hand() -> None:
    given = signals(
        [[-1.0, -6.0, -8.0, -2.0, -3.0], [-1.0, -4.0, -6.0, -2.0, -3.0], [-5.0, -1.0], [-7.0]],
        [[0.5, 1.5, 2.0, 0.5, 0.5], [0.5, 1.0, 1.9, 0.5, 0.5], [1.0, 1.0], [0.1]],
    )
    # int(0.4 * 5) = 2 lowest: -8 (entropy 2, not below 2) and -6: -6; both -6 and -4 certain: -5
    # int(0.4 * 2) = 0, so one: -5; one token: -7
    np.testing.assert_allclose(SURP().score(given), [-6.0, -5.0, -5.0, -7.0])


def test_a_text_without_surprise_is_scored_on_what_comes_closest() -> None:
    # lowest: -8 and -6; no entropy below 2, nor is 2 itself; the lower entropy is that of -6, in the second that of -8
    given = signals([[-1.0, -6.0, -8.0, -2.0, -3.0]] * 2, [[0.5, 2.0, 3.0, 0.5, 0.5], [0.5, 3.0, 2.1, 0.5, 0.5]])
    np.testing.assert_allclose(SURP().score(given), [-6.0, -8.0])


def test_it_does_not_jump_where_the_last_surprise_becomes_unsure() -> None:
    given = signals([[-1.0, -6.0, -8.0, -2.0, -3.0]] * 2, [[0.5, 1.999, 3.0, 0.5, 0.5], [0.5, 2.001, 3.0, 0.5, 0.5]])
    below, above = SURP().score(given)
    assert below == above


def test_without_a_bound_in_reach_it_is_min_k() -> None:
    rng = np.random.default_rng(1)
    logprob = [list(-rng.gamma(2, 1, n)) for n in (1, 3, 10, 40)]
    given = signals(logprob, [[1.0] * len(text) for text in logprob])
    np.testing.assert_allclose(SURP(k=0.3).score(given), MinK(k=0.3).score(given))


@pytest.mark.parametrize(("k", "max_entropy"), [(0.4, 2.0), (0.2, 1.0), (1.0, 5.0)])
def test_against_a_loop(k: float, max_entropy: float) -> None:
    rng = np.random.default_rng(2)
    lengths = [1, 2, 3, 5, 12, 40, 90]
    logprob = [list(-rng.gamma(2, 1, n)) for n in lengths]
    entropy = [list(rng.uniform(0, 6, n)) for n in lengths]
    expected, n_without = [], 0
    for values, uncertainty in zip(logprob, entropy, strict=True):
        lowest = sorted(zip(values, uncertainty, strict=True))[: int(k * len(values)) or 1]
        surprising = [value for value, h in lowest if h < max_entropy]
        if not surprising:
            n_without += 1
            surprising = [min(lowest, key=lambda pair: pair[1])[0]]
        expected.append(sum(surprising) / len(surprising))
    np.testing.assert_allclose(SURP(k=k, max_entropy=max_entropy).score(signals(logprob, entropy)), expected)
    assert n_without < len(lengths)


@pytest.mark.parametrize("k", [0, 40, "a"])
def test_wrong_shares(k: float) -> None:
    with pytest.raises(ValueError, match="k must be"):
        SURP(k=k)


@pytest.mark.parametrize("max_entropy", [0, -1.0, float("inf"), float("nan"), "two", True])
def test_wrong_bounds(max_entropy: float) -> None:
    with pytest.raises(ValueError, match="max_entropy must be a positive number of nats, got"):
        SURP(max_entropy=max_entropy)
