"""The prefix rule, windows that score every token once, and the cut to a window."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.tokens import Encoder, Prefix, check_scorable, cut_to_fit, resolve_prefix, tokenizer_fingerprint
from auditor.errors import ConfigError, DataError, ModelError
from helpers import build_tokenizer


def encoder(prefix: tuple[int, ...] = (0,), window: int | None = None, tokenizer: Any = None) -> Encoder:
    return Encoder(tokenizer, Prefix(prefix, "test"), window, frozenset({0}))


def test_auto_takes_what_the_tokenizer_itself_adds() -> None:
    tokenizer = build_tokenizer(300, bos=True)
    prefix = resolve_prefix(tokenizer, "auto", n_vocabulary=300)
    assert prefix.ids == (tokenizer.bos_token_id,)
    assert "itself" in prefix.rule


def test_auto_prefers_the_document_separator_to_a_renamed_bos() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|im_start|>"})
    prefix = resolve_prefix(tokenizer, "auto", n_vocabulary=400)
    assert prefix.ids == (tokenizer.convert_tokens_to_ids("<|endoftext|>"),)
    assert resolve_prefix(tokenizer, "bos", n_vocabulary=400).ids == (tokenizer.bos_token_id,)


def test_explicit_prefixes() -> None:
    tokenizer = build_tokenizer()
    assert resolve_prefix(tokenizer, "none", n_vocabulary=320).ids == ()
    assert resolve_prefix(tokenizer, "17", n_vocabulary=320).ids == (17,)
    with pytest.raises(ConfigError, match="ends at id 319"):
        resolve_prefix(tokenizer, "320", n_vocabulary=320)
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no EOS token"):
        resolve_prefix(tokenizer, "eos", n_vocabulary=320)


def test_one_window_by_hand() -> None:
    (sequence,) = encoder().sequences([5, 6, 7])
    assert (sequence.ids, sequence.first_scored, sequence.n_scored) == ((0, 5, 6, 7), 1, 3)
    (bare,) = encoder(prefix=()).sequences([5, 6, 7])
    assert (bare.ids, bare.first_scored, bare.n_scored) == ((5, 6, 7), 1, 2)


def test_windows_by_hand() -> None:
    # window 4, stride 2: tokens 0-3, then 4-5 after 2-3, then 6-7 after 4-5, then 8 after 5-7
    found = encoder(window=4).sequences(list(range(10, 19)))
    assert [sequence.ids for sequence in found] == [
        (0, 10, 11, 12, 13),
        (0, 12, 13, 14, 15),
        (0, 14, 15, 16, 17),
        (0, 15, 16, 17, 18),
    ]
    assert [sequence.first_scored for sequence in found] == [1, 3, 3, 4]


@given(n=st.integers(2, 200), window=st.integers(2, 50), prefix=st.sampled_from([(), (0,), (0, 1)]))
def test_windows_score_every_token_once_in_order(n: int, window: int, prefix: tuple[int, ...]) -> None:
    ids = list(range(100, 100 + n))
    windows = encoder(prefix=prefix, window=window).sequences(ids)
    scored = [token for sequence in windows for token in sequence.ids[sequence.first_scored :]]
    assert scored == ids[0 if prefix else 1 :]
    for sequence in windows:
        assert len(sequence.ids) <= window + len(prefix)
        assert sequence.ids[: len(prefix)] == prefix
    for sequence in windows[1:]:
        assert sequence.first_scored - len(prefix) >= window // 2  # context: at least half a window


@given(text=st.text(min_size=1, max_size=5000), limit=st.integers(1, 3000))
def test_cut_is_the_longest_start_that_fits(text: str, limit: int) -> None:
    cut = cut_to_fit(text, lambda start: len(start) <= limit)
    assert text.startswith(cut)
    assert len(cut) == min(limit, len(text))


def test_cut_of_a_long_text_reads_little_of_it() -> None:
    seen = 0

    def fits(start: str) -> bool:
        nonlocal seen
        seen += len(start)
        return len(start) <= 900

    assert len(cut_to_fit("x" * 10**6, fits)) == 900
    assert seen < 20_000


def test_nothing_fits() -> None:
    with pytest.raises(ModelError, match="no room"):
        cut_to_fit("abc", lambda _: False)


def test_texts_without_a_token_to_score_are_named() -> None:
    with pytest.raises(DataError, match=r"1 of 2 texts .*'b'"):
        check_scorable([1, 0], ["a", "b"], has_prefix=True)
    with pytest.raises(DataError, match="without a prefix token"):
        check_scorable([1, 0], ["a", "b"], has_prefix=False)


def test_a_window_needs_room() -> None:
    tokenizer = build_tokenizer()
    built = Encoder.build(tokenizer, rule="auto", n_vocabulary=320, context_window=64, max_tokens=None)
    assert built.window == 63  # the prefix takes one
    assert Encoder.build(tokenizer, rule="auto", n_vocabulary=320, context_window=64, max_tokens=9).window == 9
    with pytest.raises(ConfigError, match="no room"):
        Encoder.build(tokenizer, rule="none", n_vocabulary=320, context_window=64, max_tokens=1)


def test_fingerprint_ignores_how_a_text_is_padded() -> None:
    tokenizer = build_tokenizer()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(5)
    assert tokenizer_fingerprint(tokenizer) == before
    assert tokenizer_fingerprint(build_tokenizer(300)) != before
