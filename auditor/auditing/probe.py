"""A probe of a model in memory: the audit's scoring and figures of a few texts, without its files."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks import Loss, Reference, Signals, TokenScores

from ..config import AuditConfig, DataSpec
from ..data import SampleSet, load_samples, samples_in_memory
from ..documents.estimate import Estimate
from ..engine.batches import Budget, make_batches
from ..engine.forward import STATISTICS, OutOfMemory, Scorer, SequenceScores
from ..engine.loading.configs import context_window, rope_boundary
from ..engine.models import chat_reader
from ..engine.request import ScoringRequest
from ..engine.scoring import check_scorer
from ..engine.signals import collect_signals
from ..engine.tokens import Encoder, TokenSequence, check_scorable
from ..errors import ConfigError, DataError, ModelError
from ..estimates.code_lengths import sample_bits
from ..estimates.memorization import dataset_memorization
from ..laws.capacity import bits_per_parameter
from ..stats.metrics import auc

__all__ = ["FIGURES", "Probe", "Texts", "read_probe", "undisturbed", "whole_model"]

FIGURES = ("loss_auc", "reference_auc", "bits_per_member", "bits_per_token", "capacity_used")
"""What is estimated, by name."""

Texts = str | Path | Sequence[str | Mapping[str, Any]]


def read_probe(members: Texts, non_members: Texts, text_field: str = "text") -> SampleSet:
    """Read two sides, both from files or both from rows in memory: texts, or conversations by their columns.

    Raises
    ------
    ConfigError, DataError
        As `load_samples` does; for a side without texts, and for a text that is on both.
    """
    for name, side in (("members", members), ("non_members", non_members)):
        if not isinstance(side, str | Path | Sequence):
            raise ConfigError(
                f"{name} must be a file or a list of texts, not {type(side).__name__}; both sides are needed"
            )
    if isinstance(members, str | Path) and isinstance(non_members, str | Path):
        specs = [DataSpec(path=str(side), text_field=text_field) for side in (members, non_members)]
        return load_samples(specs[0], specs[1])
    if isinstance(members, str | Path) or isinstance(non_members, str | Path):
        raise ConfigError("members and non_members must be two files, or two lists of texts")
    data = samples_in_memory({"members": members, "non_members": non_members})
    if not 0 < data.is_member.sum() < len(data):
        raise DataError("a probe set needs members and non-members; one side has no text")
    return data


def whole_model(model: Any) -> Any:
    """Take a model out of what trains it (DDP, ``torch.compile``), and refuse one of which only a part is here.

    Raises
    ------
    ModelError
        For a model that is sharded over processes or not in memory.
    """
    from accelerate.utils import extract_model_from_parallel  # comes with the Trainer

    sharded = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
    bare = model if sharded else extract_model_from_parallel(model, keep_torch_compile=False)
    # ZeRO-3 marks its parameters with ds_id; FSDP2 and tensor parallelism make them DTensors
    sharded = sharded or any(hasattr(one, "ds_id") or hasattr(one, "_local_tensor") for one in bare.parameters())
    if sharded or any(one.is_meta for one in bare.parameters()):
        raise ModelError(
            "each process holds only a part of the model (FSDP, DeepSpeed ZeRO-3, tensor parallel or offloading), "
            "which cannot be scored while it trains: train with DDP or ZeRO-2, or audit saved checkpoints"
        )
    return bare


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Set a model to score for the length of a block: evaluation mode, its own forward, no autocast.

    The mode of every module and all random states (Python, numpy, torch on the CPU and the model's GPUs) are put back.
    """
    modes = {module: module.training for module in model.modules()}
    devices = {parameter.device for parameter in model.parameters()}
    forward = vars(model).get("forward")
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (what training may draw from)
    with torch.random.fork_rng(devices=[device for device in devices if device.type == "cuda"]):
        try:
            model.eval()
            if "_original_forward" in vars(model):  # accelerate wraps it in autocast, and keeps it here
                model.forward = model._original_forward
            yield
        finally:
            if forward is not None:
                model.forward = forward
            for module, mode in modes.items():
                module.training = mode
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Texts as a model in memory reads them, ready to be scored again and again.

    Parameters
    ----------
    data : SampleSet
    texts : tuple of str
        As scored: cut so that they fit into the window of the model and of the reference; what is scored of them.
    sequences : tuple of TokenSequence
        One a text.
    reference : TokenScores
        Scores of the same texts under a model that never saw the members, or under this one before it was trained.
    budget : Budget
    """

    data: SampleSet
    texts: tuple[str, ...]
    sequences: tuple[TokenSequence, ...]
    reference: TokenScores
    budget: Budget

    @classmethod
    def open(
        cls, data: SampleSet, model: Any, tokenizer: Any, config: AuditConfig, *, has_reference: bool, folder: Path
    ) -> "Probe":
        """Cut the texts as an audit would, and score them under the reference, or the model as it is now.

        Parameters
        ----------
        config : AuditConfig
            Its target is the reference; window, prefix and batches are those of both models.
        has_reference : bool
            Whether there is one.
        folder : Path
            Score store of the reference.

        Raises
        ------
        ConfigError, DataError, ModelError
            If texts, tokenizers and models do not go together.
        """
        text_config = model.config.get_text_config()
        encoder = Encoder.build(
            tokenizer,
            rule=config.prefix_token,
            n_vocabulary=int(text_config.vocab_size),
            context_window=context_window(text_config),
            max_tokens=config.max_tokens,
            form=data.form,
            chat=chat_reader(tokenizer, form=data.form, score=config.score, template_file=config.chat_template),
        )
        window = encoder.window
        texts = encoder.cut(list(data.texts))
        reference = None
        if has_reference:
            request = ScoringRequest(sample_ids=data.ids, texts=texts, form=data.form)
            found = collect_signals(config, request, scores_folder=folder)
            texts, reference = list(found.plan.texts), found.signals.target
        sequences = tuple(encoder.sequences(*encoded)[0] for encoded in encoder.read(texts))
        lost = [i for i, text in enumerate(texts) if text != data.texts[i] and encoder.chat is not None]
        check_scorable(
            [one.n_scored for one in sequences],
            data.ids,
            has_prefix=bool(encoder.prefix.ids),
            cut=lost,
            window=window,
        )
        if encoder.chat is not None:
            texts = [encoder.chat.scored_words(text) for text in texts]
        budget = Budget(config.batch_tokens or 2048)
        if reference is None:
            reference = _score(model, sequences, budget)
        return cls(data=data, texts=tuple(texts), sequences=sequences, reference=reference, budget=budget)

    def measure(self, model: Any, *, level: float) -> Mapping[str, Estimate]:
        """Score the texts with a model as it is, and estimate :data:`FIGURES`; see :meth:`estimate`."""
        return self.estimate(self.score(model), model, level=level)

    def score(self, model: Any) -> TokenScores:
        """Score the texts with a model as it is."""
        return _score(model, self.sequences, self.budget)

    def estimate(self, target: TokenScores, model: Any, *, level: float) -> Mapping[str, Estimate]:
        """Estimate :data:`FIGURES` from scores of the texts: the audit's own attacks and formulas.

        Bits are debiased: those of members, clipped at zero, less those of non-members. The capacity used is that
        which the probe's members take up, at the bits per parameter of the precision in which the model is trained;
        that of an adapter is not known.
        """
        is_member, groups = self.data.is_member, self.data.groups
        signals = Signals(sample_ids=self.data.ids, texts=self.texts, target=target, references=(self.reference,))
        dtype = str(model.dtype).removeprefix("torch.")
        held = dataset_memorization(
            sample_bits(target, [self.reference]),
            is_member,
            groups=groups,
            n_tokens=target.n_tokens.astype(np.int64),
            n_bytes=np.array([len(text.encode()) for text in self.texts], dtype=np.int64),
            n_references=1,
            n_parameters=model.num_parameters(),
            capacity=bits_per_parameter(dtype, reason=f"trained in {dtype}"),
            level=level,
            rng=np.random.default_rng(0),
            samples=(),
        )
        used = held.capacity_used
        if hasattr(model, "peft_config"):
            used = Estimate.undefined("the capacity of an adapter on a trained base is not known", level=level)
        return {
            "loss_auc": auc(Loss().score(signals), is_member, level=level, groups=groups),
            "reference_auc": auc(Reference().score(signals), is_member, level=level, groups=groups),
            "bits_per_member": held.debiased_bits_per_member,
            "bits_per_token": held.bits_per_token,
            "capacity_used": used,
        }


def _score(model: Any, sequences: Sequence[TokenSequence], budget: Budget) -> TokenScores:
    """Score sequences, longest first, in batches that memory halves; the model is checked anew, as it has changed."""
    with undisturbed(model):
        scorer = Scorer(model, name="the model in training")
        lengths = np.array([len(one.ids) for one in sequences], dtype=np.int64)
        boundary = rope_boundary(model.config.get_text_config())
        left: NDArray[np.int64] = np.argsort(-lengths, kind="stable")
        check_scorer(scorer, sequences[left[0]], sequences[left[-1]], budget, boundary=boundary)
        done: dict[int, SequenceScores] = {}
        while len(left):
            batches = make_batches(
                lengths[left], np.ones_like(left), budget, packed=scorer.packs, rope_boundary=boundary
            )
            batch = left[next(batches)][: 1 if scorer.one_by_one else None]
            try:
                scores = scorer.score([sequences[i] for i in batch])
            except OutOfMemory:
                if len(batch) == 1:
                    raise
                torch.cuda.empty_cache()
                budget.tokens = max(1, int(lengths[batch].sum()) // 2)
                continue
            done |= dict(zip(batch.tolist(), scores, strict=True))
            left = left[len(batch) :]
    ordered = [done[i] for i in range(len(sequences))]
    columns = {name: np.concatenate([getattr(one, name) for one in ordered]) for name in STATISTICS}
    return TokenScores(offsets=np.cumsum([0, *(one.n_scored for one in sequences)]), **columns)
