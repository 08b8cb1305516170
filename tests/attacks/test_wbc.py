"""Window-based comparison against arithmetic by hand and a slow loop."""

import dataclasses

import numpy as np

from attacks import WBC, Signals
from helpers_attacks import signals_of, token_scores


def signals(target: list[list[float]], *references: list[list[float]]) -> Signals:
    return signals_of(token_scores(*target), references=tuple(token_scores(*reference) for reference in references))


def test_by_hand() -> None:
    # target minus reference 1, -2, 3; windows of 2: -1, 1, half won; of 3: 2, won; the 8 longer ones are cut to 3
    # (0.5 + 1 + 8) / 10 = 0.95
    np.testing.assert_allclose(WBC().score(signals([[-1.0, -4.0, -1.0]], [[-2.0, -2.0, -4.0]])), [0.95])


def test_one_token_is_won_or_not() -> None:
    # above, below, equal (not strictly above)
    given = signals([[-1.0], [-3.0], [-2.0]], [[-2.0], [-2.0], [-2.0]])
    np.testing.assert_array_equal(WBC().score(given), [1.0, 0.0, 0.0])


def test_against_a_loop() -> None:
    rng = np.random.default_rng(6)
    lengths = [1, 2, 3, 5, 12, 39, 40, 41, 130]
    target, first, second = ([list(-rng.gamma(2, 1, n)) for n in lengths] for _ in range(3))
    expected = []
    for ours, one, other in zip(target, first, second, strict=True):
        theirs = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
        shares = []
        for size in (2, 3, 4, 6, 9, 13, 18, 25, 32, 40):
            width = min(size, len(ours))
            starts = range(len(ours) - width + 1)
            won = [sum(ours[s : s + width]) > sum(theirs[s : s + width]) for s in starts]
            shares.append(sum(won) / len(won))
        expected.append(sum(shares) / 10)
    np.testing.assert_allclose(WBC().score(signals(target, first, second)), expected)


def test_a_copy_of_the_reference_wins_nothing_and_the_two_sides_add_up() -> None:
    rng = np.random.default_rng(8)
    target, reference = ([list(-rng.gamma(2, 1, n)) for n in (1, 4, 50)] for _ in range(2))
    np.testing.assert_array_equal(WBC().score(signals(target, target)), 0.0)
    both = WBC().score(signals(target, reference)) + WBC().score(signals(reference, target))
    np.testing.assert_allclose(both, 1.0)


def test_a_reference_that_saw_the_text_does_not_count() -> None:
    given = signals([[-1.0, -2.0]], [[-3.0, -1.0]], [[-0.1, -0.1]])
    given = dataclasses.replace(given, seen=np.array([[False], [True]]))
    np.testing.assert_array_equal(WBC().score(given), [1.0])
