"""From texts to three disjoint sets of equally long samples: what is held out, what members come from, the reference's.

Samples are the unit of the membership law: ``sample_tokens`` consecutive tokens of one text. After an exact
de-duplication they are split at random, so that members and non-members differ in nothing but their membership.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.rarity import text_rarity
from ..engine.tokens import encode
from ..errors import ConfigError, DataError

__all__ = ["Corpus", "cut_corpus", "train_tokenizer"]

Samples = NDArray[np.int64]

_END = "<|endoftext|>"
_BATCH = 1000
_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Samples of a text, split into three.

    Parameters
    ----------
    name, tokenizer : str
        Of the texts and of the tokenizer, for people.
    n_vocabulary : int
        Of the tokenizer, added tokens counted.
    held_out, pool, reference : array of int, shape (n_samples, sample_tokens)
        Non-members of every model; where members are drawn from, in random order; what references train on.
    notes : tuple of str
        What was cut, dropped and chosen on the way, with counts.
    pool_rarity : array of float, shape (n_pool,), optional
        Mean TF-IDF weight of the words of each sample of the pool; the others are the corpus.
    """

    name: str
    tokenizer: str
    n_vocabulary: int
    held_out: Samples
    pool: Samples
    reference: Samples
    notes: tuple[str, ...]
    pool_rarity: NDArray[np.float64] | None = None

    @property
    def sample_tokens(self) -> int:
        """Tokens of every sample."""
        return int(self.held_out.shape[1])


def train_tokenizer(texts: Sequence[str], *, n_vocabulary: int = 512) -> Any:
    """Train a byte-level BPE on all texts: on members and non-members alike, so that it favours neither.

    A tokenizer trained on the members alone codes them in fewer tokens than other texts, which by itself tells
    them apart. The small default keeps the embeddings, which count as parameters, from outweighing the rest.

    Parameters
    ----------
    texts : sequence of str
        The whole corpus.
    n_vocabulary : int
        Tokens, 256 bytes and an end of text among them; texts with few distinct words may give fewer.

    Returns
    -------
    PreTrainedTokenizerFast

    Raises
    ------
    ConfigError
        If the vocabulary does not hold all bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if n_vocabulary <= _BYTES:
        raise ConfigError(f"a byte-level vocabulary has at least {_BYTES + 1} tokens, {n_vocabulary} were asked for")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocabulary, special_tokens=[_END], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=_END, eos_token=_END)


def cut_corpus(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    name: str,
    tokenizer_name: str,
    n_held_out: int,
    n_pool: int,
    n_reference: int,
    sample_tokens: int = 64,
    seed: int = 0,
) -> Corpus:
    """Cut texts into samples, drop repeated ones, and split the rest at random.

    Samples are treated as independent draws: two of the same text may lie on different sides, as in the
    experiments behind the law. Repeats are exact ones only; texts that nearly repeat each other make members
    look less like members.

    Many parameters: the corpus notes the two names, and the sizes of its three parts are chosen one by one.

    Parameters
    ----------
    texts : sequence of str
    tokenizer : PreTrainedTokenizerBase
        Used without special tokens around a text.
    name, tokenizer_name : str
        What the texts and the tokenizer are called, for people.
    n_held_out, n_pool : int
        Samples to hold out, and to draw members from.
    n_reference : int
        Least number of samples for references; they get all that are left.
    sample_tokens : int
        Tokens of a sample; what a text has beyond a multiple is dropped and counted.
    seed : int
        Of the split.

    Raises
    ------
    ConfigError
        If a sample has fewer than two tokens: its first is given.
    DataError
        If there are fewer different samples than needed; it says how many there are.
    """
    if sample_tokens < 2:
        raise ConfigError(f"a sample has at least two tokens, {sample_tokens} were asked for")
    samples, n_tokens, n_short = _cut(texts, tokenizer, sample_tokens)
    distinct = np.unique(samples, axis=0)
    needed = n_held_out + n_pool + n_reference
    if len(distinct) < needed:
        raise DataError(
            f"{name}: {len(texts):,} texts hold {len(distinct):,} different samples of {sample_tokens} tokens, but the "
            f"sweep needs {needed:,} ({n_held_out:,} held out, {n_pool:,} for members, {n_reference:,} for "
            "references): give more text, smaller models, smaller ratios or fewer held-out samples"
        )
    order = np.random.default_rng(seed).permutation(len(distinct))
    held_out, pool, reference = np.split(distinct[order], [n_held_out, n_held_out + n_pool])
    rest = n_tokens - samples.size
    return Corpus(
        name=name,
        tokenizer=tokenizer_name,
        n_vocabulary=len(tokenizer),
        held_out=held_out,
        pool=pool,
        reference=reference,
        pool_rarity=_rarity(tokenizer, pool, np.concatenate([held_out, reference])),
        notes=(
            f"{len(texts):,} texts, {n_tokens:,} tokens, cut into {len(samples):,} samples of {sample_tokens} tokens; "
            f"{rest:,} tokens at the ends of texts dropped, {n_short:,} texts shorter than a sample",
            f"{len(samples) - len(distinct):,} exact repeats dropped, {len(distinct):,} different samples kept",
            f"split at random (seed {seed}): {n_held_out:,} held out, {n_pool:,} to draw members from, "
            f"{len(reference):,} for references; samples of one text may lie on different sides",
        ),
    )


def _rarity(tokenizer: Any, pool: Samples, others: Samples) -> NDArray[np.float64]:
    """Rate the words of each sample of the pool by how few of the other samples have them."""
    samples = np.concatenate([pool, others])

    def blocks() -> Iterator[list[str]]:
        for start in range(0, len(samples), _BATCH):
            yield tokenizer.batch_decode(samples[start : start + _BATCH].tolist())

    return text_rarity(blocks, np.arange(len(samples)) < len(pool))[: len(pool)]


def _cut(texts: Sequence[str], tokenizer: Any, sample_tokens: int) -> tuple[Samples, int, int]:
    """Return all samples in the order of the texts, the tokens of all texts, and the texts shorter than a sample."""
    pieces, n_tokens, n_short = [], 0, 0
    for start in range(0, len(texts), _BATCH):
        for ids in encode(tokenizer, texts[start : start + _BATCH]):
            whole = len(ids) // sample_tokens
            pieces.append(np.asarray(ids[: whole * sample_tokens], dtype=np.int64).reshape(whole, sample_tokens))
            n_tokens += len(ids)
            n_short += whole == 0
    empty = np.empty((0, sample_tokens), dtype=np.int64)
    return np.concatenate([empty, *pieces]), n_tokens, n_short
