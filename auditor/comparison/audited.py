"""A finished audit's folder: its document and its samples, read if they belong together."""

from dataclasses import dataclass
from pathlib import Path

from ..documents.checksums import file_sha256, is_vouched_for
from ..documents.files import read_document
from ..documents.result import SCHEMA_VERSION, AuditResult
from ..documents.sample_table import SampleTable, read_samples
from ..errors import ResultError
from ..stats.metrics import auc

__all__ = ["AuditedFolder", "read_audit"]

RESULT, SAMPLES, CURVE = "result.json", "samples.parquet", "curve.json"
TOLERANCE = 1e-9
"""Relative; both files hold every number exactly, and only sums are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedFolder:
    """An audit as its folder holds it; ``result_sha256`` is of the bytes of its document.

    ``is_vouched_for`` says whether checksums came with it, and agree.
    """

    path: Path
    result: AuditResult
    result_sha256: str
    samples: SampleTable
    is_vouched_for: bool


def read_audit(path: Path) -> AuditedFolder:
    """Read what ``auditor audit`` wrote, without the texts.

    Parameters
    ----------
    path : Path
        The folder, or the ``result.json`` in it.

    Raises
    ------
    ResultError
        If a file is missing, cannot be read, is not what the checksums beside it say, or the samples are not those of
        the document: other counts, tokens, bytes, bits, or AUCs.
    """
    folder = path.parent if path.name == RESULT and not path.is_dir() else path
    if not path.exists():
        raise ResultError(f"{path} does not exist; give the folder that `auditor audit --out` wrote")
    if not folder.is_dir():
        raise ResultError(f"{path} is no folder; give the folder that `auditor audit --out` wrote")
    for name in (RESULT, SAMPLES):
        if not (folder / name).is_file():
            several = "; it holds several checkpoints, give the folder of one" if (folder / CURVE).is_file() else ""
            raise ResultError(f"{folder} holds no {name}: give the folder that `auditor audit --out` wrote{several}")
    result = read_document(folder / RESULT, AuditResult, version=SCHEMA_VERSION, what="result document")
    samples = read_samples(folder / SAMPLES, [attack.attack for attack in result.attacks])
    stated = result.provenance.samples_sha256
    changed = stated is not None and stated != file_sha256(folder / SAMPLES)
    found = _mismatch(result, samples) or ("its bytes are others (SHA-256)" if changed else None)
    if found is not None:
        raise ResultError(f"{folder / SAMPLES} does not belong to the {RESULT} beside it: {found}; copy both together")
    return AuditedFolder(
        path=folder,
        result=result,
        result_sha256=file_sha256(folder / RESULT),
        samples=samples,
        is_vouched_for=is_vouched_for(folder / RESULT),
    )


def _mismatch(result: AuditResult, samples: SampleTable) -> str | None:
    """Say what the samples contradict in the document."""
    for name, side, here in (
        ("members", result.data.members, samples.is_member),
        ("non-members", result.data.non_members, ~samples.is_member),
    ):
        stated = (side.n_samples, side.n_tokens, side.n_bytes) if side else (0, 0, 0)
        found = (int(here.sum()), int(samples.n_tokens[here].sum()), int(samples.n_bytes[here].sum()))
        for what, one, other in zip(("samples", "tokens", "bytes"), stated, found, strict=True):
            if one != other:
                return f"the {name} have {one} {what} there and {other} here"
    stated_bits = result.memorization.mean_bits_members.value if result.memorization else None
    if stated_bits is not None:
        if samples.signed_bits is None or samples.memorized_bits is None:
            return "the document has bits, the samples have none"
        if not _near(stated_bits, float(samples.signed_bits[samples.is_member].mean())):
            return "the members' mean bits are others"
    for attack in result.attacks:
        area = auc(samples.scores[attack.attack], samples.is_member, level=attack.auc.level).value
        if attack.auc.value is not None and (area is None or not _near(attack.auc.value, area)):
            return f"the AUC of {attack.attack} is another"
    return None


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))
