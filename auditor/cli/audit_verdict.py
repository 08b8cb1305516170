"""The verdict of a policy on an audit: when it is done, or as soon as every gate is decided."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .gate import deliver_verdict, judge_today, print_verdict
from .output import check_files, make_console, make_folder, quiet_libraries, write

if TYPE_CHECKING:
    from ..config import AuditConfig
    from ..documents.gates import GateReport
    from ..gates.policy import Policy

__all__ = ["judge_audit", "refuse_beside_audit", "run_until_decided"]


def refuse_beside_audit(out: Path) -> None:
    """Refuse to write a verdict of part of the texts beside a full audit: readers of the folder would take that one."""
    for name in ("result.json", "curve.json"):
        if (out / name).exists():
            raise ConfigError(
                f"--out {out} holds a full audit ({name}), and --until-decided writes a verdict without one: name "
                "another folder, or remove the audit"
            )


def judge_audit(policy: "Policy", out: Path, *, as_json: bool) -> int:
    """Judge an audit that was just written; on stdout unless the result itself was printed there."""
    from ..gates.subject import read_judged, with_checksums

    file = out / "result.json"
    report = judge_today(policy, with_checksums(read_judged(file.read_bytes(), str(file)), file))
    return _tell(report, out, stderr=as_json, as_json=False)


def run_until_decided(config: "AuditConfig", policy: "Policy", out: Path, *, as_json: bool) -> int:
    """Score until every gate is decided, write and print the verdict."""
    from ..phases import UNTIL_DECIDED
    from .progress import phases

    with phases(make_console(stderr=True), UNTIL_DECIDED) as shown:
        quiet_libraries()
        from ..auditing.until_decided import audit_until_decided
        from ..documents.checksums import CHECKSUMS, VERDICT

        make_folder(out, folders=("scores",))
        check_files(out / VERDICT, out / CHECKSUMS)
        report = audit_until_decided(
            config,
            policy,
            scores_folder=out / "scores",
            today=datetime.now(UTC).date(),
            on_progress=shown.scored,
            on_phase=shown.at,
        )
    return _tell(report, out, stderr=False, as_json=as_json)


def _tell(report: "GateReport", out: Path, *, stderr: bool, as_json: bool) -> int:
    """Write a verdict, with checksums if it is all that the audit wrote, and print it; return the exit code."""
    from ..documents.checksums import VERDICT, write_checksums
    from ..documents.files import to_text

    write(out / VERDICT, to_text(report))
    if report.early_stop is not None:
        write_checksums(out, [VERDICT])
    print_verdict(report, as_json=as_json, stderr=stderr)
    deliver_verdict(report, {}, annotations=False, as_json=as_json)
    return report.exit_code
