"""The self-test: a tiny model made on the fly, scored by the engine and by a loop that shares nothing with it."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attacks.base import Need, TokenScores

from ..config import AuditConfig, DataSpec, ModelSpec
from ..documents.diagnosis import Finding

__all__ = ["check_scoring"]

_VOCABULARY, _START, _UNKNOWN = 160, 0, 1
_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)
"""Words of each text: short and long ones lie in one batch."""

_TOLERANCE = 1e-3
"""Nats, and nats squared: float32 on a CPU is at 1e-6, on a GPU at 1e-5; a wrong position is at 1."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the loop says of a token; between ``rank_low`` and ``rank_high`` rounding decides."""

    logprob: float
    mean: float
    variance: float
    rank_low: int
    rank_high: int


def check_scoring(device: str = "auto") -> Iterator[Finding]:
    """Score texts with the engine, as an audit does, and compare every token with the loop."""
    from ..engine.request import ScoringRequest
    from ..engine.signals import collect_signals

    started = time.monotonic()
    rng = np.random.default_rng(0)
    words = [rng.integers(2, _VOCABULARY, size=n).tolist() for n in _LENGTHS]
    with tempfile.TemporaryDirectory(prefix="auditor-doctor-") as folder:
        model = _save_tiny_model(Path(folder) / "model")
        config = AuditConfig(
            target=ModelSpec(path=str(Path(folder) / "model")),
            members=DataSpec(path="texts of the self-test"),
            prefix_token="bos",
            dtype="float32",
            device=device,
        )
        request = ScoringRequest(
            sample_ids=[str(n) for n in _LENGTHS],
            texts=[" ".join(f"w{word}" for word in text) for text in words],
            needs=frozenset({Need.VOCAB_STATS}),
        )
        collected = collect_signals(config, request, scores_folder=Path(folder) / "scores")
        scores = collected.signals.target
    expected = [token for text in words for token in _loop(model, [_START, *text])]
    problem, worst = _compare(scores, expected)
    ran = f"{len(expected)} tokens of {len(words)} texts on {collected.models[0].device}"
    equal = f"within {worst:.1e} nats of a loop in float64, every rank equal, in {time.monotonic() - started:.1f} s"
    yield Finding(
        part="self-test",
        name="scoring",
        state="broken" if problem else "fine",
        needed=True,
        detail=f"{ran}: {problem or equal}",
        remedy="try --device cpu and the versions of constraints.txt; please report it" if problem else None,
    )


def _compare(scores: TokenScores, expected: Sequence[_Expected]) -> tuple[str, float]:
    """Say where engine and loop differ, empty if nowhere, and by how much they do at most."""
    if len(scores.logprob) != len(expected):
        return f"the engine scored {len(scores.logprob)} tokens, the loop {len(expected)}", math.inf
    theirs = {
        "logprob": np.array([one.logprob for one in expected]),
        "logprob_mean": np.array([one.mean for one in expected]),
        "logprob_variance": np.array([one.variance for one in expected]),
    }
    worst = {name: float(np.abs(getattr(scores, name).astype(np.float64) - one).max()) for name, one in theirs.items()}
    for name, difference in worst.items():
        if not difference <= _TOLERANCE:  # NaN is a difference, too
            return f"{name} of the engine and of the loop differ by {difference:.2g}", difference
    ranks = zip(scores.rank.tolist(), expected, strict=True)
    n_wrong = sum(not one.rank_low <= rank <= one.rank_high for rank, one in ranks)
    return f"{n_wrong} ranks of the engine are wrong" if n_wrong else "", max(worst.values())


def _save_tiny_model(folder: Path) -> Any:
    """Save a random GPT-2 with a tokenizer of one id a word, and return the model in float64 on the CPU."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {"<s>": _START, "<unk>": _UNKNOWN} | {f"w{i}": i for i in range(2, _VOCABULARY)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="<s>", unk_token="<unk>")
    config = GPT2Config(
        vocab_size=_VOCABULARY,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=_START,
        eos_token_id=_START,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.double()


def _loop(model: Any, ids: Sequence[int]) -> Iterator[_Expected]:
    """Compute each token's statistics from the whole logits of one text, number by number."""
    import torch

    with torch.no_grad():
        rows = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].tolist()
    for row, true in zip(rows, ids[1:], strict=False):
        top = max(row)
        log_z = top + math.log(math.fsum(math.exp(x - top) for x in row))
        logprobs = [x - log_z for x in row]
        mean = math.fsum(math.exp(x) * x for x in logprobs)
        yield _Expected(
            logprob=logprobs[true],
            mean=mean,
            variance=math.fsum(math.exp(x) * (x - mean) ** 2 for x in logprobs),
            rank_low=sum(x > row[true] + _TOLERANCE for x in row),
            rank_high=sum(x > row[true] - _TOLERANCE for i, x in enumerate(row) if i != true),
        )
