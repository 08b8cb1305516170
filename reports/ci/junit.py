"""A gate's verdict as JUnit XML: one test case a gate, for every CI system that shows test results.

Figures are properties of the suite and lines of a failure: the common schema (Jenkins' ``junit-10.xsd``) knows no
properties of a test case.
"""

from collections.abc import Iterator
from xml.etree import ElementTree

from auditor.documents.gates import GateOutcome, GateReport
from reports.escaping import LINE, visible
from reports.tones import Tone

from . import phrases

__all__ = ["to_junit"]


def to_junit(report: GateReport) -> str:
    """Render the gates as JUnit XML.

    A gate that stops the run is a ``<failure>`` whose type is its outcome; a gate that does not pass and does not
    stop the run (waived, let through, or the run only warns) is ``<skipped>``. Characters that XML cannot hold are
    spelled out. Times are 0 and there is no time stamp: the same report gives the same bytes.
    """
    stopping = sum(phrases.blocks(gate, report) for gate in report.gates)
    others = sum(gate.outcome != "pass" for gate in report.gates) - stopping
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": f"auditor gate: {visible(report.subject)}",
            "package": "auditor",
            "id": "0",
            "tests": str(len(report.gates)),
            "failures": str(stopping),
            "errors": "0",
            "skipped": str(others),
            "time": "0",
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for gate in report.gates:
        _case(suite, gate, report)
    ElementTree.SubElement(suite, "system-out").text = "\n".join(_lines(report))
    ElementTree.SubElement(suite, "system-err").text = _notes(report, "warn")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _properties(report: GateReport) -> Iterator[tuple[str, str]]:
    yield from (
        ("verdict", phrases.verdict(report)),
        ("result", visible(report.result)),
        ("result_sha256", visible(report.result_sha256)),
        ("policy", visible(report.policy)),
        ("policy_sha256", visible(report.policy_sha256)),
        ("auditor_version", visible(report.auditor_version)),
    )
    if report.checksums is not None:
        yield "checksums", report.checksums
    for gate in report.gates:
        name = visible(gate.gate)
        yield f"{name} metric", visible(gate.metric)
        yield f"{name} value", phrases.figure(gate)
        yield f"{name} interval", phrases.shown_interval(gate)
        yield f"{name} limit", phrases.limit(gate)
        yield f"{name} interval made by", phrases.made(gate) or "—"
        yield f"{name} outcome", phrases.outcome(gate)
        if gate.waived_by is not None:
            yield f"{name} waiver", phrases.waiver(gate)


def _case(suite: ElementTree.Element, gate: GateOutcome, report: GateReport) -> None:
    names = {"classname": f"auditor.{report.kind}", "name": visible(gate.gate) or "gate", "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", names)
    if gate.outcome == "pass":
        return
    message = visible(phrases.sentence(gate), 4 * LINE)
    if not phrases.blocks(gate, report):
        ElementTree.SubElement(case, "skipped", {"message": message})
        return
    failure = ElementTree.SubElement(case, "failure", {"type": gate.outcome, "message": message})
    failure.text = "\n".join(_figures(gate))


def _figures(gate: GateOutcome) -> Iterator[str]:
    yield f"metric: {visible(gate.metric)}"
    yield f"value: {phrases.figure(gate)}"
    yield f"interval: {phrases.shown_interval(gate)}"
    if made := phrases.made(gate):
        yield f"made by: {made}"
    yield f"limit: {phrases.limit(gate)}"
    yield f"p-value: {phrases.p_shown(gate)}"
    if samples := phrases.sample_line(gate):
        yield samples
    yield phrases.remedies(gate.outcome, names_samples=bool(gate.sample_ids))


def _lines(report: GateReport) -> Iterator[str]:
    yield phrases.title(report)
    if trusted := phrases.soundness(report):
        yield trusted
    yield phrases.correction(report)
    if said := _notes(report, "info"):
        yield said


def _notes(report: GateReport, tone: Tone) -> str:
    return "\n".join(visible(note) for how, note in phrases.notes(report) if how == tone)
