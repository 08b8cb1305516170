"""The result document: exact both ways, and strict about what it is."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from auditor.documents.result import SCHEMA_VERSION, AuditResult, CheckResult, SoundnessResult
from auditor.errors import ResultError
from reports import RENDERERS, from_json, json_schema

to_json = RENDERERS["json"]


def test_round_trip_is_exact(any_result: AuditResult) -> None:
    text = to_json(any_result)
    assert to_json(from_json(text)) == text


def test_round_trip_gives_an_equal_result(normal: AuditResult) -> None:
    assert from_json(to_json(normal)) == normal


def test_floats_survive_to_the_last_bit(normal: AuditResult) -> None:
    result = replace(normal, provenance=replace(normal.provenance, seconds=0.1 + 0.2))
    assert from_json(to_json(result)).provenance.seconds == 0.1 + 0.2


def test_the_order_of_the_fields_is_the_format(normal: AuditResult) -> None:
    assert list(json.loads(to_json(normal))) == [
        *("schema_version", "provenance", "config", "data", "soundness", "memorization", "attacks"),
        *(
            "selection",
            "combination",
            "risk",
            "grade",
            "retrained",
            "prediction",
            "extraction",
            "canaries",
            "epsilon",
            "gates",
            "warnings",
        ),
    ]


def test_it_matches_its_schema(any_result: AuditResult) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(to_json(any_result)), schema)


def test_the_schema_refuses_unknown_and_missing_keys(normal: AuditResult) -> None:
    document = json.loads(to_json(normal))
    for broken in (document | {"extra": 1}, {k: v for k, v in document.items() if k != "schema_version"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json_schema())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_refused_with_its_place(normal: AuditResult, number: float) -> None:
    check = CheckResult(name="x", verdict="pass", figure=number, unit="", detail="")
    with pytest.raises(ValueError, match=r"result\.soundness\.checks\[0\]\.figure is (nan|inf)"):
        to_json(replace(normal, soundness=SoundnessResult(verdict="pass", checks=(check,))))
    with pytest.raises(ValueError, match=r"result\.config\.a\[1\]"):
        to_json(replace(normal, config={"a": [1, number]}))
    with pytest.raises(TypeError, match=r"result\.config\.a is a set"):
        to_json(replace(normal, config={"a": {1}}))


def test_a_lone_surrogate_is_written_as_its_escape(normal: AuditResult) -> None:
    text = to_json(replace(normal, warnings=("a\ud800b",)))
    assert text.encode("utf-8")
    assert from_json(text).warnings == (r"a\ud800b",)


def test_documents_of_the_schema_before_are_read(normal: AuditResult) -> None:
    assert normal.prediction is None
    document = json.loads(to_json(normal)) | {"schema_version": "1.0"}
    assert from_json(json.dumps(document)) == replace(normal, schema_version="1.0")


def test_a_prediction_is_read_back(results: dict[str, AuditResult]) -> None:
    text = to_json(results["expected"])
    assert from_json(text) == results["expected"]
    document = json.loads(text)
    document["prediction"]["comparisons"][0]["agrees"] = "yes"
    with pytest.raises(ResultError, match=r"prediction\.comparisons\.0\.agrees"):
        from_json(json.dumps(document))


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit that sets one value of a document."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            document = document[part]
        document[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (change("schema_version", "1.99"), f"newer than this auditor, which reads up to {SCHEMA_VERSION}: update"),
        (change("schema_version", "2.0"), "newer than this auditor"),
        (change("schema_version", "0.9"), "older than this auditor"),
        (change("schema_version", "one"), "schema_version is 'one'"),
        (change("schema_version", 1.0), "no schema_version"),
        (change("attacks", None), "attacks"),
        (change("attacks.0.auc.value", 2.0), "an estimate must lie in its interval"),
        (change("attacks.0.auc.value", "0.9"), r"attacks\.0\.auc\.value"),
        (change("attacks.0.surprise", 1), r"unknown key attacks\[0\]\.surprise"),
        (change("soundness.verdict", "maybe"), "soundness.verdict"),
        (change("memorization.calibrated", 1), "calibrated"),
        (change("data", {}), r"data\.members.*and \d+ more"),
        (change("co\x1b[31mnfig", 1), r"unknown key co\\x1b"),
    ],
)
def test_a_wrong_document_is_refused_in_one_line(
    normal: AuditResult, edit: Callable[[dict[str, Any]], None], says: str
) -> None:
    document = json.loads(to_json(normal))
    edit(document)
    with pytest.raises(ResultError, match=says) as caught:
        from_json(json.dumps(document))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"schema_version": "1.0"}',
        '{"accuracy": 0.9}',
        '{"schema_version": "1.0", "a": NaN}',
        '{"schema_version": "1.0", "a": 1e999}',
        '{"schema_version": "1.0", "a": ' + "9" * 5000 + "}",
        "[" * 100_000,
        "\x1b[31m",
    ],
)
def test_what_is_no_document_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ResultError) as caught:
        from_json(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
