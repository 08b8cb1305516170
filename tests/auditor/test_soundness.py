"""Each check passes, warns and vetoes where it should, and says what to do."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from auditor.documents.result import CheckResult, SoundnessResult
from auditor.soundness.blind import BlindBaseline
from auditor.soundness.checks import ComparedModels, ModelFacts, TokenizerReading, _negative_control, check_soundness
from auditor.soundness.texts import ComparedTexts

N = 200


def check(**changes: Any) -> SoundnessResult:
    """Check two sides that are alike in everything, with changes."""
    rng = np.random.default_rng(0)
    signed = rng.normal(-1, 5, 2 * N)
    texts: dict[str, Any] = {
        "sample_ids": [str(i) for i in range(2 * N)],
        "is_member": np.arange(2 * N) < N,
        "groups": None,
        "n_bytes": rng.integers(80, 120, 2 * N),
        "text_keys": [str(i) for i in range(2 * N)],
        "blind": None,
    }
    models: dict[str, Any] = {
        "unread": np.zeros((2, 2 * N), dtype=np.int64),
        "target": ModelFacts(weights_sha256="t", stored_dtype="float32"),
        "references": (ModelFacts(weights_sha256="r", stored_dtype="float32"),),
        "aligned": True,
        "readings": (),
    }
    figures: dict[str, Any] = {
        "reference_bits": rng.normal(200, 20, 2 * N),
        "signed_bits": signed,
        "fpr_targets": (0.01,),
        "extra": (),
    }
    given = texts | models | figures | changes
    assert len(given) == len(texts) + len(models) + len(figures)
    return check_soundness(
        ComparedTexts(**{name: given[name] for name in texts}),
        ComparedModels(**{name: given[name] for name in models}),
        **{name: given[name] for name in figures},
    )


def one(result: SoundnessResult, name: str) -> CheckResult:
    (found,) = [check for check in result.checks if check.name == name]
    return found


def test_alike_sides_pass_everything() -> None:
    found = check()
    assert found.verdict == "pass"
    assert {check.name for check in found.checks} == {
        "sample_size",
        "overlap",
        "length",
        "distinct_models",
        "reference_alone",
        "negative_control",
        "tokenizer",
        "precision",
    }
    assert all(check.remedy is None for check in found.checks)


def member_shift(shift: float, spread: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(1)
    return np.where(np.arange(2 * N) < N, shift, 0.0) + rng.normal(0, spread, 2 * N)


@pytest.mark.parametrize(
    ("name", "changes", "verdict"),
    [
        ("length", {"n_bytes": (100 + member_shift(30, 10)).astype(np.int64)}, "veto"),
        ("length", {"n_bytes": (100 + member_shift(5, 10)).astype(np.int64)}, "warn"),
        ("reference_alone", {"reference_bits": 200 + member_shift(-40, 20)}, "veto"),
        ("reference_alone", {"reference_bits": 200 + member_shift(40, 20)}, "veto"),  # either direction
        ("negative_control", {"signed_bits": 10 + member_shift(0, 5)}, "warn"),
        ("distinct_models", {"references": [ModelFacts(weights_sha256="t", stored_dtype="float32")]}, "veto"),
        ("distinct_models", {"signed_bits": np.full(2 * N, 1e-5)}, "veto"),  # other weights, same words
        ("precision", {"references": [ModelFacts(weights_sha256="r", stored_dtype="bfloat16")]}, "warn"),
        (
            "precision",
            {"references": [ModelFacts(weights_sha256="r", stored_dtype="float32", dtype="float16")]},
            "pass",
        ),
        (
            "precision",
            {"references": [ModelFacts(weights_sha256="r", stored_dtype="float32", quantization="nf4")]},
            "warn",
        ),
        ("tokenizer", {"aligned": False}, "warn"),
        ("tokenizer", {"unread": np.ones((2, 2 * N), dtype=np.int64)}, "warn"),  # both models miss the same
        ("tokenizer", {"unread": np.array([[1] * 2 * N, [0] * 2 * N])}, "veto"),
    ],
)
def test_what_differs_is_found(name: str, changes: dict[str, Any], verdict: str) -> None:
    found = check(**changes)
    assert one(found, name).verdict == verdict
    assert found.verdict == verdict or found.verdict == "veto"
    if verdict == "veto":
        assert one(found, name).remedy


def keys(*sides: Sequence[str]) -> dict[str, Any]:
    flat = [key for side in sides for key in side]
    rng = np.random.default_rng(2)
    return {
        "is_member": np.array([i < len(sides[0]) for i in range(len(flat))]),
        "text_keys": flat,
        "n_bytes": rng.integers(80, 120, len(flat)),
        "unread": np.zeros((2, len(flat)), dtype=np.int64),
        "reference_bits": rng.normal(200, 20, len(flat)),
        "signed_bits": rng.normal(-1, 5, len(flat)),
    }


def test_copies_are_not_samples() -> None:
    copies = [f"m{i % 5}" for i in range(60)]
    found = check(**keys(copies, [f"n{i}" for i in range(60)]))
    assert one(found, "sample_size").verdict == "veto"
    assert "different texts: 5 of members" in one(found, "sample_size").detail
    assert one(found, "overlap").verdict == "warn"
    assert one(found, "overlap").figure == 60


def test_the_same_text_on_both_sides_after_a_cut_is_vetoed() -> None:
    found = check(**keys([f"m{i}" for i in range(50)], ["m7", *(f"n{i}" for i in range(50))]))
    assert one(found, "overlap").verdict == "veto"
    assert one(found, "overlap").figure == 2
    assert "--max-tokens" in (one(found, "overlap").remedy or "")


def test_few_samples() -> None:
    names = [f"m{i}" for i in range(60)]
    assert one(check(**keys(names, [f"n{i}" for i in range(60)])), "sample_size").verdict == "warn"
    assert one(check(**keys(names, [f"n{i}" for i in range(12)])), "sample_size").verdict == "veto"
    nobody = check(**keys(names, []))
    assert one(nobody, "sample_size").verdict == "warn"
    assert not {"length", "reference_alone", "negative_control"} & {check.name for check in nobody.checks}


@pytest.mark.parametrize(("n_groups", "verdict"), [(4, "warn"), (19, "warn"), (20, "pass")])
def test_few_groups_are_few_samples(n_groups: int, verdict: str) -> None:
    """However many texts they hold; those of the other side are each on their own."""
    groups = [f"g{i % n_groups}" if i < N else None for i in range(2 * N)]
    found = one(check(groups=groups), "sample_size")
    assert found.verdict == verdict
    assert f"in groups: {n_groups} of members, {N} of non-members" in found.detail
    assert ("at least 20 groups a side" in (found.remedy or "")) == (verdict == "warn")
    assert "groups" not in one(check(), "sample_size").detail


def test_few_groups_of_members_alone_are_warned_of_beside_the_missing_side() -> None:
    alone = keys([f"m{i}" for i in range(120)], []) | {"groups": [f"g{i % 5}" for i in range(120)]}
    found = one(check(**alone), "sample_size")
    assert found.verdict == "warn"
    assert "--non-members" in (found.remedy or "")
    assert "groups a side" in (found.remedy or "")


def test_models_run_in_different_precisions_are_warned_of() -> None:
    target = ModelFacts(weights_sha256="t", stored_dtype="float32", dtype="float32")
    reference = ModelFacts(weights_sha256="r", stored_dtype="float32", dtype="bfloat16")
    found = one(check(target=target, references=[reference]), "precision")
    assert found.verdict == "warn"
    assert "run in bfloat16 and float32" in found.detail


def reading(n_otherwise: int | None, *, is_named: bool = False) -> TokenizerReading:
    return TokenizerReading(loaded="Qwen2Tokenizer", stated="Mine", n_otherwise=n_otherwise, is_named=is_named)


@pytest.mark.parametrize(
    ("readings", "verdict", "figure"),
    [
        ([reading(0), reading(0)], "pass", 0),
        ([reading(None), reading(None)], "pass", None),
        ([reading(None), reading(1)], "warn", 1),
        ([reading(2 * N // 20), reading(0)], "warn", 2 * N // 20),  # 5% of the texts
        ([reading(0), reading(2 * N // 20 + 1)], "veto", 2 * N // 20 + 1),
        ([reading(2 * N, is_named=True), reading(0)], "warn", 2 * N),
        ([reading(2 * N, is_named=True), reading(2 * N)], "veto", 2 * N),
    ],
)
def test_tokenizers_are_held_against_their_files(
    readings: list[TokenizerReading], verdict: str, figure: float | None
) -> None:
    found = one(check(readings=tuple(readings)), "tokenizer_file")
    assert (found.verdict, found.figure) == (verdict, figure)
    assert (found.remedy is None) == (verdict == "pass")
    alone = one(
        check(readings=tuple(readings), reference_bits=None), "tokenizer_file"
    )  # asked without a reference, too
    assert alone == found


def test_a_tokenizer_file_that_is_not_there_or_disagrees_is_never_silent() -> None:
    detail = one(check(readings=(reading(3), reading(None), reading(None))), "tokenizer_file").detail
    assert f"target: Qwen2Tokenizer reads 3 of {2 * N} texts otherwise than tokenizer.json" in detail
    assert "the class Mine" in detail
    assert "reference 1, reference 2: does not apply" in detail


def test_every_fpr_says_what_its_non_members_carry() -> None:
    detail = one(check(fpr_targets=(0.001, 0.01, 0.05)), "sample_size").detail
    assert "FPR 0.001: undefined below 1,000 non-members" in detail
    assert "FPR 0.01: defined, but its intervals start at 0 below 369 non-members" in detail
    assert "0.05" not in detail  # 74 are enough


def test_length_names_a_way_out() -> None:
    found = one(check(n_bytes=(100 + member_shift(30, 10)).astype(np.int64)), "length")
    assert "match lengths" in (found.remedy or "")
    assert found.sample_ids == ()


def blind(auc: float, p_value: float) -> BlindBaseline:
    return BlindBaseline(
        score=np.zeros(2 * N),
        auc=auc,
        p_value=p_value,
        null_low=0.45,
        null_high=0.55,
        n_permutations=499,
        families={"words": auc, "characters": 0.5, "length": 0.5, "form": 0.5},
        n_members=N,
        n_non_members=N,
        n_fitted=2 * N,
    )


def test_checks_made_elsewhere_stand_worst_first() -> None:
    near = CheckResult(name="near_duplicates", verdict="warn", figure=3.0, unit="samples", detail="three")
    found = check(blind=blind(0.8, 0.002), extra=[near])
    assert found.verdict == "veto"
    assert [one.name for one in found.checks[:2]] == ["blind_baseline", "near_duplicates"]
    assert check(blind=blind(0.51, 0.4)).verdict == "pass"


def test_nothing_is_blind_about_one_side() -> None:
    found = check(**keys([f"m{i}" for i in range(60)], []), blind=blind(0.8, 0.002))
    assert "blind_baseline" not in {check.name for check in found.checks}


def test_false_alarms_are_rare() -> None:
    """Sides drawn alike: at the 99% level each check warns in about one audit of a hundred."""
    rng = np.random.default_rng(3)
    warned = 0
    for _ in range(100):
        found = check(
            n_bytes=rng.integers(80, 120, 2 * N),
            reference_bits=rng.normal(200, 20, 2 * N),
            signed_bits=rng.normal(0, 5, 2 * N),
        )
        assert found.verdict != "veto"
        warned += found.verdict == "warn"
    assert warned <= 8  # three checks: 2.5 expected


LEFT_SKEWED = {
    "exponential": lambda rng: 10 - rng.exponential(10, 200) + rng.normal(0, 3, 200),
    "lognormal": lambda rng: np.exp(0.5) - rng.lognormal(0, 1, 200),
    "5% lose 100": lambda rng: 5 - 100 * (rng.random(200) < 0.05) + rng.normal(0, 3, 200),
    "10% lose 500": lambda rng: 50 - 500 * (rng.random(200) < 0.1) + rng.normal(0, 3, 200),
}
"""Bits of non-members with a mean of zero, most of them above it."""


@pytest.mark.slow
@pytest.mark.parametrize("law", LEFT_SKEWED)
def test_the_negative_control_keeps_its_level_on_left_skewed_bits(law: str) -> None:
    """Student's interval at 99% would warn in 0.8 to 2.8% of these."""
    rng, warned = np.random.default_rng(0), 0
    for _ in range(2000):
        bits = np.concatenate([np.zeros(20), LEFT_SKEWED[law](rng)])
        warned += _negative_control(bits, np.arange(220) < 20, None).verdict == "warn"
    assert warned <= 18  # 10 expected at most


def test_the_negative_control_says_what_it_cannot_have_seen() -> None:
    found = one(check(signed_bits=10 + member_shift(0, 5)), "negative_control")
    rarity = math.floor(1 / -math.expm1(math.log(0.005) / N))
    assert f"(unless some, rarer than 1 in {rarity}, lose far more)" in found.detail
