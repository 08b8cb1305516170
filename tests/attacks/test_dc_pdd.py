"""DC-PDD: by hand, against the formula token by token, and the cap."""

import math
from typing import Any

import numpy as np
import pytest

from attacks import DCPDD, Signals, get_attack
from helpers_attacks import signals_of, token_scores


def make_signals(logprob: list[list[float]], ids: list[list[int]], counts: list[int] | np.ndarray) -> Signals:
    return signals_of(
        token_scores(*logprob, mean=logprob, dtype=np.float32),
        target_ids=np.array([token for text in ids for token in text], dtype=np.int64),
        token_counts=np.asarray(counts, dtype=np.int64),
    )


def test_by_hand() -> None:
    # counts 3, 0, 1 of a vocabulary of 3: f = 4/7, 1/7, 2/7
    # a: tokens 1, 0, 1 of probability .5, .25, 1: the second 1 is no first occurrence
    #    (.5 ln 7 + .25 ln(7/4)) / 2 = (.9729551 + .1399039) / 2 = .5564295
    # b: token 2 of probability .125: .125 ln(7/2) = .1565954
    log_half = math.log(0.5)
    signals = make_signals([[log_half, 2 * log_half, 0.0], [3 * log_half]], [[1, 0, 1], [2]], [3, 0, 1])
    np.testing.assert_allclose(DCPDD(a=10.0).score(signals), [0.5564295, 0.1565954], rtol=1e-6)
    # with a = .15: (.15 + .1399039) / 2, .15
    np.testing.assert_allclose(DCPDD(a=0.15).score(signals), [0.1449520, 0.15], rtol=1e-6)


@pytest.mark.parametrize("a", [0.01, 0.3])
def test_against_the_formula_token_by_token(a: float) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, 20)
    ids = [rng.integers(0, 20, n).tolist() for n in (1, 7, 60)]
    logprob = [(-rng.gamma(1.0, 3.0, len(text))).tolist() for text in ids]
    expected = []
    for text, values in zip(ids, logprob, strict=True):
        met: dict[int, float] = {}
        for token, value in zip(text, values, strict=True):
            frequency = (counts[token] + 1) / (counts.sum() + 20)
            met.setdefault(token, min(math.exp(np.float32(value)) * math.log(1 / frequency), a))
        expected.append(math.fsum(met.values()) / len(met))
    np.testing.assert_allclose(DCPDD(a=a).score(make_signals(logprob, ids, counts)), expected, rtol=1e-6)


def test_the_same_surprise_counts_more_for_a_rare_token() -> None:
    signals = make_signals([[-1.0], [-1.0]], [[0], [1]], [10**9, 0])
    common, rare = DCPDD(a=100.0).score(signals)
    assert rare > 1000 * common > 0


@pytest.mark.parametrize("ids", [[[3]], [[-1]]])
def test_counts_of_another_vocabulary_are_refused(ids: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="below 3, the vocabulary counted"):
        DCPDD().score(make_signals([[-1.0]], ids, [1, 1, 1]))


@pytest.mark.parametrize("a", [0, -1, math.inf, math.nan, True, "x", None])
def test_a_must_be_a_number_of_nats(a: Any) -> None:
    with pytest.raises(ValueError, match="a must be a number of nats above 0, got"):
        get_attack("dc_pdd", {"a": a})
