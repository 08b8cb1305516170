"""Pieces of text behind token ids: what each token, or a few that only make sense together, writes."""

from collections.abc import Sequence
from typing import Any

from .loading.panics import no_panics

__all__ = ["text_pieces"]

_INCOMPLETE = "\ufffd"
"""What a decoder writes for a character of which it has seen the first bytes alone."""


def text_pieces(tokenizer: Any, ids: Sequence[int]) -> list[tuple[str, int]]:
    """Decode ids into consecutive pieces; joined, they are the text of all.

    Each piece is decoded together with the one before, as some decoders drop a space at the start of what they are
    given.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    ids : sequence of int

    Returns
    -------
    list of (str, int)
        A piece, and how many tokens write it: more than one where a character is spread over several.
    """

    def decode(some: Sequence[int]) -> str:
        return str(tokenizer.decode(list(some), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    pieces: list[tuple[str, int]] = []
    before, done = 0, 0
    with no_panics("the tokenizer"):
        for stop in range(1, len(ids) + 1):
            known, text = decode(ids[before:done]), decode(ids[before:stop])
            if stop < len(ids) and (text.endswith(_INCOMPLETE) or len(text) <= len(known)):
                continue
            pieces.append((text[len(known) :], stop - done))
            before, done = done, stop
    return pieces
