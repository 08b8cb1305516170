"""Patterns: forms of secrets that are found in texts without being told, each with what else could stand."""

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .spaces import Space, luhn, mod97

__all__ = ["PATTERNS", "Found", "find", "own_space"]

_KEY_PREFIX = r"sk-|sk_live_|sk_test_|gh[opsu]_|github_pat_|glpat-|xox[abps]-|AKIA|AIza|hf_"
_LEAST_MIXED = 4
"""Letters, and digits, of a key without a known beginning."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text: ``text[start:stop]``."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """One form of secrets.

    Parameters
    ----------
    regex : re.Pattern
    length : callable
        How much of a match is the secret, in characters; 0 if none of it is.
    space : callable
        Of a secret.
    """

    regex: re.Pattern[str]
    length: Callable[[str], int]
    space: Callable[[str], Space]


def find(text: str, kinds: tuple[str, ...]) -> Iterator[Found]:
    """Yield the secrets of a text that have one of these forms; what two forms claim is that of the first.

    A secret that the text repeats is found once, where nothing before it gives it away.
    """
    taken: list[Found] = []
    seen: set[str] = set()
    for kind in (one for one in PATTERNS if one in kinds):
        for match in PATTERNS[kind].regex.finditer(text):
            stop = match.start() + PATTERNS[kind].length(match[0])
            one = Found(kind, match.start(), stop)
            is_free = all(one.stop <= other.start or other.stop <= one.start for other in taken)
            if stop > match.start() and is_free:
                taken.append(one)
                if text[one.start : stop] not in seen:
                    seen.add(text[one.start : stop])
                    yield one


def own_space(secret: str) -> Space:
    """Return the space of a secret of no known form: a digit for a digit, a letter for a letter, all else as it is.

    Examples
    --------
    >>> own_space("a-07").size  # 26 letters, 100 pairs of digits
    2600
    """
    return Space(tuple(map(_class, secret)))


def _class(one: str) -> str:
    for alphabet in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
        if one in alphabet:
            return alphabet
    return one


def _known(secret: str, n_characters: int) -> Space:
    """Return a secret's own space with its first characters known."""
    return Space((*secret[:n_characters], *map(_class, secret[n_characters:])))


def _points(text: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    return np.array([[ord(one) for one in text]], dtype=np.uint32)


def _iban_length(match: str) -> int:
    """Return the longest beginning with a right remainder that ends where a group ends or the match does."""
    ends = [len(match), *(place for place in range(len(match) - 1, 0, -1) if match[place] == " ")]
    for end in ends:
        n = sum(one != " " for one in match[:end])
        if 15 <= n <= 34 and mod97(_points(match[:end]))[0]:
            return end
    return 0


def _card_space(secret: str) -> Space:
    """Keep the first six digits, which name the issuer."""
    places = [place for place, one in enumerate(secret) if one.isdigit()]
    return Space(_known(secret, places[6]).alphabets, "luhn")


def _phone_space(secret: str) -> Space:
    """Keep what names the country: after a plus up to three digits before a separator, else two; else a leading 0."""
    if secret.startswith("+"):
        code = re.match(r"\+\d{1,3}(?=\D)|\+\d{2}", secret)
        return _known(secret, code.end() if code else 2)
    return _known(secret, len(secret) - len(secret.lstrip("(0")))


def _key_length(match: str) -> int:
    letters, digits = sum(one.isalpha() for one in match), sum(one.isdigit() for one in match)
    is_key = re.match(_KEY_PREFIX, match) or (letters >= _LEAST_MIXED and digits >= _LEAST_MIXED)
    return len(match) if is_key else 0


def _key_space(secret: str) -> Space:
    """Let every character be of any class that the key has, hexadecimal digits alone where it has no others."""
    known = re.match(_KEY_PREFIX, secret)
    rest = secret[known.end() if known else 0 :]
    hexadecimal = next((one for one in ("0123456789abcdef", "0123456789ABCDEF") if set(rest) <= set(one)), None)
    classes = {_class(one) for one in rest if one.isalnum()}
    alphabet = hexadecimal or "".join(sorted(classes))
    return Space((*(known[0] if known else ""), *(alphabet if one.isalnum() else one for one in rest)))


def _email_space(secret: str) -> Space:
    """Let the name before the sign vary; the domain is known."""
    name, domain = secret.rsplit("@", 1)
    return Space((*map(_class, name), "@", *domain))


PATTERNS: dict[str, Pattern] = {
    "iban": Pattern(
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?!\w)", re.A),
        _iban_length,
        lambda secret: Space(_known(secret, 2).alphabets, "mod97"),
    ),
    "card": Pattern(
        re.compile(r"(?<![\w+])\d(?:[ -]?\d){12,18}(?!\w)", re.A),
        lambda match: len(match) if luhn(_points(match))[0] else 0,
        _card_space,
    ),
    "email": Pattern(
        re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.A),
        len,
        _email_space,
    ),
    "key": Pattern(
        re.compile(rf"(?<![\w-])(?:(?:{_KEY_PREFIX})[A-Za-z0-9_-]{{16,200}}|[A-Za-z0-9]{{20,200}})(?![\w-])", re.A),
        _key_length,
        _key_space,
    ),
    "phone": Pattern(
        re.compile(
            r"(?<![\w.+-])(?:\+\d(?:[ ()./-]{0,2}\d){6,14}|\(?0\d(?:[ ()/-]{0,2}\d){5,13}"
            r"|\(?\d{3}\)?[ .-]\d{3}[.-]\d{4})"
            r"(?![\w-])", re.A),
        len,
        _phone_space,
    ),
}  # fmt: skip
"""Forms by name, the surest first."""
