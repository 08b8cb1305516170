"""The cost of extraction: scoring with and without the mass of the 40 likeliest entries, and reading it off the scores.

A randomly initialised model of the shape of SmolLM2-135M (or smaller) scores the same token sequences in turn with and
without the statistics that extraction is read from; ratios are of processor time (of wall clock on an accelerator)
within a round. The reading is that of an audit, of as many tokens. On a CPU one thread is measured: rounds of several
wait for each other.

    OMP_NUM_THREADS=1 python benchmarks/extraction_cost.py
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from attacks import Signals
from attacks.base import TokenScores
from auditor.config import ExtractSpec
from auditor.engine.forward import STATISTICS, Scorer
from auditor.engine.kernels import N_TOP, choose_kernel
from auditor.engine.kernels.largest import Largest
from auditor.engine.tokens import TokenSequence
from auditor.estimates.extraction import extraction, sample_extraction


@contextmanager
def without_extraction() -> Iterator[None]:
    """Leave the largest logits unsorted, as scoring did before extraction was read from it."""
    see = Largest.see

    def skip(self: Largest, logits: Tensor) -> None:
        self._kept = logits[:, :N_TOP].float()

    Largest.see = skip  # type: ignore[method-assign]
    try:
        yield
    finally:
        Largest.see = see  # type: ignore[method-assign]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time one call."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def shaped_like_smollm2(layers: int, vocabulary: int) -> LlamaForCausalLM:
    """Make a model of 30 layers, 576 features and 49,152 entries, or fewer."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers,
            num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=2048,
        )
    ).eval()  # fmt: skip


def main() -> None:
    """Measure, and print a line a round and the medians."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--layers", type=int, default=30)
    options.add_argument("--vocabulary", type=int, default=49_152)
    options.add_argument("--texts", type=int, default=8)
    options.add_argument("--tokens", type=int, default=128)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    n_tokens = given.texts * given.tokens
    model = shaped_like_smollm2(given.layers, given.vocabulary).to(device, dtype)
    kernel, why = choose_kernel(device, n_rows=n_tokens, n_vocabulary=given.vocabulary, dtype=dtype)
    scorer = Scorer(model, name="model", kernel=kernel, why=why)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, given.vocabulary, (given.texts, given.tokens + 1)).tolist()
    sequences = [TokenSequence(tuple(row), 1) for row in rows]
    print(f"{n_tokens:,} tokens, {given.layers} layers, {given.vocabulary:,} entries, {device.type}, {why}")
    scores = scorer.score(sequences)
    ratios = []
    for i in range(given.rounds):
        measured = seconds(lambda: scorer.score(sequences), device)
        with without_extraction():
            before = seconds(lambda: scorer.score(sequences), device)
        ratios.append(measured / before)
        print(f"round {i + 1}: {measured:.3f} s with, {before:.3f} s without, ratio {ratios[-1]:.3f}")
    print(f"scoring: {100 * (statistics.median(ratios) - 1):+.1f}% (median of {given.rounds} rounds)")
    columns = {name: np.concatenate([getattr(one, name) for one in scores]) for name in STATISTICS}
    target = TokenScores(offsets=np.cumsum([0, *(len(one.logprob) for one in scores)]), **columns)
    names = tuple(map(str, range(given.texts)))
    signals = Signals(sample_ids=names, texts=names, target=target, references=(target,))
    sides, cut = np.arange(given.texts) < given.texts / 2, ExtractSpec()

    def read() -> object:
        found = sample_extraction(signals, cut)
        return extraction(found, sides, cut=cut, groups=None, signed_bits=None, level=0.95)

    read()
    taken = seconds(read, torch.device("cpu"))
    print(f"reading extraction off the scores: {1000 * taken:.0f} ms for {given.texts} texts, once an audit")


if __name__ == "__main__":
    main()
