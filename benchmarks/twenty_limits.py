"""Twenty limits at once: how often a policy fails a model that sits exactly at all of them, with few groups a side.

    python benchmarks/twenty_limits.py --out docs/data/twenty-limits.json

Twenty figures of one kind, each with its gate exactly at the true value, are judged as `auditor gate` does, with Holm's
correction; a failure of any is wrong and may come in 2.5% of the policies. 4, 6 and 10 groups a side hold five texts
each; half of the variance is between groups. Kinds: net bits (normal values), net bits where 5% of the members hold 20
more, and the AUC of an attack (.75 in truth). Takes some eight minutes.
"""

import argparse
import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
from scipy import stats

from auditor.documents.estimate import Estimate
from auditor.documents.figures import catalogue
from auditor.gates.judge import judge
from auditor.gates.policy import Gate, Policy
from auditor.gates.subject import Judged
from auditor.stats.intervals import clopper_pearson, mean_difference
from auditor.stats.metrics import auc

LEVEL, N_LIMITS, SIZE = 0.95, 20, 5
GROUPS = (4, 6, 10)
AUC = 0.75
KINDS = ("bits", "bits of few", "auc")
SHARE, HELD = 0.05, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=1000, help="policies a case")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for kind in KINDS:
        for n_groups in GROUPS:
            failed = n_failed(kind, n_groups, args.runs, np.random.default_rng([args.seed, n_groups]))
            low, high = clopper_pearson(failed, args.runs, 0.95)
            rows.append({"kind": kind, "groups": n_groups, "failed": failed / args.runs, "low": low, "high": high})
            print(
                f"{kind:12} {n_groups:3} groups a side: {failed / args.runs:.1%} fail [{low:.1%} to {high:.1%}]",
                flush=True,
            )
    if args.out:
        document = {
            "kind": "twenty-limits",
            "schema_version": "1.0",
            "runs": args.runs,
            "seed": args.seed,
            "cases": rows,
        }
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def n_failed(kind: str, n_groups: int, runs: int, rng: np.random.Generator) -> int:
    """Judge so many models at their limits; return how many a gate fails."""
    paths = [f"figures.{i}" for i in range(N_LIMITS)]
    limit = {"bits": 0.0, "bits of few": SHARE * HELD, "auc": AUC}[kind]
    policy = Policy(gates=tuple(Gate(name=path, metric=path, max=limit) for path in paths))
    failed = 0
    for _ in range(runs):
        found = {path: catalogue({"a": asdict(figure(kind, n_groups, rng))})["a"][0] for path in paths}
        judged = Judged(
            path="", sha256="", kind="audit", subject="", soundness="pass", vetoes=(), doubts=(), missing={},
            figures={path: (replace(one, path=path),) for path, one in found.items()},
        )  # fmt: skip
        failed += any(gate.outcome == "fail" for gate in judge(policy, judged, today=date(2026, 1, 1)).gates)
    return failed


def figure(kind: str, n_groups: int, rng: np.random.Generator) -> Estimate:
    """Draw one figure of texts in groups."""
    owner = np.repeat(np.arange(2 * n_groups), SIZE)
    is_member, named = owner < n_groups, [str(i) for i in owner]
    values = rng.normal(size=2 * n_groups)[owner] + rng.normal(size=owner.size)
    if kind == "auc":
        return auc(values + 2 * stats.norm.ppf(AUC) * is_member, is_member, level=LEVEL, groups=named)
    if kind == "bits of few":
        values = values + HELD * (is_member & (rng.random(owner.size) < SHARE))
    n = int(is_member.sum())
    return mean_difference(values[is_member], values[~is_member], level=LEVEL, groups_x=named[:n], groups_y=named[n:])


if __name__ == "__main__":
    main()
