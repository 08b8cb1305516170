"""Rates of texts and their differences: exact cases, scipy's oracle, and coverage where hits are rare."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.stats.rates import median_with_infinities, rate, rate_change, rate_difference

LEVEL = 0.95


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_rate_is_that_of_the_exact_binomial_interval(hits: list[bool]) -> None:
    found = rate(np.array(hits), level=LEVEL)
    exact = stats.binomtest(sum(hits), len(hits)).proportion_ci(LEVEL, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert found.n_members == len(hits)


def test_copies_of_one_text_are_one_piece_of_evidence() -> None:
    hits = np.repeat([True, False, False, False, False], 10)
    alone, tied = (rate(hits, level=LEVEL, groups=groups) for groups in (None, np.repeat(list("abcde"), 10).tolist()))
    five = rate(np.array([True, False, False, False, False]), level=LEVEL)
    assert (tied.value, tied.low, tied.high) == pytest.approx((0.2, five.low, five.high))
    assert alone.high is not None
    assert tied.high is not None
    assert alone.high < tied.high
    assert "clusters" in tied.method


@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_a_difference_lies_in_its_interval_and_turns_with_the_sides(m: int, n: int, data: st.DataObject) -> None:
    hits = np.array(data.draw(st.lists(st.booleans(), min_size=m + n, max_size=m + n)))
    sides = np.arange(m + n) < m
    found, turned = rate_difference(hits, sides, level=LEVEL), rate_difference(hits, ~sides, level=LEVEL)
    assert found.value == pytest.approx(hits[sides].mean() - hits[~sides].mean())
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high
    assert turned.high is not None
    assert found.low == pytest.approx(-turned.high)


def test_without_a_side_there_is_no_difference() -> None:
    assert rate_difference(np.ones(3, dtype=bool), np.ones(3, dtype=bool), level=LEVEL).value is None
    assert rate(np.zeros(0, dtype=bool), level=LEVEL).undefined_reason


@pytest.mark.parametrize(("p", "q"), [(0.0, 0.0), (0.02, 0.0), (0.1, 0.02), (0.5, 0.5)])
def test_differences_cover(p: float, q: float) -> None:
    rng, sides, inside = np.random.default_rng(0), np.arange(100) < 60, 0
    for _ in range(300):
        hits = rng.random(100) < np.where(sides, p, q)
        found = rate_difference(hits, sides, level=LEVEL)
        inside += (found.low or 0.0) <= p - q <= (found.high or 0.0)
    assert inside >= 0.93 * 300  # 3 standard errors below .95 is .912; the interval is conservative


def test_a_change_is_paired() -> None:
    sides = np.arange(200) < 100
    before = np.arange(200) % 10 == 0
    same = rate_change(before, before, sides, level=LEVEL)
    assert same.estimate.value == 0
    assert same.p_value == 1
    more = rate_change(before, before | (sides & (np.arange(200) % 2 == 0)), sides, level=LEVEL)
    assert more.estimate.value == pytest.approx(0.4)
    assert more.p_value is not None
    assert more.p_value < 0.05
    apart = rate_difference(before, sides, level=LEVEL)
    assert apart.high is not None
    assert same.estimate.high is not None
    assert same.estimate.high == pytest.approx(math.hypot(1 - 0.025**0.01, 1 - 0.025**0.01))  # 0 of 100, twice
    assert same.estimate.high < 2 * apart.high  # texts that stay do not count as chance twice


def test_a_median_of_values_that_may_be_infinite() -> None:
    values = np.array([*range(1, 12)], dtype=float)
    assert median_with_infinities(values, level=LEVEL).high == 10
    values[-1] = np.inf
    assert median_with_infinities(values, level=LEVEL).high == 10
    values[-3:] = np.inf
    assert "out of reach" in (median_with_infinities(values, level=LEVEL).undefined_reason or "")
    assert "takes more texts" in (median_with_infinities(values[:5], level=LEVEL).undefined_reason or "")
