"""``auditor reproduce``: parts, data, figures and page; going on, and every folder and input that it refuses."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.documents.calibration import Calibration, read_calibration
from auditor.documents.estimate import Estimate
from auditor.documents.reproduction import (
    CapacityGrid,
    CapacitySweep,
    CurvePoint,
    GridRun,
    SizeRun,
    read_capacity_grid,
    read_capacity_sweep,
)
from auditor.errors import ModelError
from auditor.experiments.reproduction import capacity as capacity_module
from auditor.experiments.reproduction import grid_scales, grids, models, scales, text, text_scales
from helpers import Run, make_texts, write_jsonl
from reports.paper import paper_claims, paper_page
from reports.plots import recited_figure, text_figure


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the scale of a laptop one of seconds."""
    few = replace(
        scales.CAPACITY["laptop"], shapes=((1, 8), (1, 12), (1, 16)), n_vocabulary=32, sample_tokens=12,
        multiples=(0.1, 0.4), length=models.Length(parameters_per_step=None, least=20),
    )  # fmt: skip
    monkeypatch.setitem(scales.CAPACITY, "laptop", few)
    one = grid_scales.GridCell(n_layer=1, n_embd=8, n_vocabulary=32, sample_tokens=12, data=0.4)
    cells = {"training": (one, replace(one, data=1.0)), "precision": (one, replace(one, precision="bf16")),
             "sequences": (replace(one, data=9), replace(one, data=9, sample_tokens=6)),
             "shapes": (one, replace(one, n_layer=2))}  # fmt: skip
    least = replace(
        grid_scales.GRIDS["laptop"],
        cells=cells,
        length=models.Length(parameters_per_step=None, least=12),
        tokens_per_step=96,
    )
    monkeypatch.setitem(grid_scales.GRIDS, "laptop", least)
    planned = text_scales.text_plan

    def plan(scale: Any, **given: Any) -> Any:
        whole = planned(scale, **given)
        return replace(
            whole, configs=whole.configs[:2], ratios=(0.006, 0.012), epochs=1, least_steps=3, reference_steps=3,
            n_held_out=25, n_reference=20, larger_reference=None, whole_references=False,
        )  # fmt: skip

    monkeypatch.setattr(text, "text_plan", plan)
    monkeypatch.setitem(text._VOCABULARY, "laptop", 300)


@pytest.fixture
def reproduce(run: Run) -> Run:
    """Return a function that runs ``auditor reproduce`` in this process, one training at a time."""
    return partial(run, "reproduce", "--workers", "1")


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    texts = [" ".join(make_texts(60, seed=seed)) for seed in range(12)]
    return str(write_jsonl(tmp_path / "texts.jsonl", texts))


def test_every_part_writes_its_data_and_figure_and_goes_on(
    small: None, reproduce: Run, corpus: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = reproduce("--data", corpus, "--out", str(out))
    assert found.code == 0, found.err
    assert [line for line in found.phases if "%" not in line] == [
        "1/8 loading PyTorch",
        "2/8 training on random tokens: sizes",
        "3/8 training on random tokens: bits on the way",
        "4/8 training on random tokens: precision",
        "5/8 training on random tokens: sequences",
        "6/8 training on random tokens: depth and width",
        "7/8 training the sweep on text",
        "8/8 drawing the figures and the page",
    ]
    for name in ("capacity", "training", "text", "membership", "extraction"):
        assert (out / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
    page = (out / "paper.md").read_text(encoding="utf-8")
    assert all(f"## {part}" in page for part in ("Capacity", "Shapes", "Text", "Membership", "Extraction"))
    trained = read_capacity_grid(out / "precision.json").runs
    assert [run.precision for run in trained] == ["fp32", "bf16"]
    assert trained[1].memorized_bits == trained[1].memorized_bits_bf16 != trained[0].memorized_bits
    assert read_capacity_grid(out / "training.json").runs[1].curve[-1].steps == 12
    sweep, cells = read_capacity_sweep(out / "capacity-sweep.json"), read_calibration(out / "calibration.json").cells
    assert [run.params for run in sweep.runs] == sorted(run.params for run in sweep.runs)
    assert len({run.params for run in sweep.runs}) == 3
    assert sweep.slope is not None
    assert sweep.cpu_seconds == pytest.approx(sum(run.cpu_seconds or math.nan for run in sweep.runs), abs=0.01)
    assert all(cell.memorized_bits is not None for cell in cells)
    assert "agree" in found.out + found.err

    def train(*_: Any) -> None:
        raise AssertionError("what is finished is not trained again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity_module, "_train_size", train)
        patch.setattr(grids, "_train_cell", train)
        again = reproduce("--data", corpus, "--out", str(out))
    assert again.code == 0, again.err
    assert (out / "paper.md").read_text(encoding="utf-8") == page


def test_what_is_refused_in_one_line(small: None, reproduce: Run, corpus: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert reproduce("--part", "capacity", "--out", str(out)).code == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "result.json").write_text("{}")
    few = write_jsonl(tmp_path / "few.jsonl", make_texts(5, seed=0))
    same = write_jsonl(tmp_path / "same.jsonl", ["the same words and no others"])
    for arguments, words in (
        (["--out", str(tmp_path / "a")], "give them with --data, or --part capacity alone"),
        (["--part", "recital", "--out", str(tmp_path / "a")], "'recital' is not one of"),
        (["--part", "capacity", "--scale", "paper", "--device", "cpu", "--out", str(out)], "begun at --scale laptop"),
        (["--part", "capacity", "--out", str(other)], "is of another command; give another folder"),
        (["--part", "text", "--data", str(few), "--out", str(tmp_path / "b")], "hold 0 different samples of 64 tokens"),
        (["--part", "text", "--data", str(same), "--out", str(tmp_path / "e")], "the texts give a tokenizer of"),
        (["--part", "capacity", "--device", "cuda:77", "--out", str(tmp_path / "c")], "cannot be used"),
        (["--part", "text", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "d")], "none"),
    ):
        found = reproduce(*arguments)
        assert found.code == 2, arguments
        assert words in found.out + found.err
        assert "Traceback" not in found.out + found.err
    assert reproduce("--part", "text", "--data", corpus, "--out", str(out)).code == 0  # another part, same folder
    changed = write_jsonl(tmp_path / "changed.jsonl", [*make_texts(400, seed=3)])
    assert "begun with other texts" in reproduce("--part", "text", "--data", str(changed), "--out", str(out)).err


@pytest.mark.skipif(torch.cuda.is_available(), reason="would begin weeks of training")
def test_the_papers_scale_without_a_gpu_is_refused(reproduce: Run, tmp_path: Path) -> None:
    found = reproduce("--part", "shapes", "--scale", "paper", "--out", str(tmp_path / "out"))
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "need a GPU, and there is none" in found.err
    assert "cannot be used" in reproduce("--part", "shapes", "--device", "cuda", "--out", str(tmp_path / "out")).err


def test_an_interrupted_part_goes_on_where_it_was(small: None, reproduce: Run, tmp_path: Path) -> None:
    out, trained, train = tmp_path / "out", [], grids._train_cell

    def interrupted(job: grids.GridJob, on_share: Any) -> GridRun:
        if len(trained) == 1:
            raise ModelError("out of memory")
        trained.append(job)
        return train(job, on_share)

    def going_on(job: grids.GridJob, on_share: Any) -> GridRun:
        trained.append(job)
        return train(job, on_share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grids, "_train_cell", interrupted)
        assert reproduce("--part", "shapes", "--out", str(out)).code == 2
        assert not (out / "shapes.json").exists()
        patch.setattr(grids, "_train_cell", going_on)
        assert reproduce("--part", "shapes", "--out", str(out)).code == 0
    assert [one.cell.n_layer for one in trained] == [2, 1]  # the longest first, each once
    assert [run.n_layer for run in read_capacity_grid(out / "shapes.json").runs] == [1, 2]


def sweep(*held: tuple[int, float]) -> CapacitySweep:
    """Make a sweep of one run a size and amount."""
    runs = tuple(
        SizeRun(
            n_layer=1, n_embd=8, params=params, n_samples=10, dataset_bits=2.0 * 3.6 * params, steps=10,
            memorized_bits=bits, memorized_bits_bf16=0.9 * bits, test_bits_per_token=10.0, seconds=1.0,
        )
        for params, bits in held
    )  # fmt: skip
    return CapacitySweep(
        scale="laptop", n_vocabulary=512, sample_tokens=64, device="cpu", runs=runs,
        slope=capacity_module._slope(runs, "memorized_bits"), slope_bf16=None, settings={}, packages={}, seconds=3.0,
    )  # fmt: skip


def test_slope_by_hand() -> None:
    # 1000, 2000, 3000 parameters hold 3000, 5000, 7600 bits: slope sum((x - 2000)(y - mean)) / 2e6 = 4.6e6 / 2e6 = 2.3;
    # residuals 100, -200, 100: s^2 = 60000 / 1, its error sqrt(60000 / 2e6) = .1732, t(1 degree) at 97.5% 12.706
    slope = sweep((3000, 7600.0), (1000, 3000.0), (2000, 5000.0)).slope
    assert slope is not None
    assert slope.value == pytest.approx(2.3)
    assert slope.high - slope.value == pytest.approx(12.7062 * math.sqrt(0.03), rel=1e-4)
    assert sweep((1000, 3000.0), (2000, 5000.0)).slope is None


def test_claims_follow_the_data() -> None:
    full = paper_claims(sweep((1000, 3600.0), (2000, 7250.0), (4000, 14400.0)), None)
    poor = paper_claims(sweep((1000, 1000.0), (2000, 2010.0), (4000, 4000.0)), None)
    assert full[0].agrees is True
    assert poor[0].agrees is False
    assert "3.6" in full[0].found
    assert paper_claims(None, None) == ()
    assert "Capacity" not in paper_page(None, None, figures={})


def test_a_calibration_of_an_older_auditor_draws_no_bits(tmp_path: Path) -> None:
    old = read_calibration(Path("docs/data/calibration-kjv.json"))
    if old.cells[0].dataset_bits is None:
        with pytest.raises(ValueError, match="made by an older auditor"):
            text_figure(old, tmp_path / "a.svg")
    assert json.loads(Path("docs/data/calibration-kjv.json").read_text())["kind"] == "calibration"


def grid(part: str, *runs: GridRun) -> CapacityGrid:
    return CapacityGrid(
        part=part, scale="laptop", device="cpu", runs=runs, paper_operations=1e20, settings={}, packages={}, seconds=9.0
    )  # type: ignore[arg-type]  # fmt: skip


def cell(params: int = 1000, *, data: float, held: float, **given: Any) -> GridRun:
    values = {
        "n_layer": 1, "n_embd": 8, "params": params, "n_vocabulary": 512, "sample_tokens": 64, "n_samples": 10,
        "dataset_bits": data, "precision": "fp32", "steps": 800, "memorized_bits": held,
        "memorized_bits_bf16": held - 1, "test_bits_per_token": 10.0,
        "curve": (CurvePoint(steps=100, memorized_bits=0.6 * held),), "seconds": 1.0,
    }  # fmt: skip
    return GridRun(**(values | given))


def test_claims_of_grids_follow_the_data() -> None:
    same = grid("training", cell(data=2000, held=1999), cell(data=4000, held=3000), cell(data=9000, held=3100))
    (plateau,) = paper_claims(None, None, grids=[same])
    assert (plateau.agrees, "3.3% apart" in plateau.found) == (True, True)
    (plateau,) = paper_claims(None, None, grids=[grid("training", same.runs[1], cell(data=9000, held=2000))])
    assert (plateau.agrees, "50% apart" in plateau.found) == (False, True)

    pair = [cell(data=4000, held=3000), cell(data=4000, held=2760, precision="bf16")]
    (claim,) = paper_claims(None, None, grids=[grid("precision", *pair)])
    assert (claim.agrees, "92%" in claim.found) == (True, True)
    assert paper_claims(None, None, grids=[grid("precision", pair[0])]) == ()

    fits, over = cell(data=2000, held=1990), cell(data=9000, held=3000)  # 3600 are expected: 16.7% fewer
    (claim,) = paper_claims(None, None, grids=[grid("sequences", fits, over)])
    assert (claim.agrees, "−16.7% at most" in claim.found) == (False, True)
    (claim,) = paper_claims(None, None, grids=[grid("shapes", over, cell(data=9000, held=3600, n_layer=2))])
    assert claim.agrees is True


def test_tables_of_grids() -> None:
    over = cell(data=9000, held=3000)
    page = paper_page(None, None, figures={}, grids=[grid("sequences", over), grid("shapes", over)])
    assert "| 64 | 512 | 1,000 | 9,000 | 3,000 | 3,600 | −16.7% |" in page
    assert "| 1 | 8 | 1,000 | 800 | 3,000 | 3.00 |" in page
    half = cell(data=9000, held=2760, precision="bf16")
    page = paper_page(None, None, figures={}, grids=[grid("precision", over, half), grid("training", over, over)])
    assert "| 1 | 8 | 1,000 | 800 | 3.00 | 3.00 | 2.76 |" in page
    assert "| 10 | 9.00 | 1.80 | 1.80 | 1.80 | 3.00 |" in page


def test_the_papers_grids_are_its_sizes_and_cost_what_they_say() -> None:
    paper = grid_scales.GRIDS["paper"]
    assert {(one.n_layer, one.n_embd) for one in paper.cells["shapes"]} >= {
        (1, 32),
        (1, 128),
        (2, 128),
        (4, 256),
        (8, 256),
    }
    lengths = {one.sample_tokens: one for one in paper.cells["sequences"] if one.n_vocabulary == 2048}
    counts = {s: models.count_gpt2(one.n_layer, one.n_embd, 2048, s) for s, one in lengths.items()}
    assert {s: float(f"{n:.3g}") for s, n in counts.items()} == {
        4: 6.59e5, 8: 6.6e5, 16: 6.61e5, 32: 6.63e5, 64: 6.67e5, 128: 6.75e5, 256: 6.92e5
    }  # fmt: skip
    one = grids._job(paper, lengths[64], device="cpu")
    assert (one.job.n_samples, one.job.steps, one.job.batch_size) == (4096, 1_000_000, 2048)
    assert grids._operations(one) == pytest.approx(6 * counts[64] * 1e6 * 2048 * 64)


def test_every_model_of_the_papers_scale_has_a_million_steps() -> None:
    cells, given = grid_scales.GRIDS["paper"], scales.CAPACITY["paper"]
    paper = [grids._job(cells, one, device="cpu").job for one in cells.cells["shapes"]]
    paper += capacity_module._jobs(given, 8, 256, device="cpu")
    found = {(job.steps, job.batch_size, job.optimizer) for job in paper if job.n_samples > 2048}
    assert found == {(1_000_000, 2048, "adamw")}
    assert scales.CAPACITY["laptop"].length.steps(28_320) == 1180
    assert scales.CAPACITY["laptop"].length.steps(6_368) == 350


def test_curve_by_hand() -> None:
    # 100 tokens, 300 bits of data; a pass is two batches; ends at 2 and 4 of four losses in nats
    halves = [math.log(2) * bits for bits in (3.0, 3.0, 2.0, 1.0)]
    curve = grids._curve(halves, window=2, dataset_bits=300.0, n_tokens=100)
    assert [(p.steps, round(p.memorized_bits, 9)) for p in curve] == [(2, 0), (3, 50), (4, 150)]


def certain(value: float, n: int = 100) -> Estimate:
    """An estimate with an interval of a hundredth on both sides."""
    return Estimate(
        value=value, low=value - 0.01, high=value + 0.01, level=0.95, method="m", n_members=n, n_non_members=n
    )  # fmt: skip


def on_text(**given: float) -> Calibration:
    """A calibration of two sizes in which every model holds 100, 200, 50 bits a text for each parameter in turn."""
    old = read_calibration(Path("docs/data/calibration-kjv.json"))
    cells = [one for params in (5496, 12528) for one in [c for c in old.cells if c.params == params][:3]]
    values = {"recited": 0.0, "others": 0.0, "largest": 1.0, "whole": 1.0, "rarity": 0.3, "guessed": 0.5} | given
    return replace(
        old,
        cells=tuple(
            replace(
                cell,
                dataset_bits=300.0 * cell.n_samples,
                memorized_bits=certain(held * cell.params),
                memorized_bits_by_largest=certain(values["largest"] * held * cell.params),
                memorized_bits_by_whole=certain(values["whole"] * held * cell.params),
                rarity_correlation=certain(values["rarity"], n=cell.n_samples),
                recited_members=certain(values["recited"] if held == 2.0 else 0.0),
                recited_non_members=certain(values["others"]),
                guessed_members=certain(values["guessed"]),
                guessed_non_members=certain(0.49),
            )
            for cell, held in zip(cells, (1.0, 2.0, 0.5) * 2, strict=True)
        ),
    )


def verdicts(found: Calibration) -> dict[str, list[bool | None]]:
    """What is said of each claim, by its first words."""
    told: dict[str, list[bool | None]] = {}
    for one in paper_claims(None, found):
        told.setdefault(" ".join(one.paper.split()[:3]), []).append(one.agrees)
    return told


def test_claims_on_text_follow_the_data() -> None:
    found = verdicts(on_text(recited=0.4))
    assert found["On text, unintended"] == [True]  # rises and falls in both sizes
    assert found["Either reference will"] == [True]
    assert found["The most memorised"] == [True]
    assert found["On large sets"] == [True, True]
    assert found["Membership is easier"] == [True]
    assert found["A model holds"] == [True]
    other = verdicts(on_text(whole=0.5, rarity=-0.2, guessed=0.9))
    assert other["Either reference will"] == other["The most memorised"] == [False]
    assert other["On large sets"] == [True, False]
    assert "A model holds" not in other  # nothing is recited
    assert verdicts(on_text(recited=0.999))["Membership is easier"] == [False]


def test_every_figure_on_text_is_drawn_of_these(tmp_path: Path) -> None:
    for draw, name in ((text_figure, "text.svg"), (recited_figure, "recited.svg")):
        draw(on_text(recited=0.4), tmp_path / name)
        assert "unintended bits" in (tmp_path / name).read_text(encoding="utf-8").replace("<!-- ", "")
