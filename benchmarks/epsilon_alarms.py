"""False alarms of bounds on epsilon: how often an audit of coins says more than the true epsilon of a known mechanism.

    python benchmarks/epsilon_alarms.py --out docs/data/epsilon-alarms.json

Each run draws new coins as `auditor split --coins` does, and hands texts, manifest, coins and scores to the code that
`auditor audit` bounds epsilon with. The "model" is randomised response, whose epsilon is exact: it shows each coin
rightly with probability e^eps / (1 + e^eps) (and, with a delta, gives it away with probability delta), and every attack
sees these answers only, each in an order of confidence of its own. An alarm is a bound above the truth. Below the rows
of the command stand contrasts: what others do, or a hasty reader of the same numbers would.
"""

import argparse
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from auditor.auditing.attack_choice import Headline
from auditor.auditing.coins import bound_epsilon
from auditor.config import DataSpec
from auditor.data import SampleSet
from auditor.data.splits import Split, make_split
from auditor.documents.result import SoundnessResult
from auditor.estimates.epsilon import Claim, Coined, surest_first
from auditor.experiments.demo import draw_records
from auditor.stats.epsilon import epsilon_p_value
from auditor.stats.intervals import clopper_pearson

ATTACKS = ("reference", "loss", "min_k", "zlib")
NOMINAL = 0.05
_SLACK = 1e-6
_SOUND = SoundnessResult(verdict="pass", checks=())
_SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


class Setting(NamedTuple):
    """A mechanism, and how many coins it is asked about."""

    n: int
    epsilon: float
    delta: float = 0.0
    copies: int = 1


SETTINGS = (
    *(Setting(200, epsilon, delta) for epsilon in (0.0, 1.0, 3.0) for delta in (0.0, 1e-5)),
    Setting(200, 0.25, copies=4),
    *(Setting(1000, epsilon) for epsilon in (0.0, 1.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--runs", type=int, default=2000, help="of each setting")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the answers; coins come from the operating system")
    args = parser.parse_args()
    document: dict[str, Any] = {"runs": args.runs, "nominal": NOMINAL, "settings": []}
    for setting in run(args):
        document["settings"].append(setting)
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(render(document))


_WITHOUT = "no bound"


def run(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Count the alarms of every setting."""
    chunk = min(50, args.runs)
    with ProcessPoolExecutor(args.workers) as workers:
        for number, setting in enumerate(SETTINGS):
            counts: Counter[str] = Counter()
            firsts = range(0, args.runs, chunk)
            for part in workers.map(partial(measure, setting, args.seed, number, chunk), firsts):
                counts.update(part)
            without = counts.pop(_WITHOUT, 0)
            yield {**setting._asdict(), "n_without_bound": without, "alarms": dict(sorted(counts.items()))}


def measure(setting: Setting, seed: int, number: int, n_runs: int, first: int) -> Counter[str]:
    """Count the alarms of some runs; every kind is there, if only with 0."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        source = _corpus(setting.n, Path(scratch))
        for one in range(first, first + n_runs):
            rng = np.random.default_rng((seed, number, one))
            split = make_split(source, coins=True, near_duplicates=None)
            counts.update(_alarms(setting, split, rng))
    return counts


def _corpus(n: int, folder: Path) -> DataSpec:
    """Write invented texts, none twice."""
    texts = list(dict.fromkeys(record.text for record in draw_records(2 * n, np.random.default_rng(0))))[:n]
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return DataSpec(path=str(path))


def _alarms(setting: Setting, split: Split, rng: np.random.Generator) -> dict[str, int]:
    """Audit one split with answers of randomised response, and say which bounds lie above the truth."""
    data = _sides(split, setting.copies)
    scores = _scores(setting, data.is_member, rng)
    found = bound_epsilon(_evidence(split, data, scores, setting), _SOUND)
    assert found is not None
    if found.epsilon_lower_bound is None:  # the coins fell so oddly that the command gives no bound: no alarm
        return {_WITHOUT: 1}
    truth = setting.epsilon + _SLACK
    alarms = {"the command": found.epsilon_lower_bound > truth}
    coins = {name: Coined(names=data.text_sha256, scores=score, is_in=data.is_member) for name, score in scores.items()}
    right = {name: surest_first(one) for name, one in coins.items()}
    alarms |= {
        "contrast: best of 4 attacks": any(
            _refuted(setting, found.n_guesses, int(one[: found.n_guesses].sum())) for one in right.values()
        ),
        "contrast: best of 10 numbers of guesses": any(
            _refuted(setting, r, int(right["reference"][:r].sum()))
            for r in (max(1, round(share * setting.n)) for share in _SHARES)
        ),
    }
    if found.betting_lower_bound is not None:
        alarms["betting along the order"] = found.betting_lower_bound > truth
        alarms["contrast: the larger of both bounds"] = (
            max(found.epsilon_lower_bound, found.betting_lower_bound) > truth
        )
    if setting.copies > 1:
        alarms["contrast: copies counted as one record"] = (found.group_lower_bound or 0.0) > truth
    return {name: int(alarm) for name, alarm in alarms.items()}


def _refuted(setting: Setting, r: int, v: int) -> bool:
    """Whether corollary 5.4 refutes the true claim: the same as a bound above it, as the p-value grows with epsilon."""
    group = setting.epsilon * setting.copies
    growth = setting.copies if not group else math.expm1(group) / math.expm1(setting.epsilon)
    p_value = epsilon_p_value(
        n_canaries=setting.n, n_guesses=r, n_correct=v, epsilon=group, delta=setting.delta * growth
    )
    return p_value < NOMINAL


def _sides(split: Split, copies: int) -> SampleSet:
    """Give the corpus its sides, as reading the files of the split would."""
    is_member = np.zeros(len(split.corpus), dtype=np.bool_)
    is_member[split.rows["members"]] = True
    order = np.concatenate([split.rows["members"], split.rows["non_members"]])
    corpus = split.corpus
    return replace(
        corpus,
        ids=tuple(corpus.ids[i] for i in order),
        groups=tuple(corpus.groups[i] for i in order),
        text_sha256=tuple(corpus.text_sha256[i] for i in order),
        copies=tuple(copies if is_member[i] else None for i in order),
        is_member=is_member[order],
    )


def _scores(setting: Setting, is_member: np.ndarray[Any, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Answer by randomised response for all copies of a coin together, and let every attack order the answers."""
    q = 1 / (1 + math.exp(-setting.epsilon * setting.copies))
    given_away = rng.random(is_member.size) < setting.delta
    truthful = (rng.random(is_member.size) < q) | given_away
    answers = np.where(truthful == is_member, 1.0, -1.0)
    return {name: answers * rng.exponential(size=is_member.size) + 1e3 * given_away * answers for name in ATTACKS}


def _evidence(split: Split, data: SampleSet, scores: Mapping[str, Any], setting: Setting) -> Any:
    """Stand in for what an audit gathers: all that the bound looks at."""
    config = SimpleNamespace(
        delta=setting.delta, confidence=1 - NOMINAL, guess_share=Claim().guess_share, non_members="given", salt=None
    )
    inputs = SimpleNamespace(
        manifest=split.manifest,
        coins=split.coins,
        data=data,
        headline=Headline(label="reference", declared_by="default"),
    )
    return SimpleNamespace(inputs=inputs, config=config, table=SimpleNamespace(scores=scores))


def render(document: Mapping[str, Any]) -> str:
    """Write the table in Markdown: a row a mechanism and rule, those of the command first."""
    rows = []
    for contrast in (False, True):
        for setting in document["settings"]:
            rows += [
                _line(setting, name, k, document["runs"])
                for name, k in setting["alarms"].items()
                if name.startswith("contrast") == contrast
            ]
    head = "| true epsilon | delta | coins | copies | rule | bounds above the truth | nominal | verdict |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _line(setting: Mapping[str, Any], name: str, k: int, n: int) -> str:
    low, high = clopper_pearson(k, n, 0.95)
    verdict = "FAILS" if low > NOMINAL else "conservative" if high < NOMINAL else "ok"
    if name.startswith("contrast"):
        verdict = "unsound" if low > NOMINAL else "not shown to be unsound"
    return (
        f"| {setting['epsilon']:g} | {setting['delta']:g} | {setting['n']:,} | {setting['copies']} | {name} "
        f"| {k / n:.1%} ({low:.1%} to {high:.1%}) | {NOMINAL:.0%} | {verdict} |"
    )


def worst(document: Mapping[str, Any]) -> Sequence[str]:
    """Name the rules of the command that alarm too often."""
    return [
        name
        for setting in document["settings"]
        for name, k in setting["alarms"].items()
        if not name.startswith("contrast") and clopper_pearson(k, document["runs"], 0.95)[0] > NOMINAL
    ]


if __name__ == "__main__":
    main()
