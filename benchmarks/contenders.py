"""The ways to get token log-probabilities out of a causal language model that the benchmarks compare.

Each takes a model and token sequences that begin with one unscored prefix token, and returns :class:`Scored`. The peers
are written here from their published formulas and do the work that their code does per text, no less and no more,
save that the loops do not ask the model for its loss as well (``labels=``), which the published scripts do:
``loop_with_loss`` does.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditor.engine.batches import Budget, make_batches
from auditor.engine.forward import Scorer
from auditor.engine.tokens import TokenSequence

BATCH_SIZE = 8
OUR_BATCH_TOKENS = 2048
"""What an audit takes on a CPU unless told otherwise."""
MIN_K_SHARES = np.linspace(0.1, 1.0, 10)
TOLERANCE = {"logprob": 1e-3, "mean": 1e-3, "variance": 1e-2}
"""Largest difference to the loop that is still rounding, per token: nats, nats, nats squared."""


@dataclass(slots=True)
class Scored:
    """What a contender says of every scored token of every sequence, in the order given.

    Parameters
    ----------
    logprob, mean, variance : list of ndarray
        One array a sequence; empty where the contender does not compute them.
    total : list of float
        Log-probability of each sequence, where the contender gives nothing finer.
    n_computed : int
        Tokens that went through the model, padding included; 0 if the contender does not tell.
    """

    logprob: list[np.ndarray] = field(default_factory=list)
    mean: list[np.ndarray] = field(default_factory=list)
    variance: list[np.ndarray] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    n_computed: int = 0

    def totals(self) -> np.ndarray:
        """Log-probability of each sequence, nats."""
        return np.array(self.total or [values.sum(dtype=np.float64) for values in self.logprob])


def ours(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score with the engine of this project: log-probability, mean, variance and rank, with the plain kernel.

    Finding out how the model can be scored, which costs a few tiny forward passes once a model, is counted.
    """
    scorer = Scorer(model, name="ours")
    lengths = np.array([len(sequence.ids) for sequence in sequences])
    order = np.argsort(-lengths, kind="stable")
    scores: list[Any] = [None] * len(sequences)
    n_computed = 0
    for places in make_batches(lengths[order], np.ones_like(order), Budget(OUR_BATCH_TOKENS), packed=scorer.packs):
        batch = order[places]
        for i, one in zip(batch, scorer.score([sequences[i] for i in batch]), strict=True):
            scores[i] = one
        n_computed += int(lengths[batch].sum() if scorer.packs else len(batch) * lengths[batch].max())
    return Scored(
        logprob=[one.logprob for one in scores],
        mean=[one.logprob_mean for one in scores],
        variance=[one.logprob_variance for one in scores],
        n_computed=n_computed,
    )


def loop(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score as Min-K%++ is published (Zhang et al. 2024): one text at a time, whole logits, two softmaxes."""
    return _loop(model, sequences, with_loss=False)


def loop_with_loss(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score with the same loop and ask the model for its loss too, as the published script does."""
    return _loop(model, sequences, with_loss=True)


def _loop(model: Any, sequences: Sequence[TokenSequence], *, with_loss: bool) -> Scored:
    """Run the loop: softmax, log-softmax, moments, then Min-K% and Min-K%++ at ten shares."""
    scored = Scored()
    for sequence in sequences:
        ids = torch.tensor([sequence.ids])
        with torch.no_grad():
            output = model(ids, labels=ids) if with_loss else model(ids)
        logits = output.logits
        prob = torch.softmax(logits[0, :-1], dim=-1)
        logprob = torch.log_softmax(logits[0, :-1], dim=-1)
        true = logprob.gather(-1, ids[0, 1:, None])[:, 0]
        mean = (prob * logprob).sum(-1)
        variance = (prob * logprob.square()).sum(-1) - mean.square()
        _min_k(true)
        _min_k((true - mean) / variance.sqrt())
        scored.logprob.append(true.numpy())
        scored.mean.append(mean.numpy())
        scored.variance.append(variance.numpy())
        scored.n_computed += len(sequence.ids)
    return scored


def _min_k(values: Tensor) -> list[float]:
    """Mean of the lowest values at each share, each with its own sort, as published."""
    means = []
    for share in MIN_K_SHARES:
        means.append(float(np.sort(values.numpy())[: max(1, int(len(values) * share))].mean()))
    return means


def mimir_loop(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score as MIMIR does (Duan et al. 2024): one text at a time, one log-softmax, each token read on its own."""
    scored = Scored()
    for sequence in sequences:
        ids = torch.tensor([sequence.ids])
        with torch.no_grad():
            logprob = torch.log_softmax(model(ids).logits[..., :-1, :].contiguous(), dim=-1)
        true = [logprob[0, position, token].item() for position, token in enumerate(ids[0, 1:])]
        scored.logprob.append(np.array(true, dtype=np.float32))
        scored.n_computed += len(sequence.ids)
    return scored


def padded(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score in padded batches of eight in the order given, with an attention mask, from whole logits."""
    return _padded(model, sequences, list(range(len(sequences))))


def padded_sorted(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score in padded batches of eight as :func:`padded`, longest first."""
    return _padded(model, sequences, sorted(range(len(sequences)), key=lambda i: -len(sequences[i].ids)))


def _padded(model: Any, sequences: Sequence[TokenSequence], order: Sequence[int]) -> Scored:
    """Run padded batches; the moments are made a sequence at a time, which needs less memory than all at once."""
    n = len(sequences)
    columns: list[list[Any]] = [[None] * n, [None] * n, [None] * n]
    n_computed = 0
    for start in range(0, n, BATCH_SIZE):
        rows = order[start : start + BATCH_SIZE]
        ids, mask = _pad([sequences[i].ids for i in rows])
        with torch.no_grad():
            logprobs = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        for i, row_ids, logprob_row in zip(rows, ids, logprobs, strict=True):
            length = len(sequences[i].ids)
            logprob = logprob_row[: length - 1]
            prob = logprob.exp()
            mean = (prob * logprob).sum(-1)
            variance = (prob * logprob.square()).sum(-1) - mean.square()
            true = logprob.gather(-1, row_ids[1:length, None])[:, 0]
            for column, values in zip(columns, (true, mean, variance), strict=True):
                column[i] = values.numpy()
        n_computed += ids.numel()
    return Scored(*columns, n_computed=n_computed)


def _pad(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Pad on the right; return ids and attention mask."""
    longest = max(map(len, ids))
    padded_ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
    return padded_ids, mask


def lm_eval(model: Any, sequences: Sequence[TokenSequence], *, batch_size: int = BATCH_SIZE) -> Scored:
    """Score with HFLM of lm-evaluation-harness: the sum over each continuation, no moments.

    Raises
    ------
    ImportError
        If lm_eval is not installed.
    """
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every model that was not loaded by itself
    harness = HFLM(pretrained=model, tokenizer=_any_tokenizer(), batch_size=batch_size)
    requests = [((str(i), ""), list(s.ids[:1]), list(s.ids[1:])) for i, s in enumerate(sequences)]
    answers = harness._loglikelihood_tokens(requests, disable_tqdm=True)
    lengths = sorted((len(sequence.ids) - 1 for sequence in sequences), reverse=True)
    chunks = [lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)]
    return Scored(total=[total for total, _ in answers], n_computed=sum(len(chunk) * chunk[0] for chunk in chunks))


def _any_tokenizer() -> Any:
    """Build the tokenizer that HFLM insists on; it reads nothing here."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<|endoftext|>": 0}, unk_token="<|endoftext|>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def trainer_predict(model: Any, sequences: Sequence[TokenSequence]) -> Scored:
    """Score with ``transformers.Trainer.predict``, keeping log-probabilities instead of logits; no moments."""
    from transformers import Trainer, TrainingArguments

    n_computed = 0

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        nonlocal n_computed
        ids, mask = _pad([row["input_ids"] for row in rows])
        n_computed += ids.numel()
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    def keep_true(logits: Tensor, labels: Tensor) -> Tensor:
        logprob = logits[:, :-1].log_softmax(-1)
        return logprob.gather(-1, labels[:, 1:, None].clamp(min=0))[..., 0]

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=BATCH_SIZE,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model, settings, data_collator=collate, preprocess_logits_for_metrics=keep_true)
        predicted = trainer.predict([{"input_ids": sequence.ids} for sequence in sequences]).predictions
    return Scored(
        logprob=[row[: len(sequence.ids) - 1] for row, sequence in zip(predicted, sequences, strict=True)],
        n_computed=n_computed,
    )


CONTENDERS: dict[str, Callable[..., Scored]] = {
    "ours": ours,
    "loop": loop,
    "loop_with_loss": loop_with_loss,
    "mimir_loop": mimir_loop,
    "padded": padded,
    "padded_sorted": padded_sorted,
    "lm_eval": lm_eval,
    "trainer_predict": trainer_predict,
}


def lm_eval_is_there() -> bool:
    """Whether lm_eval can be imported."""
    from importlib.util import find_spec

    return find_spec("lm_eval") is not None


def disagreement(scored: Scored, expected: Scored) -> float:
    """Largest difference of a token's log-probability; per token of a sequence's total if that is all there is.

    Raises
    ------
    ValueError
        If the two disagree by more than rounding, in any of the statistics that both have.
    """
    lengths = np.array([len(values) for values in expected.logprob])
    per_token = float(np.abs((scored.totals() - expected.totals()) / lengths).max())
    worst = {"logprob": per_token}
    for name in TOLERANCE:
        if pairs := list(zip(getattr(scored, name), getattr(expected, name), strict=False)):
            if len(pairs) != len(lengths):
                raise ValueError(f"{name}: {len(pairs)} of {len(lengths)} sequences")
            worst[name] = float(np.max([np.abs(one - other).max() for one, other in pairs]))
    for name, value in worst.items():
        if not value <= TOLERANCE[name]:
            raise ValueError(f"{name} differs by {value:.2g}, more than {TOLERANCE[name]:g}")
    return worst["logprob"]
