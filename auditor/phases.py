"""Phases of a long command, numbered from the first half second to the last, for whoever waits."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["AUDIT", "CANARIES", "PACK", "SECRETS", "UNTIL_DECIDED", "OnPhase", "Phase", "unwatched"]

AUDIT = (
    "loading PyTorch",
    "reading the texts",
    "scoring",
    "computing the attacks",
    "checking the sides",
    "estimating and writing",
)
"""What an audit does, in this order."""
UNTIL_DECIDED = (
    "loading PyTorch",
    "reading the texts",
    "scoring the references",
    "checking the sides",
    "scoring the target until every gate is decided",
)
"""The same of an audit that stops early."""
PACK = ("loading PyTorch", "reading the texts", "scoring the references", "writing the pack")
"""What making a pack does, in this order."""
CANARIES = ("loading PyTorch", "reading the canaries", "scoring the canaries", "ranking them")
"""What looking for canaries does, in this order."""
SECRETS = ("loading PyTorch", "finding the secrets", "scoring the secrets", "ranking them")
"""What ranking secrets does, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase, and how far it has come where something is counted."""

    label: str
    what: str = ""
    done: int = 0
    total: int = 0

    @property
    def counted(self) -> str:
        """What was counted, such as ``permutation 120 of 499``; empty if nothing is."""
        return f"{self.what} {self.done:,} of {self.total:,}" if self.total else ""


OnPhase = Callable[[Phase], None]


def unwatched(phase: Phase) -> None:
    """Let nobody know."""
