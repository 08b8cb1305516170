"""From signals to one row of numbers a sample: attack scores and code lengths, a block of samples at a time."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, ComparingAttack, Signals
from attacks.base import FloatArray

from ..config import ExtractSpec
from ..documents.sample_extraction import SampleExtraction
from ..errors import AuditError
from .code_lengths import SampleBits, code_bits, sample_bits
from .extraction import joined, sample_extraction

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
    extraction : SampleExtraction or None
        What can be drawn out of the target; None if it was not asked for.
    """

    target_bits: Scores
    reference_bits: Scores | None
    each_reference_bits: Scores | None
    attacks: dict[str, Scores]
    extraction: SampleExtraction | None = None

    @property
    def bits(self) -> SampleBits | None:
        """Both code lengths; None without a reference."""
        return (
            None if self.reference_bits is None else SampleBits(target=self.target_bits, reference=self.reference_bits)
        )


def score_samples(attacks: Sequence[Attack], source: SignalSource, *, cut: ExtractSpec | None = None) -> SampleScores:
    """Score every sample with every attack, and measure its code lengths and, given a cut, its extraction.

    Raises
    ------
    AuditError
        If an attack fails, or gives anything but one finite number a sample.
    """
    n = len(source.sample_ids)
    scores = {attack.label: np.full(n, np.nan) for attack in attacks}
    target_bits, reference_bits = np.zeros(n), np.zeros(n)
    each: list[Scores] = []
    features: dict[str, list[FloatArray]] = {attack.label: [] for attack in attacks}
    drawn: list[SampleExtraction] = []
    for places, signals in source.blocks():
        if cut is not None:
            drawn.append(sample_extraction(signals, cut))
        if signals.references:
            bits = sample_bits(signals.target, signals.references, seen=signals.seen)
            target_bits[places], reference_bits[places] = bits.target, bits.reference
            own = np.stack([code_bits(scores) for scores in signals.references])  # (n_references, n_in_block)
            each.append(np.where(signals.unseen, own, np.inf))
        else:
            target_bits[places] = code_bits(signals.target)
        for attack in attacks:
            with _named(attack):
                if isinstance(attack, ComparingAttack):
                    features[attack.label].append(attack.features(signals))
                elif attack.per_sample:
                    scores[attack.label][places] = _checked(attack, attack.score(signals), signals.n_samples)
    for attack in attacks:
        with _named(attack):
            if isinstance(attack, ComparingAttack):
                compared = attack.compare(np.concatenate(features[attack.label]))
                scores[attack.label][:] = _checked(attack, compared, n)
            elif not attack.per_sample:
                scores[attack.label][:] = _checked(attack, attack.score(source.signals), n)
        _refuse_undefined(attack, scores[attack.label], source.sample_ids)
    return SampleScores(
        target_bits=target_bits,
        reference_bits=reference_bits if each else None,
        each_reference_bits=np.concatenate(each, axis=1) if each else None,
        attacks=scores,
        extraction=joined(drawn) if drawn else None,
    )


@contextmanager
def _named(attack: Attack) -> Iterator[None]:
    """Say which attack it was that could not score."""
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        if type(attack).__module__.startswith("attacks."):
            if isinstance(error, ValueError | LookupError):
                raise AuditError(f"attack {attack.label}: {error}") from error
            raise
        # an attack of somebody else's, whose words may quote a text
        where = inspect.getinnerframes(error.__traceback__)[-1] if error.__traceback__ else None
        place = "" if where is None else f" in line {where.lineno} of {Path(where.filename).name}"
        raise AuditError(f"attack {attack.label} failed with {type(error).__name__}{place}") from error


def _checked(attack: Attack, found: FloatArray, n_samples: int) -> Scores:
    """Refuse anything but one number a sample."""
    scores = np.asarray(found, dtype=np.float64)
    if scores.shape != (n_samples,):
        raise AuditError(f"attack {attack.label} gave scores of shape {scores.shape} for {n_samples} samples")
    return scores


def _refuse_undefined(attack: Attack, scores: Scores, sample_ids: Sequence[str]) -> None:
    """Refuse scores that are no numbers."""
    bad = [ascii(sample_ids[int(i)]) for i in np.flatnonzero(~np.isfinite(scores))]
    if bad:
        raise AuditError(f"attack {attack.label} gave no finite score for {len(bad)} samples: {', '.join(bad[:5])}")
