"""The claims of the paper beside what was measured here: each with its command, figure, verdict and reason."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from auditor.documents.calibration import Calibration
from auditor.documents.capacity import CapacityMeasurement
from auditor.documents.reproduction import CapacityGrid, CapacitySweep, SizeRun, Slope

from .escaping import visible
from .numbers import amount, count, number, percent, plain, plural
from .paper_claims import NOMINAL_BITS, TABLE_5, PaperClaim, by_count
from .paper_grids import GRID_ALT, grid_claims, grid_table
from .paper_text import text_claims

__all__ = ["paper_claims", "paper_page", "render_claims"]

_ESTIMATE = "(six operations per parameter and token, at 40% of its peak: an estimate, not run)"

_PROPORTION = "Capacity grows in proportion to parameters, 3.64 bits each (section 3; float32 mean 3.83)"
_FULL = "Below capacity a model holds all of its data, beyond it no more than its capacity (section 3)"
_DESCENT = "The test loss peaks where the data just fill the model: double descent (section 4)"

_A100_FLOPS = 0.4 * 312e12
"""Operations a second of the paper's GPU (A100, bfloat16) at 40% of its peak: an assumption."""


def paper_claims(
    capacity: CapacitySweep | None,
    text: Calibration | None,
    *,
    closely: CapacityMeasurement | None = None,
    grids: Sequence[CapacityGrid] = (),
) -> tuple[PaperClaim, ...]:
    """Set every claim that the documents speak of beside what they hold.

    Parameters
    ----------
    capacity : CapacitySweep or None
    text : Calibration or None
        One of an older auditor has no bits and no recitation, and says nothing of these.
    closely : CapacityMeasurement or None
        One size, measured with schedules of several lengths.
    grids : sequence of CapacityGrid
    """
    return (
        *(() if capacity is None else _of_sizes(capacity)),
        *(() if closely is None else _of_one_size(closely)),
        *(claim for grid in grids for claim in grid_claims(grid)),
        *(() if text is None else text_claims(text)),
    )


def _of_one_size(found: CapacityMeasurement) -> Iterator[PaperClaim]:
    best, check = found.best, found.self_check_share
    low, high = TABLE_5
    yield PaperClaim(
        part="capacity",
        paper=f"A model holds about 3.64 bits per parameter (section 3; float32 mean 3.83, each {low} to {high})",
        found=f"at least {number(math.floor(100 * found.bits_per_parameter) / 100, 2)} bits per parameter of "
        f"{plural(found.n_parameters, 'parameter')}, after {count(best.steps)} steps",
        agrees=found.bits_per_parameter >= low,
        why="a lower bound within the paper's range; "
        + ("converged" if found.converged else "longer schedules still gain"),
    )
    if check is not None:
        yield PaperClaim(
            part="capacity",
            paper=_FULL,
            found=f"{percent(round(check, 4))} of a set at 0.4 times the nominal capacity; beyond it at most "
            f"{plain(found.bits_per_parameter)} bits per parameter",
            agrees=check > 0.99,
            why="one size of model; the amounts of data are those of the figure",
        )
    sizes = [run for run in found.runs if (run.role == "size" and run.seed == 0) or run.role == "self-check"]
    worst = max(sizes, key=lambda run: run.test_bits_per_token)
    ratio = worst.dataset_bits / (NOMINAL_BITS * found.n_parameters)
    yield PaperClaim(
        part="capacity",
        paper=_DESCENT,
        found=f"fresh sequences cost most, {plain(worst.test_bits_per_token)} bits per token, at {plain(ratio)} times "
        f"the nominal capacity ({plain(math.log2(found.n_vocabulary))} is what knowing nothing costs)",
        agrees=0.4 <= ratio <= 1.3,
        why=f"{plural(len(sizes), 'amount')} of data: coarse",
    )


def _of_sizes(found: CapacitySweep) -> Iterator[PaperClaim]:
    below = [run for run in found.runs if run.dataset_bits < NOMINAL_BITS * run.params]
    slope = found.slope
    if slope is None:
        n_sizes = len({run.params for run in found.runs})
        yield PaperClaim(
            part="capacity",
            paper=_PROPORTION,
            found=f"no slope from {plural(n_sizes, 'size')} of model",
            agrees=None,
            why="a slope with an interval needs three sizes",
        )
    else:
        yield PaperClaim(
            part="capacity",
            paper=_PROPORTION,
            found=f"{_slope(slope)} bits for each further parameter, over {slope.n_sizes} sizes from "
            f"{amount(min(run.params for run in found.runs))} to {amount(max(run.params for run in found.runs))}",
            agrees=slope.high >= 3.51 and slope.low > 0,
            why="a lower bound: training this short reads low, and longer schedules of one size still gain "
            "(before-training.md)",
        )
    if below:
        least = min(run.memorized_bits / run.dataset_bits for run in below)
        yield PaperClaim(
            part="capacity",
            paper=_FULL,
            found=f"far below capacity every size holds at least {percent(round(least, 4))} of it; at most "
            f"{plain(max(run.memorized_bits / run.params for run in found.runs))} bits per parameter beyond",
            agrees=least > 0.99,
            why="the runs at half the nominal capacity",
        )
    peaks = [_peak(list(runs)) for runs in by_count(found.runs, lambda run: run.params)]
    yield PaperClaim(
        part="capacity",
        paper=_DESCENT,
        found=f"fresh sequences cost most at {', '.join(plain(one) for one in peaks)} times the nominal capacity",
        agrees=all(0.4 <= one <= 1.3 for one in peaks),
        why=f"by size, of {plural(len(found.runs) // max(1, len(peaks)), 'amount')} of data each: coarse",
    )
    if found.slope_bf16 is not None and found.slope is not None:
        kept = min(run.memorized_bits_bf16 / run.memorized_bits for run in found.runs if run.memorized_bits > 0)
        yield PaperClaim(
            part="capacity",
            paper="Halving the precision costs little: 3.51 bits in bfloat16, 3.83 in float32 (table 5)",
            found=f"{_slope(found.slope_bf16)} with the weights of the same models rounded to bfloat16, against "
            f"{_slope(found.slope)}; the worst run keeps {percent(round(kept, 3))}",
            agrees=found.slope_bf16.value > 0.85 * found.slope.value,
            why="rounded once trained; the paper trains in bfloat16",
        )


def _peak(runs: Sequence[SizeRun]) -> float:
    """Find the data over nominal capacity where fresh sequences cost most."""
    worst = max(runs, key=lambda run: run.test_bits_per_token)
    return worst.dataset_bits / (NOMINAL_BITS * worst.params)


def _slope(slope: Slope) -> str:
    return f"{number(slope.value, 2)} [{number(slope.low, 2)} to {number(slope.high, 2)}]"


def render_claims(claims: Sequence[PaperClaim]) -> Table:
    """List the claims on the terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for heading in ("The paper", "here", "verdict"):
        table.add_column(Text(heading), overflow="fold")
    for claim in claims:
        table.add_row(Text(claim.paper), Text(visible(claim.found, 400)), Text(claim.verdict, style="bold"))
    return table


def paper_page(
    capacity: CapacitySweep | None,
    text: Calibration | None,
    *,
    figures: Mapping[str, str],
    closely: CapacityMeasurement | None = None,
    grids: Sequence[CapacityGrid] = (),
) -> str:
    """Write the page of claims in Markdown.

    Parameters
    ----------
    capacity, text, closely : documents or None
        None where it was not run.
    figures : mapping of str to str
        Where the figure of each part lies, seen from the page; a part without one has none.
    grids : sequence of CapacityGrid
    """
    lines = [
        "# The paper at the size of a laptop",
        "",
        "Claims of Morris et al. 2025, *How much do language models memorize?* (arXiv:2505.24832), beside what was",
        "measured here. All below is made from the data that the commands wrote; nothing is typed in.",
        "",
    ]  # fmt: skip
    claims = paper_claims(capacity, text, closely=closely, grids=grids)
    tables = {grid.part: grid_table(grid) for grid in grids}
    for part, intro in _parts(capacity, text, closely, grids):
        found = [one for one in claims if one.part == part]
        if not found and part not in tables:
            continue
        lines += [f"## {part.capitalize()}", "", *(line for said in intro for line in (said, ""))]
        lines += [f"![{_ALT[part]}]({figures[part]})", ""] if part in figures else []
        lines += [*tables.get(part, ()), ""] if part in tables else []
        lines += ["| the paper | here | verdict | why |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(one.paper)} | {_cell(one.found)} | **{one.verdict}** | {_cell(one.why)} |" for one in found
        ]
        lines.append("")
    return "\n".join(lines)


_ALT: Mapping[str, str] = {
    "capacity": "Memorised bits by size of the data and of the model, and the slope of capacity over parameters",
    **GRID_ALT,
    "text": "Unintended bits, and losses of members and held-out texts, by data over capacity",
    "membership": "F1 of two attacks by samples per parameter, with the paper's law and the calibrated ones",
    "extraction": "Recited texts of members and of others, beside the F1 of membership and the bits of a text",
}


def _parts(
    capacity: CapacitySweep | None,
    text: Calibration | None,
    closely: CapacityMeasurement | None,
    grids: Sequence[CapacityGrid],
) -> Iterator[tuple[str, list[str]]]:
    """Name the parts that were run, with the command, the time here and an estimate for the paper's scale."""
    of_capacity = [_capacity_words(one) for one in (capacity, closely) if one is not None]
    if of_capacity:
        yield "capacity", of_capacity
    for grid in grids:
        yield grid.part, [_grid_words(grid)]
    if text is not None:
        for part in ("text", "membership", "extraction"):
            yield part, [_text_words(part, text)]


def _capacity_words(found: CapacitySweep | CapacityMeasurement) -> str:
    if isinstance(found, CapacitySweep):
        asked, operations, what = f"reproduce --part capacity --scale {found.scale}", _TABLE_5_OPERATIONS, "table 5"
    else:
        asked, operations, what = (
            f"capacity --model {visible(found.model, 80)}",
            _LARGEST_OPERATIONS,
            "a model of 6.86M",
        )
    return (
        f"`auditor {asked}`: {plural(len(found.runs), 'model')} on random sequences of {found.sample_tokens} tokens of "
        f"{count(found.n_vocabulary)}, {_steps([run.steps for run in found.runs])}. {_took(found)} "
        f"{_at_paper_scale(what, operations)}"
    )


def _grid_words(grid: CapacityGrid) -> str:
    return (
        f"`auditor reproduce --part {grid.part} --scale {grid.scale}`: {plural(len(grid.runs), 'model')} on random "
        f"tokens, {_steps([run.steps for run in grid.runs])}. {_took(grid)} "
        f"{_at_paper_scale('this part', grid.paper_operations)}"
    )


def _text_words(part: str, text: Calibration) -> str:
    n_sizes = len({cell.params for cell in text.cells})
    name = visible(Path(text.data).name, 80)
    older = any(cell.memorized_bits is None for cell in text.cells)
    asked = f"calibrate --data {name}" if older else f"reproduce --part {part} --data {name}"
    return (
        f"`auditor {asked}`: {plural(len(text.cells), 'model')} of {plural(n_sizes, 'size')} on texts of "
        f"{text.sample_tokens} tokens, {_steps([cell.steps for cell in text.cells])}. {_took(text)} "
        f"{_at_paper_scale('one pass of table 4, its two models on its six amounts of text,', _TABLE_4_OPERATIONS)} "
        f"Capacity is {NOMINAL_BITS} bits a parameter, nominally; data are bits under the reference of the same size."
    )


_LARGEST_OPERATIONS = 6 * 6.86e6 * 1e6 * 2048 * 64
_TABLE_5_OPERATIONS = sum(
    6.0 * params * 1e6 * 2048 * 64
    for params in (
        4 * ((2048 + 64) * width + layers * (12 * width**2 + 13 * width) + 2 * width)  # four amounts of data
        for layers in (1, 2, 4, 8)
        for width in (32, 64, 128, 256)
    )
)
_TABLE_4_OPERATIONS = (
    6
    * 64
    * (1_556_075_200 * (170_654_583 + 76_795_021 + 18_851_574) + 123_702_528 * (13_566_442 + 6_104_935 + 1_498_634))
)


def _at_paper_scale(what: str, operations: float) -> str:
    hours = operations / _A100_FLOPS / 3600
    took = f"{plain(hours)} hours" if hours < 100 else f"{plain(hours / 24)} days"
    return f"At the paper's scale {what} would take about {took} on one A100 {_ESTIMATE}."


def _took(found: CapacitySweep | CapacityMeasurement | CapacityGrid | Calibration) -> str:
    clock = f"{_time(found.seconds)} by the clock"
    if isinstance(found, CapacityMeasurement) or found.cpu_seconds is None:
        return f"Took {clock}, on a machine that others used too."
    return (
        f"Took {_time(found.cpu_seconds)} of CPU ({clock}, all trainings added up, on a machine that others used too)."
    )


def _steps(steps: Sequence[int]) -> str:
    few, many = count(min(steps)), count(max(steps))
    return f"{few} steps each" if few == many else f"{few} to {many} steps each"


def _time(seconds: float) -> str:
    return f"{plain(seconds / 60)} minutes" if seconds < 7200 else f"{plain(seconds / 3600)} hours"


def _cell(text: str) -> str:
    return visible(text, 500).replace("|", "\\|")
