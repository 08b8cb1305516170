"""The training of one shadow model: how it starts, what it is asked afterwards, and its folder, whole or not at all."""

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch

from ..config import ModelSpec
from ..documents.files import to_text
from ..documents.shadows import SHADOW, Shadow, ShadowRun, ShadowSettings, unpack_seen
from ..engine.loading.models import ModelFiles, load_weights, open_model
from ..engine.tokens import tokenizer_fingerprint
from .lora import with_lora
from .shadow_texts import read_tokens
from .training import build, save, sequence_nll, train

__all__ = ["ShadowJob", "train_shadow"]

_CHECKED = 200
"""Texts of each half that a trained shadow is asked about."""

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowJob:
    """Train one shadow on the texts in a file, and put it in a folder."""

    index: int
    start: ModelSpec
    settings: ShadowSettings
    saw: str
    seed: int
    steps: int
    device: str
    tokens: str
    folder: str

    @property
    def cost(self) -> float:
        """Steps: all shadows are of one size."""
        return float(self.steps)


def train_shadow(job: ShadowJob, on_share: Callable[[float], None]) -> ShadowRun:
    """Train one shadow, see what it says of some texts of both halves, and put it in its folder, whole."""
    started = monotonic()
    files = open_model(job.start)
    tokens, masks, copies = read_tokens(Path(job.tokens))
    sequences = [torch.from_numpy(ids.astype(np.int64)) for ids in tokens]
    predicted = [torch.from_numpy(places) for places in masks]
    seen = unpack_seen(job.saw, len(copies))
    model = _fresh(files, job)
    stream = [i for i in np.flatnonzero(seen) for _ in range(copies[i])]
    done = train(
        model,
        [sequences[i] for i in stream],
        predicted=[predicted[i] for i in stream],
        steps=job.steps,
        batch_size=job.settings.batch_size,
        learning_rate=job.settings.learning_rate,
        seed=job.seed,
        warmup=min(50, job.steps // 10),
        on_step=lambda step, _: on_share(step / job.steps),
    )
    order = np.random.default_rng([job.settings.seed, job.index // 2, 1]).permutation(len(copies))
    checked = [order[seen[order] == side][:_CHECKED] for side in (True, False)]
    seen_bits, unseen_bits = (
        _bits_per_token(model, [(sequences[i], predicted[i]) for i in places]) for places in checked
    )
    with _whole_folder(Path(job.folder)) as partial:
        _save(model, files, partial)
        saved = open_model(ModelSpec.parse(str(partial), tokenizer=job.start.tokenizer))
        run = ShadowRun(
            folder=Path(job.folder).name,
            weights_sha256=saved.weights_sha256,
            saw=job.saw,
            seed=job.seed,
            steps=done.steps,
            tokens=done.tokens,
            loss_bits_per_token=float(np.mean(done.losses[-max(1, done.steps // 10) :])) / math.log(2),
            seen_bits_per_token=seen_bits,
            unseen_bits_per_token=unseen_bits,
            n_checked=sum(map(len, checked)),
            device=job.device,
            seconds=round(monotonic() - started, 3),
            packages={name: version(name) for name in _PACKAGES},
            config_sha256=saved.config_sha256,
            tokenizer_sha256=tokenizer_fingerprint(saved.tokenizer),
        )
        (partial / SHADOW).write_text(to_text(Shadow(settings=job.settings, run=run)), encoding="utf-8")
    return run


def _fresh(files: ModelFiles, job: ShadowJob) -> Any:
    """Make the model that a shadow is before its training."""
    if job.settings.start == "scratch":
        config = copy.deepcopy(files.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # the shadow's weights will not be
        return build(config, seed=job.seed).to(job.device)
    model, _ = load_weights(files, dtype="float32", device=job.device)
    if job.settings.lora_rank is None:
        return model.requires_grad_(True)
    return with_lora(model, job.settings.lora_rank, seed=job.seed)


def _save(model: Any, files: ModelFiles, folder: Path) -> None:
    """Write a model with its tokenizer, or an adapter that names its base."""
    if not hasattr(model, "peft_config"):
        save(model, files.tokenizer, folder)
        return
    model.save_pretrained(folder, save_embedding_layers=False)  # "auto" asks a hub
    (folder / "README.md").unlink(missing_ok=True)
    if files.spec.tokenizer is not None:
        files.tokenizer.save_pretrained(folder)  # the base's own is another one, or none
    file, spec = folder / "adapter_config.json", files.spec
    stated = {key: sorted(value) if isinstance(value, list) else value for key, value in _stated(file).items()}
    is_local = Path(spec.path).exists()
    stated |= {"base_model_name_or_path": str(files.source.resolve()) if is_local else spec.path}
    stated |= {"revision": spec.revision, "inference_mode": True}
    file.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _stated(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _bits_per_token(model: Any, texts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Mean code length of the predicted tokens of some texts: ids, and which of them are predicted."""
    nats = 0.0
    for _, rows in groupby(sorted(texts, key=lambda text: len(text[0])), key=lambda text: len(text[0])):
        ids, predicted = (torch.stack(part) for part in zip(*rows, strict=True))
        nats += float(sequence_nll(model, ids, predicted, batch_size=8).sum())
    return nats / math.log(2) / sum(int(predicted[1:].sum()) for _, predicted in texts)


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to that becomes ``folder`` once all is written; of a failed write nothing stays."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
