"""RMIA: by hand, against every pair of texts, and what the population means for the ranking."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks import RMIA, Signals, get_attack
from attacks.rmia import share_of_others_below
from helpers_attacks import one_token, signals_of


def make_signals(target: Any, references: Any, seen: Any = None) -> Signals:
    return signals_of(
        one_token(np.log(target)),
        references=tuple(one_token(np.log(row)) for row in references),
        seen=None if seen is None else np.asarray(seen, dtype=np.bool_),
    )


def test_offline_by_hand() -> None:
    # a = .5: p(x) = .75 mean_out + .25; mean_out .4, .2, .6 -> .55, .4, .7
    # ratios .8/.55 = 1.45, .5/.4 = 1.25, .7/.7 = 1
    signals = make_signals([0.8, 0.5, 0.7], [[0.2, 0.1, 0.8], [0.6, 0.3, 0.4]])
    np.testing.assert_allclose(RMIA(a=0.5).score(signals), [1.0, 0.5, 0.0])
    # gamma = 1.2: 1.45 beats 1 (1.45) but not 1.25 (1.16); 1.25 beats 1 (1.25)
    np.testing.assert_allclose(RMIA(a=0.5, gamma=1.2).score(signals), [0.5, 0.5, 0.0])
    # a = 1: p(x) = mean_out; ratios 2, 2.5, 1.17
    np.testing.assert_allclose(RMIA(a=1).score(signals), [0.5, 1.0, 0.0])


def test_online_by_hand() -> None:
    # a: in .9, out .1 and .3 (mean .2): p(x) = .55; b: in .6 and .2 (.4), out .2: .3; ratios .8/.55 = 1.45, .6/.3 = 2
    signals = make_signals(
        [0.8, 0.6], [[0.9, 0.2], [0.1, 0.6], [0.3, 0.2]], [[True, False], [False, True], [False, True]]
    )
    assert RMIA().score(signals).tolist() == [0.0, 1.0]
    assert RMIA(gamma=1.3).score(signals).tolist() == [0.0, 1.0]  # 2 / 1.4545 = 1.375
    assert RMIA(gamma=1.4).score(signals).tolist() == [0.0, 0.0]


def test_a_text_that_no_model_saw_makes_it_offline_for_all_over_unseen_models() -> None:
    # the first model saw the first text: only .2 is left of it; a = 1: ratios .5/.2 = 2.5, .6/mean(.2, .4) = 2
    signals = make_signals([0.5, 0.6], [[0.9, 0.2], [0.2, 0.4]], [[True, False], [False, False]])
    assert RMIA(a=1).score(signals).tolist() == [1.0, 0.0]
    np.testing.assert_allclose(RMIA(a=1, gamma=1.24).score(signals), [1.0, 0.0])
    np.testing.assert_allclose(RMIA(a=1, gamma=1.26).score(signals), [0.0, 0.0])


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("gamma", [0.5, 1, 1.5])
def test_against_every_pair(gamma: float, online: bool) -> None:
    rng = np.random.default_rng(0)
    n, n_models, a = 30, 6, 0.3
    target, references = rng.uniform(0.01, 0.99, n), rng.uniform(0.01, 0.99, (n_models, n))
    seen = np.stack([rng.permutation(np.arange(n_models) < 3) for _ in range(n)], axis=1)
    if not online:
        seen[:, 0] = False
    ratio = []
    for i in range(n):
        out = math.fsum(references[~seen[:, i], i]) / (~seen[:, i]).sum()
        expected = (1 + a) / 2 * out + (1 - a) / 2
        if online:
            expected = (math.fsum(references[seen[:, i], i]) / seen[:, i].sum() + out) / 2
        ratio.append(target[i] / expected)
    shares = [sum(ratio[i] / ratio[j] >= gamma for j in range(n) if j != i) / (n - 1) for i in range(n)]
    found = RMIA(a=a, gamma=gamma).score(make_signals(target, references, seen))
    np.testing.assert_allclose(found, shares, rtol=1e-12)
    assert len(set(shares)) > 10


@given(
    st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12),
    st.sampled_from([-1.5, -1.0, 0.0, 1e-300, 1.0, 2.5]),
)
def test_share_of_others_counts_pairs(values: list[float], gap: float) -> None:
    n = len(values)
    slow = [sum(values[j] <= values[i] - gap for j in range(n) if j != i) / max(1, n - 1) for i in range(n)]
    assert share_of_others_below(np.array(values), gap).tolist() == slow


def test_the_score_ranks_as_the_ratio() -> None:
    rng = np.random.default_rng(1)
    target, reference = rng.uniform(0.01, 0.99, 50), rng.uniform(0.01, 0.99, 50)
    score = RMIA(a=1).score(make_signals(target, [reference]))
    assert np.argsort(score).tolist() == np.argsort(target / reference).tolist()
    # with gamma = 1 it is the rank itself
    np.testing.assert_allclose(np.sort(score), np.arange(50) / 49)


def test_tiny_probabilities_do_not_underflow() -> None:
    signals = signals_of(one_token([-2000.0, -1999.0]), references=(one_token([-2000.0, -2000.0]),))
    for a in (0, 0.3, 1):
        assert RMIA(a=a).score(signals).tolist() == [0.0, 1.0]


def test_one_text_has_nobody_to_beat() -> None:
    assert RMIA().score(make_signals([0.9], [[0.1]])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a": -0.1}, r"a must be in \[0, 1\], got -0\.1"),
        ({"a": 1.1}, r"a must be in \[0, 1\], got 1\.1"),
        ({"a": math.nan}, r"a must be in \[0, 1\], got nan"),
        ({"a": "x"}, "a must be a number, got 'x'"),
        ({"a": True}, "a must be a number, got True"),
        ({"gamma": 0}, "gamma must be a number above 0, got 0"),
        ({"gamma": math.inf}, "gamma must be a number above 0, got inf"),
        ({"gamma": None}, "gamma must be a number, got None"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_attack("rmia", params)
