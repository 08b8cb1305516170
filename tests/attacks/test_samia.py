"""SaMIA: recall with multiplicity by hand, the mean over continuations, and the zlib variant."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks import Continuations, SaMIA, Signals, get_attack
from attacks.samia import rouge_1_recall
from helpers_attacks import one_token, signals_of

WORDS = st.lists(st.sampled_from("abcd"), max_size=8)


def make_signals(recall: list[list[float]], zlib_bytes: list[list[int]]) -> Signals:
    found = Continuations(recall=np.array(recall), zlib_bytes=np.array(zlib_bytes))
    return signals_of(one_token([-1.0] * len(recall)), continuations=found)


def test_recall_by_hand() -> None:
    # "the" twice in the reference and three times in the candidate counts twice, "cat" once, "sat" not: 3 of 4
    assert rouge_1_recall(["the", "cat", "the", "sat"], ["the", "the", "the", "cat"]) == 0.75
    # twice in the reference, once in the candidate counts once: 1 of 2
    assert rouge_1_recall(["a", "a"], ["a"]) == 0.5
    assert rouge_1_recall(["a"], ["A"]) == 0.0
    assert rouge_1_recall([], ["a"]) == 0.0
    assert rouge_1_recall(["a"], []) == 0.0


@given(WORDS, WORDS)
def test_recall_strikes_words_off_a_list(reference: list[str], candidate: list[str]) -> None:
    left, found = list(candidate), 0
    for word in reference:
        if word in left:
            left.remove(word)
            found += 1
    assert rouge_1_recall(reference, candidate) == (found / len(reference) if reference else 0.0)


def test_by_hand() -> None:
    # (.5 + 1) / 2 = .75, (0 + .25) / 2 = .125; with zlib (.5 * 20 + 1 * 30) / 2 = 20, (0 * 9 + .25 * 40) / 2 = 5
    signals = make_signals([[0.5, 1.0], [0.0, 0.25]], [[20, 30], [9, 40]])
    np.testing.assert_allclose(SaMIA().score(signals), [0.75, 0.125])
    np.testing.assert_allclose(SaMIA(zlib=True).score(signals), [20.0, 5.0])


@pytest.mark.parametrize("flag", [1, 0, "true", None])
def test_zlib_must_be_a_flag(flag: Any) -> None:
    with pytest.raises(ValueError, match="zlib must be true or false, got"):
        get_attack("samia", {"zlib": flag})
