"""Ceilings: a limit that the evidence could never break lets nothing pass; and the policies of canaries and secrets."""

import json
from dataclasses import replace
from datetime import date
from math import log
from pathlib import Path

import pytest

from auditor.documents.canaries import CanaryResult
from auditor.documents.files import to_text
from auditor.documents.gates import GateReport
from auditor.errors import ConfigError
from auditor.gates.judge import judge
from auditor.gates.policy import Gate, Policy, built_in_policy, built_in_text, check_metric
from auditor.gates.subject import read_judged
from auditor.stats.epsilon import betting_epsilon
from helpers import Run
from helpers_audits import build_full
from helpers_canaries import canary_result

TODAY = date(2026, 6, 1)
EPSILON = "canaries.tiers.1.epsilon.epsilon_lower_bound"


def held(document: object, *limits: tuple[str, float]) -> GateReport:
    policy = Policy(gates=tuple(Gate(name=f"g{i}", metric=path, max=most) for i, (path, most) in enumerate(limits)))
    return judge(policy, read_judged(to_text(document).encode(), "canaries.json"), today=TODAY)


@pytest.fixture(scope="module")
def nothing() -> CanaryResult:
    return canary_result(shift=0.0)


def test_the_ceiling_of_twenty_guesses_by_hand(nothing: CanaryResult) -> None:
    """All of r guesses right at delta 0 give ``-ln(beta^(-1/r) - 1)``; a tier of k copies has it k times lower."""
    of_twenty = log(1 / (0.05 ** (-1 / 20) - 1))
    assert of_twenty == pytest.approx(1.8227, abs=1e-4)
    judged = read_judged(to_text(nothing).encode(), "canaries.json")
    ceilings = {path: one.ceiling for path, (one, *_) in judged.figures.items() if one.ceiling is not None}
    assert ceilings[EPSILON] == pytest.approx(of_twenty, abs=1e-6)
    assert ceilings["canaries.tiers.4.epsilon.epsilon_lower_bound"] == pytest.approx(of_twenty / 4, abs=1e-6)
    assert ceilings["canaries.tiers.4.epsilon.group_lower_bound"] == pytest.approx(of_twenty, abs=1e-6)
    assert ceilings["canaries.tiers.1.epsilon.betting_lower_bound"] == pytest.approx(betting_epsilon([True] * 100))
    assert ceilings["canaries.tiers.4.exposure"] == pytest.approx(log(100) / log(2))


@pytest.mark.parametrize(
    ("path", "limit", "outcome"),
    [
        (EPSILON, 1.8, "pass"),
        (EPSILON, 1.83, "inconclusive"),
        (EPSILON, 8.0, "inconclusive"),
        ("canaries.tiers.4.epsilon.epsilon_lower_bound", 0.5, "inconclusive"),
        ("canaries.tiers.4.epsilon.epsilon_lower_bound", 0.4, "pass"),
        ("canaries.tiers.1.median_exposure", 6.0, "pass"),
        ("canaries.tiers.1.median_exposure", 7.0, "inconclusive"),
        ("canaries.tiers.1.epsilon.refuted_mu", 40.0, "inconclusive"),
    ],
)
def test_a_limit_beyond_the_ceiling_decides_nothing(
    nothing: CanaryResult, path: str, limit: float, outcome: str
) -> None:
    (found,) = held(nothing, (path, limit)).gates
    assert found.outcome == outcome, found.reason
    if outcome == "inconclusive":
        assert "nothing could break the limit" in found.reason
        assert found.stops


def test_bounds_of_coins_have_a_ceiling_too(nothing: CanaryResult) -> None:
    coins = nothing.tiers[0].epsilon
    audit = replace(build_full(), epsilon=coins, canaries=nothing)
    passed, vacuous, of_canaries = held(
        audit, ("epsilon.epsilon_lower_bound", 1.0), ("epsilon.epsilon_lower_bound", 3.0), (EPSILON, 3.0)
    ).gates
    assert (passed.outcome, vacuous.outcome, of_canaries.outcome) == ("pass", "inconclusive", "inconclusive")


@pytest.mark.parametrize(("shift", "outcome"), [(0.0, "pass"), (3.0, "fail")])
def test_canaries_alone_are_judged_by_a_policy_of_their_own(shift: float, outcome: str) -> None:
    judged = read_judged(to_text(canary_result(400, shift=shift)).encode(), "canaries.json")
    report = judge(built_in_policy(judged.part), judged, today=TODAY)
    assert {one.gate: one.outcome for one in report.gates} == {
        "canaries-told-apart/1x": outcome,
        "canaries-told-apart/4x": outcome,
    }


def test_gates_on_other_parts_are_noted_and_nothing_else(nothing: CanaryResult) -> None:
    report = held(nothing, ("attacks.headline.auc", 0.6), (EPSILON, 1.0))
    assert ([one.metric for one in report.gates], report.elsewhere) == ([EPSILON], ("g0",))
    with pytest.raises(ConfigError, match="no gate is about an audit of canaries alone, so there is nothing to judge"):
        held(nothing, ("attacks.headline.auc", 0.6))


@pytest.mark.parametrize("part", ["canaries", "secrets"])
def test_every_metric_of_the_policies_exists_even_in_comments(part: str) -> None:
    lines = [line.lstrip("# ") for line in built_in_text(part).splitlines()]  # type: ignore[arg-type]
    metrics = [line.split('"')[1] for line in lines if line.startswith("metric = ")]
    assert len(metrics) == 2
    for metric in metrics:
        check_metric(Gate(name="g", metric=metric, max=1.0), {}, source="p.toml")


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (3.0, 1)])
def test_the_command_judges_a_folder_of_canaries(run: Run, tmp_path: Path, shift: float, code: int) -> None:
    (tmp_path / "canaries.json").write_text(to_text(canary_result(400, shift=shift)))
    ran = run("gate", tmp_path, "--json")
    assert ran.code == code, ran.err
    document = json.loads(ran.out)
    assert document["policy"] == "built-in"
    assert {one["outcome"] for one in document["gates"]} == {"fail" if code else "pass"}
