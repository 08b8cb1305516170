"""Token statistics of token sequences: batches laid out in rows, run once, and checked against each text alone."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from .kernels import PLAIN, Kernel, TokenStatistics, token_statistics
from .loading.models import input_device
from .packing import Packing, packing_of
from .tapped_head import TappedHead
from .tokens import TokenSequence
from .transfer import Arriving, sent
from .trial import Trial

__all__ = [
    "COUNTS",
    "STATISTICS",
    "OutOfMemory",
    "Running",
    "Scorer",
    "SequenceScores",
    "is_out_of_memory",
    "why_not_finite",
]

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""What the message of a failed allocation on a CPU says: torch has no type of error for it."""

_CHECK_TOLERANCE_NATS = {torch.float32: 1e-3, torch.float64: 1e-3}
_CHECK_TOLERANCE_HALF_NATS = 0.5
_ROUNDED_FAR = 0.05
"""Share of a sequence's tokens that may lie beyond the tolerance if activations are rounded: some always do."""

_WHOLE_LOGITS = 2**24
"""Logits of one sequence that a trial makes at once."""

_BEFORE_THE_FUTURE = 32
"""Tokens whose predictions are compared, the last ones before the other future."""


@dataclass(frozen=True, slots=True)
class SequenceScores:
    """Statistics of one sequence, shape (n_scored,) each, on the host; see :class:`attacks.base.TokenScores`."""

    logprob: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_mean: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_variance: np.ndarray[tuple[int], np.dtype[np.float32]]
    rank: np.ndarray[tuple[int], np.dtype[np.int32]]
    logprob_max: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_top40: np.ndarray[tuple[int], np.dtype[np.float32]]
    tied: np.ndarray[tuple[int], np.dtype[np.int32]]


STATISTICS = tuple(field.name for field in fields(SequenceScores))
"""Names of the statistics of a token, in the order in which they are kept."""

COUNTS = ("rank", "tied")
"""Those that count vocabulary entries; the others are float32, nats."""


class OutOfMemory(ModelError):
    """A batch did not fit; a smaller one may."""


def is_out_of_memory(error: BaseException, device: torch.device) -> bool:
    """Whether memory ran out: by the type of the error, and on a CPU also by the words of its message."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return device.type == "cpu" and any(words in str(error).lower() for words in _MEMORY_WORDS)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A batch as the model is given it: ids, which places predict a scored token, and with which attention.

    Places are numbers and no mask: how many are picked by a mask is known to the device alone, for which the host would
    have to wait.
    """

    ids: Tensor  # (n_rows, n_columns)
    predicting: Tensor  # int64, (n_scored,): places among the ids, row after row
    true_ids: Tensor  # int64, (n_scored,)
    arguments: dict[str, Any]
    attention: Callable[[], AbstractContextManager[None]] = nullcontext


class Running:
    """A batch that was given to a device, which may still be at work on it.

    Parameters
    ----------
    arriving : Arriving
        A column a statistic, sequence after sequence.
    finish : function
        Makes the scores of the columns, or says what is wrong with them.
    failures : function
        Opens a context that says which batch a device could not run: a GPU may tell so late.
    """

    def __init__(
        self,
        arriving: Arriving,
        finish: Callable[[list[np.ndarray[Any, Any]]], list[SequenceScores]],
        failures: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._arriving, self._finish, self._failures = arriving, finish, failures

    def scores(self) -> list[SequenceScores]:
        """Wait for the scores, a sequence each.

        Raises
        ------
        ModelError
            If a logit is NaN or a true token has probability zero.
        """
        with self._failures():
            columns = self._arriving.arrays()
        return self._finish(columns)


class Scorer:
    """Scores batches of token sequences with one model, without ever holding the logits of a batch.

    Ids that all sequences share at their start (few-shot prefixes) are run once, if :meth:`check` finds that batches
    which go on from their keys and values come out right.

    Where the architecture allows it, sequences are packed end to end (:mod:`auditor.engine.packing`). Elsewhere
    they are padded on the right and no attention mask is given: under causal attention (and in state-space models)
    nothing on the right can reach a real token. :meth:`check` tries all of it on the user's own texts before anything
    is scored; a model whose batches come out otherwise than its texts alone is run on one text at a time.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode, on its device or devices.
    name : str
        For error messages.
    kernel : Kernel
        Makes the statistics of a chunk of logits.
    why : str
        Why this kernel, for the provenance.
    pack : bool
        Whether to try packing.
    exact : bool
        Whether batches may differ from single sequences by no more than float32 rounding; False for models that
        round their activations.
    one_by_one : str
        Why the model must not be given batches, if it is known to mix the texts of one.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        kernel: Kernel = PLAIN,
        why: str = "",
        pack: bool = True,
        exact: bool = True,
        one_by_one: str = "",
    ) -> None:
        self.name = name
        self._why = f"; {why}" * bool(why)
        self._one_by_one = one_by_one
        self._model = model
        self._device: torch.device = input_device(model)
        rounding = _CHECK_TOLERANCE_NATS.get(model.dtype, _CHECK_TOLERANCE_HALF_NATS)
        self._tolerance_nats = rounding if exact else _CHECK_TOLERANCE_HALF_NATS
        self._share_within = 1.0 if self._tolerance_nats < _CHECK_TOLERANCE_HALF_NATS else 1 - _ROUNDED_FAR
        self._packing: Packing | None = None
        self._shares = False
        self._shared: tuple[tuple[int, ...], Any] | None = None
        with torch.inference_mode():
            self._head = TappedHead(model, name=name, kernel=kernel)
            if self._head.separable and pack and not one_by_one:
                self._try_packing()

    @property
    def path(self) -> str:
        """How logits and statistics are made, for the provenance."""
        if not self._head.separable:
            return f"whole logits of one sequence at a time (the head cannot be separated){self._why}"
        after = "" if self._head.last else ", passed through the model's own changes after the head"
        batches = "packed batches" if self.packs else "right-padded batches"
        if self.one_by_one:
            batches = f"one text at a time, as {self._one_by_one}"
        return f"{batches}, head applied in chunks{after}{self._why}"

    @property
    def packs(self) -> bool:
        """Whether a batch costs its tokens, and not its longest sequence times all."""
        return self._packing is not None

    @property
    def one_by_one(self) -> bool:
        """Whether each sequence must be given to the model alone."""
        return bool(self._one_by_one)

    @property
    def runs_ahead(self) -> bool:
        """Whether the device works on one batch while the host sees to others."""
        return self._device.type == "cuda"

    def score(self, batch: Sequence[TokenSequence]) -> list[SequenceScores]:
        """Score one batch of sequences; the order is kept.

        Raises
        ------
        OutOfMemory
            If the batch does not fit.
        ModelError
            If a logit is NaN or a true token has probability zero.
        """
        return self.start(batch).scores()

    def start(self, batch: Sequence[TokenSequence]) -> Running:
        """Give the device one batch of sequences; a GPU goes to work on it while the host goes on.

        Raises
        ------
        OutOfMemory
            If the batch does not fit.
        """
        return self._started(batch, self._tapped_parts if self._head.separable else self._whole_parts)

    def check(self, trial: Trial) -> None:
        """Try the model on sequences of the user's texts, in a batch and each alone, and with another future.

        Alone means: from the plain logits that the model returns for it and nothing else (for a sequence whose logits
        are more than 2^24 numbers, with the head applied in chunks). Sharing and packing that come out otherwise are
        given up; where plain padded batches do, too, the model is run on one text at a time from now on. Five forward
        passes, and one for each way that is given up.

        Raises
        ------
        ModelError
            If what comes later in a text changes the predictions before it: the model is not causal.
        OutOfMemory
            If the trial does not fit; a shorter one may.
        """
        alone = [self._alone(one) for one in trial.batch]
        self._refuse_reading_ahead(trial, alone[0])
        self._shares = self._head.separable and trial.other.n_shared > 0 and not self.one_by_one
        if self.one_by_one or not self._head.separable:
            return
        if self._shares and not self._agrees(trial.batch, alone):
            self._shares = False
        if self.packs and not self._agrees(trial.batch, alone):
            self._packing = None
        if not self._agrees(trial.batch, alone):
            self._one_by_one = "those of a batch come out otherwise than alone"

    def _refuse_reading_ahead(self, trial: Trial, found: SequenceScores) -> None:
        """Compare the last predictions before a future with those before another one."""
        other = self._alone(trial.other, defined=False)
        seen = slice(
            max(0, trial.n_start - trial.other.first_scored + 1 - _BEFORE_THE_FUTURE),
            trial.n_start - trial.other.first_scored + 1,
        )
        worst = max(
            float(np.abs(getattr(found, name)[seen] - getattr(other, name)[seen]).max())
            for name in ("logprob_max", "logprob_mean")
        )  # statistics of a whole prediction: the true token after the start is another one
        if not worst <= self._tolerance_nats:
            raise ModelError(
                f"{self.name}: the model is not causal: other tokens later in a text change the log-probabilities "
                f"before them by {worst:.2g} nats; only models that read from left to right can be audited"
            )

    def _agrees(self, sequences: Sequence[TokenSequence], alone: Sequence[SequenceScores] | None) -> bool:
        """Whether a batch, run as the model is set to run, gives what each sequence gives alone (by default found)."""
        try:
            batched = self.score(sequences)
            alone = alone or [self._alone(one) for one in sequences]
        except OutOfMemory:
            raise
        except (ModelError, NotImplementedError, RuntimeError, IndexError, TypeError, ValueError, AttributeError):
            return False
        differences = [np.abs(ours.logprob - plain.logprob) for ours, plain in zip(batched, alone, strict=True)]
        far = max(float(np.quantile(one, self._share_within, method="higher")) for one in differences)
        return far <= self._tolerance_nats

    def _alone(self, sequence: TokenSequence, *, defined: bool = True) -> SequenceScores:
        """Score one sequence with the model's own forward of it and of nothing else."""
        n_logits = len(sequence.ids) * int(self._model.config.get_text_config().vocab_size)
        whole = not self._head.separable or n_logits <= _WHOLE_LOGITS
        parts = self._whole_parts if whole else lambda batch: self._described(self._padded(batch))
        return self._scores([sequence], parts, defined=defined)[0]

    def _scores(
        self,
        batch: Sequence[TokenSequence],
        parts_of: Callable[[Sequence[TokenSequence]], Iterable[TokenStatistics]],
        *,
        defined: bool = True,
    ) -> list[SequenceScores]:
        return self._started(batch, parts_of, defined=defined).scores()

    def _started(
        self,
        batch: Sequence[TokenSequence],
        parts_of: Callable[[Sequence[TokenSequence]], Iterable[TokenStatistics]],
        *,
        defined: bool = True,
    ) -> Running:
        """Start a batch, and the way of its statistics to the host."""
        with torch.inference_mode(), self._failures(batch):
            parts = list(parts_of(batch))
            arriving = Arriving([torch.cat([getattr(part, name) for part in parts]) for name in STATISTICS])
        ends = accumulate((sequence.n_scored for sequence in batch), initial=0)
        places = [slice(*pair) for pair in pairwise(ends)]
        return Running(arriving, partial(self._split, places, defined=defined), partial(self._failures, batch))

    def _split(
        self, places: Sequence[slice], columns: list[np.ndarray[Any, Any]], *, defined: bool
    ) -> list[SequenceScores]:
        """Cut columns of statistics into sequences."""
        if defined:
            self._refuse_undefined(columns[0])
        columns = [
            column.astype(np.int32) if name in COUNTS else column
            for name, column in zip(STATISTICS, columns, strict=True)
        ]
        return [SequenceScores(*(column[here] for column in columns)) for here in places]

    def _try_packing(self) -> None:
        """Pack from now on, if the model allows it and a packed batch says what each sequence alone says."""
        self._packing = packing_of(self._model, self._device)
        if self._packing is None:
            return
        n_vocabulary: int = self._model.config.get_text_config().vocab_size
        sequences = [TokenSequence(tuple(7 * (i + n) % n_vocabulary for i in range(n)), 1) for n in (11, 5, 7)]
        layout = self._packed(sequences)
        if self._agrees(sequences, None):
            self._hidden_states(layout)
            if self._packing.sees_windows(layout.arguments.get("auditor_segments")):
                return
        self._packing = None

    @contextmanager
    def _failures(self, batch: Sequence[TokenSequence]) -> Iterator[None]:
        """Say which batch a model could not run, and what may help."""
        try:
            yield
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError, MemoryError) as error:
            longest = max(len(sequence.ids) for sequence in batch)
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            kind = OutOfMemory if is_out_of_memory(error, self._device) else ModelError
            raise kind(
                f"{self.name}: the forward pass failed on {len(batch)} texts of up to {longest} tokens: {reason}; "
                "if it is out of memory lower --batch-tokens, if a text is too long for the model give --max-tokens"
            ) from error

    def _tapped_parts(self, batch: Sequence[TokenSequence]) -> Iterable[TokenStatistics]:
        """Return the statistics of the scored positions, chunk by chunk, in the order of the batch."""
        if self._shares and batch[0].n_shared:
            layout = self._after_shared(batch)
        else:
            layout = self._packed(batch) if self.packs else self._padded(batch)
        return self._described(layout)

    def _described(self, layout: _Layout) -> Iterable[TokenStatistics]:
        """Return the statistics of the scored positions of a layout."""
        hidden = self._hidden_states(layout).flatten(0, 1)
        hidden = hidden[layout.predicting.to(hidden.device)]  # (n_scored, n_features)
        return self._head.statistics(hidden, layout.true_ids)

    def _hidden_states(self, layout: _Layout) -> Tensor:
        """Return what the head would have seen of a layout, shape (n_rows, n_columns, n_features)."""
        with layout.attention():
            return self._head.hidden_states(layout.ids, **layout.arguments)

    def _padded(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay a sequence in each row, with padding on its right."""
        longest = max(len(sequence.ids) for sequence in batch)
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence.ids)] = sequence.ids
        return self._laid_out(ids, batch, longest * np.arange(len(batch)))

    def _laid_out(
        self, ids: np.ndarray[Any, Any], batch: Sequence[TokenSequence], starts: np.ndarray[Any, Any]
    ) -> _Layout:
        """Send ids, shape (n_rows, n_columns), among which each sequence has its start, shape (n_sequences,)."""
        columns = np.arange(max(len(one.ids) for one in batch))
        predicting = np.concatenate(
            [start + columns[one.predicting] for start, one in zip(starts, batch, strict=True)]
        )  # (n_scored,)
        true_ids = ids.ravel()[predicting + 1]
        return _Layout(self._sent(ids), self._sent(predicting), self._sent(true_ids), {})

    def _sent(self, numbers: np.ndarray[Any, Any]) -> Tensor:
        return sent(torch.from_numpy(numbers), self._device)

    def _after_shared(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay in each row what follows the shared ids, whose keys and values are there already."""
        n_shared = batch[0].n_shared
        shared = batch[0].ids[:n_shared]
        if self._shared is None or self._shared[0] != shared:
            self._shared = (shared, self._read(shared))
        cache = copy.deepcopy(self._shared[1])
        cache.batch_repeat_interleave(len(batch))
        rest = self._padded([one.after(n_shared) for one in batch])
        return replace(rest, arguments={"past_key_values": cache, "use_cache": True})

    def _read(self, ids: tuple[int, ...]) -> Any:
        """Run the model over ids and return their keys and values."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config.get_text_config())
        self._head.hidden_states(torch.tensor([ids], device=self._device), past_key_values=cache, use_cache=True)
        return cache

    def _packed(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay all sequences end to end in one row."""
        assert self._packing is not None
        lengths = [len(one.ids) for one in batch]
        ids = np.concatenate([np.array(one.ids, dtype=np.int64) for one in batch])[None]  # (1, n_columns)
        layout = self._laid_out(ids, batch, np.cumsum([0, *lengths[:-1]]))
        arguments = self._packing.arguments(lengths, self._device)
        return replace(layout, arguments=arguments, attention=self._packing.exchanged)

    def _whole_parts(self, batch: Sequence[TokenSequence]) -> Iterator[TokenStatistics]:
        """Score each sequence alone, from the logits that the model returns."""
        return map(self._whole, batch)

    def _whole(self, sequence: TokenSequence) -> TokenStatistics:
        ids = torch.tensor(sequence.ids, device=self._device)  # (n_tokens,)
        logits = self._model(input_ids=ids[None], use_cache=False).logits[0, sequence.predicting]
        return token_statistics(logits.clone(), ids[sequence.scored].to(logits.device))

    def _refuse_undefined(self, logprob: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        """Stop rather than report a number made of NaN or of an impossible token."""
        if np.isnan(logprob).any():
            why = why_not_finite(str(self._model.dtype))
            raise ModelError(f"{self.name}: {int(np.isnan(logprob).sum())} tokens have NaN logits{why}")
        if (logprob < -9000).any():
            raise ModelError(f"{self.name}: the model gives a token of the texts probability zero")


def why_not_finite(dtype: str) -> str:
    """Say what makes numbers that are not finite in a precision, and what to do, as the end of a message."""
    if dtype.endswith("float16") and not dtype.endswith("bfloat16"):
        return " (float16 overflows in many models); use --dtype bfloat16 or float32"
    return f", in {dtype.removeprefix('torch.')}: its weights hold NaN or overflow; check how the checkpoint was saved"
