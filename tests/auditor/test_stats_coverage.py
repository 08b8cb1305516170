"""Coverage of the intervals: simulated, against truths in closed form or by quadrature."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from auditor.stats.bounds import information_lower_bound, lower_mean_bound, upper_mean_bound
from auditor.stats.intervals import mean_difference, standardized_difference
from auditor.stats.metrics import evaluate

pytestmark = pytest.mark.slow

LEVEL = 0.95
REPLICATES = 400
FPRS = (0.01, 0.05, 0.1)
SIZES = [(30, 30), (30, 500), (500, 30), (200, 200)]
# name: distribution of members, of non-members (continuous, frozen)
SCORES = {
    "null": (stats.norm(0), stats.norm(0)),
    "normal": (stats.norm(1), stats.norm(0)),
    "strong": (stats.norm(3), stats.norm(0)),
    "unequal": (stats.norm(1, 2), stats.norm(0, 1)),
    "heavy": (stats.t(3, loc=1), stats.t(3)),
}


def at_least(nominal: float, n: int = REPLICATES) -> float:
    """Coverage that a nominal interval misses with a chance of 1 in 10,000 only."""
    return float(stats.binom.ppf(1e-4, n, nominal)) / n


def holds(estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def truths(members, non_members) -> dict[str, float]:
    def tpr(fpr: float) -> float:
        return float(members.sf(non_members.isf(fpr)))

    thresholds = np.linspace(-30, 30, 60_001)
    known = {f"tpr@{fpr}": tpr(fpr) for fpr in FPRS}
    known["auc"] = integrate.quad(lambda x: members.pdf(x) * non_members.cdf(x), -60, 60, limit=500)[0]
    known["f1"] = 1 - optimize.brentq(lambda e: tpr(e) - (1 - e), 1e-12, 1 - 1e-12)
    known["advantage"] = float((members.sf(thresholds) - non_members.sf(thresholds)).max())
    return known


def coverage(draw: Callable, known: dict[str, float], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    for _ in range(REPLICATES):
        scores, is_member, groups = draw(rng)
        result = evaluate(scores, is_member, fpr_targets=FPRS, level=LEVEL, groups=groups, rng=rng)
        estimates = {"auc": result.auc, "f1": result.f1_equal_error, "advantage": result.advantage}
        estimates |= {f"tpr@{e.fpr}": e for e in result.tpr_at_fpr if e.value is not None}
        for name, estimate in estimates.items():
            held.setdefault(name, []).append(holds(estimate, known[name]))
    return {name: float(np.mean(hits)) for name, hits in held.items()}


@pytest.mark.parametrize(("m", "n"), SIZES)
@pytest.mark.parametrize("name", SCORES)
def test_metrics(name, m, n):
    members, non_members = SCORES[name]

    def draw(rng):
        scores = np.concatenate([members.rvs(m, random_state=rng), non_members.rvs(n, random_state=rng)])
        return scores, np.arange(m + n) < m, None

    measured = coverage(draw, truths(members, non_members), seed=1)
    assert min(measured.values()) >= at_least(LEVEL), measured


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_metrics_with_groups(shift, across):
    """40 groups a side of 3 samples with intra-group correlation .5, or 40 groups of 3 + 3 across the sides."""
    groups = np.tile(np.repeat(np.arange(40), 3), 2) if across else np.repeat(np.arange(80), 3)
    is_member = np.arange(240) < 120

    def draw(rng):
        common = rng.normal(0, math.sqrt(0.5), 80)[groups]
        return common + rng.normal(0, math.sqrt(0.5), 240) + shift * is_member, is_member, groups

    measured = coverage(draw, truths(stats.norm(shift), stats.norm(0)), seed=2)
    assert min(measured.values()) >= at_least(LEVEL), measured


@pytest.mark.parametrize(("m", "n"), [*SIZES, (20, 200)])
@pytest.mark.parametrize("noise", [stats.norm(), stats.t(5), stats.expon()], ids=["normal", "heavy", "skewed"])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_differences_of_means(noise, shift, m, n):
    rng = np.random.default_rng(3)
    hits = np.zeros((REPLICATES, 2))
    for row in hits:
        x, y = shift + noise.rvs(m, random_state=rng), noise.rvs(n, random_state=rng)
        row[0] = holds(mean_difference(x, y, level=LEVEL), shift)
        row[1] = holds(standardized_difference(x, y, level=LEVEL), shift / noise.std())
    # t intervals of few skewed values miss somewhat too often; .92 is what the docstrings promise
    assert hits.mean(axis=0).min() >= at_least(0.92), hits.mean(axis=0)


@pytest.mark.parametrize("unequal", [False, True])
def test_difference_of_means_with_groups(unequal):
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(REPLICATES):
        sizes = rng.choice([1, 2, 9], 60) if unequal else np.full(60, 4)
        groups = np.repeat(np.arange(60), sizes)
        is_member = groups % 2 == 0
        values = rng.normal(size=60)[groups] + rng.normal(size=groups.size) + is_member
        estimate = mean_difference(
            values[is_member],
            values[~is_member],
            level=LEVEL,
            groups_x=groups[is_member],
            groups_y=groups[~is_member],
        )
        hits.append(holds(estimate, 1.0))
    assert np.mean(hits) >= at_least(0.94)


@pytest.mark.parametrize("draw", [lambda r, n: r.beta(0.5, 0.5, n), lambda r, n: (r.random(n) < 0.5) * 1.0])
@pytest.mark.parametrize("n", [20, 200])
def test_betting_bounds(draw, n):
    rng = np.random.default_rng(5)
    arguments = {"low": 0.0, "high": 1.0, "error": 0.05, "rng": rng}
    samples = [draw(rng, n) for _ in range(REPLICATES)]
    assert np.mean([lower_mean_bound(x, **arguments) <= 0.5 for x in samples]) >= at_least(0.95)
    assert np.mean([upper_mean_bound(x, **arguments) >= 0.5 for x in samples]) >= at_least(0.95)


@pytest.mark.parametrize(
    ("draw", "bits"),
    [
        (lambda r, n, member: r.normal(size=n), 0.0),
        (lambda r, n, member: r.standard_t(2, n), 0.0),
        # 0 or 1 with P(1) = .6 / .4: .2 log2 1.5 bits
        (lambda r, n, member: (r.random(n) < (0.6 if member else 0.4)) * 1.0, 0.2 * math.log2(1.5)),
        (lambda r, n, member: r.normal(2.0 * member, 1, n), 2 / math.log(2)),
    ],
)
def test_information_is_never_certified_beyond_the_truth(draw, bits):
    rng = np.random.default_rng(6)
    n_replicates = 100
    lows = [
        information_lower_bound(draw(rng, 100, True), draw(rng, 150, False), level=LEVEL, rng=rng).low
        for _ in range(n_replicates)
    ]
    assert np.mean(np.array(lows) <= bits) >= at_least(LEVEL, n_replicates)
