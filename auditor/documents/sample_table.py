"""One row a sample: what the audit found for each text, as ``samples.parquet`` holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ResultError
from .files import whole_file
from .unpacked import decoded_bytes, dictionary_columns, refuse_bomb, refuse_parquet_bomb

__all__ = ["SampleColumns", "SampleTable", "read_samples"]


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


class SampleColumns:
    """The columns of ``samples.parquet``, each checked when it is asked for; the texts are never read.

    Parameters
    ----------
    file : Path

    Raises
    ------
    ResultError
        If the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            metadata = pq.read_metadata(file)
            names = [name for name in metadata.schema.to_arrow_schema().names if name != "text"]
            refuse_parquet_bomb(metadata, names, file.stat().st_size)
            texts = dictionary_columns(metadata, names)
            self._table = pq.read_table(file, columns=names, read_dictionary=texts)
            refuse_bomb(sum(map(decoded_bytes, self._table.columns)), file.stat().st_size)
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise ResultError(f"cannot read the samples {file}: {_reason(error)}") from error

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a column of strings; KeyError or ValueError if there is none, as for all columns."""
        return tuple(self._complete(name, "string").to_pylist())

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Return a column of booleans."""
        return np.asarray(self._complete(name, "bool").to_numpy())

    def counts(self, name: str) -> NDArray[np.int64]:
        """Return a column of integers."""
        return np.asarray(self._complete(name, "int64").to_numpy())

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers."""
        values: NDArray[np.float64] = self._complete(name, "float64").to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite for every sample")
        return values

    def numbers_if_any(self, name: str) -> NDArray[np.float64] | None:
        """Return a column of finite numbers; None if every row is null."""
        return None if self._column(name).null_count == self._table.num_rows else self.numbers(name)

    def groups(self) -> tuple[str | None, ...]:
        """Return the unit that the data named for each sample, or None."""
        return tuple(self._cast("group", "string").to_pylist())

    def _column(self, name: str) -> Any:
        if name not in self._table.column_names:
            raise KeyError(f"no column {name}")
        return self._table[name]

    def _cast(self, name: str, kind: str) -> Any:
        import pyarrow as pa

        try:
            return self._column(name).cast(kind)
        except pa.ArrowException as error:
            raise ValueError(f"{name}: {_reason(error)}") from error

    def _complete(self, name: str, kind: str) -> Any:
        values = self._cast(name, kind)
        if values.null_count:
            raise ValueError(f"{name} is missing for {values.null_count} samples")
        return values


def read_samples(file: Path, labels: Sequence[str]) -> SampleTable:
    """Read the rows of all samples, without texts and what is told of them beside bits and scores.

    Parameters
    ----------
    file : Path
    labels : sequence of str
        Attacks whose scores are wanted.

    Raises
    ------
    ResultError
        If the file cannot be read, a column is missing, or one holds what it should not.
    """
    columns = SampleColumns(file)
    try:
        return SampleTable(
            sample_id=columns.strings("sample_id"),
            text_sha256=columns.strings("text_sha256"),
            is_member=columns.flags("is_member"),
            group=columns.groups(),
            n_tokens=columns.counts("n_tokens"),
            n_bytes=columns.counts("n_bytes"),
            target_bits=columns.numbers("target_bits"),
            reference_bits=columns.numbers_if_any("reference_bits"),
            signed_bits=columns.numbers_if_any("signed_bits"),
            memorized_bits=columns.numbers_if_any("memorized_bits"),
            scores={label: columns.numbers(f"score.{label}") for label in labels},
        )
    except KeyError as error:
        raise ResultError(f"{file} has {error.args[0]}: it is no table of samples of this audit") from error
    except ValueError as error:
        raise ResultError(f"cannot read the samples {file}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line of a library's words."""
    return " ".join(str(error).split())[:200]
