"""The words of a gate: digits of a band, the sign of a change, the unit of what is missing, and who stops the run."""

from collections.abc import Callable
from typing import Any

import pytest

from reports import GATE_RENDERERS
from reports.ci import phrases

Make = tuple[Callable[..., Any], Callable[..., Any]]
UNDEFINED = dict.fromkeys(("value", "low", "high", "level", "p_value", "p_value_holm"))


@pytest.mark.parametrize(
    ("band", "figure", "interval"),
    [
        ((0.964, 0.989106, 1.0), "0.989", "0.964 to 1.000"),
        ((0.5, 0.5, 0.571), "0.500", "0.500 to 0.571"),
        ((4e8, 435_240_000.4, 5e8), "435,240,000 bits", "400,000,000 to 500,000,000"),
    ],
)
def test_a_band_and_its_value_have_the_same_digits(
    make: Make, band: tuple[float, float, float], figure: str, interval: str
) -> None:
    low, value, high = band
    one = make[0]("law", value=value, low=low, high=high, level=None, unit="bits" if high > 1 else "")
    assert (phrases.figure(one), phrases.interval(one)) == (figure, interval)


@pytest.mark.parametrize(
    ("metric", "value", "figure"),
    [
        ("change.attacks.reference.auc", 0.031, "+0.031"),
        ("change.attacks.reference.auc", -0.031, "−0.031"),
        ("change.attacks.reference.auc", 0.0, "0.000"),
        ("retrained.attacks.loss.change", 0.031, "+0.031"),
        ("attacks.reference.auc", 0.031, "0.031"),
    ],
)
def test_a_change_has_a_sign(make: Make, metric: str, value: float, figure: str) -> None:
    assert phrases.figure(make[0]("g", metric=metric, value=value, low=value - 0.01, high=value + 0.01)) == figure


def test_a_count_of_changes_has_none(make: Make) -> None:
    counted = make[0]("g", metric="change.high.n_appeared", value=3.0, low=3.0, high=3.0, level=None)
    assert phrases.figure(counted) == "3"


def test_what_is_not_defined_keeps_its_unit_in_the_limit(make: Make) -> None:
    gate, report = make
    missing = gate("bits", "inconclusive", unit="bits", most=8.0, **UNDEFINED)
    assert (phrases.figure(missing), phrases.limit(missing)) == ("not defined", "at most 8 bits")
    assert "at most 8 bits" in GATE_RENDERERS["summary"](report(missing))


@pytest.mark.parametrize(
    ("outcomes", "warn_only", "heading"),
    [
        (("fail", "fail", "inconclusive", "pass"), False, "2 of 4 gates failed, 1 inconclusive"),
        (("inconclusive", "pass"), False, "1 of 2 gates inconclusive"),
        (("refused", "fail"), True, "1 of 2 gates failed, 1 refused (warnings only)"),
        (("pass",), False, "pass"),
    ],
)
def test_the_heading_counts_every_gate_that_stops_the_run(
    make: Make, outcomes: tuple[str, ...], warn_only: bool, heading: str
) -> None:
    gate, report = make
    one = report(*(gate(f"g{i}", outcome) for i, outcome in enumerate(outcomes)), warn_only=warn_only)
    assert phrases.heading(one) == heading
    assert GATE_RENDERERS["summary"](one).splitlines()[0].endswith(f"Memorization: {heading}")


def test_samples_are_pointed_to_only_where_some_are_named(make: Make) -> None:
    gate, report = make
    bare = report(gate("membership", "fail"))
    named = report(gate("worst", "fail", sample_ids=("m1",)))
    for render in (GATE_RENDERERS[form] for form in ("junit", "summary", "sarif")):
        assert "look at the most memorized samples in the report" in render(bare)
        assert "look at the samples that are named" not in render(bare)
        assert "look at the samples that are named" in render(named)


def test_a_note_on_other_documents_is_no_warning(make: Make) -> None:
    gate, report = make
    plain = "1 gate is not for an audit: x"
    one = report(gate("g"), elsewhere=("x",), doubts=("sample_size",))
    assert phrases.notes(one) == [("warn", "read with care, checks warn: number of texts"), ("info", plain)]
    assert '"level": "note"' in GATE_RENDERERS["sarif"](one)
    assert "<system-err>read with care, checks warn: number of texts</system-err>" in GATE_RENDERERS["junit"](one)
    assert f"{plain}</system-out>" in GATE_RENDERERS["junit"](one)


def test_members_are_counted_in_whole_ones(make: Make) -> None:
    one = make[0]("top", value=147.0, low=143.0, high=147.0, most=120.0, unit="members")
    assert (
        phrases.sentence(one)
        .partition(": ")[2]
        .startswith("147 members, 95% interval 143 to 147; allowed: at most 120 members.")
    )


def test_a_gate_on_a_mean_of_bits_says_which_holders_it_cannot_know_of(make: Make) -> None:
    one = make[0]("bits", metric="memorization.debiased_bits_per_member", unit="bits", unseen_below=0.0362)
    assert phrases.reason(one) == f"{one.reason}; holders rarer than 1 in 27 would not have been seen"
    assert "rarer than 1 in 27" in phrases.sentence(one)


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_every_output_says_what_an_interval_cannot_know_of(make: Make, outcome: str) -> None:
    gate, report = make
    caveat = "less sure for skewed values: fewer than 18 independent samples a side"
    one = gate("bits", outcome, metric="memorization.debiased_bits_per_member", unit="bits", unseen_below=0.0362,
               caveat=caveat)  # fmt: skip
    left_out = {"badge_svg", "badge_json", *(["annotations"] if outcome == "pass" else [])}  # no figures; no passes
    for form in set(GATE_RENDERERS) - left_out:
        shown = " ".join(GATE_RENDERERS[form](report(one)).split())
        assert "rarer than 1 in 27" in shown, form
        assert caveat in shown, form
