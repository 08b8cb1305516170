"""Neighbourhood comparison against arithmetic by hand and a slow loop."""

from typing import Any

import numpy as np
import pytest

from attacks import Neighbourhood, NeighbourhoodSwap, Signals, get_attack
from attacks.base import NEIGHBOUR, SWAPPED
from helpers_attacks import signals_of, token_scores


def signals(target: list[list[float]], views: dict[str, list[list[float]]]) -> Signals:
    return signals_of(token_scores(*target), views={name: token_scores(*texts) for name, texts in views.items()})


@pytest.fixture
def given() -> Signals:
    return signals(
        [[-1.0, -3.0], [-4.0]],
        {
            f"{NEIGHBOUR}_0": [[-3.0, -2.0, -4.0], [-2.0, -3.0]],
            f"{NEIGHBOUR}_1": [[-6.0], [-3.5]],
            f"{SWAPPED}_0": [[-2.0, -2.0], [-4.0]],
        },
    )


def test_by_hand(given: Signals) -> None:
    # means: texts -2, -4; their neighbours -3 and -6 (mean -4.5), -2.5 and -3.5 (mean -3); the best would give 1, -1.5
    np.testing.assert_allclose(Neighbourhood().score(given), [2.5, -1.0])


def test_standardized_by_hand(given: Signals) -> None:
    # standard deviations of (-3, -6) and (-2.5, -3.5): 1.5 and 0.5; 2.5 / 1.5, -1 / 0.5
    np.testing.assert_allclose(Neighbourhood(standardized=True).score(given), [5 / 3, -2.0])


def test_swaps_are_their_own_family(given: Signals) -> None:
    # -2 - -2, -4 - -4
    np.testing.assert_allclose(NeighbourhoodSwap().score(given), [0.0, 0.0])


def test_neighbours_that_do_not_differ_are_not_divided_by() -> None:
    views = {f"{NEIGHBOUR}_{i}": [[-0.1]] for i in range(3)}
    assert np.std([-0.1] * 3) > 0, "rounding: the deviation itself would be divided by"
    np.testing.assert_allclose(Neighbourhood(standardized=True).score(signals([[-2.1]], views)), [-2.0])


@pytest.mark.parametrize(("attack", "family"), [(Neighbourhood, NEIGHBOUR), (NeighbourhoodSwap, SWAPPED)])
@pytest.mark.parametrize("standardized", [False, True])
def test_against_a_loop(attack: type[Neighbourhood], family: str, standardized: bool) -> None:
    rng = np.random.default_rng(5)
    views = {f"{family}_{j}": [list(-rng.gamma(2, 1, n)) for n in rng.integers(1, 30, 6)] for j in range(11)}
    target = [list(-rng.gamma(2, 1, n)) for n in (1, 2, 9, 30, 5, 4)]
    expected = []
    for i, text in enumerate(target):
        others = [sum(texts[i]) / len(texts[i]) for texts in views.values()]
        mean = sum(others) / len(others)
        above = sum(text) / len(text) - mean
        deviation = (sum((other - mean) ** 2 for other in others) / len(others)) ** 0.5
        expected.append(above / deviation if standardized else above)
    np.testing.assert_allclose(attack(standardized=standardized).score(signals(target, views)), expected)


@pytest.mark.parametrize("name", ["neighbourhood", "neighbourhood_swap"])
@pytest.mark.parametrize("standardized", [1, "yes", None])
def test_wrong_parameters(name: str, standardized: Any) -> None:
    with pytest.raises(ValueError, match="standardized must be true or false, got"):
        get_attack(name, {"standardized": standardized})
