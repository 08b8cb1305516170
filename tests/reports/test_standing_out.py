"""Members who stand out and holders that a sample cannot know of, in every format."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from auditor.documents.estimate import CountAtFpr, Estimate
from auditor.documents.result import AuditResult, StandOutResult
from reports import RENDERERS, render_terminal
from reports.numbers import unseen

MISSED = "holders rarer than 1 in 27 would not have been seen"


def counted(value: float, low: float, high: float) -> Estimate:
    return Estimate(
        value=value, low=low, high=high, level=0.95, method="counted", n_members=5000, n_non_members=5000
    )  # fmt: skip


@pytest.fixture
def audit(full: AuditResult) -> AuditResult:
    assert full.memorization is not None
    assert full.risk is not None
    bits = replace(full.memorization.debiased_bits_per_member, unseen_below=0.0362)
    few = Estimate.undefined("an FPR of 0.0001 needs at least 10000 non-members, there are 5000", level=0.95)
    found = StandOutResult(
        n_beyond_every_non_member=counted(1117, 1112, 1117),
        threshold_bits=100.0,
        n_above_bits=counted(81, 80, 81),
        n_identified=(CountAtFpr.at(0.01, counted(119, 100, 140)), CountAtFpr.at(0.0001, few)),
    )
    memory = replace(full.memorization, debiased_bits_per_member=bits)
    return replace(full, memorization=memory, risk=replace(full.risk, stand_out=found))


def shown(audit: AuditResult) -> dict[str, str]:
    stream = io.StringIO()
    Console(file=stream, width=400).print(render_terminal(audit, verbose=True))
    return {"terminal": stream.getvalue(), "html": RENDERERS["html"](audit), "md": RENDERERS["md"](audit)}


@pytest.mark.parametrize("format_", ["terminal", "html", "md"])
def test_every_format_counts_who_stands_out_and_says_what_is_not_seen(audit: AuditResult, format_: str) -> None:
    text = shown(audit)[format_]
    assert MISSED in text
    for part in ("Above the highest of 5,000 non-members", "1,117", "1,112 to 1,117", "More than 100 bits"):
        assert part in text
    assert "Identified at 1% false alarms" in text
    assert ("needs at least 10000 non-members" in text) == (format_ != "terminal")


def test_files_of_older_auditors_say_nothing_of_it(full: AuditResult) -> None:
    assert full.risk is not None
    old = replace(full, risk=replace(full.risk, stand_out=None))
    assert "Above the highest of" not in RENDERERS["md"](old)
    assert unseen(None) == ""
