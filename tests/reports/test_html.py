"""The HTML report: one safe, self-contained, accessible document, whatever the data holds."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from auditor.documents.estimate import Histogram, RocCurve
from auditor.documents.result import AuditResult
from reports import RENDERERS

to_html = RENDERERS["html"]

VOID = {"meta", "br", "rect", "circle", "line", "path"}
ATTRIBUTES = {
    *("aria-hidden", "aria-label", "aria-labelledby", "charset", "class", "colspan", "content", "cx", "cy", "d"),
    *(
        "data-decades",
        "data-label",
        "data-plot",
        "dir",
        "dx",
        "dy",
        "height",
        "href",
        "http-equiv",
        "id",
        "lang",
        "name",
        "open",
    ),
    *(
        "points",
        "preserveaspectratio",
        "r",
        "role",
        "rx",
        "scope",
        "tabindex",
        "text-anchor",
        "vector-effect",
        "viewbox",
    ),
    *("width", "x", "x1", "x2", "y", "y1", "y2"),
}


class Page(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def outline(self) -> list[tuple[str, tuple[str, ...]]]:
        """Elements and attribute names, without the marks of replaced characters."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements if attributes.get("class") != "esc"]


def test_every_situation_renders_well_formed(any_result: AuditResult) -> None:
    page = Page(to_html(any_result))
    assert page.open == []
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "iframe", "link", "object", "form"})
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= ATTRIBUTES


def test_nothing_is_loaded(any_result: AuditResult) -> None:
    source = to_html(any_result)
    page = Page(source)
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert links
    assert all(link is not None and link[0] == "#" and link[1:] in ids for link in links)
    assert len(ids) == len(set(ids))
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = [attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_no_unseen_character_survives(any_result: AuditResult) -> None:
    source = to_html(any_result)
    assert source.encode("utf-8")
    assert {char for char in source if not char.isprintable()} <= {"\n"}


def test_hostile_text_changes_no_element_and_no_attribute(
    poisoned: Callable[[str], AuditResult], hostile_text: str
) -> None:
    harmless, attacked = Page(to_html(poisoned("a" * len(hostile_text)))), Page(to_html(poisoned(hostile_text)))
    assert attacked.outline == harmless.outline
    values = [value or "" for _, attributes in attacked.elements for value in attributes.values()]
    assert not any("alert" in value or "evil" in value for value in values)


def test_replaced_characters_are_marked_and_lengths_are_told(hostile: AuditResult, hostile_text: str) -> None:
    source = to_html(hostile)
    assert r'<span class="esc">\u202e</span>' in source
    assert r'<span class="esc">\x00\x1b</span>' in source
    n = 2 * len(hostile_text) + 1_000_000
    assert f"{n - 1200:,} characters more ({n:,} in all)" in source
    assert len(source) < 400_000


def test_figures_speak(normal: AuditResult) -> None:
    source = to_html(normal)
    for figure in re.findall(r'<svg[^>]*role="img".*?</svg>', source, flags=re.DOTALL):
        ids = re.search(r'aria-labelledby="(\S+) (\S+)"', figure)
        assert ids is not None
        assert f'<title id="{ids[1]}">' in figure
        assert f'<desc id="{ids[2]}">' in figure
    assert source.count('role="img"') == 5


def test_no_text_of_a_sample_unless_it_was_asked_for(normal: AuditResult) -> None:
    assert "contains no text that was audited" in to_html(normal)
    assert normal.memorization is not None
    first, *rest = normal.memorization.top_samples
    memory = replace(normal.memorization, top_samples=(replace(first, text="Ada\nLovelace"), *rest))
    source = to_html(replace(normal, memorization=memory))
    assert 'dir="auto">Ada\nLovelace</div>' in source
    assert "contains texts that were audited" in source


def test_undefined_figures_say_why(normal: AuditResult) -> None:
    page = Page(to_html(normal))
    assert "Not defined: an FPR of 0.001 needs at least 1,000 non-members, there are 480." in page.text


def test_an_inverted_attack_is_flagged_and_not_flipped(normal: AuditResult) -> None:
    page = Page(to_html(normal))
    assert "0.421" in page.text
    assert "inverted" in page.text
    assert "0.579" not in page.text


@pytest.mark.parametrize(
    "bars",
    [
        Histogram(unit="bits", edges=(0.0, 0.0), members=(3,), non_members=(2,)),
        Histogram(unit="bits", edges=(-0.5, 0.5), members=(0,), non_members=(0,)),
        Histogram(unit="bits", edges=(1e6, 2e6, 3e6), members=(1, 0), non_members=(0, 1)),
    ],
)
def test_odd_histograms_render(normal: AuditResult, bars: Histogram) -> None:
    assert normal.memorization is not None
    memory = replace(normal.memorization, signed_bits_histogram=bars)
    assert Page(to_html(replace(normal, memorization=memory))).open == []


def test_coarse_curves_render(normal: AuditResult) -> None:
    attack = replace(normal.attacks[1], roc=RocCurve(fpr=(0.0, 0.0, 1.0), tpr=(0.0, 1.0, 1.0)))
    assert Page(to_html(replace(normal, attacks=(attack,)))).open == []
    assert Page(to_html(replace(normal, attacks=()))).open == []
