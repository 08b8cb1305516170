"""GitHub's workflow commands and the badge, read back as their readers do."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from auditor.documents.gates import GateReport
from reports import GATE_RENDERERS

to_annotations, to_svg, to_json = (GATE_RENDERERS[name] for name in ("annotations", "badge_svg", "badge_json"))
SVG = "{http://www.w3.org/2000/svg}"


def commands(report: GateReport) -> list[tuple[str, str, str]]:
    """Read command, title and message as the runner does: one line each, properties before the second ``::``."""
    found = []
    for line in to_annotations(report).split("\n")[:-1]:
        match = re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line)
        assert match is not None
        assert all(re.match(r"%(25|0A|0D|3A|2C)", line[k:]) for k in range(len(line)) if line[k] == "%")
        found.append((match[1], unquote(match[2]), unquote(match[3])))
    return found


def test_one_command_for_each_gate_that_does_not_pass(any_verdict: GateReport) -> None:
    assert len(commands(any_verdict)) == sum(gate.outcome != "pass" for gate in any_verdict.gates)


def test_there_is_an_error_exactly_if_the_exit_code_says_so(any_verdict: GateReport) -> None:
    assert any(kind == "error" for kind, _, _ in commands(any_verdict)) == (any_verdict.exit_code == 1)


def test_commands_by_hand(mixed: GateReport) -> None:
    found = commands(mixed)
    assert [(kind, title) for kind, title, _ in found] == [
        ("error", "memorization gate membership/reference"),
        ("error", "memorization gate largest_sample"),
        ("error", "memorization gate extraction"),
        ("error", "memorization gate membership/min_k"),
        ("notice", "memorization gate tpr"),
        ("warning", "memorization gate epsilon"),
    ]
    assert found[0][2] == (
        "AUC of the reference attack: 0.931, 95% interval 0.914 to 0.946; allowed: at most 0.55. "
        "Fail: the whole interval lies beyond the limit"
    )
    assert found[1][2].endswith("\nSamples to look at: doc-0, doc-1, doc-2, doc-3, doc-4, and 2 more.")
    assert found[4][2].endswith("(waived until 2027-01-31: known, retrained in sprint 12)")
    assert found[5][2].endswith("(the policy lets this through)")


def test_a_pass_says_nothing(passing: GateReport) -> None:
    assert to_annotations(passing) == ""


def test_no_string_starts_a_command_of_its_own(mixed: GateReport) -> None:
    evil = "x\n::stop-commands::t\r\n::error file=a::b%0A::warning::c,d:e"
    gates = tuple(replace(gate, gate=evil, reason=evil, sample_ids=(evil,)) for gate in mixed.gates)
    lines = to_annotations(replace(mixed, gates=gates)).splitlines()
    assert len(lines) == 6
    assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in lines)
    assert all("%0A::warning" not in line and "%250A::warning" in line for line in lines)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("passing", "pass"),
        ("mixed", "2 failed, 1 refused, 1 inconclusive"),
        ("warn_only", "2 failed, 1 refused, 1 inconclusive"),
        ("let_through", "pass, 2 failed, 1 refused, 2 inconclusive, 1 waived"),
        ("empty", "no gates"),
    ],
)
def test_what_the_badge_says(case: str, message: str, verdicts: dict[str, GateReport]) -> None:
    badge = json.loads(to_json(verdicts[case]))
    assert set(badge) == {"schemaVersion", "label", "message", "color"}
    assert (badge["schemaVersion"], badge["label"], badge["message"]) == (1, "memorization", message)
    assert re.fullmatch(r"[0-9a-f]{6}", badge["color"])
    assert f"memorization | {message}" in to_svg(verdicts[case])


def test_outcomes_that_are_not_failures(make: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    gate, report = make
    for outcomes, message in (
        (("pass", "inconclusive"), "1 inconclusive"),
        (("refused", "inconclusive"), "1 refused, 1 inconclusive"),
        (("fail", "refused"), "1 failed, 1 refused"),
    ):
        one = report(*(gate(f"g{k}", outcome) for k, outcome in enumerate(outcomes)))
        assert json.loads(to_json(one))["message"] == message


def test_only_a_clean_pass_is_green(verdicts: dict[str, GateReport]) -> None:
    colors = {name: json.loads(to_json(one))["color"] for name, one in verdicts.items()}
    assert {name for name, color in colors.items() if color == colors["passing"]} == {"passing", "prediction"}
    assert colors["mixed"] not in (colors["passing"], colors["let_through"])


def test_white_letters_can_be_read(any_verdict: GateReport) -> None:
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5 to 1."""
    for box in ElementTree.fromstring(to_svg(any_verdict)).iter(f"{SVG}rect"):
        if "fill" not in box.attrib:
            continue
        parts = [int(box.attrib["fill"][k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5


def test_the_badge_is_accessible_and_needs_nothing_else(any_verdict: GateReport) -> None:
    source = to_svg(any_verdict)
    root = ElementTree.fromstring(source)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == root.findtext(f"{SVG}title")
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {"svg", "title", "clipPath", "rect", "g", "text"}
    assert "href" not in source
    assert source.count("http") == 1  # the name of the format
    widths = [float(box.attrib["width"]) for box in root.iter(f"{SVG}rect")]
    assert widths[0] == sum(widths[1:]) == float(root.attrib["width"])


def test_the_badge_holds_no_string_of_the_data(hostile: GateReport, mixed: GateReport) -> None:
    assert to_svg(hostile) == to_svg(mixed)
    assert to_json(hostile) == to_json(mixed)
