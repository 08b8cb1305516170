"""The Markdown of a job summary and of a model card's section: whole tables, and nothing in the data becomes markup."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from auditor.documents.gates import GateReport
from reports import GATE_RENDERERS
from reports.ci.model_card import model_card_section

to_summary = GATE_RENDERERS["summary"]
FORMATS = pytest.mark.parametrize("render", [to_summary, model_card_section])
HTML = {"<code>", "</code>", "<br>", "<!-- -->"}
BLOCKS = {"<details>", "</details>", "<!-- auditor:begin -->", "<!-- auditor:end -->"}
COLUMNS = 7


def tokens(source: str) -> Iterator[Token]:
    for block in MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(source):
        yield block
        yield from block.children or ()


def shape(source: str) -> list[str]:
    return [token.type for token in tokens(source) if token.type not in ("text", "text_special", "html_inline")]


def tables(source: str) -> list[list[list[str]]]:
    """Read the tables back: rows of cells."""
    found: list[list[list[str]]] = []
    cell = False
    for token in tokens(source):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            cell = True
        elif token.type == "inline" and cell:
            found[-1][-1].append("".join(c.content for c in token.children or () if c.type != "html_inline"))
            cell = False
    return found


@FORMATS
def test_no_markup_comes_from_the_data(render: Callable[[GateReport], str], any_verdict: GateReport) -> None:
    source = render(any_verdict)
    assert {t.type for t in tokens(source)}.isdisjoint(
        {"link_open", "image", "code_inline", "fence", "s_open", "em_open"}
    )
    for token in tokens(source):
        if token.type == "html_inline":
            assert token.content in HTML
        if token.type == "html_block":
            start, _, rest = token.content.partition("<summary>")
            assert start.strip() in BLOCKS
            assert "<" not in rest.partition("</summary>")[0]


@FORMATS
def test_hostile_strings_change_no_block(
    render: Callable[[GateReport], str], poisoned: Callable[[str], GateReport], hostile_text: str
) -> None:
    assert shape(render(poisoned(hostile_text))) == shape(render(poisoned("a" * len(hostile_text))))


@FORMATS
def test_nobody_is_called(render: Callable[[GateReport], str], hostile: GateReport) -> None:
    source = render(hostile)
    assert not {"@everyone", "https://evil.example", "<script", " #1 "} & {
        word for word in ("@everyone", "https://evil.example", "<script", " #1 ") if word in source
    }


@FORMATS
def test_tables_are_whole(render: Callable[[GateReport], str], any_verdict: GateReport) -> None:
    found = tables(render(any_verdict))
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
        assert all(cell for row in table for cell in row)
    if any_verdict.gates:
        assert len(found[0]) == 1 + len(any_verdict.gates)
        assert len(found[0][0]) == COLUMNS


def test_the_worst_comes_first(mixed: GateReport) -> None:
    rows = tables(to_summary(mixed))[0][1:]
    assert [row[0] for row in rows] == [
        "✖ fail: beyond the limit",
        "✖ fail: beyond the limit",
        "✖ refused: no verdict",
        "✖ inconclusive: cannot be told",
        "▲ fail: beyond the limit, waived",
        "▲ inconclusive: cannot be told, which the policy lets through",
        "✔ pass: within the limit",
    ]
    assert rows[0][2:6] == ["0.931", "0.914 to 0.946 (95%)", "at most 0.55", "< 0.001"]
    assert rows[2][2:6] == ["not defined", "—", "at most 0.55", "—"]


def test_the_parts_of_a_summary(mixed: GateReport) -> None:
    source = to_summary(mixed)
    assert source.startswith("## ✖ Memorization: 2 of 7 gates failed, 1 refused, 1 inconclusive\n")
    assert tables(source)[1][1:] == [["tpr", "known, retrained in sprint 12", "2027-01-31"]]
    for part in (
        "Correction for several gates: Holm over 5 limits",
        "▲ A soundness check of the audit warns",
        "- ▲ the waiver of 'bits' expired on 2026-01-01\n"
        "- ▲ read with care, checks warn: near-duplicates across the sides, option max\\_tokens differs\n"
        "- 1 gate is not for an audit: plan\n",
        "Not passed: 2 of 7 gates failed, 1 refused, 1 inconclusive. Let through: 1 inconclusive, 1 waived.",
        "doc-4, and 2 more.",
        "a1" * 32,
        "b2" * 32,
    ):
        assert part in source


@pytest.mark.parametrize(
    ("case", "heading", "sentence"),
    [
        ("passing", "✔ Memorization: pass", "Passed: 2 gates, all within their limits."),
        (
            "warn_only",
            "✖ Memorization: 2 of 7 gates failed, 1 refused, 1 inconclusive (warnings only)",
            "Warnings only: the run goes on.",
        ),
        (
            "let_through",
            "▲ Memorization: pass, 2 failed, 1 refused, 2 inconclusive, 1 waived",
            "Passed: nothing stops this run.",
        ),
        ("prediction", "✔ Predicted memorization: pass", "Passed: 2 gates, all within their limits."),
        ("empty", "▲ Memorization: no gates", "The policy holds no gate: nothing was judged."),
    ],
)
def test_headings(case: str, heading: str, sentence: str, verdicts: dict[str, GateReport]) -> None:
    source = to_summary(verdicts[case])
    assert source.startswith(f"## {heading}\n")
    assert sentence in source


def test_without_correction_the_plain_p_value_is_shown(passing: GateReport) -> None:
    plain = tuple(replace(gate, p_value=0.031, p_value_holm=None) for gate in passing.gates)
    assert [row[5] for row in tables(to_summary(replace(passing, gates=plain)))[0][1:]] == ["0.031", "0.031"]


def test_a_veto_is_said_and_a_pass_has_no_remedy(verdicts: dict[str, GateReport]) -> None:
    assert "✖ A soundness check of the audit forbids a verdict" in to_summary(verdicts["veto"])
    assert "What to do" not in to_summary(verdicts["passing"])
    assert "Refused: mend" not in to_summary(replace(verdicts["mixed"], gates=verdicts["mixed"].gates[:3]))
