"""Bits of single tokens: where in a text the target holds more than the reference."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.base import Signals

from .code_lengths import mixture_bits

__all__ = ["N_PARTS", "N_SHOWN", "bits_by_position", "heaviest_run", "sums_of", "token_bits"]

N_PARTS = 24
"""Parts of a text of which bits are told without its words; with fewer than four tokens a part, fewer."""

N_SHOWN = 400
"""Tokens of a text that are shown with their bits: of a longer one, the run that holds most."""

_LEAST_TOKENS = 4

Bits = NDArray[np.float64]


def token_bits(signals: Signals) -> Bits:
    """Bits of each token of one text that the target holds beyond the reference.

    Of several references the code is their even mixture, told token by token: the length of the text up to a token less
    that up to the one before (chain rule), so that tokens add up to the signed bits of the text.

    Parameters
    ----------
    signals : Signals
        Of one text, with aligned tokens and at least one reference.

    Returns
    -------
    ndarray of float64, shape (n_tokens,), bits
        Negative where the reference expects the token more.
    """
    nats_to_bits = -1 / math.log(2)
    used = [one for one, unseen in zip(signals.references, signals.unseen[:, 0], strict=True) if unseen]
    target = signals.target.logprob.astype(np.float64) * nats_to_bits
    so_far = [np.cumsum(one.logprob.astype(np.float64)) * nats_to_bits for one in used]  # (n_tokens,) each
    reference = np.diff(mixture_bits(so_far), prepend=0.0)
    return np.asarray(reference - target, dtype=np.float64)


def bits_by_position(bits: Bits) -> tuple[int, ...]:
    """Sum bits over equal parts of a text, in whole bits, so coarse that no word can be guessed from them.

    Returns
    -------
    tuple of int, bits
        At most :data:`N_PARTS`, each of at least four tokens; one part of a shorter text.
    """
    n_parts = min(N_PARTS, max(1, len(bits) // _LEAST_TOKENS))
    return tuple(round(float(part.sum())) for part in np.array_split(bits, n_parts))


def heaviest_run(bits: Bits, length: int = N_SHOWN) -> slice:
    """Find the run of so many tokens that holds most bits, the first of equal ones; all if there are no more.

    Examples
    --------
    >>> heaviest_run(np.array([0.0, 1.0, 5.0, 2.0]), 2)
    slice(2, 4, None)
    """
    if len(bits) <= length:
        return slice(0, len(bits))
    sums = np.concatenate([[0.0], np.cumsum(bits)])
    start = int(np.argmax(sums[length:] - sums[:-length]))
    return slice(start, start + length)


def sums_of(bits: Bits, n_tokens: Sequence[int]) -> tuple[float, ...]:
    """Sum the bits of consecutive tokens, so many at a time, in hundredths of a bit.

    Examples
    --------
    >>> sums_of(np.array([0.5, 1.0, 0.125]), [2, 1])
    (1.5, 0.12)
    """
    stops = np.cumsum(n_tokens)[:-1]
    return tuple(round(float(part.sum()), 2) for part in np.split(bits, stops))
