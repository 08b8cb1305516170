"""The command line as its users meet it: files, streams, exit codes, one line for every mistake."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers import Ran, Run, make_texts, write_jsonl

ROOT = Path(__file__).parents[1]
COLUMNS = [
    "sample_id",
    "is_member",
    "group",
    "text_sha256",
    "n_tokens",
    "n_bytes",
    "target_bits",
    "reference_bits",
    "signed_bits",
    "memorized_bits",
    "uniform_bits",
    "lzma_bits",
    "generalization_bits",
    "posterior",
    "blind_score",
    "rarity",
    "script",
    "n_copies",
    "extraction_suffix_tokens",
    "extraction_log2_p",
    "extraction_log2_p_unrestricted",
    "extraction_reference_log2_p",
    "extraction_reference_log2_p_unrestricted",
    "extraction_is_greedy",
    "extraction_windows",
    "extraction_windows_extractable",
    "longest_greedy_run",
    "draws_for_half",
    "draws_for_nine_tenths",
]
ATTACKS = [
    "loss",
    "reference",
    "zlib",
    "lowercase",
    "min_k",
    "min_k_plus_plus",
    "surp",
    "ez",
    "wbc",
    "max_renyi",
]
WITH_REFERENCE = {"reference", "ez", "wbc"}
OFFERED = {"recall", "con_recall", "neighbourhood", "neighbourhood_swap", "pac", "dc_pdd", "gradient_norm", "samia",
           "lira", "lira_offline", "rmia", "informia"}  # fmt: skip
"""Attacks that are run when named, or when they are given what they need."""
HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)> & ]]> --> </style> Ada",
    "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m backspace \x08 Ada",
    "right-to-left \u202e gnp.exe \u2066 isolate \u2069 mark \u200f Ada",
    "[bold red]markup[/] {{ 7*7 }} {% raw %} ${jndi} `code` | pipe | Ada",
    "lines\r\nand\u2028separators\x0b\x0c\x85 Ada\n\n# heading",
    "x" * 1_000_000 + " Ada",
]


@pytest.fixture
def audit(run: Run, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path) -> Run:
    """Return a function that audits the tiny models on the tiny data, with changes."""

    def call(*more: object, out: str = "out", **changes: object) -> Ran:
        options: dict[str, object] = {
            "target": tiny_models["target"],
            "reference": tiny_models["reference"],
            "members": tiny_data["members"],
            "non-members": tiny_data["non_members"],
            "out": tmp_path / out,
        } | {key.replace("_", "-"): value for key, value in changes.items()}
        flags = [part for key, value in options.items() if value is not None for part in (f"--{key}", value)]
        return run("audit", *flags, *more)

    return call


def read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (folder / "result.json").read_text(),
        parse_constant=lambda word: pytest.fail(f"{word} in result.json"),
    )
    return document


def test_an_audit_writes_what_the_contract_says(audit: Run, tmp_path: Path) -> None:
    ran = audit()
    assert ran.code == 0, ran.err
    result = read(tmp_path / "out")
    schema = json.loads((ROOT / "docs" / "result.schema.json").read_text())
    jsonschema.validate(result, schema)
    assert list(result) == [
        "schema_version",
        "provenance",
        "config",
        "data",
        "soundness",
        "memorization",
        "attacks",
        "selection",
        "combination",
        "risk",
        "grade",
        "retrained",
        "prediction",
        "extraction",
        "canaries",
        "epsilon",
        "gates",
        "warnings",
    ]
    assert [attack["attack"] for attack in result["attacks"]] == ATTACKS
    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    assert list(table) == COLUMNS + [f"score.{name}" for name in ATTACKS]
    signed = np.subtract(table["reference_bits"], table["target_bits"])
    np.testing.assert_allclose(table["signed_bits"], signed)
    np.testing.assert_allclose(table["memorized_bits"], np.maximum(signed, 0))
    np.testing.assert_allclose(
        table["score.reference"], signed * np.log(2) / np.array(table["n_tokens"]), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        table["score.loss"], -np.array(table["target_bits"]) * np.log(2) / np.array(table["n_tokens"])
    )
    for name in ("report.html", "report.md", "scores"):
        assert (tmp_path / "out" / name).exists()
    assert "AUC" in ran.out
    assert "Traceback" not in ran.err


def test_numbers_agree_with_sklearn(audit: Run, tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    audit()
    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    for attack in read(tmp_path / "out")["attacks"]:
        expected = roc_auc_score(table["is_member"], table[f"score.{attack['attack']}"])
        assert attack["auc"]["value"] == pytest.approx(expected, abs=1e-12)
        assert attack["auc"]["low"] <= expected <= attack["auc"]["high"]


def test_the_second_run_scores_nothing(audit: Run, tmp_path: Path) -> None:
    audit(attack="loss")
    first = read(tmp_path / "out")
    ran = audit("--attack", "reference", attack="loss")
    assert ran.code == 0, ran.err
    second = read(tmp_path / "out")
    assert first["provenance"]["n_tokens_scored"] > 0
    assert second["provenance"]["n_tokens_scored"] == 0
    assert second["attacks"][0] | {"p_value_holm": 0} == first["attacks"][0] | {
        "p_value_holm": 0
    }  # now over two attacks
    assert [attack["attack"] for attack in second["attacks"]] == ["loss", "reference"]


def test_json_is_alone_on_stdout(audit: Run, tmp_path: Path) -> None:
    ran = audit("--json")
    assert json.loads(ran.out) == read(tmp_path / "out")


def test_without_non_members(audit: Run, tmp_path: Path) -> None:
    ran = audit(non_members=None)
    assert ran.code == 0, ran.err
    result = read(tmp_path / "out")
    assert result["data"]["non_members"] is None
    assert all(attack["auc"]["value"] is None for attack in result["attacks"])
    assert all(attack["auc"]["undefined_reason"] for attack in result["attacks"])
    assert result["memorization"]["calibrated"] is False
    assert result["memorization"]["top_samples"]
    assert any("no non-members" in warning for warning in result["warnings"])
    assert "uncalibrated" in ran.out.lower()


def test_without_a_reference(audit: Run, tmp_path: Path) -> None:
    ran = audit(reference=None)
    assert ran.code == 0, ran.err
    result = read(tmp_path / "out")
    assert result["memorization"] is None
    assert [attack["attack"] for attack in result["attacks"]] == [
        name for name in ATTACKS if name not in WITH_REFERENCE
    ]
    assert any(
        "left out, as they need a reference model (--reference): reference, ez" in warning
        for warning in result["warnings"]
    )
    table = pq.read_table(tmp_path / "out" / "samples.parquet")
    assert table.column("signed_bits").null_count == 60


def test_another_tokenizer_and_two_references(audit: Run, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    ran = audit("--reference", tiny_models["other"])
    assert ran.code == 0, ran.err
    result = read(tmp_path / "out")
    assert result["memorization"]["n_references"] == 2
    (check,) = [check for check in result["soundness"]["checks"] if check["name"] == "tokenizer"]
    assert check["verdict"] == "warn"


def test_the_target_as_its_own_reference_is_vetoed(audit: Run, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    ran = audit(reference=tiny_models["target"])
    assert ran.code == 0
    assert read(tmp_path / "out")["soundness"]["verdict"] == "veto"
    assert "No verdict" in ran.out


def test_groups_make_cluster_intervals(audit: Run, tmp_path: Path, tiny_data: dict[str, Path]) -> None:
    texts = make_texts(30, seed=1)
    grouped = write_jsonl(tmp_path / "g.jsonl", texts, prefix="m", group=[f"g{i // 3}" for i in range(30)])
    assert audit(members=grouped).code == 0
    result = read(tmp_path / "out")
    assert result["data"]["members"]["n_groups"] == 10
    assert "cluster" in result["memorization"]["mean_bits_members"]["method"]
    assert result["attacks"][0]["auc"]["method"] != ""


@pytest.mark.slow
def test_cut_texts_are_counted(audit: Run, tmp_path: Path) -> None:
    texts = [*make_texts(29, seed=1), "Ada had 12345 of it. " * 60]
    members = write_jsonl(tmp_path / "long.jsonl", texts, prefix="m")
    assert audit(members=members).code == 0
    side = read(tmp_path / "out")["data"]["members"]
    assert side["n_cut"] == 1
    assert side["n_bytes_cut"] > 500
    assert audit("--long-texts", "stride", members=members, out="stride").code == 0
    side = read(tmp_path / "stride")["data"]["members"]
    assert (side["n_cut"], side["n_windowed"]) == (0, 1)


@pytest.mark.slow
def test_copies_of_a_text_are_one_piece_of_evidence(audit: Run, tmp_path: Path) -> None:
    texts = make_texts(30, seed=1)
    once = write_jsonl(tmp_path / "once.jsonl", texts, prefix="m")
    copied = write_jsonl(tmp_path / "copied.jsonl", texts * 5, prefix="m")
    audit(members=once, out="once")
    audit(members=copied, out="copied")

    def width(folder: str) -> float:
        net = read(tmp_path / folder)["memorization"]["net_bits_per_member"]
        return float(net["high"] - net["low"])

    assert width("copied") > 0.9 * width("once")
    assert read(tmp_path / "copied")["data"]["members"]["n_repeated"] == 150


def test_texts_that_differ_only_beyond_the_cut_are_vetoed(audit: Run, tmp_path: Path) -> None:
    texts = make_texts(30, seed=1)
    members = write_jsonl(tmp_path / "m.jsonl", texts, prefix="m")
    others = write_jsonl(tmp_path / "n.jsonl", [f"{text} and more" for text in texts], prefix="n")
    ran = audit("--max-tokens", "3", members=members, non_members=others)
    assert ran.code == 0, ran.err
    soundness = read(tmp_path / "out")["soundness"]
    (overlap,) = [check for check in soundness["checks"] if check["name"] == "overlap"]
    assert (soundness["verdict"], overlap["verdict"]) == ("veto", "veto")
    assert "No verdict" in ran.out


def test_a_configuration_file_and_flags_over_it(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> None:
    (tmp_path / "audit.toml").write_text(
        f'target = "{tiny_models["target"]}"\nreferences = ["{tiny_models["reference"]}"]\n'
        f'members = "{tiny_data["members"]}"\nnon_members = "{tiny_data["non_members"]}"\n'
        'attacks = ["min_k:k=0.1"]\nconfidence = 0.9\nfpr_targets = [0.1]\n'
    )
    ran = run("audit", "--config", tmp_path / "audit.toml", "--out", tmp_path / "out", "--confidence", ".99")
    assert ran.code == 0, ran.err
    (attack,) = read(tmp_path / "out")["attacks"]
    assert (attack["attack"], attack["params"], attack["auc"]["level"]) == ("min_k:k=0.1", {"k": 0.1}, 0.99)
    assert [entry["fpr"] for entry in attack["tpr_at_fpr"]] == [0.1]


def test_no_sample_text_leaves_the_tool_unasked(audit: Run, tmp_path: Path) -> None:
    secret = "Xyzzyplugh4417"
    texts = [f"{text} {secret}" for text in make_texts(30, seed=1)]
    members = write_jsonl(tmp_path / "secret.jsonl", texts, prefix="m")
    ran = audit(members=members)
    assert ran.code == 0
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for haystack in (written, ran.out.encode(), ran.err.encode()):
        assert secret.encode() not in haystack
        assert secret.lower().encode() not in haystack
    columns = pq.read_table(tmp_path / "out" / "samples.parquet").column_names
    assert "text" not in columns
    assert audit("--include-text", members=members).code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert secret in re.sub(r"<[^>]*>", "", page)  # each token of it in a span of its own
    assert secret in pq.read_table(tmp_path / "out" / "samples.parquet").column("text")[0].as_py()


@pytest.mark.parametrize(
    "ending",
    ["jsonl", "csv", *(pytest.param(more, marks=pytest.mark.slow) for more in ("jsonl.gz", "json", "parquet"))],
)
def test_hostile_texts_pass_unharmed(audit: Run, tmp_path: Path, ending: str) -> None:
    import csv
    import hashlib

    import pyarrow as pa

    texts = [*HOSTILE, *make_texts(24, seed=1)]
    rows = [{"id": f"<b>m{i}</b>\u202e\x1b[31m|`", "text": text} for i, text in enumerate(texts)]
    path = tmp_path / f"hostile.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({key: [row[key] for row in rows] for key in ("id", "text")}), path)
    elif ending == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "text"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        dump = json.dumps(rows) if ending == "json" else "".join(json.dumps(row) + "\n" for row in rows)
        content = dump.encode()
        path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    ran = audit("--include-text", members=path)
    assert ran.code == 0, ran.err
    table = pq.read_table(tmp_path / "out" / "samples.parquet").to_pydict()
    assert table["sample_id"][:30] == [row["id"] for row in rows]
    assert table["text_sha256"][:30] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    html = (tmp_path / "out" / "report.html").read_text()
    for raw in ("<script>alert", "<img src=x", "\x00", "\x1b", "\u202e", "<b>m0</b>"):
        assert raw not in html
    assert len(html) < 2_000_000
    markdown = (tmp_path / "out" / "report.md").read_text()
    for raw in ("\x00", "\x1b", "\u202e", "<script>"):
        assert raw not in markdown
        assert raw not in ran.out
    assert read(tmp_path / "out")["data"]["members"]["n_cut"] >= 1  # a million characters in one line


def test_the_report_can_be_rendered_again(audit: Run, run: Run, tmp_path: Path) -> None:
    audit()
    out = tmp_path / "out"
    for form, name in (("html", "report.html"), ("md", "report.md"), ("json", "result.json")):
        again = out / f"again-{name}"  # beside the files that the page links
        assert run("report", out, "--format", form, "--out", again).code == 0
        assert again.read_text() == (out / name).read_text()
    assert run("report", out / "result.json", "--format", "md").out.startswith("#")


def test_shots_bring_one_attack_more_and_may_not_be_evaluated(audit: Run, tmp_path: Path) -> None:
    shots = tmp_path / "shots.jsonl"
    shots.write_text('{"text": "Nobody was trained on this 1."}\n{"text": "Nor on this 2."}\n')
    assert audit(shots=shots).code == 0
    result = read(tmp_path / "out")
    assert {attack["attack"] for attack in result["attacks"]} == {*ATTACKS, "recall"}
    text = json.loads(Path(result["data"]["non_members"]["path"]).read_text().splitlines()[0])["text"]
    shots.write_text(json.dumps({"text": text}) + "\n")
    ran = audit(shots=shots)
    assert (ran.code, "1 of 1 texts are among the members or non-members" in ran.err) == (2, True)
    ran = audit(attack="recall")
    assert (ran.code, "--attack recall needs non-members of its own" in ran.err) == (2, True)


def test_attacks_are_listed(run: Run) -> None:
    assert {row["name"] for row in json.loads(run("attacks", "--json").out)} == {*ATTACKS, *OFFERED}
    assert "2310.16789" in run("attacks").out


def files(tmp_path: Path) -> dict[str, Path]:
    """Write one file for every kind of wrong data."""
    contents = {
        "empty": b"",
        "no_column": b'{"id": "a", "body": "x"}\n',
        "empty_text": b'{"id": "a", "text": ""}\n',
        "not_utf8": b'{"id": "a", "text": "\xff"}\n',
        "surrogate": b'{"id": "a", "text": "\\ud800"}\n',
        "duplicate": b'{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n',
        "not_text": b'{"id": "a", "text": 5}\n',
        "not_json": b'{"id": "a", "text": \n',
        "config": b'targett = "x"\n',
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    return {name: tmp_path / f"{name}.jsonl" for name in contents}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": "empty"}, "empty|no rows|no samples|no text"),
        ({"members": "no_column"}, "--text-field"),
        ({"members": "empty_text"}, "empty text|text is empty|empty"),
        ({"members": "not_utf8"}, "UTF-8"),
        ({"members": "surrogate"}, "surrogate"),
        ({"members": "duplicate"}, "duplicate|same id|more than once"),
        ({"members": "not_text"}, "not a string|not text|int"),
        ({"members": "not_json"}, "JSON"),
        ({"members": "/nowhere/at/all.jsonl"}, "nowhere"),
        ({"members": None}, "no members given"),
        ({"target": None}, "no target given"),
        ({"target": "/nowhere/at/all"}, "no such model folder"),
        ({"attack": "min_kk"}, "did you mean 'min_k'"),
        ({"attack": "min_k:k=20"}, "a percentage"),
        ({"attack": "min_k:k"}, "key=value"),
        ({"attack": "reference", "reference": None}, "--reference"),
        ({"prefix_token": "cls"}, "auto, none, bos, eos"),
        ({"prefix_token": "99999"}, "vocabulary ends"),
        ({"dtype": "int8"}, "float32"),
        ({"device": "toaster"}, "cannot be used"),
        ({"confidence": "95"}, "percentage"),
        ({"confidence": "x"}, "confidence"),
        ({"fpr": "1,5"}, "must be in"),
        ({"fpr": "a,b"}, "list of numbers"),
        ({"max_tokens": "0"}, "at least 1"),
        ({"batch_tokens": "many"}, "number or auto"),
        ({"batch_tokens": "²"}, "number or auto"),
        ({"prefix_token": "²"}, "a token id"),
        ({"bits_per_parameter": "1e-320"}, "bits-per-parameter must be in"),
        ({"bits_per_parameter": "nan"}, "bits-per-parameter must be in"),
        ({"device": "meta"}, "holds no weights"),
        ({"fpr": "nan"}, r"fpr must be in \(0, 1\), got nan$"),
        ({"members": "-"}, "standard input is not supported; write the texts to a file"),
        ({"members": "/dev/stdin"}, "standard input is not supported"),
        ({"config": "config"}, "did you mean 'target'"),
        ({"config": "/nowhere.toml"}, "cannot read"),
        ({"out": "/dev/null/x"}, "--out"),
    ],
)
def test_every_mistake_is_one_line_and_code_2(
    run: Run,
    tmp_path: Path,
    tiny_models: dict[str, Path],
    tiny_data: dict[str, Path],
    changes: dict[str, str | None],
    message: str,
) -> None:
    wrong = files(tmp_path)
    options: dict[str, object] = {
        "target": tiny_models["target"],
        "reference": tiny_models["reference"],
        "members": tiny_data["members"],
        "non-members": tiny_data["non_members"],
        "out": tmp_path / "out",
    }
    options |= {key.replace("_", "-"): wrong.get(value or "", value) for key, value in changes.items()}
    ran = run("audit", *[part for key, value in options.items() if value is not None for part in (f"--{key}", value)])
    assert ran.code == 2
    lines = [line for line in ran.err.splitlines() if line.strip()]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("Error: ")
    import re

    assert re.search(message, lines[0], re.IGNORECASE), lines[0]
    assert ran.out == ""


ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\x9b"


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "--target", "t", "--members", ESCAPES),
        ("audit", f"--{ESCAPES}"),
        (ESCAPES,),
        ("audit", "--out", f"/dev/null/{ESCAPES}", "--target", "t", "--members", "m"),
        ("report", ESCAPES, "--format", "md"),
        ("audit", "--debug", "--target", "t", "--members", ESCAPES),
    ],
)
def test_errors_hold_nothing_that_a_terminal_obeys(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert ran.code == 2
    assert "\\x1b" in ran.err
    assert all(line.isprintable() for line in ran.err.split("\n")), ascii(ran.err)


SHELL_CASES = [
    ("attacks | true; exit ${PIPESTATUS[0]}", 0, ""),
    ("attacks --json | true; exit ${PIPESTATUS[0]}", 0, ""),
    ("attacks --json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
    ("nope 2>&1 | true; exit ${PIPESTATUS[0]}", 2, ""),
    ("attacks >/dev/full", 2, "Error: cannot read or write the output: No space left on device\n"),
    ("nope 2>/dev/full", 2, ""),
    ("attacks >/dev/full 2>&1", 2, ""),
    ("nope 2>&-", 2, ""),
    (
        "audit --out $'out\\xff'",
        2,
        "Error: the argument out\\udcff is not valid in the encoding of the terminal; rename it\n",
    ),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("command", "code", "err"), SHELL_CASES)
def test_streams_that_fail(command: str, code: int, err: str) -> None:
    auditor = f"'{sys.executable}' -c 'from auditor.cli import main; main()' {command}"
    ran = subprocess.run(["bash", "-c", auditor], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (code, err)


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_any_encoding_of_the_terminal(audit: Run, run: Run, tmp_path: Path, encoding: str) -> None:
    audit()
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    start = [sys.executable, "-c", "from auditor.cli import main; main()"]
    for arguments in (["attacks"], ["report", tmp_path / "out", "--format", "html"], ["é→", "--debug"]):
        ran = subprocess.run([*start, *arguments], env=environment, capture_output=True, check=False, cwd=ROOT)
        assert ran.returncode == (2 if "--debug" in arguments else 0), ran.stderr
        assert b"Traceback" not in ran.stderr
        if "report" in arguments:  # a document is UTF-8 everywhere
            page = (tmp_path / "out" / "report.html").read_text()
            linked = re.search(r'<div class="files">.*?</div>\n', page)  # on stdout nothing lies beside it
            assert linked is not None
            assert ran.stdout.decode().rstrip("\n") == page.replace(linked[0], "").rstrip("\n")


def test_an_audit_does_not_fail_on_its_last_line(audit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    ran = audit(out="é\x1b")
    assert ran.code == 0, ran.err
    assert b"Report: " in written.getvalue()
    assert b"?\\x1b/report.html" in written.getvalue()


def test_no_command_prints_the_help(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: auditor [OPTIONS] COMMAND")
    assert ran.err.count("\n") > 10


def test_demo_refuses_a_negative_seed(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--seed", "-1", "--out", tmp_path / "demo")
    assert (ran.code, ran.err) == (2, "Error: seed must be in [0, 2**32), got -1\n")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["samples.parquet", "result.json", "report.md"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    audit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write = Path.write_text

    def full(path: Path, *content: Any, **options: Any) -> None:
        if not path.name.startswith(name):
            write(path, *content, **options)
            return
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    if name == "samples.parquet":
        monkeypatch.setattr(pq, "write_table", lambda table, where, **_: full(where))
    ran = audit()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(f"Error: cannot write {tmp_path / 'out' / name}: No space left on device\n")
    assert not (tmp_path / "out" / name).exists()
    assert not list((tmp_path / "out").glob("*partial*"))


def test_a_report_goes_into_a_device_not_in_its_place(audit: Run, run: Run, tmp_path: Path) -> None:
    audit()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    assert run("report", tmp_path / "out", "--format", "md", "--out", pipe).code == 0
    assert reader.communicate()[0].decode() == (tmp_path / "out" / "report.md").read_text()
    assert pipe.is_fifo()


def test_the_same_text_on_both_sides_is_refused(audit: Run, tmp_path: Path, tiny_data: dict[str, Path]) -> None:
    rows = [json.loads(line) for line in tiny_data["members"].read_text().splitlines()]
    rows[3]["id"] = "leaked"
    path = tmp_path / "n.jsonl"
    path.write_text(json.dumps(rows[3]) + "\n" + '{"id": "z", "text": "Another."}\n')
    ran = audit(non_members=path)
    assert ran.code == 2
    assert "m3" in ran.err
    assert "leaked" in ran.err


def test_usage_errors_are_code_2(run: Run) -> None:
    for arguments in (
        ("--nope",),
        ("audit", "--nope"),
        ("nope",),
        ("report", "x", "--format", "pdf"),
        ("report",),
    ):
        ran = run(*arguments)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": "99.0"}', '{"schema_version": 1}'])
def test_foreign_results_are_refused(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    ran = run("report", tmp_path, "--format", "md")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert run("report", tmp_path / "none.json", "--format", "md").code == 2


def test_a_crash_is_code_2_never_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(**_: object) -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(sys.modules["auditor.cli.report"], "make_console", crash)
    ran = run("attacks")
    assert ran.code == 2
    assert "unexpected ZeroDivisionError" in ran.err


def test_interrupting_keeps_the_scores(audit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.engine.forward import Scorer

    start, calls = Scorer.start, 0

    def interrupted(self: Scorer, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return start(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "start", interrupted)
        ran = audit(batch_tokens="64")
    assert ran.code == 2
    assert "run the same command again" in ran.err
    assert audit(batch_tokens="64").code == 0
    assert read(tmp_path / "out")["provenance"]["n_tokens_reused"] > 0


def test_help_and_import_are_instant() -> None:
    code = (
        "import sys, auditor, auditor.cli, reports, attacks; "
        "from click.testing import CliRunner; "
        "assert CliRunner().invoke(auditor.cli.cli, ['audit', '--help']).exit_code == 0; "
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'pyarrow', 'pydantic', 'scipy', 'jinja2'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


LIGHT = {
    "gate AUDIT --warn-only": {"pyarrow", "scipy.optimize"},
    "report AUDIT --format md": {"numpy", "pyarrow"},
    "report AUDIT --format summary": {"pyarrow", "scipy"},
    "report AUDIT --format html": {"scipy"},
    "compare AUDIT AUDIT": set(),
    "predict --params 1e6 --tokens 1e8": {"numpy", "pyarrow", "pydantic"},
}
"""Commands, and what they do without beside :data:`HEAVY`."""

HEAVY = {"torch", "transformers", "datasets", "sklearn", "pandas", "scipy.stats", "pyarrow.dataset", "matplotlib"}
"""Modules that take longer to import than these commands may take."""


@pytest.mark.slow
@pytest.mark.parametrize("command", LIGHT)
def test_a_command_imports_nothing_heavy(command: str, audit: Run, tmp_path: Path) -> None:
    assert audit().code == 0
    given = [word.replace("AUDIT", str(tmp_path / "out")) for word in command.split()]
    code = (
        "import json, sys; from click.testing import CliRunner; from auditor.cli import cli; "
        "ran = CliRunner().invoke(cli, json.loads(sys.argv[1]), catch_exceptions=False); "
        "assert ran.exit_code == 0 and ran.output, ran.output; print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, json.dumps(given)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert not (HEAVY | LIGHT[command]) & set(json.loads(ran.stdout))
