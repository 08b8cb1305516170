"""Token ids of texts: the prefix rule, the cut to a context window, and windows for longer texts."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError, ModelError
from .loading.panics import no_panics
from .loading.weights import fingerprint

__all__ = [
    "Encoder",
    "Prefix",
    "TokenSequence",
    "check_scorable",
    "cut_to_fit",
    "encode",
    "resolve_prefix",
    "text_window",
    "tokenizer_fingerprint",
]

DOCUMENT_SEPARATOR = "<|endoftext|>"
"""What many tokenizers without a BOS of their own saw between documents in pre-training."""

PROBE = "a b"


@dataclass(frozen=True, slots=True)
class Prefix:
    """The token ids before every text, and the rule that chose them."""

    ids: tuple[int, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Ids for one forward pass; ``ids[first_scored:]`` are scored, each given all ids before it.

    The first ``n_shared`` ids are the same in every sequence of a pass, so that the model need read them only once.
    """

    ids: tuple[int, ...]
    first_scored: int
    n_shared: int = 0

    @property
    def n_scored(self) -> int:
        """Number of scored tokens."""
        return len(self.ids) - self.first_scored


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text without special tokens around it."""
    with no_panics("the tokenizer"):
        encoded = tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, truncation=False, verbose=False
        )
    return [list(ids) for ids in encoded["input_ids"]]


def _own_prefix(tokenizer: Any) -> tuple[int, ...]:
    """Return the special tokens that the tokenizer itself puts before a text (Llama, Gemma and OPT do)."""
    bare = encode(tokenizer, [PROBE])[0]
    full = list(tokenizer(PROBE, verbose=False)["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()


def resolve_prefix(tokenizer: Any, rule: str, *, n_vocabulary: int, adds_bos: bool | None = None) -> Prefix:
    """Choose what stands before the first token of every text, so that this token is scored as well.

    ``auto`` takes the first of: the tokens the tokenizer itself puts before a text; ``<|endoftext|>`` if the
    vocabulary has it; BOS; EOS; nothing. The separator goes before BOS because chat models rename BOS to a
    chat mark that no document started with: on SmolLM2-Instruct the separator costs 2.79 nats per token where
    its BOS costs 3.70 and no prefix 2.98.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    rule : str
    n_vocabulary : int
    adds_bos : bool, optional
        Whether the model's file says that the tokenizer puts BOS before a text (``add_bos_token`` of GGUF), whatever
        transformers made of it.

    Raises
    ------
    ConfigError
        If the rule asks for a token that the tokenizer does not have.
    """
    if rule == "none":
        return Prefix((), "none: the first token of each text is not scored")
    if rule in ("bos", "eos"):
        token_id = getattr(tokenizer, f"{rule}_token_id")
        if token_id is None:
            raise ConfigError(
                f"--prefix-token {rule}: the tokenizer has no {rule.upper()} token; use auto, none or an id"
            )
        return Prefix((int(token_id),), f"{rule} (asked for)")
    if rule != "auto":
        if int(rule) >= n_vocabulary:
            raise ConfigError(f"--prefix-token {rule}: the vocabulary ends at id {n_vocabulary - 1}")
        return Prefix((int(rule),), "id (asked for)")
    if adds_bos and tokenizer.bos_token_id is not None:
        return Prefix((int(tokenizer.bos_token_id),), "auto: BOS, which stands before a text by its add_bos_token")
    if adds_bos is None and (own := _own_prefix(tokenizer)):
        return Prefix(own, "auto: what the tokenizer itself puts before a text")
    separator = tokenizer.get_vocab().get(DOCUMENT_SEPARATOR)
    if separator is not None:
        return Prefix((int(separator),), f"auto: the document separator {DOCUMENT_SEPARATOR}")
    for name in ("bos", "eos"):
        token_id = getattr(tokenizer, f"{name}_token_id")
        if token_id is not None:
            return Prefix((int(token_id),), f"auto: {name.upper()}, the tokenizer adds nothing itself")
    return Prefix((), "auto: the tokenizer has no special token; the first token of each text is not scored")


def text_window(prefix: Prefix, context_window: int | None, max_tokens: int | None) -> int | None:
    """Return how many tokens of a text a model reads at once after the prefix; None if nothing limits it."""
    room = None if context_window is None else context_window - len(prefix.ids)
    return min((limit for limit in (room, max_tokens) if limit is not None), default=None)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Hash what decides the ids of a text: the whole fast tokenizer, else class, vocabulary and files."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        for passing in ("padding", "truncation", "version"):
            state.pop(passing, None)
    else:
        state = {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
        files = [Path(tokenizer.name_or_path) / name for name in sorted(tokenizer.vocab_files_names.values())]
        state["files"] = fingerprint(file for file in files if file.is_file())
    if getattr(tokenizer, "split_special_tokens", False):
        state["split_special_tokens"] = True
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Encoder:
    """One model's way to read a text: tokenizer, prefix and the window of text tokens that it may see.

    Parameters
    ----------
    window : int or None
        Most text tokens (prefix not counted) in one forward pass; None if the model has no limit.
    n_shared : int
        How many of the prefix's ids the model should read once for all texts.
    """

    tokenizer: Any
    prefix: Prefix
    window: int | None
    special_ids: frozenset[int]
    n_shared: int = 0

    @classmethod
    def build(
        cls,
        tokenizer: Any,
        *,
        rule: str,
        n_vocabulary: int,
        context_window: int | None,
        max_tokens: int | None,
        adds_bos: bool | None = None,
    ) -> "Encoder":
        """Resolve the prefix and the window of one model.

        Raises
        ------
        ConfigError
            For a prefix that the tokenizer lacks, or a window with no room for a scored token.
        """
        prefix = resolve_prefix(tokenizer, rule, n_vocabulary=n_vocabulary, adds_bos=adds_bos)
        window = text_window(prefix, context_window, max_tokens)
        if window is not None and window < 1 + (not prefix.ids):
            raise ConfigError(
                f"a window of {window} tokens has no room for a scored token (prefix: {len(prefix.ids)} tokens); "
                "raise --max-tokens"
            )
        return cls(tokenizer, prefix, window, frozenset(int(i) for i in tokenizer.all_special_ids))

    def after(self, ids: Sequence[int]) -> "Encoder":
        """Return the encoder that puts these ids, too, before every text; all but the last are read once for all."""
        prefix = Prefix((*self.prefix.ids, *ids), self.prefix.rule)
        window = None if self.window is None else self.window - len(ids)
        return replace(self, prefix=prefix, window=window, n_shared=max(0, len(prefix.ids) - 1))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without the prefix."""
        return encode(self.tokenizer, texts)

    def unread(self, texts: Sequence[str]) -> list[int]:
        """Count the characters of each text, white space aside, that no token stands for.

        A tokenizer without a byte fallback may drop what it cannot write, and the model then codes a shorter
        text than the one audited. Slow tokenizers do not tell, and count as 0.
        """
        if not self.tokenizer.is_fast:
            return [0] * len(texts)
        with no_panics("the tokenizer"):
            encoded = self.tokenizer(
                list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
            )
        return [_gaps(text, spans) for text, spans in zip(texts, encoded["offset_mapping"], strict=True)]

    def sequences(self, ids: Sequence[int]) -> list[TokenSequence]:
        """Put the prefix before a text, in one sequence, or in windows that overlap by half if it is too long.

        Every token is scored exactly once; from the second window on, each has at least half a window before it.
        """
        prefix = self.prefix.ids
        unscored = 0 if prefix else 1
        if self.window is None or len(ids) <= self.window:
            return [self._sequence((*prefix, *ids), len(prefix) + unscored)]
        windows = [self._sequence((*prefix, *ids[: self.window]), len(prefix) + unscored)]
        stride = max(1, self.window // 2)
        for start in range(self.window, len(ids), stride):
            stop = min(start + stride, len(ids))
            context = ids[max(0, stop - self.window) : start]
            windows.append(self._sequence((*prefix, *context, *ids[start:stop]), len(prefix) + len(context)))
        return windows

    def _sequence(self, ids: tuple[int, ...], first_scored: int) -> TokenSequence:
        return TokenSequence(ids, first_scored, self.n_shared)


def check_scorable(n_scored: Sequence[int] | NDArray[np.int64], sample_ids: Sequence[str], *, has_prefix: bool) -> None:
    """Refuse texts that leave no token to score.

    Raises
    ------
    DataError
        Naming the samples.
    """
    short = [name for name, n in zip(sample_ids, n_scored, strict=True) if n < 1]
    if short:
        shown = ", ".join(ascii(name) for name in short[:5]) + (" ..." if len(short) > 5 else "")
        why = "" if has_prefix else " (without a prefix token the first token is not scored)"
        raise DataError(
            f"{len(short)} of {len(n_scored)} texts have no token to score{why}: {shown}; "
            "remove them from the data" + ("" if has_prefix else " or choose --prefix-token bos")
        )


def _gaps(text: str, spans: Sequence[tuple[int, int]]) -> int:
    """Count characters outside all spans, white space aside."""
    end = n_missing = 0
    for start, stop in [*spans, (len(text), len(text))]:
        if start > end:
            n_missing += len("".join(text[end:start].split()))
        end = max(end, stop)
    return n_missing


def cut_to_fit(text: str, fits: Callable[[str], bool]) -> str:
    """Cut a text to the longest start of it that fits.

    Found by doubling and halving, so that a text of any length costs a few encodings of about a window each.

    Raises
    ------
    ModelError
        If not even one character fits.
    """
    low, high = 0, 1024
    while high < len(text) and fits(text[:high]):
        low, high = high, high * 2
    if high >= len(text) and fits(text):
        return text
    high = min(high, len(text))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle)
    if low == 0:
        raise ModelError("the context window has no room for a single character of a text; raise --max-tokens")
    return text[:low]
