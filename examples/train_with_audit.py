"""Train a causal language model, see in the log what it memorizes while it trains, and stop when that is too much.

Any model folder and any texts do: JSON lines with ``text``, those of ``--members`` being trained on and those of
``--non-members`` not. For example::

    python examples/train_with_audit.py --model smollm2-135m --members members.jsonl --non-members non_members.jsonl \
        --out run --steps 300 --every 50 --max-auc 0.7

Every 50 steps the log gets ``audit/loss_auc``, ``audit/reference_auc``, ``audit/bits_per_member``,
``audit/bits_per_token`` and ``audit/capacity_used``, each with ``_low`` and ``_high``; W&B, MLflow and TensorBoard show
them if ``--report-to`` names one. Bits are counted against the model as it was when training started, unless
``--reference`` names a model that never saw the members. Instead of ``--max-auc``, ``--policy policy.toml`` stops by
the gates of a policy.

The two lines that matter, for TRL's ``SFTTrainer`` as well::

    callback = MemorizationCallback(members, non_members, every_steps=50, policy="policy.toml")
    callback.attach(trainer).train()
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from auditor.training_callback import MemorizationCallback, StopAbove


def read_texts(file: Path) -> list[str]:
    """Read the texts of a file of JSON lines."""
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FOLDER", help="Hugging Face folder of the model to train")
    add("--members", type=Path, required=True, metavar="FILE.jsonl", help="texts to train on")
    add("--non-members", type=Path, required=True, metavar="FILE.jsonl", help="texts like them, to hold out")
    add("--reference", type=Path, metavar="FOLDER", help="model that never saw the members")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the trained model")
    add("--steps", type=int, default=300, help="optimizer steps")
    add("--every", type=int, default=50, help="steps from one audit to the next")
    add("--max-auc", type=float, help="stop when the AUC of the reference attack is surely above this")
    add("--policy", type=Path, metavar="FILE.toml", help="stop by the gates of this policy")
    add("--max-tokens", type=int, default=256, help="cut each text to this many tokens")
    add("--lr", type=float, default=5e-5, help="peak learning rate")
    add("--batch-size", type=int, default=8, help="texts in a step")
    add("--report-to", default="none", help="tensorboard, wandb, mlflow or none")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, audit on the way, and save."""
    args = parse_args(arguments)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    members, non_members = read_texts(args.members), read_texts(args.non_members)
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(args.model, dtype="float32"),
        args=TrainingArguments(
            output_dir=str(args.out),
            max_steps=args.steps,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.lr,
            logging_steps=args.every,
            save_strategy="no",
            report_to=args.report_to,
            dataloader_pin_memory=False,
        ),
        train_dataset=[
            {"input_ids": tokenizer(text, truncation=True, max_length=args.max_tokens)["input_ids"]} for text in members
        ],
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
    )
    callback = MemorizationCallback(
        members,
        non_members,
        every_steps=args.every,
        reference=args.reference,
        stop_when=None if args.max_auc is None else StopAbove({"reference_auc": args.max_auc}),
        policy=args.policy,
        max_tokens=args.max_tokens,
    )
    callback.attach(trainer).train()
    trainer.save_model(str(args.out))
    if callback.stop_reason is not None:
        print(f"stopped at step {trainer.state.global_step}: {callback.stop_reason}")


if __name__ == "__main__":
    main()
