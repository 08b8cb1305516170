"""The two sides of a data set in a bench: read where labels are, drawn by a seed, and written for its audits."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import DataSpec, ModelSpec
from ..data import load_samples
from ..data.chat import Chat
from ..data.quoting import counted, listing, plain
from ..data.readers import read_rows
from ..data.rows import Row
from ..documents.files import folder_for_owner, for_owner, whole_file
from ..errors import ConfigError, DataError
from .plan import DataEntry
from .public_sets import PublicSet

__all__ = ["Sides", "lay_out"]

_LABELS = {"1": True, "true": True, "member": True, "0": False, "false": False, "non-member": False}
_LABELS |= {"nonmember": False, "non_member": False, "1.0": True, "0.0": False}
_LIKE_A_NAME = re.compile(r"[^\W\d][\w.-]{0,28}")

Record = dict[str, Any]
"""A line of a file that an audit reads: id, text (or the columns of a conversation), group and copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Where the texts of both sides lie, with the keys that an audit reads them by."""

    paths: tuple[str, str]
    options: dict[str, str]
    notes: tuple[str, ...] = ()


def lay_out(entry: DataEntry, seed: int, folder: Path, *, download: bool) -> Sides:
    """Give the two sides of a data set: as they lie, or as labels and the seed make them, written into a folder.

    Parameters
    ----------
    entry : DataEntry
    seed : int
        Draws the texts, where a number is asked for.
    folder : Path
        Of the data sets of a bench. Its files are as confidential as the texts, and for their owner alone.
    download : bool
        Whether what is not here may be fetched.

    Raises
    ------
    ConfigError, DataError
        If something is to be downloaded and may not be, there are no labels, a side has too few texts, or other texts
        lie there already.
    """
    options = {"split": entry.split, "non_members_split": entry.non_members_split}
    if entry.members is not None and entry.non_members is not None:
        _refuse_download(entry, [entry.members, entry.non_members], download)
        if entry.per_side is None:
            return Sides(paths=(entry.members, entry.non_members), options={"text_field": entry.text_field} | options)
        sides = _two_sources(entry, entry.members, entry.non_members)
        notes: tuple[str, ...] = ()
    else:
        sides, notes = _labelled(entry, download)
    place = folder / entry.name
    if entry.per_side is not None:
        sides = {is_member: _drawn(entry, seed, is_member, rows) for is_member, rows in sides.items()}
        place /= f"seed-{seed}"
    column = "text" if entry.public is not None and entry.public.holds_tokens else entry.text_field
    paths = [_written(place / f"{name}.jsonl", sides[is_member], column, entry)
             for is_member, name in ((True, "members"), (False, "non_members"))]  # fmt: skip
    return Sides(paths=(paths[0], paths[1]), options={"text_field": column}, notes=notes)


def _two_sources(entry: DataEntry, members: str, non_members: str) -> dict[bool, list[Record]]:
    """Read both sides as an audit does, to draw from them."""
    samples = load_samples(
        DataSpec(path=members, text_field=entry.text_field, split=entry.split),
        DataSpec(path=non_members, text_field=entry.text_field, split=entry.non_members_split),
    )
    sides: dict[bool, list[Record]] = {True: [], False: []}
    for one in map(samples.__getitem__, range(len(samples))):
        more = {"group": one.group, "copies": one.copies}
        kept = {key: value for key, value in more.items() if value is not None}
        sides[one.is_member].append({"id": one.id, **one.columns(), **kept})
    return sides


def _labelled(entry: DataEntry, download: bool) -> tuple[dict[bool, list[Record]], tuple[str, ...]]:
    """Read one source and part it by its labels, or the two files of a public set."""
    public = entry.public
    if public is not None and public.label_field is None:
        members, non_members = _two_files(entry, public, download)
        return _two_sources(entry, members, non_members), ()
    path = entry.labelled
    if path is None:
        path = None if public is None else public.repository
        _refuse_missing(entry, path, download)
        assert path is not None
    else:
        _refuse_download(entry, [path], download)
    spec = DataSpec(path=path, text_field=entry.text_field, split=entry.split)
    sides: dict[bool, list[Record]] = {True: [], False: []}
    notes: list[str] = []
    words = _decoder(entry, notes) if public is not None and public.holds_tokens else _text_of
    for number, row in enumerate(read_rows(spec, notes, keep_others=True)):
        others = row.others if isinstance(row.others, dict) else {}
        if public is not None and public.part_field is not None and others.get(public.part_field) != entry.part:
            continue
        is_member = _label(entry, row, others)
        record = {"id": str(row.id) if row.id is not None else f"row-{number}", **words(entry, row)}
        if public is not None and public.copies_field is not None and is_member:
            record["copies"] = others.get(public.copies_field)
        elif row.copies is not None:
            record["copies"] = row.copies
        if row.group not in (None, ""):
            record["group"] = str(row.group)
        sides[is_member].append(record)
    for is_member, side in ((True, "members"), (False, "non-members")):
        if not sides[is_member]:
            of = f" in part {entry.part}" if entry.part is not None else ""
            raise DataError(
                f"data {entry.name!r}: {plain(path)} has no {side}{of}, by its column {entry.label_field!r}"
            )
    return sides, tuple(f"data {entry.name}: {note}" for note in notes)


def _label(entry: DataEntry, row: Row, others: Record) -> bool:
    """Say whether a row is a member; what stands in the column instead is never shown, as it may be a text."""
    if entry.label_field not in others:
        named = [name for name in others if _LIKE_A_NAME.fullmatch(name)]
        raise DataError(
            f"data {entry.name!r}: {row.place} has no column {entry.label_field!r} that says who is a member; other "
            f"columns there are: {listing(sorted(named), limit=20) or 'none'}; name it with label_field"
        )
    found = _LABELS.get(str(others[entry.label_field]).strip().lower())
    if found is None:
        raise DataError(
            f"data {entry.name!r}: {row.place} has a label in {entry.label_field!r} that is neither 1 nor 0 (nor true "
            "and false, nor member and non-member): mend it, or name another column with label_field"
        )
    return found


def _text_of(entry: DataEntry, row: Row) -> Record:
    """Return the columns of a text or a conversation."""
    if row.fault is not None or not isinstance(row.text, str) or not row.text:
        raise DataError(f"data {entry.name!r}: {row.place} holds no text in {entry.text_field!r}: leave the row out")
    return {"text": row.text} if row.form == "text" else Chat.read(row.text).columns()


def _decoder(entry: DataEntry, notes: list[str]) -> Callable[[DataEntry, Row], Record]:
    """Return what turns token ids into text; rows that do not come back as the same ids are counted."""
    from ..engine.loading.tokenizer_files import load_tokenizer

    assert entry.tokenizer is not None
    tokenizer = load_tokenizer(
        ModelSpec.parse(entry.tokenizer), way_out="name another one as the `tokenizer` of these data"
    )
    n_others = 0

    def words(entry: DataEntry, row: Row) -> Record:
        nonlocal n_others
        ids = row.text
        if not isinstance(ids, list) or not all(type(one) is int and 0 <= one < len(tokenizer) for one in ids):
            raise DataError(
                f"data {entry.name!r}: {row.place} has no ids of this tokenizer ({len(tokenizer):,} entries) in "
                f"{entry.text_field!r}: give the tokenizer of the models that were trained on them"
            )
        ids = ids[1:] if ids[:1] == [tokenizer.eos_token_id] else ids  # the mark between documents is no text
        text = str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        if tokenizer(text, add_special_tokens=False)["input_ids"] != ids:
            n_others += 1
            said = "read back as other token ids than they were trained as; bits and scores are of the text"
            if n_others > 1:
                notes.pop()
            notes.append(f"{counted(n_others, 'text')} {said}")
        if not text:
            raise DataError(
                f"data {entry.name!r}: {row.place} holds no text in {entry.text_field!r}: leave the row out"
            )
        return {"text": text}

    return words


def _two_files(entry: DataEntry, public: PublicSet, download: bool) -> tuple[str, str]:
    """Find the files of both sides in a local clone, or fetch these two."""
    folder = "cache_100_200_10000_512" if entry.part == "full_pile" else "cache_100_200_1000_512"
    names = [name.format(folder=folder, part=entry.part) for name in public.files]
    if entry.labelled is not None:
        found = [Path(entry.labelled) / name for name in names]
        for file in found:
            if not file.is_file():
                raise DataError(
                    f"data {entry.name!r}: {plain(file)} does not exist; path is the folder of a clone of "
                    f"{public.repository}, which holds it"
                )
        return str(found[0]), str(found[1])
    _refuse_missing(entry, public.repository, download)
    from huggingface_hub import hf_hub_download

    try:
        paths = [str(hf_hub_download(str(public.repository), name, repo_type="dataset")) for name in names]
    except Exception as error:  # the hub client raises many kinds; all mean: it is not to be had
        raise DataError(
            f"data {entry.name!r}: {public.repository} cannot be fetched ({type(error).__name__}); its terms may have "
            "to be accepted on the hub first"
        ) from error
    return paths[0], paths[1]


def _refuse_missing(entry: DataEntry, repository: str | None, download: bool) -> None:
    assert entry.public is not None
    if repository is None:
        raise ConfigError(
            f"data {entry.name!r}: {entry.public.name} is not to be had on the hub; make it as {entry.public.paper} "
            "says, and give path = its file"
        )
    if not download:
        raise ConfigError(
            f"data {entry.name!r}: nothing is downloaded unless asked: give path = a local copy of {repository}, or "
            "--download"
        )


def _refuse_download(entry: DataEntry, paths: list[str], download: bool) -> None:
    """Refuse what is not here, unless it may be fetched."""
    for path in paths:
        if not download and not os.path.exists(path):
            raise DataError(
                f"data {entry.name!r}: {plain(path)} does not exist here, and nothing is downloaded unless asked: give "
                "a file or folder, or --download for an id on the hub"
            )


def _drawn(entry: DataEntry, seed: int, is_member: bool, rows: list[Record]) -> list[Record]:
    """Draw so many texts of a side at random, without replacement, in the order of the data."""
    n = entry.per_side or 0
    if len(rows) < n:
        side = "members" if is_member else "non-members"
        raise DataError(f"data {entry.name!r}: per_side is {n:,}, and there are {len(rows):,} {side}: ask for fewer")
    chosen = np.random.default_rng([seed, int(is_member)]).permutation(len(rows))[:n]
    return [rows[i] for i in sorted(chosen.tolist())]


def _written(path: Path, rows: list[Record], column: str, entry: DataEntry) -> str:
    """Write a side for its owner alone; never over other texts."""
    text = "".join(_lines(rows, column))
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"data {entry.name!r}: {path} holds other texts, those that the bench began with; give those, or "
            "another --out"
        )
    for folder in reversed((path.parent, *path.parent.parents)):
        if not folder.exists():
            folder_for_owner(folder)
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n", opener=for_owner) as file:
        file.write(text)
    return str(path)


def _lines(rows: list[Record], column: str) -> Iterator[str]:
    for row in rows:
        yield json.dumps({column if key == "text" else key: value for key, value in row.items()}) + "\n"
