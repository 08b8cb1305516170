"""From a plan to its risk: identities, flags, what is solved for, and what is refused."""

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.amounts import parse_amount
from auditor.documents import from_text, to_text
from auditor.errors import ResultError
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.comparison import compare
from auditor.laws.prediction import Plan, predict
from auditor.predictions import Prediction, PredictionBesideMeasurement
from auditor.results import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A document of the smallest kind that holds a prediction."""

    schema_version: str = "1.0"
    prediction: Prediction


ALPHA = BitsPerParameter(3.5, "given")


def plan(params: int | None = 10_000, tokens: float | None = 32_000.0, **more: object) -> Plan:
    return Plan(params=params, tokens=tokens, capacity=ALPHA, **more)  # type: ignore[arg-type]


def test_by_hand() -> None:
    # 500 samples on 10,000 parameters: 0.05 a parameter. Capacity 35,000 bits; data 32,000 tokens of 2 bits.
    found = predict(plan(bits_per_token=2.0))
    assert (found.samples, found.samples_per_parameter, found.tokens_per_parameter) == (500, 0.05, 3.2)
    assert (found.capacity_bits, found.dataset_bits, found.memorized_bits) == (35_000, 64_000, 35_000)
    assert found.bits_per_sample == 70.0
    assert found.ceiling.bits_per_sample == 70.0
    assert found.law.f1 == pytest.approx(0.5 * (1 + 1.34048 / (1 + math.exp(33.13626 * (0.05 - 0.033678)))), abs=1e-5)
    assert found.law.in_range
    assert found.reference_attack.f1 > found.law.f1


SIZES = st.tuples(st.integers(100, 10**12), st.floats(1e3, 1e15), st.floats(0.01, 12.0))


@given(SIZES)
def test_identities(sizes: tuple[int, float, float]) -> None:
    params, tokens, bits = sizes
    found = predict(plan(params, tokens, bits_per_token=bits))
    assert found.memorized_bits == min(found.capacity_bits, bits * tokens)
    assert found.bits_per_sample == pytest.approx(found.memorized_bits / found.samples)
    for low, value, high in (
        (found.law.f1_low, found.law.f1, found.law.f1_high),
        (found.law.auc_low, found.law.auc, found.law.auc_high),
        (found.reference_attack.auc_low, found.reference_attack.auc, found.reference_attack.auc_high),
    ):
        assert 0.5 <= low <= value <= high <= 1.0
    assert 0.5 <= found.ceiling.auc <= 1.0
    assert from_text(to_text(Wrapped(prediction=found)), Wrapped, version="1.0", what="test").prediction == found


@given(SIZES, st.floats(1.5, 1000))
def test_only_the_ratio_counts_for_the_law(sizes: tuple[int, float, float], factor: float) -> None:
    params, tokens, _ = sizes
    scaled = round(params * factor)
    one, other = predict(plan(params, tokens)), predict(plan(scaled, tokens * scaled / params))
    assert other.law.f1 == pytest.approx(one.law.f1, abs=1e-9)
    assert other.ceiling.auc == pytest.approx(one.ceiling.auc, abs=1e-9)


def test_other_lengths_count_as_64_token_samples_and_are_flagged() -> None:
    one, other = predict(plan()), predict(plan(sample_tokens=128.0))
    assert other.law.f1 == one.law.f1
    assert other.samples == one.samples / 2
    assert one.law.in_range
    assert not other.law.in_range
    assert any("64-token samples" in warning for warning in other.warnings)


def test_adapters_count_what_is_trained() -> None:
    found = predict(plan(10**9, 32_000.0, trainable_params=10_000))
    assert found.law.f1 == predict(plan()).law.f1
    assert found.capacity_bits == 35_000
    assert (found.params, found.trainable_params) == (10**9, 10_000)
    assert not found.law.in_range


def test_what_is_not_known_is_said() -> None:
    found = predict(plan())
    assert found.dataset_bits is None
    assert found.memorized_bits == found.capacity_bits
    assert any("not known" in warning for warning in found.warnings)
    assert predict(plan(notes=("a note",))).warnings[0] == "a note"


@pytest.mark.parametrize("target", [0.51, 0.6, 0.75, 0.95])
def test_what_is_left_out_is_solved_for(target: float) -> None:
    by_model = predict(plan(tokens=None), target_f1=target)
    assert by_model.law.f1 == pytest.approx(target, abs=1e-9)
    assert by_model.inverse is not None
    assert by_model.inverse.tokens_needed == by_model.tokens
    by_data = predict(plan(params=None, tokens=by_model.tokens), target_f1=target)
    assert by_data.params == pytest.approx(10_000, abs=1)
    at_auc = predict(plan(), target_auc=by_model.inverse.auc).inverse
    assert at_auc is not None
    assert at_auc.f1 == pytest.approx(target, abs=1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {"params": 0}, {"params": -1}, {"tokens": 0.0}, {"tokens": math.nan}, {"sample_tokens": 0.0},
        {"epochs": 0.0}, {"bits_per_token": -1.0}, {"trainable_params": 20_000}, {"params": None, "tokens": None},
    ],
)  # fmt: skip
def test_impossible_plans_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"greater than 0|more than all|needs"):
        plan(**({"params": 10_000, "tokens": 1e5} | more))  # type: ignore[arg-type]


def test_targets_out_of_reach_are_refused() -> None:
    for target in (0.5, 1.0, 0.2, 1.5):
        with pytest.raises(ValueError, match="F1"):
            predict(plan(), target_f1=target)
    with pytest.raises(ValueError, match="solved for"):
        predict(plan(tokens=None))


@pytest.mark.parametrize(
    ("text", "value"),
    [("124M", 124e6), ("1.5B", 1.5e9), ("1.5 B", 1.5e9), ("2t", 2e12), ("3G", 3e9), ("12,512", 12512.0), ("1e6", 1e6)],
)
def test_amounts(text: str, value: float) -> None:
    assert parse_amount(text) == value


@pytest.mark.parametrize("text", ["", "B", "1.5X", "nan", "inf", "-1", "0", "1e999", "²", "1.2.3"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|greater than 0"):
        parse_amount(text)


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, level=0.95, method="test", n_members=100, n_non_members=100)


def beside(auc: Estimate | None, **more: Estimate | None) -> PredictionBesideMeasurement:
    nothing = dict.fromkeys(
        ("loss_f1", "loss_auc", "reference_f1", "reference_auc", "best_auc", "bits_per_member", "capacity_used")
    )
    return compare(predict(plan(bits_per_token=2.0)), **(nothing | {"loss_auc": auc} | more))


def test_agreement_is_an_overlap_of_band_and_interval() -> None:
    law = predict(plan(bits_per_token=2.0)).law
    inside = beside(estimate(law.auc, law.auc - 0.01, law.auc + 0.01))
    assert [one.agrees for one in inside.comparisons] == [True]
    assert "agrees" in inside.summary
    above = beside(estimate(0.99, law.auc_high + 0.01, 1.0))
    assert above.comparisons[0].agrees is False
    assert "above" in above.summary
    below = beside(estimate(0.5, 0.45, law.auc_low - 0.01))
    assert below.comparisons[0].agrees is False
    assert "below" in below.summary
    touching = beside(estimate(0.99, law.auc_high, 1.0))
    assert touching.comparisons[0].agrees is True


def test_a_ceiling_is_broken_only_by_the_whole_interval() -> None:
    ok = beside(None, bits_per_member=estimate(75.0, 60.0, 90.0))
    assert ok.comparisons[0].agrees is True
    broken = beside(None, bits_per_member=estimate(90.0, 75.0, 100.0))
    assert broken.comparisons[0].agrees is False
    assert "hold" in broken.summary


def test_what_was_not_measured_stays_open() -> None:
    none = Estimate.undefined("no non-members were given", level=0.95)
    found = beside(none)
    (comparison,) = found.comparisons
    assert (comparison.agrees, comparison.measured) == (None, None)
    assert "no non-members" in comparison.meaning
    assert "Nothing was measured" in found.summary
    assert beside(None).comparisons == ()


def test_an_extrapolation_is_said_in_the_summary() -> None:
    prediction = predict(plan(sample_tokens=200.0))
    found = compare(
        prediction, loss_f1=None, loss_auc=estimate(0.8, 0.7, 0.9), reference_f1=None, reference_auc=None,
        best_auc=None, bits_per_member=None, capacity_used=None,
    )  # fmt: skip
    assert "extrapolation" in found.summary


def test_documents_are_strict() -> None:
    text = to_text(Wrapped(prediction=predict(plan())))
    with pytest.raises(ResultError, match="unknown key"):
        from_text(text.replace('"prediction"', '"other": 1, "prediction"', 1), Wrapped, version="1.0", what="test")
    with pytest.raises(ResultError, match="older"):
        from_text(text.replace('"1.0"', '"0.9"', 1), Wrapped, version="1.0", what="test")
    with pytest.raises(ValueError, match="finite"):
        to_text(replace(predict(plan()), capacity_bits=math.inf))
