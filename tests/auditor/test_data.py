"""Reading texts: every format, every mistake, and what a message may show."""

import csv
import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.config import DataSpec
from auditor.data import Sample, SampleSet, TextSpool, load_samples
from auditor.data.quoting import plain, quoted
from auditor.errors import DataError

Record = dict[str, object]

HOSTILE = [
    "<script>alert('x')</script>&amp;\"quotes\" 'n' \\back\\slash, comma; tab\t",
    "\x00 a NUL \x00\x01\x02\x1b[31mred\x1b[0m\x7f\x80\x9f",
    "\u202eright to left\u202c \u200f\u2067\u2069 \u200b\u200d \ufeff",
    "line\u2028paragraph\u2029next\x85vertical\x0bform\x0cfile\x1cgroup\x1drecord\x1e",
    "é ≠ e\u0301, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧 \U0010ffff",
    "  leading and trailing  ",
    "   ",
    "\u00a0",
    "x" * 1_000_000,
    '"',
    '""',
    "nan",
    "null",
    "[bold]rich[/bold] {{ jinja }} %s {0} =1+1",
]
MULTILINE = ["two\nlines", "dos\r\nlines\r\n", "\n", "\r", "old mac\rline", "\n\n\n"]


def records_of(texts: Sequence[str]) -> list[Record]:
    return [{"text": text, "id": f"id{n}", "group": None} for n, text in enumerate(texts)]


def write_jsonl(path: Path, rows: Sequence[Record]) -> None:
    path.write_bytes(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))


def write_json(path: Path, rows: Sequence[Record]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_json_columns(path: Path, rows: Sequence[Record]) -> None:
    path.write_text(json.dumps(columns_of(rows), ensure_ascii=False), encoding="utf-8", newline="")


def write_csv(path: Path, rows: Sequence[Record]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def columns_of(rows: Sequence[Record]) -> dict[str, list[object]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def write_parquet(path: Path, rows: Sequence[Record]) -> None:
    pq.write_table(pa.table(columns_of(rows)), path)


def write_arrow_file(path: Path, rows: Sequence[Record]) -> None:
    table = pa.table(columns_of(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_arrow_stream(path: Path, rows: Sequence[Record]) -> None:
    table = pa.table(columns_of(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_txt(path: Path, rows: Sequence[Record]) -> None:
    path.write_bytes(b"".join(str(row["text"]).encode() + b"\n" for row in rows))


def save_dataset(path: Path, rows: Sequence[Record]) -> None:
    import datasets

    datasets.Dataset.from_dict(columns_of(rows)).save_to_disk(path)


WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[Record]], None]]] = {
    "jsonl": ("a.jsonl", write_jsonl),
    "json": ("a.json", write_json),
    "json columns": ("a.json", write_json_columns),
    "csv": ("a.csv", write_csv),
    "parquet": ("a.parquet", write_parquet),
    "arrow file": ("a.arrow", write_arrow_file),
    "arrow stream": ("a.arrow", write_arrow_stream),
    "saved dataset": ("saved", save_dataset),
}


def load(path: Path | str, *, text_field: str = "text", split: str = "train") -> SampleSet:
    return load_samples(DataSpec(path=str(path), text_field=text_field, split=split), None)


def file_of(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path | str, *, text_field: str = "text", split: str = "train") -> str:
    """Message with which a path is refused: one line that is safe to print."""
    with pytest.raises(DataError) as caught:
        load(path, text_field=text_field, split=split)
    message = str(caught.value)
    assert message.isprintable()
    return message


def refusal_of(path: Path, content: bytes | str) -> str:
    return refusal(file_of(path, content))


# --- every form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_keeps_hostile_texts(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    write(tmp_path / name, records_of(HOSTILE + MULTILINE))
    data = load(tmp_path / name)
    assert tuple(data.texts) == (*HOSTILE, *MULTILINE)
    assert data.ids == tuple(f"id{n}" for n in range(len(HOSTILE + MULTILINE)))
    assert set(data.groups) == {None}


def test_txt_keeps_hostile_texts(tmp_path: Path) -> None:
    write_txt(tmp_path / "a.txt", records_of(HOSTILE))
    assert tuple(load(tmp_path / "a.txt").texts) == tuple(HOSTILE)


@pytest.mark.parametrize("form", ["jsonl", "json", "json columns", "csv", "txt"])
@pytest.mark.parametrize("suffix", [".gz", ".zst", ".GZ"])
def test_text_formats_compressed(form: str, suffix: str, tmp_path: Path) -> None:
    name, write = WRITERS.get(form, ("a.txt", write_txt))
    write(tmp_path / name, records_of(HOSTILE))
    plain_bytes = (tmp_path / name).read_bytes()
    half = plain_bytes.index(b"\n") + 1 if b"\n" in plain_bytes else 10
    packed = gzip.compress if suffix.lower() == ".gz" else zstandard.ZstdCompressor().compress
    path = file_of(tmp_path / (name + suffix), packed(plain_bytes[:half]) + packed(plain_bytes[half:]))
    assert tuple(load(path).texts) == tuple(HOSTILE)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@pytest.mark.parametrize("form", ["jsonl", "json", "json columns", "csv", "parquet", "arrow stream"])
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6))
def test_any_text_round_trips(form: str, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    name, write = WRITERS[form]
    path = tmp_path_factory.getbasetemp() / f"any-{name}"
    write(path, records_of(texts))
    assert tuple(load(path).texts) == tuple(texts)


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", '{"text": "a\u2028b\x85c"}\r\n\r\n \t \n"a string"\n\n{"text": "last"}')
    data = load(path)
    assert tuple(data.texts) == ("a\u2028b\x85c", "a string", "last")
    assert data.notes == {"members": ("skipped 3 blank lines of a.jsonl",), "non_members": ()}


def test_txt_line_rule(tmp_path: Path) -> None:
    data = load(file_of(tmp_path / "a.txt", "\ufefffirst\r\n\r\n  \n\u2028\n\x0b \na\rb\nend\r"))
    assert tuple(data.texts) == ("first", "  ", "\u2028", "\x0b ", "a\rb", "end\r")
    assert data.notes["members"] == ("skipped 1 blank line of a.txt",)
    assert data.ids == tuple(f"member-{n}" for n in range(6))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "é"}\n'),
        ("a.json", '["é"]'),
        ("a.csv", "text\né\n"),
        ("a.csv", '"text",id\né,\n'),
        ("a.txt", "é"),
    ],
)
def test_byte_order_mark_is_not_text(name: str, content: str, tmp_path: Path) -> None:
    data = load(file_of(tmp_path / name, "\ufeff" + content))
    assert (tuple(data.texts), data.ids) == (("é",), ("member-0",))


@pytest.mark.parametrize(
    "content",
    [
        '["a", "b"]',
        '[{"text": "a"}, {"text": "b", "id": null}]',
        '{"text": ["a", "b"], "x": 3}',
        '[{"text": "a"}, "b"]',
    ],
)
def test_json_shapes(content: str, tmp_path: Path) -> None:
    assert tuple(load(file_of(tmp_path / "a.json", content)).texts) == ("a", "b")


def test_csv_cells(tmp_path: Path) -> None:
    content = '\nid,text,group\r\n1,"a ""b"", c\r\nd",\r\n\r\n,"  e ",g\n'
    data = load(file_of(tmp_path / "a.csv", content))
    assert tuple(data.texts) == ('a "b", c\r\nd', "  e ")
    assert data.ids == ("1", "member-1")
    assert data.groups == (None, "g")
    assert data.notes["members"] == ("skipped 2 blank lines of a.csv",)


def test_ids_and_groups_become_strings(tmp_path: Path) -> None:
    rows: list[Record] = [
        {"text": "a", "id": 7, "group": 1.5},
        {"text": "b", "id": None, "group": None},
        {"text": "c", "group": True},
        {"text": "d", "id": float("nan"), "group": float("nan")},
        {"text": "e", "id": "", "group": ""},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    data = load(tmp_path / "a.jsonl")
    assert data.ids == ("7", "member-1", "member-2", "member-3", "")
    assert data.groups == ("1.5", None, "True", None, None)


@pytest.mark.parametrize("form", WRITERS)
def test_an_empty_group_is_none(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    write(tmp_path / name, [{"text": text, "group": group} for text, group in zip("abc", ["", "g", ""], strict=True)])
    assert load(tmp_path / name).groups == (None, "g", None)


def test_hostile_ids_are_kept(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"t{n}", "id": text} for n, text in enumerate(HOSTILE)])
    assert load(tmp_path / "a.jsonl").ids == tuple(HOSTILE)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("field", ["body", "id", "group", "a.b"])
def test_text_field(form: str, field: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    row: Record = {"other": "o", "id": "i", "group": "g"}
    write(tmp_path / name, [row | {field: "a"}])
    data = load(tmp_path / name, text_field=field)
    assert tuple(data.texts) == ("a",)
    assert data.ids == ("member-0" if field == "id" else "i",)
    assert data.groups == (None if field == "group" else "g",)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_arrow_string_types(kind: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["a", "b", "a"]).cast(kind)})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert tuple(load(tmp_path / "a.arrow").texts) == ("a", "b", "a")


def test_parquet_of_many_row_groups(tmp_path: Path) -> None:
    table = pa.table({"n": range(2500), "text": [f"t{n}" for n in range(2500)], "group": [n // 2 for n in range(2500)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    data = load(tmp_path / "a.parquet")
    assert tuple(data.texts) == tuple(f"t{n}" for n in range(2500))
    assert data.ids[-1] == "member-2499"
    assert data.n_groups("members") == 1250


def test_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b.jsonl", [{"text": "3"}, {"text": "4"}])
    file_of(tmp_path / "a.txt.gz", gzip.compress(b"1\n\n2\n"))
    write_parquet(tmp_path / "c.parquet", [{"text": "5"}])
    file_of(tmp_path / "d.txt", "")
    file_of(tmp_path / ".hidden.txt", "no")
    file_of(tmp_path / "README.md", "no")
    (tmp_path / "inner.jsonl").mkdir()
    data = load(tmp_path)
    assert tuple(data.texts) == ("1", "2", "3", "4", "5")
    assert data.ids == tuple(f"member-{n}" for n in range(5))
    assert data.notes["members"] == (
        "read 4 files: a.txt.gz, b.jsonl, c.parquet, d.txt",
        "left out what is not a data file: README.md, inner.jsonl",
        "skipped 1 blank line of a.txt.gz",
        "d.txt holds no texts",
    )


def test_saved_datasets(tmp_path: Path) -> None:
    import datasets

    train = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "id": [1, 2, 3]})
    both = datasets.DatasetDict({"train": train.select([2, 0]), "held": datasets.Dataset.from_dict({"text": ["z"]})})
    both.save_to_disk(tmp_path / "both")
    assert tuple(load(tmp_path / "both").texts) == ("c", "a")
    assert load(tmp_path / "both").ids == ("3", "1")
    assert tuple(load(tmp_path / "both", split="held").texts) == ("z",)
    assert tuple(load(tmp_path / "both" / "held").texts) == ("z",)
    assert "has no split 'dev'; splits there are: train, held" in refusal(tmp_path / "both", split="dev")
    assert "no column 'body'; columns there are: text, id" in refusal(tmp_path / "both", text_field="body")


def test_damaged_saved_dataset(tmp_path: Path) -> None:
    save_dataset(tmp_path / "saved", [{"text": "a"}])
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"junk")
    assert "as a saved dataset: " in refusal(tmp_path / "saved")


# --- the hub -----------------------------------------------------------------------------------------------


def test_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[str, str | None, str]] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> datasets.Dataset:
        asked.append((name, config, split))
        return datasets.Dataset.from_dict({"text": ["a"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert tuple(load("org/some.data:20220301.en", split="test[:1%]").texts) == ("a",)
    assert tuple(load("plain_name").texts) == ("a",)
    assert asked == [("org/some.data", "20220301.en", "test[:1%]"), ("plain_name", None, "train")]


def test_hub_refusal_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, config: str | None, *, split: str) -> None:
        raise ConnectionError("Couldn't reach the Hub\nsecond line")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert refusal("org/name:cfg", split="dev") == (
        "org/name:cfg: no such file or folder, and as the `datasets` id 'org/name' (configuration 'cfg', "
        "split 'dev') it cannot be loaded: ConnectionError: Couldn't reach the Hub"
    )


@pytest.mark.parametrize(
    "path", ["", "/", "no/such/file.jsonl", "a.txt.gz", "/a/b", "a b", "a\0b", "../x/y", "n\n" * 9999]
)
def test_what_cannot_be_a_hub_id_is_a_missing_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)
    message = refusal(path)
    assert "no such file or folder" in message or path == "/"
    assert len(message) < 1000


# --- refusals: files ---------------------------------------------------------------------------------------


def test_missing_file_names_a_close_one(tmp_path: Path) -> None:
    file_of(tmp_path / "members.jsonl", "")
    assert f"(did you mean {tmp_path / 'members.jsonl'}?)" in refusal(tmp_path / "member.jsonl")


@pytest.mark.parametrize("name", ["a.xml", "a", "a.parquet.gz", "a.arrow.zst", "a.gz", "a.jsonl.bz2"])
def test_unknown_extension(name: str, tmp_path: Path) -> None:
    message = refusal_of(tmp_path / name, "text")
    assert ".jsonl, .ndjson, .json, .csv, .tsv, .txt (each also with .gz or .zst), .parquet, .arrow" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.txt", "\n\n"), ("a.json", ""), ("a.json", "[]"),
        ("a.json", '{"text": []}'), ("a.csv", ""), ("a.csv", "text,id\n"), ("a.txt.gz", ""), ("a.txt.zst", ""),
    ],
)  # fmt: skip
def test_no_rows(name: str, content: str, tmp_path: Path) -> None:
    assert refusal_of(tmp_path / name, content) == f"members: {tmp_path / name} holds no texts"


def test_no_rows_in_tables_and_folders(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": "a"}])
    pq.write_table(pq.read_table(tmp_path / "a.parquet").slice(0, 0), tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").endswith("holds no texts")
    assert refusal(tmp_path).endswith("holds no texts")
    (tmp_path / "empty").mkdir()
    assert "it is empty" in refusal(tmp_path / "empty")
    file_of(tmp_path / "empty" / "x\x1b.md", "")
    assert r"it holds 'x\x1b.md'" in refusal(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", b"not gzip"),
        ("a.txt.gz", gzip.compress(b"text\n" * 1000, mtime=0)[:-9]),
        ("a.txt.gz", gzip.compress(b"text\n" * 1000, mtime=0)[:20]),
        ("a.json.gz", gzip.compress(b'["text"]', mtime=0)[:12] + b"\xff" * 30),
        ("a.txt.zst", b"not zstd"),
        ("a.txt.zst", zstandard.ZstdCompressor().compress(b"text\n" * 1000)[:-3]),
        ("a.txt.zst", zstandard.ZstdCompressor().compress(b"text\n") + b"garbage"),
        ("a.parquet", b""),
        ("a.parquet", b"PAR1 not parquet PAR1"),
        ("a.arrow", b""),
        ("a.arrow", b"ARROW1 not arrow"),
        ("a.arrow", b"neither file nor stream"),
    ],
)
def test_corrupt_files(name: str, content: bytes, tmp_path: Path) -> None:
    assert refusal_of(tmp_path / name, content).startswith(f"cannot read {tmp_path / name}")


@pytest.mark.parametrize("form", ["parquet", "arrow file", "arrow stream"])
def test_tables_cut_or_flipped_never_crash(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    write(tmp_path / name, records_of([f"text {n}" for n in range(50)]))
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), size=60):
        flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        for content in (whole[:at], flipped):
            try:
                load(file_of(tmp_path / name, content))
            except DataError as error:
                assert str(error).isprintable()  # noqa: PT017 - most cuts are refused, none may crash


@pytest.mark.parametrize("form", ["parquet", "arrow file"])
def test_invalid_utf8_in_tables(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    write(tmp_path / name, [{"text": "ok"}, {"text": "SECRET"}])
    content = (tmp_path / name).read_bytes()
    assert content.count(b"SECRET") >= 1
    message = refusal_of(tmp_path / name, content.replace(b"SECRET", b"SECR\xffT"))
    assert message.startswith(f"cannot read {tmp_path / name} as ")
    assert "SECR" not in message


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.parquet", "a.arrow", "a.txt.gz", "a.txt.zst"])
def test_unreadable_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path / name, "x")
    if os.geteuid() == 0:  # root reads everything: let opening fail in its place

        def refuse(*args: object, **kwargs: object) -> None:
            raise PermissionError(13, "Permission denied")

        for owner, opener in ((Path, "open"), (gzip, "open"), (pa, "input_stream")):
            monkeypatch.setattr(owner, opener, refuse)
    else:
        path.chmod(0)
    message = refusal(path)
    assert message.startswith(f"cannot read {path}: ")
    assert "ermission denied" in message


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(tmp_path) == f"cannot read the folder {tmp_path}: Permission denied"


# --- refusals: lines and rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.json"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_invalid_utf8(name: str, mark: bytes, tmp_path: Path) -> None:
    before = {"a.jsonl": b'"a"\n"\xc3\xa9', "a.csv": b"text\n", "a.txt": b"a\nb", "a.json": b'[\n"'}[name]
    message = refusal_of(tmp_path / name, mark + before + b"SECRET\xff\n")
    at = len(mark + before) + 6
    assert message == (f"{tmp_path / name} line 2: not UTF-8 at byte {at}, counting from 0; save the file as UTF-8")


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    assert "(it looks like UTF-16)" in refusal_of(tmp_path / "a.csv", "text\na\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '"a"\n\n{"text": "SECRET\n', "line 3: not valid JSON: Unterminated string"),
        ("a.jsonl", '{"text": "SECRET"} "SECRET"\n', "line 1: not valid JSON: Extra data (column 20)"),
        ("a.jsonl", '"a"\n["SECRET"]\n', "line 2: must be an object with a column 'text', or a string; not list"),
        ("a.jsonl", "null\n", "line 1: must be an object with a column 'text', or a string; not null"),
        ("a.jsonl", '{"text": "a", "n": ' + "9" * 5000 + "}\n", "line 1: JSON that cannot be read: "),
        ("a.jsonl", "[" * 100_000 + "\n", "line 1: JSON that cannot be read: "),
        ("a.jsonl", '"a"\n{"text": "SECRET", "text": "b"}\n', "line 2: JSON that cannot be read: an object gives"),
        ("a.json", '[{"SECRET": {"a": 1, "a": 1}}]', "a.json: JSON that cannot be read: an object gives one of"),
        ("a.json", '[\n"SECRET",\n]', "not valid JSON: "),
        ("a.json", '{"text": "SECRET"}\n{"text": "b"}\n', "a file of one object a line is named .jsonl"),
        ("a.json", '{"text": "SECRET"}\n', "a file of one object a line is named .jsonl"),
        ("a.json", '{"text": {"0": "SECRET"}}\n', "gives a list for each column"),
        ("a.json", '{"text": ["SECRET"], "id": ["1", "2"]}', "the columns text, id are not of one length"),
        ("a.json", '"SECRET"', "a .json file holds a list or an object, not a str"),
        ("a.json", '["a", 3]', "item 1 counting from 0: must be an object with a column 'text', or a string; not"),
        ("a.csv", "text,id\nSECRET,1,2\n", "line 2: the row has 3 cells, the header 2"),
        ("a.csv", 'text,id\n"a\nb",1\nSECRET\n', "line 4: the row has 1 cell, the header 2"),
        ("a.csv", 'text,id\na,1\n"SECRET,\n2\n3\n', "not valid CSV in the row from line 3: unexpected end"),
        ("a.csv", 'text\n"a"SECRET\n', "not valid CSV in the row from line 2: "),
        ("a.csv", "text\na\rSECRET\n", "not valid CSV in the row from line 2: "),
        ("a.csv", "text,text\nSECRET,b\n", "2 columns are named 'text'; keep one of them"),
    ],
)  # fmt: skip
def test_malformed(name: str, content: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of the folder holds the content
    message = refusal_of(Path(name), content)
    assert message.startswith(name)
    assert said in message
    assert "SECRET" not in message
    assert len(message) < 600


@pytest.mark.parametrize("form", WRITERS)
def test_missing_column_names_those_there_are(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    write(tmp_path / name, [{"body": "SECRET", "label": "1"}])
    message = refusal(tmp_path / name)
    shown = "2 not shown, as they may be text" if form == "csv" else "body, label"
    assert f"no column 'text'; columns there are: {shown}; " in message
    assert "--text-field" in message
    assert "SECRET" not in message


def test_missing_column_in_a_later_line(tmp_path: Path) -> None:
    message = refusal_of(tmp_path / "a.jsonl", '{"text": "a"}\n{"txt": "b"}\n')
    assert message.startswith(f"{tmp_path / 'a.jsonl'} line 2: no column 'text'; columns there are: txt;")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "my SECRET text,1\nb,2\n"),
        ("a.csv", "SECRET,1\nb,2\n"),
        ("a.csv", "my SECRET text,id\nb,2\n"),
        ("a.csv", f"{'SECRET' * 5},id\nb,2\n"),
        ("a.json", '{"my SECRET text": 1}'),
        ("a.jsonl", '{"my SECRET": 1}\n'),
    ],
)
def test_texts_in_place_of_column_names_are_not_shown(name: str, content: str, tmp_path: Path) -> None:
    message = refusal_of(tmp_path / name, content)
    assert "not shown, as " in message
    assert "SECRET" not in message


def test_a_header_with_a_known_column_is_a_header(tmp_path: Path) -> None:
    assert "columns there are: id, body;" in refusal_of(tmp_path / "a.csv", "id,body\n1,b\n")


@pytest.mark.parametrize("path", ["-", "/dev/stdin", "/dev/fd/0"])
def test_standard_input_is_not_supported(path: str) -> None:
    assert refusal(path) == f"{path}: standard input is not supported; write the texts to a file, such as texts.jsonl"


def test_no_columns_at_all(tmp_path: Path) -> None:
    assert "columns there are: none;" in refusal_of(tmp_path / "a.jsonl", "{}\n")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", None, None], "a text must be a string, not null: 'id1' ({} line 2), 'id2' ({} line 3)"),
        ([1], "a text must be a string, not int: 'id0' ({} line 1)"),
        ([["SECRET"]], "a text must be a string, not list: 'id0' ({} line 1)"),
        (["", "a"], "a text is empty: 'id0' ({} line 1)"),
        (
            ["", *"abc", 1],
            "a text is empty: 'id0' ({} line 1); a text must be a string, not int: 'id4' ({} line 5)",
        ),
        (["SECRET\ud800"], "a text has a lone surrogate"),
        (["SECRET\udfff\ud800"], "a text has a lone surrogate"),
    ],
)
def test_texts_that_cannot_be_audited(texts: list[object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": text, "id": f"id{n}"}) + "\n" for n, text in enumerate(texts)]
    message = refusal_of(path, "".join(rows))
    assert message.startswith("members: " + said.replace("{}", str(path)))
    assert "SECRET" not in message


def test_five_ids_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    message = refusal_of(tmp_path / "a.jsonl", '{"text": ""}\n' * 1000)
    assert "member-4 (" in message
    assert "member-5 (" not in message
    assert " and 995 more; " in message


def test_surrogate_pairs_are_text(tmp_path: Path) -> None:
    assert tuple(load(file_of(tmp_path / "a.jsonl", r'"\ud83d\ude00"')).texts) == ("😀",)


@pytest.mark.parametrize(
    "row",
    ['{"text": "a", "id": ["SECRET"]}', '{"text": "a", "group": {"SECRET": 1}}', r'{"text": "a", "id": "\ud800"}'],
)
def test_ids_and_groups_that_are_no_names(row: str, tmp_path: Path) -> None:
    message = refusal_of(tmp_path / "a.jsonl", row)
    assert message.startswith("members: an id or group ")
    assert "SECRET" not in message


def test_bytes_are_not_texts(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": b"SECRET"}])
    message = refusal(tmp_path / "a.parquet")
    assert message.startswith("members: a text must be a string, not bytes: member-0 (")
    assert "row 0 counting from 0)" in message
    assert "SECRET" not in message


# --- refusals: the two sides -------------------------------------------------------------------------------


def two_sides(folder: Path, members: Sequence[Record], non_members: Sequence[Record]) -> SampleSet:
    write_jsonl(folder / "m.jsonl", members)
    write_jsonl(folder / "n.jsonl", non_members)
    return load_samples(DataSpec(path=str(folder / "m.jsonl")), DataSpec(path=str(folder / "n.jsonl")))


def test_duplicate_ids(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        two_sides(tmp_path, [{"text": "a", "id": 1}, {"text": "b", "id": "\u202e"}, {"text": "c", "id": "1"}],
                  [{"text": "d", "id": "\u202e"}, {"text": "e", "id": 2}])  # fmt: skip
    m, n = tmp_path / "m.jsonl", tmp_path / "n.jsonl"
    message = str(caught.value)
    assert f"'1' ({m} line 1, {m} line 3), '\\u202e' ({m} line 2, {n} line 1); make them unique" in message
    assert message.isprintable()


def test_an_id_that_looks_automatic(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'member-1'"):
        two_sides(tmp_path, [{"text": "a", "id": "member-1"}, {"text": "b"}], [{"text": "c"}])


def test_same_text_on_both_sides(tmp_path: Path) -> None:
    members: list[Record] = [{"text": "SECRET", "id": "x"}, {"text": "SECRET", "id": "y"}, {"text": "b"}]
    with pytest.raises(DataError) as caught:
        two_sides(tmp_path, members, [{"text": "c"}, {"text": "b"}, {"text": "SECRET"}])
    assert str(caught.value) == (
        "2 non-members with the exact text of a member (member = non-member): 'member-2' = 'non_member-1', "
        "'x' = 'non_member-2'; a text was either trained on or not: remove it from one side"
    )


def test_same_file_on_both_sides(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", records_of("abcdefghi"))
    spec = DataSpec(path=str(tmp_path / "a.jsonl"))
    with pytest.raises(DataError, match=r"9 non-members with the exact text .* and 4 more; "):
        load_samples(spec, spec)


def test_texts_that_only_look_alike_are_two_texts(tmp_path: Path) -> None:
    data = two_sides(tmp_path, [{"text": "é"}, {"text": "a"}], [{"text": "e\u0301"}, {"text": "a "}])
    assert tuple(data.texts) == ("é", "a", "e\u0301", "a ")


# --- the sample set ----------------------------------------------------------------------------------------


def test_sample_set(tmp_path: Path) -> None:
    members: list[Record] = [{"text": text, "group": group} for text, group in zip("abaa", "xyxz", strict=True)]
    data = two_sides(tmp_path, members, [{"text": "é"}, {"text": "d"}])
    assert data.ids == ("member-0", "member-1", "member-2", "member-3", "non_member-0", "non_member-1")
    assert data.is_member.dtype == np.bool_
    assert data.is_member.tolist() == [True] * 4 + [False] * 2
    assert data.groups == ("x", "y", "x", "z", None, None)
    assert data.rows("non_members") == [4, 5]
    assert data[4] == Sample(id="non_member-0", text="é", is_member=False)
    assert data.text_bytes.tolist() == [1, 1, 1, 1, 2, 1]
    assert data.n_distinct("members") == 2
    assert (data.n_repeated("members"), data.n_repeated("non_members")) == (3, 0)
    assert (data.n_groups("members"), data.n_groups("non_members")) == (3, None)
    assert (data.n_bytes("members"), data.n_bytes("non_members")) == (4, 3)
    assert data.text_sha256[4] == hashlib.sha256("é".encode()).hexdigest()


def sample_set(*pairs: tuple[str, str]) -> SampleSet:
    samples = tuple(Sample(id=name, text=text, is_member=True) for name, text in pairs)
    return SampleSet.of(samples, {})


def test_fingerprint() -> None:
    # 8 bytes of length, then the bytes: "i" is 1, "é" is 2
    expected = hashlib.sha256(b"\0\0\0\0\0\0\0\x01i" + b"\0\0\0\0\0\0\0\x02\xc3\xa9").hexdigest()
    assert sample_set(("i", "é")).sha256("members") == expected
    sides = [(), (("a", "bc"),), (("ab", "c"),), (("a", "b"), ("c", "d")), (("c", "d"), ("a", "b"))]
    assert len({sample_set(*side).sha256("members") for side in sides}) == len(sides)


def test_no_non_members(tmp_path: Path) -> None:
    data = load(file_of(tmp_path / "a.txt", "a\n"))
    assert data.rows("non_members") == []
    assert data.notes == {"members": (), "non_members": ()}


# --- wording -----------------------------------------------------------------------------------------------


@given(st.text(st.characters()))
def test_names_are_shown_on_one_printable_line(text: str) -> None:
    assert quoted(text).isprintable()
    assert plain(text).isprintable()
    assert plain(text)


def test_long_names_are_cut() -> None:
    assert quoted("x" * 1_000_000) == "'" + "x" * 80 + "…'"


def test_heavy_libraries_are_imported_when_used() -> None:
    code = "import sys, auditor.data; sys.exit(bool({'datasets', 'pyarrow', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- texts on disk ------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)))))
def test_spooled_texts_come_back_exactly(texts: list[str]) -> None:
    spool = TextSpool(texts)
    assert list(spool) == texts
    assert spool[1:] == texts[1:]
    assert [spool[-1 - i] for i in range(len(spool))] == texts[::-1]
    spool.append("é")  # reading does not end writing
    assert spool[len(texts)] == "é"
    with pytest.raises(IndexError):
        spool[len(texts) + 1]


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_csv_of_other_delimiters(mark: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        f'id{mark}text{mark}group\nx{mark}"one, {mark} ""two"""{mark}g\ny{mark}a;b|c,d{mark}\n'.replace(
            "a;b|c,d", "plain, text"
        )
    )
    data = load_samples(DataSpec(path=str(path)), None)
    assert list(data.texts) == [f'one, {mark} "two"', "plain, text"]
    assert (data.ids, data.groups) == (("x", "y"), ("g", None))
    assert data.notes["members"] == (f"read a.csv as separated by {said}",)


@pytest.mark.parametrize("content", ["text\na;b|c,d\n", "text,x;y\na,b\n", "text;a|text\nb;c|d\n"])
def test_a_delimiter_is_never_guessed(content: str, tmp_path: Path) -> None:
    """One column and two cells; commas that the header bears out; two delimiters that it bears out."""
    path = tmp_path / "a.csv"
    path.write_text(content)
    if content.startswith("text,"):
        assert list(load_samples(DataSpec(path=str(path)), None).texts) == ["a"]
        return
    with pytest.raises(DataError, match=r"the row has 2 cells, the header 1|separated by semicolons or by bars"):
        load_samples(DataSpec(path=str(path)), None)


def test_columns_of_other_delimiters_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id;body\n1;secret\n")
    with pytest.raises(DataError, match="no column 'text'; columns there are: id, body;"):
        load_samples(DataSpec(path=str(path)), None)


def test_tsv_and_ndjson(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tid\none, two;three\tx\n")
    (tmp_path / "b.ndjson").write_text('{"text": "four", "id": "y"}\n')
    data = load_samples(DataSpec(path=str(tmp_path)), None)
    assert (list(data.texts), data.ids) == (["one, two;three", "four"], ("x", "y"))


@pytest.mark.parametrize("column", ["messages", "conversations", "prompt"])
def test_without_texts_conversations_are_looked_for(column: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({column: [{"role": "user", "content": "secret"}]}) + "\n")
    with pytest.raises(DataError, match=r"turn of the assistant|found in messages, conversations") as refused:
        load_samples(DataSpec(path=str(path)), None)
    assert "secret" not in str(refused.value)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a data set as git clones it from the hub: two shards of train, one of test."""
    folder = tmp_path / "clone"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# a data set")
    for name, texts in (
        ("train-00000-of-00002", ["a", "b"]), ("train-00001-of-00002", ["c"]), ("test-00000-of-00001-0a1b2c", ["d"]),
    ):  # fmt: skip
        pq.write_table(pa.table({"text": texts}), folder / "data" / f"{name}.parquet")
    return folder


@pytest.mark.parametrize("inside", ["", "data"])
def test_a_clone_is_read_by_its_splits(inside: str, clone: Path) -> None:
    path = str(clone / inside)
    data = load_samples(DataSpec(path=path), DataSpec(path=path, split="test"))
    assert [list(data.texts)[row] for row in data.rows("members")] == ["a", "b", "c"]
    assert [list(data.texts)[row] for row in data.rows("non_members")] == ["d"]
    assert any("left out what is not of the split train: test-" in note for note in data.notes["members"])
    with pytest.raises(DataError, match="no split 'dev'; splits there are: test, train; choose with --split"):
        load_samples(DataSpec(path=path, split="dev"), None)


def test_a_shard_of_another_split_is_not_read(clone: Path) -> None:
    for file in (clone / "data").glob("train-*"):
        file.unlink()
    with pytest.raises(DataError, match="no split 'train'; splits there are: test"):
        load_samples(DataSpec(path=str(clone)), None)


def test_files_named_after_splits_and_files_that_are_not(tmp_path: Path) -> None:
    for name in ("train", "val", "notes"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}) + "\n")
    path = str(tmp_path)
    assert list(load_samples(DataSpec(path=path), None).texts) == ["train"]
    assert list(load_samples(DataSpec(path=path, split="validation"), None).texts) == ["val"]
    (tmp_path / "val.jsonl").unlink()
    assert list(load_samples(DataSpec(path=path), None).texts) == ["notes", "train"]


def test_a_folder_of_folders_names_those_with_data(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "a.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="there are such files in its en: name the folder"):
        load_samples(DataSpec(path=str(tmp_path)), None)
