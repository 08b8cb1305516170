"""Id file: the token ids of all texts as one tokenizer reads them, on disk, so that texts are read once in a run."""

from copy import copy
from os import pread
from tempfile import TemporaryFile, gettempdir
from typing import Self
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..errors import ResultError
from .tokens import Encoded

__all__ = ["IdFile"]

_ID = np.dtype("<i4")


class IdFile:
    """Token ids of texts, end to end in a temporary file without a name; memory is sixteen bytes a text.

    Parameters
    ----------
    n_texts : int
    has_unscored : bool
        Whether it also says which ids are scored: those that are not are kept as their complement, a negative number.
    """

    def __init__(self, n_texts: int, *, has_unscored: bool = False) -> None:
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115
        finalize(self, self._file.close)
        self._bounds = np.zeros((n_texts, 2), dtype=np.int64)  # first id of each text, and the one after its last
        self._n_ids, self._has_unscored = 0, has_unscored
        self._whole: IdFile | None = None  # whose file this is: it is closed when that one is gone

    def write(
        self,
        places: slice,
        ids: NDArray[np.int32],
        counts: NDArray[np.int64],
        scored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Append the ids of consecutive texts.

        Parameters
        ----------
        places : slice
        ids : ndarray of int32, shape (n_ids,)
            Text after text.
        counts : ndarray of int64, shape (n_places,)
        scored : ndarray of bool, shape (n_ids,), optional
            All are by default.

        Raises
        ------
        ResultError
            If the disk is full.
        """
        stops = self._n_ids + np.cumsum(counts)
        self._bounds[places] = np.column_stack([stops - counts, stops])
        kept = ids if scored is None else np.where(scored, ids, ~ids)
        left = memoryview(kept.astype(_ID).tobytes())
        try:
            while left:  # a disk that is nearly full takes a part, and refuses only the rest
                left = left[self._file.write(left) :]
        except OSError as error:
            raise ResultError(
                f"cannot write a temporary file in {gettempdir()}: {error.strerror}; make room or point TMPDIR to "
                "another disk, and run again"
            ) from error
        self._n_ids += len(ids)

    def read(self, place: int) -> Encoded:
        """Read the ids of one text."""
        start, stop = self._bounds[place].tolist()
        content = pread(self._file.fileno(), (stop - start) * _ID.itemsize, start * _ID.itemsize)
        kept = np.frombuffer(content, dtype=_ID)
        if not self._has_unscored:
            return Encoded(kept.tolist())
        return Encoded(np.where(kept < 0, ~kept, kept).tolist(), tuple((kept >= 0).tolist()))

    def taken(self, places: NDArray[np.int64]) -> Self:
        """Return the same file for some texts, in the order of their places."""
        other = copy(self)
        other._bounds, other._whole = self._bounds[places], self
        return other
