"""The size of a training set: texts, tokens under a tokenizer, and a bound of the information in them."""

import lzma
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import ModelSpec
from .loading.tokenizer_files import load_tokenizer
from .tokens import encode

__all__ = ["DataSize", "compressed_bits", "count_texts"]

_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """Texts of a training set in numbers.

    Parameters
    ----------
    n_texts, n_distinct : int
        All texts, and different ones.
    n_tokens : int
        Of all texts, without special tokens around them.
    n_vocabulary : int
        Entries of the tokenizer's vocabulary.
    compressed_bits : float, bits
        Size of the texts under a general compressor: an upper bound of the information in them.
    """

    n_texts: int
    n_distinct: int
    n_tokens: int
    n_vocabulary: int
    compressed_bits: float


def count_texts(texts: Sequence[str], tokenizer: ModelSpec) -> DataSize:
    """Count texts and tokens, and compress the texts.

    Raises
    ------
    ModelError
        If the tokenizer cannot be loaded.
    """
    loaded = load_tokenizer(tokenizer)
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    return DataSize(
        n_texts=len(texts),
        n_distinct=len(set(texts)),
        n_tokens=sum(len(ids) for batch in batches for ids in encode(loaded, batch)),
        n_vocabulary=len(loaded),
        compressed_bits=compressed_bits(texts),
    )


def compressed_bits(texts: Sequence[str]) -> float:
    """Size in bits of the texts, a line feed after each, under LZMA: a bound of their information from above."""
    compressor = lzma.LZMACompressor(preset=6)
    n_bytes = sum(len(compressor.compress(f"{text}\n".encode())) for text in texts)
    return 8.0 * (n_bytes + len(compressor.flush()))
