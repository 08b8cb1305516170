"""Runs of the models: load one at a time, score what is not stored yet, write every batch as it is done."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import AuditConfig
from ..errors import AuditError
from .batches import Budget, make_batches
from .forward import OutOfMemory, Running, Scorer, SequenceScores
from .kernels import choose_kernel
from .loading.adapters import without_adapter
from .loading.held import as_meant
from .loading.models import load_weights
from .models import OpenedModel
from .plan import Pass, Plan, Stored
from .store import ScoreStore, concatenate
from .tokens import TokenSequence
from .trial import Trial

__all__ = [
    "Ends",
    "Progress",
    "ScoringProgress",
    "Todo",
    "by_model",
    "check_scorer",
    "choose_budget",
    "ends",
    "free_memory",
    "load_scorer",
    "score_batches",
    "score_missing",
    "score_within",
]

Ends = tuple[TokenSequence, TokenSequence]
"""The longest and the shortest sequence that a model is given."""

_BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """How far scoring has come, in tokens over all passes (stored ones do not count)."""

    label: str
    done_tokens: int
    total_tokens: int


class Progress:
    """Adds up scored tokens and tells whoever watches."""

    def __init__(self, total: int, on_progress: Callable[[ScoringProgress], None] | None) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def add(self, n_tokens: int, label: str) -> None:
        """Count tokens as done."""
        self._done += n_tokens
        if self._on_progress is not None:
            self._on_progress(ScoringProgress(label, self._done, self._total))


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What one pass still has to score: places of texts, longest first."""

    one: Pass
    places: NDArray[np.int64]  # (n_missing,)
    share: slice = field(default_factory=lambda: slice(None))

    @property
    def n_tokens(self) -> int:
        """Scored tokens of all of it."""
        return self.one.n_tokens(self.places)


def score_missing(
    plan: Plan,
    models: Sequence[OpenedModel],
    config: AuditConfig,
    *,
    stored: Stored,
    scores_folder: Path,
    share: slice = slice(None),
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> tuple[list[OpenedModel], list[str]]:
    """Score every text that has no stored row in its pass; a model with nothing to score is never loaded.

    Parameters
    ----------
    stored : mapping of PassKey to ndarray of bytes
        Keys of the rows that there are (`Plan.stored`).
    share : slice
        Which of the texts of each pass, longest first, are this process's.

    Returns
    -------
    models : list of OpenedModel
        The same, with the way in which each made its logits.
    notes : list of str
        What had to be given up, and weights that were not used.
    """
    todo = [Todo(one=one, places=one.missing(stored, share), share=share) for one in plan.passes]
    work = _Work(
        plan=plan,
        config=config,
        scores_folder=scores_folder,
        progress=Progress(sum(part.n_tokens for part in todo), on_progress),
        notes=[],
    )
    scored = list(models)
    for model, ours in by_model(models, todo):
        copies = [other for other in models if other.is_base_of(model)]
        if any(model.is_base_of(other) and _has_work(other, todo) for other in models):
            continue  # scored with the copy of the model that carries the adapter
        work.progress.add(0, f"loading the {model.called}")
        weights, unused = load_weights(
            model.files,
            dtype=model.key.dtype,
            device=model.device,
            device_map=config.device_map,
            trust_remote_code=config.trust_remote_code,
        )
        work.notes.extend([unused] if unused else [])
        with as_meant(model.files):
            scored[models.index(model)] = work.score(weights, model, ours)
        for base, theirs in by_model(copies, todo):
            with without_adapter(weights):
                bare = work.score(weights, base, theirs)
            path = f"the target's copy, adapter off; {bare.scoring_path}"
            scored[models.index(base)] = replace(bare, scoring_path=path)
        del weights
        free_memory()
    return scored, work.notes


def by_model(models: Sequence[OpenedModel], todo: Sequence[Todo]) -> Iterator[tuple[OpenedModel, list[Todo]]]:
    """Yield each model that has something to score, with it."""
    for model in models:
        ours = [part for part in todo if part.one.model is model and len(part.places)]
        if ours:
            yield model, ours


def _has_work(model: OpenedModel, todo: Sequence[Todo]) -> bool:
    return any(part.one.model is model and len(part.places) for part in todo)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What all passes share, and what is to be said of them."""

    plan: Plan
    config: AuditConfig
    scores_folder: Path
    progress: Progress
    notes: list[str]

    def score(self, weights: Any, model: OpenedModel, todo: Sequence[Todo]) -> OpenedModel:
        """Score what the passes of one loaded model miss; return the model with how that was done."""
        budget = choose_budget(self.config, model.device)
        n_tokens = sum(part.n_tokens for part in todo)
        scorer = load_scorer(weights, model, ends(self.plan, model), budget, n_tokens=n_tokens)
        with ScoreStore(self.scores_folder, model.key) as store:
            for part in todo:
                label = f"scoring {part.one.label}"
                self.progress.add(0, label)
                for batch, scores in score_batches(part, scorer, budget):
                    store.append(dict(zip(part.one.keys_at(batch), scores, strict=True)))
                    self.progress.add(part.one.n_tokens(batch), label)
        self.notes.extend([note] if (note := budget.note(str(model.files.spec))) else [])
        return replace(model, scoring_path=scorer.path)


def choose_budget(config: AuditConfig, device: str) -> Budget:
    """Start with the tokens a batch that were asked for, or with what suits the device."""
    return Budget(config.batch_tokens or _BATCH_TOKENS.get(device.partition(":")[0], 2048))


def score_batches(
    part: Todo, scorer: Scorer, budget: Budget
) -> Iterator[tuple[NDArray[np.int64], list[SequenceScores]]]:
    """Yield the places of the texts of one batch after the other, with their scores.

    A GPU is given the next batch before the host waits for the scores of this one: it is at work while the next is laid
    out, and while whoever asked sees to the scores.
    """
    one = part.one
    if one.encoder.n_shared and len(part.places):
        check_scorer(scorer, *_ends([one]), budget, boundary=one.model.files.rope_boundary)
    packed = scorer.packs and not one.encoder.n_shared
    running: deque[tuple[NDArray[np.int64], Callable[[], list[SequenceScores]]]] = deque()
    try:
        for places in _batches(part, budget, packed=packed):
            running.append((places, _start_within(scorer, one.sequences(places), budget, one.model)))
            while len(running) > scorer.runs_ahead:
                done, scores = running.popleft()
                yield done, scores()
    except AuditError:
        yield from ((done, scores()) for done, scores in running)  # what came before the failure is kept
        raise
    yield from ((done, scores()) for done, scores in running)


def _batches(part: Todo, budget: Budget, *, packed: bool) -> Iterator[NDArray[np.int64]]:
    """Yield the places of the texts of one batch after the other.

    Rounding depends on what shares a forward pass. So batches are cut from the whole share, stored or not, and those
    of which nothing is stored come first, as they are: a run that goes on repeats the numbers of an unbroken one to
    the last bit. What is left of the others is grouped anew.
    """
    is_missing = np.zeros(len(part.one.keys), dtype=np.bool_)  # (n_samples,)
    is_missing[part.places] = True
    rest = [part.places[:0]]
    for places in _grouped(part.one, part.one.distinct()[part.share], budget, packed=packed):
        missing = places[is_missing[places]]
        if len(missing) == len(places):
            yield places
        else:
            rest.append(missing)
    yield from _grouped(part.one, np.concatenate(rest), budget, packed=packed)


def _grouped(one: Pass, places: NDArray[np.int64], budget: Budget, *, packed: bool) -> Iterator[NDArray[np.int64]]:
    """Group texts, longest first, into batches."""
    longest, n_sequences, boundary = one.longest[places], one.n_sequences[places], one.model.files.rope_boundary
    for batch in make_batches(longest, n_sequences, budget, packed=packed, rope_boundary=boundary):
        yield places[batch]


def load_scorer(weights: Any, model: OpenedModel, tried: Ends, budget: Budget, *, n_tokens: int) -> Scorer:
    """Choose how a loaded model scores, and check it.

    Parameters
    ----------
    tried : Ends
        What it is checked on, see :func:`ends`.
    budget : Budget
        Halved if the check does not fit.
    n_tokens : int
        To be scored: a kernel is compiled only if that pays.

    Raises
    ------
    ModelError
        If the model is not causal.
    """
    import torch

    kernel, why = choose_kernel(
        torch.device(model.device),
        n_rows=n_tokens,
        n_vocabulary=model.files.n_vocabulary,
        dtype=getattr(torch, model.key.dtype),
    )
    scorer = Scorer(
        weights,
        name=str(model.files.spec),
        kernel=kernel,
        why=why,
        exact=model.files.quantization is None,
        one_by_one="its quantisation mixes those of a batch" if model.files.depends_on_batch else "",
    )
    check_scorer(scorer, *tried, budget, boundary=model.files.rope_boundary)
    return scorer


def ends(plan: Plan, model: OpenedModel) -> Ends:
    """Return the longest and the shortest sequence of a plan that a model is given, stored ones too.

    Passes in which texts follow others (shots) are checked on their own, as they begin.
    """
    passes = [one for one in plan.passes if one.model is model]
    return _ends([one for one in passes if not one.encoder.n_shared] or passes)


def _ends(passes: Sequence[Pass]) -> Ends:
    longest = max(passes, key=lambda one: int(one.longest.max()))
    shortest = min(passes, key=lambda one: int(one.longest.min()))
    return (
        longest.sequences([int(longest.longest.argmax())])[0][0],
        shortest.sequences([int(shortest.longest.argmin())])[0][0],
    )


def check_scorer(
    scorer: Scorer, longest: TokenSequence, shortest: TokenSequence, budget: Budget, *, boundary: int | None
) -> None:
    """Check a scorer on a trial of the longest and the shortest sequence; if it does not fit, the budget is halved.

    Raises
    ------
    ModelError
        If the model is not causal.
    """
    while True:
        try:
            return scorer.check(Trial.of(longest, shortest, budget, boundary=boundary))
        except OutOfMemory:
            if budget.tokens == 1:
                raise
            free_memory()
            budget.halve()


def score_within(
    scorer: Scorer, texts: Sequence[Sequence[TokenSequence]], budget: Budget, model: OpenedModel
) -> list[SequenceScores]:
    """Score the sequences (windows) of some texts, in as few forward passes as the budget allows.

    Out of memory halves the budget, for this batch and all that follow.

    Raises
    ------
    OutOfMemory
        If a single sequence does not fit.
    """
    return _start_within(scorer, texts, budget, model)()


def _start_within(
    scorer: Scorer, texts: Sequence[Sequence[TokenSequence]], budget: Budget, model: OpenedModel
) -> Callable[[], list[SequenceScores]]:
    """Give the device the sequences of some texts, as :func:`score_within`; return what waits for their scores."""
    sequences = [sequence for windows in texts for sequence in windows]
    windowed = len(sequences) > len(texts)
    packed = scorer.packs and not sequences[0].n_shared
    alone = scorer.one_by_one or (windowed and model.files.rope_boundary is not None)
    left, running = sequences, list[Running]()
    while left:
        n = 1 if alone else _fitting(left, budget.tokens, packed=packed)
        try:
            running.append(scorer.start(left[:n]))
        except OutOfMemory:
            if n == 1:
                raise
            free_memory()
            while n > 1 and _fitting(left, budget.tokens, packed=packed) >= n:
                budget.halve()
        else:
            left = left[n:]

    def finish() -> list[SequenceScores]:
        parts = (one for batch in running for one in batch.scores())
        return [concatenate([next(parts) for _ in windows]) for windows in texts]

    return finish


def _fitting(sequences: Sequence[TokenSequence], budget_tokens: int, *, packed: bool) -> int:
    """How many of the first sequences fit into the budget, at least one."""
    lengths = np.array([len(sequence.ids) - sequence.n_shared for sequence in sequences])
    n = np.arange(1, len(lengths) + 1)
    costs = np.cumsum(lengths) if packed else np.maximum.accumulate(lengths) * n
    return max(1, int(np.searchsorted(costs, budget_tokens, side="right")))


def free_memory() -> None:
    """Give back what the last model or batch held, before the next one needs it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
