"""Gradual scoring: the target run on texts in an order chosen outside, its weights loaded once."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..config import AuditConfig
from ..data import LazyTexts
from .loading.models import load_weights
from .loading.recorded import refuse_unscored
from .models import OpenedModel
from .plan import Counts, Plan, ScoredTexts
from .scoring import (
    Progress,
    ScoringProgress,
    Todo,
    choose_budget,
    ends,
    free_memory,
    load_scorer,
    score_batches,
    score_missing,
)
from .store import ScoreStore
from .token_file import TokenFile

__all__ = ["GradualTarget", "Watch", "score_references", "taken"]

Watch = Callable[[ScoringProgress], None] | None


class _Taken(LazyTexts):
    """Some texts, in another order."""

    def __init__(self, texts: Sequence[str], places: Counts) -> None:
        self._texts, self._places = texts, places

    def __len__(self) -> int:
        return len(self._places)

    def text(self, index: int) -> str:
        """Return the text at a place, counted from 0."""
        return self._texts[int(self._places[index])]


def taken(plan: Plan, places: Counts) -> Plan:
    """Return the plan of some of the texts, in the order of their places."""
    passes = tuple(
        replace(
            one,
            keys=one.keys[places],
            n_scored=one.n_scored[places],
            longest=one.longest[places],
            n_sequences=one.n_sequences[places],
        )
        for one in plan.passes
    )
    texts = ScoredTexts(_Taken(plan.texts, places), are_chats=plan.texts.are_chats)
    return replace(
        plan,
        passes=passes,
        texts=texts,
        n_bytes=plan.n_bytes[places],
        n_bytes_cut=plan.n_bytes_cut[places],
        unread=plan.unread[:, places],
    )


def score_references(
    plan: Plan, models: Sequence[OpenedModel], config: AuditConfig, *, scores_folder: Path, on_progress: Watch
) -> list[str]:
    """Score every text that has no stored row under a reference; return what there is to note.

    Raises
    ------
    ModelError
        If a reference comes without weights, in a pack, and a text has no row.
    """
    references = replace(plan, passes=plan.passes[plan.n_views :])
    stored = references.stored(scores_folder)
    for one in references.passes:
        refuse_unscored(one.model.files.source, n_texts=len(one.missing(stored)))
    _, notes = score_missing(
        references, models[1:], config, stored=stored, scores_folder=scores_folder, on_progress=on_progress
    )
    return notes


class GradualTarget:
    """The target's scores of the texts of a plan, made a few texts at a time. Use as a context manager.

    Stored scores are used, new ones are stored as they are made. The weights are loaded when the first text comes that
    has no stored row, and stay until the end.

    Parameters
    ----------
    plan : Plan
        In the order in which texts will be asked for.

    Attributes
    ----------
    files : tuple of TokenFile
        One a view: the target's scores of all texts that were asked for.
    n_tokens_scored : int
    notes : list of str
        What had to be given up, and weights that were not used.
    """

    def __init__(self, plan: Plan, config: AuditConfig, *, scores_folder: Path, on_progress: Watch) -> None:
        self._plan, self._config, self._folder = plan, config, scores_folder
        self._passes = plan.passes[: plan.n_views]
        self._model = self._passes[0].model
        self.files = tuple(
            TokenFile(one.keys, one.n_scored, ScoreStore(scores_folder, self._model.key).rows(), whole=False)
            for one in self._passes
        )
        each = zip(self._passes, self.files, strict=True)
        n_missing = sum(int(one.n_scored[file.missing].sum()) for one, file in each)
        self._progress = Progress(n_missing, on_progress)
        self._budget = choose_budget(config, self._model.device)
        self._scorer: Any = None
        self._store = ScoreStore(scores_folder, self._model.key)
        self._open = ExitStack()
        self.n_tokens_scored = 0
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        self._open.enter_context(self._store)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._scorer is not None:
            self._scorer = None
            free_memory()
        self._open.__exit__(*exception)
        self.notes += [note] if (note := self._budget.note(str(self._model.files.spec))) else []

    def score(self, places: slice) -> None:
        """Score consecutive texts that have no stored scores."""
        part = taken(self._plan, np.arange(places.start, places.stop))
        todo = [
            (file, Todo(one=one, places=_first_of_each(one.keys, file.missing[places])))
            for one, file in zip(part.passes[: len(self.files)], self.files, strict=True)
        ]
        todo = [(file, work) for file, work in todo if len(work.places)]
        if todo and self._scorer is None:
            self._load(sum(work.n_tokens for _, work in todo))
        for file, work in todo:
            label = f"scoring {work.one.label}"
            for batch, scores in score_batches(work, part.texts, self._scorer, self._budget):
                rows = dict(zip(work.one.keys_at(batch), scores, strict=True))
                self._store.append(rows)
                file.fill((key.encode(), row) for key, row in rows.items())
                n_tokens = work.one.n_tokens(batch)
                self.n_tokens_scored += n_tokens
                self._progress.add(n_tokens, label)

    def _load(self, n_tokens: int) -> None:
        """Load the weights; what one part alone would not pay for, such as compiling a kernel, is not done."""
        self._progress.add(0, f"loading the {self._model.role}")
        weights, unused = load_weights(
            self._model.files,
            dtype=self._model.key.dtype,
            device=self._model.device,
            device_map=self._config.device_map,
            trust_remote_code=self._config.trust_remote_code,
        )
        self.notes += [unused] if unused else []
        tried = ends(self._plan, self._model)
        self._scorer = load_scorer(weights, self._model, tried, self._budget, n_tokens=n_tokens)


def _first_of_each(keys: Any, wanted: Any) -> Counts:
    """Return one place of each distinct key, shape (n_distinct,), among those that are wanted, shape (n_samples,)."""
    places = np.flatnonzero(wanted)
    _, first = np.unique(keys[places], return_index=True)
    return places[first].astype(np.int64)
