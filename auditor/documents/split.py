"""The manifest of a split: how a corpus was split. The order of the fields is the file format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from .files import document, read_document

__all__ = ["SplitManifest", "SplitSide", "read_manifest"]

VERSION = "1.2"


@document
class SplitSide:
    """One part of a split: its size, and the hash of each text, UTF-8, in order."""

    n_texts: int
    """Number of texts of the part."""
    n_groups: int | None
    """Number of groups that the data named; null if it named none."""
    n_bytes: int
    """Number of UTF-8 bytes of the texts."""
    text_sha256: tuple[str, ...]
    """SHA-256 of each text, UTF-8, in order."""


@document
class SplitManifest:
    """How a corpus was split, so that an audit can be checked against it; the order of the fields is the format."""

    kind: Literal["split"] = "split"
    """Kind of the document."""
    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    source: str
    """Source of the corpus as it was given."""
    source_sha256: str
    """SHA-256 of the ids and texts of the source, in order."""
    seed: int
    """Seed of the random draws."""
    member_share: float
    """Share of the kept texts that was asked for as members."""
    holdout_share: float
    """Share of the kept texts that was asked for as held out."""
    by_group: bool
    """Whether texts of one group stayed together."""
    near_duplicates: float | None
    """Jaccard similarity from which texts were near-duplicates; null if those were kept."""
    n_texts_read: int
    """Number of texts that were read."""
    n_copies_dropped: int
    """Number of copies dropped, the first of every text kept."""
    n_near_duplicates_dropped: int
    """Number of near-duplicates dropped, the first of every cluster kept."""
    n_unchecked: int
    """Number of candidate pairs of near-duplicates that were not compared."""
    members: SplitSide
    """The members' side."""
    non_members: SplitSide
    """The non-members' side."""
    holdout: SplitSide | None
    """Texts for a reference or for shots, neither members nor audited; null without any."""
    notes: tuple[str, ...] = ()
    """What was left out while reading."""
    salt: str | None = None
    """Name of the salt that all hashes are keyed with (HMAC-SHA256 of the SHA-256); null if they are plain."""
    coins_sha256: str | None = None
    """Commitment to the coins that drew the sides: a hash of their seed, which coins.json holds; null without coins."""
    content_sha256: str | None = None
    """SHA-256 of all other fields; null in older files."""

    def contradictions(self) -> Iterator[str]:
        """Say how the manifest disagrees with itself."""
        for name, side in (("members", self.members), ("non_members", self.non_members), ("holdout", self.holdout)):
            if side is not None and side.n_texts != len(side.text_sha256):
                yield f"{name}: n_texts is {side.n_texts}, and it names {len(side.text_sha256)} texts"


def read_manifest(path: Path) -> SplitManifest:
    """Read what `auditor split` wrote: the file, or its folder.

    Raises
    ------
    ResultError
        If it is not a manifest.
    """
    file = path / "manifest.json" if path.is_dir() else path
    return read_document(file, SplitManifest, version=VERSION, what="split manifest (`auditor split`)")
