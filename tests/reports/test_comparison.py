"""The comparison of two audits, told: safe and whole in every format, whatever ids, paths and labels are."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from auditor.documents.comparison import (
    AuditComparison,
    ComparedAudit,
    Difference,
    HighSample,
    HighSamples,
    LeftOut,
    MetricChange,
    Pairing,
)
from auditor.documents.estimate import Estimate
from helpers import estimate_within
from reports import COMPARISON_RENDERERS, html_comparison, render_comparison
from reports.comparison import finding, notes, paired_words

HOSTILE = "</title><script>alert(1)</script> | `x` \x1b[31m\u202e [bold]b[/] & {{ 7*7 }} @you #1"


def changed(metric: str, old: float, new: float, p: float | None, unit: str = "") -> MetricChange:
    return MetricChange(
        metric=metric, description=f"figure {metric}", unit=unit,
        old=estimate_within(old, 0.05), new=estimate_within(new, 0.05), change=estimate_within(new - old, 0.05),
        p_value=p, p_value_holm=p, paired=True,
    )  # fmt: skip


def audit(target: str) -> ComparedAudit:
    return ComparedAudit(
        path=f"audits/{target}", result_sha256="r", target=target, weights_sha256="w" * 64, n_parameters=1000,
        started_at="2026-01-01", soundness="pass", headline_attack="reference", n_members=50, n_non_members=40,
    )  # fmt: skip


@pytest.fixture
def comparison() -> AuditComparison:
    high = HighSample(sample_id="m7", text_sha256="a" * 64, old_bits=3.25, new_bits=41.5)
    return AuditComparison(
        auditor_version="1",
        level=0.95,
        old=audit("before"),
        new=audit("after"),
        soundness="pass",
        reading="sound",
        headline_attack="reference",
        pairing=Pairing(
            paired=True, n_members=50, n_non_members=40, n_members_only_old=3, n_members_only_new=0,
            n_non_members_only_old=2, n_non_members_only_new=1, n_cut_differently=0, n_changed_sides=0,
        ),
        changes=(
            changed("memorization.debiased_bits_per_member", 1.0, 4.0, 0.001, "bits"),
            changed("attacks.loss.auc", 0.55, 0.56, 0.8),
            changed("attacks.reference.auc", 0.6, 0.75, 0.0004),
            changed("attacks.reference.tpr_at_fpr.0.01", 0.1, 0.2, None, "share"),
        ),
        differences=(Difference(what="target weights", old="w1", new="w2", effect="none", meaning=""),),
        high=HighSamples(
            old_threshold=10.0, new_threshold=12.5, n_old=2, n_new=5, n_appeared=1, n_vanished=0, appeared=(high,),
            vanished=(),
        ),
    )  # fmt: skip


@pytest.fixture
def hostile(comparison: AuditComparison) -> AuditComparison:
    first, second, third, fourth = comparison.changes
    missing = Estimate.undefined(HOSTILE, level=0.95)
    sample = HighSample(sample_id=HOSTILE, text_sha256=HOSTILE, old_bits=None, new_bits=1.0)
    assert comparison.high is not None
    return replace(
        comparison,
        old=replace(comparison.old, target=HOSTILE, weights_sha256=HOSTILE, path=HOSTILE),
        new=replace(comparison.new, target=HOSTILE, soundness="veto"),
        reading="diagnosis",
        headline_attack=HOSTILE,
        changes=(
            replace(first, description=HOSTILE),
            replace(second, metric=f"attacks.{HOSTILE}.auc", description=HOSTILE),
            replace(third, change=missing, old=missing, p_value=None, p_value_holm=None),
            fourth,
        ),
        differences=(Difference(what=HOSTILE, old=HOSTILE, new=HOSTILE, effect="caution", meaning=HOSTILE),),
        high=replace(comparison.high, appeared=(sample,), vanished=(sample,), n_vanished=150),
        left_out=(LeftOut(what=HOSTILE, reason=HOSTILE),),
        warnings=(HOSTILE,),
    )


class Page(HTMLParser):
    """Elements as a browser would see them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def terminal(comparison: AuditComparison) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_comparison(comparison))
    return stream.getvalue()


@pytest.mark.parametrize("which", ["comparison", "hostile"])
def test_the_page_is_whole_and_runs_nothing(which: str, request: pytest.FixtureRequest) -> None:
    source = COMPARISON_RENDERERS["html"](request.getfixturevalue(which))
    page = Page(source)
    assert page.open == []
    assert not {"script", "iframe", "img", "link", "object", "b[31m"} & set(page.tags)
    assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href")}
    assert "default-src 'none'" in source
    assert not re.search(r"\{\{|\}\}|\{%", source.replace("{{ 7*7 }}", ""))


@pytest.mark.parametrize("render", [COMPARISON_RENDERERS["html"], COMPARISON_RENDERERS["md"], terminal])
def test_hostile_strings_are_spelled_out(hostile: AuditComparison, render: Callable[[AuditComparison], str]) -> None:
    told = render(hostile)
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "\\x1b" in told.replace("\\\\", "\\")
    if render is not terminal:
        assert "<script" not in told
    else:
        assert "[bold]b[/]" in told  # shown, not obeyed


def test_markdown_cannot_be_broken_out_of(hostile: AuditComparison) -> None:
    text = COMPARISON_RENDERERS["md"](hostile)
    assert "@you" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


@pytest.mark.parametrize("form", ["html", "md"])
def test_every_figure_is_told(comparison: AuditComparison, form: str) -> None:
    told = COMPARISON_RENDERERS[form](comparison)
    for words in ("More is remembered", "before", "after", "+3.00", "0.600", "0.750", "+0.150", "&lt; 0.001", "0.800",
                  "10%", "+10%", "m7", "3.2", "41.5", "target weights", "12.5"):  # fmt: skip
        assert words in told.replace("< 0.001", "&lt; 0.001"), words
    assert "aaaaaaaa" in told


def test_json_is_the_document(comparison: AuditComparison) -> None:
    plain: dict[str, Any] = json.loads(COMPARISON_RENDERERS["json"](comparison))
    assert next(iter(plain)) == "schema_version"
    assert plain["changes"][2]["metric"] == "attacks.reference.auc"
    assert plain["changes"][2]["change"]["value"] == pytest.approx(0.15)


def test_the_finding_follows_what_holds_after_correction(comparison: AuditComparison) -> None:
    found = finding(comparison)
    assert (found.tone, found.title) == ("warn", "More is remembered")
    assert "rose from 0.600 to 0.750 (+0.150 [0.100 to 0.200], adjusted p < 0.001)" in found.sentence
    assert "hold after correction for testing all of them: 2 of 3." in found.sentence
    down = tuple(replace(row, change=estimate_within(-(row.change.value or 0), 0.05)) for row in comparison.changes)
    fell = finding(replace(comparison, changes=down))
    assert (fell.tone, fell.title) == ("ok", "Less is remembered")
    assert finding(replace(comparison, changes=(*comparison.changes[:2], *down[2:]))).title == (
        "Some figures rose, others fell"
    )
    by_chance = tuple(replace(row, p_value_holm=0.06) for row in comparison.changes)
    assert finding(replace(comparison, changes=by_chance)).title == "No change beyond chance"
    untested = tuple(replace(row, p_value=None, p_value_holm=None) for row in comparison.changes)
    assert finding(replace(comparison, changes=untested)).title == "No change could be tested"


def test_bits_of_members_alone_are_no_evidence(comparison: AuditComparison) -> None:
    """A target that knows the domain better codes members in fewer bits without remembering any of them."""
    alone = changed("memorization.mean_bits_members", 10.0, 90.0, 1e-9, "bits")
    weak = replace(comparison.changes[0], p_value_holm=0.5)
    assert finding(replace(comparison, changes=(weak, alone))).title == "No change beyond chance"
    assert finding(replace(comparison, changes=(alone,))).title == "Members alone were compared: no verdict"


def test_good_news_with_another_cause_is_no_good_news(comparison: AuditComparison) -> None:
    down = tuple(replace(row, change=estimate_within(-(row.change.value or 0), 0.05)) for row in comparison.changes)
    other = Difference(what="reference weights", old="a", new="b", effect="caution", meaning="bits differ for it")
    cautious = replace(comparison, changes=down, reading="caution", differences=(*comparison.differences, other))
    assert finding(cautious).tone == "warn"
    assert "Not only the model differs" in finding(cautious).sentence
    assert notes(cautious) == [("warn", "reference weights: bits differ for it")]
    vetoed = finding(replace(cautious, reading="diagnosis"))
    assert (vetoed.tone, vetoed.title) == ("bad", "No verdict")


def test_unpaired_changes_are_labelled_everywhere(comparison: AuditComparison) -> None:
    unpaired = replace(comparison, pairing=replace(comparison.pairing, paired=False))
    assert "3 members" not in paired_words(unpaired)
    for told in (terminal(unpaired), *(COMPARISON_RENDERERS[form](unpaired) for form in ("html", "md"))):
        assert "Not paired" in " ".join(told.split())
    assert "5 only in the old audit, 1 only in the new one and left out" in paired_words(comparison)


def test_other_texts_are_no_diagnosis_of_the_model(comparison: AuditComparison) -> None:
    unpaired = replace(comparison, pairing=replace(comparison.pairing, paired=False), reading="caution")
    found = finding(unpaired)
    assert (found.tone, found.title) == ("warn", "Other texts: no diagnosis")
    assert "the model did not change" in found.sentence
    retrained = replace(unpaired, new=replace(unpaired.new, weights_sha256="v" * 64))
    assert finding(retrained).title == "Other texts: no diagnosis"
    assert "did not change" not in finding(retrained).sentence
    assert finding(replace(unpaired, reading="diagnosis")).title == "No verdict"


def test_a_list_that_is_cut_says_so(hostile: AuditComparison) -> None:
    assert "150" in COMPARISON_RENDERERS["html"](hostile)
    assert "150**, of which 1 are listed" in COMPARISON_RENDERERS["md"](hostile)


def test_both_audits_are_linked_where_they_have_reports(comparison: AuditComparison) -> None:
    page = html_comparison(comparison, old="../before/report.html", new='../a "b"/report.html')
    assert set(re.findall(r'href="([^"#]*)"', page)) == {"../before/report.html", "../a%20%22b%22/report.html"}
    assert "its report" not in html_comparison(comparison, old=None, new=None)
