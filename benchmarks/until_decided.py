"""Stopping when decided: how early a gate on the AUC may stop, and the false alarms of looking after every batch.

    python benchmarks/until_decided.py --out docs/data/until-decided.json

Audits of 1,000 members and 1,000 non-members with a gate "AUC at most 0.6", looked at after every 16 texts, are
simulated at several true AUCs, with Gaussian scores and with scores of four values only (heavy ties). Beside the
confidence sequence stand disjoint pairs (the same bets without averaging over pairings) and the naive rule that takes
the usual interval at each look. A false alarm is a FAIL at a true AUC of exactly 0.6. Takes some ten minutes on a core.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from auditor.documents.estimate import Estimate
from auditor.stats.intervals import clopper_pearson
from auditor.stats.metrics import auc as usual_auc
from auditor.stats.sequential import (
    AucSequence,
    MeanSequence,
    TprSequence,
    asymptotic_difference,
)

N_SIDE, HALF_BATCH, LEVEL, LIMIT = 1000, 8, 0.95, 0.6
N_LOOKS = N_SIDE // HALF_BATCH
THRESHOLD = math.log(2 / (1 - LEVEL))
CUTS = np.array([-0.3, 0.8, 1.6])
IS_MEMBER = np.tile(np.arange(2 * HALF_BATCH) < HALF_BATCH, N_LOOKS)
FPR = 0.05
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=2000, help="simulated audits a setting")
    parser.add_argument("--naive-runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    gates = []
    print(f"{'scores':9} {'AUC':>5} {'pass':>6} {'fail':>6} {'used':>6} {'90 %':>6} {'pairs':>6} {'covered':>8}")
    for kind in ("gaussian", "ties"):
        for area in (0.5, 0.55, LIMIT, 0.65, 0.8, 0.95):
            gates.append(gate(kind, area, args.runs, np.random.default_rng([args.seed, len(gates)])))
            row = gates[-1]
            print(
                f"{kind:9} {area:5.2f} {row['pass']:6.3f} {row['fail']:6.3f} {row['median_share']:6.3f} "
                f"{row['share_90']:6.3f} {row['median_share_disjoint_pairs']:6.3f} {row['coverage_at_all_looks']:8.4f}",
                flush=True,
            )
    print("\nfalse alarms at AUC = 0.6, looking after every 16 texts (nominal: fail 0.025, either 0.05)")
    naive = [naive_gate(kind, args.naive_runs, np.random.default_rng([args.seed, 99])) for kind in ("gaussian", "ties")]
    for row in [*(row for row in gates if row["auc"] == LIMIT), *naive]:
        low, high = row["fail_interval"]
        name = f"{row['rule']}, {row['scores']}"
        print(f"{name:32} fail {row['fail']:.4f} [{low:.4f}, {high:.4f}]  either {row['fail'] + row['pass']:.4f}")
    print("\nat least one interval of an audit misses (nominal 0.05)")
    others = other_sequences(args.naive_runs, np.random.default_rng([args.seed, 100]))
    for row in others:
        low, high = row["missed_interval"]
        print(f"{row['sequence']:32} {row['missed']:.4f} [{low:.4f}, {high:.4f}]")
    if args.out:
        document = {
            "kind": "until-decided",
            "schema_version": "1.0",
            "n_members": N_SIDE,
            "n_non_members": N_SIDE,
            "texts_per_look": 2 * HALF_BATCH,
            "level": LEVEL,
            "limit_auc": LIMIT,
            "runs": args.runs,
            "naive_runs": args.naive_runs,
            "seed": args.seed,
            "gates": gates,
            "naive": naive,
            "other_sequences": others,
        }
        args.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def gate(kind: str, area: float, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Simulate audits at one true AUC, each stopped at its first decision."""
    draw = scores_of(kind, area)
    outcomes, shares, pair_shares, n_covered = [], [], [], 0
    for _ in range(runs):
        members, non_members = draw(rng, N_SIDE)
        sequence = AucSequence(level=LEVEL, block=(HALF_BATCH, HALF_BATCH))
        sequence.update(in_batches(members, non_members), IS_MEMBER)
        outcome, look = first_decision(*sequence.log_evidence(LIMIT))
        outcomes.append(outcome)
        shares.append(look / N_LOOKS)
        n_covered += max(path.max() for path in sequence.log_evidence(area)) < THRESHOLD
        pairs = MeanSequence(level=LEVEL)
        pairs.update((members > non_members) + 0.5 * (members == non_members))
        pair_shares.append(first_decision(*pairs.log_evidence(LIMIT))[1] / N_SIDE)
    n_failed = outcomes.count("fail")
    return {
        "rule": "confidence sequence",
        "scores": kind,
        "auc": area,
        "pass": outcomes.count("pass") / runs,
        "fail": n_failed / runs,
        "fail_interval": clopper_pearson(n_failed, runs, 0.95),
        "undecided": outcomes.count("undecided") / runs,
        "median_share": float(np.median(shares)),
        "share_90": float(np.quantile(shares, 0.9)),
        "median_share_disjoint_pairs": float(np.median(pair_shares)),
        "coverage_at_all_looks": n_covered / runs,
        "coverage_interval": clopper_pearson(n_covered, runs, 0.95),
    }


def first_decision(above: np.ndarray, below: np.ndarray) -> tuple[str, int]:
    """Return the first decision of the gate and the number of looks it took; all looks if there is none."""
    crossed = [int(np.argmax(path >= THRESHOLD)) if path.max() >= THRESHOLD else path.size for path in (above, below)]
    if min(crossed) == above.size:
        return "undecided", above.size
    return ("fail" if crossed[0] < crossed[1] else "pass"), min(crossed) + 1


def naive_gate(kind: str, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Take the usual interval (DeLong, logit) at each look as if it were the only one."""
    draw, outcomes = scores_of(kind, LIMIT), []
    for _ in range(runs):
        members, non_members = draw(rng, N_SIDE)
        outcome = "undecided"
        for n in range(2 * HALF_BATCH, N_SIDE + 1, HALF_BATCH):
            seen = np.concatenate([members[:n], non_members[:n]])
            estimate = usual_auc(seen, np.arange(2 * n) < n, level=LEVEL)
            if misses(estimate, LIMIT):
                outcome = "fail" if estimate.low > LIMIT else "pass"
                break
        outcomes.append(outcome)
    n_failed = outcomes.count("fail")
    return {
        "rule": "usual interval at each look",
        "scores": kind,
        "auc": LIMIT,
        "pass": outcomes.count("pass") / runs,
        "fail": n_failed / runs,
        "fail_interval": clopper_pearson(n_failed, runs, 0.95),
    }


def other_sequences(runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count audits in which an interval for a TPR, a rate, or a difference of mean bits ever misses.

    Bits are clipped at 0; ``held by few`` means that one member in twenty holds 100 bits and the others none.
    """
    shift = 1.0
    true_tpr = float(stats.norm.sf(stats.norm.isf(FPR) - shift))
    missed: dict[str, int] = {}

    def count(name: str, did_miss: bool) -> None:
        missed[name] = missed.get(name, 0) + did_miss

    for _ in range(runs):
        scores = in_batches(rng.normal(shift, 1, N_SIDE), rng.normal(0, 1, N_SIDE))
        tpr = TprSequence(fpr=FPR, level=LEVEL)
        for start in range(0, scores.size, 80):
            tpr.update(scores[start : start + 80], IS_MEMBER[start : start + 80])
        count(f"TPR at {FPR:.0%} FPR", misses(tpr.estimate(), true_tpr))
        rate = MeanSequence(level=LEVEL)
        rate.update(rng.random(N_SIDE) < 0.02)
        count("rate of 2 %", max(path.max() for path in rate.log_evidence(0.02)) >= THRESHOLD)
        noise_x, noise_y = np.maximum(rng.normal(0, 4, N_SIDE), 0), np.maximum(rng.normal(0, 4, N_SIDE), 0)
        shifted = np.maximum(rng.normal(3, 4, N_SIDE), 0)
        gain = 3 * stats.norm.cdf(0.75) + 4 * (stats.norm.pdf(0.75) - stats.norm.pdf(0))
        count("bits, asymptotic", misses_bits(shifted, noise_y, float(gain)))
        few = 100 * (rng.random(N_SIDE) < 0.05)
        count("bits held by few, asymptotic", misses_bits(noise_x + few, noise_y, 5.0))
    return [
        {"sequence": name, "missed": n / runs, "missed_interval": clopper_pearson(n, runs, 0.95)}
        for name, n in missed.items()
    ]


def misses_bits(members: np.ndarray, non_members: np.ndarray, true: float) -> bool:
    """Whether the interval of the debiased bits misses at any look."""
    looks = range(HALF_BATCH, N_SIDE + 1, HALF_BATCH)
    return any(misses(asymptotic_difference(members[:n], non_members[:n], level=LEVEL), true) for n in looks)


def misses(estimate: Estimate, true: float) -> bool:
    """Whether an interval does not hold the truth; an empty one does not, one that cannot be given yet does."""
    if estimate.low is None or estimate.high is None:
        return "empty" in (estimate.undefined_reason or "")
    return not estimate.low <= true <= estimate.high


def scores_of(kind: str, area: float) -> Draw:
    """Return a way to draw scores of members and non-members with an AUC of exactly ``area``."""
    if kind == "gaussian":
        shift = math.sqrt(2) * float(stats.norm.ppf(area))
        return lambda rng, n: (rng.normal(shift, 1, n), rng.normal(0, 1, n))
    shift = float(optimize.brentq(lambda s: binned_auc(s) - area, -0.5, 12, xtol=1e-12))
    return lambda rng, n: tuple(np.digitize(rng.normal(s, 1, n), CUTS).astype(float) for s in (shift, 0.0))


def binned_auc(shift: float) -> float:
    """AUC of Gaussian scores, ``shift`` apart, of which only the bin is known."""
    edges = np.concatenate([[-np.inf], CUTS, [np.inf]])
    members, non_members = np.diff(stats.norm.cdf(edges - shift)), np.diff(stats.norm.cdf(edges))
    return float(members @ (np.cumsum(non_members) - non_members / 2))


def in_batches(members: np.ndarray, non_members: np.ndarray) -> np.ndarray:
    """Deal both sides into batches of 8 and 8."""
    return np.hstack([members.reshape(-1, HALF_BATCH), non_members.reshape(-1, HALF_BATCH)]).ravel()


if __name__ == "__main__":
    main()
