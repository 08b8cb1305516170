"""Prediction beside measurement, in every format of the report."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from auditor.documents.result import AuditResult
from reports import RENDERERS, prediction, render_terminal


@pytest.fixture
def expected(results: dict[str, AuditResult]) -> AuditResult:
    return results["expected"]


def test_every_comparison_is_in_html_and_markdown(expected: AuditResult) -> None:
    assert expected.prediction is not None
    for form in ("html", "md"):
        text = RENDERERS[form](expected)
        assert "What its size lets expect" in text
        for row in prediction.rows(expected.prediction):
            for words in (row.quantity, row.measured, row.reason or row.verdict, row.predicted):
                assert words in text
        for line in (*prediction.warnings(expected.prediction), *prediction.basis(expected.prediction)):
            assert line.partition(" (")[0] in text


def test_rows_carry_band_interval_and_verdict(expected: AuditResult) -> None:
    assert expected.prediction is not None
    by_name = {row.quantity: row for row in prediction.rows(expected.prediction)}
    loss = by_name["Loss attack, AUC"]
    assert (loss.measured, loss.interval) == ("0.744", "[0.713 to 0.775]")
    assert (loss.predicted, loss.band) == ("0.826", "[0.703 to 0.880]")
    assert (loss.verdict, loss.tone, loss.reason) == ("agrees", "ok", "")
    bits = by_name["Bits of a member"]
    assert (bits.predicted, bits.band, bits.verdict) == ("at most 70.2", "", "within")
    used = by_name["Capacity used by audited members"]
    assert (used.measured, used.interval, used.verdict, used.tone) == ("—", "", "not measured", "info")
    assert "adapter" in used.reason
    assert prediction.reasons(expected.prediction) == (used.reason,)


def differing(expected: AuditResult) -> AuditResult:
    """The same with a loss attack below its band, and a member with more bits than fit."""
    beside = expected.prediction
    assert beside is not None
    changes = {
        "loss attack, AUC": {"measured": 0.6, "measured_low": 0.55, "measured_high": 0.65, "agrees": False},
        "bits of a member (ceiling)": {"measured": 90.0, "measured_low": 80.0, "measured_high": 99.0, "agrees": False},
    }
    comparisons = tuple(replace(one, **changes.get(one.quantity, {})) for one in beside.comparisons)  # type: ignore[arg-type]
    return replace(expected, prediction=replace(beside, comparisons=comparisons, summary="x" * 1_000 + " end."))


def test_a_difference_is_marked_with_its_side(expected: AuditResult) -> None:
    result = differing(expected)
    assert result.prediction is not None
    by_name = {row.quantity: (row.verdict, row.tone) for row in prediction.rows(result.prediction)}
    assert by_name["Loss attack, AUC"] == ("below", "warn")
    assert by_name["Bits of a member"] == ("above", "warn")
    assert prediction.tone(result.prediction) == "warn"
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_terminal(result, verbose=True))
    for text in (RENDERERS["html"](result), RENDERERS["md"](result), stream.getvalue()):
        assert "▲" in text
        assert "90.0" in text
        assert " end." in text  # a long summary is not cut


def test_small_bits_are_not_written_as_zero(expected: AuditResult) -> None:
    assert expected.prediction is not None
    bits = next(one for one in expected.prediction.comparisons if one.quantity.startswith("bits"))
    few = replace(expected.prediction, comparisons=(replace(bits, predicted=0.0123, predicted_high=0.0123),))
    assert prediction.rows(few)[0].predicted == "at most 0.0123"


def test_the_terminal_gives_a_few_rows_in_80_columns(expected: AuditResult) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_terminal(expected, verbose=True))
    section = stream.getvalue().partition("What its size lets expect")[2].partition("\n\n")[0]
    assert [line.split("  ")[0] for line in section.splitlines()[3:6]] == ["Loss, AUC", "Reference, AUC", "Best, AUC"]


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
