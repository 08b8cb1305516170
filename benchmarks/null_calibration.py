"""Do the audit's intervals hold, and do its decisions stay quiet, where there is no membership signal at all?

    python benchmarks/null_calibration.py --data corpus.jsonl --out docs/data/null-calibration.json --work null

A target, a model trained on other texts and a reference are trained once, with four shadow models on random halves of a
pool that neither target saw. The pool is scored once, by the real engine with the attacks that an audit runs by
default. Then both "sides" are drawn from it at random, again and again, and go through the code that an audit uses:
every AUC is one half in truth, all bits are equal on both sides, and whatever is found is a false alarm.

Without --data the texts are the demonstration's invented records. Passages of a document stay together in groups of
four, for the audits of samples that are not independent.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.results import Estimate
from auditor.stats.intervals import clopper_pearson

GROUP = 4
N_TRAINED, N_REFERENCE, N_POOL = 2_000, 6_000, 8_000
EPOCHS, REFERENCE_EPOCHS, SHADOW_EPOCHS, N_SHADOWS = 60, 6, 20, 4
LEVEL, LENIENCE = 0.95, 0.02
WORDS = 26

CONTRAST = "(for contrast)"
"""Marks a row that shows what a choice avoids; it is not judged."""

NOMINAL = {
    "verdict: a signal is found": 0.025,
    "verdict: the signal is inverted": 0.025,
    "p-value of one attack at .025": 0.025,
    "any attack survives Holm": 0.025,
    "TPR at FPR 0.01 said to be above it": 0.025,
    "TPR at FPR 0.05 said to be above it": 0.025,
    "advantage: low end above 0": 0.05,
    "bits said to be held (debiased, low end above 0)": 0.025,
    "certified bits above 0": 0.05,
    "best attack: low end above one half": 0.025,
    "retrained: any finding": 0.05,
    "check reference_alone not passed": 0.01,
    "check length not passed": 0.01,
    "combination: low end above one half": 0.025,
    "combination said to add something": 0.025,
    "combination said to be uncalibrated": 0.05,
    "posterior said to be uncalibrated": 0.05,
    "risk differs by length, lengths shuffled": 0.05,
    "risk differs by rarity, rarities shuffled": 0.05,
    "risk differs in any way": 0.05,
    "check blind_baseline not passed": 0.01,
    "blind baseline p-value at .05": 0.05,
    "any check vetoes": 0.01,
}
"""Most false alarms that each decision may give."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="documents, as `auditor audit` takes texts; cut into passages")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--work", type=Path, help="keeps models and scores for the next run")
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--slow-splits", type=int, default=200, help="of combination, risk and the blind baseline")
    parser.add_argument("--per-side", type=int, default=200)
    parser.add_argument("--small-side", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pool = make_pool(args.work or Path(scratch), args.data, seed=args.seed)
    print(f"{pool.size:,} texts scored with {len(pool.attacks)} attacks", file=sys.stderr, flush=True)
    found = []
    for number, (per_side, grouped) in enumerate(
        [(args.per_side, False), (args.small_side, False), (args.per_side, True)]
    ):
        setting = Setting(number=number, per_side=per_side, grouped=grouped, seed=args.seed)
        counts: Counter[Outcome] = Counter()
        for slow, n_splits in ((False, args.splits), (True, args.slow_splits)):
            chunks = [range(first, min(first + 10, n_splits)) for first in range(0, n_splits, 10)]
            with ProcessPoolExecutor(args.workers) as workers:
                for part in workers.map(partial(measure, pool, setting, slow), chunks):
                    counts.update(part)
        found.append(described(setting, counts, pool))
        print(render({"settings": found[-1:]}), file=sys.stderr, flush=True)
    document = {
        "command": " ".join(["python", "benchmarks/null_calibration.py", *sys.argv[1:]]),
        "n_pool": pool.size,
        "attacks": [attack.label for attack in pool.attacks],
        "settings": found,
    }
    args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(render(document))


# --- the pool: trained and scored once -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the audit knows of every text of the pool; ``table`` holds all but the retrained model's part."""

    config: Any
    attacks: tuple[Any, ...]
    headline: str
    table: Any
    text_keys: tuple[str, ...]
    unread: NDArray[np.int64]
    aligned: bool
    facts: tuple[Any, ...]
    retrained: Mapping[str, NDArray[np.float64]]
    retrained_bits: NDArray[np.float64]

    @property
    def size(self) -> int:
        return len(self.table.sample_id)


def make_pool(folder: Path, data: str | None, *, seed: int) -> Pool:
    """Train the models, and score the pool under the target and under the model that stands for a retrained one."""
    from power import architecture, fit, write

    from auditor.config import AuditConfig, DataSpec, ModelSpec
    from auditor.data import load_samples
    from auditor.experiments.corpus import train_tokenizer
    from auditor.experiments.shadows import ShadowPlan, train_shadows
    from auditor.training import build, save

    rng = np.random.default_rng(seed)
    runs = record_groups(rng) if data is None else passage_groups(data)
    runs = [runs[i] for i in rng.permutation(len(runs))]
    ends = np.cumsum([N_TRAINED, N_TRAINED, N_REFERENCE, N_POOL]) // GROUP
    if len(runs) < ends[2] + 1000:
        raise SystemExit(f"{len(runs):,} groups of {GROUP} passages are too few, {ends[2] + 1000:,} are needed")
    parts = [runs[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    trained, other, reference, held_out = ([text for run in part for text in run] for part in parts)
    tokenizer = train_tokenizer([text for run in runs for text in run], n_vocabulary=512)
    model, file = folder / "architecture", folder / "pool.jsonl"
    save(build(architecture(tokenizer), seed=seed), tokenizer, model)
    for number, (name, texts, epochs) in enumerate(
        [("target", trained, EPOCHS), ("retrained", other, EPOCHS), ("reference", reference, REFERENCE_EPOCHS)]
    ):
        fit(model, folder / name, write(folder / f"{name}.jsonl", texts), epochs=epochs, seed=seed + number + 1)
    rows = [{"text": text, "group": f"run {i // GROUP}"} for i, text in enumerate(held_out)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = ShadowPlan(target=ModelSpec(path=str(model)), n_models=N_SHADOWS, epochs=SHADOW_EPOCHS, batch_size=32, seed=seed)
    train_shadows(plan, load_samples(DataSpec(path=str(file)), None), folder=folder / "shadows")
    config = AuditConfig.from_options(
        {
            "target": str(folder / "target"), "references": [str(folder / "reference")], "members": str(file),
            "shadows": str(folder / "shadows"), "fpr_targets": [0.01, 0.05], "include_text": True, "seed": seed,
        }
    )  # fmt: skip
    return scored(config, ModelSpec(path=str(folder / "retrained")), folder / "scores")


def scored(config: Any, retrained: Any, scores_folder: Path) -> Pool:
    """Score the pool as an audit does."""
    from auditor.choosing import needs_of
    from auditor.engine.passes import collect_signals
    from auditor.inputs import read_inputs
    from auditor.scores import score_samples
    from auditor.soundness import ModelFacts
    from auditor.tables import sample_table

    inputs = read_inputs(config)

    def collected(config: Any) -> Any:
        return collect_signals(
            config, sample_ids=inputs.data.ids, texts=inputs.data.texts, needs=needs_of(inputs.attacks, inputs.config),
            scores_folder=scores_folder, seen=inputs.seen,
        )  # fmt: skip

    ours, theirs = collected(inputs.config), collected(replace(inputs.config, target=retrained))
    scores, other = score_samples(inputs.attacks, ours), score_samples(inputs.attacks, theirs)
    facts = tuple(
        ModelFacts(weights_sha256=m.files.weights_sha256, stored_dtype=m.files.stored_dtype, dtype=m.key.dtype)
        for m in ours.models
    )
    return Pool(
        config=inputs.config, attacks=inputs.attacks, headline=inputs.headline.label,
        table=sample_table(inputs.config, inputs.data, ours, scores), text_keys=tuple(ours.plan.text_keys),
        unread=ours.plan.unread, aligned=ours.plan.aligned, facts=facts,
        retrained=other.attacks, retrained_bits=other.target_bits,
    )  # fmt: skip


def passage_groups(data: str) -> list[list[str]]:
    """Cut documents into passages, each text once, and these into runs of four of one document."""
    from power import cut

    from auditor.config import DataSpec
    from auditor.data import load_texts

    seen: set[str] = set()
    runs = []
    for document in load_texts(DataSpec(path=data))[0]:
        passages = [passage for passage in cut([document], n_words=WORDS) if passage not in seen]
        seen.update(passages)
        runs += [passages[i : i + GROUP] for i in range(0, len(passages) - GROUP + 1, GROUP)]
    return runs


def record_groups(rng: np.random.Generator) -> list[list[str]]:
    from auditor.demo import draw_records

    texts = [record.text for record in draw_records(2 * N_TRAINED + N_REFERENCE + N_POOL, rng)]
    return [texts[i : i + GROUP] for i in range(0, len(texts), GROUP)]


# --- one split: what an audit would say of it ------------------------------------------------------------------------

Outcome = tuple[str, str, str]
"""Row, attack (or nothing), and covered / below / above / undefined (the interval), or alarm / quiet."""


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
    """Every attack by itself, the verdict, and the choice among them."""
    from auditor.judging import attack_results
    from auditor.selection import select
    from auditor.stats.adjusted import length_strata, stratified_auc
    from auditor.stats.metrics import auc
    from reports.attacks import survives

    table = split.table
    results = attack_results(pool.attacks, pool.config, table, split.groups, None, split.rng)
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


def held(pool: Pool, split: Split) -> Iterator[Outcome]:
    """The bits of the dataset, and their tails."""
    from auditor.laws.capacity import BitsPerParameter
    from auditor.memorization import SampleBits, dataset_memorization
    from auditor.risk import TAIL_SHARES
    from auditor.stats.tails import tail_mean, tail_quantile

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


def against_retrained(pool: Pool, split: Split) -> Iterator[Outcome]:
    """The target beside a model trained on other texts: neither saw these."""
    from auditor.retraining import compare_with_retrained

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
    """The checks that need no further look at the texts; the reference of this pool saw neither side."""
    for check in _soundness(pool, split).checks:
        if check.name in ("reference_alone", "length"):
            yield alarm(f"check {check.name} not passed", "", check.verdict != "pass")


def _soundness(pool: Pool, split: Split, **more: Any) -> Any:
    from auditor.soundness import check_soundness

    table = split.table
    return check_soundness(
        is_member=split.is_member, groups=split.groups, n_bytes=table.n_bytes,
        text_keys=[pool.text_keys[i] for i in split.places], unread=pool.unread[:, split.places],
        reference_bits=table.reference_bits, signed_bits=table.signed_bits, target=pool.facts[0],
        references=pool.facts[1:], aligned=pool.aligned, fpr_targets=pool.config.fpr_targets, **more,
    )  # fmt: skip


def looks(pool: Pool, split: Split) -> Iterator[Outcome]:
    """What the texts alone tell, what is left of the attacks beyond that, and all checks together."""
    from auditor.blind import blind_baseline
    from auditor.overlap import check_overlap, find_overlap
    from auditor.stats.adjusted import residualised_auc

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
    extra = check_overlap(overlap, member, table.sample_id)
    sound = _soundness(pool, split, blind=blind, extra=extra)
    for check in sound.checks:
        if check.name == "blind_baseline":
            yield alarm("check blind_baseline not passed", "", check.verdict != "pass")
    yield alarm("any check vetoes", "", sound.verdict == "veto")


def together(pool: Pool, split: Split) -> Iterator[Outcome]:
    """All attacks together, and who is said to be at risk."""
    from auditor.combination import combine
    from auditor.rarity import text_rarity

    table, member, seed = split.table, split.is_member, pool.config.seed
    found = combine(
        table.scores, member, split.groups, fpr_targets=pool.config.fpr_targets, level=LEVEL, seed=seed
    ).result  # fmt: skip
    if found is not None:
        yield covers("AUC of the combination", "", found.auc, 0.5)
        yield covers("gain of the combination", "", found.gain, 0)
        for rate in found.tpr_at_fpr:
            if rate.value is not None:
                yield covers(f"TPR at FPR {rate.fpr:g} of the combination", "", rate, rate.fpr)
        yield alarm("combination: low end above one half", "", above(found.auc, 0.5))
        yield alarm("combination said to add something", "", above(found.gain, 0))
        yield alarm("combination said to be uncalibrated", "", not found.calibration.calibrated)
    rarity = text_rarity(lambda: [table.text], member)
    yield from _at_risk(pool, split, table.n_bytes, rarity, "as they are")
    mixed = split.rng.permutation(member.size)
    yield from _at_risk(pool, split, table.n_bytes[mixed], rarity[mixed], "shuffled")


def _at_risk(
    pool: Pool, split: Split, n_bytes: NDArray[np.int64], rarity: NDArray[np.float64], how: str
) -> Iterator[Outcome]:
    from auditor.risk import assess_risk

    table, member = split.table, split.is_member
    risk = assess_risk(
        table.scores[pool.headline], member, headline=pool.headline, clusters=split.groups,
        text_keys=[pool.text_keys[i] for i in split.places], units=table.group, n_bytes=n_bytes,
        n_copies=member.astype(np.int64), rarity=rarity, signed_bits=table.signed_bits, level=LEVEL,
        seed=pool.config.seed,
    ).result  # fmt: skip
    if how == "shuffled":
        for part in risk.breakdowns:
            if part.p_value is not None and part.by in ("length", "rarity"):
                plural = "lengths" if part.by == "length" else "rarities"
                yield alarm(f"risk differs by {part.by}, {plural} shuffled", "", part.p_value <= 1 - LEVEL)
        return
    yield alarm("posterior said to be uncalibrated", "", not risk.calibration.calibrated)
    p_values = [part.p_value for part in risk.breakdowns if part.p_value is not None]
    yield alarm("risk differs in any way", "", min(p_values, default=1.0) <= 1 - LEVEL)
    for part in risk.breakdowns:
        for i, group in enumerate(part.groups):
            if group.auc.value is not None and part.by in ("length", "rarity"):
                yield covers(f"AUC of a quarter of the members, by {part.by}", f"quarter {i + 1}", group.auc, 0.5)


# --- what is said of it ----------------------------------------------------------------------------------------------


def described(setting: Setting, counts: Mapping[Outcome, int], pool: Pool) -> dict[str, Any]:
    """Put the counts into the rows of a document, with coverage and false-alarm rates."""
    rows: dict[str, dict[str, Counter[str]]] = {}
    for (row, label, outcome), n in sorted(counts.items()):
        rows.setdefault(row, {}).setdefault(label, Counter())[outcome] += n
    return {
        "per_side": setting.per_side,
        "n_groups_per_side": setting.per_side // GROUP if setting.grouped else None,
        "rows": [_row(name, labels) for name, labels in rows.items()],
    }


def _row(name: str, labels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    nominal, good = (NOMINAL[name], "alarm") if name in NOMINAL else (LEVEL, "covered")
    level = 1 - 0.05 / len(labels)
    each = {}
    for label, outcomes in labels.items():
        k, n = outcomes.get(good, 0), sum(outcomes.values()) - outcomes.get("undefined", 0)
        if n:
            low, high = clopper_pearson(k, n, level)
            each[label] = {"n": n, "rate": k / n, "low": low, "high": high, "outcomes": dict(outcomes)}
    worst = (max if good == "alarm" else min)(each, key=lambda label: each[label]["rate"])
    mean = float(np.mean([one["rate"] for one in each.values()]))
    return {
        "name": name, "kind": "false alarms" if good == "alarm" else "coverage", "nominal": nominal, "mean": mean,
        "worst": worst, "verdict": _verdict(name, mean, each[worst], nominal), "each": each,
    }  # fmt: skip


def _verdict(name: str, mean: float, worst: Mapping[str, Any], nominal: float) -> str:
    """Judge the worst attack of a row by its interval, and the conservatism of all by their mean."""
    if name.endswith(CONTRAST):
        return "not judged"
    if name in NOMINAL:
        return "FAILS" if worst["low"] > nominal else "conservative" if worst["high"] < nominal else "ok"
    if worst["rate"] < nominal - LENIENCE and worst["high"] < nominal:
        return "FAILS"
    return "conservative" if mean > nominal + LENIENCE else "ok"


def render(document: Mapping[str, Any]) -> str:
    """Write the tables, two a setting, in Markdown."""
    parts = []
    for setting in document["settings"]:
        n_groups = setting["n_groups_per_side"]
        grouped = f" in {n_groups} groups of {GROUP} of one document" if n_groups else ""
        for kind, most in (("coverage", "lowest"), ("false alarms", "highest")):
            rows = [row for row in setting["rows"] if row["kind"] == kind]
            head = f"| {setting['per_side']} texts a side{grouped}: {kind} | nominal | splits | mean | {most} | verdict |"
            parts.append("\n".join([head, "|---|---|---|---|---|---|", *map(_line, rows)]))
    return "\n\n".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    worst = row["each"][row["worst"]]
    mean = f"{row['mean']:.1%}" if len(row["each"]) > 1 else ""
    who = f"{row['worst']} " if row["worst"] else ""
    span = f"{worst['rate']:.1%} ({worst['low']:.1%} to {worst['high']:.1%})"
    return f"| {row['name']} | {row['nominal']:.3g} | {worst['n']} | {mean} | {who}{span} | {row['verdict']} |"


if __name__ == "__main__":
    main()
