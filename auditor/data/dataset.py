"""The two sides of an audit: texts that the target trained on and texts that it did not, with no id or text shared."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..config import DataSpec, is_count
from ..errors import DataError
from .chat import FORMS, Chat
from .drops import read_drop_ids
from .held_texts import held_rows
from .json_values import as_json
from .lazy_texts import LazyTexts, TextSpool
from .quoting import counted, listing, plain, quoted
from .readers import read_rows
from .rows import Columns, Row, record_row

__all__ = ["PlainWords", "Sample", "SampleSet", "Side", "load_corpus", "load_samples", "load_texts",
           "samples_in_memory"]  # fmt: skip

Side = Literal["members", "non_members"]

_MOST_FAULTS = 10_000
"""Rows that cannot be samples after which no more are looked for: a column of nothing has any number of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One text of one side.

    Parameters
    ----------
    id : str
        Unique in the audit.
    text : str
        As given: never normalised, trimmed or repaired. Not empty, and valid Unicode. A conversation is written as
        `Chat.packed` does.
    is_member : bool
        Whether the target trained on it.
    group : str or None
        Unit that the text comes from, such as a document or a person, if the data names one.
    copies : int or None
        How often the text stands in the training set, if the data says so; 0 for a non-member.
    others : str or None
        The other columns as a JSON object, where they are kept.
    form : str
        Form that the text had in the data, one of `auditor.data.chat.FORMS`.
    """

    id: str
    text: str
    is_member: bool
    group: str | None = None
    copies: int | None = None
    others: str | None = None
    form: str = "text"

    @property
    def words(self) -> str:
        """The text without anything that a template adds: of a conversation, what is said in it."""
        return self.text if self.form == "text" else Chat.read(self.text).words()

    def columns(self) -> dict[str, Any]:
        """Return the columns that the text is read from again: ``text``, or those of a conversation."""
        return {"text": self.text} if self.form == "text" else Chat.read(self.text).columns()

    @property
    def text_sha256(self) -> str:
        """Hash of the whole text, UTF-8; of a conversation, of its words: the roles have no part in it."""
        return hashlib.sha256(self.words.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """The texts of an audit, in columns: members first, then non-members, each in the order of the data.

    Parameters
    ----------
    ids : tuple of str
    groups : tuple of (str or None)
    is_member : ndarray of bool, shape (n_samples,)
    texts : sequence of str
        Read from disk when asked for (see `TextSpool`): ask for one or a block at a time.
    text_sha256 : tuple of str
        Hash of each whole text, UTF-8.
    text_bytes : ndarray of int64, shape (n_samples,)
        UTF-8 bytes of each text.
    notes : mapping of {"members", "non_members"} to tuple of str
        What was left out or chosen while reading a side, such as ``skipped 3 blank lines of a.txt``.
    dropped : mapping of {"members", "non_members"} to int
        Samples of a side that were left out on purpose; see `n_dropped`.
    copies : tuple of (int or None)
        How often each text stands in the training set, where the data says so.
    others : sequence of str
        The other columns of each text as a JSON object, read from disk when asked for; empty where they are not kept.
    form : str
        Form of all texts, one of `auditor.data.chat.FORMS`.
    n_turns, n_tool_calls : ndarray of int64, shape (n_samples,)
        Scored messages of each conversation, and tool calls; one and none of a plain text.
    """

    ids: tuple[str, ...]
    groups: tuple[str | None, ...]
    is_member: NDArray[np.bool_]
    texts: Sequence[str]
    text_sha256: tuple[str, ...]
    text_bytes: NDArray[np.int64]
    notes: Mapping[Side, tuple[str, ...]]
    dropped: Mapping[Side, int] = field(default_factory=dict)
    copies: tuple[int | None, ...] = ()
    others: Sequence[str] = ()
    form: str = "text"
    n_turns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    n_tool_calls: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, samples: Iterable[Sample], notes: Mapping[Side, tuple[str, ...]]) -> "SampleSet":
        """Collect samples, which are consumed one by one."""
        texts, ids, groups, is_member, hashes = TextSpool(), [], [], [], []
        n_bytes, copies, others = array("q"), [], TextSpool()
        form, n_turns, n_calls = "text", array("q"), array("q")
        for sample in samples:
            form = sample.form
            turns, calls = _turns(sample)
            n_turns.append(turns)
            n_calls.append(calls)
            texts.append(sample.text)
            ids.append(sample.id)
            groups.append(sample.group)
            is_member.append(sample.is_member)
            hashes.append(sample.text_sha256)
            n_bytes.append(len(sample.words.encode()))
            copies.append(sample.copies)
            if sample.others is not None:
                others.append(sample.others)
        return cls(
            ids=tuple(ids),
            groups=tuple(groups),
            is_member=np.array(is_member, dtype=np.bool_),
            texts=texts,
            text_sha256=tuple(hashes),
            text_bytes=np.array(n_bytes, dtype=np.int64),
            notes=notes,
            copies=tuple(copies),
            others=others if len(others) else (),
            form=form,
            n_turns=np.array(n_turns, dtype=np.int64),
            n_tool_calls=np.array(n_calls, dtype=np.int64),
        )

    @property
    def words(self) -> Sequence[str]:
        """The texts without anything that a template adds; read from disk when asked for."""
        return self.texts if self.form == "text" else PlainWords(self.texts)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        is_member = bool(self.is_member[index])
        return Sample(
            id=self.ids[index],
            text=self.texts[index],
            is_member=is_member,
            group=self.groups[index],
            copies=self.copies[index],
            others=self.others[index] if self.others else None,
            form=self.form,
        )

    def rows(self, side: Side) -> list[int]:
        """Return the places of the samples of one side."""
        return [int(i) for i in np.flatnonzero(self.is_member == (side == "members"))]

    def sha256(self, side: Side | None = None) -> str:
        """Fingerprint of a side, or of all: its ids and texts, in order.

        Each string enters as its length in UTF-8 bytes (8 bytes, big-endian) and then these bytes, so that no
        two different sides are the same stream of bytes.
        """
        digest = hashlib.sha256()
        for row in range(len(self)) if side is None else self.rows(side):
            for part in (self.ids[row].encode(), self.texts[row].encode()):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return digest.hexdigest()

    def n_bytes(self, side: Side) -> int:
        """Count the UTF-8 bytes of a side's texts."""
        return int(self.text_bytes[self.rows(side)].sum())

    def n_distinct(self, side: Side) -> int:
        """Count the different texts of a side."""
        return len({self.text_sha256[row] for row in self.rows(side)})

    def n_repeated(self, side: Side) -> int:
        """Count the samples of a side whose exact text another sample of the side has too.

        Every copy counts: three samples with one text are three repeated samples.
        """
        copies = Counter(self.text_sha256[row] for row in self.rows(side))
        return sum(n for n in copies.values() if n > 1)

    def n_dropped(self, side: Side) -> int:
        """Count the samples of a side that a file of ids left out."""
        return self.dropped.get(side, 0)

    def n_groups(self, side: Side) -> int | None:
        """Count the different groups that a side names; None if it names none."""
        return len({self.groups[row] for row in self.rows(side)} - {None}) or None


def load_samples(
    members: DataSpec, non_members: DataSpec | None, *, drop: Path | None = None, held: Mapping[str, Any] | None = None
) -> SampleSet:
    r"""Read the texts of both sides, exactly as they are.

    Parameters
    ----------
    members, non_members : DataSpec
        Each a ``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, ``.tsv`` or ``.txt`` file (also ``.gz`` or ``.zst``), a
        ``.parquet`` or ``.arrow`` file, a folder of such files, a clone of a data set, a folder that ``datasets``
        saved, or a ``datasets`` id ``name`` or ``name:config``. See the notes for what each form holds.
    drop : Path, optional
        File of the ids of samples to leave out, one a line (see `read_drop_ids`). They are counted and noted, and
        the ids of the others do not change.
    held : mapping of str to object, optional
        Texts in memory, by the path that stands for them; see `held_rows`.

    Returns
    -------
    SampleSet

    Raises
    ------
    DataError
        For data that cannot be read, for a text that is missing, not a string, empty or not valid Unicode, for
        an id that is given twice, for a text that is on both sides, for an id to leave out that no sample has, and
        for a side of which nothing is left. Messages name places and ids, never
        texts.

    Notes
    -----
    The text is in the column ``text_field``. Where there is no column ``text``, conversations are looked for: in
    ``prompt`` with ``completion`` (strings, or lists of messages), in ``messages`` (or ``conversations``, ShareGPT's),
    with ``tools`` and ``chat_template_kwargs`` beside them; see `auditor.data.chat`. All rows are of one form.

    An optional ``id`` and ``group`` are cast to str; a null or NaN is
    no id or no group, and an empty group is none: texts without one do not belong together. A sample without an
    id is called ``member-N`` or ``non_member-N``, N being its position in the side, from 0, across the files of
    a folder in the order of their names. A text may occur several times in a side, as it may in training: see
    `SampleSet.n_repeated`.

    - ``.jsonl``: an object or a string a line. ``.txt``: a text a line. Lines end at ``\n`` or ``\r\n`` and
      nowhere else; blank ones are skipped and noted. In ``.txt`` a line of spaces is a text.
    - ``.json``: a list of objects, a list of strings, or one object of columns ``{"text": [...], ...}``.
    - ``.csv``: a header, RFC 4180 quoting, and between the cells commas, semicolons, tabs or bars, whichever gives the
      header the column of the texts; an empty ``id`` or ``group`` is none. ``.tsv``: tabs.
    - A saved ``Dataset`` is read whole; of a ``DatasetDict``, of a hub id, and of a folder whose files are named after
      splits (``train-00000-of-00001.parquet``) the split of the spec is read; of a clone of a data set its ``data``.
    """
    places: list[str] = []
    notes: dict[Side, tuple[str, ...]] = {"members": (), "non_members": ()}
    left_out: dict[Side, list[str]] = {"members": [], "non_members": []}
    forms: list[str] = []
    drop_ids = {} if drop is None else read_drop_ids(drop)

    sides: tuple[tuple[DataSpec | None, Side], ...] = ((members, "members"), (non_members, "non_members"))

    def both() -> Iterator[Sample]:
        for spec, side in sides:
            if spec is not None:
                yield from _read_side(spec, side, places, notes, drop_ids, left_out[side], held=held, forms=forms)

    data = SampleSet.of(both(), notes)
    _refuse_two_forms(data, forms)
    dropped = set().union(*left_out.values())
    data = replace(data, dropped={side: len(ids) for side, ids in left_out.items()})
    _refuse_unknown_ids({line for one, line in drop_ids.items() if one not in dropped}, drop)
    _refuse_shared_texts(data)
    _refuse_shared_ids(data.ids, places)
    return data


def load_texts(spec: DataSpec, held: Mapping[str, Any] | None = None) -> tuple[SampleSet, tuple[str, ...]]:
    """Read the texts of one source of any form that `load_samples` takes, and the notes made on the way.

    They are samples without a side; an id may come twice.

    Raises
    ------
    DataError
        As `load_samples` does.
    """
    notes: dict[str, tuple[str, ...]] = {}
    data = SampleSet.of(_read_side(spec, "data", [], notes, held=held), {})
    return data, notes["data"]


def samples_in_memory(sides: Mapping[Side, Sequence[object]]) -> SampleSet:
    """Take samples from rows in memory: strings, or mappings with the columns of a file.

    Raises
    ------
    DataError
        As `load_samples` does.
    """
    notes: dict[Side, tuple[str, ...]] = {"members": (), "non_members": ()}
    places: list[str] = []
    forms: list[str] = []

    def rows(side: Side, given: Sequence[object]) -> Iterator[Row]:
        for i, row in enumerate(given):
            place = f"row {i} of {side}"
            yield record_row(row, Columns("text"), place) if isinstance(row, Mapping) else Row(place, row)

    def both() -> Iterator[Sample]:
        for side, given in sides.items():
            spec = DataSpec(path=f"{side} in memory")
            yield from _samples(rows(side, given), spec, side, places, notes, [], forms=forms)

    data = SampleSet.of(both(), notes)
    _refuse_two_forms(data, forms)
    _refuse_shared_texts(data)
    _refuse_shared_ids(data.ids, places)
    return data


def load_corpus(spec: DataSpec, held: Mapping[str, Any] | None = None) -> tuple[SampleSet, tuple[str, ...]]:
    """Read one source of any form that `load_samples` takes, before it has sides, with all of its columns; and notes.

    The samples are those of `load_samples`, all of them non-members; one without an id is called ``data-N``.

    Raises
    ------
    DataError
        As `load_samples` does.
    """
    notes: dict[str, tuple[str, ...]] = {}
    places: list[str] = []
    data = SampleSet.of(_read_side(spec, "data", places, notes, keep_others=True, held=held), {})
    _refuse_shared_ids(data.ids, places)
    return data, notes["data"]


def _read_side(
    spec: DataSpec,
    side: Literal[Side, "data"],
    places: list[str],
    notes: MutableMapping[Any, tuple[str, ...]],
    drop_ids: Container[str] = (),
    left_out: list[str] | None = None,
    *,
    keep_others: bool = False,
    held: Mapping[str, Any] | None = None,
    forms: list[str] | None = None,
) -> Iterator[Sample]:
    """Read the samples of one side; the place of each, the notes, the ids left out and the form are added.

    Many parameters: what is found out on the way goes to lists of the caller, as samples are yielded one by one.
    """
    found: list[str] = []
    if held and spec.path in held:
        rows = held_rows(held[spec.path], Columns(spec.text_field, keep_others), spec.path)
    else:
        rows = read_rows(spec, found, keep_others=keep_others)
    return _samples(rows, spec, side, places, notes, found, drop_ids, left_out, forms=forms)


def _samples(
    rows: Iterable[Row],
    spec: DataSpec,
    side: Literal[Side, "data"],
    places: list[str],
    notes: MutableMapping[Any, tuple[str, ...]],
    found: list[str],
    drop_ids: Container[str] = (),
    left_out: list[str] | None = None,
    *,
    forms: list[str] | None = None,
) -> Iterator[Sample]:
    """Yield the samples of rows, of which ``found`` is noted already.

    Many parameters: what is found out on the way goes to lists of the caller, as samples are yielded one by one.
    """
    left_out = [] if left_out is None else left_out
    faults: defaultdict[str, list[str]] = defaultdict(list)
    first_of: dict[str, str] = {}
    n_samples = n_faults = 0
    for number, row in enumerate(rows):
        label = f"{side.removesuffix('s')}-{number}"
        fault = _fault(row)
        if fault:
            faults[fault].append(f"{_shown_id(row, label)} ({row.place})")
            n_faults += 1
            if n_faults == _MOST_FAULTS:
                break
        elif first_of.setdefault(row.form, row.place) and len(first_of) > 1:
            continue  # told at the end
        elif not faults and isinstance(row.text, str):
            sample_id = label if _is_null(row.id) else str(row.id)
            if sample_id in drop_ids:
                left_out.append(sample_id)
                continue
            group = None if _is_null(row.group) or row.group == "" else str(row.group)
            places.append(row.place)
            n_samples += 1
            copies = None if _is_null(row.copies) or row.copies == "" else int(float(str(row.copies)))
            yield Sample(
                id=sample_id,
                text=row.text,
                is_member=side == "members",
                group=group,
                copies=copies,
                others=None if row.others is None else as_json(row.others),
                form=row.form,
            )
    _refuse_mixed(first_of, side)
    if faults:
        listed = "; ".join(f"{fault}: {listing(where)}" for fault, where in faults.items())
        listed += f"; reading stopped after {n_faults:,} of them" * (n_faults == _MOST_FAULTS)
        raise DataError(f"{side}: {listed}; correct or remove them, as nothing is dropped silently")
    if left_out:
        found.append(f"left out {counted(len(left_out), 'sample')} named with --drop-ids")
    if left_out and not n_samples:
        raise DataError(f"{side}: --drop-ids names every sample of {plain(spec.path)}; keep some")
    if not n_samples:
        raise DataError(f"{side}: {plain(spec.path)} holds no texts")
    (form,) = first_of
    if form != "text":
        found.append(f"read as {FORMS[form]}")
    if forms is not None:
        forms.append(form)
    notes[side] = tuple(found)


def _fault(row: Row) -> str | None:
    """Say why a row cannot be a sample."""
    if row.fault:
        return row.fault
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
    if not (_is_null(row.copies) or row.copies == "" or is_count(str(row.copies).removesuffix(".0"))):
        return "copies must be a whole number, how often the text stands in the training set"
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


def _refuse_mixed(first_of: Mapping[str, str], side: str) -> None:
    """Refuse rows of several forms on one side: what is scored of them would differ."""
    if len(first_of) > 1:
        shown = "; ".join(f"{FORMS[form]} (first: {place})" for form, place in first_of.items())
        raise DataError(f"{side}: rows of mixed forms: {shown}; write all of them in one form")


def _refuse_two_forms(data: SampleSet, forms: Sequence[str]) -> None:
    """Refuse sides that were written in two forms of which other parts are scored."""
    alike = {"conversations": "messages"}
    if len({alike.get(form, form) for form in forms}) > 1:
        members, others = (FORMS[form] for form in forms)
        raise DataError(
            f"members are {members}, non-members {others}: other parts of them would be scored; write both sides in "
            "one form"
        )


def _turns(sample: Sample) -> tuple[int, int]:
    """Count the scored messages of a conversation, and the tool calls in it."""
    if sample.form == "text":
        return 1, 0
    chat = Chat.read(sample.text)
    return len(chat.scored("completion")), sum(len(message.get("tool_calls") or []) for message in chat.messages)


class PlainWords(LazyTexts):
    """The words of conversations, or of the part of them that is scored, read when asked for."""

    def __init__(self, packed: Sequence[str], score: str = "all") -> None:
        self._packed, self._score = packed, score

    def __len__(self) -> int:
        return len(self._packed)

    def text(self, index: int) -> str:
        """Return the words of the conversation at a place, counted from 0."""
        return Chat.read(self._packed[index]).words(self._score)


def _refuse_unknown_ids(lines: set[int], drop: Path | None) -> None:
    """Refuse ids to leave out that no sample has: a slip there would go unnoticed.

    They are named by their lines: a file of texts that was given by mistake is not to be shown.
    """
    if lines:
        named = listing([f"line {line}" for line in sorted(lines)])
        raise DataError(
            f"--drop-ids {plain(drop)}: {counted(len(lines), 'id')} of no sample ({named}): remove or correct them; "
            "the file holds ids, not texts"
        )


def _refuse_shared_texts(data: SampleSet) -> None:
    """Refuse texts that are on both sides: they cannot be both trained on and not."""
    member_of = {data.text_sha256[row]: data.ids[row] for row in reversed(data.rows("members"))}
    pairs = [
        f"{quoted(member_of[data.text_sha256[row]])} = {quoted(data.ids[row])}"
        for row in data.rows("non_members")
        if data.text_sha256[row] in member_of
    ]
    if pairs:
        raise DataError(
            f"{counted(len(pairs), 'non-member')} with the exact text of a member (member = non-member): "
            f"{listing(pairs)}; a text was either trained on or not: remove it from one side"
        )


def _refuse_shared_ids(ids: Sequence[str], places: Sequence[str]) -> None:
    """Refuse ids that two samples of the audit have."""
    repeated = {sample_id for sample_id, n in Counter(ids).items() if n > 1}
    if not repeated:
        return
    places_of: defaultdict[str, list[str]] = defaultdict(list)
    for sample_id, place in zip(ids, places, strict=True):
        if sample_id in repeated:
            places_of[sample_id].append(place)
    found = [f"{quoted(sample_id)} ({listing(where, limit=2)})" for sample_id, where in places_of.items()]
    raise DataError(
        f"an id may stand for one sample of the audit only, over both sides; given more than once: "
        f"{listing(found)}; make them unique or leave out the id column"
    )
