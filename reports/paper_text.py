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
    yield from _of_references(found)
    yield from _of_rarity(found)


def _of_references(found: Calibration) -> Iterator[PaperClaim]:
    wholes = [cell for cell in found.cells if cell.memorized_bits_by_whole is not None]
    own, larger = (
        sum(_value(one) for one in held)
        for held in (
            [cell.memorized_bits for cell in found.cells],
            [cell.memorized_bits_by_largest for cell in found.cells],
        )
    )
    said = (
        f"all models together {amount(own)} bits beside references of their own size on other texts, {amount(larger)} "
    )
    said += "beside the largest"
    others = [larger]
    if wholes:
        others.append(sum(_value(cell.memorized_bits_by_whole) for cell in wholes))
        said += f", {amount(others[-1])} beside references of their own size on all texts, the members among them"
    yield PaperClaim(
        part="text",
        paper="Either reference will do: one of the same size on all the data, or a larger model (section 2)",
        found=said,
        agrees=all(abs(other - own) < 0.2 * own for other in others),
        why="within 20% of each other; a reference that saw the members, too, leaves fewer bits to them",
    )


def _of_rarity(found: Calibration) -> Iterator[PaperClaim]:
    known = [cell.rarity_correlation for cell in found.cells if cell.rarity_correlation is not None]
    told = [one for one in known if one.value is not None and one.low is not None]
    if not told:
        return
    surely = sum((one.low or 0.0) > 0 for one in told)
    most = max(told, key=lambda one: one.n_members)
    yield PaperClaim(
        part="extraction",
        paper="The most memorised texts are those of rare words, by TF-IDF, among texts with bits (section 4)",
        found=f"Spearman's correlation of bits and rarity lies above 0 in {surely} of {plural(len(told), 'model')}; "
        f"{plain(_value(most))} [{plain(most.low or 0.0)} to {plain(most.high or 0.0)}] over the most texts with bits "
        f"({count(most.n_members)})",
        agrees=surely > len(told) / 2,
        why="words of the decoded samples, rare among all other samples; intervals over texts of one model",
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
    guessed = [(cell, cell.guessed_members, cell.guessed_non_members) for cell in largest]
    pairs = [(_value(ours), _value(theirs)) for _, ours, theirs in guessed if ours is not None and theirs is not None]
    if pairs:
        yield PaperClaim(
            part="extraction",
            paper="On large sets as much is extracted of test texts as of training texts (section 4)",
            found="tokens of second halves that are the likeliest, members and others: "
            + "; ".join(f"{percent(round(ours, 3))} and {percent(round(theirs, 3))}" for ours, theirs in pairs),
            agrees=all(ours - theirs < 0.02 for ours, theirs in pairs),
            why="token by token, so that models that recite no whole text say something, too",
        )
    yield from _of_bits_recited(cells)


def _of_bits_recited(cells: Sequence[CalibrationCell]) -> Iterator[PaperClaim]:
    """Recitation against unintended bits, over the models of a sweep."""
    held = [_value(cell.memorized_bits) / cell.n_samples for cell in cells]
    recited = [_value(cell.recited_members) for cell in cells]
    if len(cells) < 3 or not any(recited):
        return
    least = min(bits for bits, share in zip(held, recited, strict=True) if share > 0)
    below = sum(bits < least for bits in held)
    yield PaperClaim(
        part="extraction",
        paper="A model holds bits of texts that it cannot recite: an F1 of 0.97 at an extraction rate of 0 (section 4)",
        found=f"no model with fewer than {plain(least)} unintended bits a text recites any ({plural(below, 'model')}); "
        f"{percent(round(max(recited), 3))} at most, at {plain(held[recited.index(max(recited))])} bits a text",
        agrees=below > 0 and held[recited.index(max(recited))] > least,
        why="means over the members of a model",
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
