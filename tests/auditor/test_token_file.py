"""Scores in the order of the texts: every block reads its own tokens, not one more and not one less."""

from itertools import combinations

import numpy as np
import pytest

from auditor.engine.forward import STATISTICS, SequenceScores
from auditor.engine.token_file import TokenFile
from auditor.errors import ResultError


def scores(first: int, n: int) -> SequenceScores:
    """Count upwards, each column by itself, so that a token in the wrong place is seen."""
    tokens = np.arange(first, first + n, dtype=np.float32)
    rank = np.arange(first, first + n, dtype=np.int32)
    return SequenceScores(-tokens, -tokens - 0.25, tokens + 0.5, rank, -tokens / 2, -tokens / 4, rank + 1)


ROWS = {b"a": scores(10, 3), b"b": scores(20, 1), b"c": scores(30, 2)}
KEYS = np.array([b"c", b"a", b"c", b"b"])


def file() -> TokenFile:
    lengths = np.array([len(ROWS[key].logprob) for key in KEYS.tolist()])
    rows = [(b"z", scores(90, 4)), *ROWS.items(), (b"a", ROWS[b"a"])]  # a text of nobody, and one stored twice
    return TokenFile(KEYS, lengths, rows)


@pytest.mark.parametrize(("start", "stop"), list(combinations(range(5), 2)))
def test_any_block_holds_the_tokens_of_its_texts(start: int, stop: int) -> None:
    found = file().read(slice(start, stop))
    wanted = [ROWS[key] for key in KEYS[start:stop].tolist()]
    assert found.n_tokens.tolist() == [len(one.logprob) for one in wanted]
    for name in STATISTICS:
        np.testing.assert_array_equal(getattr(found, name), np.concatenate([getattr(one, name) for one in wanted]))


def test_a_text_without_scores_is_not_made_up() -> None:
    with pytest.raises(LookupError, match="1 texts have no stored scores"):
        TokenFile(KEYS, np.array([2, 3, 2, 1]), [(b"a", ROWS[b"a"]), (b"c", ROWS[b"c"])])


@pytest.mark.parametrize("n", [0, 2, 4])
def test_scores_of_more_or_fewer_tokens_than_a_text_has_do_not_reach_its_neighbours(n: int) -> None:
    with pytest.raises(ResultError, match=f"has scores of {n} tokens where it has 3"):
        TokenFile(np.array([b"a", b"b"]), np.array([3, 3]), [(b"a", scores(0, n)), (b"b", scores(9, 3))])
