"""The page on validation shows what was measured, and its table tells a failure when there is one."""

import json
from collections import Counter
from pathlib import Path

import epsilon_alarms
import null_calibration
import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_shows_what_was_measured() -> None:
    measured = json.loads((ROOT / "docs" / "data" / "null-calibration.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    tables = null_calibration.render(measured)
    assert tables.count("\n|") > 50
    assert tables in page


def test_the_counts_say_what_the_rows_say() -> None:
    """Everything in the document follows from the counts in it."""
    measured = json.loads((ROOT / "docs" / "data" / "null-calibration.json").read_text(encoding="utf-8"))
    for setting in measured["settings"]:
        counts = {
            (row["name"], label, outcome): n
            for row in setting["rows"]
            for label, one in row["each"].items()
            for outcome, n in one["outcomes"].items()
        }
        again = null_calibration.described(counts, per_side=setting["per_side"], n_groups=setting["n_groups_per_side"])
        assert again == setting


def test_no_bound_on_epsilon_lies_above_the_truth_more_often_than_it_may() -> None:
    measured = json.loads((ROOT / "docs" / "data" / "epsilon-alarms.json").read_text(encoding="utf-8"))
    assert {one["epsilon"] for one in measured["settings"]} >= {0.0, 1.0}
    assert not epsilon_alarms.worst(measured)
    assert epsilon_alarms.render(measured) in (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")


def test_a_rule_that_alarms_too_often_is_told() -> None:
    setting = {"n": 200, "epsilon": 1.0, "delta": 0.0, "copies": 1}
    alarms = {"the command": 90, "betting along the order": 50, "contrast: best of 4 attacks": 200}
    document = {"runs": 1000, "settings": [setting | {"alarms": alarms}]}
    assert epsilon_alarms.worst(document) == ["the command"]
    table = epsilon_alarms.render(document)
    assert "| the command | 9.0% (7.3% to 10.9%) | 5% | FAILS |" in table
    assert "| betting along the order | 5.0% (3.7% to 6.5%) | 5% | ok |" in table
    assert "20.0% (17.6% to 22.6%) | 5% | unsound |" in table


@pytest.mark.parametrize(
    ("covered", "verdict"),
    [(950, "ok"), (935, "ok"), (920, "FAILS"), (990, "conservative")],
)
def test_an_interval_is_judged_by_its_coverage(covered: int, verdict: str) -> None:
    counts = Counter({("AUC", "loss", "covered"): covered, ("AUC", "loss", "above"): 1000 - covered})
    (row,) = null_calibration.described(counts, per_side=200, n_groups=None)["rows"]
    assert (row["verdict"], row["mean"]) == (verdict, covered / 1000)


@pytest.mark.parametrize(
    ("alarms", "verdict"),
    [(25, "ok"), (34, "ok"), (38, "FAILS"), (5, "conservative")],  # of 1,000, where 25 are allowed
)
def test_a_decision_is_judged_by_its_false_alarms(alarms: int, verdict: str) -> None:
    name = "verdict: a signal is found"
    counts = Counter({(name, "", "alarm"): alarms, (name, "", "quiet"): 1000 - alarms})
    (row,) = null_calibration.described(counts, per_side=200, n_groups=None)["rows"]
    assert row["verdict"] == verdict
