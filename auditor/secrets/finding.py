"""Secrets of a data set: each at its place in its text, named by columns or found by patterns, with its space."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import DataSpec
from ..data.dataset import Sample, load_corpus
from ..data.quoting import listing
from ..errors import ConfigError, DataError
from .patterns import PATTERNS, Found, find, own_space
from .spaces import Space

__all__ = ["COLUMNS", "Corpus", "Secret", "check_kinds", "find_secrets"]

COLUMNS = ("secret", "secret_start", "secret_end")
"""The secret itself, as it stands in the text; or where it stands, in characters from 0, the end not included."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret at its place, and all that could stand there instead.

    Parameters
    ----------
    id : str
        Id of its text, with a number if the text has several.
    kind : str
        Its pattern, or ``column``.
    before, after : str
        The text around it.
    itself : str
    space : Space
    """

    id: str
    kind: str
    before: str
    itself: str
    after: str
    space: Space


@dataclass(frozen=True, slots=True)
class Corpus:
    """The secrets of a data set, and the number of its texts with none."""

    secrets: tuple[Secret, ...]
    n_texts: int
    n_texts_without: int


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Refuse a pattern that is not known.

    Raises
    ------
    ConfigError
        In one line.
    """
    unknown = [kind for kind in kinds if kind not in PATTERNS]
    if unknown:
        raise ConfigError(f"--find: no pattern is named {unknown[0]!r}; the patterns are {', '.join(PATTERNS)}")


def find_secrets(
    spec: DataSpec,
    *,
    kinds: tuple[str, ...] = (),
    n_unknown: int | None = None,
    held: Mapping[str, Any] | None = None,
) -> Corpus:
    """Find the secrets of all texts: as columns say where there are such, else by patterns.

    Parameters
    ----------
    spec : DataSpec
        Plain texts.
    kinds : tuple of str
        Patterns to find, whatever the columns say; none for the columns, or all patterns where there are none.
    n_unknown : int, optional
        Only so many of a secret's last free characters are not known to whoever asks the model.
    held : mapping of str to object, optional
        Texts in memory, by the path of their specifications.

    Raises
    ------
    ConfigError, DataError
        For an unknown pattern, conversations, a secret that is not in its text, or if there is no secret at all. No
        message shows a text or a secret.
    """
    check_kinds(kinds)
    if n_unknown is not None and n_unknown < 1:
        raise ConfigError(f"--unknown must be at least 1, the number of last characters not known, got {n_unknown}")
    samples, _ = load_corpus(spec, held)
    found: list[Secret] = []
    faults: defaultdict[str, list[str]] = defaultdict(list)
    with_secret = set()
    for sample in map(samples.__getitem__, range(len(samples))):
        if sample.form != "text":
            raise DataError(f"{spec}: conversations; secrets are looked for in plain texts, so give a column of texts")
        columns = {} if kinds else _columns(sample)
        try:
            places = list(_named(sample.text, columns) if columns else find(sample.text, kinds or tuple(PATTERNS)))
            secrets = [_secret(sample, place, n_unknown) for place in places]
        except ValueError as error:
            faults[str(error)].append(sample.id)
            continue
        several = len(secrets) > 1
        found += [_numbered(one, number) if several else one for number, one in enumerate(secrets, start=1)]
        with_secret |= {sample.id} if secrets else set()
    if faults:
        raise DataError(f"{spec}: " + "; ".join(f"{fault}: {listing(ids)}" for fault, ids in faults.items()))
    if not found:
        raise DataError(
            f"{spec}: no secret in {len(samples)} texts: none matches the patterns {', '.join(kinds or PATTERNS)}, and "
            f"no column names one; add a column {COLUMNS[0]}, or {COLUMNS[1]} and {COLUMNS[2]}"
        )
    return Corpus(tuple(found), n_texts=len(samples), n_texts_without=len(samples) - len(with_secret))


def _columns(sample: Sample) -> dict[str, object]:
    """Return the columns that say where the secret is; those of a row without one are null."""
    others = json.loads(sample.others or "{}")
    return {name: others[name] for name in COLUMNS if name in others}


def _named(text: str, columns: dict[str, object]) -> Iterator[Found]:
    """Yield the secret that columns name, if they name one in this row."""
    secret, *ends = (None if columns.get(name) == "" else columns.get(name) for name in COLUMNS)
    if secret is not None:
        if isinstance(secret, bool | float) or not isinstance(secret, str | int):
            raise ValueError("column secret is no string")
        start = text.find(str(secret))
        if start < 0:
            raise ValueError("the secret does not occur in its text, where it has to stand letter for letter")
        yield Found("column", start, start + len(str(secret)))
    elif any(end is not None for end in ends):
        try:
            start, stop = (int(str(end)) for end in ends)
        except ValueError:
            raise ValueError("secret_start and secret_end are not both whole numbers") from None
        if not 0 <= start < stop <= len(text):
            raise ValueError("secret_start and secret_end do not lie within the text, the first before the second")
        yield Found("column", start, stop)


def _secret(sample: Sample, place: Found, n_unknown: int | None) -> Secret:
    itself = sample.text[place.start : place.stop]
    space = own_space(itself) if place.kind == "column" else PATTERNS[place.kind].space(itself)
    if not space.n_free:
        raise ValueError("the secret has no letter a-z, A-Z and no digit, so that nothing else has its form")
    if n_unknown is not None:
        space = space.reduced(itself, n_unknown)
    if space.size < 2:
        raise ValueError("nothing else has the form of the secret, so that it ranks among none; raise --unknown")
    return Secret(sample.id, place.kind, sample.text[: place.start], itself, sample.text[place.stop :], space)


def _numbered(one: Secret, number: int) -> Secret:
    return Secret(f"{one.id}#{number}", one.kind, one.before, one.itself, one.after, one.space)
