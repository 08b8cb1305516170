"""Claims on text beside the paper: bits, losses, membership and extraction, of a sweep over sizes and texts."""

import math
from collections.abc import Iterator, Sequence

from auditor.documents.calibration import Calibration, CalibrationCell
from auditor.documents.estimate import Estimate
from auditor.laws.membership import PAPER_LAW

from .numbers import amount, count, percent, plain, plural
from .paper_claims import NOMINAL_BITS, PaperClaim, by_count

__all__ = ["text_claims"]


def text_claims(found: Calibration) -> Iterator[PaperClaim]:
    """Set what the paper says of text beside a sweep; one of an older auditor says nothing of bits and recitation."""
    has_bits = all(cell.memorized_bits is not None for cell in found.cells)
    yield from _of_bits(found) if has_bits else ()
    yield _of_losses(found)
    yield _of_membership(found)
    yield from _of_extraction(found) if has_bits else ()


def _of_bits(found: Calibration) -> Iterator[PaperClaim]:
    sizes = list(by_count(found.cells, _params))
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
    peaks = [max(cells, key=lambda cell: cell.non_member_bits_per_token) for cells in by_count(found.cells, _params)]
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
    largest = [cells[-1] for cells in by_count(found.cells, _params)]
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


def _params(cell: CalibrationCell) -> int:
    return cell.params


def _value(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None or estimate.value is None else estimate.value


def _defined(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate
