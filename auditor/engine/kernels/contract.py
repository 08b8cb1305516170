"""The contract of a kernel: what it is given, what it gives back, and how parts of a vocabulary are put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LOWEST_SHIFTED_LOGIT", "Kernel", "Moments", "TokenStatistics", "merge_moments"]

LOWEST_SHIFTED_LOGIT = -1e4
"""Logits less their maximum are clamped here, in nats: exp is 0 from -104 on, and 0 * -inf would be NaN."""


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Float32 tensors of shape (n_rows,) on the device of the logits, nats; ``rank`` and ``tied`` are int64.

    See :class:`attacks.base.TokenScores` for what each one is.
    """

    logprob: Tensor
    logprob_mean: Tensor
    logprob_variance: Tensor
    rank: Tensor
    logprob_max: Tensor
    logprob_top40: Tensor
    tied: Tensor


@dataclass(frozen=True, slots=True)
class Moments:
    """What a kernel says of some columns of the logits ``x``, which may be a part of the vocabulary.

    Float32 tensors of shape (n_rows,), ``above`` is int64. With ``top = max x``, ``l = x - top``,
    ``Z = sum e^l``, ``A = sum l e^l`` and ``B = sum l^2 e^l`` over these columns::

        log_z    = ln Z
        mean     = A / Z - ln Z        (expected log-probability within these columns)
        variance = B / Z - (A / Z)^2
        above    = number of columns with a logit strictly above the true token's
    """

    top: Tensor
    log_z: Tensor
    mean: Tensor
    variance: Tensor
    above: Tensor


@dataclass(frozen=True, slots=True)
class Kernel:
    """One way to take the moments of logits.

    The shift by the maximum keeps this well conditioned in float32: ``|A / Z|`` is at most ``ln V`` nats, since
    the entropy is, so nothing large cancels. Min-K%++ in half precision, as published, gives NaN for peaked
    distributions (attacks by Zhang et al. 2024, arXiv:2404.02936, compute them in the model's own precision).
    """

    name: str
    run: Callable[[Tensor, Tensor], Moments]

    def __call__(self, logits: Tensor, true: Tensor) -> Moments:
        """Take the moments.

        Parameters
        ----------
        logits : Tensor of shape (n_rows, n_columns)
            At least one row, any float type; moments are made in float32. CONSUMED: it may be overwritten.
        true : Tensor of float32, shape (n_rows,)
            Logit of the true token of each row, in these columns or not.

        Returns
        -------
        Moments
            NaN where a row of logits has a NaN or +inf, or is masked (-inf) as a whole.
        """
        return self.run(logits, true)


def merge_moments(parts: Sequence[Moments], true: Tensor, largest: Tensor) -> TokenStatistics:
    """Put the parts of the vocabulary together.

    The mean is that of the parts, weighted by their probability; the variance is the law of total variance, a sum
    of squares, in which nothing cancels.

    Parameters
    ----------
    parts : sequence of Moments
        Of disjoint columns that together are the vocabulary.
    true : Tensor of float32, shape (n_rows,)
        Logit of the true token.
    largest : Tensor of float32, shape (n_rows, n_largest)
        The largest logits of the vocabulary. Which of those tied with the last one are kept is not said: their sum
        does not depend on it.

    Returns
    -------
    TokenStatistics
        ``logprob`` is about -1e4 nats for a masked (-inf) token.
    """
    top = torch.stack([part.top for part in parts]).amax(0)
    log_mass = torch.stack([part.log_z + (part.top - top) for part in parts])  # (n_parts, n_rows)
    log_z = log_mass.logsumexp(0)
    log_weight = log_mass - log_z
    weight = log_weight.exp()
    means = torch.stack([part.mean for part in parts]) + log_weight
    mean = (weight * means).sum(0)
    variances = torch.stack([part.variance for part in parts]) + (means - mean).square()
    return TokenStatistics(
        logprob=(true - top).clamp(min=LOWEST_SHIFTED_LOGIT) - log_z,
        logprob_mean=mean,
        logprob_variance=(weight * variances).sum(0),
        rank=torch.stack([part.above for part in parts]).sum(0),
        logprob_max=-log_z,
        logprob_top40=((largest - top[:, None]).logsumexp(1) - log_z).clamp(max=0.0),
        tied=((largest == true[:, None]).sum(1) - 1).clamp(min=0),
    )
