"""The table of samples, the shaded texts, and what a vetoed report says."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.documents.result import AuditResult, CheckResult, SoundnessResult, TopSample
from auditor.documents.sample_table import SampleTable
from reports import RENDERERS, html_report, samples, tokens, vetoed

to_html = RENDERERS["html"]

SHADED = TopSample(
    sample_id="one", text_sha256="0" * 64, is_member=True, n_tokens=6, signed_bits=21.0, memorized_bits=21.0,
    text="Ada <b>, card 12 34", group="people", n_copies=3, posterior=0.9876, bits_by_position=(1, 20),
    pieces=("Ada", " <b>", ", card ", "12", " ", "34"), piece_bits=(0.2, -1.5, 0.1, 9.0, 0.0, 4.5),
    tokens_before=0, tokens_after=2,
)  # fmt: skip


def with_samples(result: AuditResult, *top: TopSample) -> AuditResult:
    assert result.memorization is not None
    return replace(result, memorization=replace(result.memorization, top_samples=top))


def test_columns_say_only_what_is_known_and_differs() -> None:
    bare = replace(SHADED, group=None, n_copies=None, posterior=None)
    assert [column.title for column in samples.columns([bare])] == ["Bits", "Bits per token", "Tokens"]
    full = samples.columns([SHADED, replace(SHADED, is_member=False)])
    assert [column.title for column in full] == [
        *("Side", "Group", "Bits", "Bits per token", "Probability", "Copies", "Tokens")
    ]
    assert [column.cells[0] for column in full] == ["member", "people", "21.0", "3.50", "98.8%", "3", "6"]


def test_texts_are_shaded_by_steps_and_told_in_words(normal: AuditResult) -> None:
    assert tokens.shaded(SHADED) == (
        'Ada<span class="less"> &lt;b&gt;</span>, card <span class="b4">12</span> <span class="b3">34</span>'
    )
    assert tokens.spoken_heaviest(SHADED) == "Most bits: “12 34” 13.5 bits."
    assert "2 tokens after it are not shown" in tokens.left_out(SHADED)
    source = to_html(with_samples(normal, SHADED))
    assert tokens.shaded(SHADED) in source
    assert tokens.legend() in source
    assert "<b>, card" not in source


def test_without_texts_there_is_a_strip_and_without_alignment_a_reason(normal: AuditResult) -> None:
    bare = replace(SHADED, text=None, pieces=None, piece_bits=None, tokens_before=None, tokens_after=None)
    source = to_html(with_samples(normal, bare))
    assert "Bits in 2 equal parts of the text: 1, 20; most in part 2." in source
    assert 'class="b4"' not in source
    unaligned = replace(bare, bits_by_position=None, tokens_undefined_reason="cut at different places")
    source = to_html(with_samples(normal, unaligned))
    assert "Where in a text the bits lie is not shown: cut at different places." in source
    assert "equal parts" not in source


def test_nothing_memorized_lists_nobody(results: dict[str, AuditResult]) -> None:
    source = to_html(results["none"])
    assert "None is listed: no measurable memory was found in 500 members" in source
    assert "record-04711" not in source
    assert "record-04711" in to_html(results["normal"])
    assert "record-04711" not in RENDERERS["summary"](results["none"])


def test_a_vetoed_report_says_one_sentence_and_one_action(results: dict[str, AuditResult]) -> None:
    source = to_html(results["veto"])
    head = source[source.index("<main>") : source.index('<details class="folded">')]
    assert (
        "These two files differ in kind, so nothing can be concluded: texts alone tell them apart (AUC 0.870)" in head
    )
    assert "Draw both sides at random from one pool (<code>auditor split</code>) and audit again." in head
    assert head.count("<p") == 2
    assert "bits" not in head
    assert source.count("<details") == source.count("</details>")
    assert "folded" not in to_html(results["normal"]).split("</style>")[1]


@pytest.mark.parametrize("name", [*vetoed._CAUSES, "unheard_of"])
def test_every_cause_has_a_sentence_and_an_action(normal: AuditResult, name: str) -> None:
    bad = CheckResult(name=name, verdict="veto", figure=1.0, unit="AUC", detail="It is so.", remedy="mend it")
    found = vetoed.veto(replace(normal, soundness=SoundnessResult(verdict="veto", checks=(bad,))))
    assert found is not None
    assert "nothing can be concluded" in found.sentence.lower()
    assert re.fullmatch(r"[^.]*[^.:]\.|.*AUC 1\.000\)[^.]*\.", found.sentence)
    assert found.action.endswith(".")


def test_passed_checks_unfold_where_one_warns(results: dict[str, AuditResult]) -> None:
    normal = results["normal"]
    assert normal.soundness is not None
    assert re.search(r"<details open>\s*<summary>7 checks passed", to_html(normal))
    passed = tuple(check for check in normal.soundness.checks if check.verdict == "pass")
    sound = replace(normal, soundness=SoundnessResult(verdict="pass", checks=passed))
    assert re.search(r"<details>\s*<summary>7 checks passed", to_html(sound))


def test_files_are_linked_only_where_they_lie(normal: AuditResult) -> None:
    assert '<a href="samples.csv">samples.csv</a>' in html_report(normal, files=("samples.csv",))
    assert "samples.csv</a>" not in to_html(normal)


def test_headings_have_a_scope_and_landmarks_names_of_their_own(any_result: AuditResult) -> None:
    source = to_html(any_result)
    assert not re.findall(r"<th(?![a-z])(?![^>]*scope)", source)
    labels = re.findall(r'role="region"[^>]*aria-label="([^"]*)"', source)
    assert len(labels) == len(set(labels))
    assert 'role="group"' not in source


def table_of(ids: list[str], texts: list[str], label: str) -> SampleTable:
    n = len(ids)
    numbers = np.linspace(-3, 3, n)
    return SampleTable(
        sample_id=tuple(ids), text_sha256=("ab",) * n, is_member=np.ones(n, bool), group=tuple(ids),
        n_tokens=np.ones(n, np.int64), n_bytes=np.ones(n, np.int64), target_bits=numbers, reference_bits=None,
        signed_bits=None, memorized_bits=None, scores={label: numbers}, text=tuple(texts),
    )  # fmt: skip


HOSTILE = st.text(st.sampled_from("=+-@\t\r\n'\",; a1|＝＠"), min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=4), HOSTILE)
def test_no_cell_of_the_csv_starts_a_formula(tmp_path: Path, rows: list[tuple[str, str]], label: str) -> None:
    table = table_of([one for one, _ in rows], [text for _, text in rows], label)
    table.write_csv(tmp_path / "samples.csv")
    with open(tmp_path / "samples.csv", encoding="utf-8", newline="") as file:
        head, *found = list(csv.reader(file))
    assert len(found) == len(rows)
    assert "reference_bits" not in head
    for line in (head, *found):
        for name, cell in zip(head, line, strict=True):
            if name in ("sample_id", "group", "text") or line is head:
                assert not re.match(r"[\t\r\n]|\s*[=+\-@＝＋－＠]", cell)
    for line, (one, text) in zip(found, rows, strict=True):
        row = dict(zip(head, line, strict=True))
        assert row["sample_id"].removeprefix("'") == one.removeprefix("'")
        assert row["text"].removeprefix("'") == text.removeprefix("'")
    assert float(dict(zip(head, found[0], strict=True))["target_bits"]) == -3.0
