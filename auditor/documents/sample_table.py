"""One row a sample: what the audit found for each text, as ``samples.parquet`` holds it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ResultError
from .files import whole_file
from .sample_extraction import SampleExtraction, draws_needed
from .unpacked import decoded_bytes, dictionary_columns, refuse_bomb, refuse_parquet_bomb

__all__ = ["SampleColumns", "SampleTable", "read_samples"]

_FORMULA = r"^([\t\r\n]|\s*[=+\-@＝＋－＠])"
"""What makes a spreadsheet compute a cell, at the start of its text; the wide forms count in some languages."""


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
    uniform_bits, lzma_bits : ndarray of float64, shape (n_samples,), bits, or None
        Code lengths that know nothing: every token of the vocabulary alike, and LZMA. None in files of older auditors.
    generalization_bits : ndarray of float64, shape (n_samples,), bits, or None
        ``uniform_bits - max(target_bits, reference_bits)``: what both models save. None without a reference.
    scores : mapping of str to ndarray of float64, shape (n_samples,)
        Attack scores by attack label; higher means more likely a member.
    posterior : ndarray of float64, shape (n_samples,), or None
        Probability of membership at equal prior odds, from folds that did not train on the sample.
    blind_score : ndarray of float64, shape (n_samples,), or None
        Log-odds of membership of a classifier that reads the text alone; it never sees a model.
    rarity : ndarray of float64, shape (n_samples,), or None
        Mean TF-IDF weight of the text's words.
    script : tuple of str, or None
        Unicode script of most of the text's letters.
    n_copies : ndarray of int64, shape (n_samples,), or None
        Times that the member stood in the training set, as far as known.
    extraction : SampleExtraction or None
        How surely the end of each text is drawn out of the target. In the file, what is never drawn, or takes more than
        1e300 draws, is null, as is a text that is too short (``extraction_suffix_tokens`` 0).
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
    script: tuple[str, ...] | None = None
    n_copies: NDArray[np.int64] | None = None
    extraction: SampleExtraction | None = None
    uniform_bits: NDArray[np.float64] | None = None
    lzma_bits: NDArray[np.float64] | None = None
    generalization_bits: NDArray[np.float64] | None = None
    text: tuple[str, ...] | None = None

    def to_arrow(self) -> Any:
        """Return the table as Arrow's; absent parts become null columns so that the schema does not depend on the run.

        Returns
        -------
        pyarrow.Table
            A row a sample; the score of an attack is the column ``score.<attack>``.
        """
        import pyarrow as pa

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
            "uniform_bits": bits(self.uniform_bits),
            "lzma_bits": bits(self.lzma_bits),
            "generalization_bits": bits(self.generalization_bits),
        }
        columns |= {
            "posterior": bits(self.posterior),
            "blind_score": bits(self.blind_score),
            "rarity": bits(self.rarity),
            "script": pa.nulls(n, pa.string()) if self.script is None else pa.array(self.script, pa.string()),
            "n_copies": pa.nulls(n, pa.int64()) if self.n_copies is None else pa.array(self.n_copies, pa.int64()),
        }
        columns |= _extraction_columns(self.extraction, n)
        columns |= {f"score.{label}": pa.array(score, pa.float64()) for label, score in self.scores.items()}
        if self.text is not None:
            columns["text"] = pa.array(self.text, pa.string())
        return pa.table(columns)

    def write_parquet(self, path: Path) -> None:
        """Write the table as :meth:`to_arrow` makes it.

        Raises
        ------
        ResultError
            If it cannot be written.
        """
        import pyarrow.parquet as pq

        with whole_file(path) as partial:
            pq.write_table(self.to_arrow(), partial, compression="zstd")

    def write_csv(self, path: Path) -> None:
        """Write the same rows for spreadsheets; columns without a value are left out, and no cell starts a formula.

        A cell or heading that a spreadsheet would compute is written after an apostrophe, which makes it text.

        Raises
        ------
        ResultError
            If it cannot be written.

        References
        ----------
        .. [1] OWASP, *CSV Injection*: cells that begin with ``=``, ``+``, ``-``, ``@``, tab or a line break.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv

        table = self.to_arrow()
        table = table.select([name for name in table.column_names if table[name].null_count < table.num_rows])
        columns = [
            pc.replace_substring_regex(column, pattern=_FORMULA, replacement=r"'\1")
            if pa.types.is_string(column.type)
            else column
            for column in table.columns
        ]
        names = [re.sub(_FORMULA, r"'\1", name) for name in table.column_names]
        with whole_file(path) as partial:
            pyarrow.csv.write_csv(pa.table(columns, names), str(partial))


def _extraction_columns(found: SampleExtraction | None, n: int) -> dict[str, Any]:
    """Lay out what is known of the extraction of each sample; null where there is nothing to say."""
    import pyarrow as pa

    kinds = {
        "extraction_suffix_tokens": pa.int64(),
        "extraction_log2_p": pa.float64(),
        "extraction_log2_p_unrestricted": pa.float64(),
        "extraction_reference_log2_p": pa.float64(),
        "extraction_reference_log2_p_unrestricted": pa.float64(),
        "extraction_is_greedy": pa.bool_(),
        "extraction_windows": pa.int64(),
        "extraction_windows_extractable": pa.int64(),
        "longest_greedy_run": pa.int64(),
        "draws_for_half": pa.float64(),
        "draws_for_nine_tenths": pa.float64(),
    }
    values: Sequence[Any] = [None] * len(kinds)
    if found is not None:
        draws = [draws_needed(found.log2_p, chance) for chance in (0.5, 0.9)]
        values = (*(getattr(found, one.name) for one in fields(found)), *draws)
    return {
        name: pa.nulls(n, kind) if column is None else pa.array(column, kind, mask=~np.isfinite(column))
        for (name, kind), column in zip(kinds.items(), values, strict=True)
    }


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
            with pq.ParquetFile(file, read_dictionary=texts) as opened:  # read_table would import pandas
                self._table = opened.read(columns=names)
            refuse_bomb(sum(map(decoded_bytes, self._table.columns)), file.stat().st_size)
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise ResultError(f"cannot read the samples {file}: {_reason(error)}") from error

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a column of strings; KeyError or ValueError if there is none, as for all columns."""
        return tuple(self._complete(name, "string").to_pylist())

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Return a column of booleans."""
        return _values(self._complete(name, "bool").cast("uint8")).view(np.bool_)

    def counts(self, name: str) -> NDArray[np.int64]:
        """Return a column of integers."""
        return _values(self._complete(name, "int64"))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers."""
        values: NDArray[np.float64] = _values(self._complete(name, "float64"))
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite for every sample")
        return values

    def numbers_if_any(self, name: str) -> NDArray[np.float64] | None:
        """Return a column of finite numbers; None if every row is null."""
        return None if self._column(name).null_count == self._table.num_rows else self.numbers(name)

    def numbers_with_gaps(self, name: str, gap: float) -> NDArray[np.float64]:
        """Return a column of finite numbers, with a number of our own where it is null."""
        column = self._cast(name, "float64")
        values = np.array([gap if value is None else value for value in column.to_pylist()], dtype=np.float64)
        if np.isnan(values[_values(column.is_null().cast("uint8")) == 0]).any():
            raise ValueError(f"{name} is not a number for every sample")
        return values

    def extraction(self) -> SampleExtraction | None:
        """Return what is known of the extraction of each sample; None if nothing is, or the file is older."""
        if (
            "extraction_suffix_tokens" not in self._table.column_names
            or self._column("extraction_suffix_tokens").null_count == self._table.num_rows
        ):
            return None
        suffix_tokens = self.counts("extraction_suffix_tokens")

        def logs(name: str) -> NDArray[np.float64]:
            values = self.numbers_with_gaps(name, -np.inf)
            return np.where(suffix_tokens > 0, values, np.nan)

        has_reference = self._column("extraction_reference_log2_p_unrestricted").null_count < self._table.num_rows
        return SampleExtraction(
            suffix_tokens=suffix_tokens,
            log2_p=logs("extraction_log2_p"),
            log2_p_unrestricted=logs("extraction_log2_p_unrestricted"),
            reference_log2_p=logs("extraction_reference_log2_p") if has_reference else None,
            reference_log2_p_unrestricted=(logs("extraction_reference_log2_p_unrestricted") if has_reference else None),
            is_greedy=self.flags("extraction_is_greedy"),
            n_windows=self.counts("extraction_windows"),
            n_windows_extractable=self.counts("extraction_windows_extractable"),
            longest_run=self.counts("longest_greedy_run"),
        )

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
            extraction=columns.extraction(),
        )
    except KeyError as error:
        raise ResultError(f"{file} has {error.args[0]}: it is no table of samples of this audit") from error
    except ValueError as error:
        raise ResultError(f"cannot read the samples {file}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line of a library's words."""
    return " ".join(str(error).split())[:200]


def _values(column: Any) -> NDArray[Any]:
    """Return a column of numbers without nulls as an array of its own.

    Arrow's ``to_numpy`` imports pandas, which takes longer than all else of reading a file.
    """
    return np.concatenate([np.empty(0, column.type.to_pandas_dtype()), *map(np.from_dlpack, column.chunks)])
