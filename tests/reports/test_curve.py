"""The curve of several checkpoints, told: safe and whole in every format, whatever the names are."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from auditor.documents.curve import AttackPoint, Curve, CurvePoint, Failed, Rise
from auditor.documents.estimate import Estimate, TprAtFpr
from helpers import estimate_within
from reports import CURVE_RENDERERS, html_curve, render_curve
from reports.curve import finding, notes

HOSTILE = "</title><script>alert(1)</script> | `x` \x1b[31m\u202e [bold]b[/] & {{ 7*7 }} @you #1"


def missing(reason: str = "no reference model was given") -> Estimate:
    return Estimate.undefined(reason, level=0.95)


def point(step: int, bits: float, auc: float, change: float | None, label: str = "") -> CurvePoint:
    names = {"reference": auc, "loss": auc - 0.05, "zlib": auc - 0.02, "min_k": 0.5}
    return CurvePoint(
        label=label or f"checkpoint-{step}",
        step=step,
        path=f"run/checkpoint-{step}",
        weights_sha256=f"{step:064x}",
        n_parameters=1000,
        soundness="pass",
        bits_per_member=estimate_within(bits, 2.0),
        capacity_used=estimate_within(bits / 100, 0.01),
        attacks=tuple(
            AttackPoint(attack=name, auc=estimate_within(area, 0.04), tpr=TprAtFpr.at(0.01, estimate_within(0.2, 0.1)))
            for name, area in names.items()
        ),
        bits_change=None if change is None else estimate_within(change, 1.0),
        bits_change_p=None if change is None else 0.001,
        auc_change=None if change is None else estimate_within(0.1, 0.03),
    )


@pytest.fixture
def curve() -> Curve:
    points = (point(100, 0.5, 0.52, None), point(200, 6.5, 0.7, 6.0), point(1000, 9.0, 0.8, 2.5))
    return Curve(
        auditor_version="1",
        target="run/checkpoint-*",
        references=("base",),
        n_checkpoints=3,
        n_members=50,
        n_non_members=40,
        level=0.95,
        calibrated=True,
        headline_attack="reference",
        points=points,
        largest_rise=Rise(
            before="checkpoint-100", after="checkpoint-200", change=estimate_within(6.0, 1.0), p_value=0.002
        ),
    )


@pytest.fixture
def hostile(curve: Curve) -> Curve:
    first, second, third = curve.points
    attacks = tuple(replace(one, attack=one.attack if i else HOSTILE) for i, one in enumerate(second.attacks))
    points = (
        replace(first, label=HOSTILE, path=HOSTILE, weights_sha256=HOSTILE, step=None),
        replace(second, attacks=attacks, soundness="veto"),
        replace(third, bits_per_member=missing(HOSTILE), capacity_used=missing(HOSTILE), bits_change=missing(HOSTILE)),
    )
    return replace(
        curve,
        target=HOSTILE,
        references=(HOSTILE,),
        headline_attack=HOSTILE,
        points=points,
        largest_rise=Rise(before=HOSTILE, after=HOSTILE, change=estimate_within(6.0, 0.1), p_value=0.0),
        failed=(Failed(label=HOSTILE, path=HOSTILE, reason=HOSTILE),),
        warnings=(HOSTILE,),
    )


class Page(HTMLParser):
    """Elements and text as a browser would see them."""

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


def terminal(curve: Curve) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_curve(curve))
    return stream.getvalue()


@pytest.mark.parametrize("which", ["curve", "hostile"])
def test_the_page_is_whole_and_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    source = CURVE_RENDERERS["html"](request.getfixturevalue(which))
    page = Page(source)
    assert page.open == []
    assert {"script", "img", "iframe", "link", "object", "form", "bold"}.isdisjoint(page.tags)
    assert not {name for name in page.attributes if name.startswith("on")} | {"src", "style"} & page.attributes
    assert not re.search(r"https?:|url\(|@import", source)
    assert all(char.isprintable() or char == "\n" for char in source)
    assert source.count("<title") == 3  # the page's, and what is said of each figure
    assert source.count("<desc") == 2


def test_names_obey_nobody(hostile: Curve) -> None:
    for text in (CURVE_RENDERERS["md"](hostile), terminal(hostile)):
        assert all(char.isprintable() or char == "\n" for char in text)
    markdown = CURVE_RENDERERS["md"](hostile)
    assert "<script" not in markdown
    assert "@you" not in markdown
    widths = {line.replace("\\|", "").count("|") for line in markdown.splitlines() if line.startswith("| ")}
    assert widths <= {8, 6, 5}
    assert "[bold]b[/]" in terminal(hostile)


def test_the_finding_names_the_step(curve: Curve) -> None:
    found = finding(curve)
    assert "from checkpoint-100 to checkpoint-200: by +6.0 bits" in found.sentence
    assert "80 times in 100" in found.sentence
    for form in ("html", "md"):
        assert "+6.0" in CURVE_RENDERERS[form](curve)


def test_a_veto_everywhere_replaces_the_finding(curve: Curve) -> None:
    vetoed = replace(curve, points=tuple(replace(one, soundness="veto") for one in curve.points))
    assert finding(vetoed).title == "No verdict"
    assert "bits per member" not in finding(vetoed).sentence
    last = replace(curve, points=(*curve.points[:2], replace(curve.points[2], soundness="veto")))
    assert "At checkpoint-200" in finding(last).sentence


def test_no_rise_and_nothing_to_compare(curve: Curve) -> None:
    assert finding(replace(curve, largest_rise=None)).title == "No rise beyond chance"
    single = replace(curve, points=curve.points[:1], largest_rise=None)
    assert finding(single).title == "No rise was tested"
    assert notes(single)[0][1].startswith("2 checkpoints not audited yet")
    for render in (*CURVE_RENDERERS.values(), terminal):
        assert render(single)


def test_a_vetoed_neighbour_leaves_nothing_to_compare(curve: Curve) -> None:
    base, second, third = curve.points
    two = finding(replace(curve, points=(replace(base, soundness="veto"), second), largest_rise=None))
    assert two.title == "Cannot be told"
    assert "fewer than two sound checkpoints are neighbours" in two.sentence
    apart = (base, replace(second, soundness="veto"), third)
    assert finding(replace(curve, points=apart, largest_rise=None)).title == "Cannot be told"
    one_pair = (replace(base, soundness="veto"), second, third)
    assert finding(replace(curve, points=one_pair, largest_rise=None)).title == "No rise beyond chance"


def test_without_bits_or_attacks(curve: Curve) -> None:
    bare = replace(
        curve,
        headline_attack=None,
        largest_rise=None,
        points=tuple(
            replace(one, bits_per_member=missing(), capacity_used=missing(), attacks=(), auc_change=None)
            for one in curve.points
        ),
    )
    page = CURVE_RENDERERS["html"](bare)
    assert "<svg" not in page
    assert "no reference model was given" in page
    assert "no reference model was given" in CURVE_RENDERERS["md"](bare)


@pytest.mark.parametrize("names", [str, lambda step: f"{'long-name-' * 6}{step}"])
def test_the_terminal_table_fits(curve: Curve, names: Callable[[int], str]) -> None:
    shown = terminal(replace(curve, points=tuple(replace(one, label=names(one.step or 0)) for one in curve.points)))
    assert all(len(line.rstrip()) <= 80 for line in shown.splitlines())
    assert "0.660 to 0.740" in shown


def test_steps_that_do_not_rise_are_spaced_evenly(curve: Curve) -> None:
    mixed = replace(curve, points=(replace(curve.points[0], step=None), *curve.points[1:]))
    assert "in the order of the table" in CURVE_RENDERERS["html"](mixed)
    assert "step of training" in CURVE_RENDERERS["html"](curve)


def test_every_attack_is_a_row_and_checkpoints_stand_four_beside_each_other(curve: Curve) -> None:
    many = replace(curve, points=tuple(replace(curve.points[0], label=f"c{i}", step=i) for i in range(6)))
    page = CURVE_RENDERERS["html"](many)
    tables = re.findall(r'<table class="by-attack">.*?</table>', page, flags=re.DOTALL)
    assert [table.count('scope="col"') for table in tables] == [1 + 4, 1 + 2]
    assert all(table.count('scope="row"') == len(many.points[0].attacks) for table in tables)
    assert "Checkpoints 5 to 6 of 6" in tables[1]


def test_checkpoints_link_their_reports_and_nothing_else(curve: Curve) -> None:
    label = 'a b/../"><script>'
    named = replace(curve, points=(replace(curve.points[0], label=label), *curve.points[1:]))
    page = html_curve(named, reports=[label])
    links = set(re.findall(r'href="([^"#]*)"', page))
    assert links == {"a%20b%2F..%2F%22%3E%3Cscript%3E/report.html"}
    assert "<a href" not in CURVE_RENDERERS["html"](named)
