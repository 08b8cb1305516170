"""MaxRenyi-K% against arithmetic by hand and entropies of whole distributions."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from attacks import MaxRenyi, Signals, get_attack
from helpers_attacks import signals_of, token_scores


def signals(offsets: list[int], mean: list[float], top: list[float]) -> Signals:
    return signals_of(token_scores(*([0.0] * n for n in np.diff(offsets)), mean=mean, top=top))


def test_by_hand() -> None:
    given = signals([0, 3, 4], [-1.0, -2.0, -5.0, -3.0], [-0.5, -2.5, -2.0, -1.0])
    # int(0.1 * 3) = 0, so the largest entropy alone: 5; 3
    np.testing.assert_allclose(MaxRenyi().score(given), [-5.0, -3.0])
    # int(0.7 * 3) = 2: (5 + 2)/2; order infinity: (2.5 + 2)/2
    np.testing.assert_allclose(MaxRenyi(k=0.7).score(given), [-3.5, -3.0])
    np.testing.assert_allclose(MaxRenyi(k=0.7, alpha="inf").score(given), [-2.25, -1.0])


def renyi(p: list[float], alpha: float) -> float:
    return math.log(sum(q**alpha for q in p)) / (1 - alpha)


@pytest.mark.parametrize("k", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("alpha", "near", "apart"), [(1, 1 + 1e-6, 1e-5), ("inf", 400.0, 5e-3)])
def test_against_the_definition_close_to_the_order(k: float, alpha: float | str, near: float, apart: float) -> None:
    """Orders 1 and infinity are limits: the definition close by (ln 6 / 400 apart) has to agree."""
    rng = np.random.default_rng(9)
    lengths = [1, 4, 11, 30]
    offsets = [int(stop) for stop in np.cumsum([0, *lengths])]
    distributions = [list(rng.dirichlet(np.full(6, 0.7))) for _ in range(sum(lengths))]
    mean = [sum(q * math.log(q) for q in p) for p in distributions]
    top = [math.log(max(p)) for p in distributions]
    expected = []
    for start, stop in pairwise(offsets):
        largest = sorted((renyi(p, near) for p in distributions[start:stop]), reverse=True)
        largest = largest[: int(k * (stop - start)) or 1]
        expected.append(-sum(largest) / len(largest))
    np.testing.assert_allclose(MaxRenyi(k=k, alpha=alpha).score(signals(offsets, mean, top)), expected, atol=apart)


def test_a_bare_infinity_is_kept_as_a_word() -> None:
    # the command line reads alpha=inf as a float, which JSON could not hold
    attack = get_attack("max_renyi", {"alpha": math.inf})
    assert attack == MaxRenyi(alpha="inf")
    assert attack.label == "max_renyi:alpha=inf"
    assert json.dumps(attack.params(), allow_nan=False) == '{"k": 0.1, "alpha": "inf"}'
    assert get_attack("max_renyi", {"alpha": 1.0}).label == "max_renyi"


@pytest.mark.parametrize("alpha", [0.5, 2, 0, -math.inf, math.nan, "one", True, None, [1]])
def test_wrong_orders(alpha: Any) -> None:
    with pytest.raises(ValueError, match="alpha must be 1 or inf, got"):
        get_attack("max_renyi", {"alpha": alpha})


@pytest.mark.parametrize("k", [0, 10, "a"])
def test_wrong_shares(k: Any) -> None:
    with pytest.raises(ValueError, match="k must be"):
        get_attack("max_renyi", {"k": k})
