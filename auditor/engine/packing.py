"""Sequences end to end in one row, attention within each: no padding, whatever the lengths of the texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .transfer import sent

__all__ = ["Packing", "Segments", "packed_attention", "packing_of"]

_NAME = "auditor_packed"
_KNOWN_ATTENTION = {"full_attention", "sliding_attention"}

_WITHOUT_EFFECT = {
    *("cache_position", "cu_seq_lens_k", "cu_seq_lens_q", "is_causal", "max_length_k", "max_length_q"),
    *("num_items_in_batch", "output_attentions", "output_hidden_states", "output_router_logits", "position_embeddings"),
    *("position_ids", "return_dict", "use_cache"),
}
"""Arguments that models hand to their attention and that change nothing here; any other one is not understood."""


@dataclass(slots=True)
class Segments:
    """Where each sequence of a row starts and ends, and the windows with which layers attended."""

    bounds: tuple[int, ...]
    windows: list[int] = field(default_factory=list)


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    auditor_segments: Segments | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each segment of a row; its many parameters are those of transformers.

    Many parameters: those that transformers passes to every attention function.

    Parameters
    ----------
    query : Tensor of shape (1, n_heads, n_tokens, head_dim)
    key, value : Tensor of shape (1, n_key_value_heads, n_tokens, head_dim)
    sliding_window : int, optional
        Tokens that each one sees, itself included.

    Returns
    -------
    Tensor of shape (1, n_tokens, n_heads, head_dim), None

    Raises
    ------
    NotImplementedError
        For anything that this attention does not do, such as soft-capping or sinks: the model is then not packed.
    """
    strange = sorted(name for name, given in others.items() if given is not None and name not in _WITHOUT_EFFECT)
    if auditor_segments is None or attention_mask is not None or dropout or strange:
        raise NotImplementedError(f"packed attention does not know {', '.join(strange) or 'this call'}")
    if sliding_window is not None:
        auditor_segments.windows.append(sliding_window)
    grouped = query.shape[1] != key.shape[1]
    attended = torch.empty((1, query.shape[2], query.shape[1], value.shape[3]), dtype=query.dtype, device=query.device)
    for start, stop in pairwise(auditor_segments.bounds):
        mask = None
        if sliding_window is not None and stop - start > sliding_window:
            mask = _window_mask(stop - start, sliding_window, query.device)
        attended[:, start:stop] = scaled_dot_product_attention(
            query[:, :, start:stop],
            key[:, :, start:stop],
            value[:, :, start:stop],
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=grouped,
        ).transpose(1, 2)
    return attended, None


def _window_mask(n: int, window: int, device: torch.device) -> Tensor:
    """Each token sees itself and the ``window - 1`` before it: a mask of shape (n, n)."""
    return torch.ones((n, n), dtype=torch.bool, device=device).tril().triu(1 - window)


def packing_of(model: Any, device: torch.device) -> "Packing | None":
    """Find the way to pack sequences for a model on a device; None if it is known that there is none.

    On a CPU this is the attention above, for models whose attention goes through transformers' interface; on a GPU
    the variable-length kernels of flash-attn, if it is installed and the model is in half precision.
    Whoever gets a packing must compare its results with the plain forward before trusting it.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= _KNOWN_ATTENTION or getattr(config, "attention_chunk_size", None) is not None:
        return None
    if getattr(config, "_attn_implementation", None) != "sdpa":
        return None
    if device.type == "cpu":
        return Packing(model, _NAME)
    from transformers.utils import is_flash_attn_2_available

    half = model.dtype in (torch.bfloat16, torch.float16)
    if device.type == "cuda" and half and getattr(model, "_supports_flash_attn", False) and is_flash_attn_2_available():
        return Packing(model, "flash_attention_2")
    return None


@dataclass(frozen=True, slots=True)
class Packing:
    """A model whose attention can be exchanged for the length of a forward pass."""

    model: Any
    attention: str

    def arguments(self, lengths: Sequence[int], device: torch.device) -> dict[str, Any]:
        """Arguments of the model's forward that say where each sequence is."""
        bounds = (0, *torch.tensor(lengths).cumsum(0).tolist())
        places = sent(torch.cat([torch.arange(n) for n in lengths])[None], device)  # (1, n_tokens)
        if self.attention == _NAME:
            return {"position_ids": places, "auditor_segments": Segments(bounds)}
        ends = sent(torch.tensor(bounds, dtype=torch.int32), device)  # (n_sequences + 1,)
        longest = max(lengths)
        return {
            "position_ids": places,
            **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), ends),
            **dict.fromkeys(("max_length_q", "max_length_k"), longest),
        }

    @contextmanager
    def exchanged(self) -> Iterator[None]:
        """Run a block with this attention."""
        from transformers import AttentionInterface

        AttentionInterface.register(_NAME, packed_attention)
        configs = {id(config): config for config in (self.model.config, self.model.config.get_text_config())}
        before = {key: config._attn_implementation for key, config in configs.items()}
        try:
            for config in configs.values():
                config._attn_implementation = self.attention
            yield
        finally:
            for key, config in configs.items():
                config._attn_implementation = before[key]

    def sees_windows(self, segments: Segments | None) -> bool:
        """Whether every layer that the configuration gives a window told this attention of it."""
        if segments is None:
            return True
        config = self.model.config.get_text_config()
        kinds = getattr(config, "layer_types", None)
        window = getattr(config, "sliding_window", None)
        if kinds:
            expected = list(kinds).count("sliding_attention")
        elif window is None or getattr(config, "use_sliding_window", True) is False:
            expected = 0
        else:
            expected = int(config.num_hidden_layers)
        return len(segments.windows) == expected
