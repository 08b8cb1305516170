"""The blind baseline's false alarms on honest splits, and how often it finds sides that differ a little.

    python benchmarks/blind_power.py --runs 400 --n 400

Texts are of Zipf words from two sources, which rank the same words otherwise; honest sides have as many of both, others
a share more of one. A run draws new texts. At a true null the share of p-values up to a level is at most the level.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from auditor.soundness.blind import blind_baseline

N_WORDS = 2000
LEVELS = (0.01, 0.05, 0.2)


class Sources:
    """Two sources of texts: the second has its words in other ranks, within hundreds."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._words = ["".join(rng.choice(list("aeioulnrstdmkp"), rng.integers(2, 9))) for _ in range(N_WORDS)]
        first = 1 / np.arange(1, N_WORDS + 1)
        second = np.concatenate([rng.permutation(part) for part in np.split(first, N_WORDS // 100)])
        self._weights = [weights / weights.sum() for weights in (first, second)]

    def draw(self, source: NDArray[np.bool_], rng: np.random.Generator) -> list[str]:
        """Draw a text of 20 to 80 words from the source of each place."""
        counts = rng.integers(20, 80, source.size)
        return [
            " ".join(self._words[i] for i in rng.choice(N_WORDS, n, p=self._weights[int(second)]))
            for n, second in zip(counts, source, strict=True)
        ]


def p_values(sources: Sources, n: int, share: float, runs: int, seed: int) -> tuple[list[float], list[float]]:
    """P-value and AUC of each run, n texts, members having a share more of the second source."""
    found, areas = [], []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        member = np.arange(n) < n // 2
        texts = sources.draw(rng.random(n) < np.where(member, 0.5 + share / 2, 0.5 - share / 2), rng)
        blind = blind_baseline(texts, member, None, seed=run)
        if blind.p_value is None or blind.auc is None:
            sys.exit(f"{n} texts are too few: {blind.undefined_reason}")
        found.append(blind.p_value)
        areas.append(blind.auc)
    return found, areas


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--runs", default=400, show_default=True, help="Splits of each kind.")
@click.option("--n", default=400, show_default=True, help="Texts of both sides together.")
@click.option("--shares", default="0,0.1,0.2,0.3", show_default=True, help="Differences; 0 is an honest split.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all p-values.")
def main(runs: int, n: int, shares: str, json_path: Path | None) -> None:
    """Judge splits with each difference and print how often they are found."""
    sources, table, rows = (
        Sources(),
        Table(title=f"{n} texts, {runs} splits each: share with p up to"),
        dict[str, Any](),
    )
    for column in ("difference", *map(str, LEVELS), "mean AUC"):
        table.add_column(column, justify="right")
    for share in shares.split(","):
        found, areas = p_values(sources, n, float(share), runs, seed=n)
        rows[share] = {"p_values": found, "auc": areas}
        at = [f"{np.mean(np.array(found) <= level):.3f}" for level in LEVELS]
        table.add_row(share, *at, f"{np.mean(areas):.3f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
