"""Predictions and measurements made before an audit, on the terminal: each number with what it means.

Everything is plain ``Text``, as in :mod:`reports.to_terminal`.
"""

import math

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from auditor.documents.calibration import AttackCalibration, Calibration
from auditor.documents.capacity import CapacityMeasurement
from auditor.documents.estimate import Estimate
from auditor.documents.prediction import AttackPrediction, Inverse, LawPrediction, Prediction

from .escaping import PATH, visible
from .numbers import amount, banded, count, number, percent, plain, size, times_in_100
from .tones import STYLES, SYMBOLS, Tone, in_a_line

__all__ = ["render_calibration", "render_capacity", "render_prediction", "verdict_line"]

Row = tuple[str, str, str]


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for i, heading in enumerate(headings):
        table.add_column(Text(heading), no_wrap=i == 1, overflow="fold")
    return table


def _three_columns(rows: list[Row], heading: str) -> Table:
    table = _table(heading, "value", "what it means")
    for label, value, meaning in rows:
        table.add_row(Text(label), Text(value, style="bold"), Text(visible(meaning, 400), style="dim"))
    return table


def _warnings(warnings: tuple[str, ...]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for warning in warnings:
        grid.add_row(Text(SYMBOLS["warn"], style=STYLES["warn"]), Text(visible(warning, 600)))
    return [Text(""), grid] if warnings else []


def _panel(tone: Tone, title: str, sentence: str) -> Panel:
    return Panel(
        Text(visible(sentence, 1200)), title=Text(f" {SYMBOLS[tone]} {title} ", style=f"bold {STYLES[tone]}"),
        title_align="left", border_style=STYLES[tone], box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip


def render_prediction(prediction: Prediction) -> Group:
    """Say what a plan will leak: the plan, the expectation in a sentence, every figure, the warnings."""
    inverse = [_inverse(prediction.inverse)] if prediction.inverse else []
    return Group(
        _plan(prediction),
        _panel(*_expectation(prediction)),
        _three_columns(
            _capacity_rows(prediction) + _attack_rows(prediction) + _repeated_rows(prediction), "Prediction"
        ),
        *inverse,
        _basis(prediction),
        *_warnings(prediction.warnings),
    )


def _plan(prediction: Prediction) -> Text:
    trained = ""
    if prediction.trainable_params != prediction.params:
        trained = f" ({amount(prediction.trainable_params)} of them trained)"
    return Text(
        f"A model of {amount(prediction.params)} parameters{trained} on {amount(prediction.tokens)} tokens: "
        f"{amount(prediction.samples)} samples of {plain(prediction.sample_tokens)} tokens, "
        f"{plain(prediction.tokens_per_parameter)} tokens per parameter"
    )


def verdict_line(prediction: Prediction) -> Text:
    """Say what is expected on one line: all that ``--quiet`` prints."""
    return in_a_line(*_expectation(prediction))


def _expectation(prediction: Prediction) -> tuple[Tone, str, str]:
    """Say what is expected: how bad, in a few words, and in a sentence."""
    law = prediction.law
    extrapolated = "" if law.in_range else " This is an extrapolation."
    if _excludes_nothing(law):
        return (
            "warn",
            "Expected: no limit can be given",
            "The size of this plan excludes nothing: even an attack that always picks the member of a pair would be "
            f"within it (AUC {_auc(law)}). What attacks achieve has to be measured.{extrapolated}",
        )
    grades: tuple[tuple[float, Tone, str], ...] = (
        (0.97, "bad", "a near-perfect membership signal"),
        (0.8, "bad", "a strong membership signal"),
        (0.65, "warn", "a moderate membership signal"),
        (0.51, "warn", "a weak membership signal"),
        (0.0, "info", "a coin flip, on average"),
    )
    tone, title = next((tone, title) for least, tone, title in grades if _meant(law) >= least)
    return (
        tone,
        f"Expected: {_bounded(law, title)}",
        f"Shown a member and a non-member, the loss attack is expected to pick the member "
        f"{_picks(law)} (AUC {_auc(law)}), and an attack with a reference model "
        f"{_picks(prediction.reference_attack)}; a coin flip gives 50.{extrapolated}",
    )


def _meant(attack: LawPrediction | AttackPrediction) -> float:
    """Return the AUC that is meant: the end of the band that holds where it is one-sided."""
    return {"at most": attack.auc_high, "at least": attack.auc_low, None: attack.auc}[attack.bound]


def _excludes_nothing(law: LawPrediction) -> bool:
    """Whether the law gives an upper limit alone, and that one as high as can be."""
    return law.bound == "at most" and number(law.auc_high, 3) == number(1.0, 3)


def _bounded(attack: LawPrediction | AttackPrediction, text: str) -> str:
    return text if attack.bound is None else f"{attack.bound} {text}"


def _picks(attack: LawPrediction | AttackPrediction) -> str:
    return _bounded(attack, times_in_100(_meant(attack)))


def _auc(attack: LawPrediction | AttackPrediction) -> str:
    return banded(attack.auc, attack.auc_low, attack.auc_high, attack.bound)


def _capacity_rows(prediction: Prediction) -> list[Row]:
    known = prediction.dataset_bits is not None
    data = f"{amount(prediction.dataset_bits)} bits" if prediction.dataset_bits is not None else "not known"
    least = "" if known and not _is_all_of_the_tokens(prediction) else "at most "
    both = "the smaller of the two" if known else "the capacity, an upper limit"
    smaller = "all that the tokens can hold, an upper limit" if _is_all_of_the_tokens(prediction) else both
    return [
        ("Capacity", f"{amount(prediction.capacity_bits)} bits", f"all it can hold ({size(prediction.capacity_bits)})"),
        ("Information in the data", data, "what there is to hold"),
        ("Memorised bits", f"{least}{amount(prediction.memorized_bits)}", smaller),
        ("Bits per sample", f"{least}{plain(prediction.bits_per_sample)}", "20 bits pick one in a million"),
    ]


def _is_all_of_the_tokens(prediction: Prediction) -> bool:
    """Whether neither capacity nor data limit the memorised bits, but the tokens, which can hold no more."""
    return prediction.memorized_bits not in (prediction.capacity_bits, prediction.dataset_bits)


def _attack_rows(prediction: Prediction) -> list[Row]:
    law, reference, ceiling = prediction.law, prediction.reference_attack, prediction.ceiling
    most = math.ceil(ceiling.auc * 1000) / 1000
    return [
        ("Loss attack, F1", banded(law.f1, law.f1_low, law.f1_high, law.bound), "right verdicts at equal error"),
        ("Loss attack, AUC", _auc(law), "right order of a pair"),
        ("Reference attack, AUC", _auc(reference), "with a reference model"),
        (
            "Ceiling, AUC",
            f"at most {number(most, 3)}",
            "average, from text and model" if most < 1 else "says nothing here",
        ),
        (
            "In the law's range",
            "yes" if law.in_range else "no",
            f"{plain(law.samples_per_parameter)} × 64 tokens/parameter",
        ),
    ]


def _repeated_rows(prediction: Prediction) -> list[Row]:
    """Say what the law gives for a text that is repeated, by its share of all tokens."""
    found = prediction.repeated
    if found is None:
        return []
    share = f"{plain(1e6 * found.share_of_tokens)} of a million tokens, one copy {plain(1e6 * _once(prediction))}"
    return [
        (f"A text seen {plain(found.copies)} times", f"AUC {number(found.auc, 3)}", share),
        ("with a reference model", f"AUC {number(found.reference_auc, 3)}", "read, not measured: see below"),
    ]


def _once(prediction: Prediction) -> float:
    return prediction.sample_tokens / prediction.tokens


def _basis(prediction: Prediction) -> Text:
    """Say what the figures rest on."""
    law = prediction.law
    lines = (
        f"Capacity: {plain(prediction.bits_per_parameter)} bits per parameter. {prediction.bits_per_parameter_source}.",
        f"Data: {prediction.dataset_bits_source}.",
        f"Law: {law.source}. Band: {law.band}.",
        f"Reference attack: {prediction.reference_attack.source}.",
        *([f"Repeated text: {prediction.repeated.source}."] if prediction.repeated else []),
    )
    return Text("\n" + "\n".join(visible(line, 600) for line in lines), style="dim")


def _inverse(inverse: Inverse) -> Text:
    parts = []
    if inverse.tokens_needed is not None and inverse.samples_needed is not None:
        parts.append(f"at least {amount(inverse.tokens_needed)} tokens ({amount(inverse.samples_needed)} samples)")
    if inverse.params_at_most is not None:
        parts.append(f"at most {amount(inverse.params_at_most)} trained parameters")
    where = "" if inverse.in_range else " (an extrapolation)"
    goal = f"For a loss attack of F1 {number(inverse.f1, 3)}, AUC {number(inverse.auc, 3)}"
    return Text(f"\n{goal}: {', or '.join(parts)}{where}.", style="bold")


def render_capacity(measured: CapacityMeasurement) -> Group:
    """Say how many bits per parameter an architecture was measured to hold, and how far to trust it."""
    best = measured.best
    rows: list[Row] = [
        (
            "Bits per parameter",
            f"≥ {number(measured.bits_per_parameter, 3)}",
            "a LOWER bound; " + ("of each trained parameter" if measured.lora_rank else "paper: 3.51 bf16, 3.83 fp32"),
        ),
        ("Capacity", f"≥ {amount(best.memorized_bits)} bits", _counted(measured)),
        ("in embedding tables", count(measured.n_embedding_parameters), "of these parameters"),
        (
            "Memorised of the data",
            percent(round(best.share_memorized, 3)),
            f"after {count(best.steps)} steps, the best run",
        ),
        *[
            (f"As {one.form}", number(one.bits_per_parameter, 3), "extrapolated, not measured: a spread")
            for one in measured.extrapolations
        ],
    ]
    if measured.seed_low is not None and measured.seed_high is not None:
        span = f"{number(measured.seed_low, 3)} to {number(measured.seed_high, 3)}"
        rows.append(("Between seeds", span, "of the shortest schedule"))
    if measured.last_gain is not None:
        word = "converged" if measured.converged else "NOT converged: more steps give more"
        rows.append(("Last gain", percent(round(measured.last_gain, 4)), word))
    if measured.self_check_share is not None:
        word = "held far below the capacity; must exceed 99%"
        rows.append(("Self-check", percent(round(measured.self_check_share, 4)), word))
    heading = Text(
        visible(f"{measured.model} ({measured.architecture}, {measured.precision}, {measured.device})", PATH),
        style="bold",
    )
    return Group(heading, _three_columns(rows, "Measured"), _capacity_runs(measured), *_warnings(measured.warnings))


def _counted(measured: CapacityMeasurement) -> str:
    """Say which parameters hold it."""
    if measured.lora_rank is None or measured.n_trained_parameters is None:
        return f"of {count(measured.n_parameters)} parameters"
    trained = count(measured.n_trained_parameters)
    return f"of {trained} parameters of a LoRA of rank {measured.lora_rank}, on {measured.base}"


def _capacity_runs(measured: CapacityMeasurement) -> Group:
    """List the runs; data and what is held of it in bits per parameter, tests in bits per token."""
    table = _table("run", "seed", "sequences", "steps", "data", "held", "share", "test")
    for run in measured.runs:
        table.add_row(
            run.role,
            str(run.seed),
            count(run.n_samples),
            count(run.steps),
            number(run.dataset_bits / (measured.n_trained_parameters or measured.n_parameters), 2),
            number(run.bits_per_parameter, 3),
            percent(round(run.share_memorized, 4)),
            number(run.test_bits_per_token, 2),
        )
    ignorance = number(math.log2(measured.n_vocabulary), 2)
    legend = f"data, held: bits per parameter. test: bits a fresh token; {ignorance} is ignorance."
    return Group(Text(""), table, Text(legend, style="dim"))


def render_calibration(calibration: Calibration) -> Group:
    """Say what the membership law is on one's own text: the constants, their error, the cells."""
    rows = [_law_row(law) for law in calibration.laws]
    heading = Text(
        visible(f"{calibration.data} ({calibration.architecture}, {calibration.tokenizer})", PATH), style="bold"
    )
    notes = [Text(f"  {visible(note, 300)}", style="dim") for note in calibration.data_notes]
    return Group(
        heading, *notes, Text(""), _three_columns(rows, "Law"), _cells(calibration), *_warnings(calibration.warnings)
    )


def _law_row(law: AttackCalibration) -> Row:
    if law.amplitude is not None and law.exponent is not None:
        form = f"d' = {plain(law.amplitude)} x^−{plain(law.exponent)}"
    else:
        form = f"the paper's law at {plain(law.scale or 0.0)} x"
    held_out = "one size only, so it is not known how it carries to others"
    if law.held_out_size_rmse is not None:
        held_out = f"{number(law.held_out_size_rmse, 3)} on sizes left out of the fit"
    return (
        f"{law.attack.capitalize()} attack",
        form,
        f"error in F1: {number(law.rmse, 3)} on {count(law.n_cells)} cells, {held_out}; of the paper's law "
        f"{number(law.paper_rmse, 3)}",
    )


def _cells(calibration: Calibration) -> Group:
    """List the cells with the intervals of F1 over the sampling of texts."""
    table = _table("params", "samples", "x", "epochs", "loss attack, F1", "reference, F1")
    for cell in calibration.cells:
        table.add_row(
            count(cell.params),
            count(cell.n_samples),
            plain(cell.samples_per_parameter),
            number(cell.epochs, 0),
            *(_with_interval(one) for one in (cell.loss_f1, cell.reference_f1)),
        )
    level = percent(calibration.cells[0].loss_f1.level) if calibration.cells else "95%"
    legend = f"F1 = Φ(d'/2) at equal error, {level} interval; x: 64-token samples per parameter."
    return Group(Text(""), table, Text(legend, style="dim"))


def _with_interval(estimate: Estimate) -> Text:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Text("—")
    return Text(f"{number(estimate.value, 3)} [{number(estimate.low, 2)} to {number(estimate.high, 2)}]")
