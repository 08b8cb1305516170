"""A prediction on the terminal: every number with what it means, deaf to what its strings say."""

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from auditor.documents.prediction import Prediction
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.membership import PAPER_LAW, REFERENCE_LAW
from auditor.laws.prediction import Plan, predict
from reports import render_prediction

GOLDEN = Path(__file__).parent / "golden" / "prediction.txt"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def forecast(*, target_f1: float | None = None, **more: object) -> Prediction:
    """Predict GPT-2 on as many samples as table 4 has for an F1 of 0.75; where the laws come from is made up."""
    plan = {
        "params": 123_702_528,
        "tokens": 64.0 * 6_104_935,
        "capacity": BitsPerParameter(3.51, "a source"),
        "bits_per_token": 3.2,
        "dataset_bits_source": "3.2 bits per token, as given",
        "law": replace(PAPER_LAW, source="a paper"),
        "reference_law": replace(REFERENCE_LAW, source="a sweep"),
    }
    return predict(Plan(**(plan | more)), target_f1=target_f1)  # type: ignore[arg-type]


def printed(prediction: Prediction, *, width: int = 100, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    console.print(render_prediction(prediction))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def words(prediction: Prediction, *, width: int = 4000) -> str:
    return re.sub(r"\s+", " ", printed(prediction, width=width))


def test_golden() -> None:
    text = printed(forecast(target_f1=0.6, epochs=3.0, sample_tokens=128.0, notes=("a note on the data",)))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_window_and_no_number_is_lost(width: int) -> None:
    prediction = forecast(target_f1=0.6)
    assert max(map(len, printed(prediction, width=width).splitlines())) <= width
    text = words(prediction, width=width)
    for number in (
        "124 million",
        "391 million",
        "434 million",
        "0.750 [0.650 to 0.800]",
        "0.830 [",
        "71.1",
        "F1 0.600",
    ):
        assert number in text


@pytest.mark.parametrize(
    ("ratio", "title"),
    [
        (0.02, "a near-perfect membership signal"),
        (0.05, "a strong membership signal"),
        (0.075, "a moderate membership signal"),
        (0.12, "a weak membership signal"),
        (0.5, "a coin flip, on average"),
    ],
)
def test_the_expectation_in_words(ratio: float, title: str) -> None:
    prediction = forecast(params=10_000, tokens=64.0 * 10_000 * ratio)
    assert f"Expected: {title}" in printed(prediction)
    assert ("This is an extrapolation" in words(prediction)) is (not prediction.law.in_range)


def test_what_is_not_known_is_an_upper_limit() -> None:
    known, unknown = words(forecast()), words(forecast(bits_per_token=None))
    assert "Information in the data 1.25 billion bits" in known
    assert "Memorised bits 434 million the smaller of the two" in known
    assert "Information in the data not known" in unknown
    assert "Memorised bits at most 434 million the capacity, an upper limit" in unknown
    assert "Bits per sample at most 71.1" in unknown


def test_the_ceiling_is_rounded_up_and_says_when_it_excludes_nothing() -> None:
    tight = forecast(params=10_000, tokens=64e8)
    assert tight.ceiling.auc < 0.52
    shown = re.search(r"Ceiling, AUC at most ([\d.]+) average, from text and model", words(tight))
    assert shown is not None
    assert tight.ceiling.auc <= float(shown[1]) < tight.ceiling.auc + 0.0011
    assert "Ceiling, AUC at most 1.000 says nothing here" in words(forecast())


def test_the_range_and_the_trained_part_are_said() -> None:
    assert "In the law's range yes 0.0494 " in words(forecast())
    lora = words(forecast(trainable_params=1_000_000))
    assert "124 million parameters (1 million of them trained)" in lora
    assert "In the law's range no" in lora


def test_what_would_be_needed_is_said() -> None:
    assert "For a loss attack" not in words(forecast())
    both = forecast(target_f1=0.6)
    assert re.search(
        r"AUC 0\.640: at least \d+ million tokens .*, or at most [\d.]+ million trained param", words(both)
    )
    by_model = words(forecast(tokens=None, target_f1=0.6))
    assert "at least" in by_model
    assert "trained parameters." not in by_model
    assert "trained parameters (an extrapolation)." in words(forecast(params=None, target_f1=0.6, epochs=1.0))


def poisoned(text: str) -> Prediction:
    """Put a text wherever a prediction has one."""
    prediction = forecast(target_f1=0.6)
    return replace(
        prediction,
        bits_per_parameter_source=text,
        dataset_bits_source=text,
        law=replace(prediction.law, name=text, source=text, band=text),
        reference_attack=replace(prediction.reference_attack, source=text),
        warnings=(text, text),
    )


def test_hostile_strings_are_spelled_out(hostile_text: str) -> None:
    plain = printed(poisoned(hostile_text))
    assert {char for char in plain if not char.isprintable()} <= {"\n"}
    assert plain.encode("utf-8")
    wide = words(poisoned(hostile_text))
    assert wide.count("[bold red]rich[/bold red]") == 7  # markup is not interpreted
    assert wide.count(r"\x1b[31mred\x1b[0m\r\nline\u202ereversed") == 7
    assert r"\ud800" in wide


def test_only_our_own_colours_reach_the_terminal(hostile_text: str) -> None:
    coloured = printed(poisoned(hostile_text), terminal=True)
    assert ESCAPE.search(coloured)
    assert "\x1b" not in ESCAPE.sub("", coloured)


def test_a_long_string_is_cut_and_says_so() -> None:
    text = words(poisoned("x" * 10_000))
    assert max(map(len, re.findall("x+", text))) <= 640
    assert text.count("characters more") == 6


def test_a_one_sided_figure_is_written_as_one() -> None:
    few = words(forecast(epochs=3.0))
    assert "Expected: at most a near-perfect membership signal" in few or "at most a strong" in few
    assert re.search(r"Loss attack, AUC at most 0\.\d{3} right order", few)
    long = words(forecast(sample_tokens=640.0))
    assert re.search(r"Loss attack, AUC at least 0\.\d{3} right order", long)


def test_a_plan_that_excludes_nothing_expects_nothing() -> None:
    law = replace(forecast().law, auc=1.0, auc_low=0.5, auc_high=1.0, bound="at most")
    said = words(replace(forecast(), law=law))
    assert "Expected: no limit can be given" in said
    assert "(AUC at most 1.000)" in said
    assert "near-perfect" not in said


def test_no_more_bits_than_the_tokens_hold() -> None:
    """Three samples of 64 tokens out of 1,024: 64 times 10 bits each, whatever the capacity."""
    few = words(forecast(tokens=64.0 * 3, bits_per_token=None, n_vocabulary=1024))
    assert (
        "Memorised bits at most 1,920 all that the tokens can hold, an upper limit Bits per sample at most 640" in few
    )
