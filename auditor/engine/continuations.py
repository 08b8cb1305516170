"""Continuations: what the target writes after the first half of a text."""

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from attacks.samia import rouge_1_recall

from ..errors import ModelError
from .loading.models import input_device
from .models import OpenedModel
from .tokens import Encoder, encode

__all__ = ["N_CONTINUATIONS", "SAMPLING", "Writer", "halves", "refuse_without_generate"]

N_CONTINUATIONS = 10
SAMPLING: dict[str, object] = {"samples": N_CONTINUATIONS, "top_k": 50, "temperature": 1.0, "prefix_ratio": 0.5}
"""What continuations depend on besides the model and the text: they are not comparable across these."""

_WORD = re.compile(r"\S+")


def halves(text: str) -> tuple[str, str]:
    """Cut a text after the first half of its words (rounded down), white space kept as it is.

    A text of fewer than two words has no halves: both are empty.

    Examples
    --------
    >>> halves("to be  or not to")
    ('to be', '  or not to')
    """
    ends = [word.end() for word in _WORD.finditer(text)]
    if len(ends) < 2:
        return "", ""
    stop = ends[len(ends) // 2 - 1]
    return text[:stop], text[stop:]


class Writer:
    """Lets a loaded model continue the first half of a text, and compares with the second half.

    What the model writes never leaves this class: with memorized texts it is what is being protected.

    Parameters
    ----------
    weights : transformers.PreTrainedModel
        In evaluation mode, on its device or devices. Its own settings of generation are put out of force (some
        checkpoints ask for a temperature, or a penalty for repetition), but for its end tokens.
    model : OpenedModel

    Raises
    ------
    ModelError
        If the model's code cannot generate.

    Notes
    -----
    SaMIA, arXiv:2404.11262 (section 3). The original writes on to 1024 tokens in all, so that a long continuation has
    more words to be right by chance; here a continuation has at most as many tokens as the second half. The original
    puts single spaces between the words of the prompt; here it is the text as it stands. Prompts begin with the
    prefix token of scoring.

    Each text has random numbers of its own, from a hash of the text: what is written depends neither on the order of
    the texts nor on where a run was interrupted. Other devices, precisions and versions of PyTorch have other random
    numbers or roundings, so that continuations differ between them (in all but distribution).
    """

    def __init__(self, weights: Any, model: OpenedModel) -> None:
        from transformers import GenerationConfig

        refuse_without_generate(weights, str(model.files.spec), "the attacks on continuations")
        self._weights = weights
        self._encoder = model.encoder
        self._device = input_device(weights)
        ends = _end_ids(weights, model)
        settings = GenerationConfig(
            do_sample=True,
            top_k=SAMPLING["top_k"],
            top_p=1.0,
            temperature=SAMPLING["temperature"],
            num_return_sequences=N_CONTINUATIONS,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
        )
        weights.generation_config = settings
        if hasattr(weights, "get_base_model"):  # an adapter reads its own settings or the base's, by its kind
            weights.get_base_model().generation_config = settings

    def compare(self, text: str) -> list[float]:
        """Write :data:`N_CONTINUATIONS` continuations of a text, and measure each.

        Returns
        -------
        list of float, length 2 * N_CONTINUATIONS
            ROUGE-1 recall of the second half's words (split at white space), in [0, 1], of each continuation; then
            the zlib size of each, bytes of UTF-8. A text without halves gives recall 0 and the size of nothing.
        """
        written = self._write(text)
        truth = self._encoder.halves(text, halves)[1].split()
        recall = [rouge_1_recall(truth, candidate.split()) for candidate in written]
        return [*recall, *(float(len(zlib.compress(candidate.encode()))) for candidate in written)]

    def _write(self, text: str) -> list[str]:
        """Return the continuations of a text, all empty if nothing of it can stand before them."""
        prompt, n_new = prompt_of(text, self._encoder)
        if not n_new:
            return [""] * N_CONTINUATIONS
        ids = torch.tensor([prompt], device=self._device)  # (1, n_tokens)
        with torch.no_grad(), _seeded(text, self._device):
            rows = self._weights.generate(  # (N_CONTINUATIONS, n_tokens + up to n_new)
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=n_new, use_cache=True
            )
        new = rows[:, len(prompt) :].tolist()
        found: list[str] = self._encoder.tokenizer.batch_decode(
            new, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found


def refuse_without_generate(weights: Any, name: str, what: str) -> None:
    """Refuse a model whose code only scores.

    Raises
    ------
    ModelError
        Naming what to leave out.
    """
    if not hasattr(weights, "generate"):
        raise ModelError(f"{name}: its code cannot generate text; leave out {what}")


def prompt_of(text: str, encoder: Encoder) -> tuple[Sequence[int], int]:
    """Return the ids before the continuation, and how many may be written: within the window of scoring.

    Of a text beyond the window (scored in several), the prompt keeps its end: half the window at least.
    """
    if encoder.chat is None:
        first, second = encoder.encode(halves(text))
    else:
        first, second = encode(encoder.tokenizer, encoder.halves(text, halves))
    if not second or not (first or encoder.prefix.ids):
        return (), 0
    n_new, window = len(second), encoder.window
    if window is not None:
        n_new = min(n_new, window - min(len(first), window // 2))
        first = first[max(0, len(first) - (window - n_new)) :]
    return (*encoder.prefix.ids, *first), n_new


def _end_ids(weights: Any, model: OpenedModel) -> list[int]:
    """Find the ids that end a text: as the checkpoint says, else as the tokenizer says."""
    stated = getattr(weights.generation_config, "eos_token_id", None)
    if stated is None:
        stated = model.encoder.tokenizer.eos_token_id
    ids = stated if isinstance(stated, list | tuple) else [stated]
    return [int(one) for one in ids if one is not None]


@contextmanager
def _seeded(text: str, device: torch.device) -> Iterator[None]:
    """Draw from random numbers of the text's own, and leave the global ones as they were."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
