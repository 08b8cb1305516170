"""The neighbours of texts: rewritings by a masked language model, made once and kept beside the scores.

The file is a line of JSON a text, in the folder of the scores and for its owner only: the hash of the text, and the
words that were put into it and where. A run that is killed goes on from it, and a torn last line is made again.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from attacks.base import NEIGHBOUR

from ..errors import ConfigError, ResultError
from .masked import MaskedFiles, Rewriting, Swap, load_masked, open_masked
from .row_file import RowFile
from .scoring import Progress, ScoringProgress
from .views import View

__all__ = ["Neighbours", "neighbour_views"]

_BLOCK = 1024
"""Texts held at once."""

_METHOD = "1"
"""Raised whenever other swaps come out; older ones are then not used."""

_KEY_LENGTH = 32


class Neighbours:
    """The stored neighbours of texts; memory is fifty bytes a text.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    n : int
        Neighbours of a text.
    """

    def __init__(self, path: Path, n: int) -> None:
        self._n = n
        keys, places, n_swaps, whole = bytearray(), array("q"), array("l"), bytearray()
        try:
            self._file = open(path, "rb") if path.exists() else open(os.devnull, "rb")  # noqa: SIM115
            finalize(self, self._file.close)
            place = 0
            for line in self._file:
                if (row := _parse(line)) is not None:
                    keys += row["text"].encode()
                    places.append(place)
                    n_swaps.append(len(row["swaps"]))
                    whole.append(row["whole"])
                place += len(line)
        except OSError as error:
            raise ResultError(f"cannot read the neighbours of the texts in {path}: {error.strerror}") from error
        self._keys, order = np.unique(np.frombuffer(bytes(keys), dtype=f"S{_KEY_LENGTH}"), return_index=True)
        self._places = np.array(places, dtype=np.int64)[order]  # (n_stored,)
        self._n_swaps = np.array(n_swaps, dtype=np.int64)[order]
        self._whole = np.array(whole, dtype=np.bool_)[order]

    def views(self) -> list[View]:
        """List the views of the texts that the neighbours are."""
        return [
            View(
                name=f"{NEIGHBOUR}_{number}",
                change=partial(self.neighbour, number=number),
                rewritten=True,
                spoken=f"neighbours {number + 1}/{self._n}",
            )
            for number in range(self._n)
        ]

    def neighbour(self, text: str, *, number: int) -> str:
        """Return one of a text's neighbours; a text with too few has each more than once, with none is its own."""
        row = _parse(self._line(int(self._find([text])[0])))
        if row is None:
            raise ResultError("the stored neighbours of the texts were changed while they were read: run again")
        swaps = row["swaps"]
        return Swap(*swaps[number % len(swaps)]).apply(text) if swaps else text

    def missing(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of one text each of those distinct ones that have none stored."""
        found, seen = list[int](), set[bytes]()
        for start, block in _blocks(texts):
            for i in np.flatnonzero(self._find(block) < 0).tolist():
                if (key := _key(block[i])) not in seen:
                    seen.add(key)
                    found.append(start + i)
        return np.array(found, dtype=np.int64)

    def notes(self, texts: Sequence[str], *, window: int) -> list[str]:
        """Say how many texts have too few neighbours, or were read only in part."""
        n_few = n_none = n_partly = 0
        for _, block in _blocks(texts):
            rows = self._find(block)
            n_few += int(((self._n_swaps[rows] < self._n) & (self._n_swaps[rows] > 0)).sum())
            n_none += int((self._n_swaps[rows] == 0).sum())
            n_partly += int((~self._whole[rows]).sum())
        notes = []
        if n_few:
            notes.append(f"{n_few} of {len(texts)} texts have fewer than {self._n} neighbours: those count repeatedly")
        if n_none:
            notes.append(f"{n_none} of {len(texts)} texts have no neighbour: the text itself stands in for each")
        if n_partly:
            notes.append(
                f"{n_partly} of {len(texts)} texts are longer than the {window} tokens that the neighbour model reads: "
                "words of the first ones only were replaced"
            )
        return notes

    def _find(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each text, shape (n_texts,), -1 if there is none."""
        keys = np.array([_key(text) for text in texts], dtype=self._keys.dtype)
        rows = np.searchsorted(self._keys, keys)
        there = rows < len(self._keys)
        there[there] = self._keys[rows[there]] == keys[there]
        return np.where(there, rows, -1)

    def _line(self, row: int) -> bytes:
        if row < 0:
            return b""
        self._file.seek(int(self._places[row]))
        return self._file.readline()


def neighbour_views(
    texts: Sequence[str],
    *,
    model: str | None,
    n: int,
    scores_folder: Path,
    device: str,
    alone: bool,
    trust_remote_code: bool = False,
    on_progress: Callable[[ScoringProgress], None] | None = None,
) -> tuple[list[View], list[str]]:
    """Make the neighbours of texts that have none stored, and list them as views.

    Parameters
    ----------
    texts : sequence of str
        As they are scored.
    model : str or None
        The masked language model: a folder or hub id.
    n : int
        Neighbours of a text.
    alone : bool
        Whether this process does all the work; else everything must be stored already.

    Returns
    -------
    views : list of View
    notes : list of str
        What a reader of the numbers should know.

    Raises
    ------
    ConfigError
        If there is no model, or something to be made by one of several processes.
    ModelError
        If the model cannot be used.
    ResultError
        If the folder cannot be written.
    """
    if model is None:
        raise ConfigError("neighbours of the texts need a masked language model: give --neighbour-model")
    files = open_masked(model, trust_remote_code=trust_remote_code)
    path = scores_folder / f"neighbours-{_file_key(files, n)}.jsonl"
    stored = Neighbours(path, n)
    if len(places := stored.missing(texts)):
        if not alone:
            raise ConfigError(
                f"--neighbour-model: {len(places)} texts have no neighbours yet, and only a single process makes them; "
                "run this audit once with one process and engine local (it may be stopped when scoring starts), then "
                "with as many as you like"
            )
        progress = Progress(sum(len(files.read(texts[int(i)])["input_ids"]) for i in places), on_progress)
        progress.add(0, "loading the neighbour model")
        masked = load_masked(files, device=device, trust_remote_code=trust_remote_code)
        file = RowFile(path, "the neighbours of the texts")
        for i in places:
            text = texts[int(i)]
            file.append([_row(text, masked.rewrite(text, n))])
            progress.add(len(files.read(text)["input_ids"]), "rewriting the texts with the neighbour model")
        stored = Neighbours(path, n)
    return stored.views(), stored.notes(texts, window=files.window)


def _row(text: str, found: Rewriting) -> bytes:
    """Write the neighbours of a text."""
    return json.dumps({"text": _key(text).decode(), "swaps": found.swaps, "whole": found.whole}).encode() + b"\n"


def _file_key(files: MaskedFiles, n: int) -> str:
    """Name what the neighbours depend on besides the text."""
    return hashlib.sha256(f"{_METHOD}\n{files.sha256}\n{files.window}\n{n}".encode()).hexdigest()[:20]


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_KEY_LENGTH // 2).hexdigest().encode()


def _parse(line: bytes) -> Any:
    """Read a line; None if it is torn or not one of ours."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
        swaps, key = row["swaps"], row["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    ours = isinstance(key, str) and key.isascii() and len(key) == _KEY_LENGTH and isinstance(row.get("whole"), bool)
    return row if ours and isinstance(swaps, list) and all(_is_swap(swap) for swap in swaps) else None


def _is_swap(swap: object) -> bool:
    return isinstance(swap, list) and [type(part) for part in swap] == [int, int, str]


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the place of the first, and the texts of one block after the other."""
    return ((start, texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK))
