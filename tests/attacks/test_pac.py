"""PAC against arithmetic by hand and a slow loop."""

import numpy as np

from attacks import PAC, Signals
from attacks.base import NEIGHBOUR, SWAPPED
from attacks.pac import polarized_distance
from helpers_attacks import signals_of, token_scores


def signals(target: list[list[float]], *swapped: list[list[float]]) -> Signals:
    views = {f"{SWAPPED}_{i}": token_scores(*texts) for i, texts in enumerate(swapped)}
    views[f"{NEIGHBOUR}_0"] = token_scores(*([-99.0, -1.0] for _ in target))
    return signals_of(token_scores(*target), views=views)


def test_distance_by_hand() -> None:
    # 4 tokens: 1 highest, int(1.2) = 1 lowest: -1 - -4 = 3
    # 10 tokens 0, -1 ... -9: int(0.5) -> 1 highest, 3 lowest: 0 - -(7 + 8 + 9)/3 = 8; one token: 0
    given = token_scores([-1.0, -2.0, -3.0, -4.0], [-float(i) for i in range(10)], [-5.0])
    np.testing.assert_allclose(polarized_distance(given), [3.0, 8.0, 0.0])


def test_by_hand() -> None:
    given = signals(
        [[-1.0, -2.0, -3.0, -4.0], [-5.0]],
        [[-9.0, -1.0, -2.0, -3.0], [-5.0]],
        [[-1.0, -6.0, -1.0], [-6.0, -5.0, -7.0, -8.0]],
    )
    # distances: text 3; copies -1 - -9 = 8 and -1 - -6 = 5: (8 + 5)/2 - 3 = 3.5
    # one token: 0; copies 0 and -5 - -8 = 3: 1.5
    np.testing.assert_allclose(PAC().score(given), [3.5, 1.5])


def test_higher_is_the_member() -> None:
    # both as even as they are; swapping words makes one token of the first, and none of the second, unlikely
    member, non_member = PAC().score(signals([[-1.0, -2.0]] * 2, [[-1.0, -9.0], [-1.0, -2.0]]))
    assert member > non_member


def test_against_a_loop() -> None:
    rng = np.random.default_rng(4)
    lengths = [1, 2, 7, 19, 20, 40, 101]
    target, *copies = ([list(-rng.gamma(2, 1, n)) for n in lengths] for _ in range(6))

    def distance(text: list[float]) -> float:
        ascending = sorted(text)
        low = ascending[: max(int(len(text) * 0.3), 1)]
        high = ascending[::-1][: max(int(len(text) * 0.05), 1)]
        return sum(high) / len(high) - sum(low) / len(low)

    theirs = [distance(text) - sum(distance(copy[i]) for copy in copies) / 5 for i, text in enumerate(target)]
    np.testing.assert_allclose(PAC().score(signals(target, *copies)), -np.array(theirs), atol=1e-12)
