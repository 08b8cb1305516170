"""Hot text: what a model writes on after prompts at a high temperature, so that nobody can guess it."""

from collections.abc import Sequence
from typing import Any

import torch

from ..config import ModelSpec
from ..errors import ModelError
from .loading.models import choose_device, choose_dtype, input_device, load_weights, open_model
from .tokens import Encoder

__all__ = ["HotWriter"]

_BATCH = 32
"""Prompts that are continued at once."""


class HotWriter:
    """A base model that continues prompts by plain sampling: no top-k, no top-p, no penalty, no end before its time.

    Parameters
    ----------
    spec : ModelSpec
    device : str
        As `choose_device` takes it.
    seed : int
        Of the sampling; the global random numbers are left as they were.

    Raises
    ------
    ModelError
        If the model cannot be used, or cannot generate.
    """

    def __init__(self, spec: ModelSpec, *, device: str, seed: int) -> None:
        self._files = open_model(spec)
        place = choose_device(device)
        dtype = choose_dtype("auto", device=place, stored=self._files.compute_dtype)
        self._weights, _ = load_weights(self._files, dtype=dtype, device=place)
        if not hasattr(self._weights, "generate"):
            raise ModelError(f"{spec}: its code cannot generate text; leave --base out and give --tokenizer")
        self.encoder = Encoder.build(
            self._files.tokenizer,
            rule="auto",
            n_vocabulary=self._files.n_vocabulary,
            context_window=self._files.context_window,
            max_tokens=None,
            adds_bos=self._files.adds_bos,
        )
        self._device = input_device(self._weights)
        self._seed = seed

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        return self._files.tokenizer

    def write(self, prompts: Sequence[Sequence[int]], *, n_tokens: int, temperature: float) -> list[list[int]]:
        """Continue each prompt by so many tokens.

        Parameters
        ----------
        prompts : sequence of sequences of int
            Token ids without a prefix token; prompts of one length are continued together.
        n_tokens : int
        temperature : float

        Returns
        -------
        list of list of int
            The new ids of each prompt, special tokens never among them.

        Raises
        ------
        ModelError
            If prompt and continuation do not fit the context window.
        """
        longest = max(map(len, prompts), default=0)
        if self.encoder.window is not None and longest + n_tokens > self.encoder.window:
            raise ModelError(
                f"{self._files.spec}: {longest} tokens of a prefix and {n_tokens} of a secret do not fit its context "
                f"window of {self.encoder.window}: make them shorter"
            )
        written: list[list[int]] = [[] for _ in prompts]
        by_length: dict[int, list[int]] = {}
        for place, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(place)
        self._seed += 1
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(self._seed)
            for places in by_length.values():
                for start in range(0, len(places), _BATCH):
                    batch = places[start : start + _BATCH]
                    rows = self._continued([prompts[place] for place in batch], n_tokens, temperature)
                    for place, row in zip(batch, rows, strict=True):
                        written[place] = row
        return written

    def _continued(self, prompts: Sequence[Sequence[int]], n_tokens: int, temperature: float) -> list[list[int]]:
        """Continue prompts of one length."""
        from transformers import GenerationConfig

        start = self.encoder.prefix.ids or (min(self.encoder.special_ids, default=0),)
        ids = torch.tensor([[*start, *prompt] for prompt in prompts], device=self._device)  # (n_prompts, n_ids)
        settings = GenerationConfig(
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=n_tokens,
            suppress_tokens=sorted(self.encoder.special_ids) or None,
            eos_token_id=None,
            pad_token_id=0,
        )
        self._weights.generation_config = settings
        rows = self._weights.generate(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
        return [[int(one) for one in row] for row in rows[:, ids.shape[1] :].tolist()]
