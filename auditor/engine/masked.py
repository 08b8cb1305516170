"""Masked language models: what one would write in place of one token of a text."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ModelSpec
from ..errors import ModelError
from .loading.configs import context_window, first_line, located, refuse_foreign_code
from .loading.models import config_files, fingerprint_config, read_folder, resolve_source
from .loading.panics import no_panics
from .loading.tokenizer_files import load_tokenizer, refuse_made_up
from .loading.weights import FileStates, file_states, refuse_replaced
from .tokens import tokenizer_fingerprint

__all__ = ["MaskedFiles", "MaskedModel", "Rewriting", "Swap", "load_masked", "open_masked"]

_DROPOUT = 0.7
_N_CANDIDATES = 6
_CERTAIN = 0.1
"""Stands for ``1 - p`` where the model is certain of the token that is there."""

_WAY_OUT = "give a --neighbour-model whose folder has its own"
"""What to do about a tokenizer that cannot be used, in words."""

_LOGITS_A_BATCH, _TOKENS_A_BATCH = 2**28, 2**14
"""In float32 the logits are a GiB."""

_LONGEST_WINDOW = 512
"""Read of a text if nothing else limits it."""


class Swap(NamedTuple):
    """One token replaced: what stands in its place, and from which to which character that is."""

    start: int
    stop: int
    word: str

    def apply(self, text: str) -> str:
        """Return the text with the word in its place; everything else stays character for character."""
        return text[: self.start] + self.word + text[self.stop :]


class Rewriting(NamedTuple):
    """The best swaps for a text, best first, and whether the model read all of it."""

    swaps: list[Swap]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedFiles:
    """A masked language model before its weights are loaded.

    Parameters
    ----------
    window : int
        Most tokens of a text, special ones included, that it reads.
    sha256 : str
        Hash of weights, configuration and tokenizer.
    states : mapping
        Tell whether a file was replaced since it was hashed.
    """

    spec: ModelSpec
    source: Path
    config: Any
    tokenizer: Any
    window: int
    sha256: str
    states: FileStates = field(default_factory=dict)

    def read(self, text: str) -> Any:
        """Tokenize the start of a text that fits into the window, special tokens and offsets included."""
        with no_panics("the tokenizer of the neighbour model"):
            return self.tokenizer(
                text,
                truncation=True,
                max_length=self.window,
                return_offsets_mapping=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )


def open_masked(name: str, *, trust_remote_code: bool = False) -> MaskedFiles:
    """Find the files of a masked language model, read its configuration and tokenizer, and hash its weights.

    Parameters
    ----------
    name : str
        A folder, or a hub id (``ID@REVISION``).

    Raises
    ------
    ModelError
        If it is none, has pickled weights only, or its tokenizer does not say which characters a token stands for.
    """
    spec = ModelSpec.parse(name)
    source = resolve_source(spec, trust_remote_code=trust_remote_code)
    if spec.adapter is not None or source.is_file():
        raise ModelError(f"{spec}: --neighbour-model takes a folder or hub id of a whole model in safetensors")
    states = file_states(config_files(source, trust_remote_code=trust_remote_code))
    stored = read_folder(spec, source, trust_remote_code=trust_remote_code)
    config = _masked_config(spec, source, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(spec, source, trust_remote_code=trust_remote_code, way_out=_WAY_OUT)
    refuse_made_up(tokenizer, source, n_vocabulary=int(config.get_text_config().vocab_size), way_out=_WAY_OUT)
    if not tokenizer.is_fast:
        raise ModelError(f"{spec}: its tokenizer gives no offsets into the text; take a model with a fast tokenizer")
    parts = (
        stored.sha256,
        fingerprint_config(source, trust_remote_code=trust_remote_code),
        tokenizer_fingerprint(tokenizer),
    )
    return MaskedFiles(
        spec=spec,
        source=source,
        config=config,
        tokenizer=tokenizer,
        window=_window(config, tokenizer),
        sha256=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        states={**states, **stored.states},
    )


def load_masked(files: MaskedFiles, *, device: str, trust_remote_code: bool = False) -> "MaskedModel":
    """Load a masked language model in float32.

    Raises
    ------
    ModelError
        If the weights do not fit the architecture.
    """
    import torch
    from transformers import AutoModelForMaskedLM

    try:
        weights, report = AutoModelForMaskedLM.from_pretrained(
            **located(files.source),
            use_safetensors=True,
            dtype=torch.float32,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
        weights = weights.to(device)
    except Exception as error:  # damaged files, foreign tensors, no memory: each library has its own kind
        raise ModelError(f"{files.spec}: the weights cannot be loaded: {first_line(error)}") from error
    refuse_replaced(files.spec, files.states)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{files.spec}: {len(missing)} tensors are missing from the checkpoint and would be random "
            f"({', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}); is it a complete masked LM?"
        )
    return MaskedModel(files, weights.eval().requires_grad_(False))


class MaskedModel:
    """A masked language model in memory."""

    def __init__(self, files: MaskedFiles, weights: Any) -> None:
        self._files, self._weights = files, weights
        self._special = frozenset(int(i) for i in files.tokenizer.all_special_ids)
        model = files.tokenizer.backend_tokenizer.model
        self._continues = getattr(model, "continuing_subword_prefix", None) or ""

    def rewrite(self, text: str, n: int) -> Rewriting:
        """Find the best ``n`` replacements of one token by another.

        The neighbours of Mattern et al. (arXiv:2305.18462, section 3.2, and its code): at one position at a time the
        token's embedding is thinned by dropout of .7; of the six tokens that the model then finds likeliest there,
        each that is not the original is a candidate, worth ``p(candidate) / (1 - p(original))``; the best ``n`` over
        all positions are taken. The code decodes the whole text with the model's tokenizer, which lower-cases it if
        that is uncased, adds special tokens and moves white space; here the word is put into the text as it is written.
        Only pieces of the same kind take each other's place (a start of a word, or the rest of one), special tokens
        neither leave nor enter, and dropout is seeded by the text.
        """
        encoded = self._files.read(text)
        ids, encoding = encoded["input_ids"], encoded.encodings[0]
        spans = [_trimmed(text, *span) for span in encoded["offset_mapping"]]
        positions = [i for i in range(len(ids)) if _stands_alone(spans, i) and self._piece(ids[i]) is not None]
        found: list[tuple[float, Swap]] = []
        for i, token, worth in self._candidates(text, ids, positions):
            old, new = self._piece(ids[i]), self._piece(token)
            if old is None or new is None or token == ids[i] or old[0] != new[0]:
                continue
            swap = Swap(*spans[i], new[1])
            if swap.apply(text) != text:
                found.append((worth, swap))
        best = nlargest(n, found, key=lambda one: one[0])
        return Rewriting([swap for _, swap in best], whole=not encoding.overflowing)

    def _candidates(self, text: str, ids: Sequence[int], positions: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        """Yield the likeliest tokens of each position, and what each is worth there."""
        import torch

        device = self._weights.device
        table = self._weights.get_input_embeddings()
        with torch.no_grad():
            tokens = torch.tensor(ids, device=device)
            embedded = table(tokens)  # (n_tokens, n_features)
            kept = torch.from_numpy(_dropout(text, *embedded.shape)).to(embedded)
            n_vocabulary = self._files.config.get_text_config().vocab_size
            n_rows = max(1, min(_LOGITS_A_BATCH // n_vocabulary, _TOKENS_A_BATCH) // len(ids))
            for start in range(0, len(positions), n_rows):
                places = torch.tensor(positions[start : start + n_rows], device=device)  # (n_rows,)
                rows = torch.arange(len(places), device=device)
                inputs = embedded.repeat(len(places), 1, 1)  # (n_rows, n_tokens, n_features)
                inputs[rows, places] *= kept[places]
                mask = torch.ones(inputs.shape[:2], dtype=torch.int64, device=device)
                logits = self._weights(inputs_embeds=inputs, attention_mask=mask).logits
                p = logits[rows, places].float().softmax(-1)  # (n_rows, n_vocabulary)
                unsure = 1 - p[rows, tokens[places]]
                top = p.topk(min(_N_CANDIDATES, p.shape[1]))
                worth = top.values / torch.where(unsure > 0, unsure, _CERTAIN)[:, None]  # (n_rows, _N_CANDIDATES)
                for place, likely, values in zip(places.tolist(), top.indices.tolist(), worth.tolist(), strict=True):
                    yield from ((place, token, value) for token, value in zip(likely, values, strict=True))

    def _piece(self, token: int) -> tuple[str, str] | None:
        """Return the kind of a token (start of a word, rest of one) and what it writes; None if it writes nothing."""
        tokenizer = self._files.tokenizer
        piece = None if token in self._special else tokenizer.convert_ids_to_tokens(token)
        if not piece:
            return None
        if self._continues and piece.startswith(self._continues):
            kind, written = "rest", piece.removeprefix(self._continues)
        else:
            kind = "start" if piece[0] in "Ġ▁" else ""
            written = tokenizer.convert_tokens_to_string([piece]).strip()
        return (kind, written) if written and "\ufffd" not in written else None


def _masked_config(spec: ModelSpec, source: Path, *, trust_remote_code: bool) -> Any:
    """Read the configuration in a folder, and refuse what is not a masked language model."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    try:
        config = AutoConfig.from_pretrained(**located(source), trust_remote_code=trust_remote_code)
    except Exception as error:  # a foreign or damaged config.json fails in many ways
        refuse_foreign_code(spec, error, trust_remote_code=trust_remote_code)
        raise ModelError(f"{spec}: the configuration cannot be read: {first_line(error)}") from error
    remote = trust_remote_code and "AutoModelForMaskedLM" in (getattr(config, "auto_map", None) or {})
    known = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_encoder_decoder
    if not (known or remote) or getattr(config, "is_decoder", False):
        raise ModelError(
            f"{spec}: {config.model_type} is not a masked language model; --neighbour-model takes one like BERT or "
            "RoBERTa"
        )
    return config


def _window(config: Any, tokenizer: Any) -> int:
    """Return how many tokens a model reads; the position table of RoBERTa and its kin starts after the padding."""
    limit = context_window(config.get_text_config()) or _LONGEST_WINDOW
    if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet", "longformer", "xmod", "esm"):
        limit -= (config.pad_token_id or 0) + 1
    return min(limit, int(tokenizer.model_max_length))


def _dropout(text: str, n_tokens: int, width: int) -> NDArray[np.float32]:
    """Draw what dropout leaves of the embedding of each token, shape (n_tokens, width), seeded by the text."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))
    kept = rng.random((n_tokens, width), dtype=np.float32) >= _DROPOUT
    return kept.astype(np.float32) / np.float32(1 - _DROPOUT)


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """Leave the white space around a token out of its span."""
    written = text[start:stop]
    start += len(written) - len(written.lstrip())
    return start, start + len(written.strip())


def _stands_alone(spans: Sequence[tuple[int, int]], i: int) -> bool:
    """Whether a token stands for characters of its own: several tokens may write one between them."""
    start, stop = spans[i]
    before = spans[i - 1][1] if i else 0
    after = spans[i + 1] if i + 1 < len(spans) else (stop, stop)
    return start < stop and before <= start and (after[0] >= stop or after[0] == after[1])
