"""Bounds on epsilon beside an accountant's: canaries with coins in models that were trained by DP-SGD (opacus).

    python benchmarks/dp_sgd.py --out docs/data/dp-sgd.json

Each run throws new coins, inserts the canaries that they put in as `auditor canaries insert` does, trains a tiny Llama
by DP-SGD (Poisson sampling, opacus' gradients of single records, clipping and noise), saves it, and looks for the
canaries with the code of `auditor canaries audit`. The accountant's epsilon, of adding or removing one record, is an
upper bound on what the training gives away; the audit's is a lower one, and may lie above it in one run of twenty at
most. Without noise the same training has no epsilon: what is found there says whether the canaries can show anything.
"""

import argparse
import json
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from auditor.canaries.auditing import audit_canaries
from auditor.canaries.folder import CanarySet, record, write_canaries
from auditor.canaries.insertion import InsertionPlan, insert_canaries
from auditor.config import AuditConfig
from auditor.documents.canaries import Canary, CanaryManifest, CanaryResult, CanarySecrets, HashedCanary
from auditor.documents.coins import commitment, new_coins

ALPHABET = string.ascii_lowercase + " "
LENGTH, N_TEXTS, N_CANARIES = 12, 100, 200
SHARE, STEPS, CLIP, LEARNING_RATE = 0.25, 100, 1.0, 0.01
DELTA = 1e-5


class Setting(NamedTuple):
    """Noise of DP-SGD, as a multiple of the norm that gradients are clipped to."""

    noise: float


SETTINGS = (Setting(8.0), Setting(3.0), Setting(1.0), Setting(0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--runs", type=int, default=20, help="of each setting")
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    document: dict[str, Any] = {"delta": DELTA, "n_canaries": N_CANARIES, "n_texts": N_TEXTS, "settings": []}
    for setting in SETTINGS:
        document["settings"].append(measured(setting, args.runs, args.steps))
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(render(document))


def measured(setting: Setting, runs: int, steps: int) -> dict[str, Any]:
    """Train and audit so many models; return the bounds beside the accountant's epsilon."""
    epsilon = accounted(setting.noise, steps)
    found = []
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            found.append(one_run(Path(folder), setting.noise, steps=steps, seed=seed))
    tiers = [one.tiers[0] for one in found]
    bounds = [one.epsilon.epsilon_lower_bound or 0.0 for one in tiers]
    return {
        "noise": setting.noise,
        "steps": steps,
        "n_parameters": n_parameters(),
        "accountant_epsilon": epsilon,
        "ceiling": tiers[0].epsilon.ceiling,
        "bounds": bounds,
        "betting": [one.epsilon.betting_lower_bound for one in tiers],
        "auc": [one.auc.value for one in tiers],
        "n_above": 0 if epsilon is None else sum(bound > epsilon for bound in bounds),
    }


def accounted(noise: float, steps: int) -> float | None:
    """Return the accountant's epsilon of the training; None without noise."""
    from opacus.accountants import PRVAccountant

    if noise == 0:
        return None
    accountant = PRVAccountant()
    accountant.history = [(noise, SHARE, steps)]
    return float(accountant.get_epsilon(DELTA))


def one_run(folder: Path, noise: float, *, steps: int, seed: int) -> CanaryResult:
    """Make canaries with coins of their own, insert them, train, and look for them."""
    rng = np.random.default_rng(seed)
    canaries = drawn_canaries(rng)
    (folder / "canaries").mkdir()
    write_canaries(canaries, folder / "canaries")
    texts = "".join(json.dumps({"text": one}) + "\n" for one in drawn_texts(N_TEXTS, rng))
    (folder / "texts.jsonl").write_text(texts, encoding="utf-8")
    plan = InsertionPlan(source=folder / "texts.jsonl", out=folder / "train.jsonl")
    record(folder / "canaries", insert_canaries(plan, canaries))
    rows = [json.loads(line)["text"] for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    model = trained(rows, noise, steps=steps, seed=seed)
    model.save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    config = AuditConfig.from_options(
        {"target": str(folder / "model"), "members": "canaries", "canaries": str(folder / "canaries"), "delta": DELTA,
         "dtype": "float32", "device": "cpu"}
    )  # fmt: skip
    return audit_canaries(config, folder / "canaries", scores_folder=folder / "scores")


def drawn_texts(n: int, rng: np.random.Generator) -> list[str]:
    """Draw strings of letters."""
    return ["".join(rng.choice(list(ALPHABET), LENGTH)) for _ in range(n)]


def drawn_canaries(rng: np.random.Generator) -> CanarySet:
    """Draw canaries of one copy, of which each is a record of its own, and coins that nobody can know."""
    seed = new_coins().seed
    canaries = tuple(
        Canary(id=f"canary-{i}", prefix="", secret=text, copies=1)
        for i, text in enumerate(drawn_texts(N_CANARIES, rng))
    )
    manifest = CanaryManifest(
        auditor_version="0", coins_sha256=commitment(seed), secrets_from="rare", base=None, temperature=None,
        prefixes=None, prefix_tokens=0, secret_tokens=LENGTH,
        canaries=tuple(HashedCanary(id=one.id, copies=1, sha256=one.sha256) for one in canaries),
    )  # fmt: skip
    return CanarySet(CanarySecrets(seed=seed, canaries=canaries), manifest)


def tokenizer() -> Any:
    """Return a tokenizer whose tokens are characters; token 0 begins a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": 0} | {one: i for i, one in enumerate(ALPHABET, 1)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="<s>")


def untrained(seed: int) -> Any:
    """Return a Llama of a few thousand parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(ALPHABET) + 1, hidden_size=24, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config)


def n_parameters() -> int:
    return sum(one.numel() for one in untrained(0).parameters())


def trained(rows: list[str], noise: float, *, steps: int, seed: int) -> Any:
    """Train by DP-SGD: every record is in a step with probability `SHARE`, by a coin of its own."""
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    bare = untrained(seed).train()
    model = GradSampleModule(bare, batch_first=True, loss_reduction="sum", strict=False)
    expected = SHARE * (N_TEXTS + N_CANARIES / 2)  # not of the rows that are there: their number tells of coins
    optimizer = DPOptimizer(
        torch.optim.Adam(model.parameters(), lr=LEARNING_RATE), noise_multiplier=noise, max_grad_norm=CLIP,
        expected_batch_size=expected, loss_reduction="sum",
    )  # fmt: skip
    ids = torch.tensor([[0, *one] for one in tokenizer()(rows)["input_ids"]])  # (n_rows, 1 + LENGTH)
    sampling = torch.Generator().manual_seed(seed)
    for batch in batches(len(ids), steps, sampling):
        optimizer.zero_grad()
        chosen = ids[batch]
        logits = model(input_ids=chosen[:, :-1], position_ids=positions(chosen)).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), chosen[:, 1:].flatten(), reduction="sum").backward()
        optimizer.step()
    return bare.eval()


def positions(chosen: torch.Tensor) -> torch.Tensor:
    """Return the position of each token, a row a record, as gradients of single records need."""
    return torch.arange(chosen.shape[1] - 1).expand(len(chosen), -1)


def batches(n: int, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield the records of each step: a Poisson sample, never empty at these sizes."""
    for _ in range(steps):
        yield torch.nonzero(torch.rand(n, generator=generator) < SHARE).flatten()


def render(document: dict[str, Any]) -> str:
    """Return the table of the documentation."""
    lines = [
        "| noise | accountant's epsilon | runs | mean AUC | bounds: median, largest | ceiling | above accountant's |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in document["settings"]:
        epsilon = one["accountant_epsilon"]
        lines.append(
            f"| {one['noise']:g} | {'none' if epsilon is None else f'{epsilon:.2f}'} | {len(one['bounds'])} | "
            f"{np.mean(one['auc']):.3f} | {np.median(one['bounds']):.2f}, {max(one['bounds']):.2f} | "
            f"{one['ceiling']:.2f} | {'—' if epsilon is None else one['n_above']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
