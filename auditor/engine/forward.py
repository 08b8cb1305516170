"""From token sequences to token statistics: one forward pass, whose head is applied a few rows at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from .kernels import TokenStatistics, token_statistics
from .tokens import TokenSequence

__all__ = ["Scorer", "SequenceScores"]

_LOGIT_BYTES = {"cpu": 2**26, "cuda": 2**29}
"""Logits held at once, in bytes of float32: 64 MiB on a CPU keeps the head's matrix product efficient."""

_CHECK_TOLERANCE_NATS = {torch.float32: 1e-3, torch.float64: 1e-3}
_CHECK_TOLERANCE_HALF_NATS = 0.5


@dataclass(frozen=True, slots=True)
class SequenceScores:
    """Statistics of the scored tokens of one sequence, on the host; see :class:`attacks.base.TokenScores`."""

    logprob: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_mean: np.ndarray[tuple[int], np.dtype[np.float32]]
    logprob_variance: np.ndarray[tuple[int], np.dtype[np.float32]]
    rank: np.ndarray[tuple[int], np.dtype[np.int32]]


class Scorer:
    """Scores batches of token sequences with one model, without ever holding the logits of a batch.

    The model's own ``forward`` runs, so whatever an architecture does before its head is done. A hook hands
    the head a single position instead of all and keeps the hidden states; the head is then applied to the
    scored positions only, a few hundred rows at a time. Where an architecture changes logits after the head
    (soft-capping in Gemma, scales in Cohere and Granite), each chunk is passed through the model's own
    ``forward`` again, in place of the head's output for a one-token input: no formula of any architecture is
    written down here, so none can be out of date.

    Sequences are padded on the right and no attention mask is given: under causal attention (and in
    state-space models) nothing on the right can reach a real token. :meth:`check` tests this on the model at
    hand, against the plain logits of each sequence alone.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode, on its device.
    name : str
        For error messages.
    """

    def __init__(self, model: Any, *, name: str) -> None:
        self.name = name
        self._model = model
        self._device: torch.device = next(model.parameters()).device
        self._head: Any = model.get_output_embeddings()
        with torch.inference_mode():
            self._tapped = self._head is not None and self._can_be_tapped()
            self._bare_head = self._tapped and self._head_is_last()

    @property
    def path(self) -> str:
        """How logits are made, for the provenance."""
        if not self._tapped:
            return "whole logits of one sequence at a time (the head cannot be separated)"
        after = "" if self._bare_head else ", passed through the model's own changes after the head"
        return "right-padded batches, head applied in chunks" + after

    def score(self, batch: Sequence[TokenSequence]) -> list[SequenceScores]:
        """Score one batch of sequences; the order is kept.

        Raises
        ------
        ModelError
            If a logit is NaN or a true token has probability zero.
        """
        with torch.inference_mode(), self._failures(batch):
            parts = list(self._tapped_parts(batch) if self._tapped else self._whole_parts(batch))
            columns = [
                torch.cat([getattr(part, name) for part in parts]).cpu().numpy()
                for name in ("logprob", "logprob_mean", "logprob_variance", "rank")
            ]
        self._refuse_undefined(columns[0])
        bounds = np.cumsum([sequence.n_scored for sequence in batch])[:-1]
        logprob, mean, variance = (np.split(column, bounds) for column in columns[:3])
        rank = np.split(columns[3].astype(np.int32), bounds)
        return [SequenceScores(*values) for values in zip(logprob, mean, variance, rank, strict=True)]

    def check(self, sequences: Sequence[TokenSequence]) -> None:
        """Compare a padded, chunked batch with the plain logits of each sequence alone.

        Raises
        ------
        ModelError
            If they differ beyond rounding: the model is not causal, or reads its padding.
        """
        batched = self.score(sequences)
        with torch.inference_mode():
            alone = [self._whole(sequence) for sequence in sequences]
        worst = max(
            float(np.abs(ours.logprob - plain.logprob.cpu().numpy()).max())
            for ours, plain in zip(batched, alone, strict=True)
        )
        dtype = next(self._model.parameters()).dtype
        tolerance = _CHECK_TOLERANCE_NATS.get(dtype, _CHECK_TOLERANCE_HALF_NATS)
        if not worst <= tolerance:
            raise ModelError(
                f"{self.name}: token log-probabilities in a padded batch and alone differ by {worst:.2g} nats; "
                "the model is not causal (an encoder?) or cannot be scored in batches"
            )

    @contextmanager
    def _failures(self, batch: Sequence[TokenSequence]) -> Iterator[None]:
        """Say which batch a model could not run, and what may help."""
        try:
            yield
        except (RuntimeError, IndexError, AssertionError) as error:
            longest = max(len(sequence.ids) for sequence in batch)
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{self.name}: the forward pass failed on {len(batch)} texts of up to {longest} tokens: {reason}; "
                "if it is out of memory lower --batch-tokens, if a text is too long for the model give --max-tokens"
            ) from error

    def _tapped_parts(self, batch: Sequence[TokenSequence]) -> Iterator[TokenStatistics]:
        """Yield the statistics of the scored positions, chunk by chunk, in the order of the batch."""
        longest = max(len(sequence.ids) for sequence in batch)
        padded = torch.zeros((len(batch), longest), dtype=torch.long)
        predicting = torch.zeros((len(batch), longest), dtype=torch.bool)
        for row, sequence in enumerate(batch):
            padded[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
            predicting[row, sequence.first_scored - 1 : len(sequence.ids) - 1] = True
        true_ids = padded.roll(-1, dims=1)[predicting].to(self._device)
        hidden = self._hidden_states(padded.to(self._device))[predicting.to(self._device)]
        rows = self._chunk_rows()
        for start in range(0, len(hidden), rows):
            logits = self._finish(self._head(hidden[start : start + rows]))
            yield token_statistics(logits, true_ids[start : start + rows])

    def _whole_parts(self, batch: Sequence[TokenSequence]) -> Iterator[TokenStatistics]:
        """Yield the statistics of each sequence from its whole logits."""
        return (self._whole(sequence) for sequence in batch)

    def _whole(self, sequence: TokenSequence) -> TokenStatistics:
        """Score one sequence alone, from the logits that the model returns."""
        ids = torch.tensor(sequence.ids, device=self._device)
        logits = self._forward(ids[None])[0, sequence.first_scored - 1 : -1]
        return token_statistics(logits.clone(), ids[sequence.first_scored :])

    def _forward(self, ids: Tensor) -> Tensor:
        """Run the model without a cache (a default cache breaks packed inputs and costs memory)."""
        logits: Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits

    def _hidden_states(self, ids: Tensor) -> Tensor:
        """Run the model, give its head one position only, and return what the head would have seen."""
        seen: list[Tensor] = []

        def keep(_module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen.append(arguments[0])
            return (arguments[0][:1, :1], *arguments[1:])

        with _hook(self._head.register_forward_pre_hook(keep)):
            self._forward(ids)
        if len(seen) != 1 or seen[0].shape[:2] != ids.shape:
            raise ModelError(f"{self.name}: the head was not called once with one state a token")
        return seen[0]

    def _finish(self, logits: Tensor) -> Tensor:
        """Apply what the model does after its head."""
        return logits if self._bare_head else self._through_model(logits)

    def _through_model(self, logits: Tensor) -> Tensor:
        """Let the model's own forward work on these logits, in place of its head's output."""

        def replace(_module: Any, _arguments: Any, _output: Tensor) -> Tensor:
            return logits[None]

        with _hook(self._head.register_forward_hook(replace)):
            return self._forward(torch.zeros((1, 1), dtype=torch.long, device=self._device))[0]

    def _can_be_tapped(self) -> bool:
        """Whether the head is called once, on one hidden state a token."""
        try:
            self._hidden_states(torch.zeros((2, 3), dtype=torch.long, device=self._device))
        except (ModelError, RuntimeError, IndexError, TypeError, ValueError):
            return False
        return True

    def _head_is_last(self) -> bool:
        """Whether the model returns the logits of its head as they are (apart from a change of precision)."""
        one = torch.zeros((1, 1), dtype=torch.long, device=self._device)
        logits = self._head(self._hidden_states(one)[0])
        probe = torch.linspace(-60, 60, logits.numel(), device=self._device).to(logits.dtype).expand(2, -1)
        return torch.equal(self._through_model(probe).to(probe.dtype), probe)

    def _chunk_rows(self) -> int:
        """Rows of logits that fit the budget of the device."""
        n_vocabulary: int = self._model.config.get_text_config().vocab_size
        return max(1, _LOGIT_BYTES.get(self._device.type, 2**28) // (4 * n_vocabulary))

    def _refuse_undefined(self, logprob: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        """Stop rather than report a number made of NaN or of an impossible token."""
        if np.isnan(logprob).any():
            raise ModelError(
                f"{self.name}: {int(np.isnan(logprob).sum())} tokens have NaN logits (float16 overflows in many "
                "models); use --dtype bfloat16 or float32"
            )
        if (logprob < -9000).any():
            raise ModelError(f"{self.name}: the model gives a token of the texts probability zero")


@contextmanager
def _hook(handle: Any) -> Iterator[None]:
    """Keep a hook for the length of a block."""
    try:
        yield
    finally:
        handle.remove()
