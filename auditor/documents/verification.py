"""The verification document: which claims of an audit still hold. The order of the fields is the file format."""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Claim",
    "Status",
    "Verification",
]


VERSION = "1.0"


Status = Literal["matches", "differs", "not_checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that an audit says, and whether it still holds; ``detail`` says what differs, or why none can tell."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All claims of one audit; written as JSON in the order of the fields."""

    schema_version: str = VERSION
    result: str
    claims: tuple[Claim, ...]

    def of(self, status: Status) -> list[Claim]:
        """Return the claims of one status."""
        return [claim for claim in self.claims if claim.status == status]
