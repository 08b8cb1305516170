"""Grids of capacities beside the paper: claims and tables of precision, sequences, vocabulary, depth and width."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from auditor.documents.reproduction import CapacityGrid, GridPart, GridRun

from .numbers import amount, count, number, percent, plain, plural
from .paper_claims import NOMINAL_BITS, TABLE_5, PaperClaim

__all__ = ["GRID_ALT", "grid_claims", "grid_table"]

_PAPER_ERROR = 0.0419
"""Largest error of the paper's prediction over lengths of sequences."""

_LEVEL = 0.05
"""Relative spread up to which amounts held by different runs are called the same."""

_SHORT = "a short training is further from its plateau, the more data it has"

GRID_ALT: Mapping[str, str] = {"training": "Bits held by steps of training, for several amounts of data"}


def grid_claims(grid: CapacityGrid) -> Iterator[PaperClaim]:
    """Set what the paper says of a grid beside what it holds."""
    yield from _CLAIMS[grid.part](grid.runs)


def grid_table(grid: CapacityGrid) -> list[str]:
    """Lay a grid out as rows of Markdown; the first two are the heading."""
    heads, row = _TABLES[grid.part]
    rows = [row(run) for run in grid.runs] if grid.part != "precision" else _precision_rows(grid.runs)
    return [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(cells) + " |" for cells in rows),
    ]


def _of_training(runs: Sequence[GridRun]) -> Iterator[PaperClaim]:
    full = [run for run in runs if run.dataset_bits >= NOMINAL_BITS * run.params]
    if len(full) < 2:
        return
    held = [run.memorized_bits / run.params for run in full]
    spread = max(held) / min(held) - 1
    yield PaperClaim(
        part="training",
        paper="Beyond capacity, models end at one plateau of bits, whatever the amount of data (section 3)",
        found=f"{plural(len(full), 'amount')} of data beyond capacity end at {_listed(map(plain, held))} bits per "
        f"parameter, up to {percent(round(spread, 3))} apart",
        agrees=spread <= _LEVEL,
        why=_SHORT,
    )


def _of_precision(runs: Sequence[GridRun]) -> Iterator[PaperClaim]:
    ratios = [half.memorized_bits / whole.memorized_bits for whole, half in _pairs(runs)]
    if not ratios:
        return
    yield PaperClaim(
        part="precision",
        paper="In bfloat16 a model holds 3.51 bits per parameter, in float32 3.83: 8% fewer, not half (table 5)",
        found=f"{plural(len(ratios), 'model')} trained in bfloat16: {_listed(percent(round(r, 3)) for r in ratios)} of "
        "what the same models hold in float32",
        agrees=all(0.8 < ratio < 1.02 for ratio in ratios),
        why="the same runs twice, one seed; computed under autocast, weights rounded at the end",
    )


def _pairs(runs: Sequence[GridRun]) -> list[tuple[GridRun, GridRun]]:
    """Pair the runs in float32 with the same in bfloat16."""

    def key(run: GridRun) -> tuple[int, ...]:
        return run.n_layer, run.n_embd, run.n_samples, run.sample_tokens, run.n_vocabulary

    halves = {key(run): run for run in runs if run.precision == "bf16"}
    return [(run, halves[key(run)]) for run in runs if run.precision == "fp32" and key(run) in halves]


def _of_sequences(runs: Sequence[GridRun]) -> Iterator[PaperClaim]:
    errors = [_error(run) for run in runs]
    worst = max(errors, key=abs)
    filled = [run.memorized_bits / run.params for run in runs if run.dataset_bits > NOMINAL_BITS * run.params]
    yield PaperClaim(
        part="sequences",
        paper="What is held follows min(capacity, data) for any length of sequence and vocabulary, within "
        f"{percent(_PAPER_ERROR)} (section 3)",
        found=f"at {NOMINAL_BITS} bits per parameter {plural(sum(abs(e) <= _LEVEL for e in errors), 'run')} of "
        f"{len(errors)} within {percent(_LEVEL)}, {_signed(worst)} at most"
        + (f"; beyond capacity {plain(min(filled))} to {plain(max(filled))} bits per parameter" if filled else ""),
        agrees=all(abs(error) <= _LEVEL for error in errors),
        why="where the data fit they are held; beyond, short trainings hold less than 3.6 bits",
    )


def _expected(run: GridRun) -> float:
    return min(NOMINAL_BITS * run.params, run.dataset_bits)


def _error(run: GridRun) -> float:
    return run.memorized_bits / _expected(run) - 1


def _of_shapes(runs: Sequence[GridRun]) -> Iterator[PaperClaim]:
    held = [run.memorized_bits / run.params for run in runs]
    low, high = TABLE_5
    yield PaperClaim(
        part="shapes",
        paper=f"Whatever depth and width, a model holds {low} to {high} bits per parameter (table 5)",
        found=f"{plain(min(held))} to {plain(max(held))} over {plural(len(runs), 'shape')} of "
        f"{amount(min(run.params for run in runs))} to {amount(max(run.params for run in runs))} parameters",
        agrees=min(held) >= low and max(held) <= high,
        why="lower bounds, of trainings whose length grows with the parameters",
    )


_CLAIMS: Mapping[GridPart, Callable[[Sequence[GridRun]], Iterator[PaperClaim]]] = {
    "training": _of_training,
    "precision": _of_precision,
    "sequences": _of_sequences,
    "shapes": _of_shapes,
}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _signed(share: float) -> str:
    return f"{'+' if share >= 0 else '−'}{percent(round(abs(share), 3))}"


def _bits(run: GridRun) -> str:
    return number(run.memorized_bits / run.params, 2)


def _training_row(run: GridRun) -> list[str]:
    points = [_at(run, share) for share in (0.125, 0.25, 0.5)]
    data = number(run.dataset_bits / run.params, 2)
    return [count(run.n_samples), data, *(number(one / run.params, 2) for one in points), _bits(run)]


def _at(run: GridRun, share: float) -> float:
    """Bits held at the point of the curve that is nearest to a share of the steps."""
    return min(run.curve, key=lambda p: abs(math.log(p.steps / (share * run.steps)))).memorized_bits


def _precision_rows(runs: Sequence[GridRun]) -> list[list[str]]:
    return [
        [
            str(whole.n_layer), str(whole.n_embd), count(whole.params), count(whole.steps), _bits(whole),
            number(whole.memorized_bits_bf16 / whole.params, 2), _bits(half),
        ]
        for whole, half in _pairs(runs)
    ]  # fmt: skip


def _sequence_row(run: GridRun) -> list[str]:
    data, held, expected = (amount(one) for one in (run.dataset_bits, run.memorized_bits, _expected(run)))
    return [
        str(run.sample_tokens),
        count(run.n_vocabulary),
        count(run.params),
        data,
        held,
        expected,
        _signed(_error(run)),
    ]


def _shape_row(run: GridRun) -> list[str]:
    parts = (run.n_layer, run.n_embd)
    return [*map(str, parts), count(run.params), count(run.steps), amount(run.memorized_bits), _bits(run)]


_TABLES: Mapping[GridPart, tuple[Sequence[str], Callable[[GridRun], list[str]]]] = {
    "training": (
        (
            "sequences",
            "data, bits per parameter",
            "held after an eighth of the steps",
            "a quarter",
            "half",
            "at the end",
        ),
        _training_row,
    ),
    "precision": (
        ("layers", "width", "parameters", "steps", "float32", "float32, weights rounded", "bfloat16"),
        _shape_row,
    ),
    "sequences": (
        ("S", "V", "parameters", "data (bits)", "held (bits)", "expected: min(3.6 per parameter, data)", "error"),
        _sequence_row,
    ),
    "shapes": (("layers", "width", "parameters", "steps", "held (bits)", "bits per parameter"), _shape_row),
}
