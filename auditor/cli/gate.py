"""``auditor gate``: a result held against a policy; the exit code says whether it keeps to it."""

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..errors import ConfigError, ResultError
from .kinds import PATH
from .options import printing_options
from .output import check_files, detail, make_console, print_document, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..documents.gates import GateReport
    from ..gates.policy import Policy
    from ..gates.subject import Judged

__all__ = ["checked_policy", "deliver_verdict", "gate", "judge_today", "print_verdict"]

DEFAULT_POLICY = Path("policy.toml")
STDIN = Path("stdin")
FORMATS = ("junit", "sarif", "summary", "badge", "model_card")


@cloup.command(short_help="Hold a result against a policy.")
@click.argument("results", metavar="[RESULT]", type=click.Path(path_type=Path, allow_dash=True), nargs=-1)
@click.option("--policy", "policy_file", type=PATH, metavar="FILE",
              help="Limits, from a TOML file.  [default: a built-in policy]")  # fmt: skip
@click.option("--baseline", type=PATH, metavar="RESULT", help="An earlier audit to compare with, for gates on change.*")
@printing_options("the verdict as JSON")
@click.option("--junit", type=PATH, metavar="FILE", help="Write JUnit XML: a test case a gate.")
@click.option("--sarif", type=PATH, metavar="FILE", help="Write SARIF 2.1.0.")
@click.option("--summary", type=PATH, metavar="FILE",
              help="Write a job summary in Markdown; with $GITHUB_STEP_SUMMARY set it is added there too.")  # fmt: skip
@click.option("--annotations", is_flag=True, help="Print annotations for GitHub (with --json to stderr).")
@click.option("--badge", type=PATH, metavar="FILE", help="Write a badge: .svg or .json.")
@click.option("--model-card", type=PATH, metavar="FILE", help="Write a section of a model card.")
@click.option("--push-model-card", "push_to", metavar="OWNER/NAME",
              help="Put it into the card of this repository on the hub; nothing else uses a network.")  # fmt: skip
@click.option("--create-pr", is_flag=True, help="With --push-model-card: as a pull request.")
@click.option("--warn-only", is_flag=True, help="Exit with 0 whatever the verdict; all else stays the same.")
@click.option("--list", "list_paths", is_flag=True, help="List every figure of RESULT with its path, and stop.")
@click.option("--check-policy", is_flag=True, help="Check the policies named instead of a RESULT, and stop.")
@click.option("--init", is_flag=True, help="Write the built-in policy, commented, to --policy (or policy.toml).")
def gate(
    results: tuple[Path, ...],
    policy_file: Path | None,
    baseline: Path | None,
    as_json: bool,
    annotations: bool,
    push_to: str | None,
    create_pr: bool,
    warn_only: bool,
    list_paths: bool,
    check_policy: bool,
    init: bool,
    **outputs: Path | None,
) -> int:
    """Hold a RESULT against a policy: exit code 0 passed, 1 a gate stops it, 2 anything else.

    RESULT is the result.json of an audit or its folder, what `auditor predict --json` printed, the comparison.json of
    two audits, or a canaries.json or secrets.json, which have a built-in policy of their own; - reads it from
    stdin. The gates.json of `auditor audit --policy` was judged already: it is told again, in any format. A result that
    its checksums.json contradicts is refused; one without says so.
    """
    if create_pr and push_to is None:
        raise ConfigError("--create-pr is for --push-model-card: name the repository on the hub, as owner/name")
    if check_policy:
        return _check_policies(results)
    if len(results) > 1:
        raise ConfigError(f"one RESULT at a time, got {len(results)}")
    result = results[0] if results else None
    if init:
        return _init(result, policy_file or DEFAULT_POLICY)
    if result is None:
        raise ConfigError("no RESULT given: a result.json or its folder (or --init, to write a policy)")
    badge = outputs["badge"]
    if badge is not None and badge.suffix.lower() not in (".svg", ".json"):
        raise ConfigError(f"--badge {badge}: a badge is an .svg or a .json file")
    check_files(*outputs.values())
    from ..gates.policy import built_in_policy, read_policy

    data, file = _read(result)
    if (earlier := _earlier_verdict(data, file, warn_only)) is not None:
        if policy_file is not None or baseline is not None or list_paths:
            raise ConfigError(f"{file} was judged already: --policy, --baseline and --list are for a result")
        report = earlier
    else:
        judged = _judged(data, file, baseline)
        policy = built_in_policy(judged.part) if policy_file is None else read_policy(policy_file)
        if list_paths:
            return _list(judged)
        report = judge_today(policy, judged, warn_only=warn_only)
    print_verdict(report, as_json=as_json)
    deliver_verdict(report, outputs, annotations=annotations, as_json=as_json)
    if push_to is not None:
        _push(report, push_to, create_pr=create_pr)
    return report.exit_code


def _check_policies(files: tuple[Path, ...]) -> int:
    """Read and check policies, and warn of every waiver that has ended."""
    if not files:
        raise ConfigError("--check-policy needs the policies: auditor gate --check-policy policy.toml")
    console, today = make_console(stderr=True), datetime.now(UTC).date()
    for file in files:
        policy = checked_policy(file)
        for waiver in policy.waivers:
            if not waiver.covers(waiver.gate, today):
                said = f"Warning: policy {file}: the waiver of {waiver.gate!r} ended on {waiver.expires}"
                console.print(said, markup=False, soft_wrap=True)
    said = "1 policy is good" if len(files) == 1 else f"{len(files)} policies are good"
    console.print(said, markup=False)
    return 0


def checked_policy(file: Path) -> "Policy":
    """Read a policy, and check that every gate names a figure that some document has."""
    from ..gates.policy import check_metric, read_policy

    policy = read_policy(file)
    for one in policy.gates:
        check_metric(one, {}, source=policy.source)
    return policy


def _init(result: Path | None, file: Path) -> int:
    """Write the built-in policy; never over a file that is there."""
    from ..gates.policy import built_in_text

    if result is not None:
        raise ConfigError(f"--init writes a policy and judges nothing: leave {result} out")
    try:
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(built_in_text())
    except FileExistsError as error:
        raise ConfigError(f"{file} exists already; --init overwrites nothing, name another file (--policy)") from error
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
    make_console(stderr=True).print(f"Policy: {file}", markup=False, soft_wrap=True)
    return 0


def _read(result: Path) -> tuple[bytes, Path]:
    """Read the document; return it with where it was found."""
    from ..gates.subject import read_bytes

    return (sys.stdin.buffer.read(), STDIN) if str(result) == "-" else read_bytes(result)


def _earlier_verdict(data: bytes, file: Path, warn_only: bool) -> "GateReport | None":
    """Read a verdict that was given before; None if this is a document that is still to be judged."""
    import json

    from ..documents.checksums import is_vouched_for
    from ..documents.files import from_text
    from ..documents.gates import GATES_VERSION, GateReport

    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(plain, dict) or not {"gates", "policy_sha256"} <= plain.keys():
        return None
    try:
        report = from_text(data.decode("utf-8"), GateReport, version=GATES_VERSION, what="verdict of gates")
    except ResultError as error:
        raise ResultError(f"cannot read {file}: {error}") from error
    if report.early_stop is None:
        _refuse_stale(report, file)
    elif file is not STDIN:
        report = replace(report, checksums="matched" if is_vouched_for(file) else "absent")
    return replace(report, warn_only=True, exit_code=0) if warn_only else report


def _refuse_stale(report: "GateReport", file: Path) -> None:
    """Refuse a verdict on another document than the one of that name beside it."""
    from ..documents.checksums import file_sha256

    judged = file.parent / (Path(report.result).name or "result.json")
    if file is not STDIN and judged.is_file() and file_sha256(judged) != report.result_sha256:
        raise ResultError(
            f"{file} is a verdict on another {judged.name} than the one beside it (SHA-256): judge that again, or move "
            "the verdict to a folder of its own"
        )


def _judged(data: bytes, file: Path, baseline: Path | None) -> "Judged":
    """Check the document, and compare it with its baseline if there is one."""
    from ..gates.subject import read_judged, with_changes, with_checksums

    if file is STDIN and baseline is not None:
        raise ConfigError("--baseline needs the samples of both audits: give RESULT as a folder, not as -")
    judged = read_judged(data, str(file))
    if file is not STDIN:
        judged = with_checksums(judged, file)
    if baseline is None:
        return judged
    if judged.kind != "audit":
        raise ConfigError(f"--baseline compares two audits, and {file} is a {judged.kind}")
    from ..comparison.compare import compare_audits

    return with_changes(judged, compare_audits(baseline, file.parent))


def _list(judged: "Judged") -> int:
    from reports.gates import figure_lines

    for line in figure_lines(judged.figures, aligned=sys.stdout.isatty()):
        click.echo(line)
    return 0


def judge_today(policy: "Policy", judged: "Judged", *, warn_only: bool = False) -> "GateReport":
    """Hold a document against a policy, with the waivers of today."""
    from ..gates.judge import judge

    return judge(policy, judged, today=datetime.now(UTC).date(), warn_only=warn_only)


def print_verdict(report: "GateReport", *, as_json: bool, stderr: bool = False) -> None:
    """Print a verdict for people, or as a document and nothing else."""
    if as_json:
        from ..documents.files import to_text

        print_document(to_text(report))
        return
    from reports.gates import last_line, render_gates

    shown = last_line(report) if detail() == "quiet" else render_gates(report, verbose=detail() == "verbose")
    make_console(stderr=stderr, always=True).print(shown, soft_wrap=True)


def deliver_verdict(
    report: "GateReport", outputs: "Mapping[str, Path | None]", *, annotations: bool, as_json: bool
) -> None:
    """Write every format that was asked for; what cannot be written is an error, never a verdict."""
    from reports import GATE_RENDERERS

    for form in FORMATS:
        file = outputs.get(form)
        if file is not None:
            name = f"badge_{file.suffix.lower().removeprefix('.')}" if form == "badge" else form
            write(file, GATE_RENDERERS[name](report))
    if annotations:
        click.echo(GATE_RENDERERS["annotations"](report).encode(), nl=False, err=as_json)  # commands of ours
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        try:
            with open(page, "a", encoding="utf-8", newline="\n") as stream:
                stream.write(GATE_RENDERERS["summary"](report))
        except OSError as error:
            raise ConfigError(f"cannot add to $GITHUB_STEP_SUMMARY ({page}): {error.strerror}") from error


def _push(report: "GateReport", repo_id: str, *, create_pr: bool) -> None:
    """Put the section into a model card on the hub, and say where it is."""
    from reports.ci.model_card import model_card_metadata, model_card_section
    from reports.escaping import visible

    from . import hub

    section, metadata = model_card_section(report), model_card_metadata(report)
    address = hub.push_model_card(section, metadata, repo_id=repo_id, create_pr=create_pr)
    make_console(stderr=True).print(f"Model card: {visible(address)}", markup=False, soft_wrap=True)
