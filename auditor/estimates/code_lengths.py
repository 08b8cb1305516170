"""Code lengths: the bits of each text under target and references, and their difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.base import TokenScores

__all__ = ["SampleBits", "code_bits", "mixture_bits", "sample_bits", "separate_references"]


Bits = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBits:
    """Code lengths of every sample, float64, shape (n_samples,), bits."""

    target: Bits
    reference: Bits

    @property
    def signed(self) -> Bits:
        """``log2 p(text | target) - log2 p(text | reference)``; negative where the reference codes it better."""
        return self.reference - self.target

    @property
    def memorized(self) -> Bits:
        """Unintended memorization ``max(0, signed)`` (arXiv:2505.24832, section 2), per sequence.

        The maximum is taken over the whole text: taken token by token it would count every lucky token.
        """
        return np.maximum(self.signed, 0.0)


def code_bits(scores: TokenScores) -> Bits:
    """Length of each text in an arithmetic code of the model: ``-log2 p(text)``, bits, shape (n_samples,)."""
    return np.asarray(-scores.total_logprob / math.log(2), dtype=np.float64)


def mixture_bits(code_lengths: Sequence[Bits], counted: NDArray[np.bool_] | None = None) -> Bits:
    """Code length under the even mixture of several models, bits, shape (n_samples,).

    ``-log2 mean_k 2^-bits_k``. A mixture is a model too, so the bits against several references mean the same
    as against one; the best reference of each text, chosen afterwards, would not.

    Parameters
    ----------
    code_lengths : sequence of ndarray, shape (n_samples,), bits
        One a model.
    counted : ndarray of bool, shape (n_models, n_samples), optional
        Which models are mixed for which text; all of them if None.

    Raises
    ------
    ValueError
        If no model is counted for a text.
    """
    logprob2 = -np.stack([np.asarray(bits, dtype=np.float64) for bits in code_lengths])  # (n_models, n_samples)
    mixed_in = np.ones(logprob2.shape, dtype=np.bool_) if counted is None else counted
    n_models = mixed_in.sum(axis=0)  # (n_samples,)
    if not n_models.all():
        raise ValueError(f"every text needs a model to be coded with; {int((n_models == 0).sum())} have none")
    logprob2 = np.where(mixed_in, logprob2, -np.inf)
    best = logprob2.max(axis=0)
    mixed: Bits = -(best + np.log2(np.exp2(logprob2 - best).sum(axis=0) / n_models))
    return mixed


def sample_bits(
    target: TokenScores, references: Sequence[TokenScores], *, seen: NDArray[np.bool_] | None = None
) -> SampleBits:
    """Code lengths of the same texts under the target and under the (mixture of the) references.

    Parameters
    ----------
    target : TokenScores
    references : sequence of TokenScores
    seen : ndarray of bool, shape (n_references, n_samples), optional
        Whether a reference trained on a text. It is then left out of that text's mixture: a reference that holds
        the text too would hide what the target holds of it.
    """
    lengths = [code_bits(scores) for scores in references]
    return SampleBits(target=code_bits(target), reference=mixture_bits(lengths, None if seen is None else ~seen))


def separate_references(each: Bits) -> list[Bits]:
    """Code lengths under references that stand apart, so that what one of them says can be checked by another.

    Parameters
    ----------
    each : ndarray of float64, shape (n_references, n_samples), bits
        Code length of each text under each reference; infinite where it trained on the text.

    Returns
    -------
    list of ndarray of float64, shape (n_samples,), bits
        The references themselves if none saw any text. Of shadow models two mixtures: for each text, those that did
        not see it are dealt to the two in turn. Empty if some text has fewer than two.
    """
    unseen = np.isfinite(each)
    if unseen.all():
        return list(each)
    if unseen.sum(axis=0).min() < 2:
        return []
    turn = np.cumsum(unseen, axis=0) % 2
    return [mixture_bits(list(each), unseen & (turn == which)) for which in (1, 0)]
