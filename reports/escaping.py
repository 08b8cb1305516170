r"""Text that others wrote, made harmless and honest: the unseen is spelled out, the long is shortened.

Sample ids, paths and texts come from data that may be hostile. Every renderer sends every string through
here first: a control character, a direction mark or a lone surrogate becomes a visible escape (``\x1b``,
``\u202e``), and a string beyond its limit ends with how much was left out and how long it really is. Of what
would be a command to a CI system that reads a log, the second of its two marks is spelled out.
"""

import re
from typing import NamedTuple
from unicodedata import category

__all__ = ["ID", "LINE", "PATH", "TEXT", "Piece", "as_code", "middle", "pieces", "uncoded", "visible"]

ID, PATH, LINE, TEXT = 80, 160, 600, 1200
"""Limits in characters: an identifier, a path, a sentence, an excerpt of a sample."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_COMMAND = re.compile(r"##(?=\w*\[)|^(\s*)::", re.MULTILINE)
"""What CI systems take for a command at the start of a line of a log, where a report may be printed, too."""

_MARKS = 4  # combining marks on one letter; more are stacked to draw over neighbouring lines


class Piece(NamedTuple):
    """A run of characters: as they are, or something that was written in their place."""

    text: str
    replaced: bool


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _runs(text: str, keep: str) -> list[Piece]:
    runs: list[Piece] = []
    marks = 0
    for char in text:
        kind = category(char)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        shown = marks <= _MARKS and (char.isprintable() or kind == "Zs" or char in keep)
        piece = Piece(char if shown else _escape(char), not shown)
        if runs and runs[-1].replaced == piece.replaced:
            runs[-1] = Piece(runs[-1].text + piece.text, piece.replaced)
        else:
            runs.append(piece)
    return runs


def _shown(text: str, keep: str) -> list[Piece]:
    if text.isascii() and text.isprintable():
        return [Piece(text, False)] if text else []
    return _runs(text, keep)


def pieces(text: str, limit: int = LINE, *, keep: str = "") -> list[Piece]:
    """Split a string into what is shown as it is and what replaces the rest.

    Parameters
    ----------
    text : str
    limit : int
        Characters shown before the string is cut. A cut that would leave out less than it adds is not made.
    keep : str
        Control characters to let through, such as a newline where lines are laid out.

    Returns
    -------
    list of Piece
        Never holds a control, format, surrogate or unassigned character except those in ``keep``.
    """
    head = text if len(text) <= limit + 40 else text[:limit]
    runs, start = list[Piece](), 0
    for found in _COMMAND.finditer(head):
        stop = found.end() - 1
        runs += [*_shown(head[start:stop], keep), Piece(rf"\x{ord(head[stop]):02x}", True)]
        start = found.end()
    runs += _shown(head[start:], keep)
    if len(head) < len(text):
        runs.append(Piece(f"… {len(text) - len(head):,} characters more ({len(text):,} in all)", True))
    return runs


def visible(text: str, limit: int = LINE, *, keep: str = "") -> str:
    r"""Return the string with everything unseen spelled out, as plain text for any renderer.

    Examples
    --------
    >>> visible("a\u202eb\x00")
    'a\\u202eb\\x00'
    >>> visible("x" * 1000, limit=3)
    'xxx… 997 characters more (1,000 in all)'
    """
    return "".join(piece.text for piece in pieces(text, limit, keep=keep))


def as_code(name: str) -> str:
    """Put a name between backticks, of which it holds none itself, so that a renderer may show it as code.

    Examples
    --------
    >>> as_code("loss"), as_code("a`b")
    ('`loss`', "`a'b`")
    """
    return f"`{visible(name, ID)}`" if "`" not in name else as_code(name.replace("`", "'"))


def uncoded(text: str) -> str:
    """Take the backticks out of what others wrote, so that a renderer shows none of it as code.

    Examples
    --------
    >>> uncoded("a `b`")
    "a 'b'"
    """
    return text.replace("`", "'")


def middle(digest: str, ends: int = 8) -> str:
    """Shorten a hash to its two ends.

    Examples
    --------
    >>> middle("0123456789abcdef0123456789abcdef")
    '01234567…89abcdef'
    """
    return visible(digest) if len(digest) <= 2 * ends + 4 else visible(f"{digest[:ends]}…{digest[-ends:]}")
