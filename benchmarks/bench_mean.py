"""Coverage of the mean AUC of a leaderboard: cells of the same texts, of different texts, and of both.

Scores are normal; the target and the attack of a cell add noise of their own to what the cells share. The interval of
the mean has as its arms the mean of the cells' arms (`auditor.benching.standings.mean_auc`).

    python benchmarks/bench_mean.py --runs 2000
"""

import argparse

import numpy as np
from scipy.stats import norm

from auditor.benching.standings import mean_auc
from auditor.documents.leaderboard import BoardCell
from auditor.stats.metrics import auc

LEVEL = 0.95


def one_run(rng: np.random.Generator, *, n: int, cells: int, shift: float, shared: float) -> tuple[bool, float]:
    """Return whether the interval of one bench holds the truth, and how long it is."""
    is_member = np.repeat([True, False], n)
    common, found = rng.normal(size=2 * n), []
    for _ in range(cells):
        own = rng.normal(size=2 * n)
        score = np.sqrt(shared) * common + np.sqrt(1 - shared) * own + shift * is_member
        found.append(
            BoardCell(
                target="t",
                data="d",
                seed=0,
                attack="a",
                folder="f",
                auc=auc(score, is_member, level=LEVEL),
                tpr_at_fpr=(),
                p_value=None,
                p_value_holm=None,
                soundness=None,
                result_sha256="",
            )
        )
    mean = mean_auc(found, LEVEL)
    assert mean.low is not None
    assert mean.high is not None
    truth = float(norm.cdf(shift / np.sqrt(2)))
    return mean.low <= truth <= mean.high, mean.high - mean.low


def main() -> None:
    """Print the coverage of every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--n", type=int, default=100, help="texts a side")
    options = parser.parse_args()
    print(f"{options.cells} cells of {options.n} texts a side, {options.runs} benches a row, level {LEVEL:.0%}")
    print(f"{'AUC':>6} {'shared variance':>16} {'coverage':>9} {'length':>7}")
    for shift in (0.0, 0.5, 2.0):
        for shared in (1.0, 0.5, 0.0):
            rng = np.random.default_rng(0)
            runs = [
                one_run(rng, n=options.n, cells=options.cells, shift=shift, shared=shared) for _ in range(options.runs)
            ]
            held, length = np.mean([one for one, _ in runs]), np.mean([two for _, two in runs])
            print(f"{norm.cdf(shift / np.sqrt(2)):6.3f} {shared:16.1f} {held:9.3f} {length:7.3f}")


if __name__ == "__main__":
    main()
