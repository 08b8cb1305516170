"""The plan of an audit: the fewest passes for what the attacks need, and the size of every text in each of them.

Texts are read from disk a block at a time and their token ids are not kept: encoding a batch again when it is
scored costs a thousandth of scoring it, while the ids of a corpus would fill the memory.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.base import Need

from ..data import LazyTexts, TextSpool
from ..data.chat import Chat
from ..errors import ConfigError, ModelError
from .chat import check_use
from .loading.models import ModelFiles
from .loading.tokenizer_files import TOKENIZER_OPTIONS, file_reader
from .models import OpenedModel
from .store import PassKey, ScoreStore
from .tokens import Encoded, Encoder, TokenSequence, check_scorable, cut_text
from .views import View, has_words_to_swap, original_views, swapped_views

__all__ = ["Pass", "Plan", "Rewriter", "ScoredTexts", "Stored", "Words", "make_plan", "measure_texts"]

_BLOCK = 1024
"""Texts held at once."""

_KEY = np.dtype("S32")
_ALL = slice(None)

Ids = list[Encoded]
Counts = NDArray[np.int64]
Stored = Mapping[PassKey, NDArray[np.bytes_]]
Rewriter = Callable[[Sequence[str]], tuple[list[View], list[str]]]


class ScoredTexts(LazyTexts):
    """The texts as they are given to models: each up to the character where it was cut, if it was."""

    def __init__(self, texts: Sequence[str], *, are_chats: bool = False) -> None:
        self._texts, self.are_chats = texts, are_chats
        self._stops: dict[int, int] = {}

    def cut(self, place: int, stop: int) -> None:
        """Cut a text at a character."""
        self._stops[place] = stop

    @property
    def cut_places(self) -> list[int]:
        """Places of the texts that were cut."""
        return sorted(self._stops)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, index: int) -> str:
        """Return the text at a place, counted from 0, as it is scored."""
        stop = self._stops.get(index)
        text = self._texts[index]
        return text if stop is None else cut_text(text, stop, is_chat=self.are_chats)


class Words(LazyTexts):
    """What texts say, without anything that a chat template adds: all of it, or of what is scored."""

    def __init__(self, texts: Sequence[str], words: Callable[[str], str]) -> None:
        self._texts, self._words = texts, words

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, index: int) -> str:
        """Return the words of the text at a place, counted from 0."""
        return self._words(self._texts[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One model over one view of all texts.

    Parameters
    ----------
    view : View
    keys : ndarray of bytes, shape (n_samples,)
        Key of each text's stored row: a hash of the view of the text and of exactly what the model is given of it.
    n_scored, longest, n_sequences : ndarray of int64, shape (n_samples,)
        Scored tokens, tokens of the longest sequence with its prefix (but for what all share), and sequences (windows)
        of each text.
    """

    model: OpenedModel
    view: View
    keys: NDArray[np.bytes_]
    n_scored: Counts
    longest: Counts
    n_sequences: Counts

    @property
    def encoder(self) -> Encoder:
        """How the model reads this view."""
        encoder = self.model.encoder
        if self.view.name not in self.model.shots:
            return encoder
        encoder = encoder.after(self.model.shots[self.view.name].ids)
        changes_with_length = self.model.files.rope_boundary is not None
        return replace(encoder, n_shared=0) if changes_with_length else encoder

    @property
    def label(self) -> str:
        """Name of the pass for whoever waits."""
        return self.view.spoken or f"the {self.model.called}"

    def show(self, texts: Sequence[str]) -> list[str]:
        """Return this view of each text."""
        return [self.encoder.show(text, self.view.change) for text in texts]

    def encode(self, texts: Sequence[str]) -> Ids:
        """Token ids of this view of each text, without the prefix, and which of them are scored."""
        return self.encoder.read(self.show(texts))

    def sequences(self, texts: Sequence[str]) -> list[list[TokenSequence]]:
        """Sequences of each text, as the model is given them."""
        encoder = self.encoder
        return [encoder.sequences(*encoded) for encoded in self.encode(texts)]

    def scored_ids(self, texts: Sequence[str]) -> Counts:
        """Return the token ids that are scored, text after text, shape (n_tokens,)."""
        windows = [sequence for sequences in self.sequences(texts) for sequence in sequences]
        return np.concatenate([np.array(one.scored_ids, dtype=np.int64) for one in windows])

    def fits(self, text: str) -> bool:
        """Whether this view of a text can be scored in one window."""
        window = self.encoder.window
        return window is None or len(self.encode([text])[0].ids) <= window

    def distinct(self) -> Counts:
        """Return one place of each distinct text, longest first."""
        _, places = np.unique(self.keys, return_index=True)
        order = np.lexsort((self.keys[places], -self.longest[places]))
        return places[order].astype(np.int64)

    def missing(self, stored: Stored, share: slice = _ALL) -> Counts:
        """Return the places of a share of the distinct texts, longest first, that have no stored row."""
        ours = self.distinct()[share]
        return ours[~np.isin(self.keys[ours], stored[self.model.key])]

    def n_tokens(self, places: Counts) -> int:
        """Count the scored tokens of some texts."""
        return int(self.n_scored[places].sum())

    def keys_at(self, places: Counts) -> list[str]:
        """Return the keys of some texts."""
        return [key.decode() for key in self.keys[places].tolist()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All passes of an audit: the target's views first, then each reference.

    Parameters
    ----------
    texts : ScoredTexts
    words, scored_words : sequence of str
        What each text says, and what is scored of it: the text itself, but for conversations.
    n_bytes : ndarray of int64, shape (n_samples,)
        UTF-8 bytes of each text as scored; of a conversation, of the words that are scored.
    n_bytes_cut : ndarray of int64, shape (n_samples,)
        Bytes of the same that a cut left unread.
    unread : ndarray of int64, shape (n_models, n_samples)
        Characters of each text that no token of a model stands for.
    n_otherwise : tuple of (int or None), length n_models
        Texts that a model's tokenizer reads otherwise than its ``tokenizer.json`` says; None without such a file.
    aligned : bool
        Whether all models read every text as the same pieces, token for token.
    notes : tuple of str
        What a reader of the numbers should know about how models read the texts.
    """

    passes: tuple[Pass, ...]
    texts: ScoredTexts
    n_bytes: Counts
    n_bytes_cut: Counts
    unread: Counts
    n_otherwise: tuple[int | None, ...]
    aligned: bool
    notes: tuple[str, ...]

    @property
    def words(self) -> Sequence[str]:
        """What each text says."""
        return Words(self.texts, lambda text: Chat.read(text).words()) if self.texts.are_chats else self.texts

    @property
    def scored_words(self) -> Sequence[str]:
        """What is scored of each text, without any mark of a template."""
        return _scored_words(self.passes[0].encoder, self.texts)

    def stored(self, scores_folder: Path) -> Stored:
        """Read the keys of the rows that the store has now, once for all passes of a model."""
        return {key: ScoreStore(scores_folder, key).keys() for key in {one.model.key for one in self.passes}}

    @property
    def windowed(self) -> NDArray[np.bool_]:
        """Whether a text is scored in more than one window by any model, shape (n_samples,).

        Rewritten copies do not count; a note tells of theirs.
        """
        most: Counts = np.max([one.n_sequences for one in self.passes if not one.view.rewritten], axis=0)
        return most > 1

    @property
    def text_keys(self) -> list[str]:
        """Key of each text as scored, length n_samples: texts that differ only beyond a cut are the same text."""
        return [key.decode() for key in self.passes[0].keys.tolist()]

    @property
    def n_views(self) -> int:
        """Number of passes of the target."""
        return sum(one.model.role == "target" for one in self.passes)


def make_plan(
    models: Sequence[OpenedModel],
    *,
    sample_ids: Sequence[str],
    texts: Sequence[str],
    needs: frozenset[Need],
    cut: bool,
    rewrite: Rewriter,
) -> Plan:
    """Choose the fewest passes, and measure every text in each of them.

    Rewritten copies (swapped words, neighbours) are made of the texts as scored, after the cut, and have no say in it:
    one that comes out longer than the window, as another order of the same words may, is read in two windows like any
    long text. No token of it goes unscored, only its last few see half a window; a note counts them.

    Parameters
    ----------
    models : sequence of OpenedModel
        The target first.
    sample_ids, texts : sequence of str, length n_samples
    needs : frozenset of Need
        Union of what the attacks need.
    cut : bool
        Cut a text at the character where the first window, over all passes, is full; else windows are planned.
    rewrite : callable
        Makes the neighbours of the texts as scored, as views, and notes on them; called if they are needed.

    Raises
    ------
    ModelError, ConfigError, DataError
        For texts, tokenizers and needs that do not go together.
    """
    n = len(texts)
    views = original_views(needs)
    originals = tuple(_empty(models[0], view, n) for view in views)
    references = tuple(_empty(model, views[0], n) for model in models[1:])
    passes = originals + references
    readers = (originals[0], *references)
    scored = ScoredTexts(texts, are_chats=models[0].encoder.chat is not None)
    n_bytes, n_bytes_cut = np.zeros((2, n), dtype=np.int64)
    notes = [note for model in _distinct_readers(models) for note in _said_of_templates(model, texts, sample_ids)]
    before_cut = _scored_words(models[0].encoder, texts)
    unread = np.zeros((len(readers), n), dtype=np.int64)
    files = [file_reader(one.model.files.tokenizer_source) for one in readers]
    n_special, n_otherwise, n_unknown, n_tokens = np.zeros((4, len(readers)), dtype=np.int64)
    aligned, used, n_cut_by_shots = True, set[int](), 0
    for places in _blocks(n):
        if cut:
            ids, n_more = _fitting(passes, scored, places)
            n_cut_by_shots += n_more
        else:
            ids = [one.encode(scored[places]) for one in passes]
        block = scored[places]
        n_bytes[places] = _sizes(_scored_words(models[0].encoder, block)[:])
        n_bytes_cut[places] = np.array(_sizes(before_cut[places])) - n_bytes[places]
        for one, encoded in zip(passes, ids, strict=True):
            _measure(one, places, one.show(block), encoded)
        read = [ids[0], *ids[len(originals) :]]
        scored_ids = [[one.scored_ids for one in encoded] for encoded in read]
        aligned &= all(ids == scored_ids[0] for ids in scored_ids[1:])
        used.update(*scored_ids[0])
        for i, (one, encoded) in enumerate(zip(readers, read, strict=True)):
            unread[i, places] = one.encoder.unread(block)
            n_special[i] += sum(not one.encoder.special_ids.isdisjoint(_said(one, tokens)) for tokens in encoded)
            n_unknown[i] += sum(tokens.ids.count(one.model.files.tokenizer.unk_token_id) for tokens in encoded)
            n_tokens[i] += sum(len(tokens.ids) for tokens in encoded)
            if (read_file := files[i]) is not None:
                n_otherwise[i] += sum(
                    a.ids != b for a, b in zip(encoded, read_file(one.encoder.render(block)), strict=True)
                )
    for one, unknown, total in zip(readers, n_unknown, n_tokens, strict=True):
        _refuse_unknown(one.model.files, int(unknown), int(total))
    for one in passes:
        check_scorable(
            one.n_scored, sample_ids, has_prefix=bool(one.encoder.prefix.ids),
            cut=scored.cut_places if scored.are_chats else (), window=one.encoder.window,
        )  # fmt: skip
    aligned = aligned and _same_pieces(readers, sorted(used))
    _refuse_misaligned(readers, needs, aligned)
    notes += [_special_note(one.model.role, count, n) for one, count in zip(readers, n_special, strict=True) if count]
    if n_cut_by_shots:
        notes.append(models[0].cut_by_shots_note(n_cut_by_shots, n))
    rewritten, more = _rewritten(originals[0], scored, needs, rewrite)
    return Plan(
        passes=(*originals, *rewritten, *references),
        texts=scored,
        n_bytes=n_bytes,
        n_bytes_cut=n_bytes_cut,
        unread=unread,
        n_otherwise=tuple(None if file is None else int(n) for file, n in zip(files, n_otherwise, strict=True)),
        aligned=aligned,
        notes=tuple(dict.fromkeys([*notes, *more])),
    )


def measure_texts(model: OpenedModel, view: str, shown: Sequence[str]) -> Pass:
    """Measure some texts in a pass of their own: cut already, and as the view of that name shows them."""
    one = _empty(model, View(name=view), len(shown))
    _measure(one, slice(0, len(shown)), shown, one.encode(shown))
    return one


def _rewritten(
    original: Pass, scored: ScoredTexts, needs: frozenset[Need], rewrite: Rewriter
) -> tuple[list[Pass], list[str]]:
    """Plan a pass of the target for each rewritten copy of the texts, and say what there is to know of them."""
    views, notes, n = list[View](), list[str](), len(scored)
    if Need.SWAPS in needs:
        views += swapped_views()
        if n_short := sum(not has_words_to_swap(text) for text in _scored_words(original.encoder, scored)):
            notes.append(
                f"{n_short} of {n} texts have fewer than two words: their swapped copies are the texts themselves"
            )
    if Need.NEIGHBOURS in needs:
        neighbours, more = rewrite(_contents(original.encoder, scored))
        views += neighbours
        notes += more
    passes = [_empty(original.model, view, n) for view in views]
    for places in _blocks(n if passes else 0):
        block = scored[places]
        for one in passes:
            shown = one.show(block)
            _measure(one, places, shown, one.encoder.read(shown))
    n_longer = sum(int((one.n_sequences > original.n_sequences).sum()) for one in passes)
    if n_longer:
        notes.append(
            f"{n_longer} of {n * len(passes)} rewritten copies of texts fill more windows than the text; the tokens "
            "beyond are scored after half a window"
        )
    return passes, notes


def _said(one: Pass, encoded: Encoded) -> list[int]:
    """Return the ids in which special tokens are remarkable: those of a conversation's template are not."""
    return encoded.ids if one.encoder.chat is None else []


def _sizes(texts: Sequence[str]) -> list[int]:
    return [len(text.encode()) for text in texts]


def _scored_words(encoder: Encoder, texts: Sequence[str]) -> Sequence[str]:
    """Return what is scored of texts, without any mark of a template."""
    return texts if encoder.chat is None else Words(texts, encoder.chat.scored_words)


def _contents(encoder: Encoder, texts: Sequence[str]) -> Sequence[str]:
    """Return what is rewritten of texts: of conversations, each scored content for itself."""
    if encoder.chat is None:
        return texts
    return TextSpool(content for text in texts for content in encoder.chat.scored_contents(text))


def _distinct_readers(models: Sequence[OpenedModel]) -> list[OpenedModel]:
    """List one model for each way in which conversations are read; none if they are plain texts."""
    ways = {(one.encoder.chat.template, one.key.tokenizer_sha256): one for one in reversed(models) if one.encoder.chat}
    return list(reversed(ways.values()))


def _said_of_templates(model: OpenedModel, texts: Sequence[str], sample_ids: Sequence[str]) -> Iterator[str]:
    assert model.encoder.chat is not None
    return check_use(model.encoder.chat, model.role, texts, sample_ids)


def _empty(model: OpenedModel, view: View, n: int) -> Pass:
    """Make a pass in which nothing is measured yet."""
    n_scored, longest, n_sequences = np.zeros((3, n), dtype=np.int64)
    keys = np.zeros(n, dtype=_KEY)
    return Pass(model=model, view=view, keys=keys, n_scored=n_scored, longest=longest, n_sequences=n_sequences)


def _blocks(n: int) -> Iterator[slice]:
    """Yield the places of one block of texts after the other."""
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def _fitting(passes: Sequence[Pass], scored: ScoredTexts, places: slice) -> tuple[list[Ids], int]:
    """Encode a block for every pass, each text cut so that it fits into one window of all of them.

    Also count the texts that would be longer but for the shots before them: without these, one more character fits.
    """
    ids = [one.encode(scored[places]) for one in passes]
    without_shots = [one for one in passes if one.view.name not in one.model.shots]
    n_cut_by_shots = 0

    def fits(text: str) -> bool:
        return all(one.fits(text) for one in passes)

    windows = [one.encoder.window for one in passes]
    for row, place in enumerate(range(places.start, places.stop)):
        if any(w is not None and len(encoded[row].ids) > w for w, encoded in zip(windows, ids, strict=True)):
            text = scored[place]
            _, stop = passes[0].encoder.cut(text, fits)
            if stop is None:
                continue
            if len(without_shots) < len(passes):
                one_more = cut_text(text, stop + 1, is_chat=scored.are_chats)
                n_cut_by_shots += all(one.fits(one_more) for one in without_shots)
            scored.cut(place, stop)
            for one, encoded in zip(passes, ids, strict=True):
                encoded[row] = one.encode([scored[place]])[0]
    return ids, n_cut_by_shots


def _measure(one: Pass, places: slice, shown: Sequence[str], ids: Ids) -> None:
    """Note key and sizes of a block of texts, as its view shows them, in a pass."""
    encoder, files = one.encoder, one.model.files
    top = max(max(tokens, default=0) for tokens in [*(one.ids for one in ids), encoder.prefix.ids])
    if top >= files.n_vocabulary:
        raise ModelError(
            f"{files.spec}: the tokenizer of {files.tokenizer_source} gives id {top}, but the model's vocabulary ends "
            f"at {files.n_vocabulary - 1}; the tokenizer (or its BOS) is not this model's"
            + (
                ", or the adapter was trained on a base with resized embeddings: audit it merged, or give that base"
                if files.tokenizer_source == Path(files.spec.adapter or "-")
                else f": {TOKENIZER_OPTIONS}"
            )
        )
    for place, text, tokens in zip(range(places.start, places.stop), shown, ids, strict=True):
        sequences = encoder.sequences(*tokens)
        one.keys[place] = _row_key(text, sequences)
        one.n_scored[place] = sum(max(0, sequence.n_scored) for sequence in sequences)
        one.longest[place] = max(len(sequence.ids) - sequence.n_shared for sequence in sequences)
        one.n_sequences[place] = len(sequences)


def _row_key(text: str, sequences: Sequence[TokenSequence]) -> bytes:
    """Key of a stored row: the text and exactly what the model is given of it."""
    digest = hashlib.blake2b(text.encode(), digest_size=_KEY.itemsize // 2)
    for sequence in sequences:
        digest.update(np.array([len(sequence.ids), sequence.first_scored, *sequence.ids], dtype="<i8").tobytes())
        if sequence.skipped:
            digest.update(np.array(sequence.skipped, dtype="<i8").tobytes())
    return digest.hexdigest().encode()


def _same_pieces(readers: Sequence[Pass], used: list[int]) -> bool:
    """Whether the ids in use, equal for all models, also stand for the same pieces of text."""
    pieces: Any = readers[0].model.files.tokenizer.convert_ids_to_tokens(used)
    n_prefix = len(readers[0].encoder.prefix.ids)
    return all(
        len(one.encoder.prefix.ids) == n_prefix
        and all(token < one.model.files.n_vocabulary for token in used)
        and one.model.files.tokenizer.convert_ids_to_tokens(used) == pieces
        for one in readers[1:]
    )


def _refuse_unknown(files: ModelFiles, n_unknown: int, n_tokens: int) -> None:
    """Refuse a tokenizer to which the texts are mostly unknown, or nothing at all."""
    if 2 * n_unknown < n_tokens:
        return
    what = f"{n_unknown:,} of {n_tokens:,} tokens are unknown to it" if n_tokens else "no text has a token"
    raise ModelError(
        f"{files.tokenizer_source}: the tokenizer there ({type(files.tokenizer).__name__}) is not one for these texts: "
        f"{what}; {TOKENIZER_OPTIONS}, or see whether these are the texts that the model was trained on"
    )


def _refuse_misaligned(readers: Sequence[Pass], needs: frozenset[Need], aligned: bool) -> None:
    """Refuse what only makes sense if all models read the texts as the same tokens."""
    if aligned:
        return
    if Need.ALIGNED_TOKENS in needs:
        raise ConfigError(
            "an attack compares target and reference token by token, but they read the texts as different tokens; "
            "leave that attack out, or take a reference with the target's tokenizer"
        )
    scores_all = readers[0].encoder.chat is None or readers[0].encoder.chat.score == "all"
    if scores_all and not all(one.encoder.prefix.ids for one in readers):
        raise ConfigError(
            "target and reference read the texts as different tokens, and without a prefix token each would "
            "leave a different first token unscored: choose a --prefix-token that both tokenizers have"
        )


def _special_note(role: str, count: int, n: int) -> str:
    return (
        f"{count} of {n} texts contain special tokens of the {role}'s tokenizer (control "
        "marks written in the text, or pieces unknown to it); they are scored as the tokenizer reads them"
    )
