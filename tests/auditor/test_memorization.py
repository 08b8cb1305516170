"""Bits: by hand, in units, with the estimators on simulated audits of known memorization."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from attacks import TokenScores
from auditor.documents.result import CheckResult, MemorizationResult, SoundnessResult, worst_verdict
from auditor.estimates.code_lengths import SampleBits, mixture_bits, sample_bits
from auditor.estimates.memorization import dataset_memorization, why_not_certified
from auditor.laws.capacity import BitsPerParameter, bits_per_parameter
from auditor.laws.membership import auc_from_separation
from helpers_attacks import token_scores

LN2 = math.log(2)


def scores(*texts: list[float]) -> TokenScores:
    return token_scores(*texts, mean=np.hstack(texts), variance=np.abs(np.hstack(texts)), dtype=np.float32)


def estimate(
    signed: list[float],
    is_member: list[bool],
    *,
    groups: list[str | None] | None = None,
    not_certified: str | None = None,
) -> MemorizationResult:
    bits = SampleBits(target=np.zeros(len(signed)), reference=np.array(signed, dtype=np.float64))
    return dataset_memorization(
        bits,
        np.array(is_member),
        groups=groups,
        n_tokens=np.full(len(signed), 10),
        n_bytes=np.full(len(signed), 50),
        n_references=1,
        n_parameters=1000,
        capacity=BitsPerParameter(3.5, "test"),
        level=0.95,
        rng=np.random.default_rng(0),
        samples=(),
        not_certified=not_certified,
    )


def test_by_hand_and_sequence_level() -> None:
    # target codes a in 1+4 = 5 bits, reference in 4+2 = 6: 1 bit. Token by token it would be 3 + 0 = 3.
    # b: target 3, reference 2: signed -1, memorized 0.
    target = scores([-1 * LN2, -4 * LN2], [-3 * LN2])
    reference = scores([-4 * LN2, -2 * LN2], [-2 * LN2])
    bits = sample_bits(target, [reference])
    np.testing.assert_allclose(bits.target, [5.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(bits.reference, [6.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(bits.signed, [1.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(bits.memorized, [1.0, 0.0], atol=1e-6)


def test_target_equal_to_reference_holds_nothing() -> None:
    same = scores([-1.0, -2.0], [-7.0])
    bits = sample_bits(same, [same])
    assert bits.signed.tolist() == [0.0, 0.0]


def test_mixture_by_hand() -> None:
    # (2^-1 + 2^-3) / 2 = 5/16 -> log2(16/5) = 1.678
    np.testing.assert_allclose(mixture_bits([np.array([1.0]), np.array([3.0])]), [math.log2(16 / 5)])


def test_mixture_over_the_models_counted_by_hand() -> None:
    # a: models 1 and 3 of 1 and 5 bits: (2^-1 + 2^-5) / 2 = 17/64; b: model 2 alone, of 7 bits; c: all, 2, 2, 3 bits:
    # (1/4 + 1/4 + 1/8) / 3 = 5/24
    lengths = [np.array([1.0, 0.0, 2.0]), np.array([0.0, 7.0, 2.0]), np.array([5.0, 0.0, 3.0])]
    counted = np.array([[True, False, True], [False, True, True], [True, False, True]])
    expected = [math.log2(64 / 17), 7.0, math.log2(24 / 5)]
    np.testing.assert_allclose(mixture_bits(lengths, counted), expected, rtol=1e-12)
    np.testing.assert_array_equal(mixture_bits(lengths, np.ones((3, 3), np.bool_)), mixture_bits(lengths))


def test_a_text_without_a_model_to_code_it_is_refused() -> None:
    with pytest.raises(ValueError, match="every text needs a model to be coded with; 1 have none"):
        mixture_bits([np.array([1.0, 2.0])], np.array([[True, False]]))


def test_a_reference_that_saw_a_text_is_not_in_its_mixture() -> None:
    # target 2 and 2 bits; the first reference saw a and codes it in 1 bit, the second 6; b, seen by none: 4 and 6
    target, references = scores([-2 * LN2], [-2 * LN2]), [scores([-LN2], [-4 * LN2]), scores([-6 * LN2], [-6 * LN2])]
    seen = np.array([[True, False], [False, False]])
    bits = sample_bits(target, references, seen=seen)
    # b: (2^-4 + 2^-6) / 2 = 5/128
    np.testing.assert_allclose(bits.reference, [6.0, math.log2(128 / 5)], rtol=1e-6)
    np.testing.assert_allclose(bits.signed, [4.0, math.log2(128 / 5) - 2], rtol=1e-6)
    # without knowing who saw what, the first hides what the target holds: log2(64 / 33 * 2) - 2 < 0
    unaware = sample_bits(target, references)
    assert unaware.signed[0] < 0
    np.testing.assert_array_equal(
        sample_bits(target, references, seen=~np.ones((2, 2), np.bool_)).reference, unaware.reference
    )


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_mixture_lies_between_the_best_and_one_more_choice(lengths: list[float]) -> None:
    (mixed,) = mixture_bits([np.array([length]) for length in lengths])
    assert min(lengths) - 1e-9 <= mixed <= min(lengths) + math.log2(len(lengths)) + 1e-9


def test_estimates_by_hand() -> None:
    # members 4, 2, -3: clipped 4, 2, 0 -> mean 2; non-members 1, -2, -2: clipped 1, 0, 0 -> mean 1/3
    found = estimate([4, 2, -3, 1, -2, -2], [True] * 3 + [False] * 3)
    assert found.calibrated
    assert found.mean_bits_members.value == pytest.approx(1.0)
    assert found.mean_bits_non_members.value == pytest.approx(-1.0)
    assert found.net_bits_per_member.value == pytest.approx(2.0)
    assert found.clipped_total_bits.value == pytest.approx(6.0)
    assert found.debiased_bits_per_member.value == pytest.approx(5 / 3)
    assert found.debiased_total_bits.value == pytest.approx(5.0)
    assert found.bits_per_token.value == pytest.approx(5 / 30)
    assert found.bits_per_byte.value == pytest.approx(5 / 150)
    assert found.capacity_bits == 3500
    assert found.capacity_used.value == pytest.approx(5 / 3500)
    welch = stats.ttest_ind([4, 2, 0], [1, 0, 0], equal_var=False).confidence_interval(0.95)
    # the non-members' influences -2/9, 1/9, 1/9 are skewed downwards: moments 13/9 and -6/729 (3/2)^1.5, gamma arm
    shape = (13 / 9) ** 3 / (6 / 729 * 1.5**1.5) ** 2
    gamma = math.sqrt(13 / 9 / shape) * (stats.gamma(shape).isf(0.025) - shape)
    down = gamma * (welch.high - 5 / 3) / (stats.norm.isf(0.025) * math.sqrt(13 / 9))
    assert (found.debiased_bits_per_member.low, found.debiased_bits_per_member.high) == pytest.approx(
        (5 / 3 - down, welch.high)
    )
    # d' = 2 / sqrt((13 + 3) / 2) [variances: members (9+1+16)/2 = 13, non-members (4+1+1)/2 = 3]
    assert found.auc_from_bits.value == pytest.approx(stats.norm.cdf(2 / math.sqrt(8) / math.sqrt(2)))
    assert (found.debiased_bits_per_member.n_members, found.debiased_bits_per_member.n_non_members) == (3, 3)
    assert sum(found.signed_bits_histogram.members) == 3


def test_without_non_members_nothing_is_calibrated() -> None:
    found = estimate([4, 2, -3, 1.5], [True] * 4)
    assert not found.calibrated
    assert found.clipped_total_bits.value == pytest.approx(7.5)
    for undefined in (
        found.debiased_bits_per_member,
        found.net_bits_per_member,
        found.information_lower_bound_per_member,
        found.debiased_total_bits,
        found.capacity_used,
        found.mean_bits_non_members,
    ):
        assert undefined.value is None
        assert "no non-members" in (undefined.undefined_reason or "")
    assert "uncalibrated" in found.bits_per_token.method
    assert "ONLY IF" in found.auc_from_bits_assumption
    signed = np.array([4, 2, -3, 1.5])
    assert found.auc_from_bits.value == pytest.approx(
        stats.norm.cdf(signed.mean() / signed.std() / math.sqrt(2)), abs=1e-9
    )


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 5, 20)
    signed = [float(x) for x in np.repeat(centre, 10) + rng.normal(0, 1, 200)]
    sides = [True] * 100 + [False] * 100
    groups: list[str | None] = [f"g{i // 10}" for i in range(200)]
    alone, clustered = estimate(signed, sides), estimate(signed, sides, groups=groups)
    assert clustered.net_bits_per_member.value == alone.net_bits_per_member.value

    def width(found: MemorizationResult) -> float:
        low, high = found.net_bits_per_member.low, found.net_bits_per_member.high
        assert low is not None
        assert high is not None
        return high - low

    assert width(clustered) > 2 * width(alone)


@pytest.mark.slow
def test_null_audits_find_nothing_that_is_not_there() -> None:
    """Both sides held out: the clipped sum is well above zero, the debiased figures are not."""
    rng = np.random.default_rng(1)
    clipped, debiased, covered, certified = [], [], 0, 0
    for _ in range(100):
        signed = rng.normal(3.0, 12.0, 160)
        found = estimate([float(x) for x in signed], [True] * 80 + [False] * 80)
        clipped.append(found.clipped_total_bits.value)
        estimate_ = found.debiased_bits_per_member
        debiased.append(estimate_.value)
        assert estimate_.low is not None
        assert estimate_.high is not None
        covered += estimate_.low <= 0 <= estimate_.high
        certified += (found.information_lower_bound_per_member.low or 0) > 0
    assert np.mean(clipped) > 80 * 4  # type: ignore[arg-type]
    assert abs(np.mean(debiased)) < 0.5  # type: ignore[arg-type]
    assert 88 <= covered <= 100
    assert certified <= 8


def test_auc_map_of_the_table() -> None:
    # paper notes: F1 .55 -> .571, .75 -> .830, .95 -> .990 with d' = 2 Phi^-1(F1)
    for f1, auc in ((0.55, 0.571), (0.6, 0.640), (0.75, 0.830), (0.9, 0.965), (0.95, 0.990)):
        assert auc_from_separation(2 * stats.norm.ppf(f1)) == pytest.approx(auc, abs=5e-4)


@given(st.floats(-8, 8))
def test_auc_map_is_a_probability_and_symmetric(d_prime: float) -> None:
    assert 0 <= auc_from_separation(d_prime) <= 1
    assert auc_from_separation(d_prime) + auc_from_separation(-d_prime) == pytest.approx(1.0)
    assert auc_from_separation(d_prime) == pytest.approx(stats.norm.cdf(d_prime / math.sqrt(2)), abs=1e-12)


def test_capacity_constants() -> None:
    assert bits_per_parameter("float32").value == 3.83
    assert bits_per_parameter("bfloat16").value == 3.51
    assert "float16" in bits_per_parameter("float16").source


def soundness(**verdicts: str) -> SoundnessResult:
    checks = tuple(
        CheckResult(name=name, verdict=verdict, figure=None, unit="", detail="") for name, verdict in verdicts.items()
    )
    return SoundnessResult(verdict=worst_verdict(one.verdict for one in checks) or "pass", checks=checks)


def test_nothing_is_certified_where_the_sides_differ_otherwise() -> None:
    signed, sides = [40.0] * 100 + [0.0] * 100, [True] * 100 + [False] * 100
    assert (estimate(signed, sides).information_lower_bound_per_member.low or 0) > 1
    for verdict in ("warn", "veto"):
        reason = why_not_certified(soundness(blind_baseline=verdict, length="pass"))
        assert reason is not None
        assert f"blind_baseline ({verdict})" in reason
        assert "length" not in reason
        found = estimate(signed, sides, not_certified=reason).information_lower_bound_per_member
        assert (found.value, found.low, found.high, found.undefined_reason) == (None, None, None, reason)
        assert (found.n_members, found.n_non_members) == (100, 100)


@pytest.mark.parametrize("name", ["length", "reference_alone"])
def test_other_signs_of_unlike_sides_forbid_it_too(name: str) -> None:
    assert name in (why_not_certified(soundness(**{name: "warn"})) or "")


def test_checks_of_other_things_forbid_nothing() -> None:
    others = {"sample_size": "warn", "negative_control": "warn", "tokenizer": "warn", "overlap": "veto"}
    assert why_not_certified(soundness(blind_baseline="pass", **others)) is None
    assert why_not_certified(None) is None
    alone = estimate([40.0] * 50, [True] * 50, not_certified="x").information_lower_bound_per_member
    assert "no non-members" in (alone.undefined_reason or "")
