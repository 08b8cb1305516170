"""Neighbourhood comparison: whether the text is likelier than texts that differ from it by a few words."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import NEIGHBOUR, SWAPPED, Attack, FloatArray, Need, Signals

__all__ = ["Neighbourhood", "NeighbourhoodSwap"]


@dataclass(frozen=True)
class Neighbourhood(Attack):
    """Mean log-probability of the text minus its neighbours' mean, nats per token (Mattern et al. 2023).

    The *mean* over the neighbours, as in the paper; a well-known re-implementation compares with the likeliest one.
    Every text is averaged over its own tokens, so a rewriting may have more or fewer of them.

    Parameters
    ----------
    standardized : bool
        Divide by the standard deviation over the neighbours (``ddof`` 0), as ``z`` in the code of Mireshghallah et al.
        (neighborhood-curvature-mia); 1 where they do not differ, as there.
    """

    standardized: bool = False

    name: ClassVar[str] = "neighbourhood"
    paper: ClassVar[str] = "arXiv:2305.18462"
    summary: ClassVar[str] = "log-probability of the text minus that of rewritings by a masked language model"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NEIGHBOURS})
    per_sample: ClassVar[bool] = True
    family: ClassVar[str] = NEIGHBOUR
    """Family of text views that are the neighbours."""

    def __post_init__(self) -> None:
        given: object = self.standardized
        if not isinstance(given, bool):
            raise ValueError(f"standardized must be true or false, got {given!r}")

    def score(self, signals: Signals) -> FloatArray:
        """Return how far the text stands above its neighbours."""
        neighbours = np.stack([scores.mean_logprob for scores in signals.family(self.family)])  # (n_views, n_samples)
        above: FloatArray = signals.target.mean_logprob - neighbours.mean(axis=0)
        if not self.standardized:
            return above
        # The standard deviation of equal numbers may be 1e-17 rather than 0; their range is 0 exactly.
        differ = np.ptp(neighbours, axis=0) > 0
        standardized: FloatArray = above / np.where(differ, neighbours.std(axis=0), 1.0)
        return standardized


@dataclass(frozen=True)
class NeighbourhoodSwap(Neighbourhood):
    """The same with word-swapped copies as neighbours: no masked language model, but less fluent texts.

    The copies are those of PAC (Ye et al. 2024, arXiv:2405.11930), the comparison is that of Mattern et al.
    """

    name: ClassVar[str] = "neighbourhood_swap"
    summary: ClassVar[str] = "log-probability of the text minus that of copies in which words have changed places"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SWAPS})
    family: ClassVar[str] = SWAPPED
