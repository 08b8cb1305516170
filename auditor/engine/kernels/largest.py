"""The largest logits of each row, from parts of the vocabulary that come one after the other."""

import torch
from torch import Tensor

__all__ = ["N_TOP", "Largest"]

N_TOP = 40
"""How many are kept: what top-k sampling draws from (Cooper et al. 2025, arXiv:2505.12546, section 3)."""

_DEPTH = 16
"""Columns of which the maximum is taken first: one vectorised sweep, after which few of them are worth sorting."""


class Largest:
    """Keeps the :data:`N_TOP` largest logits of each row.

    The columns of a part are taken in lanes of a few, by their maxima: the largest of a first part lie in the
    ``N_TOP`` lanes of the largest maxima, those of a later one where a maximum lies above all but ``N_TOP`` logits
    seen so far. So most columns are never sorted.
    """

    def __init__(self) -> None:
        self._kept: Tensor | None = None  # (n_rows, n_kept), largest first

    @property
    def logits(self) -> Tensor:
        """The largest logits, float32, shape (n_rows, min(N_TOP, n_columns seen)), largest first."""
        assert self._kept is not None
        return self._kept

    def see(self, logits: Tensor) -> None:
        """Take in more columns, shape (n_rows, n_columns), of any float type; they are left as they are."""
        n_lanes = logits.shape[1] // _DEPTH
        lanes = logits[:, : n_lanes * _DEPTH].reshape(len(logits), _DEPTH, n_lanes)
        candidates = [logits[:, n_lanes * _DEPTH :].float()]
        if self._kept is not None:
            candidates.append(self._kept)
        if n_lanes and self._kept is not None and self._kept.shape[1] == N_TOP:
            candidates.append(_above(lanes, self._kept[:, -1]))
        elif n_lanes:
            best = lanes.amax(1).topk(min(N_TOP, n_lanes), sorted=False).indices  # (n_rows, n_best)
            candidates.append(lanes.gather(2, best[:, None].expand(-1, _DEPTH, -1)).flatten(1).float())
        together = torch.cat(candidates, dim=1)
        self._kept = together.topk(min(N_TOP, together.shape[1])).values


def _above(lanes: Tensor, floor: Tensor) -> Tensor:
    """Return the logits of lanes, shape (n_rows, depth, n_lanes), above a floor a row, filled up with -inf."""
    rows, lane = (lanes.amax(1) > floor[:, None]).nonzero(as_tuple=True)
    found = lanes[rows, :, lane].float()  # (n_lanes_found, depth)
    is_above = found > floor[rows, None]
    rows, found = rows[:, None].expand_as(found)[is_above], found[is_above]  # in the order of the rows
    counts = rows.bincount(minlength=len(floor))
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    filled = floor.new_full((len(floor), int(counts.max())), -torch.inf)
    filled[rows, place] = found
    return filled
