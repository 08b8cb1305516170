"""Fills of a gap in a text: how likely a model makes each of many strings there, what they share being read once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import AuditConfig
from ..errors import ConfigError, ModelError
from .forward import is_out_of_memory, why_not_finite
from .loading.configs import first_line
from .loading.models import input_device
from .loading.panics import no_panics
from .measures import load_opened
from .models import OpenedModel
from .tokens import Encoder, encode

__all__ = ["FillScores", "FillTokens", "FillTrie", "GapReader", "fill_tokens"]

_TEXTS_AT_ONCE = 4096
_MOST_NODES, _LEAST_NODES = 512, 64
"""Nodes of a trie that are read at once."""
_MOST_LOGITS = 1 << 25
_NEAR = (4, 24)
"""Characters on either side of a gap whose tokens may change with what stands in it, at least; tried in turn."""
_COMPARED = 64
"""Fills that are read with the whole text to see that this is so."""
_TRIED = 4
"""Fills that are read alone, too, without a cache, to see that the trie is read right."""

Path = Literal["trie", "one by one"]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class FillTokens:
    """Token ids of a text with each of many fills in its gap.

    Parameters
    ----------
    context : tuple of int
        What all of them begin with.
    rows : ndarray of int32, shape (n_fills, n_longest)
        The ids after it that are scored, up to one and the same character behind the gap; padded with -1.
    """

    context: tuple[int, ...]
    rows: Ids


@dataclass(frozen=True, slots=True)
class FillTrie:
    """The tokens of all fills as a tree, a node a beginning; nodes are in preorder, the root is the last shared token.

    Parameters
    ----------
    token, parent, depth : ndarray of int64, shape (n_nodes,)
        The root has no parent (-1), depth 0, and stands first.
    leaf : ndarray of int64, shape (n_fills,)
        The node at which each fill ends.
    """

    token: NDArray[np.int64]
    parent: NDArray[np.int64]
    depth: NDArray[np.int64]
    leaf: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Ids, root: int) -> "FillTrie":
        """Build the tree of rows of ids that are padded with -1."""
        order = np.lexsort(rows.T[::-1])
        ordered = rows[order].astype(np.int64)  # (n_fills, n_longest)
        is_new = np.ones(ordered.shape, dtype=np.bool_)
        is_new[1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)
        is_new &= ordered >= 0
        node = np.where(is_new, np.cumsum(is_new).reshape(is_new.shape), 0)
        node = np.maximum.accumulate(node, axis=0)  # a node that is not new is the last one of its depth
        above = np.concatenate([np.zeros((len(rows), 1), dtype=np.int64), node[:, :-1]], axis=1)
        leaf = np.empty(len(rows), dtype=np.int64)
        leaf[order] = node[np.arange(len(rows)), (ordered >= 0).sum(axis=1) - 1]
        depths = np.broadcast_to(np.arange(1, ordered.shape[1] + 1), ordered.shape)
        columns = zip((root, -1, 0), (ordered, above, depths), strict=True)
        token, parent, depth = (np.concatenate([[of_root], one[is_new]]) for of_root, one in columns)
        return cls(token, parent, depth, leaf)

    @property
    def inner(self) -> NDArray[np.int64]:
        """Nodes after which something follows, in preorder."""
        return np.unique(self.parent[1:])

    def pieces(self, n: int) -> Iterator[NDArray[np.int64]]:
        """Yield the inner nodes, about n at once, each piece with all that its nodes stand after."""
        inner = self.inner
        for start in range(0, inner.size, n):
            above, one = list[int](), int(inner[start])
            while (one := int(self.parent[one])) >= 0:
                above.append(one)
            yield np.concatenate([np.array(above[::-1], dtype=np.int64), inner[start : start + n]])


@dataclass(frozen=True, slots=True)
class FillScores:
    """The log-probability of each fill in its gap, and how it was computed.

    Parameters
    ----------
    logprob : ndarray of float64, shape (n_fills,), nats
        Summed over the tokens that are not the same in all fills before the first difference.
    n_read : int
        Tokens that the model read for them.
    n_cut : int
        Tokens of the text that were left out as they do not fit the window.
    path : {"trie", "one by one"}
    """

    logprob: NDArray[np.float64]
    n_read: int
    n_cut: int
    path: Path


class GapReader:
    """A loaded model that scores fills of gaps.

    Parameters
    ----------
    model : OpenedModel
    config : AuditConfig

    Raises
    ------
    ConfigError, ModelError
        If the model cannot be loaded, or its tokenizer does not say which characters a token stands for.
    """

    def __init__(self, model: OpenedModel, config: AuditConfig) -> None:
        if not model.encoder.tokenizer.is_fast:
            raise ModelError(
                f"{model.files.spec}: its tokenizer does not say which characters a token stands for; name the fast "
                "one with --tokenizer (a tokenizer.json)"
            )
        self._model = model
        self._weights, _ = load_opened(model, config)
        self._device = input_device(self._weights)
        self._path: Path = "trie"

    def score(
        self, before: str, fills: Sequence[str], after: str, *, on_read: Callable[[int, int], None] | None = None
    ) -> FillScores:
        """Score every fill between two parts of a text.

        Parameters
        ----------
        before, after : str
        fills : sequence of str
            All of one length in characters, no two alike needed.
        on_read : callable, optional
            Told how many tokens were read, and of how many.

        Raises
        ------
        ConfigError, ModelError
            If nothing stands before the first token, or the model fails.
        """
        tokens = fill_tokens(self._model.encoder, before, fills, after)
        context, n_cut = self._fitting(tokens)
        if not context:
            raise ConfigError(
                f"{self._model.files.spec}: a secret begins its text and no token stands before it; give one with "
                "--prefix-token"
            )
        trie = FillTrie.of(tokens.rows, context[-1])
        try:
            with torch.inference_mode():
                if self._path == "trie":
                    logprob = self._by_trie(trie, context, on_read)
                    if logprob is not None and self._is_right(logprob, tokens.rows, context):
                        return FillScores(logprob, int(trie.inner.size) + len(context), n_cut, "trie")
                    self._path = "one by one"
                logprob = self._one_by_one(tokens.rows, context, on_read)
        except (RuntimeError, MemoryError) as error:
            what = "ran out of memory" if is_out_of_memory(error, self._device) else "failed"
            raise ModelError(f"{self._model.files.spec}: scoring fills {what}: {first_line(error)}") from error
        n_read = int((tokens.rows >= 0).sum()) + len(context) * len(tokens.rows)
        return FillScores(logprob, n_read, n_cut, "one by one")

    def _fitting(self, tokens: FillTokens) -> tuple[tuple[int, ...], int]:
        """Leave out the first tokens of a text that is longer than the window."""
        prefix, window = self._model.encoder.prefix.ids, self._model.encoder.window
        n_cut = 0 if window is None else max(0, len(tokens.context) + tokens.rows.shape[1] - window)
        return (*prefix, *tokens.context[min(n_cut, len(tokens.context)) :]), n_cut

    def _by_trie(
        self, trie: FillTrie, context: tuple[int, ...], on_read: Callable[[int, int], None] | None
    ) -> NDArray[np.float64] | None:
        """Read the tree piece by piece after the cached context, every node seeing what it stands after.

        Returns
        -------
        ndarray of float64, shape (n_fills,), or None if the model's code takes no mask of its own
        """
        try:
            cache = self._cached(context[:-1])
            edges = np.zeros(trie.token.size)
            by_parent = np.argsort(trie.parent, kind="stable")
            parents = trie.parent[by_parent]
            n_nodes = max(_LEAST_NODES, min(_MOST_NODES, _MOST_LOGITS // self._model.files.n_vocabulary))
            n_read = 0
            for piece in trie.pieces(n_nodes):
                logprobs = self._read(trie, piece, cache, len(context) - 1)  # (n_piece, n_vocabulary)
                rows = np.searchsorted(parents, [piece, piece + 1])  # where the children of each begin and end
                at = np.repeat(np.arange(piece.size), rows[1] - rows[0])
                children = np.concatenate([by_parent[a:b] for a, b in rows.T])
                picked = logprobs[torch.from_numpy(at), torch.from_numpy(trie.token[children])]
                edges[children] = picked.double().cpu().numpy()
                n_read += piece.size
                if on_read is not None:
                    on_read(n_read, int(trie.inner.size))
        except (TypeError, ValueError, AttributeError, IndexError, NotImplementedError):
            return None
        total = np.zeros(trie.token.size)
        for depth in range(1, int(trie.depth.max()) + 1):
            here = np.flatnonzero(trie.depth == depth)
            total[here] = total[trie.parent[here]] + edges[here]
        return np.asarray(total[trie.leaf])

    def _cached(self, ids: Sequence[int]) -> Any:
        """Read what stands before the tree, once."""
        from transformers import DynamicCache

        cache = DynamicCache()
        if ids:
            self._weights(input_ids=self._row(ids), past_key_values=cache, use_cache=True)
        return cache

    def _read(self, trie: FillTrie, piece: NDArray[np.int64], cache: Any, n_cached: int) -> torch.Tensor:
        """Return log-probabilities after each node of a piece, shape (n_piece, n_vocabulary), on the model's device."""
        sees = np.zeros((piece.size, n_cached + piece.size), dtype=np.bool_)
        sees[:, :n_cached] = True
        for row, parent in enumerate(np.searchsorted(piece, trie.parent[piece])):
            if trie.parent[piece[row]] >= 0:
                sees[row, n_cached:] = sees[parent, n_cached:]
            sees[row, n_cached + row] = True
        dtype = self._weights.dtype
        mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(torch.from_numpy(~sees), torch.finfo(dtype).min)
        logits = self._weights(
            input_ids=self._row(trie.token[piece]),
            position_ids=self._row(n_cached + trie.depth[piece]),
            attention_mask=mask[None, None].to(self._device),
            past_key_values=cache,
            use_cache=True,
        ).logits[0]
        cache.crop(-piece.size)
        return self._finite(torch.log_softmax(logits.float(), dim=-1))

    def _one_by_one(
        self, rows: Ids, context: tuple[int, ...], on_read: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float64]:
        """Read every fill after the whole context, those of one length together: right for any causal model."""
        lengths, logprob = (rows >= 0).sum(axis=1), np.zeros(len(rows))
        n_done = 0
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            n_ids = len(context) + int(length)
            n_rows = max(1, _MOST_LOGITS // (n_ids * self._model.files.n_vocabulary))
            n_rows = 1 if self._model.files.depends_on_batch else n_rows
            for start in range(0, places.size, n_rows):
                some = places[start : start + n_rows]
                ids = torch.tensor([[*context, *row] for row in rows[some, :length].tolist()], device=self._device)
                logits = self._weights(input_ids=ids).logits[:, len(context) - 1 : -1].float()
                logprobs = self._finite(torch.log_softmax(logits, dim=-1))
                picked = logprobs.gather(2, ids[:, len(context) :, None])[..., 0]
                logprob[some] = picked.double().sum(dim=1).cpu().numpy()
                n_done += some.size
                if on_read is not None:
                    on_read(n_done, len(rows))
        return logprob

    def _is_right(self, logprob: NDArray[np.float64], rows: Ids, context: tuple[int, ...]) -> bool:
        """Whether a few fills have the same probability alone and without a cache."""
        tried = np.unique(np.linspace(0, len(rows) - 1, _TRIED).astype(int))
        alone = self._one_by_one(rows[tried], context)
        slack = np.sqrt(torch.finfo(self._weights.dtype).eps) * (1 + np.abs(alone) / 4)
        return bool((np.abs(logprob[tried] - alone) <= slack).all())

    def _row(self, ids: Any) -> torch.Tensor:
        return torch.tensor([[int(one) for one in ids]], device=self._device)

    def _finite(self, logprobs: torch.Tensor) -> torch.Tensor:
        if torch.isnan(logprobs).any():
            raise ModelError(f"{self._model.files.spec}: {why_not_finite(self._model.key.dtype)}")
        return logprobs


def fill_tokens(encoder: Encoder, before: str, fills: Sequence[str], after: str) -> FillTokens:
    """Read a text with each fill in its gap as the tokenizer does, and find what is shared.

    Each fill is read with the text around it, so that a token may reach over an end of the gap. What is scored ends, in
    every reading, at the first character behind the gap at which a token ends in all of them: the same characters are
    scored whatever the fill.

    Parameters
    ----------
    encoder : Encoder
    before, after : str
    fills : sequence of str
        Of one length in characters.
    """
    tokenizer = encoder.tokenizer
    head, near, tail = _near(tokenizer, before, fills, after)
    gap_end = len(near) + len(fills[0])
    chunks, common = [], np.ones(gap_end + len(tail) + 1, dtype=np.bool_)
    for start in range(0, len(fills), _TEXTS_AT_ONCE):
        ids, ends = _read_all(tokenizer, [f"{near}{fill}{tail}" for fill in fills[start : start + _TEXTS_AT_ONCE]])
        chunks.append((ids, ends))
        is_end = np.zeros((len(ids), common.size), dtype=np.bool_)
        np.put_along_axis(is_end, np.where(ids >= 0, ends, 0), True, axis=1)
        common &= is_end.all(axis=0)
    shared = np.flatnonzero(common[gap_end:])
    stop = gap_end + int(shared[0]) if shared.size else gap_end + len(tail)
    width = max(ids.shape[1] for ids, _ in chunks)
    rows = np.concatenate([_until(ids, ends, stop, width) for ids, ends in chunks])
    n_shared = int(np.logical_and.accumulate((rows == rows[0]).all(axis=0) & (rows[0] >= 0)).sum())
    n_shared = min(n_shared, int((rows >= 0).sum(axis=1).min()) - 1)
    return FillTokens((*head, *rows[0, :n_shared].tolist()), rows[:, n_shared : int((rows >= 0).sum(axis=1).max())])


def _near(tokenizer: Any, before: str, fills: Sequence[str], after: str) -> tuple[list[int], str, str]:
    """Return the ids that stay the same whatever the fill, and the text on both sides that is read with each of them.

    Reading a text from a space on gives the same tokens with most tokenizers; where a few fills show another reading,
    every fill is read with the whole text.
    """
    places = np.unique(np.linspace(0, len(fills) - 1, _COMPARED).astype(int))
    some = [fills[place] for place in places.tolist()]
    whole = encode(tokenizer, [f"{before}{fill}{after}" for fill in some])
    for n in _NEAR:
        cut, stop = before.rfind(" ", 0, max(0, len(before) - n)), after.find(" ", n)
        if cut <= 0:
            break
        near, tail = before[cut:], after if stop < 0 else after[:stop]
        head = encode(tokenizer, [before[:cut]])[0]
        parts = encode(tokenizer, [f"{near}{fill}{tail}" for fill in some])
        if all(ids[: len(head) + len(part)] == [*head, *part] for ids, part in zip(whole, parts, strict=True)):
            return head, near, tail
    return [], before, after


def _read_all(tokenizer: Any, texts: list[str]) -> tuple[Ids, Ids]:
    """Return ids and the character at which each ends, both of shape (n_texts, n_longest); ids are padded with -1."""
    with no_panics("the tokenizer"):
        read = tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            truncation=False,
            verbose=False,
        )
    lengths = np.array([len(ids) for ids in read["input_ids"]])
    holds = np.arange(lengths.max()) < lengths[:, None]
    ids, ends = np.full(holds.shape, -1, dtype=np.int32), np.zeros(holds.shape, dtype=np.int32)
    ids[holds] = np.fromiter((one for row in read["input_ids"] for one in row), np.int32, lengths.sum())
    ends[holds] = np.fromiter((end for row in read["offset_mapping"] for _, end in row), np.int32, lengths.sum())
    return ids, ends


def _until(ids: Ids, ends: Ids, stop: int, width: int) -> Ids:
    """Keep the ids up to the one that ends at a character; ids padded with -1 to a width."""
    kept = np.where((ids >= 0) & (ends <= stop), ids, -1)
    return np.pad(kept, ((0, 0), (0, width - ids.shape[1])), constant_values=-1)
