"""Policies: what is read, what is refused with a way out, and that the built-in one is the text that is written."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import ConfigError
from auditor.gates.policy import (
    BUILT_IN,
    Gate,
    Waiver,
    built_in_policy,
    built_in_text,
    check_metric,
    parse_policy,
    read_policy,
)
from auditor.gates.subject import may_exist

GATE = '[[gate]]\nname = "auc"\nmetric = "attacks.headline.auc"\nmax = 0.6\n'
WAIVER = '[[waiver]]\ngate = "auc"\nreason = "known"\nexpires = 2026-12-31\n'


def policy(*parts: str, head: str = "version = 1\n"):
    return parse_policy(head + "".join(parts), "p.toml")


def test_everything_that_may_be_said_is_read():
    text = (
        'version = 1\ninconclusive = "pass"\nunsound = "pass"\ncorrection = "none"\n'
        '[[gate]]\nname = "change"\nmetric = "retrained.attacks.any.change"\nmin = -0.05\nmax = 1\n'
        f'description = "both directions"\n{GATE}{WAIVER}'
    )
    found = parse_policy(text, "p.toml")
    assert found.gates[0] == Gate(
        name="change", metric="retrained.attacks.any.change", min=-0.05, max=1.0, description="both directions"
    )
    assert found.gates[1] == Gate(name="auc", metric="attacks.headline.auc", max=0.6)
    assert found.waivers == (Waiver(gate="auc", reason="known", expires=date(2026, 12, 31)),)
    assert (found.inconclusive, found.unsound, found.correction, found.source) == ("pass", "pass", "none", "p.toml")


def test_what_is_not_said_is_strict():
    found = policy(GATE)
    assert (found.inconclusive, found.unsound, found.correction, found.waivers) == ("fail", "fail", "holm", ())


def test_the_built_in_policy_is_the_text_that_is_written(tmp_path: Path):
    file = tmp_path / "policy.toml"
    file.write_text(built_in_text(), encoding="utf-8")
    found = read_policy(file)
    assert replace(found, source=BUILT_IN, lines={}) == built_in_policy()
    written = built_in_text().splitlines()
    assert {name: written[line - 1] for name, line in found.lines.items()} == {
        gate.name: f'name = "{gate.name}"' for gate in found.gates
    }


def test_every_metric_of_the_built_in_policy_exists_even_those_in_comments():
    lines = [line.lstrip("# ") for line in built_in_text().splitlines()]
    metrics = [line.split('"')[1] for line in lines if line.startswith("metric = ")]
    assert len(metrics) == 11
    for metric in metrics:
        check_metric(Gate(name="g", metric=metric, max=1.0), {}, source="p.toml")


def test_the_commented_examples_are_a_policy_too():
    examples = built_in_text().split("---- more")[1].split("\n", 1)[1]
    lines = [line.removeprefix("# ") for line in examples.splitlines()]
    kept = [line for line in lines if line.startswith("[[") or " = " in line]
    found = policy("\n".join(kept), head=built_in_text())
    assert {gate.name for gate in found.gates} - {gate.name for gate in built_in_policy().gates} == {
        "every-attack",
        "worst-sample",
        "worst-percent",
        "capacity",
        "unlearned",
    }
    assert found.waivers[0].gate == "sure-hits"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GATE, "version = 1"),
        ("version = 2\n" + GATE, "version = 1, got 2"),
        ("version = true\n" + GATE, "version = 1, got True"),
        ("version = 1\n", "no [[gate]]"),
        ("version = 1\ninconclusiv = 'fail'\n" + GATE, "did you mean 'inconclusive'?"),
        ("version = 1\ninconclusive = 'warn'\n" + GATE, "'fail', 'pass', got 'warn'"),
        ("version = 1\ncorrection = ['holm']\n" + GATE, "correction must be one of"),
        ("version = 1\nzzz = 1\n" + GATE, "known are version, gate, waiver"),
        ("version = 1\ngate = 3\n", "[[gate]]"),
        ("version = 1\n" + GATE.replace("max", "maximum"), "gate 'auc': unknown key 'maximum'; did you mean 'max'?"),
        ("version = 1\n" + GATE.replace('"auc"', "3"), "number 1: name takes a string, got 3"),
        ("version = 1\n" + GATE.replace('"auc"', '"a/b"'), "a name has up to 64"),
        ("version = 1\n" + GATE.replace('name = "auc"\n', ""), "number 1: name is missing"),
        ("version = 1\n" + GATE.replace("max = 0.6\n", ""), "needs max, min or both"),
        ("version = 1\n" + GATE.replace("0.6", "nan"), "finite number, got nan"),
        ("version = 1\n" + GATE.replace("0.6", "inf"), "finite number, got inf"),
        ("version = 1\n" + GATE.replace("0.6", "true"), "finite number, got True"),
        ("version = 1\n" + GATE.replace("0.6", '"0.6"'), "finite number, got '0.6'"),
        ("version = 1\n" + GATE + "min = 0.7\n", "min 0.7 is above max 0.6"),
        ("version = 1\n" + GATE + GATE, "two gates are named 'auc'"),
        ("version = 1\n" + GATE + WAIVER.replace('reason = "known"\n', ""), "reason is missing"),
        ("version = 1\n" + GATE + WAIVER.replace("known", " "), "needs a reason"),
        ("version = 1\n" + GATE + WAIVER.replace("expires = 2026-12-31\n", ""), "expires is missing"),
        ("version = 1\n" + GATE + WAIVER.replace("2026-12-31", '"2026-12-31"'), "a day without quotes"),
        ("version = 1\n" + GATE + WAIVER.replace("2026-12-31", "2026-12-31T00:00:00"), "a day without quotes"),
        ("version = 1\n" + GATE + WAIVER.replace("expires", "expiry"), "did you mean 'expires'?"),
        ("version = 1\n" + GATE.replace("0.6", "60"), "gate 'auc': max = 60 is impossible, attacks.headline.auc lies"),
        ("version = 1\n" + GATE.replace("0.6", "60"), "a percentage? use 0.6"),
        ("version = 1\n" + GATE.replace("0.6", "-0.1"), "lies between 0 and 1"),
        ("version = 1\n" + GATE + "min = -0.1\n", "min = -0.1 is impossible"),
        ("version = 1\n" + GATE.replace("max = 0.6", "min = 1.5"), "min = 1.5 is impossible"),
        (
            "version = 1\n" + GATE.replace('auc"\nmax', 'tpr_at_fpr.0.01"\nmax').replace("0.6", "5"),
            "tpr_at_fpr.0.01 lies",
        ),
        (
            "version = 1\n" + GATE.replace('auc"\nmax', 'f1_equal_error"\nmax').replace("0.6", "5"),
            "f1_equal_error lies",
        ),
        ("version = 1\n" + GATE.replace("attacks", "change.attacks").replace("0.6", "-2"), "lies between -1 and 1"),
        (
            "version = 1\n" + GATE + WAIVER.replace('gate = "auc"', 'gate = "aucc"'),
            "'aucc', which is not in the policy; did",
        ),
        ("version = 1\n" + GATE + WAIVER.replace('gate = "auc"', 'gate = "zzzz"'), "there are auc"),
        ("version = ", "not valid TOML"),
        ("version = " + "1" * 5000, "not valid TOML"),
        ("version = " + "[" * 5000, "not valid TOML"),
        ("version = 1\n" + GATE.replace("0.6", "1" * 400), "finite number, got 111"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(text: str, said: str):
    with pytest.raises(ConfigError) as error:
        parse_policy(text, "p.toml")
    assert said in str(error.value)
    assert "p.toml" in str(error.value)
    assert "\n" not in str(error.value).replace("\\n", "") or "TOML" in said


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read the policy"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_policy(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("metric", "near"),
    [
        ("attacks.headline.acu", "attacks.headline.auc"),
        ("atacks.best.auc", "attacks.best.auc"),
        ("memorization.debiased_bits_per_membr", "memorization.debiased_bits_per_member"),
        ("risk.tails.0.01.mean_bit", "risk.tails.0.01.mean_bits"),
        ("law.auk", "law.auc"),
        ("attacks.loss.auk", "attacks.loss.auc"),
        ("attacks.headlin.tpr_at_fpr.0.01", "attacks.headline.tpr_at_fpr.0.01"),
        ("change.attacks.any.auk", "change.attacks.any.auc"),
    ],
)
def test_a_metric_that_no_document_has_is_refused_with_the_nearest(metric: str, near: str):
    with pytest.raises(ConfigError) as error:
        check_metric(Gate(name="g", metric=metric, max=1.0), {"attacks.headline.auc": ()}, source="p.toml")
    assert near in str(error.value)


def test_the_nearest_figure_is_one_of_the_same_attack():
    with pytest.raises(ConfigError, match=r"did you mean attacks\.headline\.auc or"):
        check_metric(Gate(name="g", metric="attacks.headline.auk", max=1.0), {}, source="p.toml")


@pytest.mark.parametrize("metric", ["attacks.losss.auc", "attacks.loss.roc", "attacks", "memorization.top_samples", ""])
def test_what_is_no_figure_cannot_be_gated(metric: str):
    with pytest.raises(ConfigError, match="there is no figure"):
        check_metric(Gate(name="g", metric=metric, max=1.0), {}, source="p.toml")


@pytest.mark.parametrize("path", may_exist())
def test_every_example_path_is_a_path(path: str):
    check_metric(Gate(name="g", metric=path, max=1.0), {}, source="p.toml")


@pytest.mark.parametrize(
    ("metric", "limit"),
    [("memorization.debiased_bits_per_member", 8.0), ("memorization.net_bits_per_member", -1.0), ("law.auc", 1.0),
     ("change.attacks.headline.auc", -0.5), ("risk.members_above", 3.0), ("memorization.capacity_used", 1.2)],
)  # fmt: skip
def test_limits_that_a_figure_can_reach_are_read(metric: str, limit: float):
    found = policy(f'[[gate]]\nname = "g"\nmetric = "{metric}"\nmax = {limit}\n')
    assert found.gates[0].max == limit


def test_an_unknown_figure_is_told_with_the_file():
    with pytest.raises(ConfigError, match=r"policy p\.toml: gate 'g': there is no figure"):
        check_metric(Gate(name="g", metric="zzz", max=1.0), {}, source="p.toml")


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str):
    try:
        parse_policy(text, "p.toml")
    except ConfigError:
        return
    pytest.fail("a random text became a policy")


def test_a_waiver_holds_through_its_last_day():
    waiver = Waiver(gate="auc", reason="known", expires=date(2026, 12, 31))
    assert waiver.covers("auc", date(2026, 12, 31))
    assert not waiver.covers("auc", date(2027, 1, 1))
    assert not waiver.covers("other", date(2026, 1, 1))
