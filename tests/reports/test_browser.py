"""Reports in a real browser: used as a reader would, looked at by axe, and printed on A4."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.documents.checksums import file_sha256
from auditor.documents.result import AuditResult, MemorizationResult
from auditor.documents.sample_table import SampleTable
from helpers_browser import open_browser
from reports import RENDERERS, html_report
from reports.annex import to_html as annex_page

pytestmark = pytest.mark.slow

PASSAGE = ("Ada ", "Lovelace", ", card ", "12", "34", " 5678", ".\n")
WIDTHS = (1400, 800, 420)
CUT = """() => [...document.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect();
  const isCut = box.right > document.documentElement.clientWidth + 1 || box.left < -1;
  return box.width && !one.closest(".scroll, svg") && isCut;
}).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


def memory(result: AuditResult) -> MemorizationResult:
    assert result.memorization is not None
    return result.memorization


def with_texts(result: AuditResult) -> AuditResult:
    """The same audit, as `--include-text` would have written it."""
    top = tuple(
        replace(
            one,
            text="".join(PASSAGE) * 9,
            pieces=PASSAGE * 9,
            piece_bits=(0.1, 1.2, -1.4, 9.1, 4.2, 2.6, 0.0) * 9,
            bits_by_position=(1, 30, 9),
            posterior=0.99,
            n_copies=4,
            group="people",
            tokens_before=0,
            tokens_after=0,
        )
        for one in memory(result).top_samples
    )
    return replace(result, memorization=replace(memory(result), top_samples=top))


def samples_file(folder: Path, n: int = 40) -> Path:
    """A table of samples, the odd ones members, with bits from -10 up."""
    bits = np.arange(n) - 10.0
    table = SampleTable(
        sample_id=tuple(f"text-{i:03d}" for i in range(n)), text_sha256=("0" * 64,) * n,
        is_member=np.arange(n) % 2 == 1, group=tuple(f"unit {i % 4}" for i in range(n)), n_tokens=np.full(n, 8),
        n_bytes=np.full(n, 30), target_bits=bits + 50, reference_bits=bits + 50, signed_bits=bits,
        memorized_bits=np.maximum(bits, 0), scores={"reference": bits, "loss": -bits},
    )  # fmt: skip
    table.write_parquet(folder / "samples.parquet")
    return folder / "samples.parquet"


@pytest.fixture
def interactive(browser: Any, results: dict[str, AuditResult], tmp_path: Path) -> Iterator[Any]:
    """The page of the interactive report; what it complains about is in ``page.complaints``."""
    file = samples_file(tmp_path)
    result = replace(
        results["normal"], provenance=replace(results["normal"].provenance, samples_sha256=file_sha256(file))
    )
    (tmp_path / "report.html").write_text(html_report(result, interactive=True, samples=file), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    yield page
    assert page.complaints == []
    page.close()


def test_the_table_sorts_and_filters(interactive: Any) -> None:
    def first() -> str:
        return interactive.locator("#all-samples tbody tr:visible td").first.inner_text()

    assert first() == "text-039"
    heading = interactive.locator("#all-samples th", has_text="Bits").first
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert (first(), heading.get_attribute("aria-sort")) == ("text-000", "ascending")
    interactive.get_by_role("searchbox").fill("Unit 3")
    assert interactive.locator("#all-samples tbody tr:visible").count() == 10
    assert interactive.locator(".filter output").inner_text() == "10 of 40"
    interactive.get_by_role("searchbox").fill("")
    assert interactive.locator("#all-samples tbody tr:visible").count() == 40


@pytest.mark.parametrize("plot", ["roc", "roc-log"])
def test_curves_can_be_read_by_pointer_and_by_keys(
    interactive: Any, results: dict[str, AuditResult], plot: str
) -> None:
    figure = interactive.locator(f"svg.{plot}")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    interactive.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    said = interactive.locator(f"svg.{plot} + .readout").inner_text()
    at, rates = said.removeprefix("At ").split("% false positives: ")
    fpr = float(at) / 100
    reference = next(one for one in results["normal"].attacks if one.attack == "reference").roc
    assert reference is not None
    stated = float(rates.split("reference ")[1].split("%")[0]) / 100
    assert stated == pytest.approx(float(np.interp(fpr, reference.fpr, reference.tpr)), abs=0.01)
    assert fpr == pytest.approx(0.5 if plot == "roc" else 10**-1.5, rel=0.05)
    figure.focus()
    interactive.keyboard.press("ArrowRight")
    assert interactive.locator(f"svg.{plot} + .readout").inner_text() != said


def test_no_other_script_runs(browser: Any, results: dict[str, AuditResult], tmp_path: Path) -> None:
    source = html_report(results["normal"], interactive=True)
    (tmp_path / "report.html").write_text(
        source.replace("</main>", "<script>document.title = 'taken'</script></main>"), encoding="utf-8"
    )
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title().startswith("Memorization audit")
    assert page.locator("svg.roc + .readout").count() == 1
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["normal", "veto", "none", "full", "texts", "summary", "annex"])
def test_axe_finds_nothing_and_nothing_is_cut(
    browser: Any, results: dict[str, AuditResult], tmp_path: Path, name: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    audit = results["full" if name in ("texts", "summary", "annex") else name]
    drawn = {"summary": RENDERERS["summary"], "annex": annex_page, "texts": lambda one: html_report(with_texts(one))}
    source = drawn.get(name, html_report)(audit)
    (tmp_path / "report.html").write_text(source, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
    page.close()


@pytest.mark.parametrize(
    ("name", "most"),
    [("normal", 9), ("veto", 9), ("none", 8), ("full", 14), ("texts", 16), ("summary", 2), ("veto summary", 1)],
)
def test_a4_holds_everything_but_the_ledger(
    browser: Any, results: dict[str, AuditResult], tmp_path: Path, name: str, most: int
) -> None:
    pypdf = pytest.importorskip("pypdf", reason="needs pypdf")
    audit = results[{"texts": "full", "summary": "full", "veto summary": "veto"}.get(name, name)]
    short = name.endswith("summary")
    source = RENDERERS["summary"](audit) if short else html_report(with_texts(audit) if name == "texts" else audit)
    (tmp_path / "report.html").write_text(source, encoding="utf-8")
    page = browser.new_page(viewport={"width": 673, "height": 1000})  # A4 less 16 mm on both sides, at 96 dpi
    page.goto((tmp_path / "report.html").as_uri())
    printed = pypdf.PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True)))
    assert len(printed.pages) <= most
    text = " ".join(one.extract_text() for one in printed.pages)
    assert "Resolved configuration" not in text
    assert "Level Method" not in text
    if not short:
        assert "How to read this" in text
        assert "record-04711" in text or name in ("none", "full")
    page.emulate_media(media="print")
    assert page.evaluate(CUT.replace(".scroll, svg", "svg")) == []
    page.close()
