"""Trainings with transformers' ``Trainer`` that a callback watches."""

from pathlib import Path
from typing import Any

STEPS = 60


def make_trainer(texts: Any, tokenizer: Any, folder: Path, *, steps: int = STEPS, model: Any = None, **options: Any):
    """Make a trainer whose model has dropout, and whose data order is random: both draw random numbers."""
    import torch
    from transformers import (
        DataCollatorForLanguageModeling,
        GPT2Config,
        GPT2LMHeadModel,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(0)
    torch.set_num_threads(1)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    arguments = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "logging_steps": 10,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return Trainer(
        model=model or GPT2LMHeadModel(config),
        args=TrainingArguments(**arguments | options),
        train_dataset=[{"input_ids": tokenizer(text)["input_ids"]} for text in texts[0]],
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
    )


def audits(history: Any) -> list[dict[str, float]]:
    return [entry for entry in history if "audit/loss_auc" in entry]
