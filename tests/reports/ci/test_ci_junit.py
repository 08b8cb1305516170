"""JUnit XML: what a CI system reads is what the gates said."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.documents.gates import GateOutcome, GateReport
from reports import GATE_RENDERERS

to_junit = GATE_RENDERERS["junit"]
# What Jenkins' junit-10.xsd and Ant's schema both allow: element -> (attributes, children).
GRAMMAR: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": (set(), {"testsuite"}),
    "testsuite": (
        {"name", "package", "id", "tests", "failures", "errors", "skipped", "time"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, {"failure", "skipped"}),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
    "system-err": (set(), set()),
}


def read(report: GateReport) -> ElementTree.Element:
    return ElementTree.fromstring(to_junit(report).encode("utf-8"))


def case(root: ElementTree.Element, name: str) -> ElementTree.Element:
    found = root.findall(f".//testcase[@name='{name}']")
    assert len(found) == 1
    return found[0]


def test_it_keeps_to_the_grammar(any_verdict: GateReport) -> None:
    for element in read(any_verdict).iter():
        attributes, children = GRAMMAR[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children
    suite = read(any_verdict).find("testsuite")
    assert suite is not None
    order = [child.tag for child in suite]
    assert order == ["properties", *["testcase"] * len(any_verdict.gates), "system-out", "system-err"]


def test_the_counts_are_those_of_the_cases(any_verdict: GateReport) -> None:
    root = read(any_verdict)
    (suite,) = root
    assert int(suite.attrib["tests"]) == len(any_verdict.gates) == len(root.findall(".//testcase"))
    assert int(suite.attrib["failures"]) == len(root.findall(".//failure"))
    assert int(suite.attrib["skipped"]) == len(root.findall(".//skipped"))
    assert suite.attrib["errors"] == "0"


def test_the_build_breaks_exactly_if_the_exit_code_says_so(any_verdict: GateReport) -> None:
    assert bool(read(any_verdict).findall(".//failure")) == (any_verdict.exit_code == 1)


def test_outcomes_by_hand(mixed: GateReport) -> None:
    root = read(mixed)
    assert list(case(root, "capacity")) == []
    kinds = {one.attrib["name"]: one[0].attrib.get("type") for one in root.findall(".//testcase") if len(one)}
    assert kinds == {
        "membership/reference": "fail",
        "membership/min_k": "inconclusive",
        "largest_sample": "fail",
        "tpr": None,
        "epsilon": None,
        "extraction": "refused",
    }
    assert "waived until 2027-01-31: known, retrained in sprint 12" in case(root, "tpr")[0].attrib["message"]
    assert case(root, "capacity").attrib["classname"] == "auditor.audit"
    failure = case(root, "largest_sample")[0]
    assert "value: 812.25 bits\n" in (failure.text or "")
    assert "doc-0, doc-1, doc-2, doc-3, doc-4, and 2 more." in (failure.text or "")


def test_figures_are_properties(mixed: GateReport) -> None:
    found = {one.attrib["name"]: one.attrib["value"] for one in read(mixed).findall(".//property")}
    assert found["membership/reference metric"] == "attacks.reference.auc"
    assert found["membership/reference value"] == "0.931"
    assert found["membership/reference interval"] == "0.914 to 0.946 (95%)"
    assert found["membership/reference limit"] == "at most 0.55"
    assert found["extraction value"] == "not defined"
    assert found["tpr limit"] == "at most 5%"
    assert found["tpr waiver"] == "waived until 2027-01-31: known, retrained in sprint 12"


def test_hostile_strings_stay_strings(hostile: GateReport, mixed: GateReport) -> None:
    shape = [element.tag for element in read(hostile).iter()]
    assert shape == [element.tag for element in read(mixed).iter()]
    assert "<script>alert(1)</script>" in read(hostile).findall(".//testcase")[0].attrib["name"]


@given(text=st.text(max_size=40))
def test_any_string_can_be_read_back(text: str) -> None:
    from reports.escaping import visible

    one = GateOutcome(
        **dict.fromkeys(("least", "value", "low", "high", "level", "n_members", "n_non_members")),
        **dict.fromkeys(("p_value", "p_value_holm")),
        **dict.fromkeys(("gate", "metric", "description", "unit", "method", "reason", "waived_by"), text),
        most=1.0,
        outcome="fail",
        stops=True,
        sample_ids=(text,),
    )
    names = ("auditor_version", "result", "result_sha256", "subject", "policy", "policy_sha256", "correction")
    report = GateReport(
        **dict.fromkeys(names, text),
        kind="audit",
        soundness=None,
        passed=False,
        exit_code=1,
        warn_only=False,
        gates=(one,),
        notes=(text, "]]>"),
    )
    root = read(report)
    assert root.findall(".//testcase")[0].attrib["name"] == (visible(text) or "gate")
    assert (root.findtext(".//system-err") or "").endswith("]]>")


def test_nothing_breaks_a_run_that_only_warns(mixed: GateReport) -> None:
    root = read(replace(mixed, warn_only=True, exit_code=0))
    assert root.findall(".//failure") == []
    assert len(root.findall(".//skipped")) == 6


def test_limits(make: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    gate, report = make
    ends = {"a": (None, 0.55), "b": (0.5, None), "c": (0.1, 0.5625)}
    root = read(report(*(gate(name, least=least, most=most) for name, (least, most) in ends.items())))
    found = {one.attrib["name"]: one.attrib["value"] for one in root.findall(".//property")}
    assert [found[f"{name} limit"] for name in ends] == ["at most 0.55", "at least 0.5", "0.1 to 0.5625"]


@pytest.mark.slow
@pytest.mark.parametrize("schema", ["junit-10.xsd", "JUnit.xsd"])
def test_the_common_schemas_accept_it(schema: str, verdicts: dict[str, GateReport]) -> None:
    """Jenkins' and Ant's own schemas, from the folder AUDITOR_TEST_SCHEMAS; we do not carry them."""
    path = Path(os.environ.get("AUDITOR_TEST_SCHEMAS", "")) / schema
    if not path.is_file():
        pytest.skip(f"{schema} is not in the folder AUDITOR_TEST_SCHEMAS")
    xmlschema = pytest.importorskip("xmlschema")
    checker = xmlschema.XMLSchema(path)
    for report in verdicts.values():
        root = read(report)
        if schema == "JUnit.xsd":  # also wants to know when and where the tests ran, which a verdict does not hold
            root[0].attrib |= {"timestamp": "2026-01-01T00:00:00", "hostname": "ci"}
        checker.validate(ElementTree.tostring(root, encoding="unicode"))
