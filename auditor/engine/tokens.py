"""Token ids of texts: the prefix rule, the cut to a context window, and windows for longer texts."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chat import Chat
from ..errors import ConfigError, DataError, ModelError
from .chat import ChatReader, Rendering
from .cutting import Fits, Sure, cut_to_fit, sure_by_places
from .loading.panics import no_panics
from .loading.weights import fingerprint

__all__ = [
    "Encoded",
    "Encoder",
    "Prefix",
    "Reading",
    "TokenSequence",
    "check_scorable",
    "cut_text",
    "encode",
    "find_cuts",
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
    """Ids for one forward pass; ``ids[first_scored:]`` are scored but for those at ``skipped``, given all ids before.

    The first ``n_shared`` ids are the same in every sequence of a pass, so that the model need read them only once.
    """

    ids: tuple[int, ...]
    first_scored: int
    n_shared: int = 0
    skipped: tuple[int, ...] = ()

    @property
    def n_scored(self) -> int:
        """Number of scored tokens."""
        return len(self.ids) - self.first_scored - len(self.skipped)

    @property
    def scored(self) -> list[int]:
        """Places of the scored ids."""
        places = range(self.first_scored, len(self.ids))
        if not self.skipped:
            return list(places)
        skipped = set(self.skipped)
        return [place for place in places if place not in skipped]

    @property
    def scored_ids(self) -> list[int]:
        """The scored ids."""
        return [self.ids[place] for place in self.scored]

    @property
    def predicting(self) -> list[int] | slice:
        """Places whose predictions are of the scored ids."""
        if not self.skipped:
            return slice(self.first_scored - 1, len(self.ids) - 1)
        return [place - 1 for place in self.scored]

    def after(self, n_ids: int) -> "TokenSequence":
        """Return the sequence without its first ids, all of which come before those that are scored."""
        skipped = tuple(place - n_ids for place in self.skipped)
        return TokenSequence(self.ids[n_ids:], self.first_scored - n_ids, skipped=skipped)


class Encoded(NamedTuple):
    """Token ids of one text, and which of them are scored; None if all are."""

    ids: list[int]
    scored: tuple[bool, ...] | None = None

    @property
    def scored_ids(self) -> list[int]:
        """The ids that are scored, if there is something before them."""
        if self.scored is None:
            return self.ids
        return [one for one, is_scored in zip(self.ids, self.scored, strict=True) if is_scored]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a tokenizer makes of a text: the string that it is given, its tokens, and the characters of each.

    A slow tokenizer does not tell the characters (None).
    """

    text: str
    encoded: Encoded
    spans: Sequence[tuple[int, int]] | None

    @property
    def n_unread(self) -> int:
        """Count the characters, white space aside, that no token stands for.

        A tokenizer without a byte fallback may drop what it cannot write, and the model then codes a shorter text than
        the one audited. Slow tokenizers do not tell, and count as 0.
        """
        return 0 if self.spans is None else _gaps(self.text, self.spans)


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text without special tokens around it."""
    if not texts:
        return []
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


def resolve_prefix(
    tokenizer: Any, rule: str, *, n_vocabulary: int, adds_bos: bool | None = None, form: str = "text"
) -> Prefix:
    """Choose what stands before the first token of every text, so that this token is scored as well.

    ``auto`` takes the first of: the tokens the tokenizer itself puts before a text; ``<|endoftext|>`` if the
    vocabulary has it; BOS; EOS; nothing. The separator goes before BOS because chat models rename BOS to a
    chat mark that no document started with: on SmolLM2-Instruct the separator costs 2.79 nats per token where
    its BOS costs 3.70 and no prefix 2.98.

    A conversation begins as its template says, and a prompt as the tokenizer begins a text: nothing else stood before
    them in training (TRL), and what is scored has something before it anyway.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    rule : str
    n_vocabulary : int
    adds_bos : bool, optional
        Whether the model's file says that the tokenizer puts BOS before a text (``add_bos_token`` of GGUF), whatever
        transformers made of it.
    form : str
        Form of the texts, one of `auditor.data.chat.FORMS`.

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
    if form not in ("text", "prompt_completion"):
        return Prefix((), "auto: a conversation begins as the chat template says")
    if form == "prompt_completion" and not adds_bos:
        return Prefix(_own_prefix(tokenizer), "auto: what the tokenizer itself puts before a prompt, if anything")
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
    chat : ChatReader or None
        How it reads conversations, which texts then stand for; None for plain texts.
    """

    tokenizer: Any
    prefix: Prefix
    window: int | None
    special_ids: frozenset[int]
    n_shared: int = 0
    chat: ChatReader | None = None

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
        form: str = "text",
        chat: ChatReader | None = None,
    ) -> "Encoder":
        """Resolve the prefix and the window of one model.

        Raises
        ------
        ConfigError
            For a prefix that the tokenizer lacks, or a window with no room for a scored token.
        """
        prefix = resolve_prefix(tokenizer, rule, n_vocabulary=n_vocabulary, adds_bos=adds_bos, form=form)
        window = text_window(prefix, context_window, max_tokens)
        if window is not None and window < 1 + (not prefix.ids):
            raise ConfigError(
                f"a window of {window} tokens has no room for a scored token (prefix: {len(prefix.ids)} tokens); "
                "raise --max-tokens"
            )
        return cls(tokenizer, prefix, window, frozenset(int(i) for i in tokenizer.all_special_ids), chat=chat)

    def after(self, ids: Sequence[int]) -> "Encoder":
        """Return the encoder that puts these ids, too, before every text; all but the last are read once for all."""
        prefix = Prefix((*self.prefix.ids, *ids), self.prefix.rule)
        window = None if self.window is None else self.window - len(ids)
        return replace(self, prefix=prefix, window=window, n_shared=max(0, len(prefix.ids) - 1))

    def render(self, texts: Sequence[str]) -> list[str]:
        """Write each text as the model is given it: a conversation with its chat template on."""
        return list(texts) if self.chat is None else [self.chat.render(text).text for text in texts]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without the prefix."""
        return encode(self.tokenizer, self.render(texts))

    def read(self, texts: Sequence[str]) -> list[Encoded]:
        """Token ids of each text, without the prefix, and which of them are scored."""
        if self.chat is None:
            return [Encoded(ids) for ids in self.encode(texts)]
        return [one.encoded for one in self.read_closely(texts)]

    def read_closely(self, texts: Sequence[str]) -> list[Reading]:
        """Read texts in one batch, and keep which characters the tokens stand for."""
        renderings = [Rendering(text, []) if self.chat is None else self.chat.render(text) for text in texts]
        given = [one.text for one in renderings]
        if not texts:
            return []
        if not self.tokenizer.is_fast:
            encoded = map(self._masked_by_starts, renderings) if self.chat else map(Encoded, self.encode(texts))
            return [Reading(text, one, None) for text, one in zip(given, encoded, strict=True)]
        return [
            Reading(one.text, Encoded(ids, None if self.chat is None else _mask(one.spans, spans)), spans)
            for one, ids, spans in zip(renderings, *self._offsets(given), strict=True)
        ]

    def show(self, text: str, change: Callable[[str], str]) -> str:
        """Change a text, or the scored contents of a conversation."""
        return change(text) if self.chat is None else self.chat.changed(text, change)

    def halves(self, text: str, halves: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
        """Return what is given of a text, or of a conversation with its template on, and the half that is to follow."""
        return halves(text) if self.chat is None else self.chat.halves(text, halves)

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Cut each text, or the contents of each conversation, to the longest start that fits into the window.

        Raises
        ------
        ModelError
            If not even one character fits.
        """
        kept, window = list(texts), self.window
        if window is None:
            return kept
        readings = dict(enumerate(self.read_closely(texts)))
        long = [i for i, one in readings.items() if len(one.encoded.ids) > window]
        is_chat = self.chat is not None

        def fits(rows: Sequence[int], stops: Sequence[int]) -> list[bool]:
            starts = [cut_text(texts[long[row]], stop, is_chat=is_chat) for row, stop in zip(rows, stops, strict=True)]
            return [len(ids) <= window for ids in self.encode(starts)]

        sure = [self.sure(readings[i], texts[i], window) for i in long]
        for i, stop in zip(long, find_cuts([texts[i] for i in long], fits, sure, is_chat=is_chat), strict=True):
            kept[i] = cut_text(texts[i], stop, is_chat=is_chat)
        return kept

    def sure(self, reading: Reading, shown: str, window: int) -> Sure | None:
        """Say at which characters of a text that was read, and is too long, the window is surely not full, or is.

        Of conversations nothing is sure: their template, too, goes by what is cut.
        """
        if self.chat is not None or reading.spans is None:
            return None
        return sure_by_places(shown, reading.spans, window)

    def _offsets(self, texts: Sequence[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
        """Token ids of each text, and the characters of each token."""
        with no_panics("the tokenizer"):
            encoded = self.tokenizer(
                list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
            )
        return encoded["input_ids"], encoded["offset_mapping"]

    def _masked_by_starts(self, rendering: Rendering) -> Encoded:
        """Find the same where a tokenizer gives no offsets: by what the starts of the text have in common with it."""
        (ids,) = encode(self.tokenizer, [rendering.text])
        scored = [False] * len(ids)
        for start, stop in rendering.spans:
            before, until = encode(self.tokenizer, [rendering.text[:start], rendering.text[:stop]])
            for place in range(_n_equal(before, ids), len(until) if until == ids else _n_equal(until, ids)):
                scored[place] = True
        return Encoded(ids, tuple(scored))

    def sequences(self, ids: Sequence[int], scored: Sequence[bool] | None = None) -> list[TokenSequence]:
        """Put the prefix before a text, in one sequence, or in windows that overlap by half if it is too long.

        Every token is scored exactly once, but for those that are not to be scored; from the second window on, each
        has at least half a window before it. Windows of which nothing is scored are left out.

        Parameters
        ----------
        ids : sequence of int
        scored : sequence of bool, optional
            Which of the ids are scored; all by default.
        """
        prefix = self.prefix.ids
        unscored = 0 if prefix else 1
        if self.window is None or len(ids) <= self.window:
            return [self._sequence((*prefix, *ids), len(prefix) + unscored, scored)]
        first = None if scored is None else scored[: self.window]
        windows = [self._sequence((*prefix, *ids[: self.window]), len(prefix) + unscored, first)]
        stride = max(1, self.window // 2)
        for start in range(self.window, len(ids), stride):
            stop = min(start + stride, len(ids))
            context = ids[max(0, stop - self.window) : start]
            part = None if scored is None else scored[start - len(context) : stop]
            windows.append(self._sequence((*prefix, *context, *ids[start:stop]), len(prefix) + len(context), part))
        return [window for window in windows if window.n_scored > 0] or windows[:1]

    def _sequence(self, ids: tuple[int, ...], first_scored: int, scored: Sequence[bool] | None) -> TokenSequence:
        if scored is None:
            return TokenSequence(ids, first_scored, self.n_shared)
        n_before = len(ids) - len(scored)
        skipped = (i for i in range(first_scored, len(ids)) if not scored[i - n_before])
        return TokenSequence(ids, first_scored, self.n_shared, tuple(skipped))


def _mask(scored: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> tuple[bool, ...]:
    """Find which tokens hold a character that is scored."""
    mask, last, at = [], 0, 0
    for start, stop in offsets:
        first = min(start, last) if start < stop else last  # a token that was trimmed of white space holds it, too
        last = max(stop, last)
        while at < len(scored) and scored[at][1] <= first:
            at += 1
        mask.append(at < len(scored) and scored[at][0] < last)
    return tuple(mask)


def find_cuts(texts: Sequence[str], fits: Fits, sure: Sequence[Sure | None], *, is_chat: bool) -> list[int]:
    """Find after how many characters to cut texts, or conversations after how many of their contents.

    Raises
    ------
    ModelError
        If not even one character fits.
    """
    n_characters = [len(Chat.read(text).contents()) if is_chat else len(text) for text in texts]
    stops = cut_to_fit(n_characters, fits, sure)
    if None in stops:
        raise ModelError("the context window has no room for a single character of a text; raise --max-tokens")
    return [stop for stop in stops if stop is not None]


def cut_text(text: str, stop: int, *, is_chat: bool) -> str:
    """Cut a text after so many characters, or a conversation after so many of its contents."""
    return Chat.read(text).cut(stop).packed() if is_chat else text[:stop]


def check_scorable(
    n_scored: Sequence[int] | NDArray[np.int64],
    sample_ids: Sequence[str],
    *,
    has_prefix: bool,
    cut: Sequence[int] = (),
    window: int | None = None,
) -> None:
    """Refuse texts that leave no token to score.

    Parameters
    ----------
    cut : sequence of int
        Places of the texts that were cut to a window of so many tokens.

    Raises
    ------
    DataError
        Naming the samples.
    """
    short = [name for name, n in zip(sample_ids, n_scored, strict=True) if n < 1]
    if lost := [sample_ids[place] for place in cut if n_scored[place] < 1]:
        shown = ", ".join(ascii(name) for name in lost[:5]) + (" ..." if len(lost) > 5 else "")
        raise DataError(
            f"the window of {window} tokens cuts the whole completion away from {len(lost)} of {len(n_scored)} texts, "
            f"so that nothing of them could be scored: {shown}; raise --max-tokens, score in windows (--long-texts "
            "stride), or leave them out with --drop-ids"
        )
    if short:
        shown = ", ".join(ascii(name) for name in short[:5]) + (" ..." if len(short) > 5 else "")
        why = "" if has_prefix else " (without a prefix token the first token is not scored)"
        raise DataError(
            f"{len(short)} of {len(n_scored)} texts have no token to score{why}: {shown}; "
            "remove them from the data" + ("" if has_prefix else " or choose --prefix-token bos")
        )


def _n_equal(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the ids with which both begin."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _gaps(text: str, spans: Sequence[tuple[int, int]]) -> int:
    """Count characters outside all spans, white space aside."""
    end = n_missing = 0
    for start, stop in chain(spans, [(len(text), len(text))]):
        if start > end:
            n_missing += len("".join(text[end:start].split()))
        if stop > end:  # faster than a call, for every token there is
            end = stop
    return n_missing
