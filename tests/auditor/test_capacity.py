"""The capacity measurement: what is counted, what is run, and what is said of it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedConfig

from auditor.documents.capacity import CapacityMeasurement, CapacityRun, Extrapolation, read_capacity
from auditor.documents.files import to_text
from auditor.errors import ConfigError, ModelError
from auditor.experiments import capacity
from auditor.experiments.capacity import CapacityPlan, measure_capacity
from auditor.experiments.lora import open_base
from auditor.experiments.presets import PRESETS, Training, default_training
from auditor.experiments.training import build, save, sequence_nll, train
from auditor.laws.capacity import measured_bits_per_parameter
from helpers import build_tokenizer

FAST = Training(steps=12, batch_size=16, learning_rate=4e-2, optimizer="soap")


def plan(**more: object) -> CapacityPlan:
    preset = PRESETS["smoke"]
    given = {"name": "smoke", "config": preset.config(), "sample_tokens": 16, "training": FAST, "n_seeds": 2}
    return CapacityPlan(**(given | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> CapacityMeasurement:
    return measure_capacity(plan(), folder=tmp_path_factory.mktemp("capacity"))


def test_the_runs(measured: CapacityMeasurement) -> None:
    assert [run.role for run in measured.runs] == ["self-check", *["size"] * 6, *["schedule"] * 2]
    assert [run.steps for run in measured.runs[-2:]] == [30, 72]
    expected = 3.6 * measured.n_parameters / (15 * math.log2(64))
    sizes = [run.n_samples for run in measured.runs[:6]]
    assert sizes == [round(multiple * expected) for multiple in (0.4, 0.8, 1.0, 1.22, 2.0, 4.0)]
    for run in measured.runs:
        assert run.dataset_bits == run.n_samples * 15 * 6  # log2 64 is 6; the first of 16 tokens is given
        assert run.bits_per_parameter == pytest.approx(run.memorized_bits / measured.n_parameters)
        assert run.share_memorized == pytest.approx(run.memorized_bits / run.dataset_bits)
    assert measured.bits_per_parameter == max(run.bits_per_parameter for run in measured.runs)
    assert measured.seed_low is not None
    assert measured.seed_high is not None
    assert measured.seed_low < measured.seed_high


def test_parameters_are_counted(measured: CapacityMeasurement) -> None:
    model = build(PRESETS["smoke"].config(), seed=0)
    assert measured.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert measured.n_embedding_parameters == (64 + 16) * 8


def test_memorised_bits_against_an_independent_loop() -> None:
    """Train one job by hand, and code the sequences token by token in Python."""
    job = capacity._jobs(plan(), 1528)[0]
    run = capacity._train(job, lambda share: None)
    sequences = capacity._random_tokens(job.n_samples, 16, 64, seed=1000)
    model = build(PRESETS["smoke"].config(), seed=0)
    train(
        model, sequences, steps=12, batch_size=16, learning_rate=4e-2, seed=0, max_gradient_norm=None, optimizer="soap"
    )
    bits = 0.0
    for row in sequences.tolist():
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row])).logits[0].double().numpy()
        for place in range(1, 16):
            scores = logits[place - 1]
            bits -= (scores[row[place]] - scores.max() - math.log(np.exp(scores - scores.max()).sum())) / math.log(2)
    assert run.memorized_bits == pytest.approx(job.n_samples * 15 * 6 - bits, abs=1e-3)


def test_a_model_that_knows_nothing_holds_nothing() -> None:
    """With all weights zero every token costs log2 V, so that memorised bits are zero: no constant is off."""
    model = build(PRESETS["smoke"].config(), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    sequences = capacity._random_tokens(5, 16, 64, seed=1)
    assert sequence_nll(model, sequences, batch_size=2) / math.log(2) == pytest.approx(np.full(5, 15 * 6.0))


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measure_capacity(plan(n_seeds=1), folder=tmp_path)
    (tmp_path / "capacity.json").write_text(to_text(first))
    monkeypatch.setattr(capacity, "train", None)  # nothing is trained again
    again = measure_capacity(plan(n_seeds=1), folder=tmp_path)
    assert replace(again, seconds=0.0) == replace(first, seconds=0.0)
    assert read_capacity(tmp_path) == first
    assert measured_bits_per_parameter(first).value == first.bits_per_parameter
    assert "lower bound" in measured_bits_per_parameter(first).source


@pytest.mark.slow
def test_two_processes_measure_the_same(measured: CapacityMeasurement, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    found = measure_capacity(plan(), folder=tmp_path, workers=2, on_progress=lambda *both: told.append(both))
    for one, other in zip(found.runs, measured.runs, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)
    assert found.bits_per_parameter == measured.bits_per_parameter
    assert told[-1][0] == told[-1][1]


def test_a_checkpoint_stored_in_bfloat16_is_measured_in_float32() -> None:
    job = replace(capacity._jobs(plan(), 1528)[0], steps=3)
    config = PRESETS["smoke"].config()
    config.dtype = torch.bfloat16
    stored = replace(capacity._jobs(plan(config=config), 1528)[0], steps=3)
    assert stored.config != job.config
    found, expected = (capacity._train(each, lambda share: None) for each in (stored, job))
    assert replace(found, seconds=0.0) == replace(expected, seconds=0.0)


@pytest.mark.parametrize("steps", [1, 40])
def test_divergence_is_an_error_even_at_the_last_update(steps: int) -> None:
    job = replace(capacity._jobs(plan(), 1528)[0], steps=steps, learning_rate=1e38)
    with pytest.raises(ModelError, match="diverged"):
        capacity._train(job, lambda share: None)


def test_what_is_wrong_is_warned_about(measured: CapacityMeasurement) -> None:
    words = " ".join(measured.warnings)
    assert "self-check failed" in words
    assert "not converged" in words
    assert not measured.converged


def test_bfloat16_rounds_the_weights() -> None:
    job = replace(capacity._jobs(plan(precision="bf16"), 1528)[0], steps=3)
    assert job.precision == "bf16"
    run = capacity._train(job, lambda share: None)
    assert math.isfinite(run.memorized_bits)
    model = build(PRESETS["smoke"].config(), seed=0)
    capacity.round_weights(model)
    for parameter in model.parameters():
        assert torch.equal(parameter, parameter.bfloat16().float())


def test_sequences_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads 16 tokens"):
        measure_capacity(plan(sample_tokens=17), folder=tmp_path)
    with pytest.raises(ConfigError, match="at least 2"):
        measure_capacity(plan(sample_tokens=1), folder=tmp_path)


def test_a_configuration_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    one = PRESETS["smoke"].config()
    one.vocab_size = 1
    for config, n_vocabulary in ((PreTrainedConfig(), None), (one, 1)):
        with pytest.raises(ConfigError, match=f"a vocabulary of {n_vocabulary}"):
            measure_capacity(plan(config=config), folder=tmp_path)


def run(steps: int, held: float, *, role: Any = "schedule", n_samples: int = 10) -> CapacityRun:
    return CapacityRun(
        role=role, n_samples=n_samples, dataset_bits=1e4, seed=0, steps=steps, epochs=1.0, memorized_bits=held,
        bits_per_parameter=held, share_memorized=held / 1e4, test_bits_per_token=6.0, seconds=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(("best", "warned"), [(0, True), (1, True), (2, False), (3, True), (4, False)])
def test_a_best_run_at_the_edge_of_the_sizes_is_warned_about(best: int, warned: bool) -> None:
    held = [3.0 if i == best else 1.0 for i in range(5)]
    runs = [
        run(10, held[0], role="self-check", n_samples=3),
        *[run(10, held[1 + i], role="size", n_samples=n) for i, n in enumerate((6, 10, 30))],
        run(20, held[4], n_samples=10),
    ]
    words = " ".join(capacity._warnings(plan(), runs, runs[best], _extrapolated(3), 0.0, 1.0))
    assert ("smallest or the largest" in words) == warned


def test_what_is_left_out_is_said() -> None:
    runs = [run(10, 1.0, role="size", n_samples=n) for n in (6, 10, 30)]
    for n, said in ((2, True), (3, False)):
        words = " ".join(capacity._warnings(plan(), runs, runs[1], _extrapolated(n), 0.0, 1.0))
        assert ("left out" in words) == said


def _extrapolated(n: int) -> list[Extrapolation]:
    return [Extrapolation(form=str(i), bits_per_parameter=4.0) for i in range(n)]


@pytest.mark.parametrize("power", [0.5, 0.7, 1.0])
def test_extrapolations_find_the_form_they_assume(power: float) -> None:
    lengths = (1000, 2500, 6000)
    found = capacity._extrapolations([run(steps, 3.6 - 20 * steps**-power) for steps in lengths])
    limits = {one.form: one.bits_per_parameter for one in found}
    assert limits[f"a - b / steps^{power:.2f}"] == pytest.approx(3.6, abs=1e-6)
    if power == 1.0:
        assert limits["a - b / steps"] == pytest.approx(3.6)
    if power == 0.5:
        assert limits["a - b / sqrt(steps)"] == pytest.approx(3.6)


def test_a_power_that_is_not_there_is_left_out() -> None:
    found = capacity._extrapolations([run(steps, held) for steps, held in ((1000, 1.0), (2500, 2.0), (6000, 9.0))])
    assert [one.form for one in found] == ["a - b / steps", "a - b / sqrt(steps)"]


def test_the_ordering_bound_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four sequences start with 1 and two with 2: 4 log2 4 + 2 log2 2 = 10 bits; one that comes twice has 2/4."""
    drawn = torch.tensor([[1, 0], [1, 1], [1, 2], [1, 3], [2, 0], [2, 1]])
    monkeypatch.setattr(capacity, "_random_tokens", lambda *args, **more: drawn)
    assert capacity._ordering_bits(plan(), run(1, 1.0)) == 10.0
    drawn[3, 1] = 2
    assert capacity._ordering_bits(plan(), run(1, 1.0)) == 2 * 2 + 2 * 1 + 2


def test_defaults_for_other_architectures() -> None:
    small, large = default_training(16_000, 64), default_training(16_000_000, 64)
    assert small.learning_rate == 4e-2
    assert large.learning_rate == pytest.approx(4e-2 / math.sqrt(1000))
    assert (small.batch_size, large.steps) == (32, 20_000)


def test_presets_say_what_they_are() -> None:
    for name, preset in PRESETS.items():
        assert preset.description, name
        assert json.loads(preset.config().to_json_string(use_diff=False))["n_embd"] == preset.n_embd


@pytest.mark.slow
def test_the_tiny_preset_holds_most_of_what_it_can(tmp_path: Path) -> None:
    """A tenth of its steps: everything far below the capacity, and near 3 bits per parameter at it."""
    preset = PRESETS["tiny"]
    jobs = capacity._jobs(
        CapacityPlan(name="tiny", config=preset.config(), sample_tokens=64, training=preset.training, n_seeds=1), 15_808
    )
    self_check = capacity._train(jobs[0], lambda share: None)
    assert self_check.share_memorized > 0.99
    at_capacity = capacity._train(replace(jobs[3], steps=1050), lambda share: None)
    assert 2.9 < at_capacity.bits_per_parameter < 4.5


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_lora_counts_its_own_parameters_and_leaves_the_rest(tmp_path: Path) -> None:
    """Its base is trained on other sequences, kept, and found again; only the adapter learns."""
    measured = measure_capacity(plan(lora_rank=2, n_seeds=1), folder=tmp_path)
    # rank 2 on the four linear layers of a block of width 8: 2 * (8 + 24 + 8 + 8 + 8 + 32 + 32 + 8) = 256
    assert (measured.lora_rank, measured.n_trained_parameters) == (2, 256)
    assert measured.n_parameters == 1528
    assert measured.bits_per_parameter == pytest.approx(measured.best.memorized_bits / 256)
    assert measured_bits_per_parameter(measured).lora_rank == 2
    assert any("bits of each parameter of a LoRA of rank 2" in text for text in measured.warnings)
    (base,) = tmp_path.glob("base-*.safetensors")
    job = replace(capacity._jobs(plan(), 256, base=str(base))[0], lora_rank=2, base=str(base), steps=5)
    model, _ = capacity.fit_random(job, lambda share: None)
    kept = open_base(str(base), lambda: build(PRESETS["smoke"].config(), seed=9)).state_dict()
    frozen = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): tensor
        for name, tensor in model.state_dict().items()
        if "lora_" not in name
    }
    assert all(torch.equal(frozen[name], tensor) for name, tensor in kept.items())
    written = base.stat().st_mtime_ns
    again = measure_capacity(plan(lora_rank=2, n_seeds=1), folder=tmp_path)
    assert again.runs == measured.runs
    assert base.stat().st_mtime_ns == written


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_lora_on_the_weights_of_a_folder(tmp_path: Path) -> None:
    config = PRESETS["smoke"].config()
    tokenizer = build_tokenizer(64 + 200)
    config.vocab_size = len(tokenizer)
    save(build(config, seed=0), tokenizer, tmp_path / "model")
    measured = measure_capacity(
        plan(config=config, lora_rank=1, n_seeds=1, weights=tmp_path / "model"), folder=tmp_path / "out"
    )
    assert measured.base == "the weights of the model"
    assert not list((tmp_path / "out").glob("base-*"))


def test_a_base_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "base-0.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="the base of the LoRA cannot be read"):
        open_base(str(broken), lambda: build(PRESETS["smoke"].config(), seed=0))
