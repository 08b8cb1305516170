"""``auditor bench``: the file and what it refuses, the public sets by their shapes, going on, and the leaderboard."""

import csv
import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.benching.plan import read_bench
from auditor.benching.public_sets import PUBLIC_SETS
from auditor.benching.standings import mean_auc
from auditor.benching.texts import lay_out
from auditor.documents.estimate import Estimate, TprAtFpr
from auditor.documents.files import from_text, to_text
from auditor.documents.leaderboard import (
    LEADERBOARD_VERSION,
    BoardCell,
    BoardData,
    Leaderboard,
    Standing,
    read_leaderboard,
)
from auditor.errors import AuditError, ResultError
from helpers import Run, build_tokenizer, estimate, make_texts, write_jsonl
from reports import LEADERBOARD_RENDERERS, render_leaderboard
from reports.leaderboard import shared_rate
from reports.plots import AUDIT_FIGURES, FORMATS, leaderboard_figure

ROOT = Path(__file__).parents[1]
HEADS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
TARGET = '[[targets]]\nname = "tiny"\ntarget = "models/tiny"\n'
DATA = '[[data]]\nname = "own"\nmembers = "m.jsonl"\nnon_members = "n.jsonl"\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "bench.toml"
    file.write_text(text, encoding="utf-8")
    return file


def rows(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def texts_of(path: str, column: str = "text") -> list[str]:
    return [json.loads(line)[column] for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"sedes = [0]\n{TARGET}{DATA}", "unknown key 'sedes' at the top of the bench; did you mean 'seeds'?"),
        (f"max_tokens = 8\n{TARGET}{DATA}", "unknown key 'max_tokens' at the top of the bench; it belongs into [set"),
        (f"{TARGET}members = 'm'\n{DATA}", "'members' at [[targets]] of the bench; it belongs into [[data]]"),
        (f"{TARGET}{DATA}seed = 3\n", "unknown key 'seed' at [[data]] of the bench"),
        (f"[settings]\ntarget = 't'\n{TARGET}{DATA}", "unknown key 'target' at [settings]"),
        (f"seeds = [0, 0]\n{TARGET}{DATA}", "seeds must be different ones, got [0, 0]"),
        (f"seeds = [true]\n{TARGET}{DATA}", "seeds must be a list of whole numbers from 0 on"),
        (f"seeds = []\n{TARGET}{DATA}", "seeds must be a list of whole numbers"),
        (TARGET, "the bench names no data: give at least one table [[data]]"),
        (DATA, "the bench names no targets"),
        (f"{TARGET}{TARGET}{DATA}", "two [[targets]] are named 'tiny': rename one"),
        (f"{TARGET}[[data]]\nname = '../x'\nlabelled = 'a.jsonl'\n", "needs a name of letters, digits"),
        (f"{TARGET}[[data]]\nname = 'x'\n", "data 'x' must be one of three"),
        (f"{TARGET}[[data]]\nname = 'x'\nmembers = 'm'\n", "data 'x' has no non_members"),
        (f"{TARGET}[[data]]\nname = 'x'\nset = 'wikimia'\n", "part must be one of 32, 64, 128, 256, got none"),
        (f"{TARGET}[[data]]\nname = 'x'\nset = 'mimir'\npart = 'arxiv_ngram_13_0'\n", "did you mean 'arxiv_ngram_13"),
        (f"{TARGET}[[data]]\nname = 'x'\nset = 'pile'\npart = 'a'\n", "set must be one of wikimia, mimir,"),
        (f"{TARGET}[[data]]\nname = 'x'\nset = 'toaa'\npart = 'plain_1x'\n", "holds token ids; give tokenizer"),
        (f"{TARGET}[[data]]\nname = 'x'\nset = 'wikimia'\npart = '32'\ntext_field = 't'\n", "text_field means nothing"),
        (f"{TARGET}{DATA}per_side = 0\n", "per_side must be a whole number from 1 on, got 0"),
        (f"{TARGET}{DATA}[settings]\nconfidence = 95\n", "target 'tiny' on data 'own': "),
        (f"attacks = 'loss'\n{TARGET}{DATA}", "key 'attacks' takes a list"),
        ("seeds = [", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_in_one_line(run: Run, tmp_path: Path, text: str, said: str) -> None:
    ran = run("bench", written(tmp_path, text), "--out", tmp_path / "out")
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_data_is_refused_before_anything_is_scored(run: Run, tmp_path: Path) -> None:
    rows(tmp_path / "bare.jsonl", [{"text": "one", "source": "a"}, {"text": "two", "source": "b"}])
    rows(tmp_path / "odd.jsonl", [{"text": "one", "label": 1}, {"text": "two", "label": "a secret text"}])
    rows(tmp_path / "all.jsonl", [{"text": "one", "label": 1}, {"text": "two", "label": 1}])
    for name, said in (
        ("bare", "has no column 'label' that says who is a member; other columns there are: source"),
        ("odd", "odd.jsonl line 2 has a label in 'label' that is neither 1 nor 0"),
        ("all", "has no non-members, by its column 'label'"),
        ("none", "does not exist here, and nothing is downloaded unless asked"),
    ):
        file = written(tmp_path, f"{TARGET}[[data]]\nname = 'x'\nlabelled = '{tmp_path / name}.jsonl'\n")
        ran = run("bench", file, "--out", tmp_path / "out")
        assert ran.code == 2
        assert said in ran.err
        assert "secret" not in ran.err
    public = f"{TARGET}[[data]]\nname = 'x'\nset = 'wikimia'\npart = '32'\n"
    ran = run("bench", written(tmp_path, public), "--out", tmp_path / "out")
    assert "nothing is downloaded unless asked: give path = a local copy of swj0419/WikiMIA, or --download" in ran.err
    ran = run(
        "bench",
        written(tmp_path, public.replace("wikimia", "olmomia").replace("32", "easy")),
        "--download",
        "--out",
        tmp_path / "out",
    )
    assert "OLMoMIA is not to be had on the hub" in ran.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    ran = run("bench", written(tmp_path, public), "--out", tmp_path / "other")
    assert "it holds files and no bench.json: it is of another command; give another folder" in ran.err


def entry_of(folder: Path, table: str) -> Any:
    return read_bench(written(folder, f"{TARGET}[[data]]\nname = 'x'\n{table}")).data[0]


@pytest.mark.parametrize(
    ("name", "part", "records"),
    [
        ("wikimia", "64", [{"input": "old page", "label": 1}, {"input": "new page", "label": 0}]),
        ("copyright-traps", "seq_len_25_n_rep_100",
         [{"perplexity_bucket": 3, "text": "old page", "label": 1},
          {"perplexity_bucket": 1, "text": "new page", "label": 0}]),
        ("olmomia", "hard", [{"input": "old page", "label": 1}, {"input": "new page", "label": 0}]),
    ],
)  # fmt: skip
def test_labelled_public_sets_are_read_by_their_columns(
    tmp_path: Path, name: str, part: str, records: list[dict[str, Any]]
) -> None:
    file = rows(tmp_path / "set.jsonl", records)
    entry = entry_of(tmp_path, f"set = '{name}'\npart = '{part}'\npath = '{file}'\n")
    sides = lay_out(entry, 0, tmp_path / "data", download=False)
    column = PUBLIC_SETS[name].text_field
    assert sides.options == {"text_field": column}
    assert [texts_of(path, column) for path in sides.paths] == [["old page"], ["new page"]]
    assert Path(sides.paths[0]).stat().st_mode & 0o077 == 0  # as confidential as the texts


def test_a_clone_of_wikimia_is_read_by_its_split(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "clone" / "data").mkdir(parents=True)
    for length in (32, 64):
        table = pa.table({"input": [f"old {length}", f"new {length}"], "label": [1, 0]})
        pq.write_table(table, tmp_path / "clone" / "data" / f"WikiMIA_length{length}-00000-of-00001.parquet")
    entry = entry_of(tmp_path, f"set = 'wikimia'\npart = '64'\npath = '{tmp_path / 'clone'}'\n")
    sides = lay_out(entry, 0, tmp_path / "data", download=False)
    assert texts_of(sides.paths[0], "input") == ["old 64"]


def test_mimir_is_read_from_its_two_files_of_strings(tmp_path: Path) -> None:
    for side, words in (("train", "seen"), ("test", "unseen")):
        folder = tmp_path / "mimir" / "cache_100_200_1000_512" / side
        folder.mkdir(parents=True)
        lines = [json.dumps(f"{words} {i}") + "\n" for i in range(3)]
        (folder / "arxiv_ngram_13_0.8.jsonl").write_text("".join(lines))
    entry = entry_of(
        tmp_path, f"set = 'mimir'\npart = 'arxiv_ngram_13_0.8'\npath = '{tmp_path / 'mimir'}'\nper_side = 2\n"
    )
    sides = lay_out(entry, 0, tmp_path / "data", download=False)
    members, others = (texts_of(path) for path in sides.paths)
    assert len(members) == len(others) == 2
    assert all(text.startswith("seen") for text in members)
    assert all(text.startswith("unseen") for text in others)
    gone = entry_of(tmp_path, f"set = 'mimir'\npart = 'c4'\npath = '{tmp_path / 'mimir'}'\n")
    with pytest.raises(AuditError, match=r"c4.jsonl does not exist; path is the folder of a clone of iamgroot42/mimir"):
        lay_out(gone, 0, tmp_path / "data", download=False)


def test_toaa_is_decoded_and_only_its_condition_is_read(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    texts = make_texts(3, seed=0)

    def row(text: str, condition: str, member: int) -> dict[str, Any]:
        ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
        return {"condition": condition, "membership": member, "duplication": 16, "input_ids": ids}

    file = rows(tmp_path / "toaa.jsonl", [
        row(texts[0], "plain_16x", 1), row(texts[1], "plain_16x", 0), row(texts[2], "rare_1tok_4x", 1)
    ])  # fmt: skip
    asked = f"set = 'toaa'\npart = 'plain_16x'\npath = '{file}'\ntokenizer = '{tmp_path / 'tokenizer'}'\n"
    sides = lay_out(entry_of(tmp_path, asked), 0, tmp_path / "data", download=False)
    assert [texts_of(path) for path in sides.paths] == [[texts[0]], [texts[1]]]
    assert json.loads(Path(sides.paths[0]).read_text())["copies"] == 16
    assert sides.notes == ()
    for ids in ([10**6], "ids", [True]):
        bad = rows(tmp_path / "toaa.jsonl", [row(texts[0], "plain_16x", 1) | {"input_ids": ids}])
        assert bad == file
        with pytest.raises(AuditError, match="has no ids of this tokenizer"):
            lay_out(entry_of(tmp_path, asked), 0, tmp_path / "data2", download=False)


def test_a_seed_draws_the_same_texts_again_and_another_seed_others(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "m.jsonl", make_texts(30, seed=1), prefix="m")
    write_jsonl(tmp_path / "n.jsonl", make_texts(30, seed=2), prefix="n")
    table = f"members = '{tmp_path / 'm.jsonl'}'\nnon_members = '{tmp_path / 'n.jsonl'}'\nper_side = 10\n"
    drawn = [
        texts_of(lay_out(entry_of(tmp_path, table), seed, tmp_path / place, download=False).paths[0])
        for seed, place in ((0, "a"), (0, "b"), (1, "a"))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) <= set(make_texts(30, seed=1))
    assert len(set(drawn[0])) == 10
    write_jsonl(tmp_path / "m.jsonl", make_texts(30, seed=3), prefix="m")
    with pytest.raises(AuditError, match="holds other texts, those that the bench began with"):
        lay_out(entry_of(tmp_path, table), 0, tmp_path / "a", download=False)
    with pytest.raises(AuditError, match="per_side is 31, and there are 30 members"):
        lay_out(entry_of(tmp_path, table.replace("10", "31")), 0, tmp_path / "c", download=False)


def cell(attack: str, auc: Estimate, *, data: str = "own", p: float | None = 0.01, veto: bool = False) -> BoardCell:
    too_few = TprAtFpr.at(0.01, Estimate.undefined("too few", level=0.95))
    return BoardCell(
        target="tiny", data=data, seed=0, attack=attack, folder=f"audits/tiny/{data}/seed-0", auc=auc,
        tpr_at_fpr=(too_few, TprAtFpr.at(0.05, estimate(0.2, 0.1, 0.3))),
        p_value=p, p_value_holm=p, soundness="veto" if veto else "pass", result_sha256="0" * 64,
    )  # fmt: skip


def board(attack: str = "min_k:k=0.2", title: str = "A & B_1") -> Leaderboard:
    def data(name: str, separable: bool) -> BoardData:
        return BoardData(
            data=name, seed=0, source="own texts", licence=None, n_members=50, n_non_members=40,
            blind_auc=estimate(0.99 if separable else 0.5, 0.4, 1.0), blind_verdict="veto" if separable else "pass",
            separable=separable, caution=None,
        )  # fmt: skip

    cells = (cell(attack, estimate(0.7, 0.6, 0.8)), cell(attack, estimate(0.9, 0.8, 0.95), data="wiki", veto=True))
    standing = Standing(attack=attack, mean_auc=estimate(0.7, 0.6, 0.8), n_cells=1, n_vetoed=1, n_significant=1)
    return Leaderboard(
        auditor_version="0", title=title, level=0.95, n_audits=3, n_tests=2, standings=(standing,),
        data=(data("own", False), data("wiki", True)), cells=cells, warnings=("wiki: texts alone",),
    )  # fmt: skip


def test_a_mean_over_cells_has_the_mean_of_their_arms() -> None:
    # values .6 and .8; lows .5 and .6; highs .8 and .9: means .7, .55, .85
    found = mean_auc([cell("loss", estimate(0.6, 0.5, 0.8)), cell("loss", estimate(0.8, 0.6, 0.9))], 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.55, 0.85))
    assert mean_auc([], 0.95).undefined_reason == "every cell is vetoed"


def test_the_arm_of_a_mean_is_never_shorter_than_its_spread() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):  # Minkowski: sd of a mean <= mean of sds, for any covariance
        root = rng.normal(size=(4, 4))
        covariance = root @ root.T
        assert np.sqrt(covariance.mean()) <= np.sqrt(np.diag(covariance)).mean() + 1e-12


def test_the_document_is_written_and_read_without_loss() -> None:
    text = to_text(board())
    assert from_text(text, Leaderboard, version=LEADERBOARD_VERSION, what="leaderboard") == board()
    twice = replace(board(), cells=board().cells * 2)
    with pytest.raises(ResultError, match="a cell stands twice"):
        from_text(to_text(twice), Leaderboard, version=LEADERBOARD_VERSION, what="leaderboard")


def test_every_format_tells_what_must_not_be_overlooked() -> None:
    found = board()
    assert shared_rate(found) == 0.05
    markdown, latex, table = (LEADERBOARD_RENDERERS[form](found) for form in ("md", "tex", "csv"))
    for text in (markdown, latex):
        assert "SEPARABLE" in text
        assert "0.700 [0.600 to 0.800]" in text
        assert "1 audit not done yet" in text
    assert "0.900 [0.800 to 0.950] †" in markdown
    assert r"A \& B\_1" in latex
    assert r"0.900 [0.800 to 0.950] $^\dagger$" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
    lines = list(csv.DictReader(io.StringIO(table)))
    assert [(one["data"], float(one["auc_value"]), one["separable"]) for one in lines] == [
        ("own", 0.7, "false"),
        ("wiki", 0.9, "true"),
    ]
    assert lines[0]["tpr_at_0.01_value"] == ""


def test_latex_puts_every_cell_on_a_page_of_its_table() -> None:
    many = replace(board(), cells=tuple(cell(f"own_{i}", estimate(0.7, 0.6, 0.8)) for i in range(85)))
    latex = LEADERBOARD_RENDERERS["tex"](many)
    pages = latex.split(r"\begin{table*}")[3:]  # after those of attacks and of data sets
    assert [one.count("own\\_") for one in pages] == [40, 40, 5]
    assert [one.count(r"\label{tab:cells}") for one in pages] == [1, 0, 0]
    assert "Table continued, part 3 of 3" in pages[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_latex_compiles_and_fits_the_page(tmp_path: Path, columns: str) -> None:
    many = replace(board(), cells=tuple(cell(f"own_{i}", estimate(0.7, 0.6, 0.8)) for i in range(85)))
    (tmp_path / "board.tex").write_text(LEADERBOARD_RENDERERS["tex"](many), encoding="utf-8")
    paper = (
        rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs}}\begin{{document}}\input{{board}}\end{{document}}"
    )
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "Overfull" not in ran.stdout
    assert (tmp_path / "paper.pdf").is_file()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    found = board(attack="\\input{x}|<b>$\u202e%\n## [x](http://y)", title="\\write18{rm} <script>")
    markdown, latex = LEADERBOARD_RENDERERS["md"](found), LEADERBOARD_RENDERERS["tex"](found)
    assert "<script>" not in markdown
    assert "\u202e" not in markdown + latex
    assert "\\input{" not in latex
    assert "\\write18" not in latex
    leaderboard_figure(found, tmp_path / "board.svg")
    assert b"<script>" not in (tmp_path / "board.svg").read_bytes()


def test_the_figure_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for form in FORMATS:
        pair = [tmp_path / f"{name}.{form}" for name in "ab"]
        for path in pair:
            leaderboard_figure(board(), path)
        assert pair[0].read_bytes() == pair[1].read_bytes()
        assert pair[0].read_bytes().startswith(HEADS[form])


def bench_file(folder: Path, models: dict[str, Path], *, seeds: str = "[0]", more: str = "") -> Path:
    """Two small sets, of which one is separable in the way of WikiMIA, and a tiny model."""
    write_jsonl(folder / "m.jsonl", make_texts(40, seed=1), prefix="m")
    write_jsonl(folder / "n.jsonl", make_texts(40, seed=2), prefix="n")
    pairs = zip(make_texts(25, seed=5), make_texts(25, seed=6), strict=True)
    labelled = [{"input": text, "label": 1 - i} for old, new in pairs for i, text in enumerate((old, f"{new} in 2023"))]
    rows(folder / "wikimia.jsonl", labelled)
    return written(
        folder,
        f"""
title = "Tiny"
seeds = {seeds}
attacks = ["loss", "reference"]
[[targets]]
name = "tiny"
target = "{models["target"]}"
references = ["{models["reference"]}"]
{more}
[[data]]
name = "own"
members = "{folder / "m.jsonl"}"
non_members = "{folder / "n.jsonl"}"
per_side = 30
[[data]]
name = "wikimia-32"
set = "wikimia"
part = "32"
path = "{folder / "wikimia.jsonl"}"
""",
    )


def test_a_small_bench_is_whole_and_is_not_run_twice(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    small = bench_file(tmp_path, tiny_models).read_text().split('[[data]]\nname = "wikimia')[0]
    file, out = written(tmp_path, small.replace('"loss", "reference"', '"loss"')), tmp_path / "out"
    ran = run("bench", file, "--out", out, "--json")
    assert ran.code == 0, ran.err
    (only,) = json.loads(ran.out)["cells"]
    assert only["p_value"] == only["p_value_holm"]  # one cell: nothing to adjust
    assert (out / only["folder"] / "checksums.json").is_file()
    assert read_leaderboard(out / "leaderboard.json").data[0].n_members == 30
    again = run("bench", file, "--out", out, "--json")
    assert "Audit 1 of 1: tiny/own/seed-0, done before" in again.err
    assert again.out == ran.out
    shutil.copytree(tiny_models["target"], tmp_path / "model")
    written(tmp_path, file.read_text().replace(str(tiny_models["target"]), str(tmp_path / "model")))
    assert "begun with other settings" in run("bench", file, "--out", out).err
    assert run("bench", file, "--out", tmp_path / "second").code == 0
    shutil.copy(tiny_models["reference"] / "model.safetensors", tmp_path / "model")  # trained anew, at the same path
    stale = run("bench", file, "--out", tmp_path / "second")
    assert stale.code == 2
    assert "is the audit of another model that lay at" in stale.err


@pytest.mark.slow
def test_a_bench_end_to_end_goes_on_and_says_what_is_separable(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    out, file = tmp_path / "out", bench_file(tmp_path, tiny_models)
    ran = run("bench", file, "--out", out, "--figures", "svg")
    assert ran.code == 0, ran.err
    assert "SEPARABLE" in ran.out
    assert "wikimia-32: texts alone tell the sides apart" in ran.out
    found = read_leaderboard(out / "leaderboard.json")
    assert [(one.data, one.attack) for one in found.cells] == [
        (data, attack) for data in ("own", "wikimia-32") for attack in ("loss", "reference")
    ]
    assert [one.separable for one in found.data] == [False, True]
    assert found.n_tests == 4
    assert {one.n_cells for one in found.standings} == {1}  # the separable set counts for none
    cells = [out / one.folder for one in found.cells]
    results = [json.loads((folder / "result.json").read_text()) for folder in cells]
    by_name = {one["attack"]: one["auc"]["value"] for one in results[0]["attacks"]}
    assert [one.auc.value for one in found.cells[:2]] == [by_name["loss"], by_name["reference"]]
    p_values = sorted(one.p_value for one in found.cells)  # Holm, by hand
    expected = np.maximum.accumulate([min(1, (4 - i) * p) for i, p in enumerate(p_values)])
    assert sorted(one.p_value_holm for one in found.cells) == pytest.approx(expected.tolist())
    for name in (*AUDIT_FIGURES,):
        assert (cells[0] / "figures" / f"{name}.svg").read_bytes().startswith(b"<?xml")
    for form in ("md", "tex", "csv", "svg"):
        assert (out / f"leaderboard.{form}").is_file()
    assert run("verify", cells[0]).code == 0  # an ordinary audit

    before = (out / "leaderboard.json").read_bytes()
    for name in ("result.json", "checksums.json"):  # as if it had been killed before it was written
        (cells[2] / name).unlink()
    started = (cells[0] / "result.json").read_bytes()
    again = run("bench", file, "--out", out, "--json")
    assert again.code == 0, again.err
    assert again.err.count("done before") == 1
    assert (cells[0] / "result.json").read_bytes() == started
    scored = json.loads((cells[2] / "result.json").read_text())["provenance"]
    assert scored["n_tokens_scored"] == 0  # from the store
    assert [one["auc"] for one in json.loads(again.out)["cells"]] == [one["auc"] for one in json.loads(before)["cells"]]

    bench_file(tmp_path, tiny_models, more="max_tokens = 8")
    changed = run("bench", file, "--out", out)
    assert changed.code == 2
    assert "holds another bench: audits/tiny/own/seed-0 was begun with other settings or texts" in changed.err
    renamed = file.read_text().replace('name = "tiny"', 'name = "other"')
    another = run("bench", written(tmp_path, renamed), "--out", out)
    assert "holds another bench: it asked for audits/tiny/own/seed-0 and 1 more" in another.err
    bench_file(tmp_path, tiny_models)
    (cells[0] / "result.json").write_text("{}")
    assert run("bench", file, "--out", out).code == 2  # never read as if it were whole


@pytest.mark.slow
def test_a_bench_grows_by_targets_and_seeds_and_notes_what_fails(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    out, file = tmp_path / "out", bench_file(tmp_path, tiny_models)
    assert run("bench", file, "--out", out).code == 0
    more, gone = (
        f'[[targets]]\nname = "{name}"\ntarget = "{model}"\nreferences = ["{tiny_models["target"]}"]\n'
        for name, model in (("second", tiny_models["reference"]), ("gone", tmp_path / "nowhere"))
    )
    bench_file(tmp_path, tiny_models, seeds="[0, 1]", more=more + gone)
    ran = run("bench", file, "--out", out)
    assert ran.code == 2
    assert "4 of 12 audits could not be done: audits/gone/own/seed-0" in ran.err
    assert ran.err.count("done before") == 2
    found = read_leaderboard(out / "leaderboard.json")
    assert len(found.cells) == 16
    assert len(found.failed) == 4
    drawn = [one for one in found.data if one.data == "own"]
    assert [one.seed for one in drawn] == [0, 1]
    assert drawn[0].blind_auc.value != drawn[1].blind_auc.value  # other texts


def test_figures_of_an_ordinary_audit_and_none_of_an_earlier_one(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> None:
    folder = tmp_path / "out"
    base = ("audit", "--target", tiny_models["target"], "--members", tiny_data["members"], "--out", folder)
    base = (*base, "--attack", "loss")
    both = (*base, "--non-members", tiny_data["non_members"])
    wrong = run(*base, "--figures", "png,jpg")
    assert wrong.code == 2
    assert "'jpg' is not one of png, svg, pdf" in wrong.err
    (tmp_path / "p.toml").write_text((ROOT / "auditor" / "gates" / "templates" / "policy.toml").read_text())
    stopped = run(*both, "--figures", "svg", "--until-decided", "--policy", tmp_path / "p.toml")
    assert stopped.code == 2
    assert "--figures draws a whole audit" in stopped.err
    assert run(*both, "--figures", "png,svg,pdf").code == 0
    drawn = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert drawn == sorted(f"{name}.{form}" for name in AUDIT_FIGURES for form in FORMATS)
    for path in (tmp_path / "out" / "figures").iterdir():
        assert path.read_bytes().startswith(HEADS[path.suffix[1:]])
    assert "mathdefault" not in (tmp_path / "out" / "figures" / "roc.svg").read_text()
    assert run(*base, "--overwrite", "--figures", "svg").code == 0  # one side: there is no curve to draw
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["bits.svg"]


def test_the_terminal_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    Console(width=80).print(render_leaderboard(board()))
    shown = capsys.readouterr().out
    assert "own" in shown
    assert "wiki " in shown
    assert "…" not in shown
