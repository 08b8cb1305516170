"""Scripts of texts: in which of Unicode's scripts most of a text's letters are written."""

import unicodedata
from collections import Counter
from functools import lru_cache

__all__ = ["NO_LETTERS", "main_script"]

NO_LETTERS = "no letters"

_OF_CJK = {"CJK": "Han", "IDEOGRAPHIC": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}
_WIDTHS = ("FULLWIDTH ", "HALFWIDTH ")
_UNTOLD = frozenset({"MATHEMATICAL", "FEMININE", "MASCULINE", "MICRO", "SUPERSCRIPT", "SUBSCRIPT", "DOUBLE-STRUCK",
                     "SCRIPT", "BLACK-LETTER", "MODIFIER", "CIRCLED", "PARENTHESIZED", "SQUARED"})  # fmt: skip
"""First words of the names of letters that belong to no script."""


def main_script(text: str) -> str:
    """Script of most letters of a text, the first by name of equals; digits, marks and emoji are no letters.

    Scripts are told by the names that Unicode gives to characters, which begin with the script: the standard library
    has no table of its property Script. Chinese characters are `Han`, and both Japanese syllabaries are `Kana`.

    Examples
    --------
    >>> main_script("Hello, world 1"), main_script("Привет, world"), main_script("日本語のテキスト"), main_script("1+1")
    ('Latin', 'Cyrillic', 'Kana', 'no letters')
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else NO_LETTERS
    counts: Counter[str] = Counter()
    for character, n in Counter(text).items():
        script = _script(character)
        if script is not None:
            counts[script] += n
    return min(counts, key=lambda script: (-counts[script], script), default=NO_LETTERS)


@lru_cache(maxsize=65_536)
def _script(character: str) -> str | None:
    """Script of one letter; None for what is no letter, or is used with all of them."""
    if not character.isalpha():
        return None
    name = unicodedata.name(character, "")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    first = name.partition(" ")[0].partition("-")[0]
    if not first or first in _UNTOLD:
        return None
    return _OF_CJK.get(first, first.capitalize())
