"""Token statistics of token sequences: batches laid out in rows, run once, and checked against each text alone."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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

__all__ = ["OutOfMemory", "Scorer", "SequenceScores", "is_out_of_memory"]

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""What the message of a failed allocation on a CPU says: torch has no type of error for it."""

_CHECK_TOLERANCE_NATS = {torch.float32: 1e-3, torch.float64: 1e-3}
_CHECK_TOLERANCE_HALF_NATS = 0.5


@dataclass(frozen=True, slots=True)
class SequenceScores:
    """Statistics of one sequence, shape (n_scored,) each, on the host; see :class:`attacks.base.TokenScores`."""

    logprob: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_mean: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_variance: np.ndarray[tuple[int], np.dtype[np.float32]]
    rank: np.ndarray[tuple[int], np.dtype[np.int32]]
    logprob_max: np.ndarray[tuple[int], np.dtype[np.float32]]


class OutOfMemory(ModelError):
    """A batch did not fit; a smaller one may."""


def is_out_of_memory(error: BaseException, device: torch.device) -> bool:
    """Whether memory ran out: by the type of the error, and on a CPU also by the words of its message."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return device.type == "cpu" and any(words in str(error).lower() for words in _MEMORY_WORDS)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A batch as the model is given it: ids, which places predict a scored token, and with which attention."""

    ids: Tensor  # (n_rows, n_columns)
    predicting: Tensor  # bool, (n_rows, n_columns)
    arguments: dict[str, Any]
    attention: Callable[[], AbstractContextManager[None]] = nullcontext


class Scorer:
    """Scores batches of token sequences with one model, without ever holding the logits of a batch.

    Ids that all sequences share at their start (few-shot prefixes) are run once, if :meth:`check` finds that batches
    which go on from their keys and values come out right.

    Where the architecture allows it, sequences are packed end to end (:mod:`auditor.engine.packing`). Elsewhere
    they are padded on the right and no attention mask is given: under causal attention (and in state-space models)
    nothing on the right can reach a real token. Both are tried on the model at hand, against the plain logits of
    each sequence alone, before anything is scored; :meth:`check` repeats this on the user's own texts.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode, on its device or devices.
    name : str
        For error messages.
    kernel : Kernel
        Makes the statistics of a chunk of logits.
    pack : bool
        Whether to try packing.
    exact : bool
        Whether batches may differ from single sequences by no more than float32 rounding; False for models that
        round their activations.
    """

    def __init__(self, model: Any, *, name: str, kernel: Kernel = PLAIN, pack: bool = True, exact: bool = True) -> None:
        self.name = name
        self._model = model
        self._device: torch.device = input_device(model)
        rounding = _CHECK_TOLERANCE_NATS.get(model.dtype, _CHECK_TOLERANCE_HALF_NATS)
        self._tolerance_nats = rounding if exact else _CHECK_TOLERANCE_HALF_NATS
        self._packing: Packing | None = None
        self._shares = False
        self._shared: tuple[tuple[int, ...], Any] | None = None
        with torch.inference_mode():
            self._head = TappedHead(model, name=name, kernel=kernel)
            if self._head.separable and pack:
                self._try_packing()

    @property
    def path(self) -> str:
        """How logits are made, for the provenance."""
        if not self._head.separable:
            return "whole logits of one sequence at a time (the head cannot be separated)"
        after = "" if self._head.last else ", passed through the model's own changes after the head"
        batches = "packed batches" if self.packs else "right-padded batches"
        return f"{batches}, head applied in chunks{after}"

    @property
    def packs(self) -> bool:
        """Whether a batch costs its tokens, and not its longest sequence times all."""
        return self._packing is not None

    def score(self, batch: Sequence[TokenSequence]) -> list[SequenceScores]:
        """Score one batch of sequences; the order is kept.

        Raises
        ------
        OutOfMemory
            If the batch does not fit.
        ModelError
            If a logit is NaN or a true token has probability zero.
        """
        with torch.inference_mode(), self._failures(batch):
            parts = list(self._tapped_parts(batch) if self._head.separable else map(self._whole, batch))
            columns = [
                torch.cat([getattr(part, name) for part in parts]).cpu().numpy()
                for name in ("logprob", "logprob_mean", "logprob_variance", "rank", "logprob_max")
            ]
        self._refuse_undefined(columns[0])
        bounds = np.cumsum([sequence.n_scored for sequence in batch])[:-1]
        columns[3] = columns[3].astype(np.int32)
        per_sequence = zip(*(np.split(column, bounds) for column in columns), strict=True)
        return [SequenceScores(*values) for values in per_sequence]

    def check(self, sequences: Sequence[TokenSequence]) -> None:
        """Compare a batch with the plain logits of each sequence alone; packing or sharing that differs is given up.

        Raises
        ------
        ModelError
            If padded batches differ beyond rounding: the model is not causal, or reads its padding.
        """
        self._shares = self._head.separable and sequences[0].n_shared > 0
        if self._shares and not self._agrees(sequences):
            self._shares = False
        if self.packs and not self._agrees(sequences):
            self._packing = None
        worst = self._worst_difference(sequences)
        if not worst <= self._tolerance_nats:
            raise ModelError(
                f"{self.name}: token log-probabilities in a padded batch and alone differ by {worst:.2g} nats; "
                "the model is not causal (an encoder?) or cannot be scored in batches"
            )

    def _agrees(self, sequences: Sequence[TokenSequence]) -> bool:
        """Whether the model can be run as it is set to run, with the right result."""
        try:
            return self._worst_difference(sequences) <= self._tolerance_nats
        except (ModelError, NotImplementedError, RuntimeError, IndexError, TypeError, ValueError, AttributeError):
            return False

    def _worst_difference(self, sequences: Sequence[TokenSequence]) -> float:
        """Largest difference in a token's log-probability between a batch and each sequence alone, nats."""
        batched = self.score(sequences)
        with torch.inference_mode():
            alone = [self._whole(sequence) for sequence in sequences]
        return max(
            float(np.abs(ours.logprob - plain.logprob.cpu().numpy()).max())
            for ours, plain in zip(batched, alone, strict=True)
        )

    def _try_packing(self) -> None:
        """Pack from now on, if the model allows it and a packed batch says what each sequence alone says."""
        self._packing = packing_of(self._model, self._device)
        if self._packing is None:
            return
        n_vocabulary: int = self._model.config.get_text_config().vocab_size
        sequences = [TokenSequence(tuple(7 * (i + n) % n_vocabulary for i in range(n)), 1) for n in (11, 5, 7)]
        layout = self._packed(sequences)
        if self._agrees(sequences):
            self._hidden_states(layout)
            if self._packing.sees_windows(layout.arguments.get("auditor_segments")):
                return
        self._packing = None

    @contextmanager
    def _failures(self, batch: Sequence[TokenSequence]) -> Iterator[None]:
        """Say which batch a model could not run, and what may help."""
        try:
            yield
        except (RuntimeError, IndexError, AssertionError, MemoryError) as error:
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
        hidden = self._hidden_states(layout)
        hidden = hidden[layout.predicting.to(hidden.device)]  # (n_scored, n_features)
        true_ids = layout.ids.roll(-1, dims=1)[layout.predicting.to(layout.ids.device)]  # (n_scored,)
        return self._head.statistics(hidden, true_ids)

    def _hidden_states(self, layout: _Layout) -> Tensor:
        """Return what the head would have seen of a layout, shape (n_rows, n_columns, n_features)."""
        with layout.attention():
            return self._head.hidden_states(layout.ids, **layout.arguments)

    def _padded(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay a sequence in each row, with padding on its right."""
        longest = max(len(sequence.ids) for sequence in batch)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        predicting = torch.zeros((len(batch), longest), dtype=torch.bool)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
            predicting[row, sequence.first_scored - 1 : len(sequence.ids) - 1] = True
        return _Layout(ids.to(self._device), predicting, {})

    def _after_shared(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay in each row what follows the shared ids, whose keys and values are there already."""
        n_shared = batch[0].n_shared
        shared = batch[0].ids[:n_shared]
        if self._shared is None or self._shared[0] != shared:
            self._shared = (shared, self._read(shared))
        cache = copy.deepcopy(self._shared[1])
        cache.batch_repeat_interleave(len(batch))
        rest = self._padded([TokenSequence(one.ids[n_shared:], one.first_scored - n_shared) for one in batch])
        return _Layout(rest.ids, rest.predicting, {"past_key_values": cache, "use_cache": True})

    def _read(self, ids: tuple[int, ...]) -> Any:
        """Run the model over ids and return their keys and values."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config.get_text_config())
        self._head.hidden_states(torch.tensor([ids], device=self._device), past_key_values=cache, use_cache=True)
        return cache

    def _packed(self, batch: Sequence[TokenSequence]) -> _Layout:
        """Lay all sequences end to end in one row."""
        assert self._packing is not None
        ids = torch.tensor([[token for sequence in batch for token in sequence.ids]])  # (1, n_columns)
        places = [[False] * (one.first_scored - 1) + [True] * one.n_scored + [False] for one in batch]
        predicting = torch.tensor([[predicts for sequence in places for predicts in sequence]])
        arguments = self._packing.arguments([len(sequence.ids) for sequence in batch], self._device)
        return _Layout(ids.to(self._device), predicting, arguments, self._packing.exchanged)

    def _whole(self, sequence: TokenSequence) -> TokenStatistics:
        """Score one sequence alone, from the logits that the model returns."""
        ids = torch.tensor(sequence.ids, device=self._device)  # (n_tokens,)
        logits = self._model(input_ids=ids[None], use_cache=False).logits[0, sequence.first_scored - 1 : -1]
        return token_statistics(logits.clone(), ids[sequence.first_scored :].to(logits.device))

    def _refuse_undefined(self, logprob: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        """Stop rather than report a number made of NaN or of an impossible token."""
        if np.isnan(logprob).any():
            raise ModelError(
                f"{self.name}: {int(np.isnan(logprob).sum())} tokens have NaN logits (float16 overflows in many "
                "models); use --dtype bfloat16 or float32"
            )
        if (logprob < -9000).any():
            raise ModelError(f"{self.name}: the model gives a token of the texts probability zero")
