"""Exposure: how far up a secret ranks among others that were made like it and never trained on, in bits."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["exposure", "null_mean"]


def exposure(scores: ArrayLike, references: ArrayLike) -> NDArray[np.float64]:
    r"""Exposure of each secret by its rank among references: ``log2 n - log2(1 + references before it)``.

    Parameters
    ----------
    scores : array_like of shape (n_secrets,)
        Higher for what is remembered better.
    references : array_like of shape (n_references,)
        Scores of secrets that were never trained on. On a tie the reference goes first.

    Returns
    -------
    ndarray of float64, shape (n_secrets,), bits
        At most ``log2 n``; below 0 only for what lies under every reference.

    Raises
    ------
    ValueError
        If there is no reference, or a score is not finite.

    References
    ----------
    .. [1] Carlini et al., *The secret sharer*, 2019, arXiv:1802.08232, section 4.2 (by sampling).

    Examples
    --------
    >>> exposure([-0.1, -3.5, -20.0], -np.arange(1.0, 17.0)).round(4)
    array([ 4.    ,  2.    , -0.0875])
    """
    x, y = np.asarray(scores, dtype=np.float64), np.sort(np.asarray(references, dtype=np.float64))
    if not y.size:
        raise ValueError("exposure needs a reference to rank among")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a score is not finite")
    before = y.size - np.searchsorted(y, x, side="left")  # references at least as high
    return np.asarray(np.log2(y.size) - np.log2(1 + before))


def null_mean(n_references: int) -> float:
    """Return the mean exposure of a secret that no model saw, bits: its rank among n others is uniform on 1 to n + 1.

    Examples
    --------
    >>> [round(null_mean(n), 4) for n in (10, 100, 1000)]
    [1.0264, 1.3822, 1.4349]
    """
    if n_references < 1:
        raise ValueError(f"need a reference to rank among, got {n_references}")
    return float(np.log2(n_references) - np.log2(np.arange(1, n_references + 2)).mean())
