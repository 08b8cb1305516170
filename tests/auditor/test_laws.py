"""The laws against the paper's own tables, against oracles, and at their limits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import roc_auc_score

from auditor.laws.capacity import bits_per_parameter, memorized_bits
from auditor.laws.ceilings import advantage_ceiling, auc_ceiling
from auditor.laws.membership import (
    PAPER_LAW,
    REFERENCE_LAW,
    ProbitLaw,
    auc_from_f1,
    auc_from_separation,
    f1_from_auc,
    f1_from_separation,
    separation_from_f1,
)

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
S_SWEEP = [  # tokens a sample, parameters (3 digits), memorised, expected, error in per cent
    (4, "6.59e5", 1.73e5, 1.80e5, 4.19),
    (8, "6.60e5", 3.54e5, 3.60e5, 1.80),
    (16, "6.61e5", 7.15e5, 7.21e5, 0.84),
    (32, "6.63e5", 1.44e6, 1.44e6, 0.41),
    (64, "6.67e5", 2.29e6, 2.36e6, 2.97),
    (128, "6.75e5", 2.36e6, 2.39e6, 1.24),
    (256, "6.92e5", 2.44e6, 2.45e6, 0.44),
]
TABLE_5 = [(1, 32, "8.04e4"), (1, 128, "4.69e5"), (2, 128, "6.67e5"), (4, 256, "3.70e6"), (8, 256, "6.86e6")]


def gpt2_parameters(n_layer: int, width: int, n_vocabulary: int, n_positions: int) -> int:
    """Count by hand: tables; per layer two norms (4d), attention (4d^2 + 4d), MLP (8d^2 + 5d); a last norm (2d)."""
    return (n_vocabulary + n_positions) * width + n_layer * (12 * width**2 + 13 * width) + 2 * width


def three_digits(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


@pytest.mark.parametrize(("n_layer", "width", "printed"), TABLE_5)
def test_parameter_counts_of_table_5(n_layer: int, width: int, printed: str, tmp_path: Path) -> None:
    from auditor.config import ModelSpec
    from auditor.engine.configs import open_shape
    from auditor.experiments.presets import PRESETS

    expected = gpt2_parameters(n_layer, width, 2048, 64)
    assert three_digits(expected) == printed
    (tmp_path / "config.json").write_text(PRESETS[f"table5-{n_layer}x{width}"].config().to_json_string(use_diff=False))
    shape = open_shape(ModelSpec(path=str(tmp_path)))
    assert shape.n_parameters == expected
    assert (shape.n_vocabulary, shape.context_window) == (2048, 64)


def test_the_smallest_model_of_the_paper_has_80352_parameters() -> None:
    assert gpt2_parameters(1, 32, 2048, 64) == 80_352


@pytest.mark.parametrize(("n_tokens", "params", "memorised", "expected", "error"), S_SWEEP)
def test_sweep_over_sample_lengths(n_tokens: int, params: str, memorised: float, expected: float, error: float) -> None:
    n_parameters = gpt2_parameters(2, 128, 2048, n_tokens)
    assert three_digits(n_parameters) == params
    found = memorized_bits(3.54 * n_parameters, 4096 * n_tokens * math.log2(2048))
    assert found == pytest.approx(expected, rel=0.005)  # printed to three digits
    assert 100 * abs(found - memorised) / memorised == pytest.approx(error, abs=0.5)


@pytest.mark.parametrize(("params", "samples", "target", "observed", "spread"), TABLE_4)
def test_table_4(params: int, samples: int, target: float, observed: float, spread: float) -> None:
    ratio = samples / params
    assert PAPER_LAW.f1(ratio) == pytest.approx(target, abs=0.002)
    assert PAPER_LAW.samples_per_parameter(target) * params == pytest.approx(samples, abs=1)
    assert PAPER_LAW.in_range(ratio)
    low, high = PAPER_LAW.band.around(PAPER_LAW.f1(ratio))
    assert low <= observed + spread
    assert observed - spread <= high


def test_the_constants_round_to_the_printed_ones() -> None:
    assert (round(PAPER_LAW.c1, 2), round(PAPER_LAW.c2, 3), round(PAPER_LAW.c3, 2)) == (1.34, -0.034, -33.14)


def test_why_the_printed_form_is_not_used() -> None:
    """As printed, the law rises with more data, and misses its own table by up to 45 points."""

    def printed(capacity_over_samples: float) -> float:
        sigmoid = 1 / (1 + math.exp(0.034 * (capacity_over_samples - 33.14)))  # c2 = -0.034, c3 = -33.14
        return 0.5 * (1 + 1.34 * sigmoid)

    assert printed(0.0) == pytest.approx(1.006, abs=0.001)  # infinitely many samples
    assert printed(1e4) == pytest.approx(0.5)  # next to none
    at = [100 * printed(3.6 * params / samples) for params, samples, *_ in TABLE_4[:3]]
    assert at == pytest.approx([83.7, 63.8, 50.0], abs=0.1)
    swapped = [100 * 0.5 * (1 + 1.34 / (1 + math.exp(33.14 * (n / p - 0.034)))) for p, n, *_ in TABLE_4[:3]]
    assert swapped == pytest.approx([55.05, 75.16, 95.14], abs=0.01)


@pytest.mark.parametrize(("f1", "auc"), [(0.5, 0.5), (0.55, 0.571), (0.6, 0.640), (0.75, 0.830), (0.95, 0.990)])
def test_auc_of_an_f1(f1: float, auc: float) -> None:
    assert auc_from_f1(f1) == pytest.approx(auc, abs=0.0005)


def test_the_map_against_simulated_scores() -> None:
    rng = np.random.default_rng(0)
    n, d_prime = 200_000, 1.3
    members, others = rng.normal(d_prime, 1, n), rng.normal(0, 1, n)
    auc = roc_auc_score(np.repeat([1, 0], n), np.concatenate([members, others]))
    threshold = d_prime / 2
    hits, false_alarms = (members > threshold).mean(), (others > threshold).mean()
    f1 = 2 * hits / (2 * hits + false_alarms + 1 - hits)
    assert hits == pytest.approx(1 - false_alarms, abs=0.003)
    assert f1_from_separation(d_prime) == pytest.approx(f1, abs=0.003)
    assert auc_from_separation(d_prime) == pytest.approx(auc, abs=0.003)
    assert auc_from_f1(f1) == pytest.approx(auc, abs=0.004)


@given(st.floats(-6, 6))
def test_the_map_against_scipy(d_prime: float) -> None:
    assert f1_from_separation(d_prime) == pytest.approx(stats.norm.cdf(d_prime / 2), abs=1e-12)
    assert auc_from_separation(d_prime) == pytest.approx(stats.norm.cdf(d_prime / 2**0.5), abs=1e-12)
    assert separation_from_f1(f1_from_separation(d_prime)) == pytest.approx(d_prime, abs=1e-6)


@given(st.floats(0.5001, 0.9999))
def test_f1_and_auc_are_inverse(f1: float) -> None:
    assert f1_from_auc(auc_from_f1(f1)) == pytest.approx(f1, abs=1e-9)
    assert auc_from_f1(f1) >= f1


@LAWS
@given(ratio=RATIOS, factor=st.floats(1.0, 100.0))
def test_a_law_falls_with_more_data_and_stays_in_its_range(law: ProbitLaw, ratio: float, factor: float) -> None:
    f1 = law.f1(ratio)
    assert 0.5 <= law.f1(ratio * factor) <= f1 <= 1.0
    low, high = law.band.around(f1)
    assert 0.5 <= low <= f1 <= high <= 1.0


@LAWS
@given(f1=st.floats(0.501, 0.99))
def test_a_law_can_be_inverted(law: ProbitLaw, f1: float) -> None:
    assert law.f1(law.samples_per_parameter(f1)) == pytest.approx(f1, abs=1e-9)


@LAWS
def test_limits_of_a_law(law: ProbitLaw) -> None:
    assert law.f1(1e-9) == pytest.approx(1.0, abs=1e-6)
    assert law.f1(1e6) == pytest.approx(0.5, abs=1e-6)
    for f1 in (0.5, 1.0, 0.3, math.nan):
        with pytest.raises(ValueError, match="reaches"):
            law.samples_per_parameter(f1)


@given(f1=st.floats(0.5, 1.0), more=st.floats(0.0, 0.5))
def test_the_band_does_not_fall_where_the_law_rises(f1: float, more: float) -> None:
    band = PAPER_LAW.band
    low, high = band.around(f1)
    other_low, other_high = band.around(min(1.0, f1 + more))
    assert other_low >= low
    assert other_high >= high


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_rates_outside_0_to_1_are_refused(value: float) -> None:
    for function in (separation_from_f1, f1_from_auc, auc_ceiling):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            function(value)


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
    assert auc_ceiling(0.5) == pytest.approx(integrate.quad(lambda x: min(1.0, x + 0.5), 0, 1)[0], abs=1e-6)
    with pytest.raises(ValueError, match="negative"):
        advantage_ceiling(-1.0)
    with pytest.raises(ValueError, match="negative"):
        advantage_ceiling(math.nan)


@pytest.mark.parametrize("correlation", [0.01, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_no_test_beats_the_ceiling_where_the_truth_is_known(correlation: float) -> None:
    """A sample X and a model T that are jointly normal: the information and the best possible test are both known."""
    bits = -0.5 * math.log2(1 - correlation**2)
    rng = np.random.default_rng(1)
    x = rng.normal(size=400_000)
    model = correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=x.size)
    joint = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])

    def likelihood_ratio(sample: np.ndarray) -> np.ndarray:
        return joint.logpdf(np.stack([sample, model], 1)) - stats.norm.logpdf(sample) - stats.norm.logpdf(model)

    members, others = likelihood_ratio(x), likelihood_ratio(rng.normal(size=x.size))
    advantage = (members > 0).mean() - (others > 0).mean()  # Neyman-Pearson: the total variation
    noise = 4 / math.sqrt(x.size)
    assert advantage <= advantage_ceiling(bits) + noise
    auc = roc_auc_score(np.repeat([1, 0], x.size), np.concatenate([members, others]))
    assert auc <= auc_ceiling(advantage_ceiling(bits)) + noise


def test_capacity_constants() -> None:
    assert bits_per_parameter("float32").value == 3.83
    assert bits_per_parameter("bfloat16").value == 3.51
    assert bits_per_parameter("float16").value == 3.51
    assert memorized_bits(10.0, 3.0) == 3.0
    assert memorized_bits(10.0, 30.0) == 10.0
    assert memorized_bits(10.0, None) == 10.0


def test_a_documented_default_is_a_json_number() -> None:
    json.dumps(PAPER_LAW.f1(0.05), allow_nan=False)
