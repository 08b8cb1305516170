"""Bits of single tokens: by hand, against the bits of whole texts, and as pieces of text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Signals, TokenScores
from auditor.engine.pieces import text_pieces
from auditor.estimates.by_token import N_PARTS, bits_by_position, heaviest_run, sums_of, token_bits
from auditor.estimates.code_lengths import sample_bits
from helpers import build_tokenizer

BITS = st.lists(st.floats(-20, 20), min_size=1, max_size=200).map(np.array)


def scores(*probabilities: float) -> TokenScores:
    logprob = np.log(np.array(probabilities))
    zeros = np.zeros(len(logprob))
    return TokenScores(
        offsets=np.array([0, len(logprob)]), logprob=logprob, logprob_mean=zeros - 1, logprob_variance=zeros,
        rank=zeros.astype(int), logprob_max=zeros,
    )  # fmt: skip


def signals(target: TokenScores, *references: TokenScores, seen: np.ndarray | None = None) -> Signals:
    return Signals(sample_ids=("a",), texts=("a",), target=target, references=references, seen=seen)


def test_one_reference_by_hand() -> None:
    # 1 against 1/2 is one bit more, 1/4 against 1/2 one bit less.
    assert token_bits(signals(scores(1, 0.25), scores(0.5, 0.5))) == pytest.approx([1, -1])


def test_a_mixture_is_told_token_by_token() -> None:
    # p(first) = (1/2 + 1/4) / 2 = 3/8; p(both) = (1/2 * 1/2 + 1/4 * 1) / 2 = 1/4, so p(second | first) = 2/3.
    found = token_bits(signals(scores(1, 1), scores(0.5, 0.5), scores(0.25, 1)))
    assert found == pytest.approx([np.log2(8 / 3), np.log2(3 / 2)])


def test_a_reference_that_saw_the_text_is_left_out() -> None:
    both = signals(scores(1, 1), scores(0.5, 0.5), scores(1, 1), seen=np.array([[False], [True]]))
    assert token_bits(both) == pytest.approx([1, 1])


@given(st.data(), st.integers(1, 40), st.integers(1, 3))
def test_tokens_add_up_to_the_text(data: st.DataObject, n_tokens: int, n_references: int) -> None:
    probabilities = st.lists(st.floats(1e-6, 1), min_size=n_tokens, max_size=n_tokens)
    target, *references = (scores(*data.draw(probabilities)) for _ in range(1 + n_references))
    whole = sample_bits(target, references).signed[0]
    assert token_bits(signals(target, *references)).sum() == pytest.approx(whole, abs=1e-6)


@given(BITS)
def test_parts_are_coarse_and_add_up(bits: np.ndarray) -> None:
    parts = bits_by_position(bits)
    assert len(parts) == 1 or len(parts) <= min(N_PARTS, len(bits) // 4)
    assert sum(parts) == pytest.approx(bits.sum(), abs=0.5 * len(parts) + 1e-6)
    assert all(isinstance(part, int) for part in parts)


@given(BITS, st.integers(1, 50))
def test_no_run_holds_more(bits: np.ndarray, length: int) -> None:
    run = heaviest_run(bits, length)
    assert run.stop - run.start == min(length, len(bits))
    sums = [bits[i : i + length].sum() for i in range(max(1, len(bits) - length + 1))]
    assert bits[run].sum() == pytest.approx(max(sums), abs=1e-6)


@given(st.text(min_size=1, max_size=40))
def test_pieces_are_the_text(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    pieces = text_pieces(TOKENIZER, ids)
    assert "".join(piece for piece, _ in pieces) == TOKENIZER.decode(ids, clean_up_tokenization_spaces=False)
    assert sum(n for _, n in pieces) == len(ids)
    assert len(sums_of(np.ones(len(ids)), [n for _, n in pieces])) == len(pieces)


def test_a_character_of_several_tokens_is_one_piece() -> None:
    ids = TOKENIZER("a😀b", add_special_tokens=False)["input_ids"]
    assert len(ids) > 3
    assert text_pieces(TOKENIZER, ids) == [("a", 1), ("😀", len(ids) - 2), ("b", 1)]


TOKENIZER = build_tokenizer()
