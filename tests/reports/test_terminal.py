"""The terminal summary: one screen, plain where it should be, and deaf to what the data says."""

import io
import re

from rich.console import Console

from auditor.documents.result import AuditResult
from reports import render_terminal
from reports.soundness import is_vetoed
from reports.to_terminal import verdict_line
from reports.verdict import verdict
from reports.vetoed import veto

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def printed(result: AuditResult, *, terminal: bool = False, width: int = 80, verbose: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    console.print(render_terminal(result, verbose=verbose))
    return stream.getvalue()


def test_one_screen_of_80_columns(any_result: AuditResult) -> None:
    lines = printed(any_result).splitlines()
    assert len(lines) <= 39  # and the path of the report
    assert max(map(len, lines)) <= 80


def test_trust_verdict_and_what_to_do_are_always_shown(any_result: AuditResult) -> None:
    text = re.sub(r"[│╭╰─\s]+", " ", printed(any_result))
    assert "Can these numbers be trusted?" in text
    assert verdict(any_result).title in text
    assert ("What to do:" if is_vetoed(any_result) else "Next") in text
    assert "--verbose" in text


def test_what_is_verbose_leaves_no_part_out(full: AuditResult) -> None:
    brief, whole = printed(full, width=100), printed(full, width=100, verbose=True)
    assert len(whole.splitlines()) > 2 * len(brief.splitlines())
    for part in (
        "How much is remembered",
        "Who is at risk",
        "What can be drawn out",
        "Compared with a model",
        "expect",
    ):
        assert part in whole


def test_quiet_is_one_line(any_result: AuditResult) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80).print(verdict_line(any_result), soft_wrap=True)
    assert stream.getvalue().count("\n") == 1
    assert verdict(any_result).title in stream.getvalue()


def test_trust_comes_before_the_verdict_and_the_verdict_before_the_figures(any_result: AuditResult) -> None:
    text = printed(any_result, verbose=True)
    assert text.index("Can these numbers be trusted?") < text.index("╭") < text.index("How much is remembered")


def test_everything_that_can_be_run_fits_100_columns(full: AuditResult) -> None:
    lines = printed(full, width=100, verbose=True).splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if "retr." in line and "change of AUC" in line)
    assert [line.split()[0] for line in lines[start + 2 : start + 6]] == ["reference", "loss", "lowercase", "zlib"]


def test_the_way_out_stands_with_its_check(full: AuditResult) -> None:
    text = re.sub(r"\s+", " ", printed(full, verbose=True))
    assert "near-duplicates across the sides: 14 members share" in text
    assert "14 samples listed in drop-ids.txt, beside this report: run again with --drop-ids and that file." in text
    assert text.count("Remove the non-members listed") == 1


def test_many_references_are_counted(full: AuditResult) -> None:
    assert "against 9 references" in printed(full).splitlines()[0]


def test_only_our_own_colours_reach_the_terminal(any_result: AuditResult) -> None:
    coloured = printed(any_result, terminal=True)
    assert ESCAPE.search(coloured)
    rest = ESCAPE.sub("", coloured)
    assert {char for char in rest if not char.isprintable()} <= {"\n"}
    assert "\x1b" not in printed(any_result)


def test_markup_is_not_interpreted(hostile: AuditResult) -> None:
    assert "[bold red]rich[/bold red]" in printed(hostile, width=4000)


def test_narrow_and_wide_windows_lose_no_number(normal: AuditResult) -> None:
    for width in (60, 200):
        text = re.sub(r"\s+", " ", printed(normal, width=width))
        assert "0.931" in text
        assert "20,390 bits" in text


def test_a_veto_marks_the_figures(results: dict[str, AuditResult]) -> None:
    text = printed(results["veto"], verbose=True)
    assert "No verdict" in text
    assert text.count("(for diagnosis only)") == 2


def test_a_veto_in_brief_is_one_sentence_and_one_action(results: dict[str, AuditResult]) -> None:
    result = results["full_veto"]
    text = re.sub(r"[│╭╰╯╮─\s]+", " ", printed(result))
    why = veto(result)
    assert why is not None
    assert why.sentence in text
    assert f"What to do: {why.action}" in text
    assert "How much is remembered" not in text
    assert "bits per member" not in text
    assert len(printed(result).splitlines()) < 15
