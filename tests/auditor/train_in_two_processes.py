"""A training under ``torchrun`` that a rule stops; each process says when and why it ended.

The folder of the tests has to be on the path.
"""

import sys
from pathlib import Path

from auditor.training_callback import MemorizationCallback, StopAbove
from helpers import build_tokenizer, make_texts
from helpers_training import audits, make_trainer


def main() -> None:
    tokenizer = build_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    texts = make_texts(20, seed=1), make_texts(20, seed=2)
    trainer = make_trainer(texts, tokenizer, Path(sys.argv[1]))
    callback = MemorizationCallback(*texts, every_steps=10, stop_when=StopAbove({"reference_auc": 0.7}))
    callback.attach(trainer).train()
    steps = [entry["step"] for entry in audits(trainer.state.log_history)]
    print("said", trainer.args.process_index, trainer.state.global_step, steps, callback.stop_reason, flush=True)


if __name__ == "__main__":
    main()
