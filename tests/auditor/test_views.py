"""Every view of a text is scored as if it were the text, and what is told of its tokens belongs to them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import AFTER_MEMBER_SHOTS, AFTER_SHOTS, LOWERCASE, SWAPPED, Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import frequencies
from auditor.engine import signals as passes
from auditor.engine.plan import measure_texts
from auditor.engine.request import ScoringRequest
from auditor.engine.signals import Collected, collect_signals
from auditor.engine.views import N_SWAPS, has_words_to_swap, swap_words
from auditor.errors import ConfigError, ModelError
from helpers import naive_logprobs
from helpers_engine import load_plainly

TEXTS = ["Ada had 12 of  it.", "Bo\twas not\nin the Café on 1.", "\n she had\u00a0it", "Ada had 12 of  it."]


@pytest.fixture
def collect(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[..., Collected]:
    """Return a function that scores texts with the tiny models."""

    def run(
        texts: Sequence[str], *needs: Need, references: tuple[str, ...] = (), options: Any = None, **inputs: Any
    ) -> Collected:
        config = AuditConfig(
            target=ModelSpec(path=str(tiny_models["target"])),
            references=tuple(ModelSpec(path=str(tiny_models[name])) for name in references),
            members=DataSpec(path="unused"),
            **(options or {}),
        )
        return collect_signals(
            config,
            ScoringRequest(
                sample_ids=[f"s{i}" for i in range(len(texts))], texts=texts, needs=frozenset(needs), **inputs
            ),
            scores_folder=tmp_path / "scores",
        )

    return run


@pytest.fixture
def target(tiny_models: dict[str, Path]) -> tuple[Any, Any]:
    """Return the target and its tokenizer."""
    return load_plainly(tiny_models["target"])


def test_two_words_change_places_and_white_space_stays() -> None:
    assert swap_words("  one\t two\n", seed=0) == "  two\t one\n"
    assert swap_words("one", seed=0) == "one"
    assert swap_words(" \n", seed=3) == " \n"
    assert [has_words_to_swap(text) for text in ("", " a ", "a b", " a\u00a0b")] == [False, False, True, True]


@given(st.text(alphabet="aAbc é\t\n\u00a0.", max_size=80), st.integers(0, 4))
def test_swaps_keep_words_and_white_space(text: str, seed: int) -> None:
    swapped = swap_words(text, seed)
    assert swapped == swap_words(text, seed)
    assert sorted(swapped.split()) == sorted(text.split())
    spaces, spaces_before = ([part for part in _spaces(one)] for one in (swapped, text))
    assert spaces == spaces_before


def _spaces(text: str) -> list[str]:
    """Return the runs of white space, in order."""
    runs, run = [], ""
    for letter in text:
        if letter.isspace():
            run += letter
        elif run:
            runs, run = [*runs, run], ""
    return [*runs, run]


@pytest.mark.parametrize(("n_words", "n_swaps"), [(2, 1), (6, 1), (7, 2), (20, 6), (100, 30)])
def test_three_swaps_in_ten_words(n_words: int, n_swaps: int) -> None:
    words = [f"w{i}" for i in range(n_words)]
    moved = [
        sum(word != before for word, before in zip(swap_words(" ".join(words), seed).split(), words, strict=True))
        for seed in range(50)
    ]
    assert all(0 <= n <= 2 * n_swaps for n in moved)  # a swap moves two words, unless another one moves them back
    assert max(moved) > 2 * (n_swaps - 1) * 0.8
    assert len({swap_words(" ".join(words), seed) for seed in range(5)}) > (n_words > 6) * 4


def test_each_view_is_scored_like_a_text_of_its_own(collect: Callable[..., Collected]) -> None:
    found = collect(TEXTS, Need.SWAPS, Need.LOWERCASE, Need.REFERENCE, references=("reference",))
    assert list(found.signals.views) == [LOWERCASE, *(f"{SWAPPED}_{i}" for i in range(N_SWAPS))]
    assert len(found.signals.family(SWAPPED)) == N_SWAPS == 5
    assert len(found.signals.references) == 1
    for i, scores in enumerate(found.signals.family(SWAPPED)):
        changed = [swap_words(text, i) for text in TEXTS]
        direct = collect(changed)
        assert direct.n_tokens_scored == 0  # a row is known by what the model is given, whichever view that was
        np.testing.assert_array_equal(scores.logprob, direct.signals.target.logprob)
        assert changed != TEXTS
    lower = collect([text.lower() for text in TEXTS]).signals.target
    np.testing.assert_array_equal(found.signals.views[LOWERCASE].logprob, lower.logprob)


def test_scores_of_swapped_words_against_the_naive_loop(
    collect: Callable[..., Collected], target: tuple[Any, Any]
) -> None:
    model, tokenizer = target
    swapped = collect(TEXTS, Need.SWAPS).signals.family(SWAPPED)
    for i, text in enumerate(TEXTS[:2]):
        naive = naive_logprobs(model, [0, *tokenizer(swap_words(text, 3))["input_ids"]], 1)
        assert swapped[3].total_logprob[i] == pytest.approx(sum(naive), abs=1e-5 * len(naive))


def test_texts_of_one_word_are_noted(collect: Callable[..., Collected]) -> None:
    found = collect(["Ada", "Bo had 2."], Need.SWAPS)
    (note,) = found.notes
    assert note == "1 of 2 texts have fewer than two words: their swapped copies are the texts themselves"
    np.testing.assert_allclose(
        found.signals.views["swapped_2"].total_logprob[0], found.signals.target.total_logprob[0], atol=1e-5
    )


def test_copies_of_cut_texts_are_scored_whole(collect: Callable[..., Collected], target: tuple[Any, Any]) -> None:
    texts = ["Ada had 12345 of it. " * 40, "Bo had 2."]
    found = collect(texts, Need.SWAPS)
    cut = found.signals.texts[0]
    assert len(cut) < len(texts[0])
    assert cut == collect(texts).signals.texts[0]  # the copies have no say in the cut
    assert not found.plan.windowed.any()
    n_longer = 0
    for i, scores in enumerate(found.signals.family(SWAPPED)):
        n_tokens = len(target[1](swap_words(cut, i))["input_ids"])
        assert scores.n_tokens[0] == n_tokens
        n_longer += n_tokens > 63
    assert 0 < n_longer <= 5
    assert any(note.startswith(f"{n_longer} of 10 rewritten copies of texts fill more windows") for note in found.notes)


def test_both_kinds_of_shots(collect: Callable[..., Collected], target: tuple[Any, Any]) -> None:
    model, tokenizer = target
    shots, member_shots = ["Ada had 1. "], ["Bo was in it. ", "as long as half the window is " * 9]
    needs = (Need.SHOTS, Need.MEMBER_SHOTS, Need.LOWERCASE)
    found = collect(TEXTS, *needs, shots=shots, member_shots=member_shots)
    for view, before in ((AFTER_SHOTS, shots[0]), (AFTER_MEMBER_SHOTS, member_shots[0])):
        start = [0, *tokenizer(before)["input_ids"]]
        after = found.signals.views[view]
        for i, text in enumerate(TEXTS):
            naive = naive_logprobs(model, [*start, *tokenizer(text)["input_ids"]], len(start))
            assert after.n_tokens[i] == len(naive)
            assert after.total_logprob[i] == pytest.approx(sum(naive), abs=1e-5 * len(naive) + 1e-5)
    (note,) = found.notes
    assert note.startswith("1 of 2 member shots stand before every text (")
    with pytest.raises(ConfigError, match=r"--member-shots: the first text alone fills more than half"):
        collect(TEXTS, Need.MEMBER_SHOTS, member_shots=member_shots[1:])
    with pytest.raises(ConfigError, match=r"--member-shots: there are no texts"):
        collect(TEXTS, Need.MEMBER_SHOTS)


def test_a_worker_that_is_given_the_shown_texts_knows_the_rows_by_the_same_keys(
    collect: Callable[..., Collected],
) -> None:
    found = collect(TEXTS, Need.SWAPS, Need.LOWERCASE, Need.SHOTS, shots=["Ada had 1. "])
    for one in found.plan.passes:
        measured = measure_texts(one.model, one.view.name, one.show(TEXTS))
        assert measured.keys.tolist() == one.keys.tolist()
        assert measured.encoder == one.encoder


@pytest.mark.parametrize("long_texts", ["cut", "stride"])
@pytest.mark.parametrize("prefix_token", ["auto", "none"])
def test_token_ids_belong_to_the_scores(
    collect: Callable[..., Collected],
    target: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    long_texts: str,
    prefix_token: str,
) -> None:
    model, tokenizer = target
    monkeypatch.setattr(passes, "_BLOCK", 2)
    texts = [*TEXTS, "Ada had 12345 of it. " * 9]
    found = collect(texts, Need.TOKEN_IDS, options={"long_texts": long_texts, "prefix_token": prefix_token})
    for _, block in found.blocks():
        assert block.target_ids is not None
        assert block.target_ids.dtype == np.int64
        assert block.target_ids.shape == block.target.logprob.shape
        for text, start, stop in zip(block.texts, block.target.offsets[:-1], block.target.offsets[1:], strict=True):
            ids = tokenizer(text, verbose=False)["input_ids"]
            prefix = [0] if prefix_token == "auto" else []
            assert block.target_ids[start:stop].tolist() == [*prefix, *ids][1:]
            if len(ids) < 64:
                naive = naive_logprobs(model, [*prefix, *ids], 1)
                np.testing.assert_allclose(block.target.logprob[start:stop], naive, atol=1e-4)
    assert collect(texts).signals.target_ids is None


def test_token_counts_against_a_counter(
    collect: Callable[..., Collected], target: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frequencies, "_BLOCK", 2)
    corpus = ["Bo had 7 of it. " * 30, "", "she", "Ada <|endoftext|> was", "İstanbul"]
    counts = collect(TEXTS, Need.TOKEN_COUNTS, frequency_texts=corpus).signals.token_counts
    model, tokenizer = target
    expected = Counter(token for text in corpus for token in tokenizer(text, verbose=False)["input_ids"])
    assert counts is not None
    assert counts.shape == (model.config.vocab_size,)
    assert {token: int(n) for token, n in enumerate(counts) if n} == expected
    assert collect(TEXTS, frequency_texts=corpus).signals.token_counts is None
    with pytest.raises(ConfigError, match="no texts to count tokens in"):
        collect(TEXTS, Need.TOKEN_COUNTS)


def test_a_foreign_tokenizer_cannot_be_counted_with(collect: Callable[..., Collected]) -> None:
    from types import SimpleNamespace

    encoder = SimpleNamespace(encode=lambda texts: [[1, 9] for _ in texts])
    model: Any = SimpleNamespace(files=SimpleNamespace(n_vocabulary=9, spec="x"), encoder=encoder)
    with pytest.raises(ModelError, match="gives id 9, but the model's vocabulary ends at 8"):
        frequencies.count_tokens(model, ["a"])


def test_who_saw_what_comes_with_each_block(collect: Callable[..., Collected], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_BLOCK", 3)
    seen = np.array([[True, False, False, True], [False, True, False, False]])
    found = collect(TEXTS, Need.REFERENCE, references=("reference", "other"), seen=seen)
    blocks = [block.seen for _, block in found.blocks()]
    np.testing.assert_array_equal(np.concatenate([block for block in blocks if block is not None], axis=1), seen)
    assert collect(TEXTS).signals.seen is None
