"""One audit on several processes: who scores what, and how the first one learns that the others are done.

Started by ``torchrun`` or ``accelerate launch``, every process reads the texts and scores its own share into a
file of its own in the one score store. Nothing is exchanged while texts are scored. At the end the processes meet
once; the first one then reads the store, scores whatever a process that died left behind, and reports.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import ConfigError

__all__ = ["ALONE", "Rank"]

_LONGEST_WAIT = timedelta(days=7)
"""For the slowest process; one that dies is noticed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The place of this process among those that score together."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Rank":
        """Read what ``torchrun`` and ``accelerate launch`` set; a process started otherwise is alone.

        Raises
        ------
        ConfigError
            If the variables do not fit together.
        """
        given = [environment.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
        if given[0] is None or given[1] is None or "MASTER_ADDR" not in environment:
            return cls()
        try:
            rank, world, local_rank = (int(value or 0) for value in given)
        except ValueError:
            rank, world, local_rank = -1, 0, 0
        if not 0 <= rank < world:
            raise ConfigError(
                f"RANK={given[0]!r} and WORLD_SIZE={given[1]!r} are no place among processes; start with torchrun or "
                "accelerate launch, or unset both"
            )
        return cls(rank=rank, world=world, local_rank=local_rank)

    @property
    def is_first(self) -> bool:
        """Whether this process reports."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which of the texts, longest first, are this process's."""
        return slice(self.rank, None, self.world)

    def meet(self) -> bool:
        """Wait for all others to finish their share; False if one of them died."""
        if self.world == 1:
            return True
        import torch.distributed as together

        try:
            together.init_process_group("gloo", timeout=_LONGEST_WAIT)
            together.barrier()
        except (RuntimeError, ValueError, TimeoutError):
            return False
        finally:
            _leave(together)
        return True


ALONE = Rank()
"""A process that shares its work with none."""


def _leave(together: Any) -> None:
    if together.is_initialized():
        together.destroy_process_group()
