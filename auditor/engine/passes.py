"""From texts to signals: plan the fewest passes, run what is not stored yet, hand over token scores."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.base import LOWERCASE, Need, Signals, TokenScores

from ..config import AuditConfig, ModelSpec
from ..errors import ConfigError, ModelError
from .models import ModelFiles, choose_device, choose_dtype, load_weights, open_model
from .store import PassKey, ScoreStore
from .tokens import Encoder, TokenSequence, cut_to_fit, tokenizer_fingerprint

__all__ = ["Collected", "OpenedModel", "ScoringProgress", "collect_signals"]

_BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}
_LEAST_FILL = 0.75
"""A text shorter than this share of the longest in its batch starts a new batch: padding is work for nothing."""


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """How far scoring has come, in tokens over all passes (stored ones do not count)."""

    label: str
    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model as this audit uses it."""

    role: str
    files: ModelFiles
    encoder: Encoder
    key: PassKey
    device: str
    scoring_path: str = "not run: all scores were stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The signals, and what it took to get them."""

    signals: Signals
    models: tuple[OpenedModel, ...]
    windowed: NDArray[np.bool_]
    unread: NDArray[np.int64]
    n_tokens_scored: int
    n_tokens_reused: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """One distinct text of a pass, under the key of its stored row."""

    key: str
    sequences: tuple[TokenSequence, ...]

    @property
    def longest(self) -> int:
        return max(len(sequence.ids) for sequence in self.sequences)

    @property
    def n_scored(self) -> int:
        return sum(sequence.n_scored for sequence in self.sequences)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One model over one view of all texts."""

    model: OpenedModel
    view: str
    token_ids: list[list[int]]
    units: list[_Unit]


def collect_signals(
    config: AuditConfig,
    *,
    sample_ids: Sequence[str],
    texts: Sequence[str],
    needs: frozenset[Need],
    scores_folder: Path,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> Collected:
    """Score every text under the target and each reference, reusing whatever the store holds.

    One pass per model and text view serves all attacks. One model is in memory at a time, and a model whose
    scores are all stored is never loaded.

    Parameters
    ----------
    sample_ids, texts : sequence of str, length n_samples
    needs : frozenset of Need
        Union of what the attacks need.
    scores_folder : Path
        The score store; a killed run continues from it.
    on_progress : callable, optional
        Called after every batch.

    Raises
    ------
    ModelError, ConfigError, DataError
        With the reason, before anything is scored where that is possible.
    """
    device = choose_device(config.device)
    models = [_open(config.target, "target", config, device)]
    models += [_open(spec, "reference", config, device) for spec in config.references]
    if config.long_texts == "stride":
        models = _same_windows(models)
    views: dict[str, Callable[[str], str]] = {"text": str}
    if Need.LOWERCASE in needs:
        views[LOWERCASE] = str.lower

    scored_texts = list(texts) if config.long_texts == "stride" else _cut(texts, models, views)
    passes = [_plan(models[0], name, [view(t) for t in scored_texts], sample_ids) for name, view in views.items()]
    passes += [_plan(model, "text", scored_texts, sample_ids) for model in models[1:]]
    aligned = _aligned(passes)
    if Need.ALIGNED_TOKENS in needs and not aligned:
        raise ConfigError(
            "an attack compares target and reference token by token, but they read the texts as different tokens; "
            "leave that attack out, or take a reference with the target's tokenizer"
        )
    _refuse_unscored_first_tokens(passes, aligned)

    started = time.monotonic()
    missing = [_missing(one, scores_folder) for one in passes]
    total = sum(unit.n_scored for units in missing for unit in units)
    progress = _Counter(total, on_progress)
    paths: dict[int, str] = {}
    unused: list[str] = []
    for index, model in enumerate(models):
        todo = [(one, units) for one, units in zip(passes, missing, strict=True) if one.model is model and units]
        if todo:
            paths[index], note = _run(model, todo, config, scores_folder, progress)
            unused += [note] if note else []
    token_scores = [_read(one, scores_folder) for one in passes]
    return Collected(
        signals=Signals(
            sample_ids=tuple(sample_ids),
            texts=tuple(scored_texts),
            target=token_scores[0],
            references=tuple(token_scores[len(views) :]),
            views={name: token_scores[i] for i, name in enumerate(views) if name != "text"},
            aligned=aligned,
        ),
        models=tuple(_with_path(model, paths.get(index)) for index, model in enumerate(models)),
        windowed=np.any([[len(unit.sequences) > 1 for unit in one.units] for one in passes], axis=0),
        unread=np.array([one.model.encoder.unread(scored_texts) for one in passes if one.view == "text"]),
        n_tokens_scored=total,
        n_tokens_reused=sum(unit.n_scored for one in passes for unit in one.units) - total,
        seconds=time.monotonic() - started,
        notes=(*(note for one in passes if one.view == "text" for note in _notes(one)), *unused),
    )


def _open(spec: ModelSpec, role: str, config: AuditConfig, device: str) -> OpenedModel:
    """Open a model's files and settle how this audit reads texts with it."""
    files = open_model(spec, trust_remote_code=config.trust_remote_code)
    encoder = Encoder.build(
        files.tokenizer,
        rule=config.prefix_token,
        n_vocabulary=files.n_vocabulary,
        context_window=files.context_window,
        max_tokens=config.max_tokens,
    )
    key = PassKey(
        weights_sha256=files.weights_sha256,
        config_sha256=files.config_sha256,
        tokenizer_sha256=tokenizer_fingerprint(files.tokenizer),
        prefix_token_ids=encoder.prefix.ids,
        dtype=choose_dtype(config.dtype, device=device, stored=files.stored_dtype),
    )
    return OpenedModel(role=role, files=files, encoder=encoder, key=key, device=device)


def _same_windows(models: Sequence[OpenedModel]) -> list[OpenedModel]:
    """Give all models the shortest window: a longer context alone would look like memorization."""
    window = min((model.encoder.window for model in models if model.encoder.window is not None), default=None)
    return [replace(model, encoder=replace(model.encoder, window=window)) for model in models]


def _with_path(model: OpenedModel, path: str | None) -> OpenedModel:
    """Note how the logits were made, if this run made any."""
    return model if path is None else replace(model, scoring_path=path)


def _cut(texts: Sequence[str], models: Sequence[OpenedModel], views: dict[str, Callable[[str], str]]) -> list[str]:
    """Cut each text at the character where the first window, over all models and views, is full."""
    readers = [(model.encoder, views["text"]) for model in models if model.encoder.window is not None]
    readers += [(models[0].encoder, view) for name, view in views.items() if name != "text" and readers]
    too_long = np.zeros(len(texts), dtype=bool)
    for encoder, view in readers:
        lengths = [len(ids) for ids in encoder.encode([view(text) for text in texts])]
        too_long |= np.array(lengths) > (encoder.window or np.inf)

    def fits(text: str) -> bool:
        return all(encoder.fits(view(text)) for encoder, view in readers)

    return [cut_to_fit(text, fits) if long else text for text, long in zip(texts, too_long, strict=True)]


def _plan(model: OpenedModel, view: str, texts: Sequence[str], sample_ids: Sequence[str]) -> _Pass:
    """Tokenize one view of all texts for one model and key each distinct text."""
    ids = model.encoder.encode(texts)
    model.encoder.check(texts, sample_ids, ids)
    top = max(max(tokens) for tokens in [*ids, [0, *model.encoder.prefix.ids]])
    if top >= model.files.n_vocabulary:
        raise ModelError(
            f"{model.files.spec}: its tokenizer gives id {top}, but the model's vocabulary ends at "
            f"{model.files.n_vocabulary - 1}; the tokenizer (or its BOS) is not this model's"
        )
    units = []
    for text, tokens in zip(texts, ids, strict=True):
        sequences = tuple(model.encoder.sequences(tokens))
        units.append(_Unit(key=_row_key(text, sequences), sequences=sequences))
    return _Pass(model=model, view=view, token_ids=ids, units=units)


def _row_key(text: str, sequences: Sequence[TokenSequence]) -> str:
    """Key of a stored row: the text and exactly what the model is given of it."""
    digest = hashlib.sha256(text.encode())
    for sequence in sequences:
        digest.update(np.array([len(sequence.ids), sequence.first_scored, *sequence.ids], dtype="<i8").tobytes())
    return digest.hexdigest()


def _aligned(passes: Sequence[_Pass]) -> bool:
    """Whether all models read every text as the same pieces, token for token."""
    target, *others = [one for one in passes if one.view == "text"]
    used = sorted({token for ids in target.token_ids for token in ids})
    pieces = target.model.files.tokenizer.convert_ids_to_tokens(used)
    return all(
        other.token_ids == target.token_ids
        and len(other.model.encoder.prefix.ids) == len(target.model.encoder.prefix.ids)
        and other.model.files.tokenizer.convert_ids_to_tokens(used) == pieces
        for other in others
    )


def _refuse_unscored_first_tokens(passes: Sequence[_Pass], aligned: bool) -> None:
    """Without a prefix the first token is not scored: then two tokenizers would score different characters."""
    if not aligned and not all(one.model.encoder.prefix.ids for one in passes):
        raise ConfigError(
            "target and reference read the texts as different tokens, and without a prefix token each would "
            "leave a different first token unscored: choose a --prefix-token that both tokenizers have"
        )


def _missing(one: _Pass, scores_folder: Path) -> list[_Unit]:
    """List the distinct texts of a pass that have no stored score, longest first."""
    stored = ScoreStore(scores_folder, one.model.key).read()
    units = {
        unit.key: unit for unit in one.units if unit.key not in stored or len(stored[unit.key].logprob) != unit.n_scored
    }
    return sorted(units.values(), key=lambda unit: (-unit.longest, unit.key))


def _run(
    model: OpenedModel,
    todo: Sequence[tuple[_Pass, list[_Unit]]],
    config: AuditConfig,
    scores_folder: Path,
    progress: "_Counter",
) -> tuple[str, str]:
    """Load one model and score what its passes miss, writing every batch as it is done.

    Returns how the logits were made, and a note on weights that were not used.
    """
    from .forward import Scorer
    from .store import concatenate

    progress.add(0, f"loading the {model.role}")
    weights, note = load_weights(
        model.files, dtype=model.key.dtype, device=model.device, trust_remote_code=config.trust_remote_code
    )
    scorer = Scorer(weights, name=str(model.files.spec))
    scorer.check(_check_sequences(todo[0][1][0].sequences[0], model))
    budget = config.batch_tokens or _BATCH_TOKENS.get(model.device.partition(":")[0], 2048)
    with ScoreStore(scores_folder, model.key) as store:
        for one, units in todo:
            progress.add(0, f"scoring the {model.role}, {one.view}")
            for batch in _batches(units, budget, model.files.rope_boundary):
                sequences = [sequence for unit in batch for sequence in unit.sequences]
                scores = []
                rows = max(1, budget // batch[0].longest)
                if model.files.rope_boundary is not None and len(sequences) > len(batch):
                    rows = 1  # windows of one text differ in length
                for start in range(0, len(sequences), rows):
                    scores += scorer.score(sequences[start : start + rows])
                parts = iter(scores)
                store.append({u.key: concatenate([next(parts) for _ in u.sequences]) for u in batch})
                progress.add(sum(unit.n_scored for unit in batch), f"scoring the {model.role}, {one.view}")
    return scorer.path, note


def _check_sequences(some: TokenSequence, model: OpenedModel) -> list[TokenSequence]:
    """Make a long and a short sequence of a text's own tokens, so that checking pads whatever the texts are."""
    longest = min(33, (model.encoder.window or 33) + len(model.encoder.prefix.ids))
    ids = (some.ids * 33)[:longest]
    return [
        TokenSequence(ids, some.first_scored),
        TokenSequence(ids[: max(some.first_scored + 1, 7)], some.first_scored),
    ]


def _batches(units: Sequence[_Unit], budget: int, rope_boundary: int | None = None) -> Iterator[list[_Unit]]:
    """Group units, longest first, so that padded tokens stay within the budget and padding stays small.

    A model that changes its rotary factors beyond a length does so for a whole batch: texts on either side of
    that length are never in one batch.
    """
    boundary = rope_boundary or 0
    batch: list[_Unit] = []
    rows = 0
    for unit in units:
        rows += len(unit.sequences)
        crosses = bool(batch) and batch[0].longest > boundary >= unit.longest
        full = bool(batch) and rows * batch[0].longest > budget
        if crosses or full or (batch and unit.longest < _LEAST_FILL * batch[0].longest):
            yield batch
            batch, rows = [], len(unit.sequences)
        batch.append(unit)
    if batch:
        yield batch


def _read(one: _Pass, scores_folder: Path) -> TokenScores:
    """Put the stored scores of a pass in the order of the texts."""
    stored = ScoreStore(scores_folder, one.model.key).read()
    rows = [stored[unit.key] for unit in one.units]

    def flat(name: str) -> Any:
        return np.concatenate([getattr(row, name) for row in rows])

    return TokenScores(
        offsets=np.cumsum([0, *(len(row.logprob) for row in rows)]),
        logprob=flat("logprob"),
        logprob_mean=flat("logprob_mean"),
        logprob_variance=flat("logprob_variance"),
        rank=flat("rank"),
    )


def _notes(one: _Pass) -> list[str]:
    """Say what a reader of the numbers should know about how this model reads the texts."""
    special = one.model.encoder.special_ids
    n = sum(not special.isdisjoint(ids) for ids in one.token_ids)
    if not n:
        return []
    return [
        f"{n} of {len(one.token_ids)} texts contain special tokens of the {one.model.role}'s tokenizer (control "
        "marks written in the text, or pieces unknown to it); they are scored as the tokenizer reads them"
    ]


class _Counter:
    """Adds up scored tokens and tells whoever watches."""

    def __init__(self, total: int, on_progress: Callable[[ScoringProgress], None] | None) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def add(self, n_tokens: int, label: str) -> None:
        self._done += n_tokens
        if self._on_progress is not None:
            self._on_progress(ScoringProgress(label, self._done, self._total))
