"""From the separation of two score distributions to the AUC, as the paper's error rates imply it."""

import math

__all__ = ["auc_from_separation"]


def auc_from_separation(d_prime: float) -> float:
    """AUC of two equal-variance Gaussian scores whose means lie ``d_prime`` standard deviations apart.

    ``AUC = Phi(d' / sqrt 2)``, the probability that a member's score exceeds a non-member's. With unequal
    variances it holds for ``d'`` in units of ``sqrt((var_members + var_non_members) / 2)``.

    Examples
    --------
    >>> auc_from_separation(0.0)
    0.5
    >>> round(auc_from_separation(2 * 0.67449), 3)  # F1 0.75, i.e. Phi(d'/2) = 0.75
    0.83
    """
    return 0.5 * math.erfc(-d_prime / 2.0)
