"""The size of a training set: texts, tokens under a tokenizer, and a bound of the information in them."""

import lzma
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import ModelSpec
from ..errors import ConfigError
from .loading.tokenizer_files import load_tokenizer
from .models import chat_reader
from .tokens import Encoder, Prefix

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


def count_texts(
    texts: Sequence[str],
    tokenizer: ModelSpec,
    *,
    form: str = "text",
    score: str = "completion",
    chat_template: str | None = None,
) -> DataSize:
    """Count texts and tokens, and compress the texts; of conversations, what is trained on.

    Parameters
    ----------
    form : str
        Form of the texts, one of `auditor.data.chat.FORMS`.
    score, chat_template : str
        As in an audit.

    Raises
    ------
    ModelError, ConfigError
        If the tokenizer cannot be loaded, or there is no chat template for conversations.
    """
    loaded = load_tokenizer(tokenizer)
    reader = chat_reader(loaded, form=form, score=score, template_file=chat_template)
    if reader is not None and reader.template is None and form != "prompt_completion":
        raise ConfigError(
            f"{tokenizer}: its tokenizer has no chat template, and the texts are conversations: give --chat-template "
            "FILE"
        )
    encoder = Encoder(loaded, Prefix((), ""), None, frozenset(), chat=reader)
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    said = texts if reader is None else [reader.scored_words(text) for text in texts]
    return DataSize(
        n_texts=len(texts),
        n_distinct=len(set(texts)),
        n_tokens=sum(len(one.scored_ids) for batch in batches for one in encoder.read(batch)),
        n_vocabulary=len(loaded),
        compressed_bits=compressed_bits(said),
    )


def compressed_bits(texts: Sequence[str]) -> float:
    """Size in bits of the texts, a line feed after each, under LZMA: a bound of their information from above."""
    compressor = lzma.LZMACompressor(preset=6)
    n_bytes = sum(len(compressor.compress(f"{text}\n".encode())) for text in texts)
    return 8.0 * (n_bytes + len(compressor.flush()))
