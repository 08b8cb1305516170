"""Bounds on epsilon of several tools on the same coins and scores, of mechanisms whose epsilon is known.

    python benchmarks/epsilon_peers.py --out docs/data/epsilon-peers.json

Coins are independent and fair. The scores are those of randomised response: with probability e^eps / (1 + e^eps) an
answer is the coin, and its score is the answer's sign times the absolute value of a standard normal number. A tool's
function is called as its documentation calls it; a tool that is not installed is left out and said so. An alarm is a
bound above the truth: at 95% confidence one run of twenty may have one.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.estimates.epsilon import GUESS_SHARE, Coined, n_guesses, surest_first
from auditor.stats.epsilon import betting_epsilon, epsilon_lower_bound
from auditor.stats.intervals import clopper_pearson

DELTA, LEVEL = 1e-5, 0.95
SLACK = 1e-6


class Guessed(NamedTuple):
    """Scores of canaries with their coins, and the surest fifth of the guesses counted."""

    scores: NDArray[np.float64]
    is_in: NDArray[np.bool_]
    n_guesses: int
    n_correct: int

    @property
    def inside(self) -> NDArray[np.float64]:
        """Scores of the canaries that are in."""
        return self.scores[self.is_in]

    @property
    def outside(self) -> NDArray[np.float64]:
        """Scores of the canaries that were left out."""
        return self.scores[~self.is_in]


Bound = Callable[[Guessed], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--runs", type=int, default=500, help="of each setting")
    parser.add_argument("--coins", type=int, default=200)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.0, 1.0])
    args = parser.parse_args()
    tools, missing = installed()
    document: dict[str, Any] = {
        "delta": DELTA, "level": LEVEL, "coins": args.coins, "runs": args.runs, "missing": missing, "rows": [],
        "stated": stated(),
    }  # fmt: skip
    for epsilon in args.epsilons:
        bounds: dict[str, list[float]] = {name: [] for name in tools}
        rng = np.random.default_rng(int(1000 * epsilon))
        for _ in range(args.runs):
            guessed = answered(args.coins, epsilon, rng)
            for name, bound in tools.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    bounds[name].append(float(bound(guessed)))
        document["rows"] += [counted(name, epsilon, found) for name, found in bounds.items()]
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(render(document))


def answered(n: int, epsilon: float, rng: np.random.Generator) -> Guessed:
    """Throw coins, and let randomised response answer them."""
    is_in = rng.random(n) < 0.5
    is_right = rng.random(n) < 1 / (1 + np.exp(-epsilon))
    scores = np.where(is_in == is_right, 1.0, -1.0) * np.abs(rng.normal(size=n))
    right = surest_first(Coined(names=[f"{i:06d}" for i in range(n)], scores=scores, is_in=is_in))
    r = n_guesses(n, GUESS_SHARE)
    return Guessed(scores, is_in, r, int(right[:r].sum()))


def installed() -> tuple[dict[str, Bound], list[str]]:
    """Return the bounds of every tool that is here, and say which are not, and why."""
    tools: dict[str, Bound] = {}
    missing = []
    for make in (ours, memaudit, jax_privacy, opake, privacy_guard):
        try:
            tools |= make()
        except ImportError as error:
            missing.append(f"{make.__name__}: {error}")
    return tools, missing


def ours() -> dict[str, Bound]:
    """Corollary 5.4 at a declared fifth of the coins; betting along the order of confidence, for delta 0."""

    def fixed(one: Guessed) -> float:
        return epsilon_lower_bound(
            n_canaries=one.scores.size, n_guesses=one.n_guesses, n_correct=one.n_correct, delta=DELTA, confidence=LEVEL
        )

    def betting(one: Guessed) -> float:
        coined = Coined(names=[f"{i:06d}" for i in range(one.scores.size)], scores=one.scores, is_in=one.is_in)
        return betting_epsilon(surest_first(coined), confidence=LEVEL)

    return {"auditor, a declared fifth": fixed, "auditor, betting (delta 0)": betting}


def memaudit() -> dict[str, Bound]:
    """Of the same guesses as ours: its function takes counts."""
    from memaudit.stats import steinke_eps_lower_bound

    def bound(one: Guessed) -> float:
        return float(
            steinke_eps_lower_bound(one.n_correct, one.n_guesses, delta=DELTA, alpha=1 - LEVEL, m=one.scores.size)[
                "eps_lb"
            ]
        )

    return {f"memaudit {version('memaudit')}, steinke_eps_lower_bound": bound}


def jax_privacy() -> dict[str, Bound]:
    """Every epsilon of its auditor, with its default threshold strategy."""
    from jax_privacy.auditing import CanaryScoreAuditor

    def of(method: str, **more: Any) -> Bound:
        return lambda one: getattr(CanaryScoreAuditor(one.inside, one.outside), method)(1 - LEVEL, DELTA, **more)

    named = f"jax-privacy {version('jax-privacy')}"
    methods = ("epsilon_one_run", "epsilon_one_run_fdp", "epsilon_clopper_pearson", "epsilon_from_gdp")
    return {f"{named}, {method}": of(method) for method in methods}


def opake() -> dict[str, Bound]:
    """Its (epsilon, delta) method, whose threshold is by default the best one on these coins, and its Gaussian one."""
    from opake.api.auditing.one_run._estimate import OneRunEstimate
    from opake.api.auditing.one_run._roc import get_tn_fn_counts

    def estimate(one: Guessed) -> Any:
        thresholds, tn, fn = get_tn_fn_counts(one.inside, one.outside)
        return OneRunEstimate(
            n_in=one.inside.size, n_out=one.outside.size, thresholds=thresholds, tn_counts=tn, fn_counts=fn,
            tp_counts=(fn[-1] - fn)[::-1], fp_counts=(tn[-1] - tn)[::-1], in_scores=one.inside, out_scores=one.outside,
            canary_indices=np.arange(one.scores.size),
        )  # fmt: skip

    def eps_delta(one: Guessed) -> float:
        return float(estimate(one).eps_delta().epsilon_at(delta=DELTA, significance=1 - LEVEL))

    return {f"opake-auditing {version('opake-auditing')}, one_run.eps_delta": eps_delta}


def privacy_guard() -> dict[str, Bound]:
    """Its f-DP node, of the same guesses as ours, which speaks of Gaussian mechanisms; and Clopper-Pearson."""
    import torch
    from privacy_guard.analysis.mia.fdp_analysis_node import FDPAnalysisNode
    from privacy_guard.analysis.mia.mia_results import MIAResults

    node = FDPAnalysisNode(m=10, c=5, c_cap=10, threshold=1 - LEVEL, delta=DELTA)

    @cache
    def of_counts(m: int, c: int, c_cap: int) -> float:
        return float(node.run_analysis_with_parameters(m=m, c=c, c_cap=c_cap).eps)

    def gaussian(one: Guessed) -> float:
        return of_counts(one.scores.size, one.n_correct, one.n_guesses)

    def two_rates(one: Guessed) -> float:
        results = MIAResults(torch.from_numpy(one.inside), torch.from_numpy(one.outside))
        return float(results.compute_acc_auc_ci_epsilon(DELTA)[2])

    named = f"PrivacyGuard (privacyguard-platform {version('privacyguard-platform')})"
    return {f"{named}, FDPAnalysisNode": gaussian, f"{named}, eps_cp": two_rates}


def version(package: str) -> str:
    return importlib.metadata.version(package)


def stated() -> list[dict[str, Any]]:
    """Return what tools that take counts say where the theorem's value is known."""
    cases = ((100, 100, 75, 1e-4), (1000, 100, 75, 1e-4), (10_000, 100, 75, 1e-4), (100_000, 1510, 1439, 1e-5))
    found = []
    for m, r, v, delta in cases:
        one = {"m": m, "r": r, "v": v, "delta": delta}
        one["theorem"] = epsilon_lower_bound(n_canaries=m, n_guesses=r, n_correct=v, delta=delta, confidence=LEVEL)
        with contextlib.suppress(ImportError):
            from memaudit.stats import steinke_eps_lower_bound

            one["memaudit"] = steinke_eps_lower_bound(v, r, delta=delta, alpha=1 - LEVEL, m=m)["eps_lb"]
        found.append(one)
    return found


def counted(name: str, epsilon: float, bounds: list[float]) -> dict[str, Any]:
    """Count the bounds above the truth."""
    alarms = sum(bound > epsilon + SLACK for bound in bounds)
    low, high = clopper_pearson(alarms, len(bounds), LEVEL)
    return {
        "tool": name, "epsilon": epsilon, "runs": len(bounds), "alarms": alarms, "low": low, "high": high,
        "median": float(np.median(bounds)), "largest": float(max(bounds)),
    }  # fmt: skip


def render(document: dict[str, Any]) -> str:
    """Return the tables of the documentation."""
    lines = ["| tool | true epsilon | bounds above the truth | median bound | largest |", "|---|---|---|---|---|"]
    for one in document["rows"]:
        share = f"{one['alarms'] / one['runs']:.1%} ({one['low']:.1%} to {one['high']:.1%})"
        lines.append(f"| {one['tool']} | {one['epsilon']:g} | {share} | {one['median']:.2f} | {one['largest']:.2f} |")
    lines += ["", "| m | r | v | delta | theorem | memaudit |", "|---|---|---|---|---|---|"]
    for one in document["stated"]:
        said = f"{one['memaudit']:.3f}" if "memaudit" in one else "—"
        lines.append(
            f"| {one['m']:,} | {one['r']:,} | {one['v']:,} | {one['delta']:g} | {one['theorem']:.3f} | {said} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
