"""The demonstration: its truth is exact, its sides are apart, and the audit's figures agree with it."""

import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from auditor.experiments import demo as demo_module
from auditor.experiments.demo import (
    CARD_FORMS,
    CITIES,
    FIELDS,
    FIRST_NAMES,
    LAST_NAMES,
    MEMBERS_BY_COPIES,
    MONTHS,
    VOCABULARY,
    Demo,
    Record,
    draw_record,
    draw_records,
    make_demo,
    make_tokenizer,
    memorization_by_copies,
)
from auditor.stats import intervals

RECORD = re.compile(
    r"(?P<first>\w+) (?P<last>\w+), born (?P<day>\d+) (?P<month>\w+) (?P<year>\d{4}) in (?P<city>\w+)"
    r"(?:, card (?P<card>\d{4} \d{4} \d{4} \d{4}))?(?:, phone (?P<phone>555-\d{3}-\d{4}))?\."
)


def parse(text: str) -> dict[str, str | None]:
    match = RECORD.fullmatch(text)
    assert match, text
    return match.groupdict()


def small_demo(folder: Path, patch: pytest.MonkeyPatch, *, seed: int = 0) -> Demo:
    sizes = {"BACKGROUND_RECORDS": 20, "REFERENCE_RECORDS": 60, "TARGET_STEPS": 3, "REFERENCE_STEPS": 2}
    for name, size in sizes.items():
        patch.setattr(demo_module, name, size)
    patch.setattr(demo_module, "MEMBERS_BY_COPIES", {1: 4, 2: 2, 16: 1})
    return make_demo(folder, seed=seed)


def lines(path: Path) -> list[dict[str, str | int]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- the generator


def test_entropy_by_hand() -> None:
    # 64 first names, last names, years and cities: 6 bits each; 28 days, 12 months; 3 card forms, 2 phone forms
    always = 4 * 6 + math.log2(28) + math.log2(12) + math.log2(3) + 1
    shown = tuple(name for name in FIELDS if "," not in name)
    assert Record("", shown).entropy_bits == pytest.approx(always)
    assert always == pytest.approx(34.977, abs=5e-4)
    everything = (*shown, "card, full", "phone, given")
    assert Record("", everything).entropy_bits == pytest.approx(always + 22 * math.log2(10))
    masked = (*shown, "card, masked")
    assert Record("", masked).entropy_bits == pytest.approx(always + 4 * math.log2(10))


def test_the_lists_are_as_long_as_declared_and_no_two_choices_read_alike() -> None:
    for names, field in ((FIRST_NAMES, "first name"), (LAST_NAMES, "last name"), (CITIES, "city"), (MONTHS, "month")):
        assert len(set(names)) == FIELDS[field].choices


def test_a_text_shows_exactly_its_fields(rng: np.random.Generator) -> None:
    for _ in range(300):
        record = draw_record(rng)
        values = parse(record.text)
        card, phone = values["card"], values["phone"]
        assert {"first name", "last name", "day", "month", "year", "city"} <= set(record.fields)
        assert ("phone, given" in record.fields) == (phone is not None)
        assert ("card, masked" in record.fields) == (card is not None and card.startswith("0000 0000 0000 "))
        assert ("card, full" in record.fields) == (card is not None and not card.startswith("0000 0000 0000 "))
        assert card is None or card[0] == "0"


def test_fields_are_uniform_and_independent() -> None:
    rng = np.random.default_rng(7)
    records = [draw_record(rng) for _ in range(8_000)]
    values = [parse(record.text) for record in records]
    form = [next((f for f in CARD_FORMS if f"card, {f}" in record.fields), "none") for record in records]
    for key, n in (("first", 64), ("last", 64), ("day", 28), ("month", 12), ("year", 64), ("city", 64)):
        counts = Counter(value[key] for value in values)
        assert len(counts) == n
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert stats.chisquare(list(Counter(form).values())).pvalue > 1e-3
    digits = Counter(digit for value in values if value["phone"] for digit in value["phone"][4:].replace("-", ""))
    assert stats.chisquare(list(digits.values())).pvalue > 1e-3
    for other in ([value["phone"] is None for value in values], [value["month"] for value in values]):
        assert stats.chi2_contingency(stats.contingency.crosstab(form, other).count).pvalue > 1e-3


def test_records_are_distinct_and_depend_on_the_seed_alone() -> None:
    first, again, other = (draw_records(500, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert not {record.text for record in first} & {record.text for record in other}
    assert len({record.text for record in first}) == 500


# --- the tokenizer


def test_each_digit_is_a_token_and_every_text_comes_back(rng: np.random.Generator) -> None:
    records = draw_records(300, rng)
    tokenizer = make_tokenizer([record.text for record in records[:200]])
    texts = [record.text for record in records] + ["Größe 12°, naïve\n", " two  spaces ", "日本 7"]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.eos_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        tokens = tokenizer.convert_ids_to_tokens(ids)
        assert sum(token.isdigit() for token in tokens) == sum(letter.isdigit() for letter in text)
    longest = max(len(ids) for ids in tokenizer(texts)["input_ids"])
    assert longest < demo_module.CONTEXT_WINDOW


# --- the folder


def test_a_small_demo_is_complete_and_says_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = small_demo(tmp_path / "new" / "demo", monkeypatch)
    members, non_members = lines(made.members), lines(made.non_members)
    assert [set(row) for row in members] == [{"id", "text", "copies"}] * 7
    assert [set(row) for row in non_members] == [{"id", "text"}] * demo_module.NON_MEMBERS
    assert sorted(row["copies"] for row in members) == [1, 1, 1, 1, 2, 2, 16]
    assert not {row["text"] for row in members} & {row["text"] for row in non_members}
    assert made.copies == {row["id"]: row.get("copies", 0) for row in members + non_members}

    truth = json.loads((made.folder / "truth.json").read_text(encoding="utf-8"))
    bits = {field["name"]: math.log2(field["choices"]) for field in truth["fields"]}
    for sample_id, row in truth["records"].items():
        assert row["copies"] == made.copies[sample_id]
        assert row["entropy_bits"] == made.record_entropy_bits[sample_id]
        assert row["entropy_bits"] == pytest.approx(sum(bits[name] for name in row["fields"]))

    for folder in (made.target, made.reference):
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert len(tokenizer) == model.config.vocab_size
        assert tokenizer("a b")["input_ids"][0] == tokenizer.bos_token_id == model.config.bos_token_id
    assert weights(made.target) != weights(made.reference)


def test_the_seed_decides_the_whole_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (small_demo(tmp_path / n, monkeypatch, seed=s) for n, s in (("a", 5), ("b", 5), ("c", 6)))
    for path in ("members.jsonl", "non_members.jsonl", "truth.json"):
        assert (one.folder / path).read_bytes() == (same.folder / path).read_bytes()
        assert (one.folder / path).read_bytes() != (other.folder / path).read_bytes()
    assert weights(one.target) == weights(same.target) != weights(other.target)
    assert weights(one.reference) == weights(same.reference) != weights(other.reference)


def test_progress_is_told_by_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int]] = []
    for name, size in {
        "BACKGROUND_RECORDS": 5,
        "REFERENCE_RECORDS": 40,
        "TARGET_STEPS": 2,
        "REFERENCE_STEPS": 1,
    }.items():
        monkeypatch.setattr(demo_module, name, size)
    make_demo(tmp_path, on_progress=lambda *told: seen.append(told))
    assert seen == [("reference", 1, 1), ("target", 1, 2), ("target", 2, 2)]


def test_importing_the_module_is_cheap() -> None:
    code = "import sys, auditor.experiments.demo; sys.exit(bool({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the table


def test_table_by_hand() -> None:
    entropy = {"a": 40.0, "b": 60.0, "c": 50.0, "d": 80.0, "e": 100.0}
    made = Demo(
        folder=Path(), target=Path(), reference=Path(), members=Path(), non_members=Path(),
        record_entropy_bits=entropy, copies={"a": 4, "b": 4, "c": 4, "d": 0, "e": 0},
    )  # fmt: skip
    none, four = memorization_by_copies(
        made,
        sample_id=["e", "a", "d", "b", "c"],
        target_bits=[105.0, 10.0, 83.0, 30.0, 50.0],
        signed_bits=[-4.0, 32.0, 2.0, 31.0, -3.0],
        memorized_bits=[0.0, 32.0, 2.0, 31.0, 0.0],
        uniform_bits=[300.0, 200.0, 290.0, 210.0, 220.0],
        generalization_bits=[191.0, 158.0, 205.0, 149.0, 170.0],
    )
    assert none.shared_bits.value == 198.0  # (191 + 205) / 2
    assert none.true_shared_bits.value == 201.0  # (300 - max(100, 105) + 290 - max(80, 83)) / 2
    assert four.true_shared_bits.value == 160.0  # (200 - 40 + 210 - 60 + 220 - 50) / 3 = 480 / 3
    assert (none.copies, none.n, none.entropy_bits) == (0, 2, 90.0)
    assert none.signed_bits.value == -1.0  # (-4 + 2) / 2
    assert none.memorized_bits.value == 1.0  # (0 + 2) / 2
    assert none.true_bits.value == -4.0  # (100 - 105 + 80 - 83) / 2
    assert none.true_share.value == pytest.approx((-5 / 100 - 3 / 80) / 2)
    assert (none.signed_bits.n_members, none.signed_bits.n_non_members) == (0, 2)

    assert (four.copies, four.n, four.entropy_bits) == (4, 3, 50.0)
    assert four.signed_bits.value == 20.0  # (32 + 31 - 3) / 3
    assert four.memorized_bits.value == 21.0  # (32 + 31 + 0) / 3
    assert four.true_bits.value == 20.0  # (30 + 30 + 0) / 3
    assert four.true_share.value == pytest.approx((30 / 40 + 30 / 60 + 0) / 3)
    # s = sqrt(300) and t(.975, 2) = 4.302653: 20 +- 4.302653 * sqrt(300 / 3), and wider, as the values are skewed
    expected = intervals.mean([30.0, 30.0, 0.0], level=0.95)
    assert (four.true_bits.low, four.true_bits.high) == (expected.low, expected.high)
    assert four.true_bits.low < 20 - 43.02
    assert four.true_bits.high > 20 + 43.02
    assert (four.true_bits.n_members, four.true_bits.level) == (3, 0.95)


def test_an_unknown_sample_is_not_passed_over() -> None:
    made = Demo(
        folder=Path(), target=Path(), reference=Path(), members=Path(), non_members=Path(),
        record_entropy_bits={}, copies={},
    )  # fmt: skip
    with pytest.raises(KeyError, match="stranger"):
        memorization_by_copies(made, sample_id=["stranger"], target_bits=[1.0], signed_bits=[0.0], memorized_bits=[0.0],
                               uniform_bits=[9.0], generalization_bits=[8.0])  # fmt: skip


# --- the story


def _bits(folder: Path, texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score one text at a time with plain transformers: the oracle has nothing in common with the engine."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    bits, n_tokens = [], []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            logprobs = model(ids).logits[0, :-1].double().log_softmax(-1)
            bits.append(-logprobs.gather(1, ids[0, 1:, None]).sum().item() / math.log(2))
            n_tokens.append(ids.shape[1] - 1)
    return np.array(bits), np.array(n_tokens)


def _auc(score: NDArray[np.float64], is_member: NDArray[np.bool_]) -> float:
    statistic = stats.mannwhitneyu(score[is_member], score[~is_member]).statistic
    return float(statistic / (is_member.sum() * (~is_member).sum()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_story_is_the_same_for_every_seed(tmp_path: Path, seed: int) -> None:
    made = make_demo(tmp_path, seed=seed)
    rows = lines(made.members) + lines(made.non_members)
    ids, texts = [str(row["id"]) for row in rows], [str(row["text"]) for row in rows]
    target, n_tokens = _bits(made.target, texts)
    reference, _ = _bits(made.reference, texts)
    signed, uniform = reference - target, n_tokens * math.log2(VOCABULARY)
    table = memorization_by_copies(
        made, sample_id=ids, target_bits=target, signed_bits=signed, memorized_bits=np.maximum(0, signed),
        uniform_bits=uniform, generalization_bits=uniform - np.maximum(target, reference),
    )  # fmt: skip
    assert [row.copies for row in table] == [0, *MEMBERS_BY_COPIES]
    shares = [row.true_share.value or 0.0 for row in table]
    assert shares == sorted(shares)  # more copies, more memorised
    assert shares[0] < 0 <= shares[1] + 0.02 < 0.15  # nothing of the unseen, little of what was seen once
    assert shares[-1] > 0.75  # of at most about .88
    for row in table:  # the reference stands in for the truth to within its own small error
        assert abs((row.signed_bits.value or 0.0) - (row.true_bits.value or 0.0)) < 3
        assert abs((row.shared_bits.value or 0.0) - (row.true_shared_bits.value or 0.0)) < 3  # of over 200

    is_member = np.array([made.copies[i] > 0 for i in ids])
    loss, calibrated = _auc(-target / n_tokens, is_member), _auc(signed / n_tokens, is_member)
    assert calibrated > 0.9
    assert loss < calibrated - 0.08
    assert abs(_auc(-reference / n_tokens, is_member) - 0.5) < 0.08  # the reference alone knows nothing
