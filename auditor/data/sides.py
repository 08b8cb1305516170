"""Which texts the target trained on and which it did not: two sides that share no id and no text."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..config import DataSpec
from ..errors import DataError
from .readers import read_rows
from .rows import Row
from .wording import counted, listing, plain, quoted

__all__ = ["Sample", "SampleSet", "Side", "load_samples", "load_texts"]

Side = Literal["members", "non_members"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One text of one side.

    Parameters
    ----------
    id : str
        Unique in the audit.
    text : str
        As given: never normalised, trimmed or repaired. Not empty, and valid Unicode.
    is_member : bool
        Whether the target trained on it.
    group : str or None
        Unit that the text comes from, such as a document or a person, if the data names one.
    """

    id: str
    text: str
    is_member: bool
    group: str | None = None

    @property
    def text_sha256(self) -> str:
        """Hash of the whole text, UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """The texts of an audit.

    Parameters
    ----------
    samples : tuple of Sample
        Members first, then non-members, each in the order of the data.
    notes : mapping of {"members", "non_members"} to tuple of str
        What was left out or chosen while reading a side, such as ``skipped 3 blank lines of a.txt``.
    """

    samples: tuple[Sample, ...]
    notes: Mapping[Side, tuple[str, ...]]

    @property
    def is_member(self) -> NDArray[np.bool_]:
        """Side of each sample, shape (n_samples,); True for members."""
        return np.array([sample.is_member for sample in self.samples], dtype=np.bool_)

    @property
    def ids(self) -> tuple[str, ...]:
        """Id of each sample."""
        return tuple(sample.id for sample in self.samples)

    @property
    def texts(self) -> tuple[str, ...]:
        """Text of each sample."""
        return tuple(sample.text for sample in self.samples)

    @property
    def groups(self) -> tuple[str | None, ...]:
        """Group of each sample."""
        return tuple(sample.group for sample in self.samples)

    def side(self, side: Side) -> tuple[Sample, ...]:
        """Return the samples of one side."""
        return tuple(sample for sample in self.samples if sample.is_member == (side == "members"))

    def sha256(self, side: Side) -> str:
        """Fingerprint of a side: its ids and texts, in order.

        Each string enters as its length in UTF-8 bytes (8 bytes, big-endian) and then these bytes, so that no
        two different sides are the same stream of bytes.
        """
        digest = hashlib.sha256()
        for sample in self.side(side):
            for part in (sample.id.encode(), sample.text.encode()):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return digest.hexdigest()

    def n_bytes(self, side: Side) -> int:
        """Count the UTF-8 bytes of a side's texts."""
        return sum(len(sample.text.encode()) for sample in self.side(side))

    def n_repeated(self, side: Side) -> int:
        """Count the samples of a side whose exact text another sample of the side has too.

        Every copy counts: three samples with one text are three repeated samples.
        """
        copies = Counter(sample.text for sample in self.side(side))
        return sum(n for n in copies.values() if n > 1)

    def n_groups(self, side: Side) -> int | None:
        """Count the different groups that a side names; None if it names none."""
        return len({sample.group for sample in self.side(side)} - {None}) or None


def load_samples(members: DataSpec, non_members: DataSpec | None) -> SampleSet:
    r"""Read the texts of both sides, exactly as they are.

    Parameters
    ----------
    members, non_members : DataSpec
        Each a ``.jsonl``, ``.json``, ``.csv`` or ``.txt`` file (also ``.gz`` or ``.zst``), a ``.parquet`` or
        ``.arrow`` file, a folder of such files, a folder that ``datasets`` saved, or a ``datasets`` id
        ``name`` or ``name:config``. See the notes for what each form holds.

    Returns
    -------
    SampleSet

    Raises
    ------
    DataError
        For data that cannot be read, for a text that is missing, not a string, empty or not valid Unicode, for
        an id that is given twice, and for a text that is on both sides. Messages name places and ids, never
        texts.

    Notes
    -----
    The text is in the column ``text_field``. An optional ``id`` and ``group`` are cast to str; a null or NaN is
    no id or no group, and an empty group is none: texts without one do not belong together. A sample without an
    id is called ``member-N`` or ``non_member-N``, N being its position in the side, from 0, across the files of
    a folder in the order of their names. A text may occur several times in a side, as it may in training: see
    `SampleSet.n_repeated`.

    - ``.jsonl``: an object or a string a line. ``.txt``: a text a line. Lines end at ``\n`` or ``\r\n`` and
      nowhere else; blank ones are skipped and noted. In ``.txt`` a line of spaces is a text.
    - ``.json``: a list of objects, a list of strings, or one object of columns ``{"text": [...], ...}``.
    - ``.csv``: commas, a header, RFC 4180 quoting; an empty ``id`` or ``group`` is none.
    - A saved ``Dataset`` is read whole; of a ``DatasetDict`` or a hub id, the split of the spec is read.
    """
    samples, places, notes = _read_side(members, "members")
    other_notes: tuple[str, ...] = ()
    if non_members is not None:
        others, other_places, other_notes = _read_side(non_members, "non_members")
        samples, places = samples + others, places + other_places
    _refuse_shared_texts(samples)
    _refuse_shared_ids(samples, places)
    return SampleSet(samples=tuple(samples), notes={"members": notes, "non_members": other_notes})


def load_texts(spec: DataSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the texts of one source of any form that `load_samples` takes, and the notes made on the way.

    Raises
    ------
    DataError
        As `load_samples` does.
    """
    samples, _, notes = _read_side(spec, "data")
    return tuple(sample.text for sample in samples), notes


def _read_side(spec: DataSpec, side: Side | Literal["data"]) -> tuple[list[Sample], list[str], tuple[str, ...]]:
    """Read one side: its samples, the place of each, and the notes."""
    samples: list[Sample] = []
    places: list[str] = []
    notes: list[str] = []
    faults: defaultdict[str, list[str]] = defaultdict(list)
    for number, row in enumerate(read_rows(spec, notes)):
        label = f"{side.removesuffix('s')}-{number}"
        fault = _fault(row)
        if fault:
            faults[fault].append(f"{_shown_id(row, label)} ({row.place})")
        elif not faults and isinstance(row.text, str):
            sample_id = label if _is_null(row.id) else str(row.id)
            group = None if _is_null(row.group) or row.group == "" else str(row.group)
            samples.append(Sample(id=sample_id, text=row.text, is_member=side == "members", group=group))
            places.append(row.place)
    if faults:
        found = "; ".join(f"{fault}: {listing(where)}" for fault, where in faults.items())
        raise DataError(f"{side}: {found}; correct or remove them, as nothing is dropped silently")
    if not samples:
        raise DataError(f"{side}: {plain(spec.path)} holds no texts")
    return samples, places, tuple(notes)


def _fault(row: Row) -> str | None:
    """Say why a row cannot be a sample."""
    if not isinstance(row.text, str):
        kind = "null" if row.text is None else type(row.text).__name__
        return f"a text must be a string, not {kind}"
    if not row.text:
        return "a text is empty"
    if not _is_unicode(row.text):
        return "a text has a lone surrogate (half of a \\u escape pair), which no UTF-8 can hold"
    for label in (row.id, row.group):
        if isinstance(label, list | dict | bytes):
            return "an id or group must be a string or a number"
        if isinstance(label, str) and not _is_unicode(label):
            return "an id or group has a lone surrogate, which no UTF-8 can hold"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _shown_id(row: Row, label: str) -> str:
    return quoted(str(row.id)) if isinstance(row.id, str | int) else label


def _refuse_shared_texts(samples: Sequence[Sample]) -> None:
    """Refuse texts that are on both sides: they cannot be both trained on and not."""
    member_of = {sample.text: sample.id for sample in reversed(samples) if sample.is_member}
    pairs = [
        f"{quoted(member_of[sample.text])} = {quoted(sample.id)}"
        for sample in samples
        if not sample.is_member and sample.text in member_of
    ]
    if pairs:
        raise DataError(
            f"{counted(len(pairs), 'non-member')} with the exact text of a member (member = non-member): "
            f"{listing(pairs)}; a text was either trained on or not: remove it from one side"
        )


def _refuse_shared_ids(samples: Sequence[Sample], places: Sequence[str]) -> None:
    """Refuse ids that two samples of the audit have."""
    repeated = {sample_id for sample_id, n in Counter(s.id for s in samples).items() if n > 1}
    if not repeated:
        return
    places_of: defaultdict[str, list[str]] = defaultdict(list)
    for sample, place in zip(samples, places, strict=True):
        if sample.id in repeated:
            places_of[sample.id].append(place)
    found = [f"{quoted(sample_id)} ({listing(where, limit=2)})" for sample_id, where in places_of.items()]
    raise DataError(
        f"an id may stand for one sample of the audit only, over both sides; given more than once: "
        f"{listing(found)}; make them unique or leave out the id column"
    )
