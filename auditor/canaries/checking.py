"""The check of the final training data: which canaries are whole and learned from, after packing, cuts and masks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.quoting import listing, plain, quoted, reason
from ..documents.canaries import Canary, CanarySecrets, FinalData, TierFound
from ..engine.tokens import encode
from ..errors import DataError
from .folder import is_in

__all__ = ["count_canaries", "explain", "read_sequences"]

IGNORED = -100
_MASKS = ("completion_mask", "assistant_masks", "assistant_mask")
"""Columns that say which tokens are learned from, before a collator makes ``labels`` of them."""

Ids = NDArray[np.int64]


@dataclass(slots=True)
class _Counts:
    """How often each canary was found, by its id."""

    whole: Counter[str] = field(default_factory=Counter)
    with_prefix: Counter[str] = field(default_factory=Counter)
    anywhere: Counter[str] = field(default_factory=Counter)
    halves: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))


def count_canaries(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, secrets: CanarySecrets, *, name: str
) -> FinalData:
    """Count canaries in what a trainer is given.

    A canary counts if its whole secret is written by consecutive tokens of one sequence, each of which the model is
    trained to predict.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of a tokenised data set, or batches of a ``DataLoader`` with the trainer's own collator: ``input_ids``, and
        ``labels`` (-100 is not learned from), ``attention_mask`` or the masks of TRL where they are there.
    tokenizer : transformers.PreTrainedTokenizerBase
        That of the data.
    secrets : CanarySecrets
    name : str
        What the data are called.

    Raises
    ------
    DataError
        If a row has no ``input_ids``, or masks of another length.
    """
    needles = [(one, one.secret.strip()) for one in secrets.canaries]  # some tokenizers drop a first space
    counts, n_rows, n_tokens = _Counts(), 0, 0
    for row in rows:
        for ids, learned in _sequences(row, name):
            n_rows, n_tokens = n_rows + 1, n_tokens + int(learned.sum())
            _count(tokenizer, ids, learned, needles, counts)
    if not n_rows:
        raise DataError(f"{name} holds no sequences")
    inside = {one.id for one in secrets.canaries if is_in(secrets, one)}
    lengths = dict(
        zip((one.id for one, _ in needles), map(len, encode(tokenizer, [s for _, s in needles])), strict=True)
    )
    ours = sum(n * lengths[one] for one, n in counts.whole.items())
    tiers = [
        _tier(copies, [one for one in secrets.canaries if one.copies == copies], inside, counts)
        for copies in sorted({one.copies for one in secrets.canaries})
    ]
    return FinalData(
        data=name,
        n_rows=n_rows,
        n_tokens=n_tokens,
        share_of_tokens=ours / max(1, n_tokens),
        holds=not any(tier.n_canaries_short or tier.n_canaries_beyond for tier in tiers),
        tiers=tuple(tiers),
    )


def explain(found: FinalData) -> str:
    """Say in one line what is wrong with the final data, and what usually does it."""
    said = []
    for tier in found.tiers:
        faults = {
            "canaries too seldom": tier.n_canaries_short,
            "canaries too often": tier.n_canaries_beyond,
            "copies not learned from": tier.n_masked,
            "copies cut": tier.n_cut,
        }
        if tier.n_canaries_short or tier.n_canaries_beyond:
            named = ", ".join(f"{what} {n}" for what, n in faults.items() if n)
            said.append(f"{tier.copies}x: {tier.n_whole} of {tier.n_expected} copies whole ({named})")
    causes = []
    if any(tier.n_cut for tier in found.tiers):
        causes.append("packing and truncation cut: give canaries rows of their own, or raise the length")
    if any(tier.n_masked for tier in found.tiers):
        causes.append("labels hide secrets, or they begin a sequence: they belong in the completion or the answer")
    if any(tier.n_whole + tier.n_masked + tier.n_cut < tier.n_expected for tier in found.tiers):
        causes.append("de-duplication and filters remove rows: insert canaries after them")
    return f"{found.data} does not hold the canaries as they were inserted: {'; '.join([*said, *causes])}"


def read_sequences(path: Path, split: str = "train") -> Iterator[Mapping[str, Any]]:
    """Read rows of a tokenised data set: .parquet, .arrow, .jsonl, or a folder that ``datasets`` saved.

    Raises
    ------
    DataError
        If it cannot be read, or has no column ``input_ids``.
    """
    import datasets

    where = plain(path)
    kinds = {".parquet": "parquet", ".arrow": "arrow", ".jsonl": "json", ".ndjson": "json"}
    try:
        if path.is_dir():
            found = datasets.load_from_disk(str(path))
            if isinstance(found, datasets.DatasetDict):
                if split not in found:
                    raise DataError(f"{where} has no split {quoted(split)}; there are {listing(list(found))}")
                found = found[split]
        elif not path.exists():
            raise DataError(f"{where}: no such file or folder")
        elif path.suffix.lower() not in kinds:
            raise DataError(f"{where}: give a .parquet, .arrow or .jsonl file, or a folder that `datasets` saved")
        elif kinds[path.suffix.lower()] == "json":
            yield from _json_rows(path)
            return
        else:
            found = _opened_table(path)
    except DataError:
        raise
    except Exception as error:  # whatever damaged data make a library raise
        raise DataError(f"cannot read {where}: {reason(error)}") from error
    if "input_ids" not in found.column_names:
        raise _no_ids(where, found.column_names)
    wanted = {"input_ids", "labels", "attention_mask", *_MASKS}
    yield from found.select_columns([name for name in found.column_names if name in wanted])


def _opened_table(path: Path) -> Any:
    """Open a file of a table as a data set, nothing of it copied to a cache."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        return datasets.Dataset(datasets.table.InMemoryTable(pq.read_table(path)))
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        with pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file) as opened:
            return datasets.Dataset(datasets.table.InMemoryTable(opened.read_all()))


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import json

    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict) or "input_ids" not in row:
                raise _no_ids(f"{plain(path)} line {number}", list(row) if isinstance(row, dict) else [])
            yield row


def _no_ids(where: str, names: Sequence[str]) -> DataError:
    held = listing([plain(name, limit=40) for name in names], limit=20) or "none"
    return DataError(
        f"{where}: no column 'input_ids'; columns there are: {held}; give the data as the trainer reads them, after "
        "tokenisation, packing and truncation"
    )


def _sequences(row: Mapping[str, Any], where: str) -> Iterator[tuple[Ids, NDArray[np.bool_]]]:
    """Yield the ids of each sequence of a row or batch, padding left out, and which of them are learned from."""
    if "input_ids" not in row:
        raise _no_ids(where, list(row))
    ids = _matrix(row["input_ids"])
    told = ("labels",) if row.get("labels") is not None else _MASKS  # labels are what the masks were made into
    masks = {name: _matrix(row[name]) for name in ("attention_mask", *told) if row.get(name) is not None}
    for i, tokens in enumerate(ids):
        learned, there = np.ones(tokens.size, dtype=np.bool_), np.ones(tokens.size, dtype=np.bool_)
        for name, matrix in masks.items():
            if len(matrix) != len(ids) or matrix[i].size != tokens.size:
                raise DataError(f"{where}: {name} is not as long as input_ids in a row")
            if name == "attention_mask":
                there &= matrix[i] != 0
            else:
                learned &= matrix[i] != (IGNORED if name == "labels" else 0)
        learned[:1] = False  # nothing stands before it that it could be predicted from
        yield tokens[there], learned[there]


def _matrix(values: Any) -> list[Ids]:
    """Take a row, or a batch of rows, of anything that holds numbers."""
    plain_values = values.tolist() if hasattr(values, "tolist") else list(values)
    if plain_values and isinstance(plain_values[0], list | tuple | np.ndarray):
        return [np.asarray(one, dtype=np.int64) for one in plain_values]
    return [np.asarray(plain_values, dtype=np.int64)]


def _count(
    tokenizer: Any, ids: Ids, learned: NDArray[np.bool_], needles: Sequence[tuple[Canary, str]], counts: _Counts
) -> None:
    """Look for every canary in one sequence."""
    text = _decoded(tokenizer, ids)
    runs: list[str] | None = None
    for canary, secret in needles:
        half = len(secret) // 2
        first, second = text.count(secret[:half]), text.count(secret[half:])
        if not first and not second:
            continue
        counts.halves[0][canary.id] += first
        counts.halves[1][canary.id] += second
        anywhere = text.count(secret)
        if not anywhere:
            continue
        runs = _runs(tokenizer, ids, learned) if runs is None else runs
        whole = sum(run.count(secret) for run in runs)
        counts.anywhere[canary.id] += anywhere
        counts.whole[canary.id] += whole
        counts.with_prefix[canary.id] += min(whole, text.count(canary.prefix)) if canary.prefix else whole


def _runs(tokenizer: Any, ids: Ids, learned: NDArray[np.bool_]) -> list[str]:
    """Decode every stretch of tokens that are learned from."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], learned.astype(np.int8), [0]])))
    return [_decoded(tokenizer, ids[start:stop]) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _decoded(tokenizer: Any, ids: Ids) -> str:
    return str(tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _tier(copies: int, canaries: Sequence[Canary], inside: set[str], counts: _Counts) -> TierFound:
    """Add up what was found of one tier."""
    expected = {one.id: copies if one.id in inside else 0 for one in canaries}
    lost = {one.id: max(0, expected[one.id] - counts.anywhere[one.id]) for one in canaries}
    halves = {one.id: max(half[one.id] for half in counts.halves) - counts.anywhere[one.id] for one in canaries}
    return TierFound(
        copies=copies,
        n_expected=sum(expected.values()),
        n_whole=sum(counts.whole[one.id] for one in canaries),
        n_with_prefix=sum(counts.with_prefix[one.id] for one in canaries),
        n_masked=sum(counts.anywhere[one.id] - counts.whole[one.id] for one in canaries),
        n_cut=sum(min(lost[one.id], halves[one.id]) for one in canaries),  # short halves occur in other texts, too
        n_canaries_short=sum(counts.whole[one.id] < expected[one.id] for one in canaries),
        n_canaries_beyond=sum(counts.anywhere[one.id] > expected[one.id] for one in canaries),
    )
