"""The cost of a whole audit, and of one more attack; ratios only.

    python benchmarks/whole_audit.py --n 16

Audits a target and a reference by `auditor.auditing.pipeline` and compares three things with it, on the same texts:

* ``a pass per attack``: every attack runs its own passes, one text at a time from whole logits, on each model (and
  view of the text) that it needs, which is how attacks run that were written one by one;
* ``shared passes``: the same loop, once a model and view, for all attacks: what is left is the speed of scoring;
* ``one attack more``: the same audit again with another parameter of Min-K%, from the score store.

Ours includes reading the data, the score store, intervals and soundness checks; the loops only load, tokenize, score
and attack. The scores of every attack must agree with the loop's, or the program fails.
"""

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

import click  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from contenders import Scored, loop, mimir_loop  # noqa: E402
from growth import TOKENIZER_TEXTS, build_tokenizer, make_texts, write_jsonl  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from workloads import build_model  # noqa: E402

from attacks import BUILTIN, LOWERCASE, Attack, Need, Signals, TokenScores  # noqa: E402
from auditor.auditing.attack_choice import choose_attacks  # noqa: E402
from auditor.auditing.pipeline import Audit, audit  # noqa: E402
from auditor.config import AttackSpec, AuditConfig, DataSpec, ModelSpec  # noqa: E402
from auditor.engine.tokens import TokenSequence, encode, resolve_prefix  # noqa: E402

TEN_ATTACKS = (
    "loss",
    "reference",
    "zlib",
    "lowercase",
    *(f"{name}:k={k}" for name in ("min_k", "min_k_plus_plus") for k in (0.1, 0.2, 0.3)),
)
ONE_MORE = "min_k:k=0.4"
TOLERANCE = 2e-3
"""Largest difference of an attack's score to the loop's, as a share of the scores' spread, that is still rounding."""

Pass = tuple[str, str]
"""A role, target or reference, and a view of the texts."""


def save_model(folder: Path, name: str, tokenizer: Any, *, seed: int) -> Path:
    """Save a random model with a tokenizer that fits its vocabulary."""
    build_model(name, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def passes_of(attack: Attack) -> list[Pass]:
    """List the passes that an attack would run if it were alone."""
    passes = [("target", "text")]
    if Need.REFERENCE in attack.needs:
        passes.append(("reference", "text"))
    if Need.LOWERCASE in attack.needs:
        passes.append(("target", LOWERCASE))
    return passes


def run_pass(one: Pass, folders: dict[str, Path], texts: Sequence[str], *, moments: bool) -> TokenScores:
    """Load a model and score one view of all texts, one at a time, with the published loop."""
    role, view = one
    tokenizer = AutoTokenizer.from_pretrained(folders[role])
    model = AutoModelForCausalLM.from_pretrained(folders[role], dtype=torch.float32).eval()
    prefix = resolve_prefix(tokenizer, "auto", n_vocabulary=model.config.get_text_config().vocab_size).ids
    window = model.config.max_position_embeddings
    ids = encode(tokenizer, [text.lower() for text in texts] if view == LOWERCASE else texts)
    if max(map(len, ids)) + len(prefix) > window or len(prefix) != 1:
        sys.exit(f"this benchmark needs texts of less than {window} tokens and one prefix token")
    scored = (loop if moments else mimir_loop)(model, [TokenSequence((*prefix, *tokens), 1) for tokens in ids])
    return token_scores(scored)


def token_scores(scored: Scored) -> TokenScores:
    """Lay the scores of a loop end to end, as attacks read them."""
    logprob = np.concatenate(scored.logprob)
    return TokenScores(
        offsets=np.cumsum([0, *map(len, scored.logprob)]),
        logprob=logprob,
        logprob_mean=np.concatenate(scored.mean) if scored.mean else np.zeros_like(logprob),
        logprob_variance=np.concatenate(scored.variance) if scored.variance else np.zeros_like(logprob),
        rank=np.zeros(len(logprob), dtype=np.int32),
        logprob_max=np.zeros_like(logprob),
    )


def attack_with(attack: Attack, scores: dict[Pass, TokenScores], ids: Sequence[str], texts: Sequence[str]) -> Any:
    """Let an attack score what the loops found."""
    signals = Signals(
        sample_ids=tuple(ids),
        texts=tuple(texts),
        target=scores["target", "text"],
        references=(scores["reference", "text"],) if ("reference", "text") in scores else (),
        views={LOWERCASE: scores["target", LOWERCASE]} if ("target", LOWERCASE) in scores else {},
    )
    return attack.score(signals)


def pass_per_attack(
    attacks: Sequence[Attack], folders: dict[str, Path], ids: Sequence[str], texts: Sequence[str]
) -> dict[str, Any]:
    """Run every attack on passes of its own."""
    found = {}
    for number, attack in enumerate(attacks, 1):
        print(f"    attack {number} of {len(attacks)}: {attack.label}", file=sys.stderr, flush=True)
        moments = Need.VOCAB_STATS in attack.needs
        scores = {one: run_pass(one, folders, texts, moments=moments) for one in passes_of(attack)}
        found[attack.label] = attack_with(attack, scores, ids, texts)
    return found


def shared_passes(
    attacks: Sequence[Attack], folders: dict[str, Path], ids: Sequence[str], texts: Sequence[str]
) -> dict[str, Any]:
    """Run every pass once, with moments if an attack needs them, and all attacks on them."""
    needed = dict.fromkeys(one for attack in attacks for one in passes_of(attack))
    moments, scores = any(Need.VOCAB_STATS in attack.needs for attack in attacks), {}
    for number, one in enumerate(needed, 1):
        print(f"    pass {number} of {len(needed)}: {', '.join(one)}", file=sys.stderr, flush=True)
        scores[one] = run_pass(one, folders, texts, moments=moments and one == ("target", "text"))
    return {attack.label: attack_with(attack, scores, ids, texts) for attack in attacks}


def compare(done: Audit, found: dict[str, Any]) -> float:
    """Largest difference of a score, as a share of the spread of the attack's scores; too large ends the program."""
    worst = 0.0
    for label, expected in found.items():
        difference = float(np.abs(done.samples.scores[label] - expected).max() / np.std(expected))
        if not difference <= TOLERANCE:
            sys.exit(f"attack {label} disagrees with the loop: {difference:.2g} of its standard deviation")
        worst = max(worst, difference)
    return worst


def timed(name: str, run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return a result, and the wall and CPU seconds that it took; say on stderr what runs."""
    print(f"  {name} ...", file=sys.stderr, flush=True)
    cpu, wall = os.times(), time.perf_counter()
    result = run()
    seconds, now = time.perf_counter() - wall, os.times()
    print(f"  {name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return result, {"wall": seconds, "cpu": now.user - cpu.user + now.system - cpu.system}


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--target", metavar="DIR", type=click.Path(path_type=Path), help="Default: random, of --shape.")
@click.option("--reference", metavar="DIR", type=click.Path(path_type=Path), help="Default: random, of --shape.")
@click.option("--shape", type=click.Choice(["gpt2-124m", "llama-128k"]), default="gpt2-124m", show_default=True)
@click.option("--attacks", type=click.Choice(["builtin", "ten"]), default="ten", show_default=True)
@click.option("--n", default=16, show_default=True, help="Texts, half of them members.")
@click.option("--words", default=40, show_default=True, help="Texts have half to twice as many words.")
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write all measurements.")
def main(
    target: Path | None,
    reference: Path | None,
    shape: str,
    attacks: str,
    n: int,
    words: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Run the audit, the audit with one attack more, and both loops; print ratios."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = build_tokenizer(list(make_texts(TOKENIZER_TEXTS, words=words, seed=3)))
        folders = {
            "target": target or save_model(folder / "target", shape, tokenizer, seed=0),
            "reference": reference or save_model(folder / "reference", shape, tokenizer, seed=1),
        }
        sides = {side: list(make_texts(n // 2, words=words, seed=seed)) for seed, side in enumerate(("in", "out"))}
        members, non_members = (write_jsonl(folder / f"{side}.jsonl", iter(texts)) for side, texts in sides.items())
        config = AuditConfig(
            target=ModelSpec(path=str(folders["target"])),
            references=(ModelSpec(path=str(folders["reference"])),),
            members=DataSpec(path=str(members)),
            non_members=DataSpec(path=str(non_members)),
            attacks=tuple(map(AttackSpec.parse, TEN_ATTACKS if attacks == "ten" else BUILTIN)),
            device="cpu",
            include_text=True,
        )
        one_more = replace(config, attacks=(*config.attacks, AttackSpec.parse(ONE_MORE)))
        chosen = choose_attacks(config)[0]

        few = {side: write_jsonl(folder / f"few-{side}.jsonl", iter(texts[:4])) for side, texts in sides.items()}
        warm_up = replace(config, members=DataSpec(path=str(few["in"])), non_members=DataSpec(path=str(few["out"])))
        print("  warming up ...", file=sys.stderr, flush=True)
        audit(warm_up, scores_folder=folder / "warm-up")
        done, seconds["ours"] = timed("ours", lambda: audit(config, scores_folder=folder / "scores"))
        ids, texts = done.samples.sample_id, done.samples.text or ()
        again, seconds["one attack more"] = timed(
            "one attack more", lambda: audit(one_more, scores_folder=folder / "scores")
        )
        shared, seconds["shared passes"] = timed("shared passes", lambda: shared_passes(chosen, folders, ids, texts))
        alone, seconds["a pass per attack"] = timed(
            "a pass per attack", lambda: pass_per_attack(chosen, folders, ids, texts)
        )
        worst = max(compare(done, alone), compare(done, shared), compare(again, shared))
        if again.result.provenance.n_tokens_scored:
            sys.exit("the second audit scored tokens again; the score store does not work")

    n_passes = sum(len(passes_of(attack)) for attack in chosen)
    shared_n = len({one for attack in chosen for one in passes_of(attack)})
    table = Table(
        title=f"{len(chosen)} attacks, {n} texts, {target or shape}: {n_passes} passes alone, {shared_n} shared",
        caption=f"Scores agree within {worst:.0e} of an attack's standard deviation",
    )
    table.add_column("ratio")
    table.add_column("wall", justify="right")
    table.add_column("CPU", justify="right")
    for above, below in (
        ("a pass per attack", "ours"),
        ("shared passes", "ours"),
        ("ours", "one attack more"),
        ("a pass per attack", "one attack more"),
    ):
        ratios = [f"{seconds[above][kind] / seconds[below][kind]:.2f}" for kind in ("wall", "cpu")]
        table.add_row(f"{above} / {below}", *ratios)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if json_path is not None:
        json_path.write_text(json.dumps({"seconds": seconds, "n_passes": n_passes, "worst": worst}, indent=1))


if __name__ == "__main__":
    main()
