"""From a plan to its risk: identities, flags, what is solved for, and what is refused."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.documents.estimate import Estimate
from auditor.documents.files import document, from_text, to_text
from auditor.documents.prediction import (
    AttackPrediction,
    Ceiling,
    LawPrediction,
    Prediction,
    PredictionBesideMeasurement,
)
from auditor.errors import ResultError
from auditor.estimates.prediction import compare
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.ceilings import advantage_ceiling, auc_ceiling
from auditor.laws.membership import PAPER_LAW, REFERENCE_LAW, auc_from_f1
from auditor.laws.prediction import Plan, predict
from helpers import estimate

untimed = settings(deadline=None)


@document
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


@pytest.mark.parametrize(
    ("params", "samples", "target", "auc"),
    [
        (1_556_075_200, 170_654_583, 0.55, 0.571),
        (1_556_075_200, 76_795_021, 0.75, 0.830),
        (1_556_075_200, 18_851_574, 0.95, 0.990),
        (123_702_528, 13_566_442, 0.55, 0.571),
        (123_702_528, 6_104_935, 0.75, 0.830),
        (123_702_528, 1_498_634, 0.95, 0.990),
    ],
)
def test_table_4_from_plan_to_auc(params: int, samples: int, target: float, auc: float) -> None:
    found = predict(plan(params, 64.0 * samples), target_f1=target)
    assert found.law.f1 == pytest.approx(target, abs=0.002)
    assert found.law.auc == pytest.approx(auc, abs=0.002)
    assert found.law.in_range
    assert found.inverse is not None
    assert found.inverse.samples_needed == pytest.approx(samples, rel=1e-6)
    assert found.inverse.params_at_most == pytest.approx(params, rel=1e-6)


def test_no_rate_at_a_low_fpr_is_predicted() -> None:
    for kind in (Prediction, LawPrediction, AttackPrediction, Ceiling):
        assert not [field.name for field in fields(kind) if "tpr" in field.name or "fpr" in field.name]


SIZES = st.tuples(st.integers(100, 10**12), st.floats(1e3, 1e15), st.floats(0.01, 12.0))


@untimed
@given(SIZES)
def test_identities(sizes: tuple[int, float, float]) -> None:
    params, tokens, bits = sizes
    found = predict(plan(params, tokens, bits_per_token=bits))
    assert found.capacity_bits == 3.5 * params
    assert found.memorized_bits == min(found.capacity_bits, bits * tokens)
    assert found.bits_per_sample == pytest.approx(found.memorized_bits / found.samples)
    assert found.bits_per_sample <= bits * 64 * (1 + 1e-12)  # no more than there is in a sample
    assert found.samples * found.sample_tokens == pytest.approx(found.tokens)
    assert found.samples_per_parameter * 64 == pytest.approx(found.tokens_per_parameter)
    assert found.law.f1 == PAPER_LAW.f1(tokens / 64 / params)
    assert found.law.auc == auc_from_f1(found.law.f1)
    assert found.ceiling.bits_per_sample == found.bits_per_sample
    assert found.ceiling.advantage == advantage_ceiling(found.bits_per_sample)
    assert found.ceiling.auc == auc_ceiling(found.ceiling.advantage)
    for low, value, high in (
        (found.law.f1_low, found.law.f1, found.law.f1_high),
        (found.law.auc_low, found.law.auc, found.law.auc_high),
        (found.reference_attack.auc_low, found.reference_attack.auc, found.reference_attack.auc_high),
    ):
        assert 0.5 <= low <= value <= high <= 1.0
    assert 0.5 <= found.ceiling.auc <= 1.0
    assert from_text(to_text(Wrapped(prediction=found)), Wrapped, version="1.0", what="test").prediction == found


@untimed
@given(SIZES, st.floats(1.5, 1000))
def test_only_the_ratio_counts_for_the_law(sizes: tuple[int, float, float], factor: float) -> None:
    params, tokens, _ = sizes
    scaled = round(params * factor)
    one, other = predict(plan(params, tokens)), predict(plan(scaled, tokens * scaled / params))
    assert other.law.f1 == pytest.approx(one.law.f1, abs=1e-9)
    assert other.ceiling.auc == pytest.approx(one.ceiling.auc, abs=1e-9)


@untimed
@given(SIZES, st.floats(1.0, 100.0))
def test_more_data_never_raises_the_risk(sizes: tuple[int, float, float], factor: float) -> None:
    params, tokens, bits = sizes
    less, more = (predict(plan(params, n, bits_per_token=bits)) for n in (tokens, tokens * factor))
    assert more.law.f1 <= less.law.f1
    assert more.reference_attack.f1 <= less.reference_attack.f1
    assert more.bits_per_sample <= less.bits_per_sample * (1 + 1e-12)
    assert more.ceiling.auc <= less.ceiling.auc + 1e-12
    assert more.memorized_bits >= less.memorized_bits


@untimed
@given(st.floats(1.0, 1e4))
def test_any_split_of_the_tokens_gives_one_f1(sample_tokens: float) -> None:
    found = predict(plan(sample_tokens=sample_tokens))
    assert found.law.f1 == predict(plan()).law.f1
    assert found.samples == pytest.approx(32_000 / sample_tokens)
    assert found.law.in_range is (sample_tokens == 64)
    assert any("tokens / 64" in warning for warning in found.warnings) is (sample_tokens != 64)


def test_other_lengths_count_as_64_token_samples_and_are_flagged() -> None:
    one, other = predict(plan()), predict(plan(sample_tokens=128.0))
    assert other.law.f1 == one.law.f1
    assert other.samples == one.samples / 2
    assert one.law.in_range
    assert not other.law.in_range
    assert any("64-token samples" in warning for warning in other.warnings)


def test_a_law_of_other_sizes_is_an_extrapolation() -> None:
    law = replace(PAPER_LAW, smallest_params=1_000, largest_params=5_000)
    assert predict(plan(law=law)).law.in_range
    far = predict(plan(100_000, 320_000.0, law=law))
    assert not far.law.in_range
    assert any("1,000 to 5,000 parameters" in warning for warning in far.warnings)
    assert not predict(plan(99, 320.0, law=law)).law.in_range


def test_a_repeated_text_by_hand() -> None:
    # 640,000 tokens of 64-token samples on 100,000 parameters; four further copies of one text are 256 tokens more.
    # Its share 5 * 64 / 640,256 is that of a text that stands once among 128,051.2 tokens: .02000800 samples each.
    found = predict(plan(100_000, 640_000.0, copies=5.0)).repeated
    assert found is not None
    assert found.total_tokens == 640_256
    assert found.share_of_tokens == pytest.approx(320 / 640_256)
    assert found.samples_per_parameter == pytest.approx(128_051.2 / 64 / 100_000)
    assert found.f1 == pytest.approx(PAPER_LAW.f1(found.samples_per_parameter))
    assert "read, not measured" in found.source


def test_one_copy_is_the_law_itself_and_more_are_at_more_risk() -> None:
    alone = predict(plan(100_000, 640_000.0, copies=1.0))
    assert alone.repeated is not None
    assert alone.repeated.f1 == alone.law.f1
    assert predict(plan()).repeated is None
    found = [predict(plan(100_000, 640_000.0, copies=float(k))).repeated for k in (1, 2, 4, 8)]
    aucs = [one.auc for one in found if one is not None]
    assert aucs == sorted(aucs)
    assert aucs[0] < aucs[-1]


@pytest.mark.parametrize("copies", [0.0, 0.5, -1.0, math.inf, math.nan])
def test_fewer_copies_than_the_text_itself_are_refused(copies: float) -> None:
    with pytest.raises(ValueError, match="copies must be at least 1"):
        plan(copies=copies)


def test_what_others_found_is_named_as_read() -> None:
    lora = " ".join(predict(plan(10**9, 1e6, trainable_params=10_000)).warnings)
    assert "arXiv:2506.20856" in lora
    assert "arXiv:2605.30260" in lora
    assert "capacity --lora" in lora
    tuned = " ".join(predict(plan(fine_tuning=True)).warnings)
    assert "arXiv:2510.11372" in tuned
    assert tuned.count("read, not measured here") == 1


def test_a_capacity_of_a_lora_is_of_its_parameters() -> None:
    held = BitsPerParameter(1.5, "measured", lora_rank=4)
    found = predict(replace(plan(10**9, 1e6, trainable_params=10_000), capacity=held))
    assert found.capacity_bits == 15_000
    assert any("measured with a LoRA of rank 4" in text for text in found.warnings)
    assert any("give --trainable" in text for text in predict(replace(plan(), capacity=held)).warnings)


def test_adapters_count_what_is_trained() -> None:
    found = predict(plan(10**9, 32_000.0, trainable_params=10_000))
    assert found.law.f1 == predict(plan()).law.f1
    assert found.capacity_bits == 35_000
    assert (found.params, found.trainable_params) == (10**9, 10_000)
    assert not found.law.in_range
    assert any("10,000 of the parameters are trained" in warning for warning in found.warnings)
    needed = predict(plan(10**9, None, trainable_params=10_000), target_f1=0.75).inverse
    assert needed is not None
    assert not needed.in_range
    assert needed.tokens_needed == pytest.approx(64 * 10_000 * PAPER_LAW.samples_per_parameter(0.75))
    all_of_them = predict(plan(trainable_params=10_000))
    assert all_of_them.law == predict(plan()).law


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"epochs": 3.0}, "3 epochs"),
        ({"epochs": 199.0}, "199 epochs"),
        ({"fine_tuning": True}, "fine-tuning"),
        ({"tokens": 3_200_000.0}, "lie above the range"),
        ({"tokens": 320.0}, "lie below the range"),
        ({"sample_tokens": 63.0}, "64-token samples"),
    ],
)
def test_every_extrapolation_is_flagged_and_said(more: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"params": 10_000, "tokens": 32_000.0, "bits_per_token": 2.0}
    assert not [warning for warning in predict(plan(**given)).warnings if "extrapolation" in warning]  # type: ignore[arg-type]
    found = predict(plan(**(given | more)))  # type: ignore[arg-type]
    assert not found.law.in_range
    (warning,) = [warning for warning in found.warnings if "extrapolation" in warning]
    assert says in warning


def test_many_epochs_are_what_the_law_was_fitted_on() -> None:
    found = predict(plan(epochs=200.0))
    assert found.law == predict(plan()).law
    assert found.epochs == 200.0


def test_a_coin_flip_is_no_guarantee_and_a_full_ceiling_excludes_nothing() -> None:
    flip = predict(plan(tokens=3_200_000.0))
    assert any("no guarantee" in warning for warning in flip.warnings)
    assert not any("excludes nothing" in warning for warning in flip.warnings)
    open_ended = predict(plan(tokens=3_200.0))
    assert any("excludes nothing" in warning for warning in open_ended.warnings)
    assert not any("no guarantee" in warning for warning in open_ended.warnings)


def test_the_bits_of_the_data_set_can_be_given_as_a_whole() -> None:
    by_token, whole = predict(plan(bits_per_token=0.5)), predict(plan(dataset_bits=16_000.0))
    assert by_token.dataset_bits == whole.dataset_bits == whole.memorized_bits == 16_000
    assert whole.ceiling == by_token.ceiling
    assert not any("not known" in warning for warning in whole.warnings)


def test_other_laws_are_used_as_they_are() -> None:
    law, reference_law = replace(PAPER_LAW, name="mine", scale=2.0), replace(REFERENCE_LAW, source="ours")
    found = predict(plan(law=law, reference_law=reference_law))
    assert (found.law.name, found.law.f1) == ("mine", PAPER_LAW.f1(0.1))
    assert found.reference_attack.source.startswith("ours; band: ")


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


@untimed
@given(st.floats(1e5, 1e13), st.floats(0.51, 0.99))
def test_the_largest_model_for_the_data_is_the_largest(tokens: float, target: float) -> None:
    found = predict(plan(params=None, tokens=tokens), target_f1=target)
    assert found.law.f1 <= target + 1e-9
    assert predict(plan(found.params + 1, tokens)).law.f1 >= target - 1e-9


def test_a_plan_that_leaves_nothing_out_is_not_changed_by_a_target() -> None:
    found = predict(plan(), target_f1=0.6)
    assert replace(found, inverse=None) == predict(plan())
    assert found.inverse is not None
    assert found.inverse.auc == auc_from_f1(0.6)
    assert found.inverse.in_range


@pytest.mark.parametrize(
    "more",
    [
        {"params": 0}, {"params": -1}, {"tokens": 0.0}, {"tokens": math.nan}, {"sample_tokens": 0.0},
        {"epochs": 0.0}, {"bits_per_token": -1.0}, {"trainable_params": 20_000}, {"params": None, "tokens": None},
        {"trainable_params": 0}, {"tokens": -math.inf}, {"dataset_bits": 0.0}, {"dataset_bits": math.nan},
        *[{name: math.inf} for name in ("tokens", "sample_tokens", "epochs", "bits_per_token", "dataset_bits")],
    ],
)  # fmt: skip
def test_impossible_plans_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"greater than 0|at least 1 and finite|more than all|needs"):
        plan(**({"params": 10_000, "tokens": 1e5} | more))  # type: ignore[arg-type]


def test_targets_out_of_reach_are_refused() -> None:
    for target in (0.5, 1.0, 0.2, 1.5, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="F1"):
            predict(plan(), target_f1=target)
        with pytest.raises(ValueError, match=r"F1|AUC"):
            predict(plan(), target_auc=target)
    weak = replace(PAPER_LAW, c1=1.0)  # reaches 0.877 for the smallest data set
    with pytest.raises(ValueError, match=r"out of reach: for the smallest data set the law gives 0\.87"):
        predict(plan(law=weak), target_f1=0.95)
    with pytest.raises(ValueError, match="only a part is trained"):
        predict(plan(params=None, trainable_params=20_000), target_f1=0.75)
    with pytest.raises(ValueError, match="not both"):
        predict(plan(), target_f1=0.75, target_auc=0.8)
    with pytest.raises(ValueError, match="not both"):
        plan(bits_per_token=1.0, dataset_bits=1.0)
    with pytest.raises(ValueError, match="solved for"):
        predict(plan(tokens=None))


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


def test_a_sample_holds_no_more_than_its_tokens_times_the_log_of_the_vocabulary() -> None:
    """10^9 parameters and 100 samples of 64 tokens: 640 bits each out of 1,024 entries, 1,152 out of the largest."""
    few = predict(plan(10**9, 6_400.0, n_vocabulary=1024))
    assert (few.bits_per_sample, few.memorized_bits, few.bits_per_sample_at_most) == (640.0, 64_000.0, 640.0)
    assert few.ceiling.bits_per_sample == 640.0
    unknown = predict(plan(10**9, 6_400.0))
    assert (unknown.bits_per_sample, unknown.n_vocabulary) == (64 * 18.0, None)
    absurd = predict(plan(10**9, 6_400.0, n_vocabulary=1024, bits_per_token=50.0))
    assert absurd.bits_per_sample == 640.0
    with pytest.raises(ValueError, match="at least 2 entries"):
        plan(n_vocabulary=1)


@pytest.mark.parametrize(
    ("more", "bound"),
    [
        ({}, None),
        ({"epochs": 3.0}, "at most"),
        ({"epochs": 300.0}, None),
        ({"sample_tokens": 63.0}, "at most"),
        ({"sample_tokens": 640.0}, "at least"),
        ({"tokens": 320.0}, "at least"),
        ({"tokens": 320.0, "epochs": 3.0}, "at most"),
        ({"fine_tuning": True}, None),
    ],
)
def test_where_the_direction_is_known_one_end_says_nothing(more: dict[str, object], bound: str | None) -> None:
    found = predict(plan(**({"params": 10_000, "tokens": 32_000.0} | more)))  # type: ignore[arg-type]
    for attack in (found.law, found.reference_attack):
        assert attack.bound == bound
        assert (attack.f1_low == 0.5) is (bound == "at most")
        assert (attack.auc_high == 1.0) is (bound == "at least") or bound == "at most"


def test_before_the_range_the_start_of_it_is_the_limit() -> None:
    """F1 falls with more data: below .012 samples a parameter it is at least that at .012, less the band."""
    assert predict(plan(tokens=3_200_000.0)).law.f1_low == 0.5
    least = PAPER_LAW.band.around(PAPER_LAW.f1(0.012))[0]
    assert predict(plan(tokens=320.0)).law.f1_low == least


def test_few_epochs_no_longer_exclude_what_they_measure() -> None:
    """Three epochs of fine-tuning measured an AUC of .95, which a band from .990 to 1 excluded."""
    found = compare(
        predict(plan(tokens=6_400.0, epochs=3.0, fine_tuning=True)), loss_f1=None, loss_auc=estimate(0.95, 0.93, 0.97),
        reference_f1=None, reference_auc=None, best_auc=None, bits_per_member=None, capacity_used=None,
    )  # fmt: skip
    (one,) = found.comparisons
    assert (one.agrees, one.bound) == (True, "at most")
    assert "one-sided" in one.meaning


def test_warnings_of_the_measurements_are_repeated_once() -> None:
    capacity = BitsPerParameter(3.5, "measured", warnings=("the self-check failed",))
    law = replace(PAPER_LAW, warnings=("few cells",))
    reference = replace(REFERENCE_LAW, warnings=("few cells",))
    found = predict(Plan(params=10_000, tokens=32_000.0, capacity=capacity, law=law, reference_law=reference))
    assert found.warnings[:2] == ("the self-check failed", "few cells")
    assert found.warnings.count("few cells") == 1
