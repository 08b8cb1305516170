"""The head of a language model, tapped: kept from all but one position, then applied to chosen states in chunks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError
from .kernels import Kernel, TokenStatistics, tiled_statistics, token_statistics
from .loading.models import input_device

__all__ = ["TappedHead"]

_LOGIT_BYTES = {"cpu": 2**26, "cuda": 2**29}
"""Logits held at once, in bytes of float32."""

_TILE = (1024, 2048)
"""Rows and columns of logits made at once on a CPU: the product runs near its peak and the 8 MiB stay in the cache."""


class TappedHead:
    """Runs a model up to its head, and makes token statistics of what the head would have seen.

    The model's own ``forward`` runs, so whatever an architecture does before its head is done. A hook hands
    the head a single position instead of all and keeps the hidden states; the head is then applied to the
    chosen ones only, a few hundred rows at a time. Where an architecture changes logits after the head
    (soft-capping in Gemma, scales in Cohere and Granite), each chunk is passed through the model's own
    ``forward`` again, in place of the head's output for a one-token input: no formula of any architecture is
    written down here, so none can be out of date.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    name : str
        For error messages.
    kernel : Kernel
        Makes the statistics of a chunk of logits.

    Attributes
    ----------
    separable : bool
        Whether the head is called once, on one hidden state a token; if not, nothing else here may be called.
    last : bool
        Whether the model returns the logits of its head as they are (apart from a change of precision).
    """

    def __init__(self, model: Any, *, name: str, kernel: Kernel) -> None:
        self._model, self._name, self._kernel = model, name, kernel
        self._device: torch.device = input_device(model)
        self._head: Any = model.get_output_embeddings()
        self.separable = self._head is not None and self._can_be_tapped()
        self.last = self.separable and self._is_last()
        self._matrix = self._plain_matrix()  # (n_vocabulary, n_features)

    def hidden_states(self, ids: Tensor, **arguments: Any) -> Tensor:
        """Run the model, without a cache unless asked (a default cache breaks packed inputs and costs memory).

        Parameters
        ----------
        ids : Tensor of int64, shape (n_rows, n_columns)
        **arguments : object
            Of the model's ``forward``.

        Returns
        -------
        Tensor of shape (n_rows, n_columns, n_features)

        Raises
        ------
        ModelError
            If the head was not called once, with one state a token.
        """
        seen: list[Tensor] = []

        def keep(_module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen.append(arguments[0])
            return (arguments[0][:1, :1], *arguments[1:])

        with self._head.register_forward_pre_hook(keep):
            self._model(**{"input_ids": ids, "use_cache": False} | arguments)
        if len(seen) != 1 or seen[0].shape[:2] != ids.shape:
            raise ModelError(f"{self._name}: the head was not called once with one state a token")
        return seen[0]

    def statistics(self, hidden: Tensor, true_ids: Tensor) -> Iterator[TokenStatistics]:
        """Describe the true tokens that follow some hidden states, chunk by chunk.

        Parameters
        ----------
        hidden : Tensor of shape (n_scored, n_features)
        true_ids : Tensor of int64, shape (n_scored,)
        """
        n_rows = self._chunk_rows()
        for start in range(0, len(hidden), n_rows):
            yield self._described(hidden[start : start + n_rows], true_ids[start : start + n_rows].to(hidden.device))

    def _chunk_rows(self) -> int:
        """Rows of logits that fit the budget of the device."""
        if self._matrix is not None:
            return _TILE[0]
        n_bytes = 4 * int(self._model.config.get_text_config().vocab_size)
        return max(1, _LOGIT_BYTES.get(self._device.type, 2**28) // n_bytes)

    def _described(self, hidden: Tensor, true_ids: Tensor) -> TokenStatistics:
        """Describe the true tokens of one chunk."""
        if self._matrix is not None:
            return tiled_statistics(hidden, self._matrix, true_ids, self._kernel, n_columns=_TILE[1])
        logits = self._head(hidden)  # (n_rows, n_vocabulary)
        logits = logits if self.last else self._through_model(logits)
        return token_statistics(logits, true_ids.to(logits.device), self._kernel)

    def _through_model(self, logits: Tensor) -> Tensor:
        """Let the model's own forward work on these logits, (n_rows, n_vocabulary), in place of its head's output."""

        def replace(_module: Any, _arguments: Any, _output: Tensor) -> Tensor:
            return logits[None]

        with self._head.register_forward_hook(replace):
            changed: Tensor = self._model(input_ids=self._no_ids(1, 1), use_cache=False).logits[0]
        return changed

    def _can_be_tapped(self) -> bool:
        try:
            self.hidden_states(self._no_ids(2, 3))
        except (ModelError, RuntimeError, IndexError, TypeError, ValueError):
            return False
        return True

    def _is_last(self) -> bool:
        logits = self._head(self.hidden_states(self._no_ids(1, 1))[0])  # (1, n_vocabulary)
        probe = torch.linspace(-60, 60, logits.numel(), device=self._device).to(logits.dtype).expand(2, -1)
        return torch.equal(self._through_model(probe).to(probe.dtype), probe)

    def _plain_matrix(self) -> Tensor | None:
        """Return the head's matrix if it is on a CPU, and nothing but this product lies between it and the logits."""
        head = self._head
        if not self.last or type(head) is not torch.nn.Linear or head.bias is not None:
            return None
        untouched = "forward" not in vars(head) and not head._forward_hooks and not head._forward_pre_hooks
        matrix = head.weight
        return matrix if untouched and matrix.device.type == "cpu" and matrix.dtype == torch.float32 else None

    def _no_ids(self, *shape: int) -> Tensor:
        """Make ids for a trial run."""
        return torch.zeros(shape, dtype=torch.long, device=self._device)
