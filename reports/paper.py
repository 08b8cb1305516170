"""The claims of the paper beside what was measured here: each with its command, figure, verdict and reason."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from auditor.documents.calibration import Calibration, CalibrationCell
from auditor.documents.capacity import CapacityMeasurement
from auditor.documents.estimate import Estimate
from auditor.documents.reproduction import CapacitySweep, SizeRun, Slope
from auditor.laws.membership import PAPER_LAW

from .escaping import visible
from .numbers import amount, count, number, percent, plain, plural

__all__ = ["NOMINAL_BITS", "PaperClaim", "paper_claims", "paper_page", "render_claims"]

T = TypeVar("T")

NOMINAL_BITS = 3.6
"""Bits per parameter that data are set against: the paper's round figure."""

_ESTIMATE = "(six operations per parameter and token, at 40% of its peak: an estimate, not run)"

_TABLE_5 = (2.86, 4.23)
"""Least and most bits per parameter of a configuration in the paper's table 5."""

_FULL = "Below capacity a model holds all of its data, beyond it no more than its capacity (section 3)"
_DESCENT = "The test loss peaks where the data just fill the model: double descent (section 4)"

_A100_FLOPS = 0.4 * 312e12
"""Operations a second of the paper's GPU (A100, bfloat16) at 40% of its peak: an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperClaim:
    """A claim of the paper, and what was found.

    Parameters
    ----------
    part : str
        Of `auditor reproduce`.
    paper : str
        What the paper says, with its section.
    found : str
        What was measured here.
    agrees : bool or None
        None where the runs cannot say.
    why : str
        What the agreement or its absence rests on.
    """

    part: str
    paper: str
    found: str
    agrees: bool | None
    why: str

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return {True: "agrees", False: "does not agree", None: "cannot be told"}[self.agrees]


def paper_claims(
    capacity: CapacitySweep | CapacityMeasurement | None, text: Calibration | None
) -> tuple[PaperClaim, ...]:
    """Set every claim that the documents speak of beside what they hold.

    Parameters
    ----------
    capacity : CapacitySweep, CapacityMeasurement or None
        Several sizes, or one that was measured closely.
    text : Calibration or None
        One of an older auditor has no bits and no recitation, and says nothing of these.
    """
    claims: list[PaperClaim] = []
    if isinstance(capacity, CapacitySweep):
        claims += _of_sizes(capacity)
    elif capacity is not None:
        claims += _of_one_size(capacity)
    if text is not None:
        has_bits = all(cell.memorized_bits is not None for cell in text.cells)
        claims += [*(_of_bits(text) if has_bits else ()), _of_losses(text), _of_membership(text)]
        claims += _of_extraction(text) if has_bits else ()
    return tuple(claims)


def _of_one_size(found: CapacityMeasurement) -> Iterator[PaperClaim]:
    best, check = found.best, found.self_check_share
    low, high = _TABLE_5
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
    if found.slope is not None:
        slope = found.slope
        yield PaperClaim(
            part="capacity",
            paper="Capacity grows in proportion to parameters, 3.64 bits each (section 3; float32 mean 3.83)",
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
    peaks = [_peak(list(runs)) for runs in _by(found.runs, lambda run: run.params)]
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


def _of_bits(found: Calibration) -> Iterator[PaperClaim]:
    sizes = list(_by(found.cells, lambda cell: cell.params))
    risen = [_rises_and_falls([_defined(cell.memorized_bits) for cell in cells]) for cells in sizes]
    most = [max(cells, key=lambda cell: _value(cell.memorized_bits)) for cells in sizes]
    n_rise, n_fall = sum(rise for rise, _ in risen), sum(fall for _, fall in risen)
    yield PaperClaim(
        part="text",
        paper="On text, unintended bits rise with the data, level off at capacity, and fall as models generalise "
        "(section 4)",
        found="; ".join(
            f"{amount(cell.params)} parameters: most at {count(cell.n_samples)} texts, "
            f"{plain(_value(cell.memorized_bits) / cell.params)} bits per parameter"
            for cell in most
        ),
        agrees=n_rise == len(risen) and n_fall > 0,
        why=f"risen in {n_rise} and fallen again in {n_fall} of {len(risen)} sizes, by intervals that do not overlap",
    )
    own = sum(_value(cell.memorized_bits) for cell in found.cells)
    other = sum(_value(cell.memorized_bits_by_largest) for cell in found.cells)
    yield PaperClaim(
        part="text",
        paper="Either reference will do: one of the same size on more data, or a larger model (section 2)",
        found=f"all cells together {amount(own)} bits beside references of their own size, {amount(other)} beside the "
        "largest",
        agrees=abs(other - own) < 0.2 * own,
        why="all references trained on the same texts, none of them members'",
    )


def _of_losses(found: Calibration) -> PaperClaim:
    peaks = [
        max(cells, key=lambda cell: cell.non_member_bits_per_token) for cells in _by(found.cells, lambda c: c.params)
    ]
    ratios = [_filled(cell, found.sample_tokens) for cell in peaks]
    least = min(_filled(cell, found.sample_tokens) for cell in found.cells)
    seen = all(ratio > 1.01 * least for ratio in ratios)
    return PaperClaim(
        part="text",
        paper="On text, double descent begins where the data's bits exceed the capacity (section 4)",
        found=f"held-out texts cost most at {', '.join(plain(one) for one in ratios)} times the nominal capacity, of "
        f"{plain(least)} times and more",
        agrees=all(0.5 <= one <= 2 for one in ratios) if seen else None,
        why="a peak with less cost on both sides"
        if seen
        else "the least data cost most: a descent, and no peak to see",
    )


def _of_membership(found: Calibration) -> PaperClaim:
    cells = [cell for cell in found.cells if cell.loss_f1.value is not None]
    errors = [_value(cell.loss_f1) - PAPER_LAW.f1(cell.samples_per_parameter) for cell in cells]
    rmse = math.sqrt(sum(error**2 for error in errors) / len(errors)) if errors else math.nan
    return PaperClaim(
        part="membership",
        paper="F1 of the loss attack follows a law of samples per parameter (section 5; our reading of it)",
        found=f"{plain(rmse)} root mean square from the law over {plural(len(cells), 'cell')}, "
        f"{plain(max(map(abs, errors)))} at most"
        if errors
        else "no cell has an F1",
        agrees=rmse < 0.05 if errors else None,
        why="F1 falls with the data as the law says, but its level depends on the length of training; the calibrated "
        "law has constants of its own",
    )


def _of_extraction(found: Calibration) -> Iterator[PaperClaim]:
    cells = [cell for cell in found.cells if cell.loss_f1.value is not None]
    easier = [_value(cell.loss_f1) > _value(cell.recited_members) for cell in cells]
    yield PaperClaim(
        part="extraction",
        paper="Membership is easier than extraction: the F1 lies above the rate of extraction everywhere (section 5)",
        found=f"so in {sum(easier)} of {plural(len(cells), 'cell')}",
        agrees=all(easier),
        why="half of a text recited greedily after its first half",
    )
    largest = [cells[-1] for cells in _by(found.cells, lambda cell: cell.params)]
    apart = [_value(cell.recited_members) - _value(cell.recited_non_members) for cell in largest]
    yield PaperClaim(
        part="extraction",
        paper="On large sets as much is extracted of test texts as of training texts (section 4)",
        found=f"on the most texts of each size, members less others: {', '.join(percent(round(a, 4)) for a in apart)}",
        agrees=all(abs(a) < 0.01 for a in apart),
        why="models this small recite hardly any unseen text, so that the rates can only meet near zero",
    )


def _rises_and_falls(held: Sequence[Estimate]) -> tuple[bool, bool]:
    """Whether the most lies surely above the first and surely above the last."""
    most = max(held, key=lambda one: one.value or 0.0)
    first, last = held[0], held[-1]
    return (most.low or 0.0) > (first.high or math.inf), (most.low or 0.0) > (last.high or math.inf)


def _filled(cell: CalibrationCell, sample_tokens: int) -> float:
    """Divide the data by the nominal capacity; of older files from what the reference needs for held-out texts."""
    of_others = cell.n_samples * (sample_tokens - 1) * cell.reference_bits_per_token
    bits = of_others if cell.dataset_bits is None else cell.dataset_bits
    return bits / (NOMINAL_BITS * cell.params)


def _value(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None or estimate.value is None else estimate.value


def _defined(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def _by(items: Sequence[T], key: Callable[[T], int]) -> Iterator[list[T]]:
    """Group by a count, the smallest first, each in the order given."""
    for value in sorted({key(item) for item in items}):
        yield [item for item in items if key(item) == value]


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
    capacity: CapacitySweep | CapacityMeasurement | None, text: Calibration | None, *, figures: Mapping[str, str]
) -> str:
    """Write the page of claims in Markdown.

    Parameters
    ----------
    capacity, text : documents or None
        None where a part was not run.
    figures : mapping of str to str
        Where the figure of each part lies, seen from the page; a part without one has none.
    """
    lines = [
        "# The paper at the size of a laptop",
        "",
        "Claims of Morris et al. 2025, *How much do language models memorize?* (arXiv:2505.24832), beside what was",
        "measured here. All below is made from the data that the commands wrote; nothing is typed in.",
        "",
    ]  # fmt: skip
    claims = paper_claims(capacity, text)
    for part, intro in _parts(capacity, text):
        found = [one for one in claims if one.part == part]
        if not found:
            continue
        lines += [f"## {part.capitalize()}", "", intro, ""]
        lines += [f"![{_ALT[part]}]({figures[part]})", ""] if part in figures else []
        lines += ["| the paper | here | verdict | why |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(one.paper)} | {_cell(one.found)} | **{one.verdict}** | {_cell(one.why)} |" for one in found
        ]
        lines.append("")
    return "\n".join(lines)


_ALT = {
    "capacity": "Memorised bits by size of the data and of the model, and the slope of capacity over parameters",
    "text": "Unintended bits, and losses of members and held-out texts, by data over capacity",
    "membership": "F1 of two attacks by samples per parameter, with the paper's law and the calibrated ones",
    "extraction": "Recited texts of members and of others, beside the F1 of membership",
}


def _parts(capacity: CapacitySweep | CapacityMeasurement | None, text: Calibration | None) -> Iterator[tuple[str, str]]:
    """Name the parts that were run, with the command, the time here and an estimate for the paper's scale."""
    if capacity is not None:
        asked = f"capacity --model {visible(getattr(capacity, 'model', ''), 80)}"
        if isinstance(capacity, CapacitySweep):
            asked = f"reproduce --part capacity --scale {capacity.scale}"
        said = (
            f"`auditor {asked}`: {plural(len(capacity.runs), 'model')} on random sequences of {capacity.sample_tokens} "
            f"tokens of {count(capacity.n_vocabulary)}, {_steps([run.steps for run in capacity.runs])}. "
            f"{_took(capacity.seconds)} At the paper's scale a model of 6.86 million parameters takes about "
            f"{_gpu_hours(6.86e6, 1e6 * 2048 * 64)} on one A100 {_ESTIMATE}."
        )
        yield "capacity", said
    if text is not None:
        n_sizes = len({cell.params for cell in text.cells})
        name = visible(Path(text.data).name, 80)
        older = any(cell.memorized_bits is None for cell in text.cells)
        for part in ("text", "membership", "extraction"):
            asked = f"calibrate --data {name}" if older else f"reproduce --part {part} --data {name}"
            said = (
                f"`auditor {asked}`: {plural(len(text.cells), 'model')} of {plural(n_sizes, 'size')} on texts of "
                f"{text.sample_tokens} tokens, {_steps([cell.steps for cell in text.cells])}. {_took(text.seconds)} At "
                "the paper's scale one pass of its model of 1.56 billion parameters over 171 million texts takes about "
                f"{_gpu_hours(1.556e9, 170_654_583 * 64)} on one A100 {_ESTIMATE}. Capacity is {NOMINAL_BITS} bits a "
                "parameter, nominally; data are bits under the reference of the same size."
            )
            yield part, said


def _took(seconds: float) -> str:
    return f"Took {_time(seconds)} of training on a machine that others used too."


def _steps(steps: Sequence[int]) -> str:
    return f"{count(min(steps))} to {count(max(steps))} steps each"


def _time(seconds: float) -> str:
    return f"{plain(seconds / 60)} minutes" if seconds < 7200 else f"{plain(seconds / 3600)} hours"


def _gpu_hours(params: float, tokens: float) -> str:
    hours = 6 * params * tokens / _A100_FLOPS / 3600
    return f"{plain(hours)} hours" if hours < 100 else f"{plain(hours / 24)} days"


def _cell(text: str) -> str:
    return visible(text, 500).replace("|", "\\|")
