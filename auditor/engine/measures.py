"""Measures that an attack needs of the target besides token scores: taken once a text, and kept for the next run.

A file a kind of measure beside the score store: JSON lines, a line a text, appended and made durable every few texts.
A line holds the key of the text's row in the target's first pass, the numbers, and a checksum of both; a torn or
damaged line costs the text it stands for, and nothing else. Only numbers are written, never text. The file is for its
owner only: it says of whole texts how the model knows them.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.base import Continuations, Need

from ..config import AuditConfig
from ..errors import ModelError
from .continuations import N_CONTINUATIONS, SAMPLING, Writer, halves
from .divergence import divergence
from .forward import OutOfMemory, is_out_of_memory, why_not_finite
from .gradients import ORDERS, check_differentiable, choose_parameters, gradient_norms
from .loading.configs import first_line
from .loading.models import choose_device, input_device, load_weights
from .models import OpenedModel
from .plan import Pass, Plan
from .row_file import RowFile
from .scoring import Progress, ScoringProgress
from .store import PassKey

__all__ = ["MEASURES_VERSION", "MeasureStore", "Measures", "check_measurable", "load_opened", "measure_missing"]

MEASURES_VERSION = 1
"""Raised whenever a measure gives other numbers; older ones are then not used."""

_SECONDS_BETWEEN_WRITES = 2.0
"""A killed run loses as much as this, and the text in flight."""

Measure = Callable[[str, int], list[float]]
"""Numbers of one text, given with its place."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The measures of all samples; what was not asked for is None.

    Parameters
    ----------
    notes : tuple of str
        What a reader of the numbers should know.
    n_measured, n_reused : int
        Distinct texts over all kinds of measures: measured now, and found in the store.
    norms : ndarray of float64, shape (n_samples, 3), optional
        In the order of :data:`auditor.engine.gradients.ORDERS`.
    written : ndarray of float64, shape (n_samples, 2 * n_continuations), optional
        Recall of each continuation, then zlib bytes of each.
    diverged : ndarray of float64, shape (n_samples, 1), optional
        Divergence from the references, nats.
    """

    notes: tuple[str, ...] = ()
    n_measured: int = 0
    n_reused: int = 0
    norms: Values | None = None
    written: Values | None = None
    diverged: Values | None = None

    def gradient_norms(self, places: slice) -> dict[str, Values] | None:
        """Return what :class:`attacks.base.Signals` calls ``gradient_norms``, of some samples."""
        return None if self.norms is None else dict(zip(ORDERS, self.norms[places].T.copy(), strict=True))

    def continuations(self, places: slice) -> Continuations | None:
        """Return what :class:`attacks.base.Signals` calls ``continuations``, of some samples."""
        if self.written is None:
            return None
        recall, n_bytes = np.split(self.written[places], 2, axis=1)
        return Continuations(recall=recall, zlib_bytes=n_bytes.astype(np.int64))

    def divergence(self, places: slice) -> Values | None:
        """Return what :class:`attacks.base.Signals` calls ``divergence``, of some samples."""
        return None if self.diverged is None else self.diverged[places, 0].copy()


class MeasureStore:
    """The stored numbers of one kind of measure of one model.

    Parameters
    ----------
    root : Path
        The ``scores`` folder of an audit.
    kind : str
        First part of the file's name.
    key : PassKey
    parameters : mapping of str to object
        What the numbers depend on besides model, text and version; JSON values.
    n_values : int
        Numbers of a text.
    """

    def __init__(self, root: Path, kind: str, key: PassKey, parameters: Mapping[str, object], n_values: int) -> None:
        stated = json.dumps([asdict(key), kind, parameters, MEASURES_VERSION], sort_keys=True)
        self.path = root / f"{kind}-{hashlib.sha256(stated.encode()).hexdigest()[:20]}.jsonl"
        self._file = RowFile(self.path, "the measures")
        self._n_values = n_values

    def rows(self) -> Iterator[tuple[bytes, list[float]]]:
        """Yield the numbers of every stored text by its key; a text may come twice.

        Raises
        ------
        ResultError
            If there is a file and it cannot be read.
        """
        for line in self._file.lines():
            if (row := _read_line(line)) and len(row[1]) == self._n_values:
                yield row

    def append(self, rows: Mapping[bytes, Sequence[float]]) -> None:
        """Write the numbers of some texts durably, each under its key.

        Raises
        ------
        ResultError
            If they cannot be written.
        """
        self._file.append(_line(key, values) for key, values in rows.items())


def check_measurable(model: OpenedModel, needs: frozenset[Need]) -> None:
    """Refuse, before anything is scored, a target that cannot be measured as the attacks need.

    Raises
    ------
    ModelError
        For gradients of quantised weights.
    """
    if Need.GRADIENTS in needs:
        check_differentiable(model.files)


def measure_missing(
    plan: Plan,
    config: AuditConfig,
    needs: frozenset[Need],
    *,
    scores_folder: Path,
    seen: NDArray[np.bool_] | None = None,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> Measures:
    """Measure of the target what the attacks need and the store does not have.

    Equal texts are measured once, longest first; the target is loaded only if something is missing. This is done in
    the process that calls it: of several processes, and with engine ray, only the first one is to do so.

    Parameters
    ----------
    needs : frozenset of Need
        Without ``GRADIENTS``, ``CONTINUATIONS`` and ``DIVERGENCE`` nothing is done. The divergence is only defined
        where all models read the texts as the same tokens, and is left out elsewhere.
    seen : ndarray of bool, shape (n_references, n_samples), or None
        Which reference trained on which text.
    on_progress : callable, optional
        Called after every text; a text counts with its scored tokens, once for each kind of measure.

    Raises
    ------
    ModelError
        If the target has no gradient or not a finite one, or does not fit in memory; what was measured is kept.
    ResultError
        If the store cannot be read or written.
    """
    one = plan.passes[0]
    check_measurable(one.model, needs)
    if not plan.aligned:
        needs -= {Need.DIVERGENCE}
    kinds = (*_kinds(one.model), _divergence_kind(plan, config, seen))
    todo = {kind.need: _Todo(kind, one, scores_folder) for kind in kinds if kind.need in needs}
    n_missing = sum(len(part.places) for part in todo.values())
    notes = _notes(plan, one.model, needs)
    if n_missing:
        progress = Progress(sum(one.n_tokens(part.places) for part in todo.values()), on_progress)
        progress.add(0, "loading the target")
        weights, unused = load_opened(one.model, config)
        notes += [unused] if unused else []
        for part in todo.values():
            if len(part.places):
                part.run(weights, plan.texts, progress)
    return Measures(
        notes=tuple(notes),
        n_measured=n_missing,
        n_reused=sum(len(part.distinct) for part in todo.values()) - n_missing,
        norms=todo[Need.GRADIENTS].by_sample() if Need.GRADIENTS in todo else None,
        written=todo[Need.CONTINUATIONS].by_sample() if Need.CONTINUATIONS in todo else None,
        diverged=todo[Need.DIVERGENCE].by_sample() if Need.DIVERGENCE in todo else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of measure: what its numbers depend on, how many there are, how a loaded model is made to give them."""

    need: Need
    doing: str
    parameters: Mapping[str, object]
    n_values: int
    prepare: Callable[[Any, OpenedModel], Measure]


def _kinds(model: OpenedModel) -> tuple[_Kind, ...]:
    """List the kinds of measures there are."""
    return (
        _Kind(
            need=Need.GRADIENTS,
            doing="computing gradients",
            parameters={"orders": ORDERS},
            n_values=len(ORDERS),
            prepare=_gradients,
        ),
        _Kind(
            need=Need.CONTINUATIONS,
            doing="generating continuations",
            parameters={**SAMPLING, "window": model.encoder.window},
            n_values=2 * N_CONTINUATIONS,
            prepare=_continuations,
        ),
    )


def _divergence_kind(plan: Plan, config: AuditConfig, seen: NDArray[np.bool_] | None) -> _Kind:
    """Say how the target's divergence from its references is measured: all of them are loaded beside it."""
    passes = plan.passes[plan.n_views :]
    models = [one.model for one in passes]

    def prepare(weights: Any, opened: OpenedModel) -> Measure:
        loaded = [None if model.is_base_of(opened) else load_opened(model, config)[0] for model in models]
        everyone = np.ones(len(models), dtype=np.bool_)

        def measure(text: str, place: int) -> list[float]:
            ours, *theirs = [model.encoder.sequences(model.encoder.encode([text])[0]) for model in (opened, *models)]
            counted = everyone if seen is None else ~seen[:, place]
            return [divergence(weights, loaded, ours, theirs, counted)]

        return measure

    saw = None if seen is None else hashlib.sha256(np.packbits(seen).tobytes()).hexdigest()
    return _Kind(
        need=Need.DIVERGENCE,
        doing="comparing the target's expectations with the references'",
        parameters={"references": [asdict(model.key) for model in models], "seen": saw},
        n_values=1,
        prepare=prepare,
    )


def _continuations(weights: Any, model: OpenedModel) -> Measure:
    """Make the measure of continuations."""
    writer = Writer(weights, model)
    return lambda text, _place: writer.compare(text)


def _gradients(weights: Any, model: OpenedModel) -> Measure:
    """Make the measure of gradient norms."""
    parameters, encoder = choose_parameters(weights, model.files), model.encoder
    return lambda text, _place: gradient_norms(weights, parameters, encoder.sequences(*encoder.read([text])[0]))


class _Todo:
    """What one kind of measure has of all distinct texts, and what is still missing (NaN), longest first."""

    def __init__(self, kind: _Kind, one: Pass, scores_folder: Path) -> None:
        self._kind, self._one = kind, one
        self._store = MeasureStore(scores_folder, str(kind.need), one.model.key, kind.parameters, kind.n_values)
        self.distinct, self._row_of = np.unique(one.keys, return_inverse=True)  # (n_distinct,), (n_samples,)
        self._values = np.full((len(self.distinct), kind.n_values), np.nan)
        rows = {key: row for row, key in enumerate(self.distinct.tolist())}
        for key, values in self._store.rows():
            if key in rows:
                self._values[rows[key]] = values
        places = one.distinct()
        self.places = places[np.isnan(self._values[self._row_of[places], 0])]

    def by_sample(self) -> Values:
        """Return the numbers of every sample, shape (n_samples, n_values)."""
        return np.asarray(self._values[self._row_of])

    def run(self, weights: Any, texts: Sequence[str], progress: Progress) -> None:
        """Measure what is missing; what was measured is stored even if a text fails."""
        self._device: torch.device = input_device(weights)
        measure = self._kind.prepare(weights, self._one.model)
        fresh: dict[bytes, list[float]] = {}
        written = monotonic()
        try:
            for place in self.places.tolist():
                fresh[self._one.keys[place]] = values = self._measured(measure, texts[place], place)
                self._values[self._row_of[place]] = values
                progress.add(int(self._one.n_scored[place]), self._kind.doing)
                if monotonic() - written >= _SECONDS_BETWEEN_WRITES:
                    due, fresh = fresh, {}
                    self._store.append(due)
                    written = monotonic()
        finally:
            if fresh:
                self._store.append(fresh)

    def _measured(self, measure: Measure, text: str, place: int) -> list[float]:
        """Measure one text, and refuse what is no number."""
        with self._failures(place):
            values = measure(text, place)
        if not np.isfinite(values).all():
            n_samples = int((self._one.keys == self._one.keys[place]).sum())
            raise ModelError(
                f"{self._one.model.files.spec}: {self._kind.doing} gave a number that is not finite, for the text of "
                f"{n_samples} of {len(self._one.keys)} samples{why_not_finite(self._one.model.key.dtype)}"
            )
        return values

    @contextmanager
    def _failures(self, place: int) -> Iterator[None]:
        """Say at what size of text the model failed, and what may help."""
        try:
            yield
        except (RuntimeError, IndexError, ValueError, AssertionError, MemoryError) as error:
            of_memory = is_out_of_memory(error, self._device)
            raise (OutOfMemory if of_memory else ModelError)(
                f"{self._one.model.files.spec}: {self._kind.doing} failed on a text of up to "
                f"{self._one.longest[place]} tokens at once: {first_line(error)}; if it is out of memory lower "
                f"--max-tokens or leave out the attacks that need {self._kind.need}"
            ) from error


def load_opened(model: OpenedModel, config: AuditConfig) -> tuple[Any, str]:
    """Load a model in this process; a cluster's device need not exist here."""
    return load_weights(
        model.files,
        dtype=model.key.dtype,
        device=choose_device(config.device) if config.engine == "ray" else model.device,
        device_map=config.device_map,
        trust_remote_code=config.trust_remote_code,
    )


def _notes(plan: Plan, model: OpenedModel, needs: frozenset[Need]) -> list[str]:
    """Say what the numbers are made of where one might expect something else."""
    notes = []
    if Need.GRADIENTS in needs and model.files.spec.adapter is not None:
        notes.append("gradient norms are those of the adapter's tensors alone, which is what was trained")
    if Need.GRADIENTS in needs and model.key.dtype == "float16":
        notes.append(
            "small gradients vanish in float16: gradient norms are more exact with --dtype bfloat16 or float32"
        )
    if Need.CONTINUATIONS in needs and (n_short := sum(not halves(text)[1] for text in plan.scored_words)):
        notes.append(f"{n_short} of {len(plan.texts)} texts have fewer than two words, so no second half: recall 0")
    return notes


def _line(key: bytes, values: Sequence[float]) -> bytes:
    """Write the numbers of one text."""
    body = json.dumps({"key": key.decode(), "values": list(values)}, allow_nan=False)
    return f'{body[:-1]}, "crc32": {zlib.crc32(body.encode())}}}\n'.encode()


def _read_line(line: bytes) -> tuple[bytes, list[float]] | None:
    """Read a line back; None if it is not to the byte what was written."""
    try:
        row = json.loads(line)
        key, values = row["key"].encode(), [float(value) for value in row["values"]]
        return (key, values) if _line(key, values) == line else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
