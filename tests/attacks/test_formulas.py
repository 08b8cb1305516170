"""Each attack against arithmetic by hand on three short texts."""

import math
import zlib
from functools import partial
from typing import Any

import numpy as np
import pytest

from attacks import (
    AFTER_SHOTS,
    LOWERCASE,
    Loss,
    Lowercase,
    MinK,
    MinKPlusPlus,
    Recall,
    Reference,
    Signals,
    Zlib,
    get_attack,
)
from helpers_attacks import token_scores

scores = partial(token_scores, mean=-2.0, variance=4.0, dtype=np.float32)


@pytest.fixture
def signals() -> Signals:
    return Signals(
        sample_ids=("a", "b", "c"),
        texts=("Ada Ada Ada Ada", "Bo", "ünïcode"),
        target=scores([-1.0, -2.0, -3.0, -6.0, -8.0], [-0.5], [-1.0, -3.0]),
        references=(scores([-2.0, -2.0, -4.0, -6.0, -7.0], [-1.5], [-4.0, -4.0]),),
        views={
            LOWERCASE: scores([-2.0] * 4, [-1.0, -1.0], [-2.0]),
            AFTER_SHOTS: scores([-1.0, -1.0, -2.0, -5.0, -6.0], [-0.5], [-2.0, -4.0]),
        },
    )


def test_loss(signals: Signals) -> None:
    # -(1+2+3+6+8)/5 = -4, -0.5, -(1+3)/2 = -2
    np.testing.assert_allclose(Loss().score(signals), [-4.0, -0.5, -2.0])


def test_reference(signals: Signals) -> None:
    # (-20 - -21)/5 = 0.2, (-0.5 - -1.5)/1 = 1, (-4 - -8)/2 = 2
    np.testing.assert_allclose(Reference().score(signals), [0.2, 1.0, 2.0])


def test_reference_with_another_tokenizer_compares_totals() -> None:
    # the reference reads the text as two tokens, the target as four: (-8 - -12) / 4 = 1
    signals = Signals(sample_ids=("a",), texts=("x",), target=scores([-2.0] * 4), references=(scores([-6.0] * 2),))
    np.testing.assert_allclose(Reference().score(signals), [1.0])


def test_several_references_are_averaged() -> None:
    # target -4; references -6 and -10, mean -8: (-4 - -8) / 2 = 2
    signals = Signals(
        sample_ids=("a",),
        texts=("x",),
        target=scores([-2.0, -2.0]),
        references=(scores([-3.0, -3.0]), scores([-5.0, -5.0])),
    )
    np.testing.assert_allclose(Reference().score(signals), [2.0])


def test_zlib(signals: Signals) -> None:
    sizes = [len(zlib.compress(text.encode("utf-8"))) for text in signals.texts]
    assert sizes[1] == 10  # two literal bytes: 2 header + 4 deflate + 4 checksum
    np.testing.assert_allclose(Zlib().score(signals), [-4.0 / sizes[0], -0.5 / 10, -2.0 / sizes[2]])


def test_zlib_ranks_as_the_original_bytes_over_log_perplexity(signals: Signals) -> None:
    sizes = np.array([len(zlib.compress(text.encode("utf-8"))) for text in signals.texts])
    original = sizes / -Loss().score(signals)
    assert np.argsort(Zlib().score(signals)).tolist() == np.argsort(original).tolist()


def test_lowercase(signals: Signals) -> None:
    # log-perplexities: lower 2, 1, 2; text 4, .5, 2
    np.testing.assert_allclose(Lowercase().score(signals), [0.5, 2.0, 1.0])


def test_lowercase_of_a_text_with_no_surprise_is_finite() -> None:
    certain = Signals(sample_ids=("a",), texts=("x",), target=scores([0.0]), views={LOWERCASE: scores([-1.0])})
    assert np.isfinite(Lowercase().score(certain)).all()


def test_recall(signals: Signals) -> None:
    # after shots -3, -.5, -3; without -4, -.5, -2: the text that gains least from them is likeliest a member
    np.testing.assert_allclose(Recall().score(signals), [0.75, 1.0, 1.5])


def test_recall_of_a_text_with_no_surprise_is_finite() -> None:
    certain = Signals(sample_ids=("a",), texts=("x",), target=scores([0.0]), views={AFTER_SHOTS: scores([-1.0])})
    assert np.isfinite(Recall().score(certain)).all()


def test_min_k_takes_the_whole_part_of_k_n(signals: Signals) -> None:
    # k = .4: int(2.0) = 2 of 5: (-8-6)/2 = -7; int(.4) -> 1 of 1; int(.8) -> 1 of 2
    np.testing.assert_allclose(MinK(k=0.4).score(signals), [-7.0, -0.5, -3.0])
    # k = .5: int(2.5) = 2, not 3 as with ceil
    np.testing.assert_allclose(MinK(k=0.5).score(signals), [-7.0, -0.5, -3.0])
    np.testing.assert_allclose(MinK(k=1.0).score(signals), Loss().score(signals))


def test_min_k_of_a_text_too_short_for_k_is_its_lowest_token(signals: Signals) -> None:
    np.testing.assert_allclose(MinK(k=0.01).score(signals), [-8.0, -0.5, -3.0])


def test_min_k_plus_plus(signals: Signals) -> None:
    # z = (l + 2) / 2: text a: .5, 0, -.5, -2, -3; k = .4 -> (-3-2)/2 = -2.5; b: .75; c: lowest of .5, -.5
    np.testing.assert_allclose(MinKPlusPlus(k=0.4).score(signals), [-2.5, 0.75, -0.5])


def test_min_k_plus_plus_of_a_certain_prediction_is_finite() -> None:
    signals = Signals(sample_ids=("a",), texts=("x",), target=scores([0.0], mean=0.0, variance=0.0))
    assert MinKPlusPlus().score(signals).tolist() == [0.0]


@pytest.mark.parametrize("k", [0, -0.1, 1.5, 20, "x", True, None])
def test_k_must_be_a_share(k: Any) -> None:
    for name in ("min_k", "min_k_plus_plus"):
        with pytest.raises(ValueError, match=r"k must be"):
            get_attack(name, {"k": k})


def test_a_percentage_gets_advice() -> None:
    with pytest.raises(ValueError, match=r"a percentage\? use 0\.2"):
        MinK(k=20)


def test_a_token_of_ln_2_nats_is_one_bit(signals: Signals) -> None:
    from auditor.estimates.code_lengths import code_bits

    np.testing.assert_allclose(code_bits(scores([-math.log(2)] * 7, [-math.log(8)])), [7.0, 3.0], rtol=1e-6)
