"""Quantiles and ranks are those of ``scipy.stats``, to the last bit."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from auditor.stats.quantiles import average_ranks, beta_quantile, normal_quantile, student_quantile

SHARES = st.floats(1e-9, 1 - 1e-9)


@given(SHARES, st.lists(st.floats(0.5, 1e6), max_size=4))
def test_normal_and_student_quantiles(p: float, df: list[float]) -> None:
    assert normal_quantile(p) == scipy.stats.norm.ppf(p) == -scipy.stats.norm.isf(p)
    df = [*df, math.inf]
    np.testing.assert_array_equal(student_quantile(p, df), scipy.stats.t.ppf(p, df))
    np.testing.assert_array_equal(-student_quantile(p, df), scipy.stats.t.isf(p, df))


@given(SHARES, st.integers(1, 5000), st.integers(1, 5000))
def test_beta_quantiles(p: float, a: int, b: int) -> None:
    assert beta_quantile(p, a, b) == scipy.stats.beta.ppf(p, a, b)


@given(st.lists(st.integers(0, 9) | st.floats(-1e300, 1e300), max_size=50))
def test_ranks_of_what_is_tied_are_their_mean(values: list[float]) -> None:
    found = np.array(values, dtype=np.float64)
    np.testing.assert_array_equal(average_ranks(found), scipy.stats.rankdata(found))


def test_no_degrees_of_freedom_is_no_number() -> None:
    assert np.isnan(student_quantile(0.9, [0.0, math.nan])).all()
    assert student_quantile(0.975, 1) == pytest.approx(12.7062, abs=1e-4)
