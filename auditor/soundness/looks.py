"""Looks: how alike texts look, and what ridge regression on their likeness makes of labels.

A kernel of all texts is made once, without their labels, and regularised and inverted once: what a classifier trained
on the other folds says of each fold follows from that inverse, for one labelling or a thousand.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from ..stats.clusters import Array, Ids
from .text_features import FAMILIES, HASHED, Features

__all__ = ["Kernel", "Looks", "left_out", "left_out_by_steps"]

PENALTY = 1.0
"""Of the ridge regression, kernels being scaled to a mean diagonal of 1; the best of .1, .3, 1 and 3 for a split by
date of a dictionary of computing."""

_COMMON = 1 / 16
"""Share of the texts from which on an n-gram is a column of a dense matrix, whose products cost less."""
_COLUMNS, _ROWS = 2048, 512
_MOST_STEPS, _NEAR = 200, 1e-3

Kernel = NDArray[np.float32]


class Looks:
    """Likeness of texts: the inner products of what each family of features sees, centred, of mean square 1.

    Weights of n-grams, quantiles and centres are those of these texts, whose labels it never sees.

    Parameters
    ----------
    features : Features
        Of ``n_texts`` texts.
    """

    def __init__(self, features: Features) -> None:
        self._pipelines = {name: _pipeline(name).fit(values) for name, values in features.items()}
        self._seen = {name: self._transformed(name, values) for name, values in features.items()}
        self._mean = {name: np.asarray(seen.mean(axis=0)).ravel() for name, seen in self._seen.items()}
        self._variance = {name: max(self._spread(name), 1e-9) for name in features}

    def kernel(self, name: str) -> Kernel:
        """Inner products of the texts in one family, shape (n_texts, n_texts)."""
        kernel = _products(self._seen[name])
        centre = kernel.mean(axis=0)
        kernel -= centre
        kernel -= centre[:, None] - centre.mean()
        kernel /= np.float32(self._variance[name])
        return kernel

    def scorer(self, dual: Array) -> Callable[[Features], Array]:
        """Return how other texts score: the sum of their inner products with these, weighted.

        Parameters
        ----------
        dual : ndarray of shape (n_texts, n_labellings)
            Weights of these texts in the mean of the families' kernels.
        """
        weights, offset = {}, np.zeros(dual.shape[1])
        for name, seen in self._seen.items():
            own = seen.T @ dual - np.outer(self._mean[name], dual.sum(axis=0))
            weights[name] = own / (self._variance[name] * len(FAMILIES))
            offset += self._mean[name] @ weights[name]

        def score(features: Features) -> Array:
            parts = (self._transformed(name, values) @ weights[name] for name, values in features.items())
            return np.asarray(sum(parts, start=-offset))

        return score

    def _transformed(self, name: str, values: Any) -> Any:
        return self._pipelines[name].transform(values).astype(np.float32)

    def _spread(self, name: str) -> float:
        """Mean square of the centred features of a text."""
        seen, mean = self._seen[name], self._mean[name].astype(np.float64)
        squares = seen.multiply(seen).sum() if name in HASHED else np.square(seen, dtype=np.float64).sum()
        return float(squares / seen.shape[0] - mean @ mean)


def left_out(kernel: Kernel, labels: Array, fold: Ids) -> tuple[Array, Array]:
    """Predict labels of each fold by ridge regression on the other folds.

    Parameters
    ----------
    kernel : ndarray of float32, shape (n_texts, n_texts)
        Is overwritten.
    labels : ndarray of shape (n_texts, n_labellings)
        About 0.
    fold : ndarray of int64, shape (n_texts,)
        Numbers from 0.

    Returns
    -------
    predicted : ndarray of float32, shape (n_texts, n_labellings)
    dual : ndarray of float32, shape (n_texts, n_folds)
        Weights of the texts in the regression of the first labelling without each fold; 0 in that fold.

    Notes
    -----
    With ``G = (K + penalty)^-1`` and the blocks of fold k, the regression on the others predicts
    ``y_k - G_kk^-1 (G y)_k`` [1]_; a test compares it with fitting each fold anew.

    References
    ----------
    .. [1] An, Liu, Venkatesh, *Fast cross-validation algorithms for least squares support vector machine and kernel
       ridge regression*, Pattern Recognition 40, 2007, eq. 20.
    """
    kernel[np.diag_indices(len(kernel))] += np.float32(PENALTY)
    inverse = _inverted(kernel)
    labels = labels.astype(np.float32)
    whole = inverse @ labels
    predicted, dual = np.empty_like(labels), []
    for k in range(int(fold.max()) + 1):
        here = np.flatnonzero(fold == k)
        residual = scipy.linalg.solve(inverse[np.ix_(here, here)], whole[here], assume_a="pos", check_finite=False)
        predicted[here] = labels[here] - residual
        without = whole[:, 0] - inverse[:, here] @ residual[:, 0]
        without[here] = 0
        dual.append(without)
    return predicted, np.column_stack(dual)


def left_out_by_steps(kernel: Kernel, labels: Array, fold: Ids) -> Array:
    """Predict one labelling as `left_out` does, by conjugate gradients for all folds at once.

    Parameters
    ----------
    kernel : ndarray of float32, shape (n_texts, n_texts)
    labels : ndarray of shape (n_texts,)
        About 0.
    fold : ndarray of int64, shape (n_texts,)

    Returns
    -------
    ndarray of float32, shape (n_texts,)
        To a residual of 0.001 of the labels.
    """
    train = (fold[:, None] != np.arange(int(fold.max()) + 1)).astype(np.float32)  # (n_texts, n_folds)
    residual = train * labels.astype(np.float32)[:, None]
    dual, direction = np.zeros_like(residual), residual
    square = np.square(residual).sum(axis=0)
    enough = square * np.float32(_NEAR**2)
    for _ in range(_MOST_STEPS):
        if (square <= enough).all():
            break
        image = train * (kernel @ direction) + np.float32(PENALTY) * direction
        step = square / np.maximum((direction * image).sum(axis=0), np.float32(1e-30))
        dual, residual, before = dual + step * direction, residual - step * image, square
        square = np.square(residual).sum(axis=0)
        direction = residual + square / np.maximum(before, np.float32(1e-30)) * direction
    return np.asarray((kernel @ dual)[np.arange(fold.size), fold])


def _inverted(matrix: Kernel) -> Kernel:
    """Invert a symmetric positive definite matrix in its own place."""
    factor = scipy.linalg.cholesky(matrix, lower=False, overwrite_a=True, check_finite=False)
    inverse, failed = scipy.linalg.lapack.spotri(factor, lower=0, overwrite_c=1)
    if failed:
        raise ValueError("the kernel is not positive definite")
    for rows in _in_steps(len(inverse), _ROWS):
        for columns in _in_steps(rows.start, _ROWS):
            inverse[rows, columns] = inverse[columns, rows].T
        block = inverse[rows, rows]
        inverse[rows, rows] = np.triu(block) + np.triu(block, 1).T
    return np.asarray(inverse)


def _products(seen: Any) -> Kernel:
    """Inner products of rows: dense ones, or counts of n-grams, of which the common ones are made dense."""
    if isinstance(seen, np.ndarray):
        return np.asarray(seen @ seen.T)
    n_texts, columns = seen.shape[0], seen.tocsc()
    n_with = np.diff(columns.indptr)
    common = n_with > n_texts * _COMMON
    shared, single = ~common & (n_with > 1), ~common & (n_with == 1)
    kernel = np.zeros((n_texts, n_texts), dtype=np.float32)
    for part in _in_steps(int(common.sum()), _COLUMNS):
        dense = columns[:, np.flatnonzero(common)[part]].toarray()
        kernel += dense @ dense.T
    others = columns[:, np.flatnonzero(shared)].tocsr()
    turned = others.T.tocsr()
    for rows in _in_steps(n_texts, _ROWS):
        kernel[rows] += (others[rows] @ turned).toarray()
    alone = columns[:, np.flatnonzero(single)].tocsr()
    kernel[np.diag_indices(n_texts)] += np.asarray(alone.multiply(alone).sum(axis=1)).ravel()
    return kernel


def _in_steps(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _pipeline(family: str) -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer, StandardScaler

    if family in HASHED:
        return make_pipeline(TfidfTransformer(sublinear_tf=True))
    quantiles = QuantileTransformer(n_quantiles=16, subsample=None)
    return make_pipeline(quantiles, PolynomialFeatures(2, include_bias=False), StandardScaler())
