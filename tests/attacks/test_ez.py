"""The error-zone attack against arithmetic by hand and a slow loop."""

import dataclasses

import numpy as np
import pytest

from attacks import EZ, Signals, TokenScores
from helpers_attacks import signals_of, token_scores


def signals(target: TokenScores, *references: TokenScores) -> Signals:
    return signals_of(target, references=references)


def invented(n: int = 60) -> tuple[Signals, list[tuple[float, float]]]:
    """Random signals, and the sums of positive and of negative shifts at errors of each text, by loops."""
    rng = np.random.default_rng(11)
    lengths = rng.integers(1, 30, n)
    ours, first, second = ([list(-rng.gamma(2, 1, k)) for k in lengths] for _ in range(3))
    wrong = [list(rng.integers(0, 3, k)) for k in lengths]
    sums = []
    for text, one, other, ranks in zip(ours, first, second, wrong, strict=True):
        up = down = 0.0
        for t, rank in enumerate(ranks):
            shift = text[t] - (one[t] + other[t]) / 2
            if rank > 0 or not any(ranks):
                up, down = up + max(shift, 0.0), down + max(-shift, 0.0)
        sums.append((up, down))
    return signals(token_scores(*ours, rank=wrong), token_scores(*first), token_scores(*second)), sums


def test_by_hand() -> None:
    given = signals(token_scores([-1.0, -2.0, -3.0, -0.1], rank=[[1, 9, 2, 0]]), token_scores([-4.0, -1.0, -3.5, -9.0]))
    # shifts at errors: 3, -1, 0.5 (the fourth token is right): 3.5 / (3.5 + 1)
    np.testing.assert_allclose(EZ().score(given), [3.5 / 4.5], atol=1e-6)


def test_what_has_no_ratio_by_hand() -> None:
    target = token_scores(
        [-1.0, -1.0],
        [-1.0, -1.0, -1.0],
        [-5.0],
        [-0.1, -0.2],
        [-0.5],
        [-2.0],
        rank=[[1, 1], [1, 1, 1], [3], [0, 0], [0], [1]],
    )
    reference = token_scores([-2.0, -3.0], [-2.0, -3.0, -4.0], [-1.0], [-4.0, -3.0], [-0.1], [-2.0])
    all_up, more_up, all_down, by_heart, easy_word, unmoved = EZ().score(signals(target, reference))
    # nothing down: 1 - t / (P + 2 t) with P = 3 and 6; nothing up: t / (N + 2 t) with N = 4
    np.testing.assert_allclose([1 - all_up, 1 - more_up], [1e-6 / 3, 1e-6 / 6], rtol=1e-6)
    np.testing.assert_allclose(all_down, 1e-6 / 4, rtol=1e-6)
    assert more_up > all_up > 0.99
    # no error: all tokens count; 3.9 + 2.8 up and nothing down, 0.4 down and nothing up; no shift at all
    assert by_heart > more_up
    assert easy_word < 1e-5
    assert unmoved == 0.5


def test_against_a_loop() -> None:
    given, sums = invented()
    expected = [(up + 1e-6) / (up + down + 2e-6) for up, down in sums]
    np.testing.assert_allclose(EZ().score(given), expected, rtol=1e-9)


def test_ranks_as_the_ratio_where_there_is_one() -> None:
    given, sums = invented()
    both = [i for i, (up, down) in enumerate(sums) if up > 0 and down > 0]
    assert len(both) > 40
    ratio = np.array([sums[i][0] / sums[i][1] for i in both])
    np.testing.assert_array_equal(np.argsort(EZ().score(given)[both]), np.argsort(ratio))


def test_bounded_and_higher_with_a_better_target() -> None:
    given, _ = invented()
    score = EZ().score(given)
    better = dataclasses.replace(given, target=dataclasses.replace(given.target, logprob=given.target.logprob * 0.5))
    assert ((score > 0) & (score < 1)).all()
    assert (EZ().score(better) >= score).all()


def test_a_reference_that_saw_the_text_does_not_count() -> None:
    target, out, saw = (token_scores([value, -2.0]) for value in (-1.0, -3.0, -0.1))
    given = dataclasses.replace(signals(target, out, saw), seen=np.array([[False], [True]]))
    np.testing.assert_array_equal(EZ().score(given), EZ().score(signals(target, out)))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_finite_at_any_scale(scale: float) -> None:
    assert np.isfinite(EZ().score(signals(token_scores([-scale, 0.0]), token_scores([0.0, -scale])))).all()
