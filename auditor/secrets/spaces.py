"""Spaces of secrets: every string of one form, with check digits that come out right where the form has some."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Check", "Space", "luhn", "mod97"]

Check = Literal["luhn", "mod97"]
Characters = NDArray[np.uint32]

_CHUNK = 1 << 18
"""Strings that are made at once."""


@dataclass(frozen=True)
class Space:
    """Every string with one of these characters at each place, and with right check digits.

    Parameters
    ----------
    alphabets : tuple of str
        What may stand at each place; a single character is known.
    check : {"luhn", "mod97"} or None
        Luhn's sum of a payment card, or ISO 13616's remainder of an IBAN; characters that are no letters or digits
        are not counted.

    Examples
    --------
    >>> Space(("4", "ab", "01")).size, sorted(Space(("4", "ab", "01")).members())
    (4, ['4a0', '4a1', '4b0', '4b1'])
    """

    alphabets: tuple[str, ...]
    check: Check | None = None

    @property
    def n_free(self) -> int:
        """Number of places that are not known."""
        return sum(len(one) > 1 for one in self.alphabets)

    @property
    def raw_size(self) -> int:
        """Number of strings, right check digits or not."""
        return math.prod(len(one) for one in self.alphabets)

    @cached_property
    def size(self) -> int:
        """Number of strings.

        Exact for Luhn, whose sum one unknown digit makes right in one way of ten, and for an IBAN with unknown check
        digits, which are one pair of a hundred; of an IBAN with known ones every 97th string is right, to rounding.
        """
        if self.check == "luhn":
            return max(1, self.raw_size // 10)
        if self.check == "mod97":
            spots = [one for one in self.alphabets if one[0].isalnum()]
            return max(1, self.raw_size // (100 if len(spots[2]) == len(spots[3]) == 10 else 97))
        return self.raw_size

    def reduced(self, secret: str, n_unknown: int) -> "Space":
        """Return the space of whoever knows all of a secret but its last free characters."""
        free = [place for place, one in enumerate(self.alphabets) if len(one) > 1][-n_unknown:]
        alphabets = (one if place in free else secret[place] for place, one in enumerate(self.alphabets))
        return Space(tuple(alphabets), self.check)

    def members(self) -> Iterator[str]:
        """Yield every string once."""
        for start in range(0, self.raw_size, _CHUNK):
            codes = np.arange(start, min(self.raw_size, start + _CHUNK))
            digits = np.empty((codes.size, len(self.alphabets)), dtype=np.int64)  # (n_strings, n_places)
            for place in reversed(range(len(self.alphabets))):
                codes, digits[:, place] = np.divmod(codes, len(self.alphabets[place]))
            yield from self._right(digits)

    def draw(self, n: int, rng: np.random.Generator) -> list[str]:
        """Draw strings independently and uniformly, with replacement."""
        sizes, found = [len(one) for one in self.alphabets], list[str]()
        while len(found) < n:
            found += self._right(rng.integers(0, sizes, size=(_CHUNK, len(sizes))) if self.check else
                                 rng.integers(0, sizes, size=(n, len(sizes))))  # fmt: skip
        return found[:n]

    def _right(self, digits: NDArray[np.int64]) -> list[str]:
        """Spell the strings of places in alphabets, and keep those with right check digits."""
        spelled = np.empty(digits.shape, dtype=np.uint32)
        for place, alphabet in enumerate(self.alphabets):
            spelled[:, place] = np.array([ord(one) for one in alphabet], dtype=np.uint32)[digits[:, place]]
        if self.check is not None:
            spelled = spelled[(luhn if self.check == "luhn" else mod97)(spelled)]
        return [str(one) for one in np.ascontiguousarray(spelled).view(f"<U{len(self.alphabets)}").ravel()]


def luhn(spelled: Characters) -> NDArray[np.bool_]:
    """Say which rows of code points have a digit sum of Luhn that ends in 0.

    References
    ----------
    .. [1] ISO/IEC 7812-1, annex B.
    """
    numbers = _values(spelled).T[::-1].astype(np.int64)  # (n_digits, n_strings), the last digit first
    numbers[1::2] *= 2
    return np.asarray((numbers // 10 + numbers % 10).sum(axis=0) % 10 == 0)


def mod97(spelled: Characters) -> NDArray[np.bool_]:
    """Say which rows of code points are an IBAN: remainder 1, and check digits from 02 to 98.

    References
    ----------
    .. [1] ISO 13616-1 with ISO 7064, MOD 97-10.
    """
    values = _values(spelled).T.astype(np.int64)  # (n_characters, n_strings)
    remainder = np.zeros(spelled.shape[0], dtype=np.int64)
    for value in (*values[4:], *values[:4]):
        remainder = (remainder * np.where(value > 9, 100, 10) + value) % 97
    digits = 10 * values[2] + values[3]
    return np.asarray((remainder == 1) & (digits >= 2) & (digits <= 98))


def _values(spelled: Characters) -> NDArray[np.uint32]:
    """Turn 0-9 into 0 to 9 and A-Z into 10 to 35; columns of other characters are left out."""
    is_digit, is_letter = ((spelled >= ord(a)) & (spelled <= ord(z)) for a, z in ("09", "AZ"))
    values = np.where(is_digit, spelled - ord("0"), spelled - ord("A") + 10)
    return np.asarray(values[:, (is_digit | is_letter).all(axis=0)])
