"""Cut of texts to windows: where the longest start of each that fits ends, all texts of a block at a time.

The search of a text is the same bisection whatever is known of it. What it asks is answered by the places of the tokens
of the text as read whole, but for a few characters around the end of the window, where a token that is cut may fall
apart into others: there the start is read.
"""

from collections.abc import Callable, Generator, Mapping, Sequence

import numpy as np

__all__ = ["Fits", "Sure", "cut_to_fit", "sure_by_places"]

_FIRST = 1024
"""Characters that are tried first."""

_NEAR = 4
"""Tokens around the end of a window where a start is read: by so many a cut may change how many come before."""

Fits = Callable[[Sequence[int], Sequence[int]], Sequence[bool]]
"""Says of some texts, by place, whether each fits if it is cut after so many characters."""

Sure = tuple[int, int]
"""Characters up to which a text surely fits, and from which on it surely does not."""


def sure_by_places(text: str, spans: Sequence[tuple[int, int]], window: int) -> Sure:
    """Say what the places of its tokens tell of the starts of a text.

    A start surely fits if it would even with the token that is cut in single bytes, and some tokens to spare.

    Parameters
    ----------
    text : str
    spans : sequence of (start, stop)
        Characters of each token.
    window : int
        Tokens.
    """
    n = len(text)
    places = np.array(spans[: window + _NEAR + 1], dtype=np.int64).reshape(-1, 2)  # (n_tokens, 2)
    stops = np.maximum.accumulate(places[:, 1])
    characters = np.frombuffer(text[: int(stops.max(initial=0))].encode("utf-32-le"), dtype="<u4")
    sizes = np.digitize(characters, [0x80, 0x800, 0x10000]) + 1
    ends = np.concatenate([[0], np.cumsum(sizes)])  # (n_characters + 1,) bytes before each character
    before = np.concatenate([[0], stops])[: len(stops)]
    most = np.arange(len(stops)) + np.maximum(ends[stops] - ends[before], _NEAR)  # tokens of a start that ends in one
    too_many = np.flatnonzero(most > window)
    fits = int(before[too_many[0]]) if len(too_many) else n
    if len(spans) > window + _NEAR:
        return fits, int(stops[-1])
    return fits, n if len(spans) > window else n + 1


def cut_to_fit(n_characters: Sequence[int], fits: Fits, sure: Sequence[Sure | None]) -> list[int | None]:
    """Find after how many characters to cut each text to the longest start of it that fits.

    A cut counts as found if the start was read and fits, and the start with one character more was read and does not;
    where what was sure turns out to be wrong, the search is repeated with nothing taken for sure.

    Parameters
    ----------
    n_characters : sequence of int
        Of each text.
    fits : callable
    sure : sequence of (Sure or None)

    Returns
    -------
    list of (int or None)
        Up to the whole length; None if not even one character fits.
    """
    found, seen = _search(n_characters, fits, dict(enumerate(sure)))
    doubtful = [place for place, one in enumerate(sure) if one is not None and not seen[place]]
    again, _ = _search(n_characters, fits, dict.fromkeys(doubtful))
    return list((found | again).values())


def _search(
    n_characters: Sequence[int], fits: Fits, sure: Mapping[int, Sure | None]
) -> tuple[dict[int, int | None], dict[int, bool]]:
    """Search some texts, by place, side by side; also say of which both ends of the cut were read."""
    searches = {place: _bisection(n_characters[place], known) for place, known in sure.items()}
    read: dict[int, dict[int | None, bool]] = {place: {} for place in sure}
    found: dict[int, int | None] = {}
    answers: dict[int, bool | None] = dict.fromkeys(sure)
    while answers:
        asked: dict[int, int] = {}
        for place, answer in answers.items():
            try:
                asked[place] = searches[place].send(answer)
            except StopIteration as end:
                found[place] = end.value
        answers = dict(zip(asked, fits(list(asked), list(asked.values())), strict=True)) if asked else {}
        for place, stop in asked.items():
            read[place][stop] = bool(answers[place])
    seen = {
        i: stop is not None and read[i].get(stop, False) and not read[i].get(stop + 1, True)
        for i, stop in found.items()
    }
    return {place: found[place] for place in sure}, seen


Search = Generator[int, bool | None, int | None]


def _bisection(n: int, sure: Sure | None) -> Search:
    """Ask whether starts of a text fit, where that is not sure, and return the longest that does.

    Found by doubling and halving, so that a text of any length costs a few readings of about a window each.
    """
    surely, surely_not = sure or (0, n + 1)

    def fits(stop: int) -> Generator[int, bool | None, bool]:
        return 0 < stop <= surely or (stop < surely_not and bool((yield stop)))

    low, high = 0, _FIRST
    while high < n and (yield from fits(high)):
        low, high = high, high * 2
    if high >= n and (yield from fits(n)):
        return n
    high = min(high, n)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (yield from fits(middle)) else (low, middle)
    return low or None
