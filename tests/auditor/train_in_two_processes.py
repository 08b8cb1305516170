"""A training under ``torchrun`` that a rule stops; each process says when and why it ended."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from auditor.training_callback import MemorizationCallback, StopAbove

TESTS = Path(__file__).parents[1]


def load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    tiny, ours = load(TESTS / "conftest.py"), load(TESTS / "auditor" / "test_training_callback.py")
    tokenizer = tiny.build_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    texts = tiny.make_texts(20, seed=1), tiny.make_texts(20, seed=2)
    trainer = ours.make_trainer(texts, tokenizer, Path(sys.argv[1]))
    callback = MemorizationCallback(*texts, every_steps=10, stop_when=StopAbove({"reference_auc": 0.7}))
    callback.attach(trainer).train()
    steps = [entry["step"] for entry in ours.audits(trainer.state.log_history)]
    print("said", trainer.args.process_index, trainer.state.global_step, steps, callback.stop_reason, flush=True)


if __name__ == "__main__":
    main()
