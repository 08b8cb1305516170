"""Means of bits: how often the truth lies beyond each end of an interval where few members may hold everything.

    python benchmarks/means_grid.py --out docs/data/means-grid.json

Laws: 1, 2, 5 and 10% of the members hold 20, 100 or 500 bits over noise of 3 bits on both sides; lognormal, Student's
t with 3 degrees of freedom, mixtures, left-skewed bits, a shift of the domain with unequal spread, and two that are
harder than what is promised (holders of exponential size, lognormal with sigma 1.5). 50 to 2,000 texts a side and
1:20 either way; alone, and in clusters of 1, 1, 2 and 4 texts that are wholly alike. Figures: the difference of
clipped and of signed bits, the mean of the members' clipped bits, and the change of the first between two audits of
texts that have nothing in common (`independent_change`), up to 1,000 a side: of one law before and after, and of noise
before and the law after.

A share s of holders is too rare for n texts if none of them is drawn in more than 2.5% of samples, (1 - s)^n > .025;
then no interval without a cap of the values holds its level, and reports say "holders rarer than 1 in N would not have
been seen". There the truth without these holders must not lie above the interval; how often the whole truth does stands
beside it. At 95% each end may be missed in 2.5% of the runs, and is to be in at most 3.5%. Takes some eight minutes.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from auditor.stats.bounds import lower_mean_bound, upper_mean_bound
from auditor.stats.clusters import influence_spread
from auditor.stats.reach import reach, unseen_below

LEVEL, ALLOWED = 0.95, 0.035
SIZES = (50, 100, 200, 500, 1000, 2000)
UNEVEN = ((50, 1000), (100, 2000), (1000, 50), (2000, 100))
PATTERN = (1, 1, 2, 4)
FIGURES = ("debiased", "net", "clipped")
CHANGES = ("change, law to law", "change, noise to law")
LARGEST_CHANGE = 1000
CAP = 1000.0  # bits of 64 tokens from a vocabulary of 50,000
Array = np.ndarray
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
Ends = tuple[Array, Array]


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(0, 3, shape)


@dataclass(frozen=True)
class Law:
    """Bits of members and of non-members; with rare holders also their share, and the members without them."""

    members: Draw
    non_members: Draw = noise
    share: float | None = None
    without: Draw = noise
    promised: bool = True


def holders(share: float, size: float) -> Law:
    return Law(lambda rng, shape: noise(rng, shape) + size * (rng.random(shape) < share), share=share)


LAWS = {
    f"{share:.0%} hold {size}": holders(share, size) for share in (0.01, 0.02, 0.05, 0.1) for size in (20, 100, 500)
}
LAWS |= {
    "normal": Law(lambda rng, shape: rng.normal(2, 3, shape)),
    "lognormal": Law(lambda rng, shape: rng.lognormal(0.5, 1, shape), lambda rng, shape: rng.lognormal(0, 1, shape)),
    "noise and lognormal": Law(lambda rng, shape: noise(rng, shape) + rng.lognormal(1, 1, shape)),
    "t3": Law(lambda rng, shape: 3 + 3 * rng.standard_t(3, shape), lambda rng, shape: 3 * rng.standard_t(3, shape)),
    "30% more and wider": Law(
        lambda rng, shape: np.where(rng.random(shape) < 0.3, rng.normal(10, 10, shape), noise(rng, shape))
    ),
    "half hold 10, 5% hold 100": Law(
        lambda rng, shape: noise(rng, shape) + rng.choice([0, 10, 100], p=[0.45, 0.5, 0.05], size=shape),
        share=0.05,
        without=lambda rng, shape: noise(rng, shape) + 10 * (rng.random(shape) < 10 / 19),
    ),
    "left-skewed": Law(lambda rng, shape: noise(rng, shape) + 10 - rng.exponential(10, shape)),
    "5% lose 100": Law(lambda rng, shape: noise(rng, shape) - 100 * (rng.random(shape) < 0.05), share=0.05),
    "domain shift, wider": Law(
        lambda rng, shape: rng.normal(12, 12, shape), lambda rng, shape: rng.normal(10, 3, shape)
    ),
    "5% hold exponential": Law(
        lambda rng, shape: noise(rng, shape) + rng.exponential(100, shape) * (rng.random(shape) < 0.05),
        share=0.05,
        promised=False,
    ),
    "lognormal, sigma 1.5": Law(
        lambda rng, shape: rng.lognormal(0.5, 1.5, shape),
        lambda rng, shape: rng.lognormal(0, 1.5, shape),
        promised=False,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--runs", type=int, default=2000, help="samples a cell; half as many of more than 2,000 texts, and of changes"
    )
    parser.add_argument("--candidate-runs", type=int, default=400, help="samples a cell for the other methods")
    parser.add_argument("--largest", type=int, default=2000, help="leave out cells with more texts on a side")
    parser.add_argument("--laws", nargs="*", choices=LAWS, default=list(LAWS), metavar="LAW")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cells = [cell for cell in (*zip(SIZES, SIZES, strict=True), *UNEVEN) if max(cell) <= args.largest]
    rows, changes = list[dict[str, Any]](), list[dict[str, Any]]()
    for name in args.laws:
        truth, seen = truths(LAWS[name].members, LAWS[name]), truths(LAWS[name].without, LAWS[name])
        for clustered in (False, True):
            for n in cells:
                runs = args.runs if sum(n) <= 2000 else max(args.runs // 2, 1)
                rng = np.random.default_rng([args.seed, len(rows)])
                rows += cell_rows(name, n, clustered, runs, rng, truth, seen)
                if max(n) <= LARGEST_CHANGE:
                    rng = np.random.default_rng([args.seed, len(rows), 1])
                    changes += change_rows(name, n, clustered, max(args.runs // 2, 1), rng, truth, seen)
    print_grid(rows)
    print("\nchange of debiased bits between audits without a common text")
    print_grid(changes)
    others = [row for name in args.laws for row in candidate_rows(name, args)]
    print_candidates(others)
    if args.out:
        document = {
            "kind": "means-grid",
            "schema_version": "1.0",
            "level": LEVEL,
            "allowed_each_end": ALLOWED,
            "runs": args.runs,
            "candidate_runs": args.candidate_runs,
            "seed": args.seed,
            "cells": as_columns(rows),
            "changes": as_columns(changes),
            "candidates": as_columns(others),
        }
        args.out.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def as_columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows into a list of values a column, with four decimals, which takes a fifth of the space."""
    return {
        name: [round(row[name], 4) if isinstance(row[name], float) else row[name] for row in rows] for name in rows[0]
    }


def truths(members: Draw, law: Law) -> dict[str, float]:
    """Figures of two million texts a side; those of members without holders too rare to be seen are lower."""
    rng, clipped = np.random.default_rng(1), np.zeros(2)
    signed = np.zeros(2)
    for _ in range(4):
        for side, draw in enumerate((members, law.non_members)):
            bits = draw(rng, (500_000,))
            signed[side] += bits.mean() / 4
            clipped[side] += np.maximum(bits, 0).mean() / 4
    return {"debiased": clipped[0] - clipped[1], "net": signed[0] - signed[1], "clipped": clipped[0]}


def cluster_sizes(n: int, clustered: bool) -> Array:
    if not clustered:
        return np.ones(n, dtype=np.int64)
    sizes = np.resize(PATTERN, n)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1].copy()
    sizes[-1] -= sizes.sum() - n
    return sizes


def cell_rows(
    name: str,
    n: tuple[int, int],
    clustered: bool,
    runs: int,
    rng: np.random.Generator,
    truth: dict[str, float],
    seen: dict[str, float],
) -> list[dict[str, Any]]:
    """Draw the samples of a cell; return a row a figure."""
    law, sizes = LAWS[name], [cluster_sizes(side, clustered) for side in n]
    unseen = unseen_below(np.repeat(np.arange(sizes[0].size), sizes[0]), LEVEL)
    rare = law.share is not None and law.share < unseen
    sides = [draw(rng, (runs, one.size)) for draw, one in zip((law.members, law.non_members), sizes, strict=True)]
    rows = []
    for figure in FIGURES:
        values = sides if figure == "net" else [np.maximum(bits, 0) for bits in sides]
        parts = [moments(side, one, sign) for side, one, sign in zip(values, sizes, (1, -1), strict=True)]
        low, high, usual = ends(parts[:1] if figure == "clipped" else parts)
        held = (truth[figure], seen[figure] if rare else truth[figure])
        rows.append(
            {
                "law": name,
                "promised": law.promised,
                "n_members": n[0],
                "n_non_members": n[1],
                "clusters": int(sizes[0].size) if clustered else None,
                "figure": figure,
                "unseen_below": round(unseen, 5),
                "too_rare": rare,
                "runs": runs,
                "above": float((high < min(held)).mean()),
                "below": float((low > max(held)).mean()),
                "above_with_unseen": float((high < truth[figure]).mean()),
                "below_with_unseen": float((low > truth[figure]).mean()),
                "usual_above": float((high_of(usual) < min(held)).mean()),
                "usual_below": float((usual[0] - usual[1] > max(held)).mean()),
                "width": float((high - low).mean() / (2 * usual[1]).mean()),
            }
        )
    return rows


def change_rows(
    name: str,
    n: tuple[int, int],
    clustered: bool,
    runs: int,
    rng: np.random.Generator,
    truth: dict[str, float],
    seen: dict[str, float],
) -> list[dict[str, Any]]:
    """Draw pairs of audits without a common text; return a row for each kind of change of the debiased bits."""
    law, sizes = LAWS[name], [cluster_sizes(side, clustered) for side in n]
    unseen = unseen_below(np.repeat(np.arange(sizes[0].size), sizes[0]), LEVEL)
    rare = law.share is not None and law.share < unseen
    by_law, by_noise = (law.members, law.non_members), (law.non_members, law.non_members)
    rows = []
    for figure, befores, change in zip(CHANGES, (by_law, by_noise), (0.0, truth["debiased"]), strict=True):
        audits = [
            ends(
                [
                    moments(np.maximum(draw(rng, (runs, one.size)), 0), one, sign)
                    for draw, one, sign in zip(draws, sizes, (1, -1), strict=True)
                ]
            )
            for draws in (befores, by_law)
        ]
        (low_0, high_0, usual_0), (low_1, high_1, usual_1) = audits
        value, half = usual_1[0] - usual_0[0], np.hypot(usual_0[1], usual_1[1])
        low = value - np.hypot(usual_1[0] - low_1, high_0 - usual_0[0])
        high = value + np.hypot(high_1 - usual_1[0], usual_0[0] - low_0)
        least = min(change, seen["debiased"]) if rare and change else change
        rows.append(
            {
                "law": name,
                "promised": law.promised,
                "n_members": n[0],
                "n_non_members": n[1],
                "clusters": int(sizes[0].size) if clustered else None,
                "figure": figure,
                "unseen_below": round(unseen, 5),
                "too_rare": rare,
                "runs": runs,
                "above": float((high < least).mean()),
                "below": float((low > change).mean()),
                "above_with_unseen": float((high < change).mean()),
                "below_with_unseen": float((low > change).mean()),
                "usual_above": float((value + half < least).mean()),
                "usual_below": float((value - half > change).mean()),
                "width": float((high - low).mean() / (2 * half).mean()),
            }
        )
    return rows


def high_of(usual: Ends) -> Array:
    return usual[0] + usual[1]


class Moments(NamedTuple):
    """Mean of each sample, the totals of its clusters, degrees of freedom, and as how many samples they count."""

    mean: Array
    totals: Array
    df: float
    independent: float


def moments(values: Array, sizes: Array, sign: int) -> Moments:
    """Describe samples of texts, a value a cluster."""
    n = sizes.sum()
    centre = (values * sizes).sum(axis=1) / n
    totals = sign * (values - centre[:, None]) * sizes / n / np.sqrt(1 - sizes / n)
    ones = np.zeros(int(n))
    ones[0], ones[-1] = 1.0, -1.0  # any values do: the degrees of freedom hang on the sizes
    empty = np.empty(0)
    spread = influence_spread(ones, empty, np.repeat(np.arange(sizes.size), sizes), empty.astype(np.int64))
    return Moments(sign * centre, totals, spread.df, spread.independent[0])


def ends(parts: list[Moments]) -> tuple[Array, Array, Ends]:
    """Return ends by the audit's own arms, a sample a row, and value and half width of Welch's t."""
    value = np.sum([part.mean for part in parts], axis=0)
    variances = [np.maximum((part.totals**2).sum(axis=1), 1e-300) for part in parts]
    total = np.sum(variances, axis=0)
    df = 1 / np.sum([(one / total) ** 2 / part.df for one, part in zip(variances, parts, strict=True)], axis=0)
    down, up = reach([part.totals for part in parts], df, LEVEL, independent=[part.independent for part in parts])
    return value - down, value + up, (value, stats.t.isf((1 - LEVEL) / 2, df) * np.sqrt(total))


def candidate_rows(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Set the methods beside each other on the mean of the members' clipped bits, without clusters."""
    law, rows = LAWS[name], []
    truth, seen = truths(law.members, law)["clipped"], truths(law.without, law)["clipped"]
    for n in [n for n in SIZES[:4] if n <= args.largest]:
        rng = np.random.default_rng([args.seed, n, 7])
        bits = np.maximum(law.members(rng, (args.candidate_runs, n)), 0)
        rare = law.share is not None and law.share < unseen_below(np.arange(n), LEVEL)
        low_truth, high_truth = (min(truth, seen), max(truth, seen)) if rare else (truth, truth)
        usual = None
        for method, interval in CANDIDATES.items():
            some = bits[: max(len(bits) // 4, 1)] if method in SLOW else bits
            low, high = interval(some, rng)
            usual = (high - low) if usual is None else usual
            rows.append(
                {
                    "law": name,
                    "promised": law.promised,
                    "method": method,
                    "n": n,
                    "runs": len(some),
                    "above": float((high < low_truth).mean()),
                    "below": float((low > high_truth).mean()),
                    "width": float((high - low).mean() / max(usual[: len(some)].mean(), 1e-12)),
                }
            )
    return rows


def student(x: Array, rng: np.random.Generator) -> Ends:
    half = stats.t.isf(0.025, x.shape[1] - 1) * standard_error(x)
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def kept(x: Array, rng: np.random.Generator) -> Ends:
    low, high, _ = ends([moments(x, np.ones(x.shape[1], dtype=np.int64), 1)])
    return low, high


def cornish_fisher(x: Array, rng: np.random.Generator) -> Ends:
    """Student's arms, the long one stretched by the first term of the expansion (the audit's method until then)."""
    t, skewness = stats.t.isf(0.025, x.shape[1] - 1), sample_skewness(x)
    factor = 1 + np.abs(skewness) * (2 * t**2 + 1) / (6 * t * np.sqrt(x.shape[1]))
    half = t * standard_error(x)
    down, up = half * np.where(skewness < 0, factor, 1), half * np.where(skewness > 0, factor, 1)
    return x.mean(axis=1) - down, x.mean(axis=1) + up


def hall(x: Array, rng: np.random.Generator) -> Ends:
    """Hall's cubic transformation of the t statistic (1992), solved for the mean."""
    n, t = x.shape[1], stats.t.isf(0.025, x.shape[1] - 1)
    a = sample_skewness(x) / np.sqrt(n)
    a = np.where(np.abs(a) < 1e-6, 1e-6, a)
    found = [x.mean(axis=1) - standard_error(x) * 3 / a * (np.cbrt(1 + a * (q - a / 6)) - 1) for q in (t, -t)]
    return found[0], found[1]


def studentised_bootstrap(x: Array, rng: np.random.Generator) -> Ends:
    n, found = x.shape[1], []
    for row in x:
        drawn = row[rng.integers(n, size=(299, n))]
        spread = np.maximum(drawn.std(axis=1, ddof=1) / np.sqrt(n), 1e-9)
        t = np.sort((drawn.mean(axis=1) - row.mean()) / spread)
        found.append(row.mean() - np.array([t[291], t[7]]) * row.std(ddof=1) / np.sqrt(n))  # 8th of 299 each way
    return np.array(found)[:, 0], np.array(found)[:, 1]


def empirical_likelihood(x: Array, rng: np.random.Generator) -> Ends:
    """Owen's ratio against F: with weights 1 / (1 + a x), both mean and ratio are functions of a."""
    limit = stats.f.isf(0.05, 1, x.shape[1] - 1) / 2

    def upper(values: Array) -> Array:
        start = values.min(axis=1)
        y = values - start[:, None]
        top = np.maximum(y.max(axis=1), 1e-12)
        below, above = np.zeros(len(y)), np.ones(len(y))  # share of the way from a = 0 to -1 / max
        for _ in range(40):
            share = (below + above) / 2
            factor = 1 - (share / top)[:, None] * y
            scale = (1 / factor).mean(axis=1)
            ratio = np.log(scale[:, None] * factor).sum(axis=1)
            below, above = np.where(ratio < limit, share, below), np.where(ratio < limit, above, share)
        scale = (1 / (1 - (below / top)[:, None] * y)).mean(axis=1)
        slope = np.maximum(below / top, 1e-12)
        return np.where(below > 0, start + (scale - 1) / (slope * scale), start)

    return -upper(-x), upper(x)


def composite(x: Array, rng: np.random.Generator) -> Ends:
    """Bulk by t; holders' share by Clopper-Pearson times their mean excess by t; arms joined by their squares."""
    n = x.shape[1]
    cut = 5 * np.sqrt(np.pi / 2) * np.abs(x - np.median(x, axis=1)[:, None]).mean(axis=1)[:, None]
    bulk, excess = np.minimum(x, cut), np.maximum(x - cut, 0)
    k = (excess > 0).sum(axis=1)
    half = stats.t.isf(0.025, n - 1) * standard_error(bulk)
    size = excess.sum(axis=1) / np.maximum(k, 1)
    squares = np.maximum((excess**2).sum(axis=1) - k * size**2, 0) / np.maximum(k - 1, 1)
    reach_of_size = np.where(k > 1, stats.t.isf(0.025, np.maximum(k - 1, 1)) * np.sqrt(squares / np.maximum(k, 1)), 0)
    least = np.where(k > 0, special.betaincinv(np.maximum(k, 1), n - k + 1, 0.025), 0)
    most = special.betaincinv(k + 1, n - k, 0.975)
    held = k / n * size
    up = np.hypot(half, most * (size + reach_of_size) - held)
    down = np.hypot(half, held - least * np.maximum(size - reach_of_size, 0))
    return x.mean(axis=1) - down, x.mean(axis=1) + up


def betting(x: Array, rng: np.random.Generator) -> Ends:
    """Certain bounds of values between 0 and the cap."""
    inside = np.minimum(x, CAP)
    found = [
        [bound(row, low=0.0, high=CAP, error=0.025, rng=rng) for bound in (lower_mean_bound, upper_mean_bound)]
        for row in inside
    ]
    return np.array(found)[:, 0], np.array(found)[:, 1]


CANDIDATES: dict[str, Callable[[Array, np.random.Generator], Ends]] = {
    "Student's t": student,
    "t, stretched (Cornish-Fisher)": cornish_fisher,
    "Hall's transformation": hall,
    "studentised bootstrap": studentised_bootstrap,
    "empirical likelihood": empirical_likelihood,
    "share times size": composite,
    "betting, capped": betting,
    "kept: gamma, one more twice as far": kept,
}
SLOW = ("betting, capped",)


def standard_error(x: Array) -> Array:
    return x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])


def sample_skewness(x: Array) -> Array:
    centred = x - x.mean(axis=1)[:, None]
    return (centred**3).mean(axis=1) / np.maximum((centred**2).mean(axis=1), 1e-300) ** 1.5


def worst(rows: list[dict[str, Any]], key: str) -> float:
    return max((row[key] for row in rows), default=float("nan"))


def print_grid(rows: list[dict[str, Any]]) -> None:
    for clustered in (False, True):
        some = [row for row in rows if (row["clusters"] is not None) == clustered]
        print(f"\nworst share of runs beyond an end, {'in clusters' if clustered else 'alone'} (allowed {ALLOWED})")
        print(f"{'law':28} {'above':>6} {'below':>6}   {'with what is too rare':>22} {'Welch t':>14}")
        for law in dict.fromkeys(row["law"] for row in some):
            own = [row for row in some if row["law"] == law]
            figures = [worst(own, key) for key in ("above", "below", "above_with_unseen", "below_with_unseen")]
            usual = [worst(own, key) for key in ("usual_above", "usual_below")]
            print(
                f"{law:28} {figures[0]:6.3f} {figures[1]:6.3f}   {figures[2]:14.3f} {figures[3]:7.3f} "
                f"{usual[0]:7.3f} {usual[1]:6.3f}"
            )
        promised = [row for row in some if row["promised"]]
        missed = sum(max(row["above"], row["below"]) > ALLOWED for row in promised)
        print(f"cells beyond {ALLOWED}: {missed} of {len(promised)}")
        for size in SIZES:
            own = [row for row in promised if row["n_members"] == row["n_non_members"] == size]
            normal = [row["width"] for row in own if row["law"] == "normal" and row["figure"] == "net"]
            if own:
                width = f"; normal law {normal[0]:.3f} times Welch's width" if normal else ""
                print(f"  {size} a side: worst above {worst(own, 'above'):.3f}, below {worst(own, 'below'):.3f}{width}")


def print_candidates(rows: list[dict[str, Any]]) -> None:
    print("\nmethods beside each other: mean of the members' clipped bits, alone, 50 to 500 texts")
    print(
        f"{'method':36} {'above':>6} {'below':>6} {'cells beyond':>13} {'width, normal':>14} {'width, 5% hold 100':>19}"
    )
    for method in CANDIDATES:
        own = [row for row in rows if row["method"] == method and row["promised"]]
        missed = sum(max(row["above"], row["below"]) > ALLOWED for row in own)
        widths = [
            np.mean([row["width"] for row in own if row["law"] == law] or [float("nan")])
            for law in ("normal", "5% hold 100")
        ]
        print(
            f"{method:36} {worst(own, 'above'):6.3f} {worst(own, 'below'):6.3f} {missed:6d} of {len(own):3d} "
            f"{widths[0]:14.2f} {widths[1]:19.2f}"
        )


if __name__ == "__main__":
    main()
