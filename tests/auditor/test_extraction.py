"""Extraction read off token scores: by hand, against loops, against a sampler, and against a model that writes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks import Signals
from attacks.base import TokenScores
from auditor.config import ExtractSpec
from auditor.documents.sample_extraction import draws_needed, is_extractable
from auditor.errors import ConfigError
from auditor.estimates.extraction import LEAST_TOKENS, TOP_K, extraction, sample_extraction
from helpers_attacks import signals_of

LEVEL = 0.95


def scores(*texts: list[float], rank: int = 0, tied: int = 0, top40: float = 0.0) -> TokenScores:
    n = sum(map(len, texts))
    logprob = np.concatenate([np.array(text, dtype=np.float32) for text in texts])
    return TokenScores(
        offsets=np.cumsum([0, *map(len, texts)]),
        logprob=logprob,
        logprob_mean=logprob,
        logprob_variance=np.zeros(n, dtype=np.float32),
        rank=np.full(n, rank, dtype=np.int32),
        logprob_max=logprob,
        logprob_top40=np.full(n, top40, dtype=np.float32),
        tied=np.full(n, tied, dtype=np.int32),
    )


@pytest.mark.parametrize(
    ("p", "needed"), [(0.001, (693, 2302, 4603)), (0.01, (69, 230, 459)), (0.5, (1, 4, 7)), (1.0, (1, 1, 1))]
)
def test_draws_as_published(p: float, needed: tuple[int, ...]) -> None:
    found = [draws_needed(np.log2([p]), chance)[0] for chance in (0.5, 0.9, 0.99)]
    assert found == list(needed)


@given(st.floats(-900, -1e-6), st.floats(0.01, 0.99))
def test_one_draw_fewer_is_too_few(log2_p: float, chance: float) -> None:
    n = float(draws_needed(np.array([log2_p]), chance)[0])
    ln_missing = math.log1p(-(2.0**log2_p))  # (1 - p)^n <= 1 - chance, in logs
    assert n * ln_missing <= math.log1p(-chance) * (1 - 1e-9)
    assert n == 1 or (n - 1) * ln_missing > math.log1p(-chance) * (1 + 1e-9) or n > 2**52


def test_what_is_never_drawn_takes_no_number_of_draws() -> None:
    assert draws_needed(np.array([-np.inf, -5000.0]), 0.5).tolist() == [np.inf, np.inf]
    assert np.isnan(draws_needed(np.array([np.nan]), 0.5)).all()


def test_a_text_by_hand() -> None:
    # 3 tokens given, 2 to write: of 7 tokens, three places; nats in multiples of ln 2 are bits
    ln2 = math.log(2)
    target = scores([-9, -9, -9, -1 * ln2, -2 * ln2, -3 * ln2, -4 * ln2], top40=-0.5 * ln2)
    found = sample_extraction(signals_of(target), ExtractSpec(prefix=3, suffix=2))
    assert found.suffix_tokens.tolist() == [2]
    assert found.log2_p_unrestricted.tolist() == pytest.approx([-3])
    assert found.log2_p.tolist() == pytest.approx([-2])  # each token half a bit likelier among the 40
    assert found.is_greedy.tolist() == [True]
    assert found.n_windows.tolist() == [3]
    assert found.n_windows_extractable.tolist() == [3]
    assert found.longest_run.tolist() == [4]
    assert found.reference_log2_p is None


def test_a_tie_is_not_greedy_and_the_forty_first_is_not_drawn() -> None:
    cut = ExtractSpec(prefix=3, suffix=2)
    tied = sample_extraction(signals_of(scores([-1.0] * 7, tied=1)), cut)
    assert not tied.is_greedy.any()
    assert tied.longest_run.tolist() == [0]
    assert np.isfinite(tied.log2_p).all()
    last = sample_extraction(signals_of(scores([-1.0] * 7, rank=TOP_K - 1)), cut)
    assert np.isfinite(last.log2_p).all()
    for beyond in (scores([-1.0] * 7, rank=TOP_K), scores([-1.0] * 7, rank=TOP_K - 1, tied=1)):
        found = sample_extraction(signals_of(beyond), cut)
        assert np.isneginf(found.log2_p).all()
        assert np.isfinite(found.log2_p_unrestricted).all()
        assert not is_extractable(found.log2_p).any()


def test_short_texts_are_halved_and_shorter_ones_counted() -> None:
    halves = 2 * LEAST_TOKENS + 1
    target = scores([-1.0] * (2 * LEAST_TOKENS - 1), [-1.0] * halves, [-1.0] * 100, [-1.0] * 99)
    found = sample_extraction(signals_of(target), ExtractSpec())
    assert found.suffix_tokens.tolist() == [0, LEAST_TOKENS + 1, 50, 50]
    assert found.n_windows.tolist() == [0, 0, 1, 0]
    assert np.isnan(found.log2_p).tolist() == [True, False, False, False]
    result = extraction(
        found, np.array([True, True, True, False]), cut=ExtractSpec(), groups=None, signed_bits=None, level=LEVEL
    )
    assert result is not None
    assert (result.n_members, result.n_non_members, result.n_halved, result.n_too_short) == (2, 1, 2, 1)


def loop(target: TokenScores, cut: ExtractSpec) -> list[tuple[float, float, bool, int, int, int]]:
    """Read every text by itself, a token at a time, as the definitions say."""
    rows = []
    for start, stop in zip(target.offsets[:-1], target.offsets[1:], strict=True):
        tokens = list(range(start, stop))
        prefix, suffix = cut.prefix, cut.suffix
        whole = len(tokens) >= prefix + suffix
        if not whole:
            prefix, suffix = len(tokens) // 2, len(tokens) - len(tokens) // 2

        def ln(place: int, n: int, first: int = int(start)) -> tuple[float, float]:
            free = sampled = 0.0
            for t in range(first + place, first + place + n):
                free += float(target.logprob[t])
                never = target.rank[t] + target.tied[t] >= TOP_K  # type: ignore[index]
                sampled += -math.inf if never else float(target.logprob[t] - target.logprob_top40[t])  # type: ignore[index]
            return free, sampled

        greedy = [target.rank[t] == 0 and target.tied[t] == 0 for t in tokens]  # type: ignore[index]
        run = longest = 0
        for t in range(prefix, len(tokens)):
            run = run + 1 if greedy[t] else 0
            longest = max(longest, run)
        places = range(prefix, len(tokens) - suffix + 1) if whole else []
        extractable = sum(ln(place, suffix)[1] >= math.log(1e-3) for place in places)
        free, sampled = ln(prefix, suffix)
        rows.append((free, sampled, all(greedy[prefix : prefix + suffix]), len(places), extractable, longest))
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_against_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2 * LEAST_TOKENS, 80, 7)
    n = int(lengths.sum())
    top40 = -rng.random(n) * 0.2
    target = TokenScores(
        offsets=np.cumsum([0, *lengths]),
        logprob=(top40 - rng.random(n) * rng.choice([0.02, 0.4])).astype(np.float32),
        logprob_mean=np.zeros(n, np.float32),
        logprob_variance=np.zeros(n, np.float32),
        rank=rng.choice([0, 0, 0, 0, 0, 0, 1, 39, 45], n).astype(np.int32),
        logprob_max=np.zeros(n, np.float32),
        logprob_top40=top40.astype(np.float32),
        tied=rng.choice([0] * 9 + [1], n).astype(np.int32),
    )
    cut = ExtractSpec(prefix=int(rng.integers(1, 30)), suffix=int(rng.integers(1, 30)))
    found = sample_extraction(signals_of(target), cut)
    free, sampled, greedy, windows, extractable, run = zip(*loop(target, cut), strict=True)
    np.testing.assert_allclose(found.log2_p_unrestricted, np.array(free) / math.log(2), rtol=1e-5)
    np.testing.assert_allclose(found.log2_p, np.array(sampled) / math.log(2), rtol=1e-4, atol=1e-5)
    assert found.is_greedy.tolist() == list(greedy)
    assert found.n_windows.tolist() == list(windows)
    assert found.n_windows_extractable.tolist() == list(extractable)
    assert found.longest_run.tolist() == list(run)


def test_references_are_mixed_where_they_did_not_see_the_text() -> None:
    cut, ln2 = ExtractSpec(prefix=1, suffix=1), math.log(2)
    target = scores(*[[-1.0] * 20] * 2)
    references = tuple(scores(*[[-k * ln2] * 20] * 2) for k in (1, 3))
    seen = np.array([[False, True], [False, False]])
    signals = Signals(sample_ids=("a", "b"), texts=("a", "b"), target=target, references=references, seen=seen)
    found = sample_extraction(signals, cut)
    assert found.reference_log2_p is not None
    assert found.reference_log2_p.tolist() == pytest.approx([math.log2((2**-1 + 2**-3) / 2), -3])


def test_rates_beyond_the_non_members_by_hand() -> None:
    # the first two members of ten and one of ten non-members are certain; the reference knows the first member, too
    known = [[0.0] * 20] * 2 + [[-9.0] * 20] * 8 + [[0.0] * 20] + [[-9.0] * 20] * 9
    reference = scores(*([[0.0] * 20] + [[-9.0] * 20] * 19))
    sides = np.arange(20) < 10
    found = sample_extraction(signals_of(scores(*known), references=(reference,)), ExtractSpec())
    result = extraction(found, sides, cut=ExtractSpec(), groups=None, signed_bits=np.arange(20.0), level=LEVEL)
    assert result is not None
    assert (result.rate_members.value, result.rate_non_members.value) == (0.2, 0.1)
    assert result.rate_beyond.value == pytest.approx(0.1)
    assert result.rate_members.low == pytest.approx(0.0252, abs=1e-4)  # Clopper-Pearson, 2 of 10
    assert result.rate_members.high == pytest.approx(0.5561, abs=1e-4)
    assert (result.by_heart_rate_members.value, result.guessable_rate_members.value) == (0.1, 0.1)
    assert [(one.n_draws, one.members.value) for one in result.by_draws[:2]] == [(1, 0.2), (10, 0.2)]
    assert result.draws_for_half.undefined_reason is not None  # two texts give no interval of a median
    assert result.longest_run_members == 10
    assert list(result.contradictions()) == []


def test_nobody_long_enough_is_no_result() -> None:
    found = sample_extraction(signals_of(scores([-1.0] * 5)), ExtractSpec())
    assert extraction(found, np.array([True]), cut=ExtractSpec(), groups=None, signed_bits=None, level=LEVEL) is None


@pytest.mark.parametrize("text", ["0/50", "50/0", "abc", "50", "50/", "/50", "5.5/5", "-1/5", "50/50/50", "²/5", ""])
def test_what_is_no_cut_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="extract must be PREFIX/SUFFIX"):
        ExtractSpec.parse(text)


def test_more_than_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes 600 tokens of a text at once, and the target reads 512"):
        ExtractSpec.parse("300/300", window=512)
    assert ExtractSpec.parse("300/212", window=512) == ExtractSpec(prefix=300, suffix=212)
