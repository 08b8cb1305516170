"""Gradients of the target's loss at a text: norms of that of its mean negative log-likelihood."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import ModelError
from .loading.models import ModelFiles, input_device
from .tokens import TokenSequence

__all__ = ["ORDERS", "check_differentiable", "choose_parameters", "gradient_norms"]

ORDERS = ("1", "2", "inf")
"""Orders of the norms, in the order in which they are returned."""


def check_differentiable(files: ModelFiles) -> None:
    """Refuse, before anything is loaded, a model whose weights have no gradient.

    The weights under an adapter may be quantised: the gradient is taken at the adapter.

    Raises
    ------
    ModelError
        If the weights are quantised and there is no adapter.
    """
    if files.quantization is not None and files.spec.adapter is None:
        raise ModelError(
            f"{files.spec}: its weights are quantised ({files.quantization['quant_method']}) and have no gradient; "
            "leave out the attacks on gradients, or audit the weights before quantisation"
        )


def choose_parameters(weights: Any, files: ModelFiles) -> list[torch.nn.Parameter]:
    """Choose the tensors at which the gradient is taken, and ask PyTorch for it.

    These are the adapter's own if the target is an adapter on a base, for only they were trained; else all of the
    model's. A tensor in two places (a head tied to the embeddings) is one tensor.

    Parameters
    ----------
    weights : transformers.PreTrainedModel or peft.PeftModel
        Changed in place: the chosen tensors require a gradient, all others do not.

    Raises
    ------
    ModelError
        If a tensor is not of floating point, or is kept on disk or on the host between passes.
    """
    check_differentiable(files)
    everything = list(weights.named_parameters())
    if any(parameter.device.type == "meta" for _, parameter in everything):
        raise ModelError(
            f"{files.spec}: parts of it do not fit on the devices, and weights that come and go have no gradient; "
            "leave out the attacks on gradients, or use devices with more memory"
        )
    chosen = everything if files.spec.adapter is None else _of_adapter(weights, everything)
    whole = [name for name, parameter in chosen if not parameter.is_floating_point()]
    if whole or not chosen:
        what = f"{len(whole)} tensors are not of floating point ({whole[0]})" if whole else "no tensor can be trained"
        raise ModelError(f"{files.spec}: {what}, so there is no gradient; leave out the attacks on gradients")
    weights.requires_grad_(False)
    return [parameter.requires_grad_(True) for _, parameter in chosen]


def gradient_norms(
    weights: Any, parameters: Sequence[torch.nn.Parameter], sequences: Sequence[TokenSequence]
) -> list[float]:
    """Measure the gradient of the mean negative log-likelihood of one text's scored tokens.

    Evaluation mode, one text at a time (a batch would mix gradients). The windows of a long text are run one after
    the other, each with its share of the tokens, and their gradients add up in the precision of the weights; the loss
    is made from logits in float32 and norms are summed in float32.

    Parameters
    ----------
    weights : transformers.PreTrainedModel
        In evaluation mode, on its device or devices.
    parameters : sequence of Parameter
        From :func:`choose_parameters`; they hold no gradient before and after.
    sequences : sequence of TokenSequence
        All windows of one text.

    Returns
    -------
    list of float, length 3
        For each of :data:`ORDERS`, the mean over parameter tensors of the norm of the tensor's gradient, nats; infinite
        or NaN if the gradient is.

    Notes
    -----
    arXiv:2402.17012 (section 4), as in MIMIR's ``gradnorm.py``. A tensor that a text does not reach has gradient zero
    and counts; MIMIR leaves it out of the mean, which then is over other tensors for other texts.
    """
    device = input_device(weights)
    n_scored = sum(sequence.n_scored for sequence in sequences)
    try:
        with torch.enable_grad():
            for sequence in sequences:
                if sequence.n_scored > 0:
                    (_total_nll(weights, sequence, device) / n_scored).backward()  # type: ignore[no-untyped-call]
        return _mean_norms(parameters)
    finally:
        for parameter in parameters:
            parameter.grad = None


def _of_adapter(weights: Any, everything: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Keep the tensors that are stored with the adapter."""
    from peft import get_peft_model_state_dict

    stored = get_peft_model_state_dict(weights, save_embedding_layers=False).values()
    places = {tensor.data_ptr() for tensor in stored}
    return [
        (name, parameter)
        for name, parameter in everything
        if parameter.data_ptr() in places or name.startswith("prompt_encoder.")
    ]


def _total_nll(weights: Any, sequence: TokenSequence, device: torch.device) -> torch.Tensor:
    """Sum the negative log-likelihood of the scored tokens of one sequence, nats, shape ()."""
    ids = torch.tensor(sequence.ids, device=device)  # (n_tokens,)
    logits = weights(input_ids=ids[None], use_cache=False).logits[0, sequence.predicting]
    return F.cross_entropy(logits.float(), ids[sequence.scored].to(logits.device), reduction="sum")


def _mean_norms(parameters: Sequence[torch.nn.Parameter]) -> list[float]:
    """Average the norms of the gradients over all tensors, each order with one wait for the device."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return [0.0] * len(ORDERS)
    place = gradients[0].device
    means = []
    for order in ORDERS:
        norms = [_norm(one, float(order)).to(place) for one in gradients]
        means.append(float(torch.stack(norms).cpu().double().sum()) / len(parameters))
    return means


def _norm(gradient: torch.Tensor, order: float) -> torch.Tensor:
    """Sum in float32 at least."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    norm: torch.Tensor = torch.linalg.vector_norm(gradient, order, dtype=dtype)
    return norm
