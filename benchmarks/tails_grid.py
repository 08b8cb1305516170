"""Tails and counts of members who stand out: how often each interval misses, alone and in few groups.

    python benchmarks/tails_grid.py --out docs/data/tails-grid.json

Tails: normal bits, half of whose variance is shared by a document; an interval must hold the true mean or quantile in
93% of samples, or not be given, which says why. Standing out: 20 of 400 members are memorized; the low end of a count
must not exceed the number of memorized ones among those counted, and the count at a false-positive rate must hold the
number beyond the true threshold, each but for 2.5% of samples. Takes some three minutes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from auditor.documents.estimate import Estimate
from auditor.stats.standing_out import n_beyond, n_identified
from auditor.stats.tails import tail_mean, tail_quantile

LEVEL = 0.95
GROUPS = {"8 of 25": [25] * 8, "20 of 10": [10] * 20, "50 of 4": [4] * 50, "100 of 4": [4] * 100, "alone": [1] * 500}
SHARES = (0.01, 0.05, 0.1)
THRESHOLD, FPR = 2.5, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=1000, help="samples a cell")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, sizes in GROUPS.items():
        rng = np.random.default_rng([args.seed, len(rows)])
        rows += [*tail_rows(name, sizes, args.runs, rng), *count_rows(name, sizes, args.runs, rng)]
    print(f"{'groups':10} {'figure':34} {'given':>6} {'above':>6} {'below':>6}")
    for row in rows:
        said = f"{row['above']:6.3f} {row['below']:6.3f}" if row["given"] else row["reason"]
        print(f"{row['groups']:10} {row['figure']:34} {row['given']:6.2f} {said}")
    if args.out:
        document = {
            "kind": "tails-grid",
            "schema_version": "1.0",
            "level": LEVEL,
            "runs": args.runs,
            "seed": args.seed,
            "cells": rows,
        }
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def draw(owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw normal bits of variance 1, half of it shared by the texts of a document."""
    shared = rng.normal(size=owner.max() + 1)[owner]
    return np.sqrt(0.5) * (shared + rng.normal(size=owner.size))


def tail_rows(name: str, sizes: list[int], runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return a row a share and figure; truths are those of a normal distribution."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rows = []
    for share in SHARES:
        quantile = float(stats.norm.isf(share))
        truths = {"mean": float(stats.norm.pdf(quantile)) / share, "quantile": quantile}
        for figure, measure in (("mean", tail_mean), ("quantile", tail_quantile)):
            found = [measure(draw(owner, rng), share, level=LEVEL, groups=owner) for _ in range(runs)]
            rows.append(row(name, f"{figure} of the worst {share:.0%}", found, [truths[figure]] * runs))
    return rows


def count_rows(name: str, sizes: list[int], runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return a row a count of members who stand out; a twentieth of their groups is memorized."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    held = owner < len(sizes) / 20
    found: dict[str, tuple[list[Estimate], list[float]]] = {}

    def take(figure: str, estimate: Estimate, truth: float) -> None:
        estimates, truths = found.setdefault(figure, ([], []))
        estimates.append(estimate)
        truths.append(float(truth))

    for _ in range(runs):
        members, others = draw(owner, rng) + 3 * held, draw(owner, rng)
        for figure, threshold in (("above the highest non-member", None), ("above a fixed threshold", THRESHOLD)):
            limit = others.max() if threshold is None else threshold
            one = n_beyond(
                members, others, threshold=threshold, level=LEVEL, groups_members=owner, groups_non_members=owner
            )
            take(figure, one, (members[held] > limit).sum())
        one = n_identified(members, others, fpr=FPR, level=LEVEL, groups_non_members=owner)
        take(f"identified at an FPR of {FPR:.0%}", one, (members > stats.norm.isf(FPR)).sum())
    return [row(name, figure, *both) for figure, both in found.items()]


def row(name: str, figure: str, found: list[Estimate], truths: list[float]) -> dict[str, Any]:
    """Count how often the truth lies above and below the intervals that are given."""
    given = [(e.low, e.high, truth) for e, truth in zip(found, truths, strict=True) if e.low is not None]
    low, high, truth = np.array(given, dtype=np.float64).reshape(-1, 3).T
    return {
        "groups": name,
        "figure": figure,
        "given": len(given) / len(found),
        "above": float((truth > high).mean()) if given else None,
        "below": float((truth < low).mean()) if given else None,
        "reason": next((e.undefined_reason for e in found if e.low is None), None),
    }


if __name__ == "__main__":
    main()
