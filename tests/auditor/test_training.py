"""The trainer: it fits, repeats exactly, ignores padding, and leaves nothing behind."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig
from transformers.utils import logging

from auditor.errors import ModelError
from auditor.experiments.training import _batches, _loss, _pad, _schedule, build, save, sequence_nll, steps_in, train
from helpers import build_tokenizer, naive_logprobs

RAGGED = [[1, 5, 6, 7, 8, 9], [2, 9, 8], [3, 7, 7, 7, 5], [4, 6, 5, 9, 9, 9, 8]]


def config(**changes: Any) -> GPT2Config:
    sizes = {"vocab_size": 20, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return GPT2Config(**sizes | {"bos_token_id": 0, "eos_token_id": 0} | changes)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def trained(*, seed: int = 0, steps: int = 5) -> torch.Tensor:
    model = build(config(), seed=0)
    train(model, RAGGED, steps=steps, batch_size=2, learning_rate=1e-2, seed=seed)
    return weights(model)


def test_four_sequences_are_learned_by_heart() -> None:
    # the first tokens differ, so nothing about the rest is open once they are given
    model = build(config(), seed=0)
    run = train(model, RAGGED, steps=150, batch_size=4, learning_rate=1e-2, seed=0, warmup=10)
    assert run.losses[0] == pytest.approx(math.log(20), abs=0.2)
    assert run.losses[-1] < 0.02
    assert run.steps == len(run.losses) == 150
    assert run.tokens == 150 * (5 + 2 + 4 + 6)


def test_another_architecture_trains_too() -> None:
    small = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip
    run = train(build(small, seed=0), RAGGED, steps=40, batch_size=4, learning_rate=2e-2, seed=0, warmup=5)
    assert run.losses[-1] < run.losses[0] / 2


def test_the_seed_decides_everything() -> None:
    assert torch.equal(trained(seed=3), trained(seed=3))
    assert not torch.equal(trained(seed=3), trained(seed=4))
    assert torch.equal(weights(build(config(), seed=1)), weights(build(config(), seed=1)))
    assert not torch.equal(weights(build(config(), seed=1)), weights(build(config(), seed=2)))


def test_global_randomness_is_neither_read_nor_changed() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = trained()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(trained(), first)


def test_padding_is_not_part_of_the_loss_or_its_gradient() -> None:
    # oracle: transformers' own mean loss of each sequence alone, weighted by its predicted tokens
    model = build(config(initializer_range=0.5), seed=0).eval()
    predicted = sum(len(row) - 1 for row in RAGGED)
    alone = sum(
        model(torch.tensor([row]), labels=torch.tensor([row])).loss * ((len(row) - 1) / predicted) for row in RAGGED
    )
    gradient = torch.autograd.grad(alone, list(model.parameters()))
    together = _loss(model, *_pad([torch.tensor(row) for row in RAGGED], model.device))
    for one, other in zip(torch.autograd.grad(together, list(model.parameters())), gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    run = train(model, RAGGED, steps=1, batch_size=4, learning_rate=0.0, seed=0)
    assert run.losses == (pytest.approx(alone.item(), rel=1e-5),)


EVEN = [[1, 5, 6, 7], [2, 9, 8, 7], [3, 7, 7, 5], [4, 6, 5, 9], [0, 1, 2, 3]]


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_equally_long_sequences_may_come_as_one_tensor(optimizer: Any) -> None:
    runs = []
    for sequences in (EVEN, torch.tensor(EVEN), torch.tensor(EVEN, dtype=torch.int32)):
        model = build(config(), seed=0)
        run = train(model, sequences, steps=6, batch_size=3, learning_rate=1e-2, seed=0, optimizer=optimizer)
        assert run.tokens == 6 * 3 * 3
        runs.append((run.losses, weights(model)))
    for losses, found in runs[1:]:
        assert losses == runs[0][0]
        assert torch.equal(found, runs[0][1])


def test_soap_learns_by_heart_and_repeats_exactly() -> None:
    runs = []
    for _ in range(2):
        model = build(config(), seed=0)
        run = train(
            model, RAGGED, steps=60, batch_size=4, learning_rate=2e-2, seed=0, warmup=10, max_gradient_norm=None,
            optimizer="soap",
        )  # fmt: skip
        assert run.losses[-1] < 0.05
        runs.append(weights(model))
    assert torch.equal(*runs)
    with pytest.raises(ValueError, match="no weight decay"):
        train(model, RAGGED, steps=1, batch_size=4, learning_rate=1e-2, seed=0, optimizer="soap", weight_decay=0.1)


def test_gradients_are_clipped_only_where_asked() -> None:
    ends = {}
    for norm in (1e9, None, 1e-3):
        model = build(config(), seed=0)
        train(model, RAGGED, steps=2, batch_size=4, learning_rate=1e-2, seed=0, max_gradient_norm=norm)
        ends[norm] = weights(model)
    assert torch.equal(ends[1e9], ends[None])
    assert not torch.equal(ends[1e-3], ends[None])


def test_bfloat16_computes_coarsely_and_keeps_the_weights_fine() -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        model = build(config(), seed=0)
        run = train(model, EVEN, steps=80, batch_size=5, learning_rate=1e-2, seed=0, warmup=10, precision=precision)  # type: ignore[arg-type]
        losses[precision] = run.losses
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not torch.equal(weights(model), weights(model).bfloat16().float())
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"][0] == pytest.approx(losses["fp32"][0], rel=1e-2)
    assert losses["bf16"][-1] < 0.1


def test_a_configuration_of_a_bfloat16_checkpoint_gives_float32_weights() -> None:
    stored, plain = build(config(dtype="bfloat16"), seed=0), build(config(), seed=0)
    assert {parameter.dtype for parameter in stored.parameters()} == {torch.float32}
    assert torch.equal(weights(stored), weights(plain))  # drawn in float32, not rounded afterwards


def test_code_lengths_against_transformers_loss_and_a_loop() -> None:
    model = build(config(initializer_range=0.5), seed=0).train()
    sequences = torch.tensor(EVEN)
    found = sequence_nll(model, sequences, batch_size=2)
    assert (found.dtype, found.shape) == (np.dtype(np.float64), (5,))
    assert model.training
    model.eval()
    assert found == pytest.approx([-sum(naive_logprobs(model, row, 1)) for row in EVEN], rel=1e-9)
    with torch.no_grad():
        losses = [3 * model(sequences[i : i + 1], labels=sequences[i : i + 1]).loss.item() for i in range(5)]
    assert found == pytest.approx(losses, rel=1e-5)
    assert sequence_nll(model, sequences, batch_size=5) == pytest.approx(found, rel=1e-6)


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    plain, dropped = build(config(), seed=0), build(config(attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5), seed=0)
    plain.eval()
    for model in (plain, dropped):
        train(model, RAGGED, steps=3, batch_size=4, learning_rate=1e-2, seed=0)
    assert torch.equal(weights(plain), weights(dropped))
    assert dropped.training
    assert not plain.training


def test_frozen_weights_stay() -> None:
    model = build(config(), seed=0)
    model.transformer.wpe.weight.requires_grad_(False)
    before = model.transformer.wpe.weight.clone()
    train(model, RAGGED, steps=3, batch_size=4, learning_rate=1e-2, seed=0)
    assert torch.equal(model.transformer.wpe.weight, before)


def test_every_epoch_shows_each_row_once_even_across_batches() -> None:
    stream = _batches(5, 3, seed=0)
    rows = [row for _ in range(10) for row in next(stream)]
    epochs = [rows[i : i + 5] for i in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_learning_rate_rises_then_falls_to_almost_nothing() -> None:
    shares = [_schedule(step, steps=100, warmup=9) for step in range(100)]
    assert shares[:2] == [pytest.approx(0.1), pytest.approx(0.2)]
    assert max(shares) == shares[9] == 1.0
    assert shares[9:] == sorted(shares[9:], reverse=True)
    assert 0 < shares[-1] < 1e-3


def test_steps_in_epochs() -> None:
    assert steps_in(3, n_sequences=10, batch_size=4) == 8  # 30 / 4, rounded up
    assert steps_in(0.5, n_sequences=8, batch_size=4) == 1


def test_on_step_is_told_every_step() -> None:
    seen: list[tuple[int, float]] = []
    run = train(
        build(config(), seed=0), RAGGED, steps=3, batch_size=2, learning_rate=1e-3, seed=0,
        on_step=lambda step, loss: seen.append((step, loss)),
    )  # fmt: skip
    assert seen == list(enumerate(run.losses, start=1))


def test_divergence_is_an_error() -> None:
    model = build(config(), seed=0)
    torch.nn.init.constant_(model.lm_head.weight, math.nan)
    with pytest.raises(ModelError, match="diverged: the loss is nan at step 1"):
        train(model, RAGGED, steps=1, batch_size=2, learning_rate=1e-3, seed=0)


@pytest.mark.parametrize("sequences", [[], [[1, 2], [3]]])
def test_sequences_with_nothing_to_predict_are_refused(sequences: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least two tokens"):
        train(build(config(), seed=0), sequences, steps=1, batch_size=1, learning_rate=1e-3, seed=0)


def test_a_saved_folder_is_a_plain_hugging_face_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = build_tokenizer()
    model = build(config(vocab_size=len(tokenizer)), seed=0)
    bars = logging.is_progress_bar_enabled()
    save(model, tokenizer, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() == bars
    assert (tmp_path / "model.safetensors").is_file()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    assert torch.equal(weights(loaded), weights(model))
    text = "Ada was 42, of it."
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]
