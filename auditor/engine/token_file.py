"""The scores of one pass in the order of the texts: on disk, read a block of texts at a time."""

from collections.abc import Iterable, Sequence
from itertools import islice
from os import pread, pwrite
from tempfile import TemporaryFile, gettempdir
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from attacks.base import TokenScores

from ..errors import ResultError
from .forward import COUNTS, STATISTICS, SequenceScores

__all__ = ["TokenFile"]

_TOKEN = np.dtype([(name, "<i4" if name in COUNTS else "<f4") for name in STATISTICS])

_ROWS = 256
"""Rows whose places are found together."""


class TokenFile:
    """Scores of every token of every text, end to end in a temporary file without a name.

    Parameters
    ----------
    keys : ndarray of bytes, shape (n_samples,)
        Key of the stored row of each text; equal texts share one.
    n_scored : ndarray of int64, shape (n_samples,)
    rows : iterable of (bytes, SequenceScores)
        The store's rows, in any order; those of other texts are passed over.
    whole : bool
        Whether every text must have a row; else `fill` brings the others.

    Raises
    ------
    LookupError
        If a text has no row that must have one.
    ResultError
        If the disk is full, or a row is not as long as its text.
    """

    def __init__(
        self,
        keys: NDArray[np.bytes_],
        n_scored: NDArray[np.int64],
        rows: Iterable[tuple[bytes, SequenceScores]],
        *,
        whole: bool = True,
    ) -> None:
        self.offsets = np.cumsum([0, *n_scored])  # (n_samples + 1,)
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115
        finalize(self, self._file.close)
        self._order = np.argsort(keys, kind="stable")
        self._ordered = keys[self._order]
        self.missing = np.ones(len(keys), dtype=np.bool_)  # (n_samples,)
        self.fill(rows)
        if whole and self.missing.any():
            raise LookupError(f"{int(self.missing.sum())} texts have no stored scores")

    def fill(self, rows: Iterable[tuple[bytes, SequenceScores]]) -> None:
        """Write the scores of more texts."""
        rows = iter(rows)
        while some := list(islice(rows, _ROWS)):
            self._fill(some)

    def _fill(self, rows: Sequence[tuple[bytes, SequenceScores]]) -> None:
        """Write the scores of a few texts, whose places are found together."""
        keys = np.array([key for key, _ in rows])
        starts, stops = (np.searchsorted(self._ordered, keys, side=side).tolist() for side in ("left", "right"))
        for (_, scores), start, stop in zip(rows, starts, stops, strict=True):
            for place in self._order[start:stop]:
                if len(scores.logprob) != self.offsets[place + 1] - self.offsets[place]:
                    raise ResultError(
                        f"a stored text has scores of {len(scores.logprob)} tokens where it has "
                        f"{self.offsets[place + 1] - self.offsets[place]}: something else wrote them; remove the store"
                    )
                self._write(int(self.offsets[place]), scores)
                self.missing[place] = False

    def read(self, places: slice) -> TokenScores:
        """Read the scores of consecutive texts."""
        start, stop = int(self.offsets[places.start]), int(self.offsets[places.stop])
        content = pread(self._file.fileno(), (stop - start) * _TOKEN.itemsize, start * _TOKEN.itemsize)
        tokens = np.frombuffer(content, dtype=_TOKEN)  # (n_tokens,)
        columns = {name: np.ascontiguousarray(tokens[name]) for name in _TOKEN.names or ()}
        return TokenScores(offsets=self.offsets[places.start : places.stop + 1] - start, **columns)

    def _write(self, first_token: int, scores: SequenceScores) -> None:
        tokens = np.empty(len(scores.logprob), dtype=_TOKEN)
        for name in _TOKEN.names or ():
            tokens[name] = getattr(scores, name)
        left, place = tokens.tobytes(), first_token * _TOKEN.itemsize
        try:
            while left:  # a disk that is nearly full takes a part, and refuses only the rest
                written = pwrite(self._file.fileno(), left, place)
                left, place = left[written:], place + written
        except OSError as error:
            raise ResultError(
                f"cannot write a temporary file in {gettempdir()}: {error.strerror}; the scores are kept: make room "
                "or point TMPDIR to another disk, and run again"
            ) from error
