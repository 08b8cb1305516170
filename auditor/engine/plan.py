"""The plan of an audit: the fewest passes for what the attacks need, and the size of every text in each of them.

Texts are read from disk a block at a time, in one batch a tokenizer and view, and their token ids go to disk: models
with one tokenizer share them, and scoring reads them there.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.base import Need

from ..data import LazyTexts, TextSpool
from ..data.chat import Chat
from ..errors import ConfigError, ModelError
from .chat import ChatReader, check_use
from .cutting import Sure
from .id_file import IdFile
from .loading.models import ModelFiles
from .loading.tokenizer_files import TOKENIZER_OPTIONS, OwnFile
from .models import OpenedModel
from .store import PassKey, ScoreStore
from .tokens import Encoded, Encoder, Reading, TokenSequence, check_scorable, cut_text, find_cuts
from .views import View, has_words_to_swap, original_views, swapped_views

__all__ = ["Pass", "Plan", "Rewriter", "ScoredTexts", "Stored", "Words", "make_plan", "measure_texts"]

_BLOCK = 1024
"""Texts held at once."""

_KEY = np.dtype("S32")
_ALL = slice(None)

Reads = tuple[type, str, Callable[[str], str], ChatReader | None]
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
    ids : IdFile
        Token ids of the view of each text, without the prefix, and which of them are scored.
    """

    model: OpenedModel
    view: View
    keys: NDArray[np.bytes_]
    n_scored: Counts
    longest: Counts
    n_sequences: Counts
    ids: IdFile

    @property
    def reads(self) -> Reads:
        """Equal for passes in which all texts have the same ids: of one tokenizer and one view of the text itself."""
        return type(self.model.files.tokenizer), self.model.key.tokenizer_sha256, self.view.change, self.encoder.chat

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

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read this view of each text."""
        return self.encoder.read_closely(self.show(texts))

    def sequences(self, places: Iterable[int]) -> list[list[TokenSequence]]:
        """Sequences of the texts at these places, as the model is given them."""
        encoder = self.encoder
        return [encoder.sequences(*self.ids.read(int(place))) for place in places]

    def scored_ids(self, places: Iterable[int]) -> Counts:
        """Return the token ids that are scored, text after text, shape (n_tokens,)."""
        windows = [sequence for sequences in self.sequences(places) for sequence in sequences]
        return np.concatenate([np.array(one.scored_ids, dtype=np.int64) for one in windows])

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
    passes = _sharing_ids(originals + references)
    originals, references = passes[: len(originals)], passes[len(originals) :]
    readers = (originals[0], *references)
    scored = ScoredTexts(texts, are_chats=models[0].encoder.chat is not None)
    n_bytes, n_bytes_cut = np.zeros((2, n), dtype=np.int64)
    notes = [note for model in _distinct_readers(models) for note in _said_of_templates(model, texts, sample_ids)]
    before_cut = _scored_words(models[0].encoder, texts)
    unread = np.zeros((len(readers), n), dtype=np.int64)
    files = [OwnFile.find(one.model.files.tokenizer_source) for one in readers]
    is_other = [own and not own.makes(one.model.files.tokenizer) for own, one in zip(files, readers, strict=True)]
    n_special, n_otherwise, n_unknown, n_tokens = np.zeros((4, len(readers)), dtype=np.int64)
    aligned, used, n_cut_by_shots = True, np.zeros(readers[0].model.files.n_vocabulary, dtype=np.bool_), 0
    for places in _blocks(n):
        read = _read(passes, scored[places])
        if cut:
            n_cut_by_shots += _cut_to_fit(passes, scored, places, read)
        block = scored[places]
        n_bytes[places] = _sizes(_scored_words(models[0].encoder, block)[:])
        n_bytes_cut[places] = np.array(_sizes(before_cut[places])) - n_bytes[places]
        laid = {reads: _Laid.of(readings) for reads, readings in read.items()}
        for one in {one.reads: one for one in passes}.values():
            laid[one.reads].keep(one.ids, places)
        for one in passes:
            _measure(one, places, one.show(block), laid[one.reads])
        lost = {reads: [reading.n_unread for reading in read[reads]] for reads in {one.reads for one in readers}}
        first = laid[readers[0].reads]
        used[first.scored_ids] = True
        for i, one in enumerate(readers):
            here = laid[one.reads]
            aligned &= here.is_scored_like(first)
            unread[i, places] = lost[one.reads]
            n_special[i] += here.n_texts_with(one.encoder.special_ids if one.encoder.chat is None else ())
            n_unknown[i] += int((here.ids == one.model.files.tokenizer.unk_token_id).sum())
            n_tokens[i] += here.ids.size
            if (own := files[i]) is not None and is_other[i]:
                by_file = own.read([reading.text for reading in read[one.reads]])
                n_otherwise[i] += sum(a.encoded.ids != b for a, b in zip(read[one.reads], by_file, strict=True))
    for one, unknown, total in zip(readers, n_unknown, n_tokens, strict=True):
        _refuse_unknown(one.model.files, int(unknown), int(total))
    for one in passes:
        check_scorable(
            one.n_scored, sample_ids, has_prefix=bool(one.encoder.prefix.ids),
            cut=scored.cut_places if scored.are_chats else (), window=one.encoder.window,
        )  # fmt: skip
    aligned = aligned and _same_pieces(readers, np.flatnonzero(used).tolist())
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
    _read_rewritten(one, slice(0, len(shown)), shown)
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
            _read_rewritten(one, places, one.show(block))
    n_longer = sum(int((one.n_sequences > original.n_sequences).sum()) for one in passes)
    if n_longer:
        notes.append(
            f"{n_longer} of {n * len(passes)} rewritten copies of texts fill more windows than the text; the tokens "
            "beyond are scored after half a window"
        )
    return passes, notes


def _read_rewritten(one: Pass, places: slice, shown: Sequence[str]) -> None:
    """Read and measure a block of texts, as one view shows them."""
    laid = _Laid.of_ids(one.encoder.read(shown))
    laid.keep(one.ids, places)
    _measure(one, places, shown, laid)


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
    return Pass(
        model=model,
        view=view,
        keys=keys,
        n_scored=n_scored,
        longest=longest,
        n_sequences=n_sequences,
        ids=IdFile(n, has_unscored=model.encoder.chat is not None),
    )


def _sharing_ids(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Let passes that read the texts alike have one file of ids."""
    files = {one.reads: one.ids for one in reversed(passes)}
    return tuple(replace(one, ids=files[one.reads]) for one in passes)


def _blocks(n: int) -> Iterator[slice]:
    """Yield the places of one block of texts after the other."""
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


@dataclass(frozen=True, slots=True)
class _Laid:
    """Token ids of a block of texts end to end, which are scored (None: all), and how many each text has.

    ``ids`` and ``scored`` have shape (n_tokens,), ``counts`` has shape (n_texts,).
    """

    ids: NDArray[np.int32]
    scored: NDArray[np.bool_] | None
    counts: Counts

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> "_Laid":
        return cls.of_ids([one.encoded for one in readings])

    @classmethod
    def of_ids(cls, texts: Sequence[Encoded]) -> "_Laid":
        counts = np.array([len(one.ids) for one in texts], dtype=np.int64)
        n = int(counts.sum())
        ids = np.fromiter(chain.from_iterable(one.ids for one in texts), dtype=np.int32, count=n)
        if all(one.scored is None for one in texts):
            return cls(ids, None, counts)
        scored = chain.from_iterable(one.scored or () for one in texts)
        return cls(ids, np.fromiter(scored, dtype=np.bool_, count=n), counts)

    def keep(self, file: IdFile, places: slice) -> None:
        """Write the ids to a file."""
        file.write(places, self.ids, self.counts, self.scored)

    def each(self) -> Iterator[Encoded]:
        """Yield the ids of one text after the other."""
        stops = np.cumsum(self.counts)
        for start, stop in zip((stops - self.counts).tolist(), stops.tolist(), strict=True):
            scored = None if self.scored is None else tuple(self.scored[start:stop].tolist())
            yield Encoded(self.ids[start:stop].tolist(), scored)

    @property
    def scored_ids(self) -> NDArray[np.int32]:
        """The ids that are scored, if there is something before them."""
        return self.ids if self.scored is None else self.ids[self.scored]

    def is_scored_like(self, other: "_Laid") -> bool:
        """Whether the same ids are scored of every text."""
        return self is other or (
            np.array_equal(self._n_scored, other._n_scored) and np.array_equal(self.scored_ids, other.scored_ids)
        )

    @property
    def _n_scored(self) -> Counts:
        return self.counts if self.scored is None else np.bincount(self._texts[self.scored], minlength=len(self.counts))

    @property
    def _texts(self) -> Counts:
        """Place of the text of each id."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def n_texts_with(self, wanted: Iterable[int]) -> int:
        """Count the texts that have one of these ids."""
        return len(np.unique(self._texts[np.isin(self.ids, list(wanted))]))


def _read(passes: Sequence[Pass], texts: Sequence[str]) -> dict[Reads, list[Reading]]:
    """Read texts once for all passes that read them alike."""
    return {reads: one.read(texts) for reads, one in {one.reads: one for one in passes}.items()}


def _fit(passes: Sequence[Pass], texts: Sequence[str]) -> list[bool]:
    """Say of each text whether all views of it can be scored in one window."""
    fitting = list(range(len(texts)))
    different = {one.reads: one for one in passes}
    for reads, window in _windows(passes).items():
        one = different[reads]
        ids = one.encoder.encode(one.show([texts[i] for i in fitting]))
        fitting = [i for i, tokens in zip(fitting, ids, strict=True) if len(tokens) <= window]
    fit = np.zeros(len(texts), dtype=np.bool_)
    fit[fitting] = True
    return fit.tolist()


def _windows(passes: Sequence[Pass]) -> dict[Reads, int]:
    """Return the smallest window of the passes that read alike, if they have one."""
    sized = [(one.reads, window) for one in passes if (window := one.encoder.window) is not None]
    return {reads: min(window for other, window in sized if other == reads) for reads, _ in sized}


def _cut_to_fit(passes: Sequence[Pass], scored: ScoredTexts, places: slice, read: Mapping[Reads, list[Reading]]) -> int:
    """Cut the texts of a block that fill more than one window of a pass, and read those again in place.

    Count those that would be longer but for the shots before them: without these, one more character fits.
    """
    windows = _windows(passes)
    rows = [
        row
        for row in range(places.stop - places.start)
        if any(len(read[reads][row].encoded.ids) > window for reads, window in windows.items())
    ]
    texts = [scored[places.start + row] for row in rows]

    def started(stops: Iterable[int], which: Iterable[int]) -> list[str]:
        return [cut_text(texts[i], stop, is_chat=scored.are_chats) for i, stop in zip(which, stops, strict=True)]

    sure = [
        _sure(passes, windows, {reads: read[reads][row] for reads in windows}, text)
        for row, text in zip(rows, texts, strict=True)
    ]
    stops = find_cuts(texts, lambda which, stops: _fit(passes, started(stops, which)), sure, is_chat=scored.are_chats)
    for row, stop in zip(rows, stops, strict=True):
        scored.cut(places.start + row, stop)
    for reads, readings in _read(passes, started(stops, range(len(rows)))).items() if rows else ():
        for row, reading in zip(rows, readings, strict=True):
            read[reads][row] = reading
    without_shots = [one for one in passes if one.view.name not in one.model.shots]
    if len(without_shots) == len(passes) or not rows:
        return 0
    return sum(_fit(without_shots, started([stop + 1 for stop in stops], range(len(rows)))))


def _sure(
    passes: Sequence[Pass], windows: Mapping[Reads, int], readings: Mapping[Reads, Reading], text: str
) -> Sure | None:
    """Say at which characters of a text the window of a pass is surely full, and up to which none is.

    Nothing is sure if a pass does not tell, or shows a text of another length.
    """
    known = []
    for reads, one in {one.reads: one for one in passes if one.reads in windows}.items():
        (shown,) = one.show([text])
        told = one.encoder.sure(readings[reads], shown, windows[reads])
        if told is None or len(shown) != len(text):
            return None
        known.append(told)
    return min(fits for fits, _ in known), min(full for _, full in known)


def _measure(one: Pass, places: slice, shown: Sequence[str], laid: _Laid) -> None:
    """Note key and sizes of a block of texts, as its view shows them, in a pass."""
    encoder, files = one.encoder, one.model.files
    top = max(int(laid.ids.max(initial=0)), *encoder.prefix.ids, 0)
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
    for place, text, tokens in zip(range(places.start, places.stop), shown, laid.each(), strict=True):
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
