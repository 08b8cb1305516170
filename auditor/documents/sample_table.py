"""One row a sample: what the audit found for each text, as ``samples.parquet`` holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import whole_file

__all__ = ["SampleTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTable:
    """Per-sample figures, in the order in which the samples were given.

    Parameters
    ----------
    sample_id, text_sha256 : tuple of str
        The hash is of the whole text as given, UTF-8.
    is_member : ndarray of bool, shape (n_samples,)
    group : tuple of str or None
        Unit that the sample comes from, if the data named one.
    n_tokens, n_bytes : ndarray of int64, shape (n_samples,)
        Scored tokens of the target, and UTF-8 bytes of the scored text.
    target_bits : ndarray of float64, shape (n_samples,), bits
        ``-log2 p(text | target)`` summed over the scored tokens.
    reference_bits, signed_bits, memorized_bits : ndarray of float64, shape (n_samples,), bits, or None
        None without a reference. ``signed = reference - target``; ``memorized = max(0, signed)``.
    scores : mapping of str to ndarray of float64, shape (n_samples,)
        Attack scores by attack label; higher means more likely a member.
    posterior : ndarray of float64, shape (n_samples,), or None
        Probability of membership at equal prior odds, from folds that did not train on the sample.
    blind_score : ndarray of float64, shape (n_samples,), or None
        Log-odds of membership of a classifier that reads the text alone; it never sees a model.
    rarity : ndarray of float64, shape (n_samples,), or None
        Mean TF-IDF weight of the text's words.
    n_copies : ndarray of int64, shape (n_samples,), or None
        Times that the member stood in the training set, as far as known.
    text : tuple of str or None
        The texts, only if the user asked for them.
    """

    sample_id: tuple[str, ...]
    text_sha256: tuple[str, ...]
    is_member: NDArray[np.bool_]
    group: tuple[str | None, ...]
    n_tokens: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    target_bits: NDArray[np.float64]
    reference_bits: NDArray[np.float64] | None
    signed_bits: NDArray[np.float64] | None
    memorized_bits: NDArray[np.float64] | None
    scores: Mapping[str, NDArray[np.float64]]
    posterior: NDArray[np.float64] | None = None
    blind_score: NDArray[np.float64] | None = None
    rarity: NDArray[np.float64] | None = None
    n_copies: NDArray[np.int64] | None = None
    text: tuple[str, ...] | None = None

    def write_parquet(self, path: Path) -> None:
        """Write the table; absent parts become null columns so that the schema does not depend on the run.

        Raises
        ------
        ResultError
            If it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        n = len(self.sample_id)

        def bits(values: NDArray[np.float64] | None) -> pa.Array:
            return pa.nulls(n, pa.float64()) if values is None else pa.array(values, pa.float64())

        columns = {
            "sample_id": pa.array(self.sample_id, pa.string()),
            "is_member": pa.array(self.is_member, pa.bool_()),
            "group": pa.array(self.group, pa.string()),
            "text_sha256": pa.array(self.text_sha256, pa.string()),
            "n_tokens": pa.array(self.n_tokens, pa.int64()),
            "n_bytes": pa.array(self.n_bytes, pa.int64()),
            "target_bits": bits(self.target_bits),
            "reference_bits": bits(self.reference_bits),
            "signed_bits": bits(self.signed_bits),
            "memorized_bits": bits(self.memorized_bits),
        }
        columns |= {
            "posterior": bits(self.posterior),
            "blind_score": bits(self.blind_score),
            "rarity": bits(self.rarity),
            "n_copies": pa.nulls(n, pa.int64()) if self.n_copies is None else pa.array(self.n_copies, pa.int64()),
        }
        columns |= {f"score.{label}": pa.array(score, pa.float64()) for label, score in self.scores.items()}
        if self.text is not None:
            columns["text"] = pa.array(self.text, pa.string())
        with whole_file(path) as partial:
            pq.write_table(pa.table(columns), partial, compression="zstd")
