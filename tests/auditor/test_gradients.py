"""Gradient norms: by hand, against plain transformers and autograd, and by finite differences."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from attacks import Need
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.engine import measures
from auditor.engine.gradients import ORDERS, check_differentiable, choose_parameters, gradient_norms
from auditor.engine.loading.models import load_weights, open_model
from auditor.engine.measures import Measures, check_measurable
from auditor.engine.models import open_models
from auditor.engine.tokens import TokenSequence
from auditor.errors import ModelError
from helpers import make_texts, naive_logprobs
from helpers_engine import load_plainly, measure_texts

NEEDS = frozenset({Need.GRADIENTS})
IGNORED = -100


@pytest.fixture
def measure(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[..., Measures]:
    """Return a function that measures the gradients of texts."""

    def run(texts: list[str], *, target: ModelSpec | None = None, **options: Any) -> Measures:
        spec = target or ModelSpec(path=str(tiny_models["target"]))
        config = AuditConfig(target=spec, members=DataSpec(path="unused"), **options)
        return measure_texts(config, texts, NEEDS, scores_folder=tmp_path / "scores")

    return run


@pytest.fixture
def texts() -> list[str]:
    found = make_texts(4, seed=5)
    return [*found, "x", "İstanbul\x00 güzel"]


def norms_of(gradients: Sequence[torch.Tensor]) -> list[float]:
    """The mean of the tensors' norms, by numpy in float64."""
    flat = [gradient.double().numpy().ravel() for gradient in gradients]
    return [float(np.mean([np.linalg.norm(one, order) for one in flat])) for order in (1, 2, np.inf)]


def by_hand(model: Any, windows: Sequence[tuple[list[int], int]]) -> list[float]:
    """The oracle: the loss that transformers makes of labels, one backward pass, numpy norms."""
    model.zero_grad(set_to_none=True)
    n_scored = sum(len(ids) - first for ids, first in windows)
    for ids, first in windows:
        labels = torch.tensor([[IGNORED] * first + ids[first:]])
        loss = model(input_ids=torch.tensor([ids]), labels=labels).loss
        (loss * (len(ids) - first) / n_scored).backward()
    return norms_of([parameter.grad for parameter in model.parameters() if parameter.requires_grad])


class _Bigrams(torch.nn.Module):
    """Logits of the next token are a row of a table; another tensor is in no text's way."""

    class Output(NamedTuple):
        logits: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(2, 2)
        torch.nn.init.zeros_(self.table.weight)
        self.unused = torch.nn.Parameter(torch.ones(3))

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Output:
        return self.Output(self.table(input_ids))


def test_by_hand() -> None:
    model = _Bigrams()
    parameters = list(model.parameters())
    # logits 0, so p = 1/2 each. Text 0 1: d nll / d row 0 = p - onehot = (1/2, -1/2), row 1 untouched:
    # norms 1, sqrt(1/2), 1/2; the unused tensor has 0; the mean of two tensors is half.
    found = gradient_norms(model, parameters, [TokenSequence((0, 1), 1)])
    assert found == pytest.approx([0.5, 0.5**0.5 / 2, 0.25])
    # 0 1 0 with both scored: half the gradient in row 0 (1/4, -1/4), half in row 1 (-1/4, 1/4): norms 1, 1/2, 1/4.
    # The same in two windows, of which the second scores its last token only.
    for windows in ([TokenSequence((0, 1, 0), 1)], [TokenSequence((0, 1), 1), TokenSequence((0, 1, 0), 2)]):
        assert gradient_norms(model, parameters, windows) == pytest.approx([0.5, 0.25, 0.125])
    assert all(parameter.grad is None for parameter in parameters)


@pytest.mark.parametrize("prefix", ["auto", "none"])
def test_against_plain_transformers(
    measure: Callable[..., Measures], texts: list[str], tiny_models: dict[str, Path], prefix: str
) -> None:
    shown = [text for text in texts if len(text) > 1]
    found = measure(shown, prefix_token=prefix).gradient_norms(slice(None))
    model, tokenizer = load_plainly(tiny_models["target"])
    start = [0] if prefix == "auto" else []
    for i, text in enumerate(shown):
        ids = [*start, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        assert found is not None
        assert [found[order][i] for order in ORDERS] == pytest.approx(by_hand(model, [(ids, 1)]), rel=1e-5)


def test_windows_of_a_long_text(measure: Callable[..., Measures], tiny_models: dict[str, Path]) -> None:
    text = "Ada had 12345 of it. " * 9
    found = measure([text], long_texts="stride", max_tokens=20).norms
    model, tokenizer = load_plainly(tiny_models["target"])
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [([0, *ids[:20]], 1)]
    for start in range(20, len(ids), 10):  # overlap by half: each scored token has at least 10 before it
        stop = min(start + 10, len(ids))
        context = ids[max(0, stop - 20) : start]
        windows.append(([0, *context, *ids[start:stop]], 1 + len(context)))
    assert len(windows) > 3
    assert found is not None
    assert found[0].tolist() == pytest.approx(by_hand(model, windows), rel=1e-4)


def test_finite_differences(tiny_models: dict[str, Path]) -> None:
    model, tokenizer = load_plainly(tiny_models["target"])
    model = model.double().requires_grad_(False)
    bias = model.transformer.ln_f.bias.requires_grad_(True)
    ids = (0, *tokenizer("He was 7.", add_special_tokens=False)["input_ids"])
    found = gradient_norms(model, [bias], [TokenSequence(ids, 1)])

    def loss() -> float:
        return -float(np.mean(naive_logprobs(model, ids, 1)))

    slopes, step = [], 1e-4
    for i in range(len(bias)):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[i] += sign * step
                sides.append(loss())
                bias[i] -= sign * step
        slopes.append((sides[0] - sides[1]) / (2 * step))
    assert found == pytest.approx([np.linalg.norm(slopes, order) for order in (1, 2, np.inf)], rel=1e-5)


def test_tied_head_is_one_tensor(tiny_models: dict[str, Path]) -> None:
    model, tokenizer = load_plainly(tiny_models["target"])
    files = open_model(ModelSpec(path=str(tiny_models["target"])))
    parameters = choose_parameters(model, files)
    ids = (0, *tokenizer("He was 7.", add_special_tokens=False)["input_ids"])
    tied = gradient_norms(model, parameters, [TokenSequence(ids, 1)])

    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    untied = choose_parameters(model, files)
    assert len(untied) == len(parameters) + 1
    model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.backward()
    apart = {name: parameter.grad for name, parameter in model.named_parameters()}
    apart["transformer.wte.weight"] = apart["transformer.wte.weight"] + apart.pop("lm_head.weight")
    assert tied == pytest.approx(norms_of(list(apart.values())), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it
def test_adapter_alone(measure: Callable[..., Measures], tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    base, tokenizer = load_plainly(tiny_models["target"])
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights=False)
    get_peft_model(base, lora).save_pretrained(tmp_path / "adapter")
    text = "He was 7."
    spec = ModelSpec(path=str(tiny_models["target"]), adapter=str(tmp_path / "adapter"))
    found = measure([text], target=spec)
    trained = PeftModel.from_pretrained(
        load_plainly(tiny_models["target"])[0], tmp_path / "adapter", is_trainable=True
    ).eval()
    ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert found.norms is not None
    assert found.norms[0].tolist() == pytest.approx(by_hand(trained, [(ids, 1)]), rel=1e-5)
    assert any("adapter's tensors alone" in note for note in found.notes)


def test_refusals(measure: Callable[..., Measures], tiny_models: dict[str, Path], monkeypatch: Any) -> None:
    spec = ModelSpec(path=str(tiny_models["target"]))
    files = open_model(spec)
    quantised = replace(files, quantization={"quant_method": "gptq"})
    with pytest.raises(ModelError, match=r"quantised \(gptq\) and have no gradient; leave out"):
        check_differentiable(quantised)
    check_differentiable(replace(quantised, spec=replace(spec, adapter="somewhere")))
    config = AuditConfig(target=spec, members=DataSpec(path="unused"))
    opened = replace(open_models(config)[0], files=quantised)
    check_measurable(opened, frozenset({Need.CONTINUATIONS}))
    with pytest.raises(ModelError, match="quantised"):
        check_measurable(opened, NEEDS)

    weights, _ = load_weights(files, dtype="float32", device="cpu")
    weights.register_parameter("packed", torch.nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False))
    with pytest.raises(ModelError, match=r"1 tensors are not of floating point \(packed\)"):
        choose_parameters(weights, files)

    monkeypatch.setattr(measures, "gradient_norms", lambda *_: [1.0, float("inf"), 1.0])
    with pytest.raises(ModelError, match=r"text of 2 of 3 samples, in float32: its weights") as raised:
        measure(["Ada was here, and here.", "x", "Ada was here, and here."])
    assert "Ada" not in str(raised.value)
