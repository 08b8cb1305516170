"""Null calibration: whether intervals hold and decisions stay quiet where there is no membership signal at all.

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
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from null_pool import CONTRAST, GROUP, LENIENCE, LEVEL, Outcome, make_pool
from null_splits import Setting, measure

from auditor.stats.intervals import clopper_pearson

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
    "members said to stand out beyond every non-member": 0.025,
    "members said to stand out by their bits": 0.025,
    "graded above none, by average or tail": 0.075,
    "best attack: low end above one half": 0.025,
    "retrained: any finding": 0.05,
    "check reference_alone not passed": 0.01,
    "check length not passed": 0.01,
    "combination: low end above one half": 0.025,
    "combination said to add something": 0.025,
    "combination said to be uncalibrated": 0.05,
    "posterior said to be uncalibrated": 0.05,
    "risk said to differ, properties shuffled": 0.05,
    "risk said to differ": 0.05,
    "check blind_baseline not passed": 0.01,
    "blind baseline p-value at .05": 0.05,
    "check of models and exact copies not passed": 0.0,
    f"check near_duplicates not passed {CONTRAST}": 0.01,
    f"check near_duplicates_within not passed {CONTRAST}": 0.01,
    f"check ngram_overlap not passed {CONTRAST}": 0.01,
    "any check vetoes": 0.01,
}
"""Most false alarms that each decision may give; a grade rests on three low ends, each at .025."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="documents, as `auditor audit` takes texts; cut into passages")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--work", type=Path, help="keeps models and scores for the next run")
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--slow-splits", type=int, default=400, help="of combination, risk, looks; not in groups")
    parser.add_argument("--grouped-splits", type=int, default=500)
    parser.add_argument("--per-side", type=int, default=200)
    parser.add_argument("--small-side", type=int, default=50)
    parser.add_argument("--scale", type=float, default=1.0, help="of texts and epochs; below 1 only a trial")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for document in run(args):
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(render(document))


def run(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Make the pool, draw the splits, and describe what came of them: one setting more each time."""
    with tempfile.TemporaryDirectory() as scratch:
        pool = make_pool(args.work or Path(scratch), args.data, seed=args.seed, scale=args.scale)
    attacks = list(pool.table.scores)
    print(f"{pool.size:,} texts scored with {len(attacks)} attacks", file=sys.stderr, flush=True)
    sizes = [(args.per_side, False), (args.small_side, False), (args.per_side, True)]
    found = []
    for number, (per_side, grouped) in enumerate(sizes):
        setting = Setting(number=number, per_side=per_side, grouped=grouped, seed=args.seed)
        counts: Counter[Outcome] = Counter()
        n_cheap, n_slow = (args.grouped_splits, 0) if grouped else (args.splits, args.slow_splits)
        for slow, n_splits in ((False, n_cheap), (True, n_slow)):
            chunks = [range(first, min(first + 10, n_splits)) for first in range(0, n_splits, 10)]
            with ProcessPoolExecutor(args.workers) as workers:
                for part in workers.map(partial(measure, pool, setting, slow), chunks):
                    counts.update(part)
        found.append(described(counts, per_side=per_side, n_groups=per_side // GROUP if grouped else None))
        yield {"n_pool": pool.size, "attacks": attacks, "settings": found}


def described(counts: Mapping[Outcome, int], *, per_side: int, n_groups: int | None) -> dict[str, Any]:
    """Put the counts into the rows of a document, with coverage and false-alarm rates."""
    rows: dict[str, dict[str, Counter[str]]] = {}
    for (row, label, outcome), n in counts.items():
        rows.setdefault(row, {}).setdefault(label, Counter())[outcome] += n
    told = {name: labels for name, labels in rows.items() if set().union(*labels.values()) - {"undefined"}}
    return {"per_side": per_side, "n_groups_per_side": n_groups, "rows": [_row(*row) for row in told.items()]}


def _row(name: str, labels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    nominal, good = (NOMINAL[name], "alarm") if name in NOMINAL else (LEVEL, "covered")
    each: dict[str, dict[str, Any]] = {}
    for label, outcomes in labels.items():
        k, n = outcomes.get(good, 0), sum(outcomes.values()) - outcomes.get("undefined", 0)
        if n:
            low, high = clopper_pearson(k, n, 1 - 0.05 / len(labels))
            ends = {"rate": round(k / n, 4), "low": round(low, 4), "high": round(high, 4)}
            each[label] = {"n": n, **ends, "outcomes": dict(outcomes)}
    worst = sorted(each, key=lambda label: float(each[label]["rate"]), reverse=good == "alarm")[0]
    mean = round(float(np.mean([one["rate"] for one in each.values()])), 4)
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
            title = f"{setting['per_side']} texts a side{grouped}: {kind}"
            head = f"| {title} | nominal | splits | mean | {most} | verdict |"
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
