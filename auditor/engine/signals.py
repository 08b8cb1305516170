"""Signals of texts: open the models, plan the fewest passes, score what is not stored yet, hand over scores."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attacks.base import AFTER_MEMBER_SHOTS, AFTER_SHOTS, Need, Signals

from ..config import AuditConfig, ExtractSpec
from ..errors import ConfigError, ResultError
from .frequencies import counts_needed
from .loading.recorded import refuse_unscored
from .measures import Measures, check_measurable, measure_missing
from .models import OpenedModel, open_models, reading_alike
from .neighbours import neighbour_views
from .plan import Pass, Plan, Stored, make_plan
from .ranks import ALONE, Rank
from .ray_cluster import cluster_device, score_on_ray
from .request import ScoringRequest
from .scoring import ScoringProgress, score_missing
from .shadows import check_shadows
from .store import ScoreStore
from .token_file import TokenFile

__all__ = ["Collected", "collect_signals", "gather_passes", "open_and_plan", "score_share"]

_BLOCK = 1024
"""Texts whose token scores are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The signals of all samples, on disk, and what it took to get them.

    Parameters
    ----------
    sample_ids : tuple of str
    models : tuple of OpenedModel
        The target first.
    plan : Plan
    n_tokens_scored, n_tokens_reused : int
        Over all passes; equal texts are scored once.
    seconds : float
        Of scoring, loading included.
    notes : tuple of str
    needs : frozenset of Need
    seen : ndarray of bool, shape (n_references, n_samples), or None
    token_counts : ndarray of int64, shape (n_vocabulary,), or None
    measures : Measures
        Gradients and continuations, where an attack needs them.
    """

    sample_ids: tuple[str, ...]
    models: tuple[OpenedModel, ...]
    plan: Plan
    files: tuple[TokenFile, ...]
    n_tokens_scored: int
    n_tokens_reused: int
    seconds: float
    notes: tuple[str, ...]
    needs: frozenset[Need] = frozenset()
    seen: NDArray[np.bool_] | None = None
    token_counts: NDArray[np.int64] | None = None
    measures: Measures = field(default_factory=Measures)

    def blocks(self) -> Iterator[tuple[slice, Signals]]:
        """Yield the places and the signals of a block of samples after the other; memory does not grow with them."""
        n = len(self.sample_ids)
        for start in range(0, n, _BLOCK):
            places = slice(start, min(start + _BLOCK, n))
            yield places, self.read(places)

    @cached_property
    def signals(self) -> Signals:
        """The signals of all samples at once, in memory: 28 bytes a token and pass, and the texts."""
        return self.read(slice(0, len(self.sample_ids)))

    def read(self, places: slice) -> Signals:
        """Read the signals of consecutive samples."""
        scores = [file.read(places) for file in self.files]
        n_views = self.plan.n_views
        views = [one.view.name for one in self.plan.passes[:n_views]]
        return Signals(
            sample_ids=self.sample_ids[places],
            texts=tuple(self.plan.scored_words[places]),
            target=scores[0],
            references=tuple(scores[n_views:]),
            seen=None if self.seen is None else self.seen[:, places],
            views=dict(zip(views[1:], scores[1:n_views], strict=True)),
            aligned=self.plan.aligned,
            target_ids=self.plan.passes[0].scored_ids(range(places.start, places.stop))
            if Need.TOKEN_IDS in self.needs
            else None,
            token_counts=self.token_counts,
            gradient_norms=self.measures.gradient_norms(places),
            continuations=self.measures.continuations(places),
            divergence=self.measures.divergence(places),
        )


def collect_signals(
    config: AuditConfig,
    request: ScoringRequest,
    *,
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None = None,
    rank: Rank = ALONE,
) -> Collected:
    """Score every text under the target and each reference, reusing whatever the store holds.

    One pass per model and text view serves all attacks. One model is in memory at a time, and a model whose
    scores are all stored is never loaded.

    Parameters
    ----------
    config : AuditConfig
        Models, and how they are run.
    request : ScoringRequest
    scores_folder : Path
        The score store; a killed run continues from it.
    on_progress : callable, optional
        Called after every batch.
    rank : Rank
        The first of several processes waits for the others (see `score_share`), and scores what one that died
        left behind.

    Raises
    ------
    ModelError, ConfigError, DataError
        With the reason, before anything is scored where that is possible.
    """
    with rank.at_work(scores_folder) as others:
        models, plan = open_and_plan(config, request, scores_folder, rank, on_progress)
        check_measurable(models[0], request.needs)
        token_counts = counts_needed(models[0], request)
        started = time.monotonic()
        n_tokens = sum(int(one.n_scored.sum()) for one in plan.passes)
        stored = plan.stored(scores_folder)
        for one in plan.passes:
            refuse_unscored(one.model.files.source, n_texts=len(one.missing(stored)))
        n_missing = sum(one.n_tokens(one.missing(stored)) for one in plan.passes)
        outdated = _outdated_note(plan, stored, scores_folder)
        work = score_on_ray if config.engine == "ray" else partial(score_missing, share=rank.share)
        scored, notes = work(plan, models, config, stored=stored, scores_folder=scores_folder, on_progress=on_progress)
        if rank.world > 1:
            if left := others.wait():
                notes.append(
                    f"{len(left)} of {rank.world} processes ended early or never started; the first one took over"
                )
            stored = plan.stored(scores_folder)
            rest, more = score_missing(
                plan, models, config, stored=stored, scores_folder=scores_folder, on_progress=on_progress
            )
            each = zip(scored, rest, models, strict=True)
            scored = [late if late is not model else early for early, late, model in each]
            scored = [replace(one, scoring_path=f"{one.scoring_path}; {rank.world} processes") for one in scored]
            notes += more
    measures = measure_missing(
        plan, config, request.needs, scores_folder=scores_folder, seen=request.seen, on_progress=on_progress
    )
    return Collected(
        sample_ids=tuple(request.sample_ids),
        models=tuple(scored),
        plan=plan,
        files=gather_passes(plan.passes, scores_folder),
        n_tokens_scored=n_missing,
        n_tokens_reused=n_tokens - n_missing,
        seconds=time.monotonic() - started,
        notes=(*plan.notes, *models[0].shots_notes(), *outdated, *dict.fromkeys([*notes, *measures.notes])),
        needs=request.needs,
        seen=request.seen,
        token_counts=token_counts,
        measures=measures,
    )


def score_share(config: AuditConfig, request: ScoringRequest, *, scores_folder: Path, rank: Rank) -> None:
    """Score this process's share of the texts into the store, and let the first process know.

    Raises
    ------
    ModelError, ConfigError, DataError
        As `collect_signals` does.
    """
    with rank.at_work(scores_folder):
        models, plan = open_and_plan(config, request, scores_folder, rank)
        stored = plan.stored(scores_folder)
        score_missing(plan, models, config, stored=stored, scores_folder=scores_folder, share=rank.share)


def open_and_plan(
    config: AuditConfig,
    request: ScoringRequest,
    scores_folder: Path,
    rank: Rank,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> tuple[list[OpenedModel], Plan]:
    """Open the models and plan the passes: the same in every process."""
    if config.engine == "ray" and rank.world > 1:
        raise ConfigError("engine ray starts its workers itself: run it without torchrun or accelerate launch")
    device = cluster_device(config) if config.engine == "ray" else None
    local_rank = rank.local_rank if rank.world > 1 else None
    models = open_models(config, local_rank=local_rank, device=device, held=request.held, form=request.form)
    models, said = reading_alike(models)
    ExtractSpec.parse(request.extract, window=models[0].encoder.window)  # refuses more than fits
    models[0] = replace(models[0], alias=request.target_called)
    if request.check_target is not None:
        request.check_target(models[0].files)
    if Need.SHOTS in request.needs:
        models[0] = models[0].with_shots(request.shots, view=AFTER_SHOTS)
    if Need.MEMBER_SHOTS in request.needs:
        models[0] = models[0].with_shots(request.member_shots, view=AFTER_MEMBER_SHOTS)
    rewrite = partial(
        neighbour_views,
        model=config.neighbour_model,
        n=config.neighbours,
        scores_folder=scores_folder,
        device=models[0].device,
        alone=rank.world == 1 and config.engine == "local",
        trust_remote_code=config.trust_remote_code,
        on_progress=on_progress,
    )
    plan = make_plan(
        models,
        sample_ids=request.sample_ids,
        texts=request.texts,
        needs=request.needs,
        cut=config.long_texts == "cut",
        rewrite=rewrite,
    )
    plan = replace(plan, notes=(*said, *plan.notes))
    if request.shadows is not None:
        check_shadows(models, plan, request.shadows, max_tokens=config.max_tokens)
    return models, plan


def _outdated_note(plan: Plan, stored: Stored, scores_folder: Path) -> list[str]:
    """Say which models are run though their scores are in the store, as an older version of the auditor wrote these."""
    again = [
        one.model.called
        for one in plan.passes
        if len(one.missing(stored)) and ScoreStore(scores_folder, one.model.key).has_older()
    ]
    names = " and ".join(dict.fromkeys(again))
    return [
        f"the score store holds scores of the {names} from an older version of the auditor, without what extraction is "
        "read from: they were not used, and the texts were scored again"
    ] * bool(again)


def gather_passes(passes: Sequence[Pass], scores_folder: Path) -> tuple[TokenFile, ...]:
    """Put the stored scores of passes in the order of the texts; the store of a model is read once for all its passes.

    Raises
    ------
    ResultError
        If a text has no stored scores any more.
    """
    files = [TokenFile(one.keys, one.n_scored, (), whole=False) for one in passes]
    for key in dict.fromkeys(one.model.key for one in passes):
        ours = [file for one, file in zip(passes, files, strict=True) if one.model.key == key]
        for row in ScoreStore(scores_folder, key).rows():
            for file in ours:
                file.fill([row])
    if lost := sum(int(file.missing.sum()) for file in files):
        raise ResultError(
            f"{lost} texts have no stored scores in {scores_folder}: something else changed it; run again"
        )
    return tuple(files)
