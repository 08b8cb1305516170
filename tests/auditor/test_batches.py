"""Batches: every text once, within the budget, longest first; out of memory halves the budget and goes on."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.batches import Budget, make_batches
from auditor.engine.forward import STATISTICS, OutOfMemory, Scorer, SequenceScores
from auditor.engine.scoring import check_scorer, score_within
from auditor.engine.tokens import TokenSequence
from auditor.engine.trial import Trial

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=60).map(lambda found: sorted(found, reverse=True))


def batches(lengths: list[int], budget: int, *, packed: bool, boundary: int | None = None) -> list[list[int]]:
    longest = np.array(lengths)
    made = make_batches(longest, np.ones_like(longest), Budget(budget), packed=packed, rope_boundary=boundary)
    return [longest[batch].tolist() for batch in made]


@given(LENGTHS, st.integers(1, 500), st.booleans(), st.none() | st.integers(1, 100))
def test_every_text_is_in_one_batch_within_the_budget(
    lengths: list[int], budget: int, packed: bool, boundary: int | None
) -> None:
    made = batches(lengths, budget, packed=packed, boundary=boundary)
    assert [length for batch in made for length in batch] == lengths
    for batch in made:
        assert len(batch) == 1 or (sum(batch) if packed else len(batch) * batch[0]) <= budget
        assert boundary is None or (batch[0] > boundary) == (batch[-1] > boundary)


def test_padding_alone_sets_a_short_text_apart() -> None:
    assert batches([70, 66, 65, 64, 60, 50], 10_000, packed=False) == [[70, 66, 65, 64, 60], [50]]
    assert batches([70, 66, 65, 64, 60, 50], 10_000, packed=True) == [[70, 66, 65, 64, 60, 50]]


def test_windows_count_as_rows() -> None:
    made = make_batches(np.array([10, 10, 10]), np.array([3, 1, 1]), Budget(40), packed=False)
    assert [batch.tolist() for batch in made] == [[0, 1], [2]]


class Small:
    """A scorer on a device that holds so many tokens and no more."""

    packs = True

    def __init__(self, room: int, *, one_by_one: bool = False) -> None:
        self.room, self.one_by_one = room, one_by_one
        self.tried: list[int] = []

    def start(self, batch: list[TokenSequence]) -> SimpleNamespace:
        self.tried.append(sum(len(one.ids) for one in batch))
        if self.tried[-1] > self.room:
            raise OutOfMemory("no room")
        scores = [SequenceScores(*[np.array([one.ids[0]], dtype=np.float32)] * len(STATISTICS)) for one in batch]  # type: ignore[arg-type]
        return SimpleNamespace(scores=lambda: scores)


def score(scorer: Any, n_texts: int, budget: Budget, **files: object) -> list[float]:
    model: Any = SimpleNamespace(files=SimpleNamespace(**{"rope_boundary": None} | files))
    texts = [[TokenSequence((i,) * 10, 1)] for i in range(n_texts)]
    return [float(one.logprob[0]) for one in score_within(scorer, texts, budget, model)]


def test_out_of_memory_halves_the_budget_and_loses_nothing() -> None:
    scorer, budget = Small(room=30), Budget(100)
    assert score(scorer, 9, budget) == list(range(9))
    assert (scorer.tried, budget.tokens) == ([90, 50, 20, 20, 20, 20, 10], 25)
    assert budget.note("m") == (
        "m: out of memory at 100, 50 tokens a batch; went on with 25 (--batch-tokens 25 avoids the failed attempts)"
    )
    assert score(scorer, 2, budget) == [0, 1]  # and the smaller budget is kept
    assert scorer.tried[-1] == 20


def test_a_text_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(OutOfMemory):
        score(Small(room=9), 3, Budget(100))


def test_without_trouble_there_is_no_note() -> None:
    budget = Budget(100)
    score(Small(room=1000), 3, budget)
    assert budget.note("m") == ""


def test_models_that_mix_the_rows_of_a_batch_get_one_at_a_time() -> None:
    scorer = Small(room=1000, one_by_one=True)
    score(scorer, 3, Budget(100))
    assert scorer.tried == [10, 10, 10]


def test_a_check_that_does_not_fit_halves_the_budget() -> None:
    class Narrow:
        def __init__(self) -> None:
            self.tried: list[int] = []

        def check(self, trial: Trial) -> None:
            self.tried.append(len(trial.batch[0].ids))
            if self.tried[-1] > 60:
                raise OutOfMemory("no room")

    scorer, budget = Narrow(), Budget(600)
    ends = TokenSequence(tuple(range(1000)), 1), TokenSequence((1, 2, 3), 1)
    check_scorer(cast("Scorer", scorer), *ends, budget, boundary=None)
    assert (scorer.tried, budget.tokens) == ([200, 100, 50], 150)
