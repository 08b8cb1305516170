"""SARIF: valid, stable over runs, and a result for every gate and sample that someone must look at."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest

from auditor.documents.gates import GateReport
from reports import GATE_RENDERERS

to_sarif = GATE_RENDERERS["sarif"]


def strict(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT = {"type": "string", "minLength": 1}
MESSAGE = strict({"text": TEXT})
BAG = {"type": "object"}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
INDEX = {"type": "integer", "minimum": 0}
# The part of SARIF 2.1.0 that we write, and nothing beyond it (OASIS, sections 3.13 to 3.52).
OURS = strict(
    {
        "$schema": TEXT,
        "version": {"const": "2.1.0"},
        "runs": many(
            strict(
                {
                    "tool": strict(
                        {
                            "driver": strict(
                                {
                                    "name": TEXT,
                                    "version": TEXT,
                                    "rules": many(
                                        strict(
                                            {
                                                "id": TEXT,
                                                "shortDescription": MESSAGE,
                                                "fullDescription": MESSAGE,
                                                "help": strict({"text": TEXT, "markdown": TEXT}),
                                                "defaultConfiguration": strict({"level": LEVEL}),
                                                "properties": BAG,
                                            }
                                        )
                                    ),
                                }
                            )
                        }
                    ),
                    "automationDetails": strict({"id": TEXT}),
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": many(
                        strict(
                            {
                                "executionSuccessful": {"type": "boolean"},
                                "exitCode": {"type": "integer"},
                                "toolExecutionNotifications": many(strict({"level": LEVEL, "message": MESSAGE})),
                            }
                        )
                    ),
                    "artifacts": many(
                        strict(
                            {"location": strict({"uri": TEXT}), "roles": many({"const": "analysisTarget"})},
                            {"hashes": {"type": "object", "additionalProperties": TEXT}},
                        )
                    ),
                    "results": many(
                        strict(
                            {
                                "ruleId": TEXT,
                                "ruleIndex": INDEX,
                                "level": LEVEL,
                                "message": MESSAGE,
                                "suppressions": many(
                                    strict(
                                        {
                                            "kind": {"enum": ["inSource", "external"]},
                                            "status": {"enum": ["accepted", "underReview", "rejected"]},
                                            "justification": TEXT,
                                        }
                                    )
                                ),
                                "locations": many(
                                    strict(
                                        {
                                            "physicalLocation": strict(
                                                {
                                                    "artifactLocation": strict({"uri": TEXT, "index": INDEX}),
                                                    "region": strict({"startLine": {"type": "integer", "minimum": 1}}),
                                                }
                                            ),
                                            "logicalLocations": many(
                                                strict({"name": TEXT, "fullyQualifiedName": TEXT, "kind": TEXT})
                                            ),
                                        }
                                    )
                                ),
                                "partialFingerprints": {"type": "object", "additionalProperties": TEXT},
                            },
                            {"properties": BAG},
                        )
                    ),
                    "properties": BAG,
                }
            )
        ),
    }
)


def run(report: GateReport) -> dict[str, Any]:
    (found,) = json.loads(to_sarif(report))["runs"]
    assert isinstance(found, dict)
    return found


def fingerprints(report: GateReport) -> list[str]:
    return [one["partialFingerprints"]["primaryLocationLineHash"] for one in run(report)["results"]]


def test_it_is_the_sarif_that_we_mean(any_verdict: GateReport) -> None:
    jsonschema.validate(json.loads(to_sarif(any_verdict)), OURS)


def test_results_and_rules_belong_together(any_verdict: GateReport) -> None:
    found = run(any_verdict)
    rules = found["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) == len(any_verdict.gates)
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in found["results"])


def test_a_result_for_each_gate_that_does_not_pass_and_each_sample(mixed: GateReport) -> None:
    found = run(mixed)["results"]
    gates = [one for one in found if "properties" in one]
    assert [(one["ruleId"], one["level"], len(one["suppressions"])) for one in gates] == [
        ("membership/reference", "error", 0),
        ("membership/min_k", "error", 0),
        ("largest_sample", "error", 0),
        ("tpr", "warning", 1),
        ("epsilon", "warning", 0),
        ("extraction", "error", 0),
    ]
    samples = [one["locations"][0]["logicalLocations"][0] for one in found if "properties" not in one]
    assert samples == [{"name": f"doc-{k}", "fullyQualifiedName": f"doc-{k}", "kind": "sample"} for k in range(7)]
    assert gates[3]["suppressions"][0]["justification"] == "waived until 2027-01-31: known, retrained in sprint 12"
    assert gates[0]["properties"] | {"value": 0.931, "low": 0.914, "most": 0.55} == gates[0]["properties"]


def test_there_is_an_error_exactly_if_the_exit_code_says_so(any_verdict: GateReport) -> None:
    levels = {one["level"] for one in run(any_verdict)["results"]}
    assert ("error" in levels) == (any_verdict.exit_code == 1)


def test_fingerprints_tell_findings_apart_and_survive_the_next_run(mixed: GateReport) -> None:
    before = fingerprints(mixed)
    assert len(set(before)) == len(before) == 6 + 7
    moved = replace(
        mixed,
        result="elsewhere/result.json",
        result_sha256="c3" * 32,
        auditor_version="9.9",
        gates=tuple(replace(gate, reason="other words", p_value=0.5) for gate in mixed.gates),
    )
    assert fingerprints(moved) == before
    assert set(fingerprints(replace(mixed, subject="another model"))).isdisjoint(before)


def test_ids_that_look_alike_are_not_the_same_finding(mixed: GateReport) -> None:
    twins = replace(mixed.gates[3], sample_ids=("a\x00", r"a\x00"))
    assert len(set(fingerprints(replace(mixed, gates=(twins,))))) == 3


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("audit/result.json", "audit/result.json"),
        ("./audit/result.json", "audit/result.json"),
        ("/builds/team/secret/result.json", "result.json"),
        ("../elsewhere/result.json", "result.json"),
        ("C:\\work\\result.json", "result.json"),
        ("out\\result.json", "out/result.json"),
        ("a b/c:d?#%.json", "a%20b/c%3Ad%3F%23%25.json"),
        ("", "result.json"),
        ("\ud800.json", "%5Cud800.json"),
    ],
)
def test_the_document_is_named_by_a_relative_uri(path: str, uri: str, mixed: GateReport) -> None:
    found = run(replace(mixed, result=path))
    assert found["artifacts"][0]["location"]["uri"] == uri
    assert {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in found["results"]} == {uri}


def test_hostile_strings_are_neither_links_nor_placeholders(hostile: GateReport) -> None:
    found = run(hostile)
    messages = [one["message"]["text"] for one in found["results"]]
    assert all("](" not in text and "{" not in text.replace("{{", "") for text in messages)
    parts = urlsplit(found["artifacts"][0]["location"]["uri"])
    assert (parts.scheme, parts.netloc) == ("", "")
    for rule in found["tool"]["driver"]["rules"]:
        assert "<script" not in rule["help"]["markdown"]


@pytest.mark.slow
def test_the_schema_of_the_standard_accepts_it(verdicts: dict[str, GateReport]) -> None:
    """OASIS' own schema, from the folder AUDITOR_TEST_SCHEMAS; we do not carry it."""
    path = Path(os.environ.get("AUDITOR_TEST_SCHEMAS", "")) / "sarif-schema-2.1.0.json"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the folder AUDITOR_TEST_SCHEMAS")
    checker = jsonschema.Draft4Validator(json.loads(path.read_text(encoding="utf-8")))
    for report in verdicts.values():
        checker.validate(json.loads(to_sarif(report)))
