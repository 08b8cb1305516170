"""The laws against the paper's own tables, against oracles, and at their limits."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import f1_score, roc_auc_score, roc_curve

from auditor.laws.capacity import bits_per_parameter, memorized_bits
from auditor.laws.ceilings import advantage_ceiling, auc_ceiling
from auditor.laws.membership import (
    PAPER_LAW,
    REFERENCE_LAW,
    Band,
    MembershipLaw,
    ProbitLaw,
    auc_from_f1,
    auc_from_separation,
    f1_from_auc,
    f1_from_separation,
    separation_from_f1,
)

untimed = settings(deadline=None)

PROBIT = ProbitLaw(
    name="probit", source="", fitted_from=0.01, fitted_to=0.2, band=PAPER_LAW.band, amplitude=0.0445, exponent=1.25
)
LAWS = pytest.mark.parametrize("law", [PAPER_LAW, REFERENCE_LAW, PROBIT], ids=lambda law: law.name)
RATIOS = st.floats(1e-6, 1e4)

XL, SMALL = 1_556_075_200, 123_702_528
TABLE_4 = [  # parameters, samples, target F1, observed F1, spread of the observed
    (XL, 170_654_583, 0.55, 0.5461, 0.013),
    (XL, 76_795_021, 0.75, 0.7108, 0.004),
    (XL, 18_851_574, 0.95, 0.9585, 0.008),
    (SMALL, 13_566_442, 0.55, 0.5344, 0.011),
    (SMALL, 6_104_935, 0.75, 0.6569, 0.006),
    (SMALL, 1_498_634, 0.95, 0.9798, 0.003),
]
S_SWEEP = [  # tokens per sample, parameters (test_counting.py counts them), memorised, expected, error in per cent
    (4, 659_456, "1.73e5", "1.80e5", 4.19),
    (8, 659_968, "3.54e5", "3.60e5", 1.80),
    (16, 660_992, "7.15e5", "7.21e5", 0.84),
    (32, 663_040, "1.44e6", "1.44e6", 0.41),
    (64, 667_136, "2.29e6", "2.36e6", 2.97),
    (128, 675_328, "2.36e6", "2.39e6", 1.24),
    (256, 691_712, "2.44e6", "2.45e6", 0.44),
]
TABLE_5 = [  # parameters, capacity in float32 and bfloat16, bits per parameter in float32 and bfloat16
    (80_352, "3.39e5", "3.16e5", 4.23, 3.93),
    (468_864, "1.71e6", "1.69e6", 3.65, 3.61),
    (667_136, "2.66e6", "2.60e6", 3.99, 3.89),
    (3_700_224, "1.36e7", "1.30e7", 3.68, 3.51),
    (6_859_264, "2.71e7", "2.51e7", 3.96, 3.65),
]


def three_digits(value: float) -> str:
    return f"{value:.2e}".replace("e+0", "e")


def printed_range(text: str) -> tuple[float, float]:
    """Return the numbers that are printed so, three digits of them."""
    half = 0.005 * 10.0 ** int(text.partition("e")[2])
    return float(text) - half, float(text) + half


@pytest.mark.parametrize(("n_tokens", "params", "memorised", "expected", "error"), S_SWEEP)
def test_sweep_over_sample_lengths(n_tokens: int, params: int, memorised: str, expected: str, error: float) -> None:
    found = memorized_bits(3.54 * params, 4096 * n_tokens * math.log2(2048))
    assert three_digits(found) == expected
    # The paper's error is a share of the memorised bits, which are printed to three digits.
    least, most = printed_range(memorised)
    assert 100 * (found - most) / most <= error <= 100 * (found - least) / least


def test_which_of_the_two_bounds_holds_changes_once_in_the_sweep() -> None:
    full = [4096 * n_tokens * 11 > 3.54 * params for n_tokens, params, *_ in S_SWEEP]
    assert full == [False, False, False, False, True, True, True]


@pytest.mark.parametrize(("params", "fp32", "bf16", "alpha_fp32", "alpha_bf16"), TABLE_5)
def test_capacities_of_table_5(params: int, fp32: str, bf16: str, alpha_fp32: float, alpha_bf16: float) -> None:
    """Exact counts times the printed bits per parameter give the printed capacities, as far as digits go."""
    for capacity, alpha in ((fp32, alpha_fp32), (bf16, alpha_bf16)):
        least, most = printed_range(capacity)
        assert (alpha - 0.005) * params <= most
        assert (alpha + 0.005) * params >= least
        assert 2.86 <= alpha <= 4.23


@pytest.mark.parametrize(("params", "samples", "target", "observed", "spread"), TABLE_4)
def test_table_4(params: int, samples: int, target: float, observed: float, spread: float) -> None:
    ratio = samples / params
    assert PAPER_LAW.f1(ratio) == pytest.approx(target, abs=0.002)
    assert PAPER_LAW.samples_per_parameter(target) * params == pytest.approx(samples, abs=1)
    assert PAPER_LAW.in_range(ratio)
    low, high = PAPER_LAW.band.around(PAPER_LAW.f1(ratio))
    assert low <= observed <= high
    assert spread < (high - low) / 2  # of the paper's seeds


def test_the_targets_of_table_4_from_the_printed_constants() -> None:
    """Our reading with the constants as printed: two decimals of each are enough for every row."""
    printed = replace(PAPER_LAW, c1=1.34, c2=-0.034, c3=-33.14)
    found = [100 * printed.f1(samples / params) for params, samples, *_ in TABLE_4]
    assert found == pytest.approx([55.05, 75.16, 95.14] * 2, abs=0.01)


def test_the_constants_round_to_the_printed_ones() -> None:
    assert (round(PAPER_LAW.c1, 2), round(PAPER_LAW.c2, 3), round(PAPER_LAW.c3, 2)) == (1.34, -0.034, -33.14)


def printed_law(capacity_over_samples: float) -> float:
    """F1 as section 5 prints it: ``1/2 (1 + c1 sigmoid(c2 (capacity / samples + c3)))``."""
    c1, c2, c3 = 1.34, -0.034, -33.14
    return 0.5 * (1 + c1 / (1 + math.exp(-c2 * (capacity_over_samples + c3))))


def test_why_the_printed_form_is_not_used() -> None:
    """As printed, the law rises with more data, exceeds 1, and misses its own table by up to 45 points."""
    assert printed_law(0.0) == pytest.approx(1.006, abs=0.0005)  # infinitely many samples
    assert printed_law(1e4) == pytest.approx(0.5, abs=1e-6)  # next to none
    found = [100 * printed_law(3.6 * params / samples) for params, samples, *_ in TABLE_4]
    assert found == pytest.approx([83.7, 63.8, 50.0] * 2, abs=0.1)
    assert found[0] > found[1] > found[2]  # where the targets are 55, 75, 95


@untimed
@given(st.floats(0.01, 1e3), st.floats(1.1, 10), st.sampled_from([2.0, 3.51, 3.64, 3.83, 4.23]))
def test_the_printed_form_is_inverted_whatever_the_capacity(ratio: float, factor: float, alpha: float) -> None:
    assert printed_law(alpha / ratio) <= printed_law(alpha / (ratio * factor))
    assert PAPER_LAW.f1(ratio) >= PAPER_LAW.f1(ratio * factor)


@pytest.mark.parametrize(("f1", "auc"), [(0.5, 0.5), (0.55, 0.571), (0.6, 0.640), (0.75, 0.830), (0.95, 0.990)])
def test_auc_of_an_f1(f1: float, auc: float) -> None:
    assert auc_from_f1(f1) == pytest.approx(auc, abs=0.0005)


@pytest.mark.parametrize("d_prime", [0.2, 1.3, 3.0])
def test_the_map_against_simulated_scores(d_prime: float) -> None:
    """The threshold where both errors are equal is looked for on the measured curve, and F1 is sklearn's."""
    rng = np.random.default_rng(0)
    n = 100_000
    scores = np.concatenate([rng.normal(d_prime, 1, n), rng.normal(0, 1, n)])
    is_member = np.repeat([1, 0], n)
    auc = roc_auc_score(is_member, scores)
    fpr, tpr, thresholds = roc_curve(is_member, scores)
    equal = thresholds[np.argmin(np.abs(fpr - (1 - tpr)))]
    f1 = f1_score(is_member, scores >= equal)
    assert f1_from_separation(d_prime) == pytest.approx(f1, abs=0.005)
    assert auc_from_separation(d_prime) == pytest.approx(auc, abs=0.005)
    assert auc_from_f1(f1) == pytest.approx(auc, abs=0.005)


@pytest.mark.parametrize("f1", [0.5, 0.55, 0.6, 0.75, 0.95, 0.999])
def test_the_map_against_numerical_integration(f1: float) -> None:
    """The area under ``tpr(t)`` over ``fpr(t)``, with the shift at which both errors are ``1 - F1``."""
    d_prime = -2 * stats.norm.isf(f1)
    area, _ = integrate.quad(lambda t: stats.norm.sf(t - d_prime) * stats.norm.pdf(t), -12, 20, epsabs=1e-11)
    assert auc_from_f1(f1) == pytest.approx(area, abs=1e-9)


def test_why_no_rate_at_a_low_fpr_is_predicted() -> None:
    """Two pairs of Gaussian scores with one AUC: their TPR at an FPR of 0.1% differs tenfold."""
    auc, cut = 0.75, stats.norm.isf(0.001)
    rates = []
    for member_sd in (1.0, 2.0):
        shift = stats.norm.ppf(auc) * math.hypot(1.0, member_sd)
        assert auc_from_separation(shift / math.hypot(1.0, member_sd) * 2**0.5) == pytest.approx(auc)
        rates.append(stats.norm.sf((cut - shift) / member_sd))
    assert rates[1] > 8 * rates[0]


@untimed
@given(st.floats(-6, 6))
def test_the_map_against_scipy(d_prime: float) -> None:
    assert f1_from_separation(d_prime) == pytest.approx(stats.norm.cdf(d_prime / 2), abs=1e-12)
    assert auc_from_separation(d_prime) == pytest.approx(stats.norm.cdf(d_prime / 2**0.5), abs=1e-12)
    assert separation_from_f1(f1_from_separation(d_prime)) == pytest.approx(d_prime, abs=1e-6)


@untimed
@given(st.floats(0.5001, 0.9999))
def test_f1_and_auc_are_inverse(f1: float) -> None:
    assert f1_from_auc(auc_from_f1(f1)) == pytest.approx(f1, abs=1e-9)
    assert auc_from_f1(f1) >= f1


@LAWS
@untimed
@given(ratio=RATIOS, factor=st.floats(1.0, 100.0))
def test_a_law_falls_with_more_data_and_stays_in_its_range(law: MembershipLaw, ratio: float, factor: float) -> None:
    f1 = law.f1(ratio)
    assert 0.5 <= law.f1(ratio * factor) <= f1 <= 1.0
    low, high = law.band.around(f1)
    assert 0.5 <= low <= f1 <= high <= 1.0


@LAWS
@untimed
@given(f1=st.floats(0.501, 0.99))
def test_a_law_can_be_inverted(law: MembershipLaw, f1: float) -> None:
    assert law.f1(law.samples_per_parameter(f1)) == pytest.approx(f1, abs=1e-9)


@LAWS
def test_limits_of_a_law(law: MembershipLaw) -> None:
    assert law.f1(1e-9) == pytest.approx(1.0, abs=1e-6)
    assert law.f1(1e6) == pytest.approx(0.5, abs=1e-6)
    assert law.f1(math.inf) == 0.5
    for f1 in (0.5, 1.0, 0.3, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="reaches"):
            law.samples_per_parameter(f1)


@pytest.mark.parametrize("ratio", [-0.01, -math.inf, math.nan])
@pytest.mark.parametrize("law", [PAPER_LAW, REFERENCE_LAW], ids=lambda law: law.name)
def test_no_data_of_negative_or_unknown_size_has_an_f1(law: MembershipLaw, ratio: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        law.f1(ratio)


@LAWS
def test_the_ends_of_the_range_belong_to_it(law: MembershipLaw) -> None:
    assert law.in_range(law.fitted_from)
    assert law.in_range(law.fitted_to)
    for ratio in (0.0, 0.99 * law.fitted_from, 1.01 * law.fitted_to, math.inf, math.nan):
        assert not law.in_range(ratio)


@untimed
@given(st.floats(1e-5, 10), st.floats(0.05, 1.0))
def test_a_scaled_law_is_the_paper_s_for_that_share_of_the_data(ratio: float, scale: float) -> None:
    assert replace(PAPER_LAW, scale=scale).f1(ratio) == PAPER_LAW.f1(scale * ratio)
    assert REFERENCE_LAW.f1(ratio) >= PAPER_LAW.f1(ratio)  # a reference model never makes it worse


def test_a_law_that_cannot_be_inverted_there_says_so() -> None:
    flat = replace(PROBIT, exponent=1e-4)
    with pytest.raises(ValueError, match="out of reach"):
        flat.samples_per_parameter(0.9)


def test_the_band_by_hand() -> None:
    band = Band(below=0.05, above=0.03, below_in_steep_part=0.1, source="")
    assert band.around(0.75) == pytest.approx((0.65, 0.78))
    assert band.around(0.95) == pytest.approx((0.90, 0.98))
    assert band.around(0.55) == pytest.approx((0.5, 0.58))
    assert band.around(0.99) == pytest.approx((0.94, 1.0))


@untimed
@given(f1=st.floats(0.5, 1.0), more=st.floats(0.0, 0.5))
def test_the_band_does_not_fall_where_the_law_rises(f1: float, more: float) -> None:
    band = PAPER_LAW.band
    low, high = band.around(f1)
    other_low, other_high = band.around(min(1.0, f1 + more))
    assert other_low >= low
    assert other_high >= high


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_rates_outside_0_to_1_are_refused(value: float) -> None:
    functions: tuple[Callable[[float], float], ...] = (separation_from_f1, auc_from_f1, f1_from_auc, auc_ceiling)
    for function in functions:
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            function(value)


@untimed
@given(st.floats(0, 60), st.floats(0, 1))
def test_ceilings_rise_with_the_bits(bits: float, more: float) -> None:
    low, high = advantage_ceiling(bits), advantage_ceiling(bits + more)
    assert 0.0 <= low <= high <= 1.0
    assert 0.5 <= auc_ceiling(low) <= auc_ceiling(high) + 1e-15
    assert auc_ceiling(high) <= 1.0
    middle = advantage_ceiling(bits + more / 2)
    assert middle >= (low + high) / 2 - 1e-12  # concave: the bound holds for averages


def test_the_ceiling_by_hand() -> None:
    # 0.01 bits: Pinsker sqrt(0.01 * 0.6931 / 2) = 0.0589; Bretagnolle-Huber sqrt(1 - 2^-0.01) = 0.0831
    assert advantage_ceiling(0.01) == pytest.approx(0.058871, abs=1e-6)
    # 4 bits: Pinsker 1.177 says nothing; Bretagnolle-Huber sqrt(1 - 1/16) = 0.9682
    assert advantage_ceiling(4.0) == pytest.approx(0.968246, abs=1e-6)
    assert (advantage_ceiling(0.0), advantage_ceiling(1e6), advantage_ceiling(math.inf)) == (0.0, 1.0, 1.0)
    assert (auc_ceiling(0.0), auc_ceiling(1.0)) == (0.5, 1.0)
    for bits in (-1.0, -math.inf, math.nan):
        with pytest.raises(ValueError, match="negative"):
            advantage_ceiling(bits)


@untimed
@given(st.floats(0, 1))
def test_the_ceiling_of_the_auc_is_an_area(advantage: float) -> None:
    area, _ = integrate.quad(lambda fpr: min(1.0, fpr + advantage), 0, 1, points=[1 - advantage])
    assert auc_ceiling(advantage) == pytest.approx(area, abs=1e-9)


@untimed
@given(st.floats(0, 100))
def test_the_ceiling_is_the_lower_of_two_bounds(bits: float) -> None:
    pinsker, bretagnolle_huber = math.sqrt(bits * math.log(2) / 2), math.sqrt(1 - 2.0**-bits)
    assert advantage_ceiling(bits) == pytest.approx(min(pinsker, bretagnolle_huber), abs=1e-7)


@pytest.mark.parametrize("shift", [0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_no_test_beats_the_ceiling_of_a_gaussian_shift(shift: float) -> None:
    """A sample is +1 or -1 and the model holds ``shift * sample`` plus noise: everything is an integral."""

    def relative_entropy(t: float) -> float:
        up, down = stats.norm.logpdf(t - shift), stats.norm.logpdf(t + shift)
        return float(math.exp(up) * (up - np.logaddexp(up, down) + math.log(2)) / math.log(2))

    bits, _ = integrate.quad(relative_entropy, shift - 12, shift + 12)
    advantage = stats.norm.cdf(shift) - 0.5  # half of the total variation between the two conditionals
    assert 0 < bits <= 1 + 1e-9
    assert advantage <= advantage_ceiling(bits)


@pytest.mark.parametrize(("n_samples", "noise_variance"), [(1, 0.01), (2, 0.1), (5, 0.1), (50, 1.0)])
def test_no_test_beats_the_ceiling_from_capacity_over_samples(n_samples: int, noise_variance: float) -> None:
    """The model is the sum of its samples plus noise: its capacity is known, and so is each sample's share."""
    capacity = 0.5 * math.log2(1 + n_samples / noise_variance)
    correlation = (n_samples + noise_variance) ** -0.5
    of_one = -0.5 * math.log2(1 - correlation**2)
    assert n_samples * of_one <= capacity + 1e-12  # super-additivity: shares add up to no more
    assert best_test(correlation)[0] <= advantage_ceiling(capacity / n_samples) + NOISE


N_DRAWS = 100_000
NOISE = 4 / math.sqrt(N_DRAWS)


def best_test(correlation: float) -> tuple[float, float]:
    """Advantage and AUC of the likelihood ratio, where sample and model are jointly normal."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=N_DRAWS)
    model = correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=N_DRAWS)

    def likelihood_ratio(sample: np.ndarray) -> np.ndarray:
        spread = math.sqrt(1 - correlation**2)
        return stats.norm.logpdf(model, correlation * sample, spread) - stats.norm.logpdf(model)

    members, others = likelihood_ratio(x), likelihood_ratio(rng.normal(size=N_DRAWS))
    auc = roc_auc_score(np.repeat([1, 0], N_DRAWS), np.concatenate([members, others]))
    return float((members > 0).mean() - (others > 0).mean()), float(auc)  # Neyman-Pearson: the total variation


def test_who_knows_other_members_beats_the_ceiling() -> None:
    """A model that is the exclusive or of its members' fingerprints: nothing to one who sees a text, all to others."""
    n, n_bits = 1000, 32
    most = auc_ceiling(advantage_ceiling(n_bits / n))
    assert most == pytest.approx(0.5998, abs=1e-4)  # a = sqrt(.032 ln 2 / 2) = .1053; 1/2 + a - a^2 / 2
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 2**n_bits, (2, n), dtype=np.uint64)
    model = np.bitwise_xor.reduce(members)
    side = np.repeat([1, 0], n)

    def likeness(fingerprints: np.ndarray, key: np.ndarray) -> np.ndarray:
        return -np.array([int(one).bit_count() for one in np.bitwise_xor(fingerprints, key)])

    seen = [likeness(one, np.full(n, model)) for one in (members, others)]
    assert roc_auc_score(side, np.concatenate(seen)) <= most
    left = np.bitwise_xor(model, np.bitwise_xor(model, members))  # the model less the 999 other members
    known = [likeness(one, left) for one in (members, others)]
    assert roc_auc_score(side, np.concatenate(known)) == 1.0


@pytest.mark.parametrize("correlation", [0.01, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_no_test_beats_the_ceiling_where_the_truth_is_known(correlation: float) -> None:
    """Jointly normal sample and model: the information and the best possible test are both known."""
    bits = -0.5 * math.log2(1 - correlation**2)
    advantage, auc = best_test(correlation)
    assert advantage <= advantage_ceiling(bits) + NOISE
    assert auc <= auc_ceiling(advantage_ceiling(bits)) + NOISE
    assert advantage >= 0.3 * advantage_ceiling(bits) - NOISE  # the bound is not idle


def test_capacity_constants() -> None:
    assert bits_per_parameter("float32").value == 3.83
    assert bits_per_parameter("bfloat16").value == 3.51
    assert bits_per_parameter("float16").value == 3.51
    assert memorized_bits(10.0, 3.0) == 3.0
    assert memorized_bits(10.0, 30.0) == 10.0
    assert memorized_bits(10.0, None) == 10.0
    assert "checkpoint stored in bfloat16" in bits_per_parameter("bfloat16").source
    assert bits_per_parameter("float32", reason="asked for").source.endswith("float32 mean (asked for)")


@untimed
@given(st.floats(1, 1e13), st.floats(0, 1e13), st.floats(0, 1e13))
def test_memorised_bits_exceed_neither_bound_and_never_fall(capacity: float, data: float, more: float) -> None:
    found = memorized_bits(capacity, data)
    assert found in (capacity, data)
    assert found <= capacity
    assert found <= data
    assert found <= memorized_bits(capacity, data + more) <= memorized_bits(capacity, None) == capacity
