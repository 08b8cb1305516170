"""Ceilings of attacks that see a text and the model: bounds from the information that a model can hold of a sample."""

import math

__all__ = ["advantage_ceiling", "auc_ceiling"]


def advantage_ceiling(bits_per_sample: float) -> float:
    """Largest membership advantage of an attack that sees a text and the model only, from the bits held of a sample.

    The advantage is ``tpr - fpr``, averaged over members and over draws of the training set.

    For independent samples the information that the model has about each adds up to at most its capacity, so an
    average sample has at most ``I = capacity / samples`` bits. The advantage of any test is at most the total
    variation between (sample, model trained on it) and (fresh sample, model); Pinsker's inequality bounds it by
    ``sqrt(I ln 2 / 2)``, Bretagnolle and Huber's by ``sqrt(1 - 2^-I)``. Both are concave in ``I``, so they hold
    for averages over samples.

    It does not hold of an attacker who knows other members: what these tell of the text, given the model, is not in
    ``I``. A model that holds nothing but the exclusive or of 32-bit fingerprints of 1,000 samples has 0.032 bits
    of each, a ceiling of AUC 0.600; whoever knows 999 of them reads the last one's fingerprint off it (AUC 1).
    Nor does it hold of a training set that the attacker chose, or of one single draw of it.

    Parameters
    ----------
    bits_per_sample : float, bits
        Not negative.

    References
    ----------
    .. [1] Capacity as a bound of the sum over samples: Morris et al. 2025, arXiv 2505.24832, section 2
       (super-additivity). The bound on attacks is ours.
    .. [2] Canonne, *A short note on an inequality between KL and TV*, 2022, arXiv 2202.07198.

    Examples
    --------
    >>> advantage_ceiling(0.0)
    0.0
    >>> round(advantage_ceiling(0.01), 4)
    0.0589
    >>> advantage_ceiling(1e6)
    1.0
    """
    if not bits_per_sample >= 0:
        raise ValueError(f"bits per sample must not be negative, got {bits_per_sample}")
    pinsker = math.sqrt(bits_per_sample * math.log(2.0) / 2.0)
    bretagnolle_huber = math.sqrt(-math.expm1(-bits_per_sample * math.log(2.0)))
    return min(pinsker, bretagnolle_huber)


def auc_ceiling(advantage: float) -> float:
    """Largest AUC of a test whose ``tpr - fpr`` is at most ``advantage`` at every threshold.

    As little a ceiling of attackers who know other members as `advantage_ceiling` is.

    The curve that follows ``tpr = min(1, fpr + a)`` has the area ``1/2 + a - a^2 / 2``.

    Examples
    --------
    >>> auc_ceiling(0.0), auc_ceiling(0.5), auc_ceiling(1.0)
    (0.5, 0.875, 1.0)
    """
    if not 0 <= advantage <= 1:
        raise ValueError(f"an advantage is in [0, 1], got {advantage}")
    return 0.5 + advantage - advantage**2 / 2.0
