"""The interactive report: all samples in one table, and one script that sorts it, filters it and reads the curves."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from auditor.documents.checksums import file_sha256
from auditor.documents.result import AuditResult
from auditor.documents.sample_table import SampleColumns
from auditor.errors import ResultError

from .attacks import headline_attack
from .numbers import count, number, plural
from .samples import Column

__all__ = ["MOST_ROWS", "SampleRows", "Script", "read_rows", "sample_rows", "script"]

MOST_ROWS = 2000
"""Rows of an interactive table: more would make the page slow; the files hold all."""


class Script(NamedTuple):
    """A script of ours, and the hash by which the page admits it and no other."""

    source: Markup
    pin: str


class SampleRows(NamedTuple):
    """Rows of samples, those with most bits first."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


@cache
def script() -> Script:
    """Read the script, which is ours and holds no value of the audit."""
    source = (files("reports") / "templates" / "interactive.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return Script(Markup(source), f"sha256-{digest}")


def read_rows(file: Path, result: AuditResult) -> SampleRows:
    """Read the rows of an audit's samples.

    Raises
    ------
    ResultError
        If the file cannot be read, or is not of this audit.
    """
    stated = result.provenance.samples_sha256
    if stated is not None and file_sha256(file) != stated:
        raise ResultError(f"{file} holds the samples of another audit than the result beside it; audit again")
    attack = headline_attack(result)
    try:
        return sample_rows(SampleColumns(file), None if attack is None else attack.attack)
    except (KeyError, ValueError) as error:
        raise ResultError(f"{file} is no table of samples of this audit: {error.args[0]}") from error


def sample_rows(table: SampleColumns, headline: str | None) -> SampleRows:
    """Lay out the samples of an audit, those with most bits first; of very many, the first ones.

    Parameters
    ----------
    table : SampleColumns
    headline : str or None
        Attack by whose score samples are ordered where there are no bits.

    Raises
    ------
    KeyError, ValueError
        If the table is not one of samples.
    """
    ids, sides, n_tokens = table.strings("sample_id"), table.flags("is_member"), table.counts("n_tokens")
    bits = table.numbers_if_any("signed_bits")
    posterior, copies = table.numbers_if_any("posterior"), table.numbers_if_any("n_copies")
    score = None if headline is None else table.numbers(f"score.{headline}")
    groups = table.groups()
    key = bits if bits is not None else score
    order = range(len(ids)) if key is None else sorted(range(len(ids)), key=lambda i: -float(key[i]))
    named: list[tuple[str, bool, Sequence[str] | None]] = [
        ("Sample", False, ids),
        ("Side", False, ["member" if side else "non-member" for side in sides]),
        ("Group", False, [one or "" for one in groups] if any(groups) else None),
        ("Bits", True, None if bits is None else [number(float(x), 1) for x in bits]),
        ("Bits per token", True, None if bits is None else [
            number(float(x) / max(1, int(n)), 2) for x, n in zip(bits, n_tokens, strict=True)]),
        ("Probability", True, None if posterior is None else [f"{100 * float(x):.1f}%" for x in posterior]),
        ("Copies", True, None if copies is None else [count(int(x)) for x in copies]),
        ("Tokens", True, [count(int(x)) for x in n_tokens]),
        (f"Score of {headline}", True, None if score is None else [f"{float(x):.4g}" for x in score]),
    ]  # fmt: skip
    shown = list(order)[:MOST_ROWS]
    columns = tuple(Column(title, is_number, ()) for title, is_number, cells in named if cells is not None)
    cells = [cells for _, _, cells in named if cells is not None]
    caption = f"All {plural(len(ids), 'sample')}"
    if len(ids) > MOST_ROWS:
        caption = f"The first {count(MOST_ROWS)} of {plural(len(ids), 'sample')}; samples.csv holds all"
    return SampleRows(
        f"{caption}. A heading sorts; a single sample carries no interval.",
        columns,
        tuple(tuple(column[i] for column in cells) for i in shown),
    )
