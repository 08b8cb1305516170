"""The diagnosis document that ``auditor doctor --json`` prints. The order of the fields is the format."""

from collections.abc import Mapping
from typing import Literal

from .files import document

__all__ = ["DIAGNOSIS_VERSION", "Diagnosis", "Finding", "Part", "State"]

DIAGNOSIS_VERSION = "1.0"

Part = Literal["installation", "packages", "extras", "devices", "kernels", "self-test"]
State = Literal["fine", "absent", "broken"]


@document
class Finding:
    """One thing that was tried, and what came of it."""

    part: Part
    """Part of the installation that it belongs to."""
    name: str
    """Name of what was tried."""
    state: State
    """Whether it works, is not there, or is there and does not work (a needed thing that is not there is broken)."""
    needed: bool
    """Whether no audit can be run, or trusted, without it."""
    detail: str
    """What was found."""
    remedy: str | None = None
    """What to do about it; null if nothing has to be done."""


@document
class Diagnosis:
    """What an installation can do, and what in it is broken."""

    schema_version: str = DIAGNOSIS_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    versions: Mapping[str, str]
    """Version of Python and of each package, by name."""
    findings: tuple[Finding, ...]
    """Everything that was tried, in order."""
    can_audit: bool
    """Whether nothing that is needed is broken; the exit code is 0 then, else 2."""
    seconds: float
    """Wall time of the diagnosis in seconds."""

    @property
    def broken(self) -> list[Finding]:
        """The findings that keep audits from being run or trusted."""
        return [one for one in self.findings if one.needed and one.state == "broken"]
