"""Few members who hold everything: how often an audit says so, and how often it does where nobody holds anything.

    python benchmarks/few_hold_everything.py --out docs/data/few-hold-everything.json

Bits are the attack's scores, too. Null: both sides are of one law (noise, Student's t with 3 degrees of freedom,
lognormal, skewed to the left, noise where 5% lose 100 bits), alone and in clusters of 1, 1, 2 and 4 texts that are
wholly alike. Power: 1, 2 or 6% of the members hold 20 or 100 bits over noise of 3. What is said, by the code of an
audit: the AUC is above one half, bits are held (debiased and net), members stand out beyond every non-member and above
the threshold of bits (low ends of at least 1), the signal is strong. Where nobody holds anything each but the last may
be said in 2.5% of the audits. Takes some minutes; with 1,000 audits a case, some more.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from means_grid import LAWS, LEVEL, Draw, cluster_sizes, holders, noise

from auditor.documents.estimate import Estimate
from auditor.estimates.grade import grade_signal
from auditor.estimates.risk import count_stand_out
from auditor.stats.intervals import mean_difference
from auditor.stats.metrics import auc

NULLS: dict[str, Draw] = {
    "noise": noise,
    "t3": lambda rng, shape: 3 * rng.standard_t(3, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape),
    "left-skewed": LAWS["left-skewed"].members,
    "5% lose 100": LAWS["5% lose 100"].members,
}
"""One law on both sides."""
POWER: dict[str, Draw] = {
    f"{share:.0%} hold {size}": holders(share, size).members for share in (0.01, 0.02, 0.06) for size in (20, 100)
}
SIZES = ((100, 100), (500, 500), (2000, 2000), (100, 2000), (2000, 100))
SAID = ("AUC", "debiased", "net", "beyond every non-member", "above the threshold of bits", "strong")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=400, help="audits a case")
    parser.add_argument("--largest", type=int, default=2000, help="leave out cases with more texts on a side")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{'law':14} {'texts':>10} {'clusters':>8} {' '.join(f'{one[:14]:>14}' for one in SAID)}")
    rows = []
    for n in (n for n in SIZES if max(n) <= args.largest):
        for name, is_null in [(name, True) for name in NULLS] + [(name, False) for name in POWER]:
            for clustered in (False, True) if is_null and max(n) <= 500 else (False,):
                row = case_row(name, n, clustered, args.runs, np.random.default_rng([args.seed, len(rows)]))
                rows.append(row)
                shares = " ".join(f"{row[one]:14.3f}" for one in SAID)
                print(f"{name:14} {n[0]:5}+{n[1]:<4} {clustered!s:>8} {shares}", flush=True)
    if args.out:
        document = {
            "kind": "few-hold-everything",
            "schema_version": "1.0",
            "level": LEVEL,
            "runs": args.runs,
            "seed": args.seed,
            "cases": rows,
        }
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def case_row(name: str, n: tuple[int, int], clustered: bool, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Say of which share of simulated audits each thing is said."""
    is_null = name in NULLS
    members, others = (NULLS[name], NULLS[name]) if is_null else (POWER[name], noise)
    sizes = [cluster_sizes(side, clustered) for side in n]
    said = [
        list(
            told(
                np.repeat(members(rng, (ours.size,)), ours), np.repeat(others(rng, (theirs.size,)), theirs), sizes=sizes
            )
        )
        for ours, theirs in [sizes] * runs
    ]
    case = {"law": name, "null": is_null, "n_members": n[0], "n_non_members": n[1], "clusters": clustered, "runs": runs}
    return case | dict(zip(SAID, np.mean(said, axis=0).tolist(), strict=True))


def told(members: np.ndarray, others: np.ndarray, *, sizes: list[np.ndarray]) -> Iterator[bool]:
    """Audit bits of both sides; tell for each of ``SAID`` whether it is said."""
    bits, is_member = np.concatenate([members, others]), np.arange(members.size + others.size) < members.size
    every = np.concatenate(sizes)
    groups = [str(i) for i in np.repeat(np.arange(every.size), every)] if every.max() > 1 else None
    ours, theirs = (None, None) if groups is None else (groups[: members.size], groups[members.size :])
    area = auc(bits, is_member, level=LEVEL, groups=groups)
    debiased, net = (
        mean_difference(*sides, level=LEVEL, groups_x=ours, groups_y=theirs)
        for sides in ((np.maximum(members, 0), np.maximum(others, 0)), (members, others))
    )
    counted = count_stand_out(bits, is_member, signed_bits=bits, clusters=groups, fpr_targets=(), level=LEVEL)
    attack, risk = SimpleNamespace(auc=area, inverted=False), SimpleNamespace(stand_out=counted)
    graded = grade_signal(attack, risk, soundness=None)  # type: ignore[arg-type]  # they read no more than this
    yield above(area, 0.5)
    yield from (above(one, 0.0) for one in (debiased, net))
    yield above(counted.n_beyond_every_non_member, 0.0)
    yield counted.n_above_bits is not None and above(counted.n_above_bits, 0.0)
    yield graded is not None and graded.overall in ("strong", "near-perfect")


def above(estimate: Estimate, least: float) -> bool:
    return estimate.low is not None and estimate.low > least


if __name__ == "__main__":
    main()
