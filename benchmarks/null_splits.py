"""Null splits: what an audit says of two sides without a difference, every interval and every decision.

A row of `null_calibration.py` for each; the code that is run is the audit's own.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from null_pool import CONTRAST, GROUP, LEVEL, Outcome, Pool
from numpy.typing import NDArray

from auditor.data.rarity import text_rarity
from auditor.documents.estimate import Estimate
from auditor.documents.result import AttackResult, CalibrationResult, RiskBreakdown, SoundnessResult
from auditor.estimates.code_lengths import SampleBits
from auditor.estimates.combination import combine
from auditor.estimates.grade import grade_signal
from auditor.estimates.memorization import dataset_memorization
from auditor.estimates.retrained import compare_with_retrained
from auditor.estimates.risk import TAIL_SHARES, assess_risk, count_stand_out
from auditor.estimates.selection import select
from auditor.laws.capacity import BitsPerParameter
from auditor.soundness.blind import blind_baseline
from auditor.soundness.checks import ComparedModels, check_soundness
from auditor.soundness.overlap import find_overlap
from auditor.soundness.texts import ComparedTexts
from auditor.stats.adjusted import length_strata, residualised_auc, stratified_auc
from auditor.stats.metrics import auc, evaluate
from auditor.stats.p_values import auc_p_values
from auditor.stats.tails import tail_mean, tail_quantile
from reports.attacks import survives

N_UNITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How sides are drawn: so many texts a side, one by one or in groups that stay together."""

    number: int
    per_side: int
    grouped: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Two sides without a difference."""

    places: NDArray[np.int64]
    table: Any
    is_member: NDArray[np.bool_]
    groups: list[str | None] | None
    rng: np.random.Generator = field(repr=False)


def draw(pool: Pool, setting: Setting, index: int) -> Split:
    """Draw both sides without replacement."""
    rng = np.random.default_rng([setting.seed, setting.number, index])
    unit = GROUP if setting.grouped else 1
    units = rng.choice(pool.size // unit, 2 * (setting.per_side // unit), replace=False)
    places = (units[:, None] * unit + np.arange(unit)).ravel()
    is_member = np.arange(places.size) < places.size // 2
    cut = {one.name: _taken(getattr(pool.table, one.name), places) for one in fields(pool.table)}
    table = replace(pool.table, **(cut | {"is_member": is_member}))
    groups = list(table.group) if setting.grouped else None
    if not setting.grouped:
        table = replace(table, group=(None,) * places.size)
    return Split(places=places, table=table, is_member=is_member, groups=groups, rng=rng)


def _taken(values: Any, places: NDArray[np.int64]) -> Any:
    """Take the values of some samples, of whatever kind the column is."""
    if isinstance(values, np.ndarray):
        return values[places]
    if isinstance(values, Mapping):
        return {name: column[places] for name, column in values.items()}
    return None if values is None else tuple(values[i] for i in places)


def measure(pool: Pool, setting: Setting, slow: bool, indices: Sequence[int]) -> Counter[Outcome]:
    """Count the outcomes of some splits."""
    counts: Counter[Outcome] = Counter()
    for index in indices:
        split = draw(pool, setting, index)
        if slow:
            counts.update(looks(pool, split))
            counts.update(together(pool, split))
        else:
            counts.update(attacked(pool, split))
            counts.update(held(pool, split))
            counts.update(standing_out(pool, split))
            counts.update(against_retrained(pool, split))
            counts.update(checked(pool, split))
    return counts


def covers(row: str, label: str, estimate: Estimate, truth: float) -> Outcome:
    if estimate.low is None or estimate.high is None:
        return row, label, "undefined"
    return row, label, "below" if estimate.high < truth else "above" if estimate.low > truth else "covered"


def alarm(row: str, label: str, rang: bool) -> Outcome:
    return row, label, "alarm" if rang else "quiet"


def above(estimate: Estimate, threshold: float) -> bool:
    return estimate.low is not None and estimate.low > threshold


def attacked(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Measure every attack by itself, the verdict, and the choice among them."""
    table = split.table
    results = attack_results(pool, split)
    strata = length_strata(table.n_bytes, split.is_member)
    for found in results:
        scores = table.scores[found.attack]
        yield covers("AUC", found.attack, found.auc, 0.5)
        if split.groups is not None:
            naive = auc(scores, split.is_member, level=LEVEL)
            yield covers(f"AUC, groups not given {CONTRAST}", found.attack, naive, 0.5)
        within = stratified_auc(scores, strata, split.is_member, level=LEVEL, groups=split.groups)
        yield covers("AUC within strata of length", found.attack, within, 0.5)
        yield covers("F1 at equal error", found.attack, found.f1_equal_error, 0.5)
        for rate in found.tpr_at_fpr:
            if rate.value is not None:
                yield covers(f"TPR at FPR {rate.fpr:g}", found.attack, rate, rate.fpr)
                yield alarm(f"TPR at FPR {rate.fpr:g} said to be above it", found.attack, above(rate, rate.fpr))
        yield alarm("advantage: low end above 0", found.attack, above(found.advantage, 0))
        yield alarm("p-value of one attack at .025", found.attack, (found.p_value or 0) <= 0.025)
        if found.attack == pool.headline:
            yield alarm("verdict: a signal is found", "", above(found.auc, 0.5))
            yield alarm("verdict: the signal is inverted", "", found.inverted)
    yield alarm("any attack survives Holm", "", any(survives(found) for found in results))
    chosen = select(
        table.scores, split.is_member, split.groups,
        headline=pool.headline, declared_by="default", level=LEVEL, seed=pool.config.seed,
    )  # fmt: skip
    yield covers("AUC of the best attack, on other texts", "", chosen.best_auc, 0.5)
    yield alarm("best attack: low end above one half", "", above(chosen.best_auc, 0.5))


def attack_results(pool: Pool, split: Split) -> list[AttackResult]:
    """Measure every attack as an audit does; what an attack says of itself plays no part."""
    member, results = split.is_member, []
    p_values = auc_p_values(split.table.scores, member, split.groups)
    for label, scores in split.table.scores.items():
        fprs = pool.config.fpr_targets
        found = evaluate(scores, member, fpr_targets=fprs, level=LEVEL, groups=split.groups, rng=split.rng)
        one = AttackResult(
            attack=label, name=label, summary="", params={}, paper="", needs=(), roc=None, auc=found.auc,
            advantage=found.advantage, tpr_at_fpr=found.tpr_at_fpr, f1_equal_error=found.f1_equal_error,
            inverted=found.inverted, p_value=p_values[label][0], p_value_holm=p_values[label][1],
        )  # fmt: skip
        results.append(one)
    return results


def held(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Measure the bits of the dataset, and their tails."""
    table, all_signed = split.table, pool.table.signed_bits
    bits = SampleBits(target=table.target_bits, reference=table.reference_bits)
    found = dataset_memorization(
        bits, split.is_member, groups=split.groups, n_tokens=table.n_tokens, n_bytes=table.n_bytes,
        n_references=len(pool.config.references), n_parameters=1, capacity=BitsPerParameter(1.0, "none"),
        level=LEVEL, rng=split.rng, samples=(),
    )  # fmt: skip
    yield covers("bits, debiased", "", found.debiased_bits_per_member, 0)
    yield covers("bits, net", "", found.net_bits_per_member, 0)
    yield covers("bits per token", "", found.bits_per_token, 0)
    yield covers("AUC from bits", "", found.auc_from_bits, 0.5)
    yield covers("mean bits of members", "", found.mean_bits_members, all_signed.mean())
    yield covers("mean bits of non-members", "", found.mean_bits_non_members, all_signed.mean())
    yield covers("clipped bits of members", "", found.clipped_bits_per_member, pool.table.memorized_bits.mean())
    yield alarm("bits said to be held (debiased, low end above 0)", "", above(found.debiased_bits_per_member, 0))
    if found.information_lower_bound_per_member.low is not None:
        yield alarm("certified bits above 0", "", above(found.information_lower_bound_per_member, 0))
    members, groups = bits.signed[split.is_member], split.groups and split.groups[: split.is_member.sum()]
    descending = np.sort(all_signed)[::-1]
    for share in TAIL_SHARES:
        k = round(share * pool.size)
        mean = tail_mean(members, share, level=LEVEL, groups=groups)
        if mean.value is not None:
            quantile = tail_quantile(members, share, level=LEVEL, groups=groups)
            yield covers(f"tail: mean of the worst {share:.0%}", "", mean, descending[:k].mean())
            yield covers(f"tail: bits that {share:.0%} exceed", "", quantile, descending[k])


def standing_out(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Count who stands out from the non-members, and grade the signal by the worse of average and tail."""
    everyone, member = pool.table.scores[pool.headline], split.is_member
    scores = split.table.scores[pool.headline]
    counted = count_stand_out(
        scores, member, signed_bits=split.table.signed_bits, clusters=split.groups,
        fpr_targets=pool.config.fpr_targets, level=LEVEL,
    )  # fmt: skip
    yield alarm("members said to stand out beyond every non-member", "", least_one(counted.n_beyond_every_non_member))
    if counted.n_above_bits is not None:
        yield alarm("members said to stand out by their bits", "", least_one(counted.n_above_bits))
    for one in counted.n_identified:
        if one.value is not None:
            n_beyond = int((scores[member] > np.quantile(everyone, 1 - one.fpr)).sum())
            yield covers(f"members identified at FPR {one.fpr:g}", "", one, n_beyond)
    attack = SimpleNamespace(auc=auc(scores, member, level=LEVEL, groups=split.groups), inverted=False)
    graded = grade_signal(attack, SimpleNamespace(stand_out=counted), soundness=None)  # type: ignore[arg-type]
    yield alarm("graded above none, by average or tail", "", graded is not None and graded.overall != "none")


def least_one(count: Estimate) -> bool:
    return count.low is not None and count.low >= 1


def against_retrained(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Set the target beside a model trained on other texts: neither saw these."""
    found = compare_with_retrained(
        target=split.table.scores, retrained=_taken(pool.retrained, split.places),
        target_bits=split.table.target_bits, retrained_bits=pool.retrained_bits[split.places],
        is_member=split.is_member, groups=split.groups, headline=pool.headline,
        margin=pool.config.retrained_margin, level=LEVEL, path="", weights_sha256="",
    )  # fmt: skip
    for one in found.attacks:
        yield covers("change of AUC from retrained to target", one.attack, one.change, 0)
    yield covers("bits beyond the retrained model, net", "", found.net_bits_per_member, 0)
    yield alarm("retrained: any finding", "", any(one.finding in ("residual", "over_erased") for one in found.attacks))


def checked(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Run the checks that need no look at the texts; the reference of this pool saw neither side."""
    for check in _soundness(pool, split).checks:
        if check.name in ("reference_alone", "length"):
            yield alarm(f"check {check.name} not passed", "", check.verdict != "pass")


def _soundness(pool: Pool, split: Split, **found: Any) -> SoundnessResult:
    """Check a split; ``found`` is what was seen of its texts."""
    table = split.table
    texts = ComparedTexts(
        sample_ids=table.sample_id, is_member=split.is_member, text_keys=[pool.text_keys[i] for i in split.places],
        n_bytes=table.n_bytes, groups=split.groups, **found,
    )  # fmt: skip
    models = ComparedModels(
        target=pool.facts[0], references=pool.facts[1:], aligned=pool.aligned, unread=pool.unread[:, split.places]
    )
    return check_soundness(
        texts, models, reference_bits=table.reference_bits, signed_bits=table.signed_bits,
        fpr_targets=pool.config.fpr_targets,
    )  # fmt: skip


def looks(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Measure what the texts alone tell, what is left of the attacks beyond that, and all checks together."""
    table, member = split.table, split.is_member
    blind = blind_baseline(table.text, member, split.groups, seed=pool.config.seed)
    if blind.score is not None:
        yield alarm("blind baseline p-value at .05", "", (blind.p_value or 0) <= 0.05)
        covariates = np.column_stack([blind.score, np.log(table.n_bytes)])
        for label, scores in table.scores.items():
            left = residualised_auc(
                scores, covariates, member, level=LEVEL, groups=split.groups, seed=pool.config.seed
            )  # fmt: skip
            yield covers("AUC beyond the looks of the texts", label, left, 0.5)
    overlap = find_overlap(table.text, member, [pool.text_keys[i] for i in split.places])
    sound = _soundness(pool, split, blind=blind, overlap=overlap)
    for check in sound.checks:
        if check.name == "blind_baseline":
            yield alarm("check blind_baseline not passed", "", check.verdict != "pass")
        elif check.name in ("near_duplicates", "near_duplicates_within", "ngram_overlap"):
            yield alarm(f"check {check.name} not passed {CONTRAST}", "", check.verdict != "pass")
    exact = [one for one in sound.checks if one.name in ("overlap", "distinct_models", "tokenizer", "precision")]
    yield alarm("check of models and exact copies not passed", "", any(one.verdict != "pass" for one in exact))
    yield alarm("any check vetoes", "", sound.verdict == "veto")


def together(pool: Pool, split: Split) -> Iterator[Outcome]:
    """Measure all attacks together, and say who is at risk."""
    table, member, seed = split.table, split.is_member, pool.config.seed
    combined = combine(
        table.scores, member, split.groups, fpr_targets=pool.config.fpr_targets, level=LEVEL, seed=seed
    )  # fmt: skip
    found = combined.result
    if found is not None and combined.log_odds is not None:
        yield covers("AUC of the combination", "", found.auc, 0.5)
        yield covers("gain of the combination", "", found.gain, 0)
        says_nothing = np.ptp(combined.log_odds) == 0  # one number for all: no threshold has an FPR between 0 and 1
        for rate in found.tpr_at_fpr:
            if rate.value is not None:
                truth = 0.0 if says_nothing else rate.fpr
                yield covers(f"TPR at FPR {rate.fpr:g} of the combination", "", rate, truth)
        yield alarm("combination: low end above one half", "", above(found.auc, 0.5))
        yield alarm("combination said to add something", "", above(found.gain, 0))
        stated = found.calibration
        yield alarm("combination said to be uncalibrated", "", stated is None or not stated.calibrated)
    rarity = text_rarity(lambda: [table.text or ()], member)
    posterior, breakdowns = assessed(pool, split, table.group, table.n_bytes, rarity)
    yield alarm("posterior said to be uncalibrated", "", posterior is None or not posterior.calibrated)
    yield alarm("risk said to differ", "", differs(breakdowns))
    for part in breakdowns:
        for i, group in enumerate(part.groups):
            if part.by in ("length", "rarity"):
                yield covers(f"AUC of a quarter of the members, by {part.by}", f"quarter {i + 1}", group.auc, 0.5)
    mixed = split.rng.permutation(member.size)
    units = [f"unit {i % N_UNITS}" for i in mixed]
    _, shuffled = assessed(pool, split, units, table.n_bytes[mixed], rarity[mixed])
    yield alarm("risk said to differ, properties shuffled", "", differs(shuffled))


def assessed(
    pool: Pool, split: Split, units: Sequence[str | None], n_bytes: NDArray[np.int64], rarity: NDArray[np.float64]
) -> tuple[CalibrationResult | None, tuple[RiskBreakdown, ...]]:
    """Say who is at risk, the properties of the texts being what they are or shuffled."""
    table = split.table
    risk = assess_risk(
        table.scores[pool.headline], split.is_member, headline=pool.headline, clusters=split.groups,
        text_keys=[pool.text_keys[i] for i in split.places], units=units, n_bytes=n_bytes,
        n_copies=split.is_member.astype(np.int64), rarity=rarity, signed_bits=table.signed_bits, level=LEVEL,
        seed=pool.config.seed,
    ).result  # fmt: skip
    return risk.calibration, risk.breakdowns


def differs(breakdowns: Sequence[RiskBreakdown]) -> bool:
    """Say whether any property is said to tell the members' risk apart."""
    return any(part.p_value is not None and part.p_value <= 1 - LEVEL for part in breakdowns)
