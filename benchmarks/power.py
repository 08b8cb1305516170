"""Power of each attack on models whose training is known: one table, at three numbers of samples a parameter.

    python benchmarks/power.py --data corpus.jsonl --out power

For each level a target is trained from scratch on n texts, n others are held out, a reference is trained on other texts
of the corpus, and shadow models on random halves of the 2n texts (`auditor shadows`). The audit is the real one, with
every attack. All texts come from one pool, split at random, so the checks have nothing to find.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from auditor.auditing.pipeline import Audit, audit
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.data import load_samples, load_texts
from auditor.engine.loading.models import open_model
from auditor.engine.tokens import Encoder
from auditor.experiments.corpus import train_tokenizer
from auditor.experiments.shadow_texts import prepare_texts
from auditor.experiments.shadows import ShadowPlan, train_shadows
from auditor.experiments.training import build, one_thread, save, steps_in, train

N_SHOTS, N_COUNTED = 3, 500
BATCH_SIZE, VOCABULARY, WINDOW = 32, 512, 256
WITH_SHADOWS = [
    *("reference", "ez", "wbc", "rmia", "lira", "lira:variance=fixed", "lira:variance=per_sample"),
    *("lira_offline", "lira_offline:variance=per_sample"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="texts, as `auditor audit` takes them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--levels", default="0.025,0.05,0.1", help="samples a parameter")
    parser.add_argument("--epochs", type=float, default=150)
    parser.add_argument("--shadows", type=int, default=8)
    parser.add_argument("--words", type=int, default=26, help="words of a text")
    parser.add_argument("--reference-texts", type=int, default=6000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    texts = cut(load_texts(DataSpec(path=args.data))[0].words, n_words=args.words)
    rng = np.random.default_rng(args.seed)
    texts = [texts[i] for i in rng.permutation(len(texts))]
    tokenizer = train_tokenizer(texts, n_vocabulary=VOCABULARY)
    model = args.out / "architecture"
    save(build(architecture(tokenizer), seed=args.seed), tokenizer, model)
    n_parameters = open_model(ModelSpec(path=str(model))).n_parameters
    print(f"{len(texts):,} texts of {args.words} words; {n_parameters:,} parameters", flush=True)
    n_others = args.reference_texts + 2 * N_SHOTS + N_COUNTED
    others, texts = texts[:n_others], texts[n_others:]
    reference = args.out / "reference"
    fit(
        model,
        reference,
        write(args.out / "reference.jsonl", others[: args.reference_texts]),
        epochs=6,
        seed=args.seed + 1,
    )
    rows: dict[float, list[tuple[str, Audit]]] = {}
    for level in map(float, args.levels.split(",")):
        rows[level] = measure(
            args, level, round(level * n_parameters), texts, others[args.reference_texts :], model, reference
        )
        print(table(rows), flush=True)


def cut(documents: Sequence[str], *, n_words: int) -> list[str]:
    """Cut documents into different passages of so many words."""
    passages: dict[str, None] = {}
    for document in documents:
        words = document.split()
        for start in range(0, len(words) - n_words + 1, n_words):
            passages[" ".join(words[start : start + n_words])] = None
    return list(passages)


def architecture(tokenizer: Any) -> Any:
    """Return a small model with rotary positions: texts after shots lie further back than any text in training."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=WINDOW,
        hidden_size=16,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def write(path: Path, texts: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def fit(model: Path, folder: Path, texts: Path, *, epochs: float, seed: int) -> None:
    """Train a model from scratch on all texts of a file, as shadows are trained, unless it is there."""
    if folder.exists():
        return
    files = open_model(ModelSpec(path=str(model)))
    encoder = Encoder.build(
        files.tokenizer,
        rule="auto",
        n_vocabulary=files.n_vocabulary,
        context_window=files.context_window,
        max_tokens=None,
    )
    sequences = prepare_texts(load_samples(DataSpec(path=str(texts)), None), files, encoder).sequences
    weights = build(files.config, seed=seed)
    with one_thread():
        train(
            weights,
            sequences,
            seed=seed,
            batch_size=BATCH_SIZE,
            learning_rate=min(0.03, 2.2 / files.n_parameters**0.5),
            steps=steps_in(epochs, n_sequences=len(sequences), batch_size=BATCH_SIZE),
        )
    save(weights, files.tokenizer, folder)


def measure(
    args: argparse.Namespace, level: float, n: int, texts: list[str], others: list[str], model: Path, reference: Path
) -> list[tuple[str, Audit]]:
    """Train everything for one level, and audit: with one reference, and with shadows."""
    if 2 * n + N_SHOTS > len(texts):
        raise SystemExit(f"level {level:g} needs {2 * n + N_SHOTS:,} texts, there are {len(texts):,}")
    folder = args.out / f"level-{level:g}"
    member_shots = texts[2 * n : 2 * n + N_SHOTS]
    members = write(folder / "members.jsonl", texts[:n])
    non_members = write(folder / "non_members.jsonl", texts[n : 2 * n])
    trained = write(folder / "trained.jsonl", texts[:n] + member_shots)
    started = monotonic()
    fit(model, folder / "target", trained, epochs=args.epochs, seed=args.seed + 2)
    plan = ShadowPlan(
        target=ModelSpec(path=str(model)),
        n_models=args.shadows,
        epochs=args.epochs,
        batch_size=BATCH_SIZE,
        seed=args.seed + 3,
    )
    data = load_samples(DataSpec(path=str(members)), DataSpec(path=str(non_members)))
    train_shadows(plan, data, folder=folder / "shadows", workers=args.workers)
    print(f"level {level:g}: n = {n}, trained in {monotonic() - started:.0f} s", flush=True)

    def run(name: str, **more: Any) -> Audit:
        sides = {"members": str(members), "non_members": str(non_members)}
        config = AuditConfig.from_options({"target": str(folder / "target")} | sides | more)
        return audit(config, scores_folder=folder / f"scores-{name}")

    one = run(
        "one",
        references=[str(reference)],
        attacks=["all"],
        shots=str(write(folder / "shots.jsonl", others[:N_SHOTS])),
        member_shots=str(write(folder / "member_shots.jsonl", member_shots)),
        frequency_corpus=str(write(folder / "counted.jsonl", others[2 * N_SHOTS :])),
    )
    return [("one reference", one), ("shadows", run("shadows", shadows=str(folder / "shadows"), attacks=WITH_SHADOWS))]


def table(rows: dict[float, list[tuple[str, Audit]]]) -> str:
    """Write the AUC of every attack with its interval, a column a level."""
    cells: dict[str, dict[float, str]] = {}
    for level, audits in rows.items():
        for references, audited in audits:
            for attack in audited.result.attacks:
                needs_reference = any("reference" in need or need == "shadows" for need in attack.needs)
                name = f"{attack.attack}, {references}" if needs_reference else attack.attack
                cells.setdefault(name, {})[level] = cell(attack.auc)
            combined = audited.result.combination
            if combined is not None:
                cells.setdefault(f"all together, {references}", {})[level] = cell(combined.auc)
                cells.setdefault(f"their gain over the best one, {references}", {})[level] = cell(combined.gain)
    head = ["| attack | " + " | ".join(f"{level:g} samples a parameter" for level in rows) + " |"]
    head += ["|---|" + "---|" * len(rows)]
    return "\n".join(
        head + [f"| {name} | " + " | ".join(row.get(level, "") for level in rows) + " |" for name, row in cells.items()]
    )


def cell(estimate: Any) -> str:
    if estimate.value is None:
        return f"— ({estimate.undefined_reason})"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


if __name__ == "__main__":
    main()
