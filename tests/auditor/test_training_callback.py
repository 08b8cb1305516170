"""The callback sees the model as it is, logs what an audit says, stops when told, and leaves training untouched."""

import importlib.util
import logging
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from auditor.errors import ConfigError
from helpers import build_tokenizer, make_texts, naive_logprobs, write_jsonl
from helpers_training import STEPS, audits, make_trainer

KEYS = {
    f"audit/{name}{end}"
    for name in ("loss_auc", "reference_auc", "bits_per_member", "bits_per_token", "capacity_used")
    for end in ("", "_low", "_high")
}
ROOT = Path(__file__).parents[2]
N_SIDE = 20


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    return make_texts(N_SIDE, seed=1), make_texts(N_SIDE, seed=2)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = build_tokenizer()
    made.pad_token = made.eos_token
    return made


def load(file: Path) -> Any:
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(trainer: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


class Recorder:
    """Stand where W&B and TensorBoard stand: a callback that was there first."""

    def __init__(self) -> None:
        from transformers import TrainerCallback

        self.logged: list[tuple[int, dict[str, float]]] = []
        outer = self

        class Callback(TrainerCallback):
            def on_log(self, args, state, control, logs=None, **others):
                outer.logged.append((state.global_step, dict(logs)))

        self.callback = Callback()


EARLY = (1, 2, 3)
"""A quarter, half and all of an epoch: 20 texts in batches of 8."""


@pytest.mark.parametrize(
    ("start", "most", "epochs", "every", "expected"),
    [
        (0, 400, 4, 1000, {25, 50, 100}),
        (0, 400, 4, 60, {25, 50}),  # the first regular look comes before the end of the epoch
        (0, 400, 4, 10, set()),
        (40, 400, 4, 1000, {50, 100}),  # a run that goes on
        (0, 100, 1, 1000, {25, 50}),  # the end is looked at anyway
        (0, 500, 2**62, 1000, set()),  # a stream has no epochs
    ],
)
def test_early_looks_by_hand(start: int, most: int, epochs: int, every: int, expected: set[int]) -> None:
    from auditor.training_callback import _early_steps

    state = SimpleNamespace(global_step=start, max_steps=most, num_train_epochs=epochs)
    assert _early_steps(state, every) == expected


def test_early_looks_can_be_left_out(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    from auditor.training_callback import MemorizationCallback

    trainer = make_trainer(texts, tokenizer, tmp_path, steps=4)
    MemorizationCallback(*texts, every_steps=4, early=False).attach(trainer).train()
    assert [entry["step"] for entry in audits(trainer.state.log_history)] == [0, 4]


@pytest.fixture(scope="module")
def trained(texts: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Train once with the callback, and once without."""
    from auditor.training_callback import MemorizationCallback

    plain = make_trainer(texts, tokenizer, tmp_path_factory.mktemp("plain"))
    plain.train()
    watched = make_trainer(texts, tokenizer, tmp_path_factory.mktemp("watched"))
    recorder = Recorder()
    watched.add_callback(recorder.callback)
    callback = MemorizationCallback(*texts, every_steps=20)
    callback.attach(watched).train()
    return SimpleNamespace(plain=plain, watched=watched, callback=callback, logged=recorder.logged)


def test_training_is_the_same_to_the_last_bit(trained: Any) -> None:
    import torch

    plain, watched = weights(trained.plain), weights(trained.watched)
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    without = [entry for entry in trained.watched.state.log_history if "audit/loss_auc" not in entry]
    losses = [
        [entry["loss"] for entry in history if "loss" in entry]
        for history in (trained.plain.state.log_history, without)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == STEPS // 10  # an audit's entry takes the place of none
    assert trained.watched.model.training == trained.plain.model.training


def test_it_logs_every_figure_at_every_look(trained: Any) -> None:
    entries = audits(trained.watched.state.log_history)
    assert [entry["step"] for entry in entries] == [0, *EARLY, 20, 40, 60]
    for entry in entries:
        assert set(entry) == {*KEYS, "audit/seconds", "epoch", "step"}
        assert all(type(value) in (float, int) and math.isfinite(value) for value in entry.values())


def test_callbacks_that_were_there_first_see_it(trained: Any) -> None:
    seen = [(step, logs) for step, logs in trained.logged if "audit/loss_auc" in logs]
    assert [step for step, _ in seen] == [0, *EARLY, 20, 40, 60]
    assert all(set(logs) >= KEYS for _, logs in seen)


def test_memorization_rises_from_nothing(trained: Any) -> None:
    entries = audits(trained.watched.state.log_history)
    first, last = entries[0], entries[-1]
    assert first["audit/bits_per_member"] == 0
    assert first["audit/reference_auc"] == 0.5
    assert last["audit/reference_auc"] > 0.9
    assert last["audit/bits_per_member_low"] > 0
    assert last["audit/loss_auc"] > first["audit/loss_auc"]
    assert last["audit/capacity_used_low"] > 0


def test_the_last_figures_are_those_of_an_audit(trained: Any, texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    """Independent oracle: plain logits of each text alone, in float64, and the formulas written out."""
    model = trained.watched.model.eval()
    loss = []
    for text in [*texts[0], *texts[1]]:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        loss.append(np.mean(naive_logprobs(model, ids, 1)))
    wins = [(member > other) + 0.5 * (member == other) for member in loss[:N_SIDE] for other in loss[N_SIDE:]]
    assert trained.callback.figures["loss_auc"].value == pytest.approx(np.mean(wins))


def test_with_a_reference_the_figures_are_those_of_auditor_audit(
    texts: Any, tokenizer: Any, tiny_models: Any, tmp_path: Path
) -> None:
    from auditor.auditing.pipeline import audit
    from auditor.config import AttackSpec, AuditConfig, DataSpec, ModelSpec
    from auditor.training_callback import MemorizationCallback

    long = [
        [text + " the of and a to in" * 12 if i % 3 == 0 else text for i, text in enumerate(side)] for side in texts
    ]
    sides = [
        str(write_jsonl(tmp_path / f"{name}.jsonl", side, prefix=name)) for name, side in zip("mn", long, strict=True)
    ]
    trainer = make_trainer(texts, tokenizer, tmp_path / "run", steps=4)
    callback = MemorizationCallback(*sides, every_steps=4, reference=tiny_models["reference"])
    callback.attach(trainer).train()
    trainer.model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    result = audit(
        AuditConfig(
            target=ModelSpec.parse(str(tmp_path / "model")),
            references=(ModelSpec.parse(str(tiny_models["reference"])),),
            members=DataSpec(path=sides[0]),
            non_members=DataSpec(path=sides[1]),
            attacks=(AttackSpec(name="loss", params={}), AttackSpec(name="reference", params={})),
            device="cpu",
        ),
        scores_folder=tmp_path / "scores",
    ).result
    held = result.memorization
    expected = {attack.attack: attack.auc for attack in result.attacks}
    found = callback.figures
    assert result.data.members.n_cut > 0
    assert found["loss_auc"].value == pytest.approx(expected["loss"].value)
    assert found["reference_auc"].value == pytest.approx(expected["reference"].value)
    assert found["bits_per_member"].value == pytest.approx(held.debiased_bits_per_member.value, abs=1e-3)
    assert found["capacity_used"].value == pytest.approx(held.capacity_used.value, abs=1e-6)


def test_a_rule_stops_training_and_the_log_says_so(texts: Any, tokenizer: Any, tmp_path: Path, caplog: Any) -> None:
    from auditor.training_callback import MemorizationCallback, StopAbove

    trainer = make_trainer(texts, tokenizer, tmp_path)
    callback = MemorizationCallback(*texts, every_steps=10, stop_when=StopAbove({"reference_auc": 0.7}))
    with caplog.at_level(logging.WARNING, logger="auditor"):
        callback.attach(trainer).train()
    stopped_at = trainer.state.global_step
    assert stopped_at in (10, 20, 30, 40, 50)
    assert "reference_auc" in callback.stop_reason
    assert callback.stop_reason in caplog.text
    entries = audits(trainer.state.log_history)
    assert [entry["step"] for entry in entries if "audit/stopped" in entry] == [stopped_at]
    assert not any(text in caplog.text for side in texts for text in side)


def test_the_rule_sees_intervals_corrected_for_the_number_of_looks(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    from auditor.training_callback import MemorizationCallback

    seen = []

    def watch(figures: Any) -> None:
        seen.append(dict(figures))

    callback = MemorizationCallback(*texts, every_steps=2, stop_when=watch, at_end=False)
    callback.attach(make_trainer(texts, tokenizer, tmp_path, steps=10)).train()
    assert len(seen) == 6  # at step 1 as well, a quarter of an epoch
    assert all(figures["loss_auc"].level == pytest.approx(1 - 0.05 / 6) for figures in seen)
    assert callback.figures["loss_auc"].level == 0.95
    logged, given = callback.figures["loss_auc"], seen[-1]["loss_auc"]
    assert given.value == logged.value
    assert given.low < logged.low < logged.high < given.high


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("options", [{"gradient_checkpointing": True}, {"bf16": True}])
def test_it_works_with(texts: Any, tokenizer: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    """Mixed precision wraps the model's forward in autocast, checkpointing its layers; both stay as they are."""
    from auditor.training_callback import MemorizationCallback

    plain = make_trainer(texts, tokenizer, tmp_path / "plain", steps=4, **options)
    plain.train()
    watched = make_trainer(texts, tokenizer, tmp_path / "watched", steps=4, **options)
    forward = {}
    callback = MemorizationCallback(*texts, every_steps=2, stop_when=lambda _: forward.update(vars(watched.model)))
    callback.attach(watched).train()
    first, second = map(weights, (plain, watched))
    assert all(first[name].equal(second[name]) for name in first)
    assert [entry["step"] for entry in audits(watched.state.log_history)] == [0, 1, 2, 4]
    assert forward.get("forward") == vars(watched.model).get("forward")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_of_an_adapter_everything_but_the_capacity_is_logged(
    texts: Any, tokenizer: Any, tmp_path: Path, caplog: Any
) -> None:
    from peft import LoraConfig, get_peft_model

    from auditor.training_callback import MemorizationCallback

    found = []
    for watched in (False, True):
        base = make_trainer(texts, tokenizer, tmp_path / "base").model
        lora = LoraConfig(r=4, target_modules=["c_attn"], task_type="CAUSAL_LM", lora_dropout=0.1, fan_in_fan_out=True)
        trainer = make_trainer(texts, tokenizer, tmp_path / "run", steps=4, model=get_peft_model(base, lora))
        if watched:
            MemorizationCallback(*texts, every_steps=4).attach(trainer)
        trainer.train()
        found.append(weights(trainer))
    assert all(found[0][name].equal(found[1][name]) for name in found[0])
    keys = {key for key in audits(trainer.state.log_history)[-1] if key.startswith("audit/")}
    assert keys == {key for key in KEYS if "capacity" not in key} | {"audit/seconds"}
    assert caplog.text.count("audit/capacity_used is not logged: the capacity of an adapter") == 1


def test_sides_that_differ_before_training_are_told(texts: Any, tokenizer: Any, tmp_path: Path, caplog: Any) -> None:
    from auditor.training_callback import MemorizationCallback

    knows = make_trainer(texts, tokenizer, tmp_path / "before")
    knows.train()
    again = make_trainer(texts, tokenizer, tmp_path / "again", steps=1, model=knows.model)
    MemorizationCallback(*texts, every_steps=1, at_end=False).attach(again).train()
    assert "before training the loss alone tells members from non-members" in caplog.text


def test_what_cannot_work_is_refused_before_training(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    from auditor.training_callback import MemorizationCallback

    with pytest.raises(ConfigError, match="every_steps"):
        MemorizationCallback(*texts, every_steps=0)
    trainer = make_trainer(texts, tokenizer, tmp_path, steps=1)
    trainer.add_callback(MemorizationCallback(*texts, every_steps=1))
    with pytest.raises(ConfigError, match="attach"):
        trainer.train()
    trainer = make_trainer(texts, tokenizer, tmp_path, steps=1)
    trainer.processing_class = trainer.callback_handler.processing_class = None
    with pytest.raises(ConfigError, match="tokenizer"):
        MemorizationCallback(*texts, every_steps=1).attach(trainer).train()


def test_a_run_that_goes_on_needs_a_reference(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    from auditor.training_callback import MemorizationCallback

    make_trainer(texts, tokenizer, tmp_path, steps=2, save_strategy="steps", save_steps=2).train()
    trainer = make_trainer(texts, tokenizer, tmp_path, steps=4)
    MemorizationCallback(*texts, every_steps=2).attach(trainer)
    with pytest.raises(ConfigError, match="give a reference"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_the_example_trains_audits_and_stops(texts: Any, tokenizer: Any, tmp_path: Path, capsys: Any) -> None:
    make_trainer(texts, tokenizer, tmp_path).save_model(str(tmp_path / "base"))
    sides = [write_jsonl(tmp_path / f"{name}.jsonl", side) for name, side in zip("mn", texts, strict=True)]
    arguments = ["--model", tmp_path / "base", "--members", sides[0], "--non-members", sides[1]]
    arguments += ["--out", tmp_path / "run", "--steps", STEPS, "--every", 20, "--lr", 0.01, "--max-auc", 0.7]
    load(ROOT / "examples" / "train_with_audit.py").main(list(map(str, arguments)))
    assert "stopped at step 40: reference_auc" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")
@pytest.mark.filterwarnings("ignore")
def test_it_works_with_the_trainer_of_trl(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    import datasets
    from trl import SFTConfig, SFTTrainer

    from auditor.training_callback import MemorizationCallback

    def train(folder: Path, watched: bool) -> Any:
        model = make_trainer(texts, tokenizer, folder).model
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=str(folder),
                max_steps=STEPS,
                per_device_train_batch_size=8,
                learning_rate=1e-2,
                logging_steps=20,
                report_to=[],
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
                max_length=64,
                bf16=False,
            ),
            train_dataset=datasets.Dataset.from_dict({"text": texts[0]}),
            processing_class=tokenizer,
        )
        if watched:
            MemorizationCallback(*texts, every_steps=30).attach(trainer)
        trainer.train()
        return trainer

    plain, watched = train(tmp_path / "plain", False), train(tmp_path / "watched", True)
    first, second = weights(plain), weights(watched)
    assert all(first[name].equal(second[name]) for name in first)
    entries = audits(watched.state.log_history)
    assert [entry["step"] for entry in entries] == [0, *EARLY, 30, 60]
    assert entries[-1]["audit/reference_auc"] > 0.9
    others = [entry for entry in watched.state.log_history if "loss" in entry]
    for entry, expected in zip(others, [e for e in plain.state.log_history if "loss" in e], strict=True):
        assert {k: v for k, v in entry.items() if "_per_second" not in k} == {
            k: v for k, v in expected.items() if "_per_second" not in k
        }


@pytest.mark.slow
def test_all_processes_stop_at_the_same_step(tmp_path: Path) -> None:
    """Under DDP the first process audits, and one that did not hear of the end would wait for gradients forever."""
    script = Path(__file__).with_name("train_in_two_processes.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(tmp_path)]
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        torchrun,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    said = sorted(re.findall(r"said (\d) (\d+) (\[.*?\]) (.*)", done.stdout))
    assert [one[0] for one in said] == ["0", "1"]
    step = int(said[0][1])
    assert 0 < step < STEPS
    assert said[1][1] == said[0][1]
    assert said[0][2] == str(list(range(0, step + 1, 10)))
    assert said[1][2] == "[]"
    assert said[0][3] == said[1][3] != "None"
