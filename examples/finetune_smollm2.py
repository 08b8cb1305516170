"""Fine-tune a causal language model on a random half of a corpus and leave everything that an audit needs.

Any corpus does: JSON lines with ``id``, ``text`` and, if it has one, ``group`` (the unit that a text comes
from: an author, a thread, a title). For example, with a folder that holds SmolLM2-135M::

    python examples/finetune_smollm2.py --model smollm2-135m --corpus corpus.jsonl --out run \
        --members 128 --non-members 128 --reference-texts 128 --max-tokens 160 --epochs 2

Use texts that the model was not trained on before: the reference must not know the members. ``--out`` then holds

* ``members.jsonl`` and ``non_members.jsonl``: ``id`` and ``text``, cut to what was trained, in the same way
  on both sides, so that the text scored is the text trained. One text of each group is kept, so the texts are
  independent and there is no ``group`` column;
* ``target/``: the model fine-tuned on the members, with its tokenizer;
* ``reference/``, with ``--reference-texts``: the model fine-tuned in the same way on as many other texts;
* ``training.json``: the settings, the number of tokens and the loss of each epoch.

Fine-tuning also teaches the model the style of the corpus, which shortens members and non-members alike: signed
bits against the base model can be far above zero on both sides. What tells of memorization is by how much the
members' exceed the non-members'. A reference fine-tuned on other texts of the corpus takes the style off.

Audit it with ``auditor audit --target run/target --reference run/reference --members run/members.jsonl
--non-members run/non_members.jsonl``.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    get_cosine_schedule_with_warmup,
)


def cut(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> tuple[str, list[int]]:
    """Cut a text to at most `max_tokens` tokens, such that the tokens are those of the text returned.

    The start of a text can be tokenized otherwise when it stands alone, so the cut text is tokenized again,
    and cut again until it fits.
    """
    while True:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if len(encoded["input_ids"]) <= max_tokens:
            return text, encoded["input_ids"]
        text = text[: encoded["offset_mapping"][max_tokens][0]]


def draw(
    documents: list[dict],
    n: int,
    n_more: int,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    seed: int,
) -> tuple[list[dict], list[dict]]:
    """Draw `n` documents at random, then `n_more`, no two of all of which are near duplicates.

    Skipped are texts of a group drawn before, equal texts (whitespace and case aside) and texts that share
    half of their runs of eight words with those drawn before. Texts are compared as cut.

    Returns
    -------
    tuple of two lists of dict
        ``id``, ``text`` (cut) and ``tokens`` of each; the first list in random order.
    """
    rng = np.random.default_rng([seed, 0])
    drawn: list[dict] = []
    seen: set[object] = set()
    for i in rng.permutation(len(documents)):
        text, tokens = cut(documents[i]["text"], tokenizer, max_tokens)
        words = re.findall(r"\w+", text.lower())
        runs = {tuple(words[k : k + 8]) for k in range(max(1, len(words) - 7))}
        keys: set[object] = {" ".join(text.lower().split())}
        if (group := documents[i].get("group")) is not None:
            keys.add(("the group", group))
        if not tokens or keys & seen or len(runs & seen) >= len(runs) / 2:
            continue
        seen |= keys | runs
        drawn.append({"id": str(documents[i]["id"]), "text": text, "tokens": tokens})
        if len(drawn) == n + n_more:
            # Later draws had to differ from earlier ones, so the split must not follow the order of drawing.
            order = np.random.default_rng([seed, 2]).permutation(n)
            return [drawn[k] for k in order], drawn[n:]
    raise SystemExit(f"the corpus has only {len(drawn)} distinct texts; {n + n_more} are needed")


def collate(texts: list[list[int]], prefix_id: int, device: str) -> dict[str, torch.Tensor]:
    """Pad ``prefix + text`` on the right; labels are the text's tokens, never the prefix nor the padding."""
    shape = (len(texts), 1 + max(map(len, texts)))
    input_ids = torch.full(shape, prefix_id)
    mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    for row, tokens in enumerate(texts):
        input_ids[row, 1 : 1 + len(tokens)] = labels[row, 1 : 1 + len(tokens)] = torch.tensor(tokens)
        mask[row, : 1 + len(tokens)] = 1
    batch = {"input_ids": input_ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def train(model: torch.nn.Module, texts: list[list[int]], prefix_id: int, args: argparse.Namespace) -> list[float]:
    """Train on the texts, in a new order each epoch, and return each epoch's mean loss in nats per token."""
    rng = np.random.default_rng([args.seed, 1])
    n_steps = args.epochs * -(-len(texts) // args.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, n_steps // 20, n_steps)
    losses = []
    model.train()
    for epoch in range(args.epochs):
        start, total, n_tokens = time.monotonic(), 0.0, 0
        order = rng.permutation(len(texts))
        for first in range(0, len(texts), args.batch_size):
            chosen = [texts[i] for i in order[first : first + args.batch_size]]
            loss = model(**collate(chosen, prefix_id, args.device), use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            n_step = sum(map(len, chosen))
            total, n_tokens = total + loss.item() * n_step, n_tokens + n_step
        losses.append(total / n_tokens)
        seconds = time.monotonic() - start
        print(f"epoch {epoch + 1}/{args.epochs}: loss {losses[-1]:.4f} nats/token, {seconds:.0f} s", flush=True)
    return losses


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FOLDER", help="Hugging Face folder of the base model")
    add("--corpus", type=Path, required=True, metavar="FILE.jsonl", help="texts: id, text and perhaps group")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to create")
    add("--members", type=int, default=64, help="texts to train on")
    add("--non-members", type=int, default=64, help="texts to hold out")
    add("--reference-texts", type=int, default=0, help="other texts, to train a reference on as well")
    add("--max-tokens", type=int, default=256, help="cut each text to this many tokens")
    add("--epochs", type=int, default=2, help="passes over the members")
    add("--lr", type=float, default=5e-5, help="peak learning rate")
    add("--batch-size", type=int, default=2, help="texts in a step")
    add("--prefix", default="<|endoftext|>", help="token that stands before each text")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where to train")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    add("--seed", type=int, default=0, help="of the draw, the split and the order of training")
    args = parser.parse_args()
    if min(args.members, args.non_members, args.max_tokens, args.epochs, args.batch_size, args.threads) < 1:
        parser.error("numbers must be positive")
    if args.out.exists():
        parser.error(f"{args.out} exists already")
    return args


def main() -> None:
    """Draw, split, train and write."""
    args = parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    prefix_id = tokenizer.get_vocab().get(args.prefix)
    if prefix_id is None:
        raise SystemExit(f"the tokenizer has no token {args.prefix!r}: choose another --prefix")

    with open(args.corpus, encoding="utf-8") as file:
        documents = [json.loads(line) for line in file if line.strip()]
    n = args.members + args.non_members
    drawn, others = draw(documents, n, args.reference_texts, tokenizer, args.max_tokens, args.seed)
    sides = {"members": drawn[: args.members], "non_members": drawn[args.members :]}
    args.out.mkdir(parents=True)
    for name, side in sides.items():
        with open(args.out / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for sample in side:
                kept = {"id": sample["id"], "text": sample["text"]}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")

    losses = {}
    start = time.monotonic()
    for name, texts in {"target": sides["members"], "reference": others}.items():
        if texts:
            print(f"training the {name} on {len(texts)} texts", flush=True)
            model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(args.device)
            losses[name] = train(model, [sample["tokens"] for sample in texts], prefix_id, args)
            model.eval().save_pretrained(args.out / name)
            tokenizer.save_pretrained(args.out / name)
    record = {
        **vars(args),
        **{key: getattr(args, key).name for key in ("model", "corpus", "out")},
        "prefix_id": prefix_id,
        "n_parameters": model.num_parameters(),
        "n_documents": len(documents),
        "n_tokens": {name: sum(len(sample["tokens"]) for sample in side) for name, side in sides.items()},
        "loss_by_epoch_nats_per_token": losses,
        "training_seconds": round(time.monotonic() - start, 1),
    }
    (args.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
