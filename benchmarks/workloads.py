"""The models and token sequences of the benchmarks: random weights in real shapes, lengths and ids like texts."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from auditor.engine.tokens import TokenSequence

MODELS = ("gpt2-124m", "llama-128k", "smollm2-135m")
"""The last one is real: its folder is given by --model."""

ENTROPY_NATS = 5.5
LENGTH_LIMITS = (16, 1024)
LENGTH_SPREAD = 0.8


def build_model(name: str, *, folder: str | None = None, seed: int = 0) -> Any:
    """Build one model in float32, in evaluation mode.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    folder : str, optional
        Of the real model.
    """
    if name == "smollm2-135m":
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    torch.manual_seed(seed)
    if name == "gpt2-124m":
        model: Any = GPT2LMHeadModel(GPT2Config())
        final_norm = model.transformer.ln_f
    elif name == "llama-128k":
        config = LlamaConfig(
            vocab_size=128_256,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
        )
        model = LlamaForCausalLM(config)
        final_norm = model.model.norm
    else:
        raise ValueError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    model = model.eval().requires_grad_(False)
    _set_entropy(model, final_norm)
    return model


def make_sequences(n: int, *, n_vocabulary: int, median_tokens: int, seed: int) -> list[TokenSequence]:
    """Draw sequences of lognormal lengths and Zipf ids; each is one prefix token and tokens that are all scored."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(math.log(median_tokens), LENGTH_SPREAD, n).round().clip(*LENGTH_LIMITS).astype(int)
    weights = 1 / np.arange(1, n_vocabulary + 1)
    ids = rng.choice(n_vocabulary, size=lengths.sum(), p=weights / weights.sum())
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    return [TokenSequence((0, *part[1:].tolist()), 1) for part in parts]


def n_vocabulary(model: Any) -> int:
    """Size of a model's vocabulary."""
    return int(model.config.get_text_config().vocab_size)


def _set_entropy(model: Any, final_norm: Any) -> None:
    """Rescale the final norm so that the mean next-token entropy is :data:`ENTROPY_NATS`: logits as peaked as real."""
    sequence = make_sequences(1, n_vocabulary=n_vocabulary(model), median_tokens=64, seed=0)[0]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([sequence.ids[:64]]), use_cache=False).logits[0]
        low, high = 1e-2, 1e3
        for _ in range(40):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _mean_entropy(logits * middle) > ENTROPY_NATS else (low, middle)
    final_norm.weight.mul_(low)


def _mean_entropy(logits: Tensor) -> float:
    """Mean entropy of next-token distributions, nats."""
    logprob = logits.log_softmax(-1)
    return float(-(logprob.exp() * logprob).sum(-1).mean())
