"""The calibration sweep: the cut, the plan, the attacks on its models, and going on after an interruption."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.documents.calibration import Calibration, read_calibration
from auditor.documents.files import to_text
from auditor.errors import ConfigError, DataError
from auditor.experiments import calibration as calibration_module
from auditor.experiments.calibration import calibrate
from auditor.experiments.corpus import Corpus, cut_corpus, train_tokenizer
from auditor.experiments.sweep import (
    CalibrationPlan,
    TrainedModel,
    default_configs,
    largest_cell,
    open_sizes,
    shared_samples,
)
from helpers import make_texts

N_VOCABULARY = 40


class Letters:
    """A tokenizer whose tokens are letters."""

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(letter) - ord("a") for letter in text] for text in texts]}

    def batch_decode(self, many: list[list[int]]) -> list[str]:
        return ["".join(chr(ord("a") + token) for token in ids) for ids in many]

    def __len__(self) -> int:
        return 26


def cut(texts: list[str], **changes: Any) -> Corpus:
    values = {"n_held_out": 1, "n_pool": 1, "n_reference": 1, "sample_tokens": 3} | changes
    return cut_corpus(texts, Letters(), name="letters", tokenizer_name="one a letter", **values)


def words(samples: Any) -> list[str]:
    return ["".join(chr(ord("a") + int(token)) for token in row) for row in samples]


def plan(**changes: Any) -> CalibrationPlan:
    values: dict[str, Any] = {
        "configs": default_configs(N_VOCABULARY, 8),
        "ratios": (0.002, 0.004, 0.008),
        "epochs": 1.0,
        "least_steps": 3,
        "reference_steps": 4,
        "batch_size": 8,
        "n_held_out": 30,
        "n_reference": 20,
    }
    return CalibrationPlan(**values | changes)


def corpus(n_pool: int = 300) -> Corpus:
    tokens = np.random.default_rng(0).integers(N_VOCABULARY, size=(n_pool + 50, 8))
    return Corpus(
        name="random tokens",
        tokenizer="none",
        n_vocabulary=N_VOCABULARY,
        held_out=tokens[:30],
        pool=tokens[50:],
        reference=tokens[30:50],
        notes=("drawn",),
    )


# ---- the cut


def test_texts_are_cut_from_their_start_and_the_rest_is_dropped() -> None:
    # abc|def|g, abc|xy, no, qrs: abc twice
    found = cut(["abcdefg", "abcxy", "no", "qrs"])
    samples = words(found.held_out) + words(found.pool) + words(found.reference)
    assert sorted(samples) == ["abc", "def", "qrs"]
    assert found.sample_tokens == 3
    assert found.n_vocabulary == 26
    cut_note, repeats, split = found.notes
    assert cut_note.startswith("4 texts, 17 tokens, cut into 4 samples of 3 tokens; 5 tokens")
    assert cut_note.endswith("1 texts shorter than a sample")
    assert repeats == "1 exact repeats dropped, 3 different samples kept"
    assert "1 held out, 1 to draw members from, 1 for references" in split
    assert "different sides" in split


def test_the_split_is_random_disjoint_and_its_seed_s() -> None:
    texts = [chr(97 + i) * 3 for i in range(26)]
    first, again, other = (cut(texts, n_held_out=5, n_pool=7, seed=seed) for seed in (0, 0, 1))
    parts = [words(first.held_out), words(first.pool), words(first.reference)]
    assert [len(part) for part in parts] == [5, 7, 14]
    assert sorted([*parts[0], *parts[1], *parts[2]]) == texts
    assert words(again.held_out) == parts[0] != words(other.held_out)
    # neither the order of the texts nor repeats of them change it
    assert words(cut([*texts[::-1], "aaa"], n_held_out=5, n_pool=7).pool) == parts[1]


def test_too_little_text_says_how_much_there_is() -> None:
    with pytest.raises(DataError) as caught:
        cut(["abcdef"], n_held_out=2, n_pool=3, n_reference=4)
    assert str(caught.value) == (
        "letters: 1 texts hold 2 different samples of 3 tokens, but the sweep needs 9 (2 held out, 3 for members, 4 "
        "for references): give more text, smaller models, smaller ratios or fewer held-out samples"
    )
    with pytest.raises(DataError, match="0 texts hold 0 different samples"):
        cut([])
    with pytest.raises(ConfigError, match="at least two tokens"):
        cut(["abc"], sample_tokens=1)


def test_the_tokenizer_is_bytewise_and_loses_nothing() -> None:
    texts = make_texts(40, seed=3)
    tokenizer = train_tokenizer(texts, n_vocabulary=300)
    assert len(tokenizer) == 300
    assert tokenizer.decode(tokenizer("naïve 漢字")["input_ids"]) == "naïve 漢字"
    found = cut_corpus(
        texts, tokenizer, name="t", tokenizer_name="b", n_held_out=5, n_pool=5, n_reference=5, sample_tokens=8
    )
    assert found.pool.shape == (5, 8)
    with pytest.raises(ConfigError, match="at least 257 tokens"):
        train_tokenizer(texts, n_vocabulary=256)


# ---- the plan


def test_default_models_have_the_sizes_that_they_claim() -> None:
    # wte + wpe, two norms, attention (3 + 1) and MLP (4 + 4) with biases, last norm
    def count(width: int) -> int:
        return 576 * width + 6 * width + 12 * width**2 + 9 * width

    sizes = open_sizes(CalibrationPlan(configs=default_configs(512)), sample_tokens=64)
    assert [size.n_parameters for size in sizes] == [count(8), count(16)] == [5496, 12528]
    assert sizes[0].members == (69, 137, 275, 550, 1099)
    assert [size.architecture for size in sizes] == ["GPT2LMHeadModel"] * 2
    assert sizes[1].learning_rate == pytest.approx(2.2 / math.sqrt(12528))
    assert largest_cell(CalibrationPlan(configs=default_configs(512)), sample_tokens=64) == 2506


def test_members_of_shorter_samples_are_as_many_more() -> None:
    # 8 tokens are an eighth of a 64-token sample
    size = open_sizes(plan(), sample_tokens=8)[0]
    assert size.members == tuple(round(8 * ratio * size.n_parameters) for ratio in (0.002, 0.004, 0.008))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configs": ()}, "at least one model size"),
        ({"ratios": ()}, "ratios must be greater than 0"),
        ({"ratios": (0.1, -1.0)}, "ratios must be greater than 0"),
        ({"epochs": math.nan}, "epochs must be greater than 0, got nan"),
        ({"batch_size": 0}, "batch_size must be greater than 0, got 0"),
        ({"longer": 0.5}, "longer must be greater than 1, or 0"),
        ({"n_held_out": 3}, "at least 20 samples must be held out, got 3"),
        ({"learning_rates": (0.1,)}, "1 learning rates for 2 model sizes"),
    ],
)
def test_a_plan_that_cannot_be_run_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**changes)


def test_sizes_that_do_not_fit_say_why() -> None:
    with pytest.raises(ConfigError, match="model size 1 reads 8 tokens, but a sample has 9"):
        open_sizes(plan(), sample_tokens=9)
    with pytest.raises(ConfigError, match=r"means \d members; at least 20 are needed: use ratios from"):
        open_sizes(plan(ratios=(0.0001,)), sample_tokens=8)
    with pytest.raises(ConfigError, match="same number of parameters"):
        open_sizes(plan(configs=default_configs(N_VOCABULARY, 8)[:1] * 2), sample_tokens=8)
    with pytest.raises(ConfigError, match="model size 1: not a Hugging Face configuration"):
        open_sizes(plan(configs=("{}",)), sample_tokens=8)


def test_a_corpus_that_does_not_fit_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the pool has 10: cut a larger one"):
        calibrate(plan(), corpus(10), folder=tmp_path, workers=1)
    with pytest.raises(ConfigError, match="has 40 tokens, the tokenizer 41"):
        calibrate(plan(), replace(corpus(), n_vocabulary=41), folder=tmp_path, workers=1)
    assert list(tmp_path.iterdir()) == []


# ---- the sweep


def test_a_sweep_from_end_to_end_that_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    first = calibrate(plan(), corpus(), folder=tmp_path, workers=1, on_progress=lambda a, b: shares.append(a / b))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert not (tmp_path / "samples.npz").exists()
    assert [cell.n_samples for cell in first.cells if cell.params == first.cells[0].params] == [
        round(8 * ratio * first.cells[0].params) for ratio in (0.002, 0.004, 0.008)
    ]
    assert all(cell.samples_per_parameter == pytest.approx(cell.n_samples / 8 / cell.params) for cell in first.cells)
    # random tokens cost a model that has learned nothing log2(40) bits each
    assert all(cell.non_member_bits_per_token == pytest.approx(math.log2(40), abs=0.3) for cell in first.cells)
    assert [law.attack for law in first.laws] == ["loss", "reference"]
    assert first.training_effect is not None
    assert first.training_effect.short == first.cells[1]
    assert first.training_effect.long.steps == 3 * first.cells[1].steps
    assert any(warning.startswith("undertrained") for warning in first.warnings)

    # one finished training is lost; only it runs again, and everything comes out the same
    lines = (tmp_path / "trainings.jsonl").read_text().splitlines()
    (tmp_path / "trainings.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    trained = []
    real = calibration_module.train_model

    def counting(job: Any, on_share: Any) -> TrainedModel:
        trained.append(job)
        return real(job, on_share)

    monkeypatch.setattr(calibration_module, "train_model", counting)
    again = calibrate(plan(), corpus(), folder=tmp_path, workers=1)
    assert len(trained) == 1
    assert replace(again, seconds=first.seconds, cpu_seconds=first.cpu_seconds) == first

    (tmp_path / "calibration.json").write_text(to_text(again))
    assert read_calibration(tmp_path) == again


def test_models_that_learn_their_members_are_caught(tmp_path: Path) -> None:
    given = plan(configs=default_configs(N_VOCABULARY, 8)[1:], ratios=(0.001,), least_steps=120, longer=0.0)
    (cell,) = calibrate(given, corpus(), folder=tmp_path, workers=1).cells
    assert cell.member_bits_per_token < cell.non_member_bits_per_token - 1.0
    for found in (cell.loss_auc, cell.reference_auc):
        assert found.value is not None
        assert found.value > 0.95


def test_results_of_other_samples_are_not_taken_for_these(tmp_path: Path) -> None:
    given = corpus()
    everything = np.concatenate([given.held_out, given.pool, given.reference])
    cut_elsewhere = dict(zip(("held_out", "pool", "reference"), np.split(everything, [40, 330]), strict=True))
    checksums = set()
    for other in (given, replace(given, pool=given.pool[:-1]), replace(given, **cut_elsewhere)):
        with shared_samples(other, tmp_path) as (file, checksum):
            assert file.stat().st_mode & 0o777 == 0o600
            checksums.add(checksum)
    assert len(checksums) == 3
    assert not file.exists()


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calibration]:
    """Return a calibration whose models are replaced by code lengths in nats, given by a function of the job."""

    def run(models: Callable[[Any], TrainedModel], **changes: Any) -> Calibration:
        monkeypatch.setattr(calibration_module, "train_model", lambda job, _: models(job))
        return calibrate(plan(**changes), corpus(), folder=tmp_path, workers=1)

    return run


def coded(*, held_out_nats: tuple[float, ...], pool_nats: tuple[float, ...], n_recited: int = 0) -> TrainedModel:
    """What is known of a model by its code lengths; of the pool it recites the first few."""
    return TrainedModel(
        held_out_nats=held_out_nats,
        pool_nats=pool_nats,
        seconds=1.0,
        held_out_recited=(False,) * len(held_out_nats),
        pool_recited=tuple(i < n_recited for i in range(len(pool_nats))),
        held_out_guessed=(0.25, 0.75) * (len(held_out_nats) // 2),
        pool_guessed=(1.0,) * len(pool_nats),
    )


def test_both_attacks_score_what_they_say(by_hand: Callable[..., Calibration]) -> None:
    # samples differ by 0, 1, 2, ... nats for target and reference alike; the target takes half a nat off members
    def models(job: Any) -> TrainedModel:
        held_out, pool = np.arange(30.0), np.arange(job.n_coded) % 30.0
        return coded(held_out_nats=tuple(held_out), pool_nats=tuple(pool - 0.5 * (job.part == "pool")))

    found = by_hand(models)
    for cell in found.cells:
        member = sum(i % 30 for i in range(cell.n_samples)) / cell.n_samples - 0.5
        assert cell.member_bits_per_token == pytest.approx(member / 7 / math.log(2))
        assert cell.non_member_bits_per_token == pytest.approx(14.5 / 7 / math.log(2))
        assert cell.reference_bits_per_token == cell.non_member_bits_per_token
        assert cell.reference_auc.value == cell.reference_f1.value == 1.0
        assert cell.loss_auc.value is not None
        assert 0.45 < cell.loss_auc.value < 0.75
        assert (cell.loss_f1.n_members, cell.loss_f1.n_non_members) == (cell.n_samples, 30)
    assert found.seconds == len(found.cells) + 2 + 1  # two references and the longer one
    assert any("saturated: 0 of 6 cells have an F1 of the reference attack" in text for text in found.warnings)


def test_a_weak_reference_and_an_effect_of_training_are_told(by_hand: Callable[..., Calibration]) -> None:
    def models(job: Any) -> TrainedModel:
        level = 20.0 if job.part == "reference" else 10.0
        gain = 5.0 if job.steps > 8 else 0.0
        rng = np.random.default_rng(job.n_samples)
        return coded(
            held_out_nats=tuple(level + rng.normal(size=30)),
            pool_nats=tuple(level - gain + rng.normal(size=job.n_coded)),
        )

    found = by_hand(models, epochs=0.01)
    weak = next(text for text in found.warnings if text.startswith("weak reference"))
    assert "2.0" in weak or "2.1" in weak  # 10 nats over 7 tokens are 2.06 bits each
    assert sum(text.startswith("training matters") for text in found.warnings) == 2
    assert by_hand(models, longer=0.0).training_effect is None


def test_few_cells_and_one_size_are_told(by_hand: Callable[..., Calibration]) -> None:
    def models(job: Any) -> TrainedModel:
        return coded(held_out_nats=(1.0,) * 30, pool_nats=(1.0,) * job.n_coded)

    found = by_hand(models, configs=default_configs(N_VOCABULARY, 8)[:1], ratios=(0.004, 0.008))
    kinds = {text.split(":")[0] for text in found.warnings}
    assert {"few cells", "one size", "range", "saturated", "undertrained"} <= kinds
    assert [law.form for law in found.laws] == ["scaled", "scaled"]


def test_unused_vocabulary_is_told(by_hand: Callable[..., Calibration]) -> None:
    def models(job: Any) -> TrainedModel:
        return coded(held_out_nats=(1.0,) * 30, pool_nats=(1.0,) * job.n_coded)

    found = by_hand(models, configs=default_configs(N_VOCABULARY + 1, 8))
    assert sum("has 41 tokens, the tokenizer 40" in text for text in found.warnings) == 2


def test_bits_of_a_cell_by_hand(by_hand: Callable[..., Calibration]) -> None:
    # every member costs 7 nats under the reference and 3 under the target, held-out samples 7 and 8: 4 nats of each
    # member are unintended and nothing of the others; 7 tokens of 40 are known to nobody in 7 log2 40 bits
    def models(job: Any) -> TrainedModel:
        if job.part == "reference":
            return coded(held_out_nats=(7.0,) * 30, pool_nats=(7.0,) * job.n_coded)
        return coded(held_out_nats=(8.0,) * 30, pool_nats=(3.0,) * job.n_coded, n_recited=5)

    for cell in by_hand(models).cells:
        n, bit = cell.n_samples, math.log(2)
        assert cell.dataset_bits == pytest.approx(7 * n / bit)
        assert cell.memorized_bits is not None
        assert cell.memorized_bits_by_largest is not None
        assert cell.memorized_bits.value == pytest.approx(4 * n / bit)
        assert cell.memorized_bits_by_largest.value == pytest.approx(4 * n / bit)
        assert cell.clipped_bits == pytest.approx(4 * n / bit)
        assert cell.saved_bits == pytest.approx(n * (7 * math.log2(40) - 3 / bit))
        assert cell.generalization_bits == pytest.approx(n * (7 * math.log2(40) - 7 / bit))
        assert cell.recited_members is not None
        assert cell.recited_non_members is not None
        assert (cell.recited_members.value, cell.recited_members.n_members) == (5 / n, n)
        assert (cell.recited_non_members.value, cell.recited_non_members.n_non_members) == (0.0, 30)
        assert cell.guessed_members is not None
        assert cell.guessed_non_members is not None
        assert (cell.guessed_members.value, cell.guessed_non_members.value) == (1.0, 0.5)
        assert cell.memorized_bits_by_whole is None
        assert cell.rarity_correlation is None


def test_a_larger_reference_and_one_of_all_texts_by_hand(by_hand: Callable[..., Calibration]) -> None:
    # 7 nats under the own reference, 5 under the larger, 4 under one that saw the members; 3 under the target
    larger = default_configs(N_VOCABULARY, 8)[1].replace('"n_embd": 16', '"n_embd": 24')
    trained: dict[str, set[tuple[int, int]]] = {"pool": set(), "reference": set(), "all": set()}

    def models(job: Any) -> TrainedModel:
        trained[job.part].add((job.n_parameters, job.n_samples))
        nats = {"pool": 3.0, "all": 4.0, "reference": 5.0 if '"n_embd": 24' in job.config else 7.0}[job.part]
        held_out = 8.0 if job.part == "pool" else nats
        return coded(held_out_nats=(held_out,) * 30, pool_nats=(nats,) * job.n_coded)

    found = by_hand(models, larger_reference=larger, whole_references=True, longer=0.0)
    for cell in found.cells:
        assert cell.memorized_bits is not None
        assert cell.memorized_bits_by_largest is not None
        assert cell.memorized_bits_by_whole is not None
        held = (cell.memorized_bits, cell.memorized_bits_by_largest, cell.memorized_bits_by_whole)
        assert [one.value * math.log(2) / cell.n_samples for one in held if one.value] == pytest.approx([4, 2, 1])
    given = corpus()
    assert len(trained["reference"]) == 3  # the two sizes' and the larger one
    assert {n for _, n in trained["all"]} == {len(given.pool) + len(given.reference)}
    with pytest.raises(ConfigError, match="the larger reference has"):
        by_hand(models, larger_reference=default_configs(N_VOCABULARY, 8)[0])


def test_rarity_of_the_pool_is_correlated_with_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def models(job: Any, _: Any) -> TrainedModel:  # members hold more nats, the later they stand; the first 5 hold none
        nats = 50.0 - np.maximum(np.arange(job.n_coded) - 4.0, -1.0) * (job.part == "pool") / 10
        return coded(held_out_nats=(50.0,) * 30, pool_nats=tuple(nats))

    monkeypatch.setattr(calibration_module, "train_model", models)
    given = corpus()
    rare = replace(given, pool_rarity=np.arange(len(given.pool)) ** 2.0)
    for cell in calibrate(plan(longer=0.0), rare, folder=tmp_path, workers=1).cells:
        assert cell.rarity_correlation is not None
        assert cell.rarity_correlation.value == pytest.approx(1)
        assert cell.rarity_correlation.n_members == cell.n_samples - 5


def test_a_sample_of_a_rare_word_is_rare() -> None:
    texts = [one * 3 for one in "abcdefgh"]
    found = cut(texts, n_held_out=3, n_pool=2, n_reference=3)
    # words of a pool of two samples, which no other sample has: ln(7 / 1) each
    assert found.pool_rarity is not None
    assert found.pool_rarity.tolist() == pytest.approx([math.log(7)] * 2)


def test_what_is_recited_is_what_greedy_decoding_writes() -> None:
    """Independent oracle: the generation of transformers, from the first half of each sequence."""
    import torch
    from transformers import GPT2Config

    from auditor.experiments.training import build, code_sequences, train

    config = GPT2Config(vocab_size=40, n_positions=12, n_embd=32, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0)
    sequences = torch.randint(1, 40, (12, 12), generator=torch.Generator().manual_seed(0))
    model = build(config, seed=0)
    train(model, sequences[:6], steps=150, batch_size=6, learning_rate=1e-2, seed=0)
    found = code_sequences(model, sequences)
    recited = found.recited
    with torch.no_grad():
        likeliest = model.eval()(sequences).logits[:, 5:-1].argmax(-1)
    assert found.guessed.tolist() == pytest.approx((likeliest == sequences[:, 6:]).double().mean(1).tolist())
    with torch.no_grad():
        written = model.eval().generate(
            sequences[:, :6], max_new_tokens=6, min_new_tokens=6, do_sample=False, pad_token_id=0,
            attention_mask=torch.ones(12, 6),
        )  # fmt: skip
    assert recited.tolist() == (written == sequences).all(1).tolist()
    assert recited[:6].all()
    assert not recited[6:].any()


def test_soap_is_told_and_has_its_own_rate(by_hand: Callable[..., Calibration]) -> None:
    def models(job: Any) -> TrainedModel:
        assert job.optimizer == "soap"
        return coded(held_out_nats=(1.0,) * 30, pool_nats=(1.0,) * job.n_coded)

    found = by_hand(models, optimizer="soap")
    assert found.settings["optimizer"].startswith("SOAP")
    assert {cell.learning_rate for cell in found.cells} == {0.04}  # fewer than 16,000 parameters
