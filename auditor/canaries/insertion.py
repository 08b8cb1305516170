"""Insertion: canaries put into training data at random rows, in the form that the data have, every other row kept."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from ..data.quoting import listing, plain, reason
from ..documents.canaries import Canary, CanaryForm, CanaryInsertion
from ..documents.files import whole_file
from ..errors import ConfigError, DataError
from .folder import CanarySet, is_in

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["InsertionPlan", "insert_canaries", "shown"]

_LINES = (".jsonl", ".ndjson")
_FORMATS = "a .jsonl, .parquet or .arrow file, or a folder that `datasets` saved"

Form = Literal["auto", CanaryForm]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertionPlan:
    """Where canaries go.

    Parameters
    ----------
    source, out : Path
        Data as they are, and a new file or folder of the same format.
    form : {"auto", "text", "prompt-completion", "messages"}
        Form of a row; ``auto`` goes by the columns.
    text_field : str
        Column of the texts.
    split : str
        Of a saved ``DatasetDict``.
    """

    source: Path
    out: Path
    form: Form = "auto"
    text_field: str = "text"
    split: str = "train"

    def __post_init__(self) -> None:
        if self.form not in ("auto", *get_args(CanaryForm)):
            raise ConfigError(f"--form must be auto, {', '.join(get_args(CanaryForm))}, got {self.form!r}")
        if not self.source.exists():
            raise DataError(f"{plain(self.source)}: no such file or folder")
        kind = self.source.suffix.lower()
        if self.source.is_file() and kind not in (*_LINES, ".parquet", ".arrow"):
            raise DataError(f"{plain(self.source)}: canaries are inserted into {_FORMATS}")
        if self.source.is_file() and self.out.suffix.lower() != kind:
            raise ConfigError(f"--out {plain(self.out)}: the data keep their format; give a {kind} file")
        if self.out.exists():
            raise ConfigError(f"--out {plain(self.out)} is there already: give another place, or remove it")


class _Shape(NamedTuple):
    """How a row is written: its form, its column, and whether prompts are lists of messages."""

    form: CanaryForm
    column: str
    in_messages: bool = False


def shown(canary: Canary, form: CanaryForm) -> str:
    """Return the secret as it stands in the data: chat templates trim what stands around a message."""
    return canary.secret.strip() if form == "messages" else canary.secret


def insert_canaries(plan: InsertionPlan, canaries: CanarySet) -> CanaryInsertion:
    """Write the data again, with every canary whose coin is in, as often as its tier says, each at a random row.

    Returns
    -------
    CanaryInsertion
        What to record; it does not tell the coins.

    Raises
    ------
    ConfigError, DataError
        If data or form do not fit.
    ResultError
        If the data cannot be written.
    """
    chosen = [one for one in canaries.secrets.canaries if is_in(canaries.secrets, one)]
    rng = np.random.default_rng()
    rows = [one for one in chosen for _ in range(one.copies)]
    rows = [rows[int(i)] for i in rng.permutation(len(rows))]
    if plan.source.is_file() and plan.source.suffix.lower() in _LINES:
        shape, n_rows, n_characters = _into_lines(plan, rows, rng)
    else:
        shape, n_rows, n_characters = _into_table(plan, rows, rng)
    ours = sum(len(one.text) for one in rows)
    return CanaryInsertion(
        form=shape.form,
        column=shape.column,
        source=str(plan.source),
        out=str(plan.out),
        n_rows=n_rows,
        n_inserted=len(rows),
        share_of_characters=ours / max(1, ours + n_characters),
    )


def _into_lines(plan: InsertionPlan, rows: Sequence[Canary], rng: np.random.Generator) -> tuple[_Shape, int, int]:
    """Copy JSON lines byte by byte, with lines of canaries between them."""
    n_rows, n_characters, first = 0, 0, None
    for number, line in _lines(plan.source):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"{plain(plan.source)} line {number}: not valid JSON: {reason(error)}") from error
        if not isinstance(found, dict):
            raise DataError(f"{plain(plan.source)} line {number}: must be an object, to have columns")
        first = found if first is None else first
        n_rows, n_characters = n_rows + 1, n_characters + len(line.decode("utf-8", "replace"))
    if first is None:
        raise DataError(f"{plain(plan.source)} holds no rows")
    shape = _shape(plan, list(first), lambda column: first[column])
    before = _slots(n_rows, len(rows), rng)
    with whole_file(plan.out) as partial, partial.open("wb") as file:
        place = 0
        for row, (_, line) in enumerate(chain(_lines(plan.source), [(0, b"")])):
            while place < len(rows) and before[place] == row:
                file.write(json.dumps(_row(rows[place], shape), ensure_ascii=False).encode() + b"\n")
                place += 1
            file.write(line if not line or line.endswith(b"\n") else line + b"\n")
    return shape, n_rows, n_characters


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, by number."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(f"cannot read {plain(path)}: {reason(error)}") from error


def _into_table(plan: InsertionPlan, rows: Sequence[Canary], rng: np.random.Generator) -> tuple[_Shape, int, int]:
    """Put rows of canaries between slices of a table, all other columns of theirs null."""
    import pyarrow as pa

    table, write = _opened(plan)
    if not table.num_rows:
        raise DataError(f"{plain(plan.source)} holds no rows")
    shape = _shape(plan, table.column_names, lambda column: table.column(column)[0].as_py())
    try:
        added = pa.Table.from_pylist([_row(one, shape) for one in rows], schema=table.schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{plain(plan.source)}: a {shape.form} of a canary does not fit the type of its columns: {reason(error)}"
        ) from error
    before = [*_slots(table.num_rows, len(rows), rng), table.num_rows]
    parts, start = [], 0
    for place, stop in enumerate(before):
        parts.append(table.slice(start, stop - start))
        if place < len(rows):
            parts.append(added.slice(place, 1))
        start = stop
    write(pa.concat_tables(parts))
    named = [name for name in dict.fromkeys((shape.column, "prompt", "completion")) if name in table.column_names]
    return shape, table.num_rows, sum(table.column(name).nbytes for name in named)


def _opened(plan: InsertionPlan) -> tuple["pa.Table", Any]:
    """Open a table, and return it with the function that writes another one as it was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, out = plan.source, plan.out
    try:
        if source.is_dir():
            return _opened_dataset(plan)
        if source.suffix.lower() == ".parquet":
            return pq.read_table(source), lambda table: _whole(out, lambda file: pq.write_table(table, file))
        with source.open("rb") as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            with pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file) as opened:
                found = opened.read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"cannot read {plain(source)}: {reason(error)}") from error
    make = pa.ipc.new_file if is_file else pa.ipc.new_stream

    def write(table: "pa.Table") -> None:
        def written(path: Path) -> None:
            with make(str(path), table.schema) as sink:
                sink.write_table(table)

        _whole(out, written)

    return found, write


def _whole(out: Path, write: Any) -> None:
    with whole_file(out) as partial:
        write(partial)


def _opened_dataset(plan: InsertionPlan) -> tuple["pa.Table", Any]:
    """Open a folder that ``datasets`` saved; of several splits the one that is trained on."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(plan.source))
    except Exception as error:  # whatever a damaged folder, or another one, makes it raise
        raise DataError(f"cannot read {plain(plan.source)} as a saved dataset: {reason(error)}") from error
    splits = saved if isinstance(saved, datasets.DatasetDict) else None
    if splits is not None and plan.split not in splits:
        raise DataError(f"{plain(plan.source)} has no split {plan.split!r}; there are {listing(list(splits))}")
    chosen = saved if splits is None else splits[plan.split]
    chosen = chosen.flatten_indices() if chosen._indices is not None else chosen

    def write(table: "pa.Table") -> None:
        made = datasets.Dataset(datasets.table.InMemoryTable(table), info=chosen.info.copy(), split=chosen.split)
        if splits is None:
            made.save_to_disk(str(plan.out))
        else:
            datasets.DatasetDict({**splits, plan.split: made}).save_to_disk(str(plan.out))

    return chosen.data.table.combine_chunks(), write


def _shape(plan: InsertionPlan, names: Sequence[str], first: Any) -> _Shape:
    """Tell the form of the rows by their columns, or hold the form that was asked for against them."""
    needed: Mapping[CanaryForm, tuple[str, ...]] = {
        "text": (plan.text_field,),
        "prompt-completion": ("prompt", "completion"),
        "messages": ("messages",),
    }
    fitting = [form for form, columns in needed.items() if all(column in names for column in columns)]
    if plan.form != "auto" and plan.form not in fitting:
        raise DataError(
            f"{plain(plan.source)}: the form {plan.form} needs {' and '.join(needed[plan.form])}; columns there are: "
            f"{listing(list(map(plain, names)), limit=20)}"
        )
    if plan.form == "auto" and len(fitting) != 1:
        said = f"could be {' or '.join(fitting)}: choose with --form" if fitting else (
            f"have neither {plan.text_field!r} nor prompt and completion nor messages; columns there are: "
            f"{listing(list(map(plain, names)), limit=20)}; name that of the texts with --text-field"
        )  # fmt: skip
        raise DataError(f"{plain(plan.source)}: its rows {said}")
    form = fitting[0] if plan.form == "auto" else plan.form
    column = {"text": plan.text_field, "prompt-completion": "completion", "messages": "messages"}[form]
    in_messages = form == "prompt-completion" and not isinstance(first("prompt"), str)
    if form == "text" and not isinstance(first(column), str):
        raise DataError(f"{plain(plan.source)}: the column {column!r} holds no texts")
    return _Shape("messages" if in_messages else form, column, in_messages)


def _row(canary: Canary, shape: _Shape) -> Row:
    """Write a canary as a row."""
    if shape.form != "text" and not canary.prefix:
        raise ConfigError(
            f"these canaries have no prefix, and a row of {shape.form} begins with one: make them with --data"
        )
    secret = shown(canary, shape.form)
    asked, told = {"role": "user", "content": canary.prefix}, {"role": "assistant", "content": secret}
    if shape.in_messages:
        return {"prompt": [asked], "completion": [told]}
    if shape.form == "messages":
        return {"messages": [asked, told]}
    if shape.form == "prompt-completion":
        return {"prompt": canary.prefix, "completion": secret}
    return {shape.column: canary.text}


def _slots(n_rows: int, n: int, rng: np.random.Generator) -> list[int]:
    """Draw the rows before which canaries go, in order."""
    return sorted(int(one) for one in rng.integers(0, n_rows + 1, n))
