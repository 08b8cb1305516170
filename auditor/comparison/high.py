"""Members that became highly memorized, and those that no longer are."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..documents.comparison import MOST_LISTED, HighSample, HighSamples
from ..documents.sample_table import SampleTable
from .pairing import Matched

__all__ = ["high_samples"]

Array = NDArray[np.float64]

LEAST_BITS = 10.0
QUANTILE = 0.99


class _Ranked(NamedTuple):
    """An audit's samples by their bits."""

    bits: Array
    threshold: float
    high: NDArray[np.bool_]


def high_samples(old: SampleTable, new: SampleTable, matched: Matched) -> HighSamples | None:
    """Compare the highly memorized members of two audits.

    Returns
    -------
    HighSamples or None
        None if an audit has no bits, or no member is in both.
    """
    calibrated = not old.is_member.all() and not new.is_member.all()
    before, after = _ranked(old, calibrated), _ranked(new, calibrated)
    if before is None or after is None or not matched.pairing.n_members:
        return None
    forward = dict(zip(matched.new.tolist(), matched.old.tolist(), strict=True))
    backward = {ours: theirs for theirs, ours in forward.items()}
    appeared = _entered(new, after, before, forward)
    vanished = _entered(old, before, after, backward)
    return HighSamples(
        old_threshold=before.threshold,
        new_threshold=after.threshold,
        n_old=int(before.high.sum()),
        n_new=int(after.high.sum()),
        n_appeared=len(appeared),
        n_vanished=len(vanished),
        appeared=tuple(_samples(new, appeared[:MOST_LISTED], after.bits, before.bits, forward, is_new=True)),
        vanished=tuple(_samples(old, vanished[:MOST_LISTED], before.bits, after.bits, backward, is_new=False)),
    )


def _ranked(samples: SampleTable, calibrated: bool) -> _Ranked | None:
    bits = samples.signed_bits
    if bits is None:
        return None
    threshold = LEAST_BITS
    if calibrated:
        threshold = max(threshold, float(np.quantile(bits[~samples.is_member], QUANTILE, method="higher")))
    return _Ranked(bits=bits, threshold=threshold, high=samples.is_member & (bits > threshold))


def _most(samples: SampleTable, bits: Array, rows: NDArray[np.int64]) -> list[int]:
    """Order rows by their bits, the most first; equal ones by text and id, so that no table's order matters."""
    return sorted(rows.tolist(), key=lambda i: (-bits[i], samples.text_sha256[i], samples.sample_id[i]))


def _entered(samples: SampleTable, here: _Ranked, there: _Ranked, place: dict[int, int]) -> list[int]:
    """Find rows that are high here and not there, the most bits first; those not held there count."""
    ordered = _most(samples, here.bits, np.flatnonzero(here.high))
    return [i for i in ordered if i not in place or not there.high[place[i]]]


def _samples(
    samples: SampleTable,
    rows: Sequence[int],
    here: Array,
    there: Array,
    place: dict[int, int],
    *,
    is_new: bool,
) -> Iterator[HighSample]:
    for i in rows:
        ours = float(here[i])
        theirs = float(there[place[i]]) if i in place else None
        yield HighSample(
            sample_id=samples.sample_id[i],
            text_sha256=samples.text_sha256[i],
            old_bits=theirs if is_new else ours,
            new_bits=ours if is_new else theirs,
        )
