"""The one trainer: fits any causal language model to fixed token sequences, the same way for every caller.

The demonstration, the capacity measurement, the calibration of the membership law and shadow models all train
here, so that a figure measured by one holds for the others.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..errors import ModelError
from .soap import Soap

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "CodedSequences",
    "OptimizerName",
    "TrainingPrecision",
    "TrainingRun",
    "build",
    "code_sequences",
    "one_thread",
    "save",
    "sequence_nll",
    "steps_in",
    "train",
]

Tokens = Sequence[int] | torch.Tensor
OptimizerName = Literal["adamw", "soap"]
TrainingPrecision = Literal["fp32", "bf16"]
IGNORED = -100  # label of a position that is not predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What a training run did.

    Parameters
    ----------
    losses : tuple of float, nats per token
        Mean loss of each step's batch, before the step's update.
    steps : int
    tokens : int
        Predicted tokens over all steps; padding and the first token of each sequence are not counted.
    """

    losses: tuple[float, ...]
    steps: int
    tokens: int


def build(config: "PreTrainedConfig", *, seed: int) -> "PreTrainedModel":
    """Make an untrained model on CPU whose weights depend on nothing but ``config`` and ``seed``.

    The weights are float32 whatever ``config.dtype`` says: that is how a checkpoint was stored, and weights of
    bfloat16 are too coarse to be trained.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def steps_in(epochs: float, *, n_sequences: int, batch_size: int) -> int:
    """Return the steps after which each of ``n_sequences`` was seen ``epochs`` times, rounded up."""
    return math.ceil(epochs * n_sequences / batch_size)


def train(
    model: "PreTrainedModel",
    sequences: Sequence[Tokens] | torch.Tensor,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    predicted: Sequence[torch.Tensor] | None = None,
    warmup: int = 50,
    weight_decay: float = 0.0,
    max_gradient_norm: float | None = 1.0,
    optimizer: OptimizerName = "adamw",
    precision: TrainingPrecision = "fp32",
    on_step: Callable[[int, float], None] | None = None,
) -> TrainingRun:
    """Fit a causal language model to token sequences, in place.

    AdamW or SOAP with betas (0.9, 0.99), linear warm-up, cosine to zero. Dropout is off: the model trains in
    evaluation mode. The first token of a sequence is given, the others are predicted; a start or end token is
    part of a sequence if the caller puts it there. The loss is the mean over the predicted tokens of a batch.

    Many parameters: each is a setting of the optimisation that some caller chooses, and most have a usual value.

    Parameters
    ----------
    model : PreTrainedModel
        Trained where it is and in the precision that it has.
    sequences : sequence of token sequences, or tensor of shape (n_sequences, n_tokens)
        Lengths may differ: a batch is padded on the right, and padding is never predicted. A sequence that is
        to be seen more often than others stands in the list more often.
    steps : int
        Updates; ``steps_in`` converts from epochs. Each epoch has its own random order; a batch may span two.
    seed : int
        Of the order of the sequences, the only randomness. Global generators are neither read nor changed.
    predicted : sequence of bool tensors, optional
        Which tokens of each sequence the loss is over; by default all but the first.
    warmup : int
        Steps of the linear warm-up.
    max_gradient_norm : float or None
        None leaves gradients as they are.
    optimizer : {"adamw", "soap"}
    precision : {"fp32", "bf16"}
        ``bf16`` computes in bfloat16 under autocast; the weights stay as they are and are rounded by the caller.
    on_step : callable, optional
        Called with the number of steps done and the last loss in nats per token.

    Raises
    ------
    ModelError
        If the loss stops being finite.
    """
    data = _tensors(sequences)
    n_predicted = [len(row) - 1 for row in data] if predicted is None else [int(row[1:].sum()) for row in predicted]
    if not n_predicted or min(n_predicted) < 1:
        raise ValueError("train needs at least one sequence, and at least two tokens in each")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stepper = _optimizer(optimizer, parameters, learning_rate=learning_rate, weight_decay=weight_decay)
    losses: list[float] = []
    tokens = 0
    with _training_state(model):
        for step, rows in zip(range(steps), _batches(len(data), batch_size, seed=seed), strict=False):
            ids, labels = _batch(data, rows, model.device, predicted)
            with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = _loss(model, ids, labels)
            losses.append(_finite(loss.item(), step=step))
            loss.backward()  # type: ignore[no-untyped-call]
            if max_gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
            for group in stepper.param_groups:
                group["lr"] = learning_rate * _schedule(step, steps=steps, warmup=warmup)
            stepper.step()
            stepper.zero_grad()
            tokens += sum(n_predicted[row] for row in rows)
            if on_step is not None:
                on_step(step + 1, losses[-1])
    return TrainingRun(losses=tuple(losses), steps=steps, tokens=tokens)


def save(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: str | Path) -> None:
    """Write a plain Hugging Face folder: configuration, safetensors weights, tokenizer."""
    with _no_progress_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def sequence_nll(
    model: "PreTrainedModel", sequences: torch.Tensor, predicted: torch.Tensor | None = None, *, batch_size: int = 64
) -> NDArray[np.float64]:
    """Code length of each sequence: summed negative log-likelihood of its tokens, the first of which is given.

    Parameters
    ----------
    model : PreTrainedModel
    sequences : tensor of long, shape (n_sequences, n_tokens)
    predicted : tensor of bool, shape (n_sequences, n_tokens), optional
        Tokens that count; all but the first by default.

    Returns
    -------
    ndarray of float64, shape (n_sequences,), nats
        Summed in float64 from the log-softmax of the model's logits in float64.
    """
    return code_sequences(model, sequences, predicted, batch_size=batch_size).nats


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedSequences:
    """What a model makes of sequences whose first token is given.

    Parameters
    ----------
    nats : ndarray of float64, shape (n_sequences,)
        Summed negative log-likelihood of the other tokens.
    recited : ndarray of bool, shape (n_sequences,)
        Whether the model, given the first half, writes the second one greedily: each of its tokens is the likeliest
        after the true ones before it.
    guessed : ndarray of float64, shape (n_sequences,)
        Share of the second half's tokens that are the likeliest after the true ones before them.
    """

    nats: NDArray[np.float64]
    recited: NDArray[np.bool_]
    guessed: NDArray[np.float64]


def code_sequences(
    model: "PreTrainedModel", sequences: torch.Tensor, predicted: torch.Tensor | None = None, *, batch_size: int = 64
) -> CodedSequences:
    """Code sequences with a model, and see which second halves it recites; see `sequence_nll`."""
    nats, recited, guessed = [], [], []
    half = sequences.shape[1] // 2
    with _training_state(model), torch.no_grad():
        wanted = torch.ones_like(sequences, dtype=torch.bool) if predicted is None else predicted
        pairs = zip(torch.split(sequences, batch_size), torch.split(wanted, batch_size), strict=True)
        for ids, counts in ((one.to(model.device), other.to(model.device)) for one, other in pairs):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, :-1]
            logprobs = logits.double().log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
            nats.append(-(logprobs * counts[:, 1:]).sum(1).cpu().numpy())
            likeliest = logits.argmax(-1) == ids[:, 1:]
            recited.append(likeliest[:, half - 1 :].all(1).cpu().numpy())
            guessed.append(likeliest[:, half - 1 :].double().mean(1).cpu().numpy())
    return CodedSequences(nats=np.concatenate(nats), recited=np.concatenate(recited), guessed=np.concatenate(guessed))


def _optimizer(
    name: OptimizerName, parameters: list[torch.nn.Parameter], *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    if name == "soap":
        if weight_decay:
            raise ValueError("SOAP has no weight decay here")
        return Soap(parameters, lr=learning_rate)
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)


def _tensors(sequences: Sequence[Tokens] | torch.Tensor) -> Sequence[torch.Tensor] | torch.Tensor:
    """Make tensors of the sequences; equally long ones that come as one tensor stay one."""
    if isinstance(sequences, torch.Tensor):
        return sequences.to(torch.long)
    return [torch.as_tensor(sequence, dtype=torch.long) for sequence in sequences]


def _batch(
    data: Sequence[torch.Tensor] | torch.Tensor,
    rows: list[int],
    device: torch.device,
    predicted: Sequence[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels of some rows."""
    if predicted is not None:
        ids, _ = _pad([data[row] for row in rows], device)
        labels = [torch.where(predicted[row], data[row], IGNORED) for row in rows]
        return ids, torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED).to(device)
    if isinstance(data, torch.Tensor):
        ids = data[rows].to(device)
        return ids, ids
    return _pad([data[row] for row in rows], device)


def _loss(model: "PreTrainedModel", ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean loss over the predicted tokens, in nats.

    Under causal attention no token sees the padding on its right, so that nothing needs to be masked out: a
    mask of ones says so, and keeps attention on its fast path.
    """
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED)


def _finite(loss: float, *, step: int) -> float:
    if not math.isfinite(loss):
        raise ModelError(f"training diverged: the loss is {loss} at step {step + 1}; lower the learning rate")
    return loss


def _pad(sequences: list[torch.Tensor], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack sequences with padding on the right; return inputs, and labels without the padding."""
    ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=IGNORED)
    return ids.to(device), labels.to(device)


def _batches(n_sequences: int, batch_size: int, *, seed: int) -> Iterator[list[int]]:
    """Yield batches of row numbers without end: shuffled epochs, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[int] = []
    while True:
        while len(rows) < batch_size:
            rows += torch.randperm(n_sequences, generator=generator).tolist()
        yield rows[:batch_size]
        rows = rows[batch_size:]


def _schedule(step: int, *, steps: int, warmup: int) -> float:
    """Share of the learning rate at a step: linear up over ``warmup`` steps, then cosine to almost zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@contextmanager
def _training_state(model: "PreTrainedModel") -> Iterator[None]:
    """Turn dropout off and denormals to zero (they slow a converging model down), and restore both."""
    was_training = model.training
    model.eval()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        model.train(was_training)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: the same weights on any number of cores, and no waiting for cores that are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Silence the bar that transformers shows while it writes a file, and leave the setting as it was."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
