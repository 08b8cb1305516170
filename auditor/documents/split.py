"""The manifest of a split: how a corpus was split. The order of the fields is the file format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .files import read_document

__all__ = [
    "SplitManifest",
    "SplitSide",
    "read_manifest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSide:
    """One part of a split: its size, and the hash of each text, UTF-8, in order."""

    n_texts: int
    n_groups: int | None
    n_bytes: int
    text_sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitManifest:
    """How a corpus was split, so that an audit can be checked against it. The order of the fields is the file format.

    Parameters
    ----------
    kind, schema_version, auditor_version : str
    source : str
        As given.
    source_sha256 : str
        Of the ids and texts of the source, in order; see `SampleSet.sha256`.
    seed : int
    member_share, holdout_share : float
        Asked for, of all texts that were kept.
    by_group : bool
        Whether texts of one group stayed together.
    near_duplicates : float or None
        Jaccard similarity from which texts were near-duplicates; None if those were kept.
    n_texts_read, n_copies_dropped, n_near_duplicates_dropped : int
        Of every text, and of every cluster of near-duplicates, the first was kept.
    n_unchecked : int
        Candidate pairs of near-duplicates that were not compared; see `NearDuplicates`.
    members, non_members : SplitSide
    holdout : SplitSide or None
        Texts for a reference model or for shots: neither members nor audited.
    notes : tuple of str
        What was left out while reading.
    """

    kind: Literal["split"] = "split"
    schema_version: str = "1.0"
    auditor_version: str
    source: str
    source_sha256: str
    seed: int
    member_share: float
    holdout_share: float
    by_group: bool
    near_duplicates: float | None
    n_texts_read: int
    n_copies_dropped: int
    n_near_duplicates_dropped: int
    n_unchecked: int
    members: SplitSide
    non_members: SplitSide
    holdout: SplitSide | None
    notes: tuple[str, ...] = ()


def read_manifest(path: Path) -> SplitManifest:
    """Read what `auditor split` wrote: the file, or its folder.

    Raises
    ------
    ResultError
        If it is not a manifest.
    """
    file = path / "manifest.json" if path.is_dir() else path
    return read_document(file, SplitManifest, version="1.0", what="split manifest (`auditor split`)")
