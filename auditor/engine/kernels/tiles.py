"""Head and statistics a tile of the vocabulary at a time: the logits of a row never exist as a whole."""

import torch
from torch import Tensor

from .contract import Kernel, Moments, TokenStatistics, merge_moments
from .largest import Largest

__all__ = ["tiled_statistics"]


def tiled_statistics(
    hidden: Tensor, matrix: Tensor, true_ids: Tensor, kernel: Kernel, *, n_columns: int
) -> TokenStatistics:
    """Describe each true token against ``softmax(hidden @ matrix.T)``.

    A product with a part of the vocabulary reads that part of the matrix once for all rows and leaves its logits in
    the cache, where the kernel finds them.

    Parameters
    ----------
    hidden : Tensor of shape (n_rows, n_features)
    matrix : Tensor of shape (n_vocabulary, n_features)
    true_ids : Tensor of int64, shape (n_rows,)
    n_columns : int
        Vocabulary entries in a tile.
    """
    n_vocabulary = len(matrix)
    true = torch.linalg.vecdot(hidden, matrix[true_ids])  # (n_rows,)
    memory = torch.empty(len(hidden) * min(n_columns, n_vocabulary), dtype=hidden.dtype)
    parts, largest = list[Moments](), Largest()
    for first in range(0, n_vocabulary, n_columns):
        columns = matrix[first : first + n_columns]  # (n_columns, n_features)
        tile = memory[: len(hidden) * len(columns)].view(len(hidden), len(columns))
        torch.mm(hidden, columns.T, out=tile)
        here = torch.nonzero((true_ids >= first) & (true_ids < first + len(columns)))[:, 0]
        tile[here, true_ids[here] - first] = true[here]  # equal but for rounding, by which none may be above itself
        largest.see(tile)
        parts.append(kernel(tile, true))
    return merge_moments(parts, true, largest.logits)
