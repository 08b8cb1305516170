"""The verification document: which claims of an audit still hold. The order of the fields is the file format."""

from typing import Literal

from .files import document

__all__ = ["Claim", "Status", "Verification"]


VERSION = "1.0"


Status = Literal["matches", "differs", "not_checked"]


@document
class Claim:
    """One thing that an audit says, and whether it still holds; ``detail`` says what differs, or why none can tell."""

    name: str
    """Name of the claim."""
    status: Status
    """Whether it matches, differs, or was not checked."""
    detail: str
    """What differs, or why it could not be told."""


@document
class Verification:
    """All claims of one audit; written as JSON in the order of the fields."""

    schema_version: str = VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    result: str
    """Path of the audit's document."""
    claims: tuple[Claim, ...]
    """Every claim of the audit."""

    def of(self, status: Status) -> list[Claim]:
        """Return the claims of one status."""
        return [claim for claim in self.claims if claim.status == status]
