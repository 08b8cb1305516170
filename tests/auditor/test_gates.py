"""Gates: figures by path, every outcome, Holm by hand, false alarms by simulation, refusals and waivers."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.documents.comparison import (
    AuditComparison,
    ComparedAudit,
    Difference,
    HighSample,
    HighSamples,
    MetricChange,
    Pairing,
)
from auditor.documents.estimate import Estimate
from auditor.documents.figures import Figure, catalogue
from auditor.documents.files import document_schema, to_text
from auditor.documents.gates import GateReport
from auditor.documents.result import AuditResult, StandOutResult
from auditor.errors import ConfigError, ResultError
from auditor.gates.judge import judge, limit_p_value
from auditor.gates.policy import Gate, Policy, Waiver, built_in_policy
from auditor.gates.subject import Judged, read_bytes, read_judged, with_changes
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.prediction import Plan, predict
from auditor.stats.metrics import auc
from helpers_audits import build_full, build_no_reference
from reports import from_json

TODAY = date(2026, 6, 1)
Z = float(stats.norm.ppf(0.975))


@pytest.fixture(scope="module")
def full() -> AuditResult:
    return build_full()


def read(document: object) -> Judged:
    return read_judged(to_text(document).encode(), "result.json")


def figure(path: str, value: float | None, half: float | None = 0.0, **more: object) -> Figure:
    """A figure with an interval of this half width; None means that it has none."""
    ends = {"low": value, "high": value, "level": None}
    if value is not None and half is not None:
        ends = {"low": value - half, "high": value + half, "level": 0.95}
    return Figure(
        path=path, label=path.split(".")[1] if "." in path else None, description="d", unit="", value=value,
        method="m", **(ends | more),
    )  # fmt: skip


def hold(*figures: Figure, **changes: object) -> Judged:
    blank = Judged(
        path="result.json", sha256="0" * 64, kind="audit", subject="model", soundness="pass", vetoes=(), doubts=(),
        figures={one.path: (one,) for one in figures}, missing={},
    )  # fmt: skip
    return replace(blank, **changes)


def gates(*limits: tuple[str, float], **policy: object) -> Policy:
    return Policy(gates=tuple(Gate(name=path, metric=path, max=most) for path, most in limits), **policy)


def outcomes(report: GateReport) -> dict[str, str]:
    return {gate.gate: gate.outcome for gate in report.gates}


def single(one: Figure, **limits: float):
    policy = Policy(gates=(Gate(name="g", metric=one.path, **limits),))
    (outcome,) = judge(policy, hold(one), today=TODAY).gates
    return outcome


@pytest.mark.parametrize(
    ("value", "half", "limits", "outcome"),
    [
        (0.55, 0.04, {"max": 0.6}, "pass"),
        (0.5, 0.25, {"max": 0.75}, "pass"),  # the end lies on the limit, which is allowed
        (0.55, 0.06, {"max": 0.6}, "inconclusive"),
        (0.62, 0.03, {"max": 0.6}, "inconclusive"),  # the point is beyond, the interval is not
        (0.65, 0.04, {"max": 0.6}, "fail"),
        (0.65, 0.04, {"min": 0.6}, "pass"),
        (0.55, 0.04, {"min": 0.6}, "fail"),
        (0.00, 0.01, {"min": -0.05, "max": 0.05}, "pass"),
        (-0.20, 0.05, {"min": -0.05, "max": 0.05}, "fail"),
        (0.20, 0.05, {"min": -0.05, "max": 0.05}, "fail"),
        (0.00, 0.10, {"min": -0.05, "max": 0.05}, "inconclusive"),
        (7.0, None, {"max": 7}, "pass"),
        (7.1, None, {"max": 7}, "fail"),
        (6.9, None, {"min": 7}, "fail"),
    ],
)
def test_the_interval_decides(value: float, half: float | None, limits: dict[str, float], outcome: str):
    found = single(figure("attacks.zlib.auc", value, half), **limits)
    assert found.outcome == outcome
    assert found.stops == (outcome != "pass")
    assert (found.p_value is None) == (half is None)


def test_an_undefined_figure_is_inconclusive_with_its_reason():
    found = single(figure("attacks.loss.auc", None, undefined_reason="too few texts"), max=0.6)
    assert (found.outcome, found.reason, found.p_value) == ("inconclusive", "too few texts", None)


@given(
    low=st.floats(0.001, 1), high=st.floats(0.001, 1), value=st.floats(-5, 5), limit=st.floats(-5, 5),
    level=st.sampled_from([0.9, 0.95, 0.99]), above=st.booleans(),
)  # fmt: skip
def test_the_p_value_never_contradicts_the_interval(
    low: float, high: float, value: float, limit: float, level: float, above: bool
):
    one = replace(figure("a.b", value), low=value - low, high=value + high, level=level)
    p = limit_p_value(one, limit, above=above)
    assert one.low is not None
    assert one.high is not None
    assert p is not None
    distance = one.low - limit if above else limit - one.high
    if abs(distance) > 1e-9:
        assert (p <= (1 - level) / 2) == (distance > 0)


def test_the_p_value_of_a_normal_interval_is_the_normal_one():
    one = figure("a.b", 0.65, Z * 0.02)  # standard error 0.02
    assert limit_p_value(one, 0.60, above=True) == pytest.approx(stats.norm.sf(2.5))
    assert limit_p_value(one, 0.60, above=False) == pytest.approx(stats.norm.cdf(2.5))
    assert limit_p_value(one, 0.70, above=False) == pytest.approx(stats.norm.sf(2.5))


def test_an_interval_that_ends_at_its_value_says_no_more_than_its_level():
    certified = replace(figure("a.b", 3.0, 1.0), low=3.0)  # a lower bound: value and low end are one
    assert limit_p_value(certified, 1.0, above=True) == pytest.approx(0.025)
    assert limit_p_value(certified, 3.5, above=True) > 0.5
    assert limit_p_value(replace(certified, high=3.0), 3.5, above=True) == 1.0


def test_holm_by_hand():
    """z = 4, 2.2 and 2 above the limit: p = .0000317, .0139, .0228; times 3, 2, 1 and monotone: .000095, .0278, .0278.

    All three intervals exclude the limit (p <= .025), only the first does after correction.
    """
    held = hold(
        *(figure(f"attacks.{name}.auc", 0.6 + z * 0.01, Z * 0.01) for name, z in zip("abc", (4, 2.2, 2), strict=True))
    )
    policy = gates(*((f"attacks.{name}.auc", 0.6) for name in "abc"))
    report = judge(policy, held, today=TODAY)
    assert list(outcomes(report).values()) == ["fail", "inconclusive", "inconclusive"]
    adjusted = [gate.p_value_holm for gate in report.gates]
    assert adjusted == pytest.approx([3 * 3.167e-5, 2 * 0.013903, 2 * 0.013903], rel=1e-3)
    assert "3 limits" in report.correction
    assert "chance" in report.gates[1].reason

    plain = judge(replace(policy, correction="none"), held, today=TODAY)
    assert list(outcomes(plain).values()) == ["fail"] * 3
    assert plain.gates[1].p_value_holm is None
    assert plain.correction.startswith("none")


def test_the_correction_tells_nothing_to_judge_from_nothing_to_correct():
    counted, unknown = figure("risk.members_above", 3.0, None), figure("attacks.a.auc", None, undefined_reason="r")
    measured = figure("attacks.b.auc", 0.5, 0.01)
    unsound = {"vetoes": ("overlap",), "soundness": "veto"}
    nothing = "none: no gate could be judged"
    no_interval = "none needed: no figure that could be judged has a confidence interval that could miss"
    for held, said in (
        (hold(unknown), nothing),
        (hold(measured, counted, **unsound), nothing),
        (
            hold(counted, unknown),
            no_interval,
        ),
        (hold(measured, unknown), "Holm over 1 limit: to fail, a gate also needs an adjusted p-value of at most 0.025"),
    ):
        assert judge(gates(*((path, 0.6) for path in held.figures)), held, today=TODAY).correction == said


def test_a_gate_with_two_limits_counts_twice():
    """z = 2.1 above: p = .0179 is below .025, and twice that is not."""
    one = figure("retrained.attacks.change", 0.05 + 2.1 * 0.01, Z * 0.01)
    assert single(one, max=0.05).outcome == "fail"
    both = single(one, min=-0.05, max=0.05)
    assert both.outcome == "inconclusive"
    assert both.p_value_holm == pytest.approx(2 * stats.norm.sf(2.1))


def test_figures_without_an_interval_and_waived_gates_in_the_correction():
    """A bare number is not counted; a waiver changes nothing for the other gates."""
    held = hold(figure("attacks.a.auc", 0.621, Z * 0.01), figure("risk.members_above", 3.0, None))
    policy = gates(("attacks.a.auc", 0.6), ("risk.members_above", 2))
    assert set(outcomes(judge(policy, held, today=TODAY)).values()) == {"fail"}
    both = hold(figure("attacks.a.auc", 0.621, Z * 0.01), figure("attacks.b.auc", 0.4, Z * 0.01))
    waived = gates(
        ("attacks.a.auc", 0.6), ("attacks.b.auc", 0.6),
        waivers=(Waiver(gate="attacks.b.auc", reason="r", expires=TODAY),),
    )  # fmt: skip
    assert judge(waived, both, today=TODAY).gates[0].outcome == "inconclusive"


@pytest.mark.parametrize("inconclusive", ["fail", "pass"])
def test_the_policy_says_what_is_not_decided(inconclusive: str):
    report = judge(
        gates(("attacks.a.auc", 0.6), inconclusive=inconclusive), hold(figure("attacks.a.auc", 0.6, 0.1)), today=TODAY
    )
    assert outcomes(report) == {"attacks.a.auc": "inconclusive"}
    assert (report.passed, report.exit_code) == ((False, 1) if inconclusive == "fail" else (True, 0))


def test_warnings_only_changes_the_exit_code_and_nothing_else():
    held, policy = hold(figure("attacks.a.auc", 0.9, 0.05)), gates(("attacks.a.auc", 0.6))
    strict, mild = (judge(policy, held, today=TODAY, warn_only=warn) for warn in (False, True))
    assert (strict.exit_code, mild.exit_code, mild.passed) == (1, 0, False)
    assert replace(mild, exit_code=1, warn_only=False) == strict


@pytest.mark.slow
def test_false_alarms_of_ten_gates_stay_at_the_level_of_one():
    """Ten attacks that see nothing, each limit at its true AUC: the hardest case in which nothing may fail."""
    rng = np.random.default_rng(7)
    side = np.arange(80) < 40
    names = [f"attacks.a{i}.auc" for i in range(10)]
    policy = gates(*((name, 0.5) for name in names))
    alarms = dict.fromkeys(("holm", "none"), 0)
    for _ in range(250):
        found = [auc(rng.normal(size=80), side, level=0.95) for _ in names]
        held = hold(*(
            figure(name, one.value, low=one.low, high=one.high, level=one.level)
            for name, one in zip(names, found, strict=True)
        ))  # fmt: skip
        for correction in alarms:
            report = judge(replace(policy, correction=correction), held, today=TODAY)
            alarms[correction] += "fail" in outcomes(report).values()
    assert alarms["holm"] <= 0.025 * 250
    assert alarms["none"] > 0.1 * 250  # 1 - .975 ** 10 = .22: without correction the test would see it


# --- documents -----------------------------------------------------------------------------------------------------


def test_paths_of_a_whole_audit(full: AuditResult):
    held = read(full)

    def value(path: str) -> float | None:
        (one,) = held.figures[path]
        return one.value

    reference = next(one for one in full.attacks if one.attack == "reference")
    assert value("attacks.reference.auc") == value("attacks.headline.auc") == reference.auc.value
    assert value("attacks.min_k:k=0.1.advantage") is not None
    assert value("attacks.headline.tpr_at_fpr.0.01") == reference.tpr_at_fpr[1].value
    assert value("attacks.loss.auc_residualised") is not None
    assert value("attacks.best.auc") == 0.929
    assert value("combination.auc") is not None
    assert value("risk.tails.0.01.mean_bits") == 118.2
    assert value("risk.members_above") == 211
    assert value("risk.breakdowns.length.groups.64 or more.auc") == 0.968
    assert value("retrained.attacks.zlib.change") == pytest.approx(0.502 - 0.506)
    assert held.figures["retrained.attacks.headline.change"] == held.figures["retrained.attacks.reference.change"]
    (law,) = held.figures["prediction.prediction.law.auc"]
    assert law.low < law.value < law.high
    assert law.level is None
    assert [one.label for one in held.figures["attacks.any.auc"]] == [one.attack for one in full.attacks]


def test_no_text_and_no_curve_is_a_figure(full: AuditResult):
    paths = list(read(full).figures)
    assert not [path for path in paths if any(word in path for word in ("text", "roc", "histogram", "top_samples"))]


def test_the_most_memorized_members_are_named_beyond_the_limit(full: AuditResult):
    """121.4, 115.1, 108.8, ... bits; the seventh is no member. Three members are above 105."""
    held = read(full)
    policy = Policy(gates=(Gate(name="worst", metric="memorization.largest_sample_bits", max=105),))
    (found,) = judge(policy, held, today=TODAY).gates
    assert (found.outcome, found.value, found.level) == ("fail", 121.4, None)
    assert found.sample_ids == ("record-04711", "record-04748", "record-04785")
    mild = Policy(gates=(Gate(name="worst", metric="memorization.largest_sample_bits", max=121.4),))
    assert judge(mild, held, today=TODAY).gates[0].sample_ids == ()


def test_any_is_a_gate_for_each_attack(full: AuditResult):
    policy = Policy(
        gates=(Gate(name="membership", metric="attacks.any.auc", max=0.78),),
        waivers=(Waiver(gate="membership", reason="known", expires=TODAY),),
    )
    report = judge(policy, read(full), today=TODAY)
    assert outcomes(report) == {
        "membership/loss": "pass",
        "membership/reference": "fail",
        "membership/zlib": "pass",
        "membership/min_k:k=0.1": "inconclusive",
        "membership/min_k_plus_plus": "inconclusive",
        "membership/lowercase": "pass",
    }
    assert report.gates[1].metric == "attacks.reference.auc"
    assert "6 limits" in report.correction
    assert all(gate.waived_by == "known" for gate in report.gates)
    assert report.passed


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("extraction.rate_beyond", "not run in this audit"),
        ("attacks.lira.auc", "not measured in this audit"),
        ("attacks.headline.tpr_at_fpr.0.02", "not measured at this rate in this audit (--fpr)"),
        ("attacks.headline.tpr_at_fpr.0.001", "an FPR of 0.001 needs at least 1,000 non-members, there are 480"),
        ("attacks.loss.epsilon_lower_bound", "not measured in this audit"),
        ("change.attacks.reference.auc", "no baseline to compare with was given (--baseline)"),
    ],
)
def test_what_was_not_measured_is_inconclusive(full: AuditResult, metric: str, reason: str):
    subject = read(replace(full, extraction=None))
    (found,) = judge(gates((metric, 0.5)), subject, today=TODAY).gates
    assert (found.outcome, found.reason) == ("inconclusive", reason)


def test_bits_without_a_reference_say_why():
    policy = gates(("memorization.debiased_bits_per_member", 8))
    (found,) = judge(policy, read(build_no_reference()), today=TODAY).gates
    assert (found.outcome, found.unit) == ("inconclusive", "bits")
    assert "reference" in found.reason


def veto(result: AuditResult, *names: str) -> AuditResult:
    assert result.soundness is not None
    checks = tuple(
        replace(check, verdict="veto" if check.name in names else "pass") for check in result.soundness.checks
    )
    return replace(result, soundness=replace(result.soundness, verdict="veto", checks=checks))


@pytest.mark.parametrize("unsound", ["fail", "pass"])
def test_an_unsound_audit_is_refused_with_the_checks_that_forbid_it(full: AuditResult, unsound: str):
    held = read(veto(full, "blind_baseline", "overlap"))
    policy = gates(
        ("attacks.reference.auc", 0.99), ("memorization.debiased_bits_per_member", 1),
        ("memorization.largest_sample_bits", 1000), ("memorization.capacity_bits", 1e9), unsound=unsound,
    )  # fmt: skip
    report = judge(policy, held, today=TODAY)
    assert list(outcomes(report).values()) == ["refused", "refused", "pass", "pass"]
    assert report.gates[0].reason == "the audit is not sound: blind_baseline, overlap"
    assert report.gates[0].p_value is None
    assert report.soundness == "veto"
    assert report.exit_code == (1 if unsound == "fail" else 0)


def test_a_veto_of_the_models_refuses_bits_of_members_too(full: AuditResult):
    report = judge(gates(("memorization.largest_sample_bits", 1000)), read(veto(full, "tokenizer")), today=TODAY)
    assert report.gates[0].outcome == "refused"


def test_an_audit_without_checks_is_refused(full: AuditResult):
    report = judge(gates(("attacks.reference.auc", 1)), read(replace(full, soundness=None)), today=TODAY)
    assert report.gates[0].outcome == "refused"


def test_checks_that_warn_are_noted(full: AuditResult):
    report = judge(gates(("attacks.reference.auc", 1)), read(full), today=TODAY)
    assert {"blind_baseline", "near_duplicates"} <= set(report.doubts)


@pytest.mark.parametrize(
    ("expires", "stops", "noted"),
    [(TODAY, False, False), (date(2026, 5, 31), True, True), (date(2030, 1, 1), False, False)],
)
def test_waivers_by_date(expires: date, stops: bool, noted: bool):
    policy = gates(("attacks.a.auc", 0.6), waivers=(Waiver(gate="attacks.a.auc", reason="why", expires=expires),))
    report = judge(policy, hold(figure("attacks.a.auc", 0.9, 0.05)), today=TODAY)
    (found,) = report.gates
    assert (found.outcome, found.stops) == ("fail", stops)
    assert found.waived_by == (None if stops else "why")
    assert found.waived_until == (None if stops else expires.isoformat())
    assert any(note.startswith("EXPIRED") and "why" in note for note in report.notes) == noted


INVERTED = "the headline attack is inverted (AUC 0.047 [0.03 to 0.064]): the sides are swapped"


@pytest.mark.parametrize(
    ("metric", "outcome"),
    [
        ("attacks.headline.auc", "refused"),
        ("attacks.loss.auc", "refused"),
        ("attacks.best.auc", "refused"),
        ("attacks.headline.tpr_at_fpr.0.01", "refused"),
        ("memorization.debiased_bits_per_member", "refused"),
        ("memorization.largest_sample_bits", "refused"),  # of those that are called members
        ("retrained.attacks.any.change", "pass"),
        ("memorization.bits_per_parameter", "pass"),
    ],
)
def test_with_sides_swapped_nothing_passes(metric: str, outcome: str):
    headline = figure("attacks.headline.auc", 0.047, 0.017)
    held = hold(headline) if metric == headline.path else hold(headline, figure(metric, 0.01, 0.001))
    policy = gates((metric, 0.6))
    (found,) = judge(policy, held, today=TODAY).gates
    assert (found.outcome, found.stops) == (outcome, outcome == "refused")
    if outcome == "refused":
        assert found.reason.startswith(INVERTED)
        assert (found.p_value, found.p_value_holm) == (None, None)
        assert judge(replace(policy, unsound="pass"), held, today=TODAY).exit_code == 0
        vetoed = judge(policy, replace(held, soundness="veto", vetoes=("tokenizer",)), today=TODAY)
        assert vetoed.gates[0].reason == "the audit is not sound: tokenizer"


def test_an_interval_that_reaches_one_half_is_not_inverted():
    held = hold(figure("attacks.headline.auc", 0.45, 0.05))
    assert outcomes(judge(gates(("attacks.headline.auc", 0.6)), held, today=TODAY)) == {"attacks.headline.auc": "pass"}
    other = hold(figure("attacks.headline.auc", 0.5, 0.05), figure("attacks.zlib.auc", 0.4, 0.05))
    assert judge(gates(("attacks.zlib.auc", 0.6)), other, today=TODAY).passed


def test_a_real_audit_with_sides_swapped_is_refused(full: AuditResult):
    declared = full.selection.headline
    swapped = [
        replace(one, inverted=True, auc=replace(one.auc, value=0.047, low=0.03, high=0.064))
        if one.attack == declared
        else one
        for one in full.attacks
    ]
    report = judge(built_in_policy(), read(replace(full, attacks=tuple(swapped))), today=TODAY)
    assert {gate.outcome for gate in report.gates} == {"refused"}
    assert report.exit_code == 1


def test_a_waiver_of_no_gate_is_noted_and_the_longest_of_several_counts():
    waivers = tuple(
        Waiver(gate=gate, reason=gate, expires=date(2027, month, 1))
        for gate, month in (("other", 1), ("attacks.a.auc", 2), ("attacks.a.auc", 3))
    )
    held = hold(figure("attacks.a.auc", 0.9, 0.05))
    report = judge(gates(("attacks.a.auc", 0.6), waivers=waivers), held, today=TODAY)
    assert report.gates[0].waived_until == "2027-03-01"
    assert report.notes == ("the waiver of 'other' matches no gate of the policy",)


def test_intervals_of_a_low_level_are_noted():
    held = hold(figure("attacks.a.auc", 0.5, 0.05, level=0.5))
    report = judge(gates(("attacks.a.auc", 0.6)), held, today=TODAY)
    assert (report.passed, len(report.notes)) == (True, 1)
    assert "50%" in report.notes[0]


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive", "refused"])
def test_a_waiver_covers_every_outcome(outcome: str):
    half = {"pass": 0.01, "fail": 0.01, "inconclusive": 0.3, "refused": 0.01}[outcome]
    held = hold(figure("attacks.a.auc", 0.5 if outcome == "pass" else 0.7, half))
    held = replace(held, vetoes=("overlap",), soundness="veto") if outcome == "refused" else held
    waiver = Waiver(gate="attacks.a.auc", reason="why", expires=TODAY)
    report = judge(gates(("attacks.a.auc", 0.6), waivers=(waiver,)), held, today=TODAY)
    assert outcomes(report) == {"attacks.a.auc": outcome}
    assert report.gates[0].waived_by == "why"
    assert report.passed


@pytest.fixture(scope="module")
def plan() -> str:
    capacity = BitsPerParameter(3.51, "test")
    return to_text(predict(Plan(params=124_000_000, tokens=1e10, capacity=capacity), target_f1=None, target_auc=None))


def test_a_prediction_is_held_against_its_band(plan: str):
    held = read_judged(plan.encode(), "plan.json")
    (law,) = held.figures["law.auc"]
    assert law.high is not None
    assert (held.kind, law.level, law.low) == ("prediction", None, json.loads(plan)["law"]["auc_low"])
    within, across = (
        judge(gates(("law.auc", most)), held, today=TODAY).gates[0] for most in (law.high, law.high - 1e-6)
    )
    assert (within.outcome, across.outcome, across.p_value) == ("pass", "inconclusive", None)
    assert "the band holds the limit" in across.reason
    assert {"ceiling.auc", "memorized_bits", "bits_per_sample", "reference_attack.auc"} <= held.figures.keys()


def test_one_policy_serves_before_and_after_training(plan: str, full: AuditResult):
    before = judge(built_in_policy(), read_judged(plan.encode(), "plan.json"), today=TODAY)
    after = judge(built_in_policy(), read(full), today=TODAY)
    assert outcomes(before) == {"predicted-membership": "pass"}
    assert list(outcomes(after)) == ["membership", "membership-best", "sure-hits", "stand-out", "memorization"]
    assert "sure-hits" in before.elsewhere
    assert "predicted-membership" in after.elsewhere


def test_a_policy_about_nothing_here_is_an_error_and_no_pass(plan: str):
    with pytest.raises(ConfigError, match="no gate is about a prediction"):
        judge(gates(("attacks.best.auc", 0.6)), read_judged(plan.encode(), "plan.json"), today=TODAY)


def test_the_built_in_policy_passes_noise_and_fails_a_leak(full: AuditResult):
    def calm(value: float, low: float, high: float) -> Estimate:
        return Estimate(value=value, low=low, high=high, level=0.95, method="m", n_members=500, n_non_members=500)

    def standing_out(audit: AuditResult, count: Estimate) -> AuditResult:
        found = StandOutResult(n_beyond_every_non_member=count, threshold_bits=100, n_above_bits=None, n_identified=())
        assert audit.risk is not None
        return replace(audit, risk=replace(audit.risk, stand_out=found))

    report = judge(built_in_policy(), read(standing_out(full, calm(300, 296, 300))), today=TODAY)
    assert set(outcomes(report).values()) == {"fail"}

    assert full.selection is not None
    assert full.memorization is not None
    noise = calm(0.5, 0.465, 0.535)
    rates = tuple(replace(rate, value=0.01, low=0.003, high=0.025) for rate in full.attacks[1].tpr_at_fpr[1:])
    quiet = replace(
        full,
        attacks=tuple(replace(one, auc=noise, inverted=False, tpr_at_fpr=rates) for one in full.attacks),
        selection=replace(full.selection, best_auc=noise),
        memorization=replace(full.memorization, debiased_bits_per_member=calm(0.1, -0.8, 1.0)),
    )
    quiet = standing_out(quiet, calm(2, 0, 2))
    assert set(outcomes(judge(built_in_policy(), read(quiet), today=TODAY)).values()) == {"pass"}


# --- changes against a baseline ------------------------------------------------------------------------------------


READINGS = {"none": "sound", "caution": "caution", "diagnosis": "diagnosis"}


def comparison(*, effect: str = "none", soundness: str = "pass") -> AuditComparison:
    """Two attacks and bits that changed; the reference attack is the headline; three members became memorized."""

    def audited(path: str) -> ComparedAudit:
        return ComparedAudit(
            path=path, result_sha256="0" * 64, target=f"models/{path}", weights_sha256="0" * 64, n_parameters=10,
            started_at="2026-01-01T00:00:00+00:00", soundness=soundness, headline_attack="reference",
            n_members=100, n_non_members=100,
        )  # fmt: skip

    def changed(metric: str, value: float, half: float, unit: str = "") -> MetricChange:
        ends = {"level": 0.95, "method": "paired", "n_members": 100, "n_non_members": 100}
        change = Estimate(value=value, low=value - half, high=value + half, **ends)
        at = 0.5 if metric.endswith(".auc") else 0.0
        old, new = (Estimate(**dict.fromkeys(("value", "low", "high"), end), **ends) for end in (at, at + value))
        return MetricChange(
            metric=metric, description=metric, unit=unit, old=old, new=new, change=change,
            p_value=0.5, p_value_holm=0.5, paired=True,
        )  # fmt: skip

    appeared = tuple(HighSample(sample_id=f"m{i}", text_sha256="0" * 64, old_bits=1.0, new_bits=30.0) for i in range(3))
    return AuditComparison(
        auditor_version="0",
        level=0.95,
        old=audited("old"),
        new=audited("new"),
        soundness=soundness,
        reading=READINGS[effect],
        headline_attack="reference",
        pairing=Pairing(
            paired=True, n_members=100, n_non_members=100, n_members_only_old=0, n_members_only_new=0,
            n_non_members_only_old=0, n_non_members_only_new=0, n_cut_differently=0, n_changed_sides=0,
        ),
        changes=(
            changed("memorization.net_bits_per_member", 3.0, 1.0, "bits"),
            changed("attacks.min_k:k=0.1.auc", 0.01, 0.02),
            changed("attacks.reference.auc", 0.2, 0.05),
            changed("attacks.reference.tpr_at_fpr.0.01", 0.1, 0.05),
        ),
        differences=(Difference(what="option max_tokens", old="1", new="2", effect=effect, meaning="m"),),
        high=HighSamples(
            old_threshold=10.0, new_threshold=10.0, n_old=0, n_new=3, n_appeared=3, n_vanished=0,
            appeared=appeared, vanished=(),
        ),
    )  # fmt: skip


CHANGES = gates(
    ("change.attacks.any.auc", 0.05), ("change.attacks.headline.auc", 0.05), ("change.attacks.lira.auc", 0.05),
    ("change.memorization.net_bits_per_member", 5), ("change.high.n_appeared", 2),
    ("change.attacks.reference.tpr_at_fpr.0.01", 0.2),
)  # fmt: skip


@pytest.mark.parametrize("as_baseline", [False, True])
def test_changes_are_gated_from_a_comparison_or_a_baseline(full: AuditResult, as_baseline: bool):
    held = with_changes(read(full), comparison()) if as_baseline else read(comparison())
    report = judge(CHANGES, held, today=TODAY)
    assert report.kind == ("audit" if as_baseline else "comparison")
    assert list(outcomes(report).items()) == [
        ("change.attacks.any.auc/min_k:k=0.1", "pass"),
        ("change.attacks.any.auc/reference", "fail"),
        ("change.attacks.headline.auc", "fail"),
        ("change.attacks.lira.auc", "inconclusive"),
        ("change.memorization.net_bits_per_member", "pass"),
        ("change.high.n_appeared", "fail"),
        ("change.attacks.reference.tpr_at_fpr.0.01", "pass"),
    ]
    assert report.gates[3].reason == "not measured in both audits"
    assert report.gates[4].unit == "bits"
    assert report.gates[5].sample_ids == ("m0", "m1", "m2")


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_change_of_an_inverted_headline_attack_is_refused(full: AuditResult, which: str):
    """With the sides of one audit swapped the AUC seems to fall, which must not pass for less memory."""
    plain = comparison()
    below = replace(plain.changes[2].new, value=0.05, low=0.03, high=0.07)
    row = replace(plain.changes[2], **{which: below})
    change = row.new.value - row.old.value
    row = replace(row, change=replace(row.change, value=change, low=change - 0.05, high=change + 0.05))
    rows = (*plain.changes[:2], row, *plain.changes[3:])
    bad = replace(plain, changes=rows)
    for held in (read(bad), with_changes(read(full), bad)):
        report = judge(gates(("change.attacks.headline.auc", 0.5)), held, today=TODAY)
        assert report.gates[0].outcome == "refused"
        assert "the headline attack is inverted in an audit" in report.gates[0].reason


def test_a_comparison_that_allows_no_verdict_is_refused(full: AuditResult):
    policy = gates(("change.attacks.reference.auc", 0.05))
    for bad in (comparison(effect="diagnosis"), comparison(effect="diagnosis", soundness="veto")):
        for held in (read(bad), with_changes(read(full), bad)):
            assert judge(policy, held, today=TODAY).gates[0].outcome == "refused"
    doubtful = judge(policy, read(comparison(effect="caution")), today=TODAY)
    assert doubtful.gates[0].outcome == "fail"
    assert "option max_tokens" in doubtful.doubts[0]


def pair(n: int, only_old: int, only_new: int) -> dict[str, int]:
    """Members and non-members alike."""
    counts = {"n": n, "only_old": only_old, "only_new": only_new}
    sides = {"n": "n_{}", "only_old": "n_{}_only_old", "only_new": "n_{}_only_new"}
    return {sides[key].format(side): count for key, count in counts.items() for side in ("members", "non_members")}


@pytest.mark.parametrize(
    ("pairing", "said"),
    [
        ({"paired": False} | pair(0, 100, 100), "other texts (0 members and 0 non-members in both audits"),
        ({"paired": False} | pair(1, 99, 99), "other texts (1 members and 1 non-members in both audits"),
        (pair(49, 51, 400), "other texts (49 members in both audits, of 100 in the smaller one)"),
        ({"n_non_members": 2, "n_non_members_only_old": 3, "n_non_members_only_new": 3}, "(2 non-members in both"),
        (pair(50, 50, 400), None),
        (pair(100, 0, 900), None),  # the smaller audit is a part of the larger one
    ],
)
def test_a_change_between_audits_of_other_texts_is_refused(full: AuditResult, pairing: dict, said: str | None):
    plain = comparison()
    paired = pairing.get("paired", True)
    other = replace(
        plain,
        reading="sound" if paired else "caution",
        pairing=replace(plain.pairing, **pairing),
        changes=tuple(replace(one, paired=paired) for one in plain.changes),
    )
    policy = gates(("change.attacks.headline.auc", 0.5), ("change.high.n_appeared", 5), ("change.attacks.any.auc", 0.5))
    for held in (read(other), with_changes(read(full), other)):
        report = judge(policy, held, today=TODAY)
        assert {one.outcome for one in report.gates} == ({"pass"} if said is None else {"refused"})
        assert report.passed == (said is None)
        assert all((said or "") in one.reason for one in report.gates)


def break_it(change: Callable[[dict], object]) -> Callable[[str], bytes]:
    def broken(text: str) -> bytes:
        document = json.loads(text)
        change(document)
        return json.dumps(document).encode()

    return broken


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: b"[]",
        lambda text: b"{}",
        lambda text: text.encode()[:1000],
        lambda text: b"\xff" + text.encode(),
        lambda text: b"[" * 100_000,
        lambda text: b'{"checkpoints": []}',
        break_it(lambda d: d["attacks"][0]["auc"].update(low=0.99)),
        break_it(lambda d: d["attacks"][0]["auc"].update(value=float("nan"))),
        break_it(lambda d: d.update(attacks=None)),
        break_it(lambda d: d.update(schema_version="9.0")),
        break_it(lambda d: d.pop("soundness")),
        break_it(lambda d: d["soundness"].update(verdict="fine")),
    ],
)
def test_damaged_audits_are_errors(full: AuditResult, damage: Callable[[str], bytes]):
    with pytest.raises(ResultError, match=r"cannot judge r\.json"):
        read_judged(damage(to_text(full)), "r.json")


def no_share(estimate: dict) -> None:
    estimate.update(value=-3.0, low=-4.0, high=-2.0)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d["soundness"].update(verdict="pass"), "soundness is pass, and the worst of its checks warn"),
        (lambda d: d["soundness"]["checks"][0].update(verdict="veto"), "soundness is warn, and the worst of"),
        (lambda d: d["soundness"]["checks"].append(d["soundness"]["checks"][0]), "a soundness check stands twice"),
        (lambda d: d["attacks"].append(d["attacks"][0]), "an attack stands twice"),
        (lambda d: d["attacks"].pop(0), "it selects among 6 attacks and holds 5"),
        (lambda d: d["selection"].update(headline="lira"), "the headline attack 'lira' is not among its attacks"),
        (lambda d: no_share(d["attacks"][0]["auc"]), "attack 'loss': AUC: a share lies between 0 and 1"),
        (lambda d: no_share(d["attacks"][0]["tpr_at_fpr"][1]), "TPR at an FPR of 0.01: a share lies between"),
        (lambda d: no_share(d["combination"]["auc"]), "AUC of the combination: a share lies between"),
        (lambda d: d["attacks"][0]["tpr_at_fpr"][2].update(fpr=0.01), "a false-positive rate stands twice"),
        (lambda d: d["attacks"][0].update(inverted=True), "inverted is true, which its AUC does not say"),
        (lambda d: d["memorization"].update(calibrated=False), "disagree on whether there are non-members"),
        (
            lambda d: d["memorization"]["top_samples"].append(d["memorization"]["top_samples"][0]),
            "samples stands twice",
        ),
        (lambda d: d["provenance"]["models"].pop(0), "it is the audit of one target, and names 0"),
    ],
)
def test_an_audit_that_contradicts_itself_is_an_error(full: AuditResult, edit: Callable[[dict], object], said: str):
    """Whoever reads it: the gate, the report."""
    broken = break_it(edit)(to_text(full))
    with pytest.raises(ResultError, match="it contradicts itself: ") as gated:
        read_judged(broken, "r.json")
    with pytest.raises(ResultError, match="it contradicts itself: ") as rendered:
        from_json(broken.decode())
    assert said in str(gated.value)
    assert said in str(rendered.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d["changes"][2]["change"].update(value=0.0, low=-0.1, high=0.1), "from 0.5 to 0.7, and its change"),
        (lambda d: d["changes"].append(d["changes"][2]), "the change of a figure stands twice"),
        (lambda d: d["changes"][2].update(paired=False), "the pairing disagree on whether texts are paired"),
        (lambda d: d["differences"][0].update(effect="diagnosis"), "its reading is sound, which its differences"),
        (lambda d: d.update(reading="diagnosis"), "its reading is diagnosis, which its differences do not say"),
        (lambda d: d["differences"][0].update(effect="caution"), "its reading is sound, and not only the models"),
        (lambda d: d["old"].update(soundness="veto"), "soundness is pass, which is not the worse of its two audits"),
        (lambda d: (d["old"].update(soundness="veto"), d.update(soundness="veto")), "no difference says so"),
        (lambda d: d["high"].update(n_appeared=0), "not as many in one as in the other"),
        (lambda d: d["high"].update(appeared=[]), "3 appeared, and 0 are listed"),
    ],
)
def test_a_comparison_that_contradicts_itself_is_an_error(edit: Callable[[dict], object], said: str):
    with pytest.raises(ResultError, match="it contradicts itself: ") as refused:
        read_judged(break_it(edit)(to_text(comparison())), "c.json")
    assert said in str(refused.value)


def test_an_audit_in_which_nothing_was_checked_is_not_judged(full: AuditResult):
    assert full.soundness is not None
    bare = replace(full, soundness=replace(full.soundness, verdict="pass", checks=()))
    report = judge(gates(("attacks.reference.auc", 0.99)), read(bare), today=TODAY)
    assert (report.gates[0].outcome, report.soundness) == ("refused", None)


def test_bits_of_members_are_refused_where_the_split_says_they_are_others(full: AuditResult):
    assert full.soundness is not None
    first, *rest = full.soundness.checks
    other = replace(first, name="split_manifest", verdict="veto")
    unsound = replace(full, soundness=replace(full.soundness, verdict="veto", checks=(other, *rest)))
    report = judge(gates(("memorization.largest_sample_bits", 1e6)), read(unsound), today=TODAY)
    assert (report.gates[0].outcome, report.gates[0].vetoes) == ("refused", ("split_manifest",))


@pytest.mark.parametrize(
    "damage",
    [
        break_it(lambda d: d["law"].update(auc_low=0.9)),
        break_it(lambda d: d["law"].update(auc="0.5")),
        break_it(lambda d: d["law"].update(auc=float("nan"))),
        break_it(lambda d: d["law"].pop("auc")),
        break_it(lambda d: d["law"].update(auc=0.501, auc_low=0.5)),  # F1 says more
        break_it(lambda d: d["reference_attack"].update(f1=0.9, f1_high=1.0)),
        break_it(lambda d: d.update(trainable_params=d["params"] + 1)),
        break_it(lambda d: d.update(memorized_bits=2 * d["capacity_bits"])),
    ],
)
def test_damaged_predictions_are_errors(plan: str, damage: Callable[[str], bytes]):
    with pytest.raises(ResultError, match=r"cannot judge p\.json"):
        read_judged(damage(plan), "p.json")


def test_a_folder_or_a_file(tmp_path: Path, full: AuditResult):
    (tmp_path / "result.json").write_text(to_text(full), encoding="utf-8")
    assert read_bytes(tmp_path) == read_bytes(tmp_path / "result.json")
    with pytest.raises(ResultError, match="cannot read"):
        read_bytes(tmp_path / "none.json")


def test_a_report_is_a_document(full: AuditResult):
    import jsonschema

    report = judge(built_in_policy(), read(full), today=TODAY)
    jsonschema.validate(json.loads(to_text(report)), document_schema(GateReport))


def test_entries_without_a_name_and_words_are_no_figures():
    found = catalogue(
        {"part": {"words": "x", "flag": True, "list": [1, 2], "unnamed": [{"n": 1}], "n": 3, "none": None}}
    )
    assert list(found) == ["part.n"]
