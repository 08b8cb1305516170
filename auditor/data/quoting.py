"""Foreign names in a message: on one line, short, with nothing that moves the cursor."""

from collections.abc import Sequence

__all__ = ["counted", "listing", "plain", "quoted", "reason"]


def quoted(text: str, *, limit: int = 80) -> str:
    r"""Quote as Python does: control, bidi and line-breaking characters escaped; cut beyond ``limit``.

    Examples
    --------
    >>> print(quoted("a\nb"))
    'a\nb'
    """
    shown = repr(text[:limit])
    return shown if len(text) <= limit else f"{shown[:-1]}…{shown[-1]}"


def plain(text: object, *, limit: int = 400) -> str:
    """Show a name without quotes if it is short and every character of it can be printed, else quoted."""
    shown = str(text)
    return shown if shown.isprintable() and 0 < len(shown) <= limit else quoted(shown, limit=limit)


def counted(n: int, noun: str) -> str:
    """Count in words: ``1 file``, ``2 files``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def listing(items: Sequence[str], *, limit: int = 5) -> str:
    """Name the first few, and count the rest.

    Examples
    --------
    >>> listing(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest} more" if rest > 0 else "")


def reason(error: Exception) -> str:
    """Say in one line why something foreign failed."""
    text = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    return plain(text or type(error).__name__)
