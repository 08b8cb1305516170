"""A gate's verdict as a badge: a picture that needs nothing else, or the figures for one that shields.io draws."""

import json
from xml.etree import ElementTree

from auditor.documents.gates import GateReport

from . import phrases

__all__ = ["to_badge_json", "to_badge_svg"]

_GREEN, _AMBER, _RED, _GREY = "1a7f37", "9a6700", "cf222e", "57606a"  # white text on each has a contrast above 4.5
_LABEL = "3d444d"
_NARROW, _WIDE = frozenset("fijlrt1,.:|' ()"), frozenset("mwMW%")


def _color(report: GateReport) -> str:
    if not report.gates:
        return _GREY
    if any(gate.outcome == "fail" and gate.stops for gate in report.gates):
        return _RED
    return _GREEN if all(gate.outcome == "pass" for gate in report.gates) else _AMBER


def to_badge_json(report: GateReport) -> str:
    """Render the verdict in the format of a shields.io endpoint."""
    badge = {
        "schemaVersion": 1,
        "label": phrases.LABELS[report.kind],
        "message": phrases.verdict(report),
        "color": _color(report),
    }
    return json.dumps(badge, indent=2) + "\n"


def to_badge_svg(report: GateReport) -> str:
    """Render the verdict as a self-contained SVG with a title for those who do not see it."""
    texts = (phrases.LABELS[report.kind], phrases.verdict(report))
    widths = tuple(_width(text) + 12 for text in texts)
    said = f"{texts[0]} | {texts[1]}"
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(sum(widths)),
            "height": "20",
            "role": "img",
            "aria-label": said,
        },
    )
    ElementTree.SubElement(root, "title").text = said
    clip = ElementTree.SubElement(root, "clipPath", {"id": "round"})
    ElementTree.SubElement(clip, "rect", {"width": str(sum(widths)), "height": "20", "rx": "3"})
    boxes = ElementTree.SubElement(root, "g", {"clip-path": "url(#round)"})
    words = ElementTree.SubElement(
        root,
        "g",
        {
            "fill": "#fff",
            "text-anchor": "middle",
            "font-family": "Verdana,Geneva,DejaVu Sans,sans-serif",
            "font-size": "11",
        },
    )
    left = 0
    for text, width, color in zip(texts, widths, (_LABEL, _color(report)), strict=True):
        ElementTree.SubElement(
            boxes, "rect", {"x": str(left), "width": str(width), "height": "20", "fill": f"#{color}"}
        )
        place = {"x": f"{left + width / 2:g}", "y": "14", "textLength": str(width - 12)}
        ElementTree.SubElement(words, "text", place).text = text
        left += width
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _width(text: str) -> int:
    """Estimate the width in pixels of a text in 11 px Verdana; ``textLength`` makes it exact."""
    return round(sum(4.2 if char in _NARROW else 10.2 if char in _WIDE else 7.0 for char in text))
