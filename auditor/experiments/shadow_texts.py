"""The texts of shadow models: once each, as tokens, in units that stay together, split in random halves."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import SampleSet
from ..documents.files import for_owner
from ..engine.loading.models import ModelFiles
from ..engine.tokens import Encoded, Encoder, TokenSequence, check_scorable
from ..errors import DataError

__all__ = ["TrainingTexts", "draw_halves", "prepare_texts", "read_tokens", "token_file"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTexts:
    """The different texts of an audit, by increasing hash, as a model is trained on them.

    ``copies`` counts each (rows, or what their column ``copies`` says), ``units`` numbers what belongs together,
    ``sequences`` are token ids with the prefix, ``predicted`` says of each whether it is trained on.
    """

    sha256: tuple[str, ...]
    copies: NDArray[np.int64]
    units: NDArray[np.int64]
    sequences: list[list[int]]
    predicted: list[list[bool]]
    n_cut: int

    @property
    def fingerprint(self) -> str:
        """Hash of the texts, their copies and their units; their order in the data does not matter."""
        digest = hashlib.sha256("".join(self.sha256).encode())
        digest.update(self.copies.astype("<i8").tobytes() + self.units.astype("<i8").tobytes())
        return digest.hexdigest()


def prepare_texts(data: SampleSet, files: ModelFiles, encoder: Encoder) -> TrainingTexts:
    """Find the different texts, what belongs together, and the tokens that a model is trained on.

    Raises
    ------
    DataError
        If a text has no token to predict.
    """
    hashes, first, place = np.unique(np.array(data.text_sha256), return_index=True, return_inverse=True)
    stated = [max(1, 1 if copies is None else copies) for copies in data.copies]
    copies = np.bincount(place, weights=stated)
    kept = [_cut(encoder, data.texts[i]) for i in first.tolist()]
    scored = [encoder.sequences(*encoded)[0] for encoded, _ in kept]
    is_chat = encoder.chat is not None
    check_scorable(
        [one.n_scored for one in scored],
        [data.ids[i] for i in first],
        has_prefix=bool(encoder.prefix.ids),
        cut=[i for i, (_, is_whole) in enumerate(kept) if is_chat and not is_whole],
        window=encoder.window,
    )
    sequences = [list(one.ids) for one in scored]
    predicted = [_predicted(one) for one in scored]
    end, window = files.tokenizer.eos_token_id, files.context_window
    for sequence, places, (_, is_whole) in zip(sequences, predicted, kept, strict=True):
        if not is_chat and end is not None and is_whole and (window is None or len(sequence) < window):
            sequence.append(int(end))  # a conversation ends as its template says
            places.append(True)
    return TrainingTexts(
        sha256=tuple(hashes.tolist()),
        copies=copies.astype(np.int64),
        units=_units(place, data.groups, n_texts=len(hashes)),
        sequences=sequences,
        predicted=predicted,
        n_cut=sum(not is_whole for _, is_whole in kept),
    )


def draw_halves(units: NDArray[np.int64], copies: NDArray[np.int64], *, n_pairs: int, seed: int) -> Bools:
    """Split the texts at random into two halves, once for each pair of shadows; units stay whole.

    Units are put in random order, and cut where the number of texts (with copies) is closest to half.

    Parameters
    ----------
    units : ndarray of int64, shape (n_texts,)
        Number of the unit of each text, from 0.
    copies : ndarray of int64, shape (n_texts,)
        How often each text occurs.
    n_pairs, seed : int
        More pairs with the same seed begin with the same ones.

    Returns
    -------
    ndarray of bool, shape (2 * n_pairs, n_texts)
        What each shadow is trained on; rows ``2j`` and ``2j + 1`` are complements.

    Raises
    ------
    DataError
        If there is only one unit.
    """
    sizes = np.bincount(units, weights=copies)
    if len(sizes) < 2:
        raise DataError("all texts belong together, by their groups or copies: nothing is left to split in halves")
    halves = []
    for pair in range(n_pairs):
        order = np.random.default_rng([seed, pair]).permutation(len(sizes))
        filled = np.cumsum(sizes[order])[:-1]
        is_first = np.zeros(len(sizes), dtype=np.bool_)
        is_first[order[: int(np.argmin(np.abs(filled - sizes.sum() / 2))) + 1]] = True
        halves += [is_first[units], ~is_first[units]]
    return np.stack(halves)


@contextmanager
def token_file(texts: TrainingTexts, folder: Path) -> Iterator[Path]:
    """Put the texts as tokens into a file for the workers, readable for its owner only, and take it away afterwards."""
    path = folder / "tokens.npz"
    lengths = np.array([len(sequence) for sequence in texts.sequences], dtype=np.int64)
    tokens = np.concatenate([np.array(sequence, dtype=np.int32) for sequence in texts.sequences])
    try:
        path.unlink(missing_ok=True)  # left by a run that was killed, or another's
        with open(path, "xb", opener=for_owner) as file:
            predicted = np.concatenate([np.array(places, dtype=np.bool_) for places in texts.predicted])
            np.savez(file, tokens=tokens, predicted=predicted, lengths=lengths, copies=texts.copies)
        yield path
    finally:
        path.unlink(missing_ok=True)


def read_tokens(path: Path) -> tuple[list[NDArray[np.int32]], list[Bools], NDArray[np.int64]]:
    """Read the token ids of each text, which of them are trained on, and how often it occurs."""
    with np.load(path) as parts:
        tokens, predicted, lengths, copies = (parts[name] for name in ("tokens", "predicted", "lengths", "copies"))
    ends = np.cumsum(lengths)[:-1]
    return np.split(tokens, ends), np.split(predicted, ends), copies


def _predicted(sequence: TokenSequence) -> list[bool]:
    """Say of each id whether it is predicted."""
    scored = set(sequence.scored)
    return [place in scored for place in range(len(sequence.ids))]


def _cut(encoder: Encoder, text: str) -> tuple[Encoded, bool]:
    """Token ids of as much of a text as the window holds, and whether that is all of it."""
    encoded, window = encoder.read([text])[0], encoder.window
    if window is None or len(encoded.ids) <= window:
        return encoded, True
    return encoder.read(encoder.cut([text]))[0], False


def _units(place: NDArray[np.intp], groups: Sequence[str | None], *, n_texts: int) -> NDArray[np.int64]:
    """Give what belongs together one number: texts of one group, and groups with a text in common."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers = {group: n_texts + i for i, group in enumerate(sorted({one for one in groups if one is not None}))}
    edges = [(text, numbers[one]) for text, one in zip(place.tolist(), groups, strict=True) if one is not None]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    n = n_texts + len(numbers)
    _, labels = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)), directed=False)
    number: dict[int, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in labels[:n_texts].tolist()], dtype=np.int64)
