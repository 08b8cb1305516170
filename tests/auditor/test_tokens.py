"""The prefix rule, windows that score every token once, and the cut to a window."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from auditor.engine import tokens as module
from auditor.engine.cutting import Sure, cut_to_fit, sure_by_places
from auditor.engine.tokens import Encoder, Prefix, check_scorable, resolve_prefix, tokenizer_fingerprint
from auditor.errors import ConfigError, DataError, ModelError
from helpers import build_tokenizer, make_texts


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


def search(n: int, fits: Callable[[int], bool], sure: Sure | None = None) -> int | None:
    """Cut one text, of which a function says whether starts fit."""
    return cut_to_fit([n], lambda _, stops: [fits(stop) for stop in stops], [sure])[0]


@given(n=st.integers(1, 5000), limit=st.integers(1, 3000))
def test_cut_is_the_longest_start_that_fits(n: int, limit: int) -> None:
    assert search(n, lambda stop: stop <= limit) == min(limit, n)


def test_cut_of_a_long_text_reads_little_of_it() -> None:
    seen = 0

    def fits(stop: int) -> bool:
        nonlocal seen
        seen += stop
        return stop <= 900

    assert search(10**6, fits) == 900
    assert seen < 20_000


def test_nothing_fits() -> None:
    assert search(3, lambda _: False) is None
    assert search(0, lambda _: True) == 0
    assert search(0, lambda _: False) is None
    reader = encoder(window=1, tokenizer=build_tokenizer())
    with pytest.raises(ModelError, match="no room for a single character"):
        reader.cut(["中"])  # three bytes, and tokens


@given(limit=st.integers(1, 400), low=st.integers(0, 400), length=st.integers(1, 100))
def test_what_was_wrongly_sure_is_asked(limit: int, low: int, length: int) -> None:
    assert search(400, lambda stop: stop <= limit, (low, low + length)) == limit
    asked: list[int] = []
    assert search(10**6, lambda stop: bool(asked.append(stop)) or stop <= 900, (890, 910)) == 900
    assert len(asked) <= 6
    assert all(890 < stop < 910 for stop in asked)


def searched(reader: Encoder, text: str) -> str:
    """Cut a text by asking for the number of tokens of one start after the other, as if nothing were known."""
    window = reader.window
    assert window is not None

    def fits(start: str) -> bool:
        return len(reader.encode([start])[0]) <= window

    low, high = 0, 1024
    while high < len(text) and fits(text[:high]):
        low, high = high, high * 2
    if high >= len(text) and fits(text):
        return text
    high = min(high, len(text))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle)
    return text[:low]


def byte_fallback() -> Any:
    """Build a BPE over whole texts, as SentencePiece does: no words, merges across spaces, bytes for the unknown."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abehtno"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("a", "n"), ("o", "n"), ("b", "e"), ("▁the", "▁"), ("a", "b"),
              ("ab", "▁the"), ("n", "▁"), ("e", "e"), ("ee", "ee"), ("eeee", "eeee")]  # fmt: skip
    pieces += [first + second for first, second in merges]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def word_pieces() -> Any:
    """Build a WordPiece: text is normalised, and a word that is unknown or too long is one token."""
    pieces = ["[UNK]", "a", "b", "##a", "##b", "ab", "##ab", "abab", "the", "##e", "t", "##h", "##t"]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]",
                                         max_input_chars_per_word=30))  # fmt: skip
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def compatibly() -> Any:
    """Build a byte-level BPE of normalised text: one character may become eighteen."""
    tokenizer = build_tokenizer(600)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    return tokenizer


TOKENIZERS = {"bytes": build_tokenizer(600), "fallback": byte_fallback(), "words": word_pieces(), "nfkc": compatibly()}

odd = st.lists(
    st.one_of(
        st.sampled_from(["Ada had 12345 of it. ", "the ", "abab", "  ", "eeeeeeee", "aaaaaaaaaaaaaaaaaaaaaa", "\n\n\t",
                         "ﷺ", "中文", "🏳️‍🌈", "e\u0301", "İ", "\u200b", "ab the an on "]),
        st.text(max_size=12),
    ),
    max_size=60,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(texts=st.lists(odd, min_size=1, max_size=4), window=st.integers(1, 60))
def test_cuts_are_those_of_a_search(kind: str, texts: list[str], window: int) -> None:
    """Whatever the tokens of a start that is cut: merges across the cut, bytes, normalised or unknown words."""
    reader = encoder(window=window, tokenizer=TOKENIZERS[kind])
    right = [searched(reader, text) for text in texts]
    if all(one or not text for one, text in zip(right, texts, strict=True)):
        assert reader.cut(texts) == right
    else:
        with pytest.raises(ModelError, match="no room"):
            reader.cut(texts)


def test_what_the_places_of_tokens_tell_by_hand() -> None:
    """Tokens of three characters: with a window of 10 six are before the first that may end it, as 7 + 4 > 10."""
    spans = [(i, i + 3) for i in range(0, 60, 3)]
    assert sure_by_places("a" * 60, spans, 10) == (21, 45)  # 15 tokens end at 45: four too many
    assert sure_by_places("a" * 60, spans, 18) == (45, 60)
    assert sure_by_places("a" * 60, spans, 20) == (51, 61)  # the text fits, its starts nearly surely
    assert sure_by_places("a" * 60, spans, 99) == (60, 61)
    assert sure_by_places("a" * 60, [(0, 3), (3, 40), (40, 60)], 30) == (3, 61)  # a long one may fall apart
    assert sure_by_places("中" * 60, spans, 10) == (6, 45)


def test_a_cut_costs_a_reading_and_a_few_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = encoder(window=64, tokenizer=build_tokenizer(600))
    given: list[str] = []
    encode = module.encode
    monkeypatch.setattr(module, "encode", lambda tokenizer, texts: given.extend(texts) or encode(tokenizer, texts))
    texts = [" ".join(make_texts(20, seed=seed)) for seed in range(5)]
    assert all(len(ids) > 300 for ids in reader.encode(texts))
    given.clear()
    reader.cut(texts)
    assert len(given) <= 7 * len(texts)
    assert max(map(len, given)) < 300


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
