"""Tiny models, tokenizers and data, built in code: no test downloads anything."""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auditor.documents.estimate import Estimate

WORDS = [
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "he",
    "was",
    "that",
    "it",
    "his",
    "her",
    "with",
    "as",
    "had",
    "she",
    "for",
    "on",
    "at",
    "by",
    "I",
    "not",
    "be",
    "from",
]


def make_texts(n: int, *, seed: int, words: int = 12) -> list[str]:
    """Invent n distinct sentences with capitals, digits and punctuation."""
    rng = np.random.default_rng(seed)
    return [
        f"{' '.join(rng.choice(WORDS, rng.integers(4, words)))} {rng.integers(10**6)}, Ada {i}.".capitalize()
        for i in range(n)
    ]


def build_tokenizer(vocabulary_size: int = 320, *, bos: bool = False) -> Any:
    """Build a byte-level BPE; with ``bos`` it puts ``<s>`` before a text by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = "<s>" if bos else "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(make_texts(50, seed=99), trainer)
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=special, eos_token=special)


def save_gpt2(folder: Path, *, seed: int, tokenizer: Any = None, n_positions: int = 64, scale: float = 0.2) -> Path:
    """Save a tiny random GPT-2 with its tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tokenizer or build_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=n_positions,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=scale,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def naive_logprobs(model: Any, ids: Sequence[int], first_scored: int) -> list[float]:
    """The oracle: one text, whole logits, a float64 loop in Python over every token."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double().tolist()
    logprobs = []
    for position in range(first_scored, len(ids)):
        row = logits[position - 1]
        top = max(row)
        logprobs.append(row[ids[position]] - top - math.log(math.fsum(math.exp(x - top) for x in row)))
    return logprobs


def write_jsonl(path: Path, texts: Sequence[str], *, prefix: str = "s", **columns: Sequence[Any]) -> Path:
    """Write texts with ids, and any further columns."""
    rows = [{"id": f"{prefix}{i}", "text": text} for i, text in enumerate(texts)]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def estimate(
    value: float, low: float, high: float, *, level: float = 0.95, n_members: int = 50, n_non_members: int = 40
) -> Estimate:
    """Return a number with its interval."""
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        method="test",
        n_members=n_members,
        n_non_members=n_non_members,
    )


def estimate_within(value: float, half: float) -> Estimate:
    """Return a number with an interval of this half width."""
    return estimate(value, value - half, value + half)


class Ran(NamedTuple):
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str
    """What was said on stderr, but for the numbered phases."""
    phases: tuple[str, ...] = ()

    @property
    def begun(self) -> tuple[str, ...]:
        """The phases that began, without their numbers and what was counted in them."""
        return tuple(dict.fromkeys(re.split(r"[:,]", line.partition(" ")[2])[0] for line in self.phases))

    @property
    def document(self) -> Any:
        """The JSON that it printed."""
        assert self.code == 0, self
        return json.loads(self.out)


def apart(err: str) -> tuple[tuple[str, ...], str]:
    """Tell the numbered phases of a log from all else that stands on stderr."""
    lines = err.splitlines(keepends=True)
    phases = [line for line in lines if re.match(r"\d+/\d+ [a-z]", line)]
    return tuple(line.rstrip("\n") for line in phases), "".join(line for line in lines if line not in phases)


Run = Callable[..., Ran]
"""The fixture ``run``: it takes the arguments of the command line."""
