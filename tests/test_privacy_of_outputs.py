"""No text of a sample in anything that is written or said, in any form, but where texts were asked for."""

import base64
import html
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import Ran, Run, build_tokenizer, save_gpt2, write_jsonl

N_CHARACTERS = 12
"""A piece of a text of this length, white space and case apart, is a leak."""
SECRETS = [
    "zoe.quillfeather@vexbridge.example",
    "sk-live-9fQ2xLr7Tt0VwYbNzz41",
    "floccinaucinihilipilification",
    "Žluťoučký-kůň-秘密の文書-Ünïçødé",
    "kvp=\"<qwx>&'zzv\\tjq|`hgf`",
    "+49-1551-7788-9900-4411",
]


def invented(n: int, rng: np.random.Generator) -> str:
    """Invent some words, of which no piece is English."""
    return " ".join("".join(rng.choice(list("bcdfghjklmnpqrstvwxz"), 6)) for _ in range(n))


def secret_texts(n: int, *, seed: int) -> list[str]:
    """Invent texts, each with a secret."""
    rng = np.random.default_rng(seed)
    return [
        f"{invented(9, rng)} {SECRETS[i % len(SECRETS)]} {rng.integers(10**9)} {invented(9, rng)}" for i in range(n)
    ]


def pieces(text: str) -> set[str]:
    """All pieces of a text, white space and case apart."""
    flat = "".join(text.split()).lower()
    return {flat[i : i + N_CHARACTERS] for i in range(len(flat) - N_CHARACTERS + 1)}


def forms(text: str) -> Iterator[str]:
    """The ways in which a text is written: as it is, escaped for JSON, HTML, Markdown, Python, a URL."""
    from urllib.parse import quote

    yield text
    yield json.dumps(text)[1:-1]
    yield html.escape(text)
    yield html.escape(json.dumps(text)[1:-1])
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield quote(text)
    yield re.sub(r"([\\`*_{}\[\]<>()#+.!|-])", r"\\\1", text)


def in_base64(text: str) -> set[str]:
    """Pieces of a text in base64, wherever it starts in what is encoded."""
    found = set[str]()
    for data in (text.encode(), text.encode("utf-16-le")):
        for start in range(3):
            code = base64.b64encode(data[start : start + (len(data) - start) // 3 * 3]).decode()
            found |= {code[i : i + 16] for i in range(len(code) - 15)}
    return found


class Secrets:
    """What must not be found of some texts."""

    def __init__(self, texts: list[str]) -> None:
        self._pieces = set[str]().union(*(pieces(form) for text in texts for form in forms(text)))
        self._base64 = set[str]().union(*(in_base64(text) for text in texts))

    def in_text(self, content: str) -> list[str]:
        """Find pieces in what was written."""
        encoded = {content[i : i + 16] for i in range(len(content) - 15)} & self._base64
        plain = pieces(content) & self._pieces
        inside = [
            piece
            for data in re.findall(r"base64,([A-Za-z0-9+/=]{40,})", content)
            for piece in self.in_text(base64.b64decode(data).decode("utf-8", "replace"))
        ]
        return sorted(plain | encoded) + inside

    def in_folder(self, folder: Path) -> dict[str, list[str]]:
        """Find pieces in the files of a folder, but for stores of scores; by name."""
        found = {
            str(file.relative_to(folder)): self.in_text(read(file))
            for file in sorted(folder.rglob("*"))
            if file.is_file() and "scores" not in file.relative_to(folder).parts
        }
        return {name: leaks for name, leaks in found.items() if leaks}

    def check(self, ran: Ran, code: int | None = 0) -> Ran:
        """Look at what a command said."""
        assert code is None or ran.code == code, ran.err
        assert self.in_text(ran.out) == []
        assert self.in_text(ran.err) == []
        return ran


def read(file: Path) -> str:
    """Everything that a file says, compressed or not."""
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        return json.dumps(table.to_pylist(), ensure_ascii=False) + str(table.schema)
    text = file.read_bytes().decode("utf-8", "replace")
    if file.suffix != ".html":
        return text
    return text + html.unescape(re.sub(r"<[^>]*>", "", text))  # a text may lie in a span a token


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Write both sides, with groups and a few near-duplicates over the sides, and two checkpoints."""
    root, tokenizer = tmp_path_factory.mktemp("private"), build_tokenizer()
    members, others = secret_texts(30, seed=1), secret_texts(30, seed=2)
    others[:5] = [f"{text}." for text in members[:5]]
    shots = [invented(3, np.random.default_rng(seed)) for seed in range(4)]
    groups = [f"g{i // 2}" for i in range(30)]
    for seed, name in enumerate(("reference", "run/checkpoint-1", "run/checkpoint-2")):
        save_gpt2(root / name, seed=seed, tokenizer=tokenizer, n_positions=256)
    return {
        "root": root,
        "texts": [*members, *others, *shots],
        "secrets": Secrets([*members, *others, *shots]),
        "checkpoints": root / "run" / "checkpoint-*",
        "reference": root / "reference",
        "corpus": write_jsonl(root / "corpus.jsonl", [*members, *others]),
        "members": write_jsonl(root / "members.jsonl", members, prefix="m", group=groups),
        "non_members": write_jsonl(root / "non_members.jsonl", others, prefix="n"),
        "shots": write_jsonl(root / "shots.jsonl", shots, prefix="x"),
    }


def arguments(world: dict[str, Any], target: Path, out: Path) -> list[object]:
    return ["audit", "--target", target, "--reference", world["reference"], "--members", world["members"],
            "--non-members", world["non_members"], "--shots", world["shots"], "--frequency-corpus", world["shots"],
            "--out", out]  # fmt: skip


def test_the_search_finds_a_text_in_every_form(world: dict[str, Any], tmp_path: Path) -> None:
    secrets: Secrets = world["secrets"]
    for text in world["texts"][:6]:
        for form in forms(text):
            assert secrets.in_text(f"before {form} after")
            assert secrets.in_text(f"before {form.upper()} after")
        assert secrets.in_text(text[20 : 20 + N_CHARACTERS + 3])
        for start in range(3):
            assert secrets.in_text(base64.b64encode(b"x" * start + text.encode()).decode())
        picture = base64.b64encode(f"<svg>{text}</svg>".encode()).decode()
        assert secrets.in_text(f"data:image/svg+xml;base64,{picture}")
        pq.write_table(pa.table({"a": [text]}), tmp_path / "a.parquet", compression="zstd")
        assert list(secrets.in_folder(tmp_path)) == ["a.parquet"]
    assert secrets.in_text("members and non-members are told apart at an AUC of 0.512 (0.39 to 0.63)") == []


def test_nothing_that_is_written_or_said_holds_a_text(run: Run, world: dict[str, Any], tmp_path: Path) -> None:
    secrets, out = world["secrets"], tmp_path / "out"
    before = os.umask(0)
    try:
        secrets.check(run("--debug", *arguments(world, world["checkpoints"], out)))
    finally:
        os.umask(before)
    one, other = out / "checkpoint-1", out / "checkpoint-2"
    written = {str(file.relative_to(out)) for file in out.rglob("*") if "scores" not in file.parts}
    assert {"curve.json", "curve.html", "curve.md", "checkpoint-1/result.json", "checkpoint-1/samples.parquet",
            "checkpoint-1/report.html", "checkpoint-1/report.md", "checkpoint-1/drop-ids.txt",
            "checkpoint-1/checksums.json"} <= written  # fmt: skip
    check_permissions(out / "scores")
    for form in ("html", "md", "json"):
        secrets.check(run("report", one, "--format", form))
    secrets.check(run("verify", one))
    secrets.check(run("verify", one, "--json"))
    secrets.check(run("compare", one, other, "--out", out / "compared"))
    secrets.check(run("compare", one, other, "--json"))
    reports = [part for name in ("--junit", "--sarif", "--summary", "--model-card")
               for part in (name, out / f"gate{name}")]  # fmt: skip
    secrets.check(run("gate", one, "--annotations", "--badge", out / "badge.svg", *reports), code=None)
    secrets.check(run("gate", other, "--json", "--badge", out / "badge.json", "--baseline", one), code=None)
    assert (out / "gate--sarif").stat().st_size > 100
    assert secrets.in_folder(out) == {}


def check_permissions(scores: Path) -> None:
    """Whatever holds scores is for its owner only, as the folder is, which says why."""
    assert stat.S_IMODE(scores.stat().st_mode) == 0o700
    assert "as\nconfidential as the texts" in (scores / "README.txt").read_text()
    for file in (file for file in scores.rglob("*") if file.is_file()):
        if file.name not in ("README.txt", "pass.json"):  # what is in these is no secret
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_texts_stand_where_they_were_asked_for_and_nowhere_else(
    run: Run, world: dict[str, Any], tmp_path: Path
) -> None:
    secrets, out = world["secrets"], tmp_path / "out"
    target = world["checkpoints"].with_name("checkpoint-1")
    secrets.check(run(*arguments(world, target, out), "--attack", "loss", "--attack", "reference", "--include-text"))
    assert set(secrets.in_folder(out)) == {
        *("result.json", "samples.parquet", "samples.csv"),
        "report.html",
        "report.md",
    }
    for command in ("gate", "verify"):
        secrets.check(run(command, out), code=None)
    reports = [part for name in ("--junit", "--sarif", "--summary", "--model-card")
               for part in (name, tmp_path / "gate" / name)]  # fmt: skip
    (tmp_path / "gate").mkdir()
    secrets.check(run("gate", out, *reports), code=None)
    secrets.check(run("compare", out, out, "--out", tmp_path / "gate" / "compared"), code=None)
    assert secrets.in_folder(tmp_path / "gate") == {}


@pytest.mark.slow
def test_commands_that_handle_texts_say_nothing_of_them(run: Run, world: dict[str, Any], tmp_path: Path) -> None:
    secrets = world["secrets"]
    secrets.check(run("split", world["corpus"], "--out", tmp_path / "split", "--member-share", 0.4,
                      "--holdout-share", 0.2))  # fmt: skip
    assert set(secrets.in_folder(tmp_path / "split")) == {"members.jsonl", "non_members.jsonl", "holdout.jsonl"}
    secrets.check(run("split", world["corpus"], "--out", tmp_path / "split", "--force", "--json"))
    target = world["checkpoints"].with_name("checkpoint-1")
    sides = ("--members", world["members"], "--non-members", world["non_members"])
    secrets.check(run("shadows", "--target", target, *sides, "--models", 2, "--steps", 1, "--workers", 1,
                      "--out", tmp_path / "shadows"))  # fmt: skip
    assert "manifest.json" in {file.name for file in (tmp_path / "shadows").iterdir()}
    assert secrets.in_folder(tmp_path / "shadows") == {}
    packed = tmp_path / "probe.pack"
    secrets.check(run("pack", "--reference", world["reference"], *sides, "--out", packed))
    secrets.check(run("pack", "--reference", world["reference"], *sides, "--out", packed, "--json"))
    out = tmp_path / "out"
    secrets.check(run("audit", "--pack", packed, "--target", target, "--out", out))
    assert secrets.in_folder(out) == {}


TEXTS = secret_texts(8, seed=7)


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


DAMAGED: dict[str, bytes] = {
    "number.jsonl": lines([{"text": TEXTS[0]}, {"text": 5}]),
    "null.jsonl": lines([{"text": TEXTS[0]}, {"text": None, "note": TEXTS[1]}]),
    "list.jsonl": lines([{"text": [TEXTS[0], TEXTS[1]]}]),
    "empty.jsonl": lines([{"text": TEXTS[0]}, {"text": ""}]),
    "not_json.jsonl": lines([{"text": TEXTS[0]}]) + TEXTS[1].encode() + b"\n",
    "cut_off.jsonl": lines([{"text": TEXTS[0]}])[:-9],
    "no_column.jsonl": lines([{"body": TEXTS[0]}]),
    "text_as_key.jsonl": lines([{TEXTS[0]: "text"}]),
    "surrogate.jsonl": lines([{"text": TEXTS[0] + "\ud800"}]),
    "not_utf8.jsonl": lines([{"text": TEXTS[0]}]) + b'{"text": "' + TEXTS[1].encode("utf-16") + b'"}\n',
    "same_ids.jsonl": lines([{"id": "a", "text": TEXTS[0]}, {"id": "a", "text": TEXTS[1]}]),
    "id_dict.jsonl": lines([{"id": {"a": TEXTS[1]}, "text": TEXTS[0]}]),
    "copies.jsonl": lines([{"copies": TEXTS[1], "text": TEXTS[0]}]),
    "twice_a_key.jsonl": f'{{"text": {json.dumps(TEXTS[0])}, "text": {json.dumps(TEXTS[1])}, "x": }}\n'.encode(),
    "object.json": json.dumps({"text": TEXTS[0]}).encode(),
    "not_json.json": f"[{json.dumps({'text': TEXTS[0]})}, {TEXTS[1]}]".encode(),
    "no_header.csv": f"{TEXTS[0]}\n{TEXTS[1]}\n".encode(),
    "ragged.csv": f'text,id\n"{TEXTS[0]}",a\n{TEXTS[2]},b,{TEXTS[3]},c\n'.encode(),
    "quote.csv": f'text,id\n"{TEXTS[2]},b\n{TEXTS[3]},c\n'.encode(),
    "not_parquet.parquet": ("PAR1" + "".join(TEXTS) + "PAR1").encode(),
    "not_arrow.arrow": ("ARROW1" + "".join(TEXTS)).encode(),
    "not_gzip.jsonl.gz": lines([{"text": TEXTS[0]}]),
    "not_zstd.jsonl.zst": lines([{"text": TEXTS[0]}]),
    "utf16.txt": "\n".join(TEXTS).encode("utf-16"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_errors_of_damaged_data_hold_no_text(run: Run, world: dict[str, Any], tmp_path: Path, name: str) -> None:
    secrets = Secrets([*world["texts"], *TEXTS])
    (tmp_path / name).write_bytes(DAMAGED[name])
    damaged = world | {"members": tmp_path / name}
    target = world["checkpoints"].with_name("checkpoint-1")
    ran = secrets.check(run("--debug", *arguments(damaged, target, tmp_path / "out"), "--attack", "loss"), code=2)
    assert "Error: " in ran.err
    assert "Traceback" in ran.err
    assert not re.search(r"^Error: unexpected", ran.err, re.MULTILINE)
    assert secrets.in_folder(tmp_path / "out") == {}


def test_errors_of_texts_on_both_sides_and_of_attacks_hold_no_text(
    run: Run, world: dict[str, Any], tmp_path: Path
) -> None:
    secrets = world["secrets"]
    target = world["checkpoints"].with_name("checkpoint-1")
    for changes in (
        {"non_members": world["members"]},
        {"shots": world["members"]},
        {"members": world["members"].parent},
        {"members": tmp_path / "absent.jsonl"},
    ):
        secrets.check(run("--debug", *arguments(world | changes, target, tmp_path / "out")), code=2)
    for more in (("--prefix-token", "none", "--max-tokens", 1), ("--attack", "min_k:k=7"), ("--fpr", "7")):
        secrets.check(run("--debug", *arguments(world, target, tmp_path / "out"), *more), code=2)
