"""Early stopping on bits: how often a gate at its limit passes, and fails, where few members may hold everything.

    python benchmarks/bits_until_decided.py --out docs/data/bits-until-decided.json

The laws are those of `benchmarks/means_grid.py`, with 50, 100 and 300 texts a side and with 1:20 either way; four of
them, of few that hold or lose much and of bits skewed either way, also with 600, 1,500 and 2,000. Clusters need no
cases of their own: of each one text is scored. Each audit goes through what the command does: the gates of a policy
become topics and questions, texts come in random order in the same parts, and every question is looked at until it is
decided, with texts of 64 tokens from a vocabulary of 50,000 (1,000 bits at most). One gate sits exactly at the true
figure, where a pass and a fail are both wrong, and may each come in 2.5% of the audits; holders too rare to be in so
many texts are left out of the truth as in `means_grid.py`. Another gate lies 20 bits above the figure, or above 0, and
says in a thirtieth of the audits how early it passes. Takes some ten minutes on two cores.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from auditor.auditing.until_decided import parts_of
from auditor.estimates.scores import SampleScores
from auditor.gates.policy import parse_policy
from auditor.gates.sequential import BITS, Question, topics_of
from auditor.stats.intervals import clopper_pearson
from auditor.stats.reach import unseen_below
from auditor.stats.sequential import block_sizes, level_per_gate, scoring_order

sys.path.insert(0, str(Path(__file__).parent))
from means_grid import CAP, LAWS, LEVEL, truths

ALLOWED = (1 - LEVEL) / 2
SIZES = ((50, 50), (100, 100), (300, 300), (50, 1000), (1000, 50))
OTHERS = ((600, 600), (1500, 1500), (2000, 2000))
FAR_EVERY = 30
"""Audits of which one is also held against a limit far above its figure."""
OF_OTHERS = ("2% hold 100", "lognormal", "left-skewed", "5% lose 100")
FIGURES = dict(zip(BITS, ("debiased", "net"), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=300, help="audits a case")
    parser.add_argument("--largest", type=int, default=2000, help="leave out cases with more texts on a side")
    parser.add_argument("--laws", nargs="*", choices=LAWS, default=list(LAWS), metavar="LAW")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cases = [
        (name, n, args.runs, [args.seed, i, j])
        for i, name in enumerate(args.laws)
        for j, n in enumerate((*SIZES, *OTHERS))
        if max(n) <= args.largest and (n in SIZES or name in OF_OTHERS)
    ]
    print(f"{'law':26} {'texts':>12} {'figure':>9} {'pass':>6} {'fail':>6} {'early':>6}   far above: pass, texts used")
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(args.workers) as pool:
        for found in pool.map(case_rows, *zip(*cases, strict=True)):
            rows += found
            for row in found:
                texts = f"{row['n_members']}+{row['n_non_members']}"
                print(
                    f"{row['law']:26} {texts:>12} {row['figure']:>9} {row['pass']:6.3f} {row['fail']:6.3f} "
                    f"{row['decided_early']:6.3f}   {row['far_pass']:.2f} {row['far_share']:.2f}",
                    flush=True,
                )
            if args.out:
                args.out.write_text(json.dumps(document_of(rows, args), indent=1) + "\n", encoding="utf-8")
    summary = document_of(rows, args)["summary"]
    print(f"\npromised laws, {summary['cases']} cases of {args.runs} audits: {summary['said']}")


def document_of(rows: list[dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """Return the file, of the cases so far: a run that is stopped has lost no case."""
    return {
        "kind": "bits-until-decided",
        "schema_version": "1.0",
        "level": LEVEL,
        "cap_bits": CAP,
        "runs": args.runs,
        "seed": args.seed,
        "summary": summed_up([row for row in rows if row["promised"]], args.runs),
        "cases": rows,
    }


def case_rows(name: str, n: tuple[int, int], runs: int, seed: list[int]) -> list[dict[str, Any]]:
    """Simulate the audits of a law and a size; return a row a figure."""
    law, rng = LAWS[name], np.random.default_rng(seed)
    truth = truths(law.members, law)
    rare = law.share is not None and law.share < unseen_below(np.arange(n[0]), LEVEL)
    seen = truths(law.without, law) if rare else truth
    outcomes: dict[str, list[tuple[str, float]]] = {}
    for i in range(runs):
        bits = np.concatenate([law.members(rng, (n[0],)), law.non_members(rng, (n[1],))])
        for leaf, figure in FIGURES.items():
            least, most = sorted((truth[figure], seen[figure]))
            found = {"pass": decided(bits, n, leaf, least, rng)}
            found["fail"] = found["pass"] if least == most else decided(bits, n, leaf, most, rng)
            if i % FAR_EVERY == 0:
                found["far"] = decided(bits, n, leaf, max(truth[figure], 0) + CAP / 50, rng)
            for gate, one in found.items():
                outcomes.setdefault(f"{gate} {leaf}", []).append(one)
    return [row_of(name, law.promised, n, rare, leaf, outcomes) for leaf in FIGURES]


def decided(
    bits: np.ndarray, n: tuple[int, int], leaf: str, limit: float, rng: np.random.Generator
) -> tuple[str, float]:
    """Run an audit with one gate until it is decided; return the decision and the share of the texts used."""
    policy = parse_policy(
        f'version = 1\n[[gate]]\nname = "g"\nmetric = "memorization.{leaf}"\nmax = {float(limit)!r}\n', "p"
    )
    (topic,), _ = topics_of(policy, [], headline="loss", has_reference=True)
    block = block_sizes(*n)
    question = Question(topic=topic, level=level_per_gate(LEVEL, 1), block=block, cap=CAP)
    is_member = np.arange(sum(n)) < n[0]
    order = scoring_order(is_member, rng=rng)
    for places in parts_of(order.size, sum(block)):
        own = order[places]
        target = np.zeros(own.size)
        scores = SampleScores(target_bits=target, reference_bits=bits[own], each_reference_bits=None, attacks={})
        question.look(scores, is_member[own], last=places.stop == order.size)
        if question.decision != "undecided":
            break
    return question.decision, places.stop / order.size


def row_of(
    name: str, promised: bool, n: tuple[int, int], rare: bool, leaf: str, outcomes: dict[str, list[tuple[str, float]]]
) -> dict[str, Any]:
    def share(gate: str, decision: str) -> float:
        return float(np.mean([found == decision for found, _ in outcomes[f"{gate} {leaf}"]]))

    at_limit = outcomes[f"pass {leaf}"]
    return {
        "law": name,
        "promised": promised,
        "n_members": n[0],
        "n_non_members": n[1],
        "figure": FIGURES[leaf],
        "too_rare": rare,
        "pass": share("pass", "pass"),
        "fail": share("fail", "fail"),
        "decided_early": float(np.mean([used < 1 for _, used in at_limit])),
        "far_pass": share("far", "pass"),
        "far_share": float(np.median([used for _, used in outcomes[f"far {leaf}"]])),
    }


def summed_up(rows: list[dict[str, Any]], runs: int) -> dict[str, Any]:
    """Pool the cases, and count those beyond what is allowed by more than chance for all of them together."""
    most = int(stats.binom.isf(0.05 / max(2 * len(rows), 1), runs, ALLOWED))
    found: dict[str, Any] = {"cases": len(rows), "most_by_chance": most / runs}
    said = []
    for wrong in ("pass", "fail"):
        rates = [row[wrong] for row in rows] or [0.0]
        n_wrong = round(sum(rates) * runs)
        low, high = clopper_pearson(n_wrong, max(len(rows), 1) * runs, 0.95)
        found[wrong] = {
            "mean": float(np.mean(rates)),
            "mean_interval": [low, high],
            "worst": max(rates),
            "cases_above_allowed": sum(rate > ALLOWED for rate in rates),
            "cases_beyond_chance": sum(rate > most / runs for rate in rates),
        }
        said.append(f"{wrong} {np.mean(rates):.2%} on average, {max(rates):.1%} at worst")
    return found | {"said": f"{'; '.join(said)} (up to {most / runs:.1%} is chance)"}


if __name__ == "__main__":
    main()
