"""Standalone figures: the same bytes every time, readable text, harmless whatever the data is called."""

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from auditor.documents.calibration import AttackCalibration, Calibration, CalibrationCell, TrainingEffect
from auditor.documents.capacity import CapacityMeasurement, CapacityRun, Extrapolation
from auditor.documents.estimate import Estimate
from auditor.documents.prediction import AttackPrediction, Ceiling, LawPrediction, Prediction
from auditor.laws.membership import PAPER_LAW, ProbitLaw, auc_from_f1
from helpers import estimate
from reports.plots import FORMATS, LANDMARKS, calibration_figure, capacity_figure, prediction_map

HOSTILE = "$\\frac{ <script>alert(1)</script> \u202e\x00\ud800 ]]> -- & 漢字 $x$"
HEADS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


def prediction(params: int = 350_000_000, tokens: float = 1.2e9) -> Prediction:
    ratio = tokens / 64 / params
    f1 = PAPER_LAW.f1(ratio)
    low, high = PAPER_LAW.band.around(f1)
    law = LawPrediction(
        name=PAPER_LAW.name, source=PAPER_LAW.source, samples_per_parameter=ratio, f1=f1, f1_low=low, f1_high=high,
        auc=auc_from_f1(f1), auc_low=auc_from_f1(low), auc_high=auc_from_f1(high), in_range=PAPER_LAW.in_range(ratio),
        band="",
    )  # fmt: skip
    return Prediction(
        params=params, trainable_params=params, samples=tokens / 64, tokens=tokens, sample_tokens=64, epochs=None,
        samples_per_parameter=ratio, tokens_per_parameter=tokens / params, bits_per_parameter=3.51,
        bits_per_parameter_source="", capacity_bits=3.51 * params, dataset_bits=None, dataset_bits_source="",
        memorized_bits=3.51 * params, bits_per_sample=3.51 / ratio, law=law,
        reference_attack=AttackPrediction(
            f1=0.8, f1_low=0.7, f1_high=0.9, auc=0.9, auc_low=0.8, auc_high=0.95, source=""
        ),
        ceiling=Ceiling(bits_per_sample=3.51 / ratio, advantage=0.9, auc=0.995), inverse=None, warnings=(),
    )  # fmt: skip


def run(role: str, n: int, steps: int, held: float, test: float) -> CapacityRun:
    dataset = n * 31 * 9.0
    return CapacityRun(
        role=role, n_samples=n, dataset_bits=dataset, seed=0, steps=steps, epochs=steps * 64 / n,
        memorized_bits=held * 12_000, bits_per_parameter=held, share_memorized=held * 12_000 / dataset,
        test_bits_per_token=test, seconds=1.0,
    )  # fmt: skip


def capacity() -> CapacityMeasurement:
    runs = (
        run("self-check", 61, 1197, 1.418, 33.0),
        *(run("size", n, 2860, held, test) for n, held, test in ((93, 2.15, 41.0), (185, 2.659, 38.0), (1240, 2, 10))),
        *(run("schedule", 185, steps, held, 40.0) for steps, held in ((995, 2.376), (2860, 2.659), (7278, 2.779))),
    )
    return CapacityMeasurement(
        model="gpt2-tiny", architecture="GPT2LMHeadModel", n_parameters=12_000, n_embedding_parameters=8_704,
        n_vocabulary=512, sample_tokens=32, precision="fp32", device="cpu", bits_per_parameter=2.779, best=runs[-1],
        seed_low=2.64, seed_high=2.67, last_gain=0.042, converged=False, self_check_share=0.9997, runs=runs,
        extrapolations=(Extrapolation(form="a - b/t", bits_per_parameter=2.83),), settings={}, packages={}, seconds=1.0,
    )  # fmt: skip


def share(value: float) -> Estimate:
    return estimate(value, max(0.0, value - 0.03), min(1.0, value + 0.03), n_members=274, n_non_members=2000)


def cell(params: int, ratio: float, loss: float, reference: float, steps: int = 1000) -> CalibrationCell:
    return CalibrationCell(
        params=params, n_samples=round(ratio * params), samples_per_parameter=ratio, steps=steps, epochs=200.0,
        learning_rate=0.01, seed=0, member_bits_per_token=5.0, non_member_bits_per_token=6.0,
        reference_bits_per_token=5.8, loss_f1=share(loss), loss_auc=share(loss),
        reference_f1=share(reference), reference_auc=share(reference),
    )  # fmt: skip


def fit(attack: str, amplitude: float, exponent: float) -> AttackCalibration:
    return AttackCalibration(
        attack=attack, form="probit", amplitude=amplitude, exponent=exponent, scale=None, rmse=0.01,
        largest_error=0.02, held_out_size_rmse=0.02, paper_rmse=0.035, fitted_from=0.0125, fitted_to=0.2, n_cells=4,
        n_sizes=2,
    )  # fmt: skip


def calibration() -> Calibration:
    cells = (
        cell(5_488, 0.0126, 0.989, 0.999),
        cell(5_488, 0.05, 0.725, 0.854),
        cell(12_512, 0.05, 0.703, 0.884),
        cell(12_512, 0.2, 0.543, 0.614),
    )
    return Calibration(
        data="kjv.txt", tokenizer="kjv-512", architecture="GPT2LMHeadModel", n_vocabulary=512, sample_tokens=64,
        n_samples_held_out=2_000, n_samples_pool=12_000, n_samples_reference=13_509, cells=cells,
        laws=(fit("loss", 0.0244, 1.25), fit("reference", 0.0857, 1.08)),
        training_effect=TrainingEffect(short=cells[1], long=cell(5_488, 0.05, 0.789, 0.906, steps=4000)), settings={},
        packages={}, data_notes=(), seconds=1.0,
    )  # fmt: skip


def draw_map(path: Path, name: str = "paper") -> None:
    prediction_map(prediction(), replace(PAPER_LAW, name=name, source=name), path)


def draw_capacity(path: Path, name: str = "gpt2-tiny") -> None:
    capacity_figure(replace(capacity(), model=name, architecture=name), path)


def draw_calibration(path: Path, name: str = "kjv.txt") -> None:
    calibration_figure(replace(calibration(), data=name, tokenizer=name, architecture=name), path)


FIGURES = pytest.mark.parametrize("draw", [draw_map, draw_capacity, draw_calibration])


def words(svg: Path) -> str:
    """All text that an SVG viewer shows."""
    root = ElementTree.parse(svg).getroot()
    return "\n".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw a map, and return its axes and the boxes of all its text by its words."""

    def draw(plan: Prediction):
        found = {}

        def measure(figure: Figure, *_: object, **__: object) -> None:
            (axes,) = figure.subfigs[0].axes
            texts = [text for text in axes.texts if isinstance(text, Text) and text.get_text()]
            found["axes"], found["box"] = axes, axes.get_window_extent()
            for text in texts:
                text.update_positions(figure.canvas.get_renderer()) if isinstance(text, Annotation) else None
            found["texts"] = {text.get_text(): Text.get_window_extent(text) for text in texts}
            found["labels"] = {text.get_text() for text in texts if isinstance(text, Annotation)}

        monkeypatch.setattr(Figure, "savefig", measure)
        prediction_map(plan, PAPER_LAW, tmp_path / "map.svg")
        return found

    return draw


@FIGURES
@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_document_gives_the_same_bytes(draw, kind, tmp_path):
    draw(tmp_path / f"first.{kind}")
    draw(tmp_path / f"second.{kind.upper()}")
    first = (tmp_path / f"first.{kind}").read_bytes()
    assert first == (tmp_path / f"second.{kind.upper()}").read_bytes()
    assert first.startswith(HEADS[kind])


@FIGURES
@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.svg.exe"])
def test_another_format_is_refused_with_those_that_there_are(draw, name, tmp_path):
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf"):
        draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


@FIGURES
def test_names_from_the_data_are_harmless(draw, tmp_path):
    for kind in FORMATS:
        draw(tmp_path / f"figure.{kind}", HOSTILE)
    source = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "<script" not in source
    assert "\u202e" not in source
    shown = words(tmp_path / "figure.svg").replace("\n", " ")
    for part in ("$\\frac{", "<script>alert(1)</script>", "\\u202e\\x00\\ud800", "漢字", "$x$"):
        assert part in shown


@FIGURES
def test_nothing_global_changes(draw, tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "text.parse_math": True}):
        draw(tmp_path / "elsewhere.svg")
    draw(tmp_path / "here.svg")
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "elsewhere.svg").read_bytes() == (tmp_path / "here.svg").read_bytes()


def test_landmarks_have_sources_and_differ():
    assert all("arXiv:" in landmark.source for landmark in LANDMARKS)
    assert len({landmark.name for landmark in LANDMARKS}) == len(LANDMARKS)
    assert len({(landmark.params, landmark.tokens) for landmark in LANDMARKS}) == len(LANDMARKS)


@pytest.mark.parametrize(
    ("params", "tokens"), [(350_000_000, 1.2e9), (12_512, 40_000.0), (6_700_000_000, 2e12), (10, 10.0), (10**13, 1e6)]
)
def test_the_map_holds_the_plan_and_the_landmarks_and_no_label_covers_another(drawn, params, tokens):
    found = drawn(prediction(params, tokens))
    axes, box = found["axes"], found["box"]
    for x, y in [(params, tokens), *((landmark.params, landmark.tokens) for landmark in LANDMARKS)]:
        assert box.contains(*axes.transData.transform((x, y)))
    stars = [line for line in axes.lines if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(params, tokens)]
    names = {landmark.name for landmark in LANDMARKS}
    (plan,) = (text for text in found["labels"] if text.startswith("this plan"))
    assert names <= found["labels"]
    upright = {text: found["texts"][text] for text in (*names, plan)}
    for text, extent in upright.items():
        assert Bbox.intersection(extent.padded(-1), box).bounds == pytest.approx(extent.padded(-1).bounds), text
    for (one, first), (other, second) in combinations(upright.items(), 2):
        shared = Bbox.intersection(first.padded(-1), second.padded(-1))
        assert shared is None or shared.width * shared.height == 0, (one, other)


def test_the_plan_is_labelled_with_the_law_and_the_ceiling(drawn):
    plan = prediction()
    (label,) = (text for text in drawn(plan)["labels"] if text.startswith("this plan"))
    assert f"F1 {plan.law.f1:.2f} [{plan.law.f1_low:.2f} to {plan.law.f1_high:.2f}]" in label
    assert f"AUC {plan.law.auc:.2f} [{plan.law.auc_low:.2f} to {plan.law.auc_high:.2f}]" in label
    assert "ceiling, from text and model alone: AUC 0.995" in label
    assert "extrapolated" not in label
    assert any("this plan (extrapolated)" in text for text in drawn(prediction(tokens=1e13))["labels"])


def test_contour_lines_are_labelled_with_f1_and_auc(tmp_path):
    draw_map(tmp_path / "map.svg")
    shown = words(tmp_path / "map.svg").splitlines()
    for f1 in (0.51, 0.55, 0.6, 0.75, 0.9, 0.95):
        assert f"{f1:.2f}" in shown
        assert f"{auc_from_f1(f1):.3f}" in shown
    assert "the law was fitted here" in shown
    assert any("tokens seen in training" in line for line in shown)


def test_levels_out_of_reach_of_a_law_are_left_out(tmp_path):
    law = ProbitLaw(
        name="flat", source="", fitted_from=0.01, fitted_to=0.1, band=PAPER_LAW.band, amplitude=2.0, exponent=0.01
    )
    with pytest.raises(ValueError, match="out of reach"):
        law.samples_per_parameter(0.50001)
    prediction_map(prediction(), law, tmp_path / "map.svg")
    assert "0.95" not in words(tmp_path / "map.svg").splitlines()


def test_a_capacity_is_a_lower_bound_rounded_down(tmp_path):
    draw_capacity(tmp_path / "capacity.svg")
    shown = words(tmp_path / "capacity.svg").replace("\n", " ")
    assert "12,000 parameters: ≥ 2.77 bits per parameter (lower bound)" in shown
    assert "schedules (995 / 2,860 / 7,278 steps)" in shown
    assert "gained 4.2% on the one before: longer training gives more" in shown
    assert "knows nothing: 9 = log2(512)" in shown


def test_a_capacity_with_one_run_that_learned_nothing(tmp_path):
    only = run("size", 185, 10, -0.3, 9.1)
    measured = replace(
        capacity(), runs=(only,), best=only, bits_per_parameter=-0.3, extrapolations=(), seed_low=None, seed_high=None,
        last_gain=None,
    )  # fmt: skip
    capacity_figure(measured, tmp_path / "capacity.svg")
    assert "≥ −0.30 bits per parameter" in words(tmp_path / "capacity.svg").replace("\n", " ")


def test_a_calibration_shows_sizes_laws_and_the_effect_of_training(tmp_path):
    draw_calibration(tmp_path / "calibration.svg")
    shown = words(tmp_path / "calibration.svg")
    for text in (
        *("5,488 parameters", "12,512 parameters", "fitted law", "its band", "range of the fit", "paper's law"),
        *("paper's law at 0.53 × the samples", "trained 4 × longer", "Loss attack", "Reference attack"),
    ):
        assert shown.splitlines().count(text) == 1
    assert "d′ = 0.0244 · x^−1.25" in shown.replace("\n", " ")


def test_a_calibration_without_numbers_still_draws(tmp_path):
    nothing = Estimate.undefined("no held-out samples", level=0.95)
    empty = replace(calibration().cells[0], loss_f1=nothing, reference_f1=nothing)
    scaled = replace(fit("loss", 0, 0), form="scaled", amplitude=None, exponent=None, scale=math.e)
    few = replace(
        calibration(), cells=(empty,), laws=(scaled,), training_effect=TrainingEffect(short=empty, long=empty)
    )
    calibration_figure(few, tmp_path / "calibration.svg")
    shown = words(tmp_path / "calibration.svg").replace("\n", " ")
    assert "paper's law at 2.72 × the samples" in shown
    assert "5,488 parameters" not in shown
