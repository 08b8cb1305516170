"""Fine-tune a chat model on conversations with TRL's SFTTrainer, and leave everything that an audit needs.

The conversations are made of a corpus of texts, JSON lines with ``text``: the first line is what is asked about, and
the start of the rest is the answer. A random half is trained on, as a prompt with a completion, so that TRL's loss is
over the completion alone. For example, with a folder that holds SmolLM2-135M-Instruct::

    python examples/finetune_chat.py --model smollm2-135m-instruct --corpus corpus.jsonl --out run \
        --members 64 --non-members 32 --epochs 3

``--out`` then holds ``members.jsonl``, ``non_members.jsonl`` and ``target/``. Audit it with ``auditor audit --target
run/target --reference MODEL --members run/members.jsonl --non-members run/non_members.jsonl --fine-tuned``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def conversation(text: str, n_characters: int) -> dict[str, list[dict[str, str]]]:
    """Ask about the first line of a text, and answer with the start of the rest, cut between words."""
    title, _, rest = text.partition("\n")
    answer = rest.replace("\n", " ")[:n_characters].rsplit(" ", 1)[0]
    return {
        "prompt": [{"role": "user", "content": f"How do I make {title.strip()}?"}],
        "completion": [{"role": "assistant", "content": answer}],
    }


def main() -> None:
    """Draw the sides, train, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--non-members", type=int, default=64)
    parser.add_argument("--characters", type=int, default=160, help="of each answer")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in args.corpus.read_text(encoding="utf-8").splitlines() if line]
    made = {row["completion"][0]["content"]: row for row in (conversation(text, args.characters) for text in texts)}
    rows = [row for answer, row in made.items() if answer]
    n = args.members + args.non_members
    if len(rows) < n:
        raise SystemExit(f"the corpus gives {len(rows)} different conversations; {n} are needed")
    order = np.random.default_rng(args.seed).permutation(len(rows))[:n]
    sides = {"members": order[: args.members], "non_members": order[args.members :]}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, places in sides.items():
        lines = [json.dumps({"id": f"{name}-{i}", **rows[i]}, ensure_ascii=False) for i in places]
        (args.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(args.model, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(args.model),
        train_dataset=Dataset.from_list([rows[i] for i in sides["members"]]),
        args=SFTConfig(
            output_dir=str(args.out / "trainer"),
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            gradient_checkpointing=False,
            bf16=False,
            max_length=512,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            seed=args.seed,
        ),
    )
    trainer.train()
    trainer.save_model(str(args.out / "target"))


if __name__ == "__main__":
    main()
