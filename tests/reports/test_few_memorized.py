"""A few memorized members among many: no format, gate or model card may let the average hide them."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console

from auditor.documents.estimate import Estimate
from auditor.documents.result import GRADES, AuditResult, GradeResult, StandOutResult
from auditor.errors import ResultError
from auditor.gates.judge import judge
from auditor.gates.policy import built_in_policy, parse_policy
from auditor.gates.subject import read_judged
from helpers_audits import build, build_few_memorized, estimate
from reports import RENDERERS, render_terminal, verdict
from reports.advice import GLOSSARY, actions
from reports.ci.model_card import to_model_card
from reports.ci.summary import to_summary

TODAY = date(2026, 11, 29)


@pytest.fixture(scope="module")
def few() -> AuditResult:
    return build_few_memorized()


def terminal(result: AuditResult) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_terminal(result, verbose=True))
    return stream.getvalue()


def verdicts(few: AuditResult) -> Iterator[tuple[str, str]]:
    """Every format that a reader meets."""
    data = RENDERERS["json"](few).encode()
    report = judge(built_in_policy(), read_judged(data, "result.json"), today=TODAY)
    yield "terminal", terminal(few)
    yield from ((name, RENDERERS[name](few)) for name in ("html", "md"))
    yield "summary", to_summary(report)
    yield "model card", to_model_card(report)


def test_no_format_reads_as_weak(few: AuditResult) -> None:
    definition = next(text for term, text in GLOSSARY if term.startswith("Weak"))
    for name, text in verdicts(few):
        said = re.sub(r"\s+", " ", text).replace("Weak, moderate, strong, near-perfect", "").replace(definition, "")
        assert not re.search(r"\bweak|\bsmall but|no evidence|coin flip gives", said, re.IGNORECASE), name
        assert re.search(r"\b109\b", said), name
        assert "stand out" in said, name


def test_the_verdict_is_that_of_the_tail(few: AuditResult) -> None:
    assert few.attacks[0].auc.value == pytest.approx(0.53, abs=0.01)
    assert few.grade == GradeResult(average="weak", tail="strong", overall="strong")
    words = verdict.verdict(few)
    assert (words.tone, words.grade, words.stands_out) == ("bad", "strong", True)
    assert words.title == "At least 104 of 5,000 members stand out"
    assert "beyond every one of 5,000 non-members, of which chance explains at most 5" in words.sentence
    assert "at least 104 of them can be told from texts" in words.sentence
    chips = {chip.label: (chip.tone, chip.word) for chip in verdict.chips(few)}
    assert chips["Stand out"] == ("bad", "at least 104 of 5,000 members")
    assert chips["Membership signal"] == ("bad", "strong, for some members")
    assert actions(few)[0].startswith("Look first at the members who stand out")
    assert not any("Repeat with more texts" in step for step in actions(few))
    assert "100 pairs" not in RENDERERS["html"](few)  # 53 dots of 100 would say the contrary


def test_an_average_of_nothing_hides_them_no_better(few: AuditResult) -> None:
    silent = replace(few, attacks=(replace(few.attacks[0], auc=estimate(0.505, 0.494, 0.516)),), grade=None)
    assert verdict.verdict(silent).title == "At least 104 of 5,000 members stand out"
    assert "No evidence" not in terminal(silent)


def test_what_chance_explains_of_them_is_not_counted_in_the_title(few: AuditResult) -> None:
    """Fine-tuning on a domain moves both sides: of 76 members beyond 100 bits chance may explain 74."""
    assert few.risk is not None
    nobody = Estimate(value=0.0, low=0.0, high=0.0, level=0.95, method="m", n_members=76, n_non_members=52)
    moved = replace(nobody, value=76.0, low=2.0, high=76.0)
    shifted = replace(few, risk=replace(few.risk, stand_out=stand_out(nobody, moved)), grade=None)
    words = verdict.verdict(shifted)
    assert words.title == "At least 2 of 76 members stand out"
    assert (
        "76 of 76 members hold more than 100 bits each, of which chance explains at most 74: at least 2"
        in words.sentence
    )


def test_a_veto_comes_before_them(few: AuditResult) -> None:
    assert few.soundness is not None
    first, *rest = few.soundness.checks
    vetoed = replace(few.soundness, verdict="veto", checks=(replace(first, verdict="veto"), *rest))
    words = verdict.verdict(replace(few, soundness=vetoed, grade=None))
    assert words.kind == "veto"
    assert "Stand out" not in {chip.label for chip in verdict.chips(replace(few, soundness=vetoed, grade=None))}


def test_who_stands_out_is_said_beside_a_strong_average() -> None:
    result = build()
    some = estimate(60.0, 55.0, 60.0)
    at_risk = replace(build_few_memorized().risk, stand_out=stand_out(some))
    words = verdict.verdict(replace(result, risk=at_risk))
    assert words.title == "Strong membership signal"
    assert words.points[0].startswith("60 of 500 members stand out")


def stand_out(count, bits=None) -> StandOutResult:
    return StandOutResult(n_beyond_every_non_member=count, threshold_bits=100.0, n_above_bits=bits, n_identified=())


def test_a_gate_stops_what_averages_let_through(few: AuditResult) -> None:
    judged = read_judged(RENDERERS["json"](few).encode(), "result.json")
    outcomes = {gate.gate: gate.outcome for gate in judge(built_in_policy(), judged, today=TODAY).gates}
    assert outcomes["stand-out"] == "fail"
    assert outcomes["membership"] == outcomes["memorization"] == "pass"
    average = 'version = 1\n[[gate]]\nname = "a"\nmetric = "attacks.headline.auc"\nmax = 0.6\n'
    report = judge(parse_policy(average, "p.toml"), judged, today=TODAY)
    (note,) = [note for note in report.notes if "stand out" in note]
    assert note.startswith("109 of 5,000 members stand out beyond every non-member (chance explains at most 5)")
    assert report.passed  # the policy is the user's; that it is blind is said in every output
    assert "109 of 5,000 members stand out beyond" in to_model_card(report)
    guarded = average + '[[gate]]\nname = "b"\nmetric = "risk.stand_out.n_beyond_every_non_member"\nmax = 200\n'
    assert not any("stand out" in note for note in judge(parse_policy(guarded, "p"), judged, today=TODAY).notes)


def test_a_grade_that_hides_the_worse_of_both_is_refused(few: AuditResult) -> None:
    assert few.grade is not None
    hidden = replace(few, grade=replace(few.grade, overall="weak"))
    with pytest.raises(ResultError, match="the grade is weak, and the worse of average and tail strong"):
        read_judged(RENDERERS["json"](hidden).encode(), "result.json")
    assert GRADES == ("none", "weak", "moderate", "strong", "near-perfect")


def test_a_high_average_hides_nobody(few: AuditResult) -> None:
    assert "The average hides them" in verdict.verdict(few).sentence
    assert few.risk is not None
    assert few.risk.stand_out is not None
    many = replace(few.risk.stand_out.n_beyond_every_non_member, value=3000.0, low=2900.0, high=3100.0)
    risk = replace(few.risk, stand_out=replace(few.risk.stand_out, n_beyond_every_non_member=many))
    high = replace(few.attacks[0], auc=estimate(0.9, 0.85, 0.95))
    words = verdict.verdict(replace(few, attacks=(high, *few.attacks[1:]), risk=risk))
    assert words.stands_out
    assert "The average is high, too" in words.sentence
    assert "hides" not in words.sentence
