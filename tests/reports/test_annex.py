"""The evidence annex: figures by their keys, and no claim beyond what the audit holds."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.documents.checksums import write_checksums
from auditor.documents.estimate import Estimate
from auditor.documents.figures import catalogue
from auditor.documents.result import AuditResult
from reports import RENDERERS
from reports.annex import Found, Requirement, annex, to_html, to_markdown

GOLDEN = Path(__file__).parent / "golden"


def requirement(result: AuditResult, place: str) -> Requirement:
    return next(one for source in annex(result) for one in source.requirements if one.place == place)


def found(result: AuditResult) -> list[Found]:
    return [line for source in annex(result) for one in source.requirements for line in one.found]


@pytest.mark.parametrize(("name", "render"), [("annex.html", to_html), ("annex.md", to_markdown)])
def test_golden(name: str, render, full: AuditResult) -> None:
    text = render(full)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="\n")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_figure_stands_under_its_key(full: AuditResult) -> None:
    """The key of an estimate leads to it in result.json, and its value is the one that the annex writes."""
    document = catalogue(json.loads(RENDERERS["json"](full)))
    figures = {line.key: line.said for line in found(full) if not line.is_fact and not line.key.endswith("epsilon")}
    assert {"attacks.reference.auc", "extraction.rate_beyond", "risk.tails.0.01.mean_bits"} <= figures.keys()
    for key, said in figures.items():
        value = document[key][0].value
        if value is None:
            assert "not defined" in said
        else:
            written = float(re.sub(r"[,+%]", "", said.split()[0].replace("−", "-")))
            assert min(abs(written - value), abs(written - 100 * value)) <= 0.05 * max(abs(written), 0.1)


def test_facts_name_a_key_of_the_document(full: AuditResult) -> None:
    roots = json.loads(RENDERERS["json"](full)).keys()
    assert {line.key.partition(".")[0] for line in found(full)} <= roots


def test_all_of_paragraph_55_in_its_order(full: AuditResult) -> None:
    places = [one.place for one in annex(full)[0].requirements]
    assert places == [f"paragraph 55 ({i})" for i in ("i", "ii", "iii", "iv", "v")] + ["paragraph 46"]
    said = {place: requirement(full, place).shown for place in places}
    assert said["paragraph 55 (i)"] == "partly shown"  # attributes are not inferred
    assert said["paragraph 55 (iii)"] == "shown"
    assert {said[f"paragraph 55 ({i})"] for i in ("ii", "iv", "v")} == {said["paragraph 46"]} == {"not shown"}


def test_a_veto_leaves_facts_and_nothing_measured(results: dict[str, AuditResult]) -> None:
    result = results["full_veto"]
    assert requirement(result, "paragraph 55 (iii)").shown == "not shown"
    assert "diagnosis only" in requirement(result, "paragraph 55 (iii)").strength
    assert requirement(result, "annex XI, section 1, point 1(d)").shown == "shown"


def test_without_non_members_bits_alone_show_no_membership(results: dict[str, AuditResult]) -> None:
    one = requirement(results["no_non_members"], "paragraph 55 (i)")
    assert one.found
    assert one.shown == "not shown"


def test_without_extraction_nothing_is_shown_of_regurgitation(full: AuditResult) -> None:
    one = requirement(replace(full, extraction=None), "paragraph 55 (iii)")
    assert (one.shown, one.found) == ("not shown", ())


def test_undefined_estimates_are_no_evidence(full: AuditResult) -> None:
    assert full.extraction is not None
    none = {
        name: Estimate.undefined("too short", level=0.95)
        for name in full.extraction.__dataclass_fields__
        if isinstance(getattr(full.extraction, name), Estimate)
    }
    one = requirement(replace(full, extraction=replace(full.extraction, **none, confirmed=None)), "paragraph 55 (iii)")
    assert one.shown == "not shown"
    assert all("not defined: too short" in line.said for line in one.found)


@pytest.mark.parametrize("render", [to_html, to_markdown])
def test_what_is_second_hand_says_so(full: AuditResult, render) -> None:
    assert "check each cited paragraph in the original" in render(full)


def test_no_word_of_law_is_spoken(any_result: AuditResult) -> None:
    for text in (to_html(any_result), to_markdown(any_result)):
        assert not re.search(r"complian|complies|lawful|conformity|anonymous", text, re.IGNORECASE)


def test_hostile_strings_are_harmless(hostile: AuditResult) -> None:
    assert not re.search(r"<(script|img|iframe)", to_html(hostile))
    assert not re.search(r"<(script|img|iframe|b>)", to_markdown(hostile))


def test_no_text_and_no_id_of_a_sample(full: AuditResult) -> None:
    assert full.memorization is not None
    for sample in full.memorization.top_samples:
        for text in (to_html(full), to_markdown(full)):
            assert sample.sample_id not in text
            assert not sample.text or sample.text not in text


def audited(folder: Path, result: AuditResult, *, vouched: bool = True) -> Path:
    file = folder / "result.json"
    file.write_text(RENDERERS["json"](result), encoding="utf-8")
    (folder / "report.md").write_text("a report", encoding="utf-8")
    if vouched:
        write_checksums(folder, ["result.json", "report.md"])
    return file


def test_the_files_it_rests_on(tmp_path: Path, full: AuditResult, run) -> None:
    audited(tmp_path, full)
    assert run("report", tmp_path, "--format", "annex", "--out", tmp_path / "annex.md").code == 0
    text = (tmp_path / "annex.md").read_text(encoding="utf-8")
    assert "result.json" in text.rpartition("## Files")[2]
    assert text.count("| agrees |") == 2
    assert "Not signed" in text
    (tmp_path / "report.md").write_text("another report", encoding="utf-8")
    (tmp_path / "checksums.json.asc").write_text("a signature", encoding="utf-8")
    assert run("report", tmp_path, "--format", "annex", "--out", tmp_path / "annex.html").code == 0
    page = (tmp_path / "annex.html").read_text(encoding="utf-8")
    assert "DIFFERS" in page
    assert "checksums.json.asc, which may sign it: it was not checked here" in page


def test_a_changed_result_is_refused(tmp_path: Path, full: AuditResult, run) -> None:
    file = audited(tmp_path, full)
    file.write_text(RENDERERS["json"](replace(full, warnings=())), encoding="utf-8")
    ran = run("report", file, "--format", "annex")
    assert ran.code == 2
    assert "vouches for" in ran.err


def test_without_checksums_that_is_said(tmp_path: Path, full: AuditResult, run) -> None:
    ran = run("report", audited(tmp_path, full, vouched=False), "--format", "annex")
    assert ran.code == 0
    assert "No checksums.json beside it vouches" in ran.out


def test_other_endings_and_curves_are_refused(tmp_path: Path, full: AuditResult, run) -> None:
    file = audited(tmp_path, full)
    ran = run("report", file, "--format", "annex", "--out", tmp_path / "annex.pdf")
    assert ran.code == 2
    assert "annex.pdf: an annex is an .html or .md file" in ran.err
    assert not (tmp_path / "annex.pdf").exists()
    ran = run("report", tmp_path / "curve.json", "--format", "annex")
    assert ran.code == 2
    assert "an annex is of one" in ran.err
