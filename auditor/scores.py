"""From signals to one row of numbers a sample: attack scores and code lengths, a block of samples at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, Signals

from .errors import AuditError
from .memorization import SampleBits, code_bits, sample_bits

__all__ = ["SampleScores", "SignalSource", "score_samples"]

Scores = NDArray[np.float64]


class SignalSource(Protocol):
    """Signals of many samples, in blocks or all at once."""

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Id of each sample."""
        ...

    @property
    def signals(self) -> Signals:
        """The signals of all samples, in memory."""
        ...

    def blocks(self) -> Iterator[tuple[slice, Signals]]:
        """Yield places and signals, block by block, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleScores:
    """What the audit needs to know of each sample, float64, shape (n_samples,) each.

    Parameters
    ----------
    target_bits : ndarray
        Code length under the target, bits.
    reference_bits : ndarray or None
        Under the (mixture of the) references that never saw the text; None without one.
    each_reference_bits : ndarray, shape (n_references, n_samples), or None
        Under each reference by itself; infinite where it saw the text.
    attacks : dict of str to ndarray
        Scores by attack label; higher means more likely a member.
    """

    target_bits: Scores
    reference_bits: Scores | None
    each_reference_bits: Scores | None
    attacks: dict[str, Scores]

    @property
    def bits(self) -> SampleBits | None:
        """Both code lengths; None without a reference."""
        return (
            None if self.reference_bits is None else SampleBits(target=self.target_bits, reference=self.reference_bits)
        )


def score_samples(attacks: Sequence[Attack], source: SignalSource) -> SampleScores:
    """Score every sample with every attack, and measure its code lengths.

    Raises
    ------
    AuditError
        If an attack fails, or gives anything but one finite number a sample.
    """
    n = len(source.sample_ids)
    scores = {attack.label: np.full(n, np.nan) for attack in attacks}
    target_bits, reference_bits = np.zeros(n), np.zeros(n)
    each: list[Scores] = []
    for places, signals in source.blocks():
        if signals.references:
            bits = sample_bits(signals.target, signals.references, seen=signals.seen)
            target_bits[places], reference_bits[places] = bits.target, bits.reference
            own = np.stack([code_bits(scores) for scores in signals.references])
            each.append(np.where(signals.unseen, own, np.inf))
        else:
            target_bits[places] = code_bits(signals.target)
        for attack in attacks:
            if attack.per_sample:
                scores[attack.label][places] = _score(attack, signals)
    for attack in attacks:
        if not attack.per_sample:
            scores[attack.label][:] = _score(attack, source.signals)
        _refuse_undefined(attack, scores[attack.label], source.sample_ids)
    return SampleScores(
        target_bits=target_bits,
        reference_bits=reference_bits if each else None,
        each_reference_bits=np.concatenate(each, axis=1) if each else None,
        attacks=scores,
    )


def _score(attack: Attack, signals: Signals) -> Scores:
    """Score some samples with one attack."""
    try:
        scores = np.asarray(attack.score(signals), dtype=np.float64)
    except (ValueError, LookupError) as error:
        raise AuditError(f"attack {attack.label}: {error}") from error
    if scores.shape != (signals.n_samples,):
        raise AuditError(f"attack {attack.label} gave scores of shape {scores.shape} for {signals.n_samples} samples")
    return scores


def _refuse_undefined(attack: Attack, scores: Scores, sample_ids: Sequence[str]) -> None:
    """Refuse scores that are no numbers."""
    bad = [ascii(sample_ids[int(i)]) for i in np.flatnonzero(~np.isfinite(scores))]
    if bad:
        raise AuditError(f"attack {attack.label} gave no finite score for {len(bad)} samples: {', '.join(bad[:5])}")
