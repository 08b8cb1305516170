"""Numbers as they are written: unit, interval, level and counts, the same in every format.

Nothing is estimated here. The only arithmetic is that of writing: a rate as a percentage, bits as bytes,
``2**bits`` as "one in a million".
"""

import math
from dataclasses import dataclass

from auditor.documents.estimate import Estimate

__all__ = [
    *("Change", "Count", "Quantity", "amount", "banded", "count", "number"),
    *("one_in", "p_value", "percent", "plain", "plural", "size", "times_in_100", "unseen"),
]

_SCALES = (("", 0), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12), ("quadrillion", 15))


def number(value: float, decimals: int) -> str:
    """Write a number with thousands separators and a real minus sign; never a negative zero."""
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def plain(value: float) -> str:
    """Write a number that has no interval to say how many digits matter: at most three significant ones.

    Examples
    --------
    >>> plain(0.04567), plain(12345.6), plain(3.0), plain(0.02)
    ('0.0457', '12,346', '3', '0.02')
    """
    if value == 0 or abs(value) >= 1000:
        return number(value, 0)
    text = number(value, min(9, 2 - math.floor(math.log10(abs(value)))))
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: int) -> str:
    """Write a count."""
    return f"{value:,}"


def amount(value: float) -> str:
    """Write a large number in words: three significant digits and a scale.

    Examples
    --------
    >>> amount(1_556_075_200), amount(12_512), amount(640)
    ('1.56 billion', '12,512', '640')
    """
    if abs(value) < 1e6:
        return plain(value)
    word, exponent = [scale for scale in _SCALES if abs(value) >= 10.0 ** scale[1]][-1]
    return f"{plain(value / 10.0**exponent)} {word}"


def plural(value: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> plural(1, "text"), plural(1200, "text")
    ('1 text', '1,200 texts')
    """
    return f"{count(value)} {noun if value == 1 else nouns or noun + 's'}"


def banded(value: float, low: float, high: float, bound: str | None, digits: int = 3) -> str:
    """Write what is predicted with its band, or the end of it that holds where the prediction is one-sided.

    Examples
    --------
    >>> banded(0.8, 0.7, 0.85, None), banded(0.99, 0.5, 1.0, "at most"), banded(0.9, 0.8, 1.0, "at least")
    ('0.800 [0.700 to 0.850]', 'at most 1.000', 'at least 0.800')
    """
    if bound is not None:
        return f"{bound} {number(high if bound == 'at most' else low, digits)}"
    return f"{number(value, digits)} [{number(low, digits)} to {number(high, digits)}]"


def percent(share: float) -> str:
    """Write a share as a percentage, as short as it can be.

    Examples
    --------
    >>> percent(0.95), percent(0.001)
    ('95%', '0.1%')
    """
    return f"{100 * share:.6g}%"


def p_value(value: float | None) -> str:
    """Write a p-value with three decimals; a dash if there is none.

    Examples
    --------
    >>> p_value(0.0004), p_value(0.0312), p_value(1.0), p_value(None)
    ('< 0.001', '0.031', '1.000', '—')
    """
    if value is None:
        return "—"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def size(bits: float) -> str:
    """Write bits as the storage they fill.

    Examples
    --------
    >>> size(8260)
    '1.0 kB'
    """
    value = abs(bits) / 8
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"


def one_in(bits: float) -> str:
    """Say in words how rare a guess is that takes this many bits.

    Examples
    --------
    >>> one_in(20), one_in(3), one_in(200)
    ('one in 1 million', 'one in 8', 'one in 10^60')
    """
    power = bits * math.log10(2)
    if power >= 18:
        return f"one in 10^{power:.0f}"
    word, exponent = [scale for scale in _SCALES if power >= scale[1]][-1] if power >= 3 else ("", 0)
    lead = f"{10 ** (power - exponent):.0f}"
    return f"one in {lead} {word}".rstrip()


def unseen(share: float | None) -> str:
    """Say which holders of bits a sample may have missed altogether; empty of a figure that is no mean of bits.

    Examples
    --------
    >>> unseen(0.0362)
    'holders rarer than 1 in 27 would not have been seen'
    """
    return "" if share is None else f"holders rarer than 1 in {count(math.floor(1 / share))} would not have been seen"


def times_in_100(auc: float) -> str:
    """Say how often out of 100 the attacker picks the member; an AUC short of 1 is never "100".

    Examples
    --------
    >>> times_in_100(0.931), times_in_100(0.998), times_in_100(1.0)
    ('93 times in 100', 'more than 99 times in 100', '100 times in 100')
    """
    if 0.995 <= auc < 1:
        return "more than 99 times in 100"
    if 0 < auc < 0.005:
        return "less than once in 100"
    return f"{100 * auc:.0f} times in 100"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An estimate with its name and unit, ready to be written.

    Parameters
    ----------
    label : str
        What it is.
    unit : str
        ``""`` for a pure number such as an AUC (three decimals), ``"%"`` for a rate or share, else the unit.
    estimate : Estimate
    note : str
        What it means or does not mean.
    one_sided : bool
        What counts is the lower end: it is written as the value, rounded down.
    """

    label: str
    unit: str
    estimate: Estimate
    note: str = ""
    one_sided: bool = False

    @property
    def defined(self) -> bool:
        """True if there is a value."""
        return self.estimate.value is not None

    @property
    def _decimals(self) -> int:
        """Digits that the interval supports: two significant ones of its width; of a rate no more than three in all."""
        low, high = self.estimate.low, self.estimate.high
        if self.unit == "" or low is None or high is None:
            return 3
        width = (high - low) * (100 if self.unit == "%" else 1)
        supported = 1 if width <= 0 else max(0, min(4, 1 - math.floor(math.log10(width))))
        if self.unit != "%" or not self.estimate.value:
            return supported
        return min(supported, max(0, 2 - math.floor(math.log10(abs(100 * self.estimate.value)))))

    def _write(self, value: float | None) -> str:
        if value is None:
            return "—"
        return number(100 * value, self._decimals) + "%" if self.unit == "%" else number(value, self._decimals)

    @property
    def value(self) -> str:
        """The value without its unit (a percentage keeps its sign); a dash if undefined."""
        if self.one_sided and self.estimate.low is not None:
            return f"≥ {number(math.floor(100 * self.estimate.low) / 100, 2)}"
        return self._write(self.estimate.value)

    @property
    def value_with_unit(self) -> str:
        """The value with its unit."""
        return f"{self.value} {self.unit}" if self.defined and self.unit not in ("", "%") else self.value

    @property
    def held(self) -> str:
        """Value and interval of what cannot be less than nothing; where nothing is measurable, the most it may be."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or low > 0 or self.one_sided:
            return f"{self.value_with_unit} {self.interval}".rstrip()
        unit = "" if self.unit in ("", "%") else f" {self.unit}"
        return f"none measurable (at most {self._write(max(0.0, high))}{unit})"

    @property
    def interval(self) -> str:
        """``[low to high]``; empty if undefined."""
        return "" if not self.defined else "one-sided" if self.one_sided else f"[{self.span}]"

    @property
    def span(self) -> str:
        """``low to high``, for use in a sentence."""
        return f"{self._write(self.estimate.low)} to {self._write(self.estimate.high)}"

    @property
    def level(self) -> str:
        """The confidence level, as ``95%``."""
        return percent(self.estimate.level)

    @property
    def reason(self) -> str:
        """Why there is no value; empty if there is one."""
        return self.estimate.undefined_reason or ""

    @property
    def made(self) -> str:
        """How the interval was made, and what it cannot know of."""
        e = self.estimate
        return "; ".join(part for part in (e.method, unseen(e.unseen_below), e.caveat) if part)

    @property
    def counts(self) -> str:
        """How many samples stand behind it."""
        e = self.estimate
        return f"{plural(e.n_members, 'member')}, {plural(e.n_non_members, 'non-member')}"

    @property
    def text(self) -> str:
        """Value, unit and interval on one line, or why there is none."""
        if not self.defined:
            return f"— (not defined: {self.reason})"
        return f"{self.value_with_unit} {self.interval}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Quantity):
    """A number of members: whole."""

    @property
    def _decimals(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Quantity):
    """A difference: what is positive carries its sign."""

    @property
    def value(self) -> str:
        """The value without its unit, with its sign."""
        text = self._write(self.estimate.value)
        return f"+{text}" if (self.estimate.value or 0) > 0 and text.strip("0.,%") else text
