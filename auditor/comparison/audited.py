"""A finished audit's folder: its document and its samples, read if they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..documents.checksums import file_sha256
from ..documents.files import read_document
from ..documents.result import SCHEMA_VERSION, AuditResult
from ..documents.sample_table import SampleTable
from ..errors import ResultError
from ..stats.metrics import auc

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AuditedFolder", "read_audit"]

RESULT, SAMPLES, CURVE = "result.json", "samples.parquet", "curve.json"
TOLERANCE = 1e-9
"""Relative; both files hold every number exactly, and only sums are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedFolder:
    """An audit as its folder holds it; ``result_sha256`` is of the bytes of its document."""

    path: Path
    result: AuditResult
    result_sha256: str
    samples: SampleTable


def read_audit(path: Path) -> AuditedFolder:
    """Read what ``auditor audit`` wrote, without the texts.

    Parameters
    ----------
    path : Path
        The folder, or the ``result.json`` in it.

    Raises
    ------
    ResultError
        If a file is missing, cannot be read, or the samples are not those of the document: other counts, tokens,
        bytes, bits, or AUCs.
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
    samples = _read_samples(folder / SAMPLES, [attack.attack for attack in result.attacks])
    stated = result.provenance.samples_sha256
    changed = stated is not None and stated != file_sha256(folder / SAMPLES)
    found = _mismatch(result, samples) or ("its bytes are others (SHA-256)" if changed else None)
    if found is not None:
        raise ResultError(f"{folder / SAMPLES} does not belong to the {RESULT} beside it: {found}; copy both together")
    return AuditedFolder(path=folder, result=result, result_sha256=file_sha256(folder / RESULT), samples=samples)


def _read_samples(file: Path, labels: Sequence[str]) -> SampleTable:
    """Read the rows of all samples."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["sample_id", "text_sha256", "is_member", "group", "n_tokens", "n_bytes", "target_bits"]
    columns += ["reference_bits", "signed_bits", "memorized_bits", *(f"score.{label}" for label in labels)]
    try:
        known = set(pq.read_schema(file).names)
        missing = [column for column in columns if column not in known]
        if missing:
            raise ResultError(f"{file} has no column {missing[0]}: it is no table of samples of this audit")
        return _table(pq.read_table(file, columns=columns), labels)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResultError(f"cannot read the samples {file}: {reason}") from error


def _table(table: "pa.Table", labels: Sequence[str]) -> SampleTable:
    """Check every column that a comparison reads."""
    import pyarrow as pa

    def column(name: str, kind: Any) -> Any:
        values = table[name].cast(kind)
        if values.null_count:
            raise ValueError(f"{name} is missing for {values.null_count} samples")
        return values

    def numbers(name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = column(name, pa.float64()).to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite for every sample")
        return values

    def optional(name: str) -> NDArray[np.float64] | None:
        return None if table[name].null_count == table.num_rows else numbers(name)

    return SampleTable(
        sample_id=tuple(column("sample_id", pa.string()).to_pylist()),
        text_sha256=tuple(column("text_sha256", pa.string()).to_pylist()),
        is_member=column("is_member", pa.bool_()).to_numpy(),
        group=tuple(table["group"].cast(pa.string()).to_pylist()),
        n_tokens=column("n_tokens", pa.int64()).to_numpy(),
        n_bytes=column("n_bytes", pa.int64()).to_numpy(),
        target_bits=numbers("target_bits"),
        reference_bits=optional("reference_bits"),
        signed_bits=optional("signed_bits"),
        memorized_bits=optional("memorized_bits"),
        scores={label: numbers(f"score.{label}") for label in labels},
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
