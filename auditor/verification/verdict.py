"""The verification of a verdict without an audit: what can be told of one that stopped as soon as it was decided."""

from collections.abc import Iterator
from pathlib import Path

from ..config import ModelSpec
from ..documents.checksums import VERDICT, file_sha256, read_checksums
from ..documents.files import read_document
from ..documents.gates import GATES_VERSION, GateReport
from ..documents.verification import Claim, Verification
from ..engine.loading.models import open_model
from ..errors import AuditError, ConfigError, ResultError
from ..gates.policy import read_policy

__all__ = ["verify_verdict"]


def verify_verdict(file: Path, *, models: bool = True) -> Verification:
    """Hold the verdict of an audit that stopped early against its checksums, itself, its policy and its target.

    Its figures cannot be computed again: they are of part of the texts, and no table of samples was written.

    Parameters
    ----------
    file : Path
        ``gates.json``.
    models : bool
        Also hash the weights of the target, where they still lie where the audit found them.

    Raises
    ------
    ConfigError
        If it is a verdict on a whole audit.
    ResultError
        If it is no verdict, and no checksums say what it should be.
    """
    claims = [_file(file)]
    try:
        report = read_document(file, GateReport, version=GATES_VERSION, what="verdict of gates")
    except ResultError as error:
        if claims[0].status == "not_checked":
            raise
        return Verification(result=str(file), claims=(*claims, _claim("verdict", str(error))))
    if report.early_stop is None:
        raise ConfigError(f"{file} is a verdict on {report.result}, and audits are verified: give the audit's folder")
    claims += [_claim("verdict", None, "gates, outcomes and exit code agree with each other"), _policy(report)]
    claims += _target(report) if models else []
    rest = "figures of the gates, texts and order: not computed again, as no table of samples is written on the way"
    return Verification(result=str(file), claims=(*claims, _unknown("the rest", rest)))


def _claim(name: str, difference: str | None, fine: str = "") -> Claim:
    return Claim(name=name, status="differs" if difference else "matches", detail=difference or fine)


def _unknown(name: str, why: str) -> Claim:
    return Claim(name=name, status="not_checked", detail=why)


def _file(file: Path) -> Claim:
    """Compare the verdict with the checksums beside it."""
    try:
        stated = read_checksums(file.parent)
    except ResultError as error:
        return _claim("checksums.json", str(error))
    if stated is None or file.name != VERDICT:
        return _unknown(file.name, "no checksums.json beside it vouches for it")
    if file.name not in stated:
        return _claim("checksums.json", f"does not vouch for {file.name}")
    same = file_sha256(file) == stated[file.name]
    return _claim(file.name, None if same else "differs from checksums.json (SHA-256)", "SHA-256 as written")


def _policy(report: GateReport) -> Claim:
    """Compare the policy with the one of that path."""
    file = Path(report.policy)
    if not file.is_file():
        return _unknown("policy", f"not here: {report.policy}")
    try:
        same = read_policy(file).sha256 == report.policy_sha256
    except AuditError as error:
        return _claim("policy", str(error))
    return _claim("policy", None if same else f"{file} is another policy now (SHA-256)", "SHA-256 as judged by")


def _target(report: GateReport) -> Iterator[Claim]:
    """Hash the target again, if it is at hand; an adapter is named with its base, and has no path."""
    if not Path(report.result).exists():
        yield _unknown("target", f"not a file or folder here: {report.result}")
        return
    try:
        weights = open_model(ModelSpec(path=report.result), fetch=False).weights_sha256
    except AuditError as error:
        yield _unknown("target", str(error))
        return
    same = weights == report.result_sha256
    yield _claim(
        "target", None if same else "other weights than were audited (SHA-256)", "weights as audited (SHA-256)"
    )
