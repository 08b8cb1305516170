"""Prediction beside measurement, in every format of the report."""

from dataclasses import replace

import pytest

from auditor.results import AuditResult
from reports import RENDERERS, expectation


@pytest.fixture
def expected(results: dict[str, AuditResult]) -> AuditResult:
    return results["expected"]


def test_every_comparison_is_in_html_and_markdown(expected: AuditResult) -> None:
    assert expected.prediction is not None
    for form in ("html", "md"):
        text = RENDERERS[form](expected)
        assert "What its size lets expect" in text
        for row in expectation.rows(expected.prediction):
            for words in (row.quantity, row.measured.partition(" [")[0], row.verdict, row.predicted.partition(" [")[0]):
                assert words in text


def test_rows_carry_band_interval_and_verdict(expected: AuditResult) -> None:
    assert expected.prediction is not None
    by_name = {row.quantity: row for row in expectation.rows(expected.prediction)}
    loss = by_name["loss attack, AUC"]
    assert loss.measured == "0.744 [0.713 to 0.775]"
    assert loss.predicted.startswith("0.826 [")
    assert (loss.verdict, loss.tone) == ("agrees", "ok")
    assert by_name["bits of a member"].predicted.startswith("at most ")
    assert by_name["bits of a member"].verdict == "below"
    used = by_name["capacity used by audited members"]
    assert (used.measured, used.verdict) == ("—", "not measured")
    assert "adapter" in used.meaning


def test_without_a_stated_size_the_report_says_how_to_get_it(normal: AuditResult, expected: AuditResult) -> None:
    for form in ("html", "md"):
        assert "--train-samples" in RENDERERS[form](normal)
        assert "to see what to expect" not in RENDERERS[form](expected)
        assert "What its size lets expect" not in RENDERERS[form](normal)


def test_a_veto_marks_the_section(results: dict[str, AuditResult], expected: AuditResult) -> None:
    vetoed = replace(results["veto"], prediction=expected.prediction)
    html = RENDERERS["html"](vetoed)
    section = html[html.index('id="expected"') :]
    assert "For diagnosis only" in section.partition("</section>")[0]
