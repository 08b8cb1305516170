"""A gate's verdict as SARIF 2.1.0: a rule a gate, a result for each gate and each sample that someone must look at."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from auditor.documents.gates import GateOutcome, GateReport
from reports.escaping import ID, LINE, visible
from reports.to_markdown import escaped
from reports.tones import Tone

from . import phrases

__all__ = ["to_sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(report: GateReport) -> str:
    """Render the gates as SARIF 2.1.0.

    Every gate is a rule. Every gate that does not pass is a result, and so is every sample it names: an error if it
    breaks the build, else a warning; a waiver is an external suppression. Locations are the gate's line of the policy
    (of the built-in one the result document) and the sample id, never a text. Fingerprints depend on the rule, the
    subject and the sample alone, so that a finding keeps its identity from run to run.

    References
    ----------
    .. [1] OASIS, *Static Analysis Results Interchange Format (SARIF) Version 2.1.0*, 2023.
    """
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(report)]}
    return json.dumps(log, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _run(report: GateReport) -> dict[str, Any]:
    rules = [_rule(gate, report) for gate in report.gates]
    driver = {"name": "auditor", "version": visible(report.auditor_version) or "unknown", "rules": rules}
    digest = {"hashes": {"sha-256": visible(report.result_sha256)}} if report.result_sha256 else {}
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"auditor/{report.kind}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.exit_code,
                "toolExecutionNotifications": [
                    {"level": "note" if tone == "info" else "warning", "message": _message(note)}
                    for tone, note in (*phrases.notes(report), *_of_passes(report))
                ],
            }
        ],
        "artifacts": [{"location": {"uri": _uri(report.result)}, "roles": ["analysisTarget"], **digest}],
        "results": [
            result
            for index, gate in enumerate(report.gates)
            if gate.outcome != "pass"
            for result in _results(index, gate, report)
        ],
        "properties": _facts(report),
    }


def _of_passes(report: GateReport) -> Iterator[tuple[Tone, str]]:
    """Say of gates that pass, which are no results, what their interval cannot know of."""
    for gate in report.gates:
        if gate.outcome == "pass" and (gate.unseen_below is not None or gate.caveat):
            yield "info", f"{visible(gate.gate)} passes: {visible(phrases.reason(gate))}"


def _facts(report: GateReport) -> dict[str, Any]:
    return {
        "subject": visible(report.subject),
        "passed": report.passed,
        "warnOnly": report.warn_only,
        "soundness": report.soundness,
        "correction": phrases.correction(report),
        "policy": visible(report.policy),
        "policySha256": visible(report.policy_sha256),
        **({} if report.checksums is None else {"checksums": report.checksums}),
    }


def _rule(gate: GateOutcome, report: GateReport) -> dict[str, Any]:
    remedy = phrases.remedies(*phrases.REMEDIES, names_samples=bool(gate.sample_ids))
    what = f"{visible(gate.description)} ({phrases.LABELS[report.kind]}); allowed: {phrases.limit(gate)}."
    return {
        "id": _rule_id(gate),
        "shortDescription": _message(visible(gate.description) or "A limit of the policy"),
        "fullDescription": _message(f"{what} Metric: {visible(gate.metric)}."),
        "help": {
            "text": _plain(f"{what} {remedy}"),
            "markdown": f"**{escaped(what)}**\n\n{escaped(remedy, 2 * LINE)}",
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["privacy", "memorization"]},
    }


def _results(index: int, gate: GateOutcome, report: GateReport) -> list[dict[str, Any]]:
    name = visible(gate.gate)
    metric = visible(gate.metric)
    findings = [(phrases.sentence(gate), {"name": metric, "fullyQualifiedName": metric, "kind": "property"}, "")]
    for sample in gate.sample_ids:
        shown = visible(sample, ID)
        said = f"Sample {shown} is one to look at for the gate {name}: {visible(gate.description)}."
        findings.append((said, {"name": shown, "fullyQualifiedName": visible(sample, LINE), "kind": "sample"}, sample))
    common = {
        "ruleId": _rule_id(gate),
        "ruleIndex": index,
        "level": "error" if phrases.blocks(gate, report) else "warning",
        "suppressions": _suppressions(gate),
    }
    return [
        {
            **common,
            "message": _message(said),
            "locations": [_location(gate, report, where)],
            "partialFingerprints": _fingerprints(gate, report, sample),
            **({} if sample else {"properties": _figures(gate)}),
        }
        for said, where, sample in findings
    ]


def _location(gate: GateOutcome, report: GateReport, where: dict[str, str]) -> dict[str, Any]:
    """Point at the gate's line of the policy, where one would act; without one at the document that was judged."""
    judged = {"uri": _uri(report.result), "index": 0}
    artifact = judged if gate.policy_line is None else {"uri": _uri(report.policy)}
    place = {"artifactLocation": artifact, "region": {"startLine": gate.policy_line or 1}}
    return {"physicalLocation": place, "logicalLocations": [where]}


def _suppressions(gate: GateOutcome) -> list[dict[str, str]]:
    covered = phrases.waiver(gate)
    return [{"kind": "external", "status": "accepted", "justification": covered}] if covered else []


def _figures(gate: GateOutcome) -> dict[str, Any]:
    return {
        "metric": visible(gate.metric),
        "outcome": gate.outcome,
        "value": gate.value,
        "low": gate.low,
        "high": gate.high,
        "level": gate.level,
        "unit": visible(gate.unit),
        "least": gate.least,
        "most": gate.most,
        "method": visible(gate.method),
        "unseenBelow": gate.unseen_below,
        "caveat": None if gate.caveat is None else visible(gate.caveat),
        "nMembers": gate.n_members,
        "nNonMembers": gate.n_non_members,
        "pValue": gate.p_value,
        "pValueHolm": gate.p_value_holm,
        "stops": gate.stops,
    }


def _fingerprints(gate: GateOutcome, report: GateReport, sample: str) -> dict[str, str]:
    parts = (report.kind, report.subject, gate.gate, gate.metric, sample)
    # One by one and with their lengths, so that no two lists of parts are the same bytes.
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    # GitHub reads this name alone, and would otherwise hash the line, which is the same for all results.
    return {"primaryLocationLineHash": digest.hexdigest()}


def _rule_id(gate: GateOutcome) -> str:
    return visible(gate.gate) or "gate"


def _uri(path: str) -> str:
    """Write a path as a relative URI; of one that leads outside the checkout, the name alone."""
    posix = PureWindowsPath(path).as_posix() if "\\" in path or PureWindowsPath(path).drive else path
    parts = PurePosixPath(posix)
    outside = parts.is_absolute() or PureWindowsPath(path).drive or ".." in parts.parts
    name = parts.name if outside else parts.as_posix()
    return quote(visible(name)) if name not in ("", ".", "..") else "result.json"


def _plain(text: str) -> str:
    """Escape what SARIF reads in a message: braces are placeholders, ``[x](y)`` is a link (3.11.5, 3.11.6)."""
    return visible(text, 4 * LINE).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _message(text: str) -> dict[str, str]:
    return {"text": _plain(text)}
