"""The grade of a signal: the worse of average and tail, from low ends alone."""

from dataclasses import replace

import pytest

from auditor.documents.estimate import Estimate
from auditor.documents.result import StandOutResult
from auditor.estimates.grade import grade_of_auc, grade_signal, surest_count
from helpers_audits import build, build_veto, estimate, risk

SOUND = build().soundness


def at_risk(beyond: Estimate, bits: Estimate | None = None):
    found = StandOutResult(n_beyond_every_non_member=beyond, threshold_bits=100.0, n_above_bits=bits, n_identified=())
    return replace(risk(), stand_out=found)


def headline(low: float):
    return replace(build().attacks[0], auc=estimate(low + 0.01, low, low + 0.02))


@pytest.mark.parametrize(("auc", "grade"), [(0.5, "weak"), (0.65, "moderate"), (0.8, "strong"), (0.97, "near-perfect")])
def test_the_scale_of_the_average(auc: float, grade: str) -> None:
    assert grade_of_auc(auc) == grade


@pytest.mark.parametrize(
    ("low", "tail"),
    [(0.0, "none"), (1.0, "moderate"), (9.0, "moderate"), (10.0, "strong"), (249.0, "strong"), (250.0, "near-perfect")],
)  # of 500 members
def test_the_scale_of_the_tail(low: float, tail: str) -> None:
    found = grade_signal(headline(0.52), at_risk(estimate(low + 4, low, low + 4)), soundness=SOUND)
    assert found is not None
    assert (found.average, found.tail) == ("weak", tail)
    assert found.overall == ("weak" if tail == "none" else tail)


def test_the_average_counts_where_it_is_worse() -> None:
    found = grade_signal(headline(0.9), at_risk(estimate(5, 1, 5)), soundness=SOUND)
    assert found is not None
    assert (found.average, found.tail, found.overall) == ("strong", "moderate", "strong")


def test_bits_count_where_they_name_more_members() -> None:
    scores, bits = estimate(4, 0, 4), estimate(30, 28, 30)
    assert surest_count(at_risk(scores, bits)) is bits
    assert surest_count(at_risk(bits, scores)) is bits
    no_others = replace(bits, n_non_members=0)  # without non-members all of it may be domain adaptation
    assert surest_count(at_risk(scores, no_others)) is scores


def test_what_is_unknown_is_no_grade() -> None:
    undefined = Estimate.undefined("there are no non-members", level=0.95)
    found = grade_signal(None, at_risk(undefined), soundness=SOUND)
    assert found is not None
    assert (found.average, found.tail, found.overall) == (None, None, None)
    inverted = replace(headline(0.3), inverted=True)
    found = grade_signal(inverted, None, soundness=SOUND)
    assert found is not None
    assert found.overall is None
    assert grade_signal(headline(0.9), None, soundness=build_veto().soundness) is None
