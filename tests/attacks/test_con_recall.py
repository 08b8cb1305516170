"""Con-ReCaLL against arithmetic by hand and a slow loop."""

import numpy as np
import pytest

from attacks import AFTER_SHOTS, ConRecall, Recall, Signals
from attacks.base import AFTER_MEMBER_SHOTS
from helpers_attacks import signals_of, token_scores


def signals(alone: list[list[float]], non_members: list[list[float]], members: list[list[float]]) -> Signals:
    views = {AFTER_SHOTS: token_scores(*non_members), AFTER_MEMBER_SHOTS: token_scores(*members)}
    return signals_of(token_scores(*alone), views=views)


def test_by_hand() -> None:
    given = signals([[-1.0, -3.0], [-4.0]], [[-2.0, -4.0], [-4.0]], [[-1.0, -3.0], [-6.0]])
    # means: alone -2, -4; after non-members -3, -4; after members -2, -6
    # (-3 - 0.5 * -2) / -2 = 1, (-4 - 0.5 * -6) / -4 = 0.25
    np.testing.assert_allclose(ConRecall().score(given), [1.0, 0.25])
    # (-3 - -2) / -2 = 0.5, (-4 - -6) / -4 = -0.5
    np.testing.assert_allclose(ConRecall(gamma=1).score(given), [0.5, -0.5])


def test_higher_is_the_member() -> None:
    # equally likely alone; non-members cost the member 0.5 nats, members cost the non-member 0.5 nats
    member, non_member = ConRecall().score(signals([[-2.0], [-2.0]], [[-2.5], [-2.0]], [[-2.0], [-2.5]]))
    assert member > non_member


def test_without_weight_it_is_recall() -> None:
    given = signals([[-1.0, -3.0], [-4.0]], [[-2.0, -4.0], [-4.5]], [[-1.0, -3.0], [-6.0]])
    np.testing.assert_array_equal(ConRecall(gamma=0).score(given), Recall().score(given))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
def test_against_a_loop(gamma: float) -> None:
    rng = np.random.default_rng(7)
    alone, after_non_members, after_members = ([list(-rng.gamma(2, 1, n)) for n in (1, 2, 17, 40)] for _ in range(3))
    expected = []
    for x, x_nm, x_m in zip(alone, after_non_members, after_members, strict=True):
        ll, ll_nm, ll_m = (sum(part) / len(part) for part in (x, x_nm, x_m))
        expected.append((ll_nm - gamma * ll_m) / ll)
    np.testing.assert_allclose(ConRecall(gamma=gamma).score(signals(alone, after_non_members, after_members)), expected)


def test_a_text_known_by_heart_is_finite() -> None:
    assert np.isfinite(ConRecall().score(signals([[0.0]], [[-1.0]], [[-1.0]]))).all()


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan"), "half", True])
def test_wrong_weights(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"gamma must be a number in \[0, 1\], got"):
        ConRecall(gamma=gamma)
