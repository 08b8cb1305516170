"""Hand-made verdicts, one for each situation that the outputs of a pipeline must survive."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from auditor.documents.gates import GateOutcome, GateReport

KEPT = {"schema_version", "kind", "soundness", "outcome", "waived_until"}


def gate(name: str, outcome: Any = "pass", **changes: Any) -> GateOutcome:
    values = {
        "gate": name,
        "metric": "attacks.reference.auc",
        "description": "AUC of the reference attack",
        "least": None,
        "most": 0.55,
        "value": 0.52,
        "low": 0.5,
        "high": 0.54,
        "level": 0.95,
        "unit": "",
        "n_members": 500,
        "n_non_members": 480,
        "method": "DeLong, logit scale",
        "outcome": outcome,
        "p_value": 0.9,
        "p_value_holm": 1.0,
        "stops": outcome != "pass",
        "reason": "the interval lies within the limit",
    }
    return GateOutcome(**values | changes)


def report(*gates: GateOutcome, **changes: Any) -> GateReport:
    passed = not any(one.stops for one in gates)
    values = {
        "auditor_version": "0.3.0",
        "result": "audit/result.json",
        "result_sha256": "a1" * 32,
        "kind": "audit",
        "subject": "out/checkpoint-500",
        "policy": "ci/policy.toml",
        "policy_sha256": "b2" * 32,
        "soundness": "pass",
        "correction": "Holm over 5 limits: a gate fails if its adjusted p-value is small too",
        "passed": passed,
        "exit_code": 0 if passed or changes.get("warn_only") else 1,
        "warn_only": False,
        "gates": gates,
    }
    return GateReport(**values | changes)


def capacity() -> GateOutcome:
    changes = {"most": 0.2, "value": 0.031, "low": 0.021, "high": 0.042, "unit": "%"}
    return gate("capacity", metric="memorization.capacity_used", description="Share of the capacity used", **changes)


def build_passing() -> GateReport:
    return report(gate("membership"), capacity())


def build_mixed() -> GateReport:
    """Every outcome once, stopping, let through and waived, in the order of a policy rather than of importance."""
    beyond = {"value": 0.931, "low": 0.914, "high": 0.946, "p_value": 0.0001, "p_value_holm": 0.0004}
    return report(
        capacity(),
        gate("membership/reference", "fail", **beyond, reason="the whole interval lies beyond the limit"),
        gate(
            "membership/min_k",
            "inconclusive",
            metric="attacks.min_k.auc",
            description="AUC of the min_k attack",
            value=0.548,
            low=0.512,
            high=0.584,
            reason="the interval holds the limit",
        ),
        gate(
            "largest_sample",
            "fail",
            metric="memorization.largest_sample_bits",
            description="Bits of the most memorized sample",
            most=100.0,
            value=812.25,
            low=812.25,
            high=812.25,
            level=None,
            unit="bits",
            method="counted",
            n_non_members=None,
            p_value=None,
            p_value_holm=None,
            reason="seven samples are beyond the limit",
            sample_ids=tuple(f"doc-{k}" for k in range(7)),
        ),
        gate(
            "tpr",
            "fail",
            metric="attacks.reference.tpr_at_fpr.0.01",
            description="TPR at an FPR of 1%",
            most=0.05,
            value=0.42,
            low=0.37,
            high=0.47,
            unit="%",
            stops=False,
            reason="the whole interval lies beyond the limit",
            waived_by="known, retrained in sprint 12",
            waived_until="2027-01-31",
        ),
        gate(
            "epsilon",
            "inconclusive",
            metric="attacks.reference.epsilon_lower_bound",
            description="Lower bound of epsilon",
            most=1.0,
            value=0.9,
            low=0.4,
            high=1.7,
            stops=False,
            reason="the interval holds the limit",
        ),
        gate(
            "extraction",
            "refused",
            metric="extraction.rate",
            description="Rate of extracted samples",
            **dict.fromkeys(("value", "low", "high", "level", "p_value", "p_value_holm", "n_non_members")),
            n_members=None,
            method="",
            reason="extraction was not run",
        ),
        soundness="warn",
        notes=("the waiver of 'bits' expired on 2026-01-01",),
        doubts=("near_duplicates", "option max_tokens differs"),
        elsewhere=("plan",),
    )


def poison(one: GateReport, text: str) -> GateReport:
    """Put a text before every string."""

    def poisoned(value: Any) -> Any:
        if isinstance(value, str):
            return text + value
        if isinstance(value, tuple):
            return tuple(poisoned(inner) for inner in value)
        if isinstance(value, GateOutcome):
            return replace(value, **changed(value))
        return value

    def changed(value: Any) -> dict[str, Any]:
        return {f.name: poisoned(getattr(value, f.name)) for f in fields(value) if f.name not in KEPT}

    return replace(one, **changed(one))


def nothing_stops(one: GateReport) -> GateReport:
    gates = tuple(replace(gate, stops=False) for gate in one.gates)
    return replace(one, gates=gates, passed=True, exit_code=0)


@pytest.fixture
def passing() -> GateReport:
    return build_passing()


@pytest.fixture
def mixed() -> GateReport:
    return build_mixed()


@pytest.fixture
def hostile(hostile_text: str) -> GateReport:
    return poison(build_mixed(), hostile_text)


@pytest.fixture
def poisoned() -> Callable[[str], GateReport]:
    return lambda text: poison(build_mixed(), text)


@pytest.fixture
def make() -> tuple[Callable[..., GateOutcome], Callable[..., GateReport]]:
    return gate, report


@pytest.fixture
def verdicts(hostile_text: str) -> dict[str, GateReport]:
    """Every hand-made verdict by its name."""
    return {
        "passing": build_passing(),
        "mixed": build_mixed(),
        "warn_only": replace(build_mixed(), warn_only=True, exit_code=0),
        "let_through": nothing_stops(build_mixed()),
        "veto": replace(build_mixed(), soundness="veto"),
        "prediction": replace(build_passing(), kind="prediction", soundness=None),
        "empty": report(),
        "hostile": poison(build_mixed(), hostile_text),
    }


@pytest.fixture(
    params=["passing", "mixed", "warn_only", "let_through", "veto", "prediction", "empty", "hostile"],
)
def any_verdict(request: pytest.FixtureRequest, verdicts: dict[str, GateReport]) -> GateReport:
    return verdicts[request.param]
