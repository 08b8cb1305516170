"""Facts on the most memorized samples beside their bits: who they are, and where in the text the bits lie."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..documents.result import MemorizationResult, TopSample
from ..engine.pieces import text_pieces
from ..estimates.by_token import bits_by_position, heaviest_run, sums_of, token_bits
from .evidence import Evidence

__all__ = ["tell_of_samples"]

NOT_ALIGNED = (
    "target and reference cut texts into tokens at different places, so bits of single tokens cannot be compared"
)
"""Why no bits of single tokens are told."""


def tell_of_samples(
    memorization: MemorizationResult | None, evidence: Evidence, posterior: NDArray[np.float64] | None
) -> MemorizationResult | None:
    """Add to each of the most memorized samples its row of the table and the bits of its parts.

    Bits of single tokens come with texts only: with a model at hand, a text can be found again from them.

    Parameters
    ----------
    posterior : ndarray of float64, shape (n_samples,), or None
        Probability of membership of each sample.
    """
    if memorization is None:
        return None
    places = {one: i for i, one in enumerate(evidence.table.sample_id)}
    told = (_told(one, places[one.sample_id], evidence, posterior) for one in memorization.top_samples)
    return replace(memorization, top_samples=tuple(told))


def _told(one: TopSample, place: int, evidence: Evidence, posterior: NDArray[np.float64] | None) -> TopSample:
    table = evidence.table
    one = replace(
        one,
        group=table.group[place],
        n_copies=None if table.n_copies is None else int(table.n_copies[place]),
        posterior=None if posterior is None else float(posterior[place]),
    )
    plan = evidence.collected.plan
    if not plan.aligned:
        return replace(one, tokens_undefined_reason=NOT_ALIGNED)
    bits = token_bits(evidence.collected.read(slice(place, place + 1)))
    one = replace(one, bits_by_position=bits_by_position(bits))
    if one.text is None:
        return one
    run = heaviest_run(bits)
    ids = plan.passes[0].scored_ids([place])[run].tolist()
    pieces = text_pieces(evidence.collected.models[0].encoder.tokenizer, ids)
    return replace(
        one,
        pieces=tuple(text for text, _ in pieces),
        piece_bits=sums_of(bits[run], [n for _, n in pieces]),
        tokens_before=run.start,
        tokens_after=len(bits) - run.stop,
    )
