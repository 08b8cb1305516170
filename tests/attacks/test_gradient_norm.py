"""Gradient norms: the sign, the order asked for, and the convention on a model whose gradient is known."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from attacks import GradientNorm, Signals, get_attack
from helpers_attacks import one_token, signals_of


def make_signals(norms: dict[str, list[float]] | None) -> Signals:
    given = None if norms is None else {order: np.array(values) for order, values in norms.items()}
    return signals_of(one_token([-1.0, -1.0]), gradient_norms=given)


def test_by_hand() -> None:
    # parameters with gradients (3, -4) and (1): norms of order 1: 7, 1 -> 4; of order 2: 5, 1 -> 3; inf: 4, 1 -> 2.5
    gradients = [torch.tensor([3.0, -4.0]), torch.tensor([1.0])]
    norms = {
        order: [float(np.mean([gradient.norm(float(order)) for gradient in gradients])), 9.0]
        for order in ("1", "2", "inf")
    }
    signals = make_signals(norms)
    np.testing.assert_allclose(GradientNorm(order="1").score(signals), [-4.0, -9.0])
    np.testing.assert_allclose(GradientNorm(order="2").score(signals), [-3.0, -9.0])
    np.testing.assert_allclose(GradientNorm().score(signals), [-2.5, -9.0])


@pytest.mark.parametrize(("given", "order"), [(1, "1"), (2, "2"), (2.0, "2"), (math.inf, "inf"), ("1", "1")])
def test_an_order_may_be_a_number(given: Any, order: str) -> None:
    attack = get_attack("gradient_norm", {"order": given})
    assert attack == GradientNorm(order=order)
    assert attack.params() == {"order": order}


def test_label_tells_the_order() -> None:
    assert get_attack("gradient_norm", {"order": 2}).label == "gradient_norm:order=2"
    assert get_attack("gradient_norm", {"order": math.inf}).label == "gradient_norm"


@pytest.mark.parametrize("order", [0, 3, -1, True, "two", None, math.nan, [1]])
def test_other_orders_are_refused(order: Any) -> None:
    with pytest.raises(ValueError, match="order must be 1, 2 or inf, got"):
        get_attack("gradient_norm", {"order": order})


def test_missing_gradients_are_said() -> None:
    with pytest.raises(ValueError, match="gradient norms are needed"):
        GradientNorm().score(make_signals(None))
