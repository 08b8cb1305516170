"""A bound on epsilon in words: the bound beside its ceiling, and what it takes for granted."""

from typing import NamedTuple

from rich.console import Group
from rich.text import Text

from auditor.documents.epsilon import Condition, EpsilonBound, EpsilonResult

from .numbers import count, number, p_value, percent
from .tones import SYMBOLS, Tone

__all__ = ["TITLE", "ConditionRow", "bound_word", "conditions", "lines", "render_epsilon", "sentence", "tone"]

TITLE = "Which differential privacy is ruled out"

_TONES: dict[str, Tone] = {"met": "ok", "broken": "bad", "unchecked": "info"}
_WORDS = {"met": "checked", "broken": "broken", "unchecked": "not checked"}


class ConditionRow(NamedTuple):
    """Something that must hold for the bound, and whether it does."""

    tone: Tone
    word: str
    name: str
    detail: str


def tone(part: EpsilonResult) -> Tone:
    """Say how the bound came out, as a tone: that nothing is refuted is no good news."""
    if part.epsilon_lower_bound is None:
        return "warn"
    return "bad" if part.epsilon_lower_bound > 0 else "info"


def bound_word(part: EpsilonResult) -> str:
    """Write the bound for a cell of a table."""
    return "void" if part.epsilon_lower_bound is None else f"≥ {number(part.epsilon_lower_bound, 2)}"


def sentence(part: EpsilonResult) -> str:
    """Say what the guesses refute."""
    if part.epsilon_lower_bound is None or part.n_correct is None:
        return f"There is no bound on ε: {part.undefined_reason}."
    v, r, m = count(part.n_correct), count(part.n_guesses), count(part.n_canaries)
    told = f"{v} of {r} guesses right, of {m} coins"
    claim = f"{percent(part.confidence)} confidence, δ {part.delta:g}"
    if not part.epsilon_lower_bound:
        return f"No ε is ruled out ({told}; {claim}), which is no proof of privacy."
    bound = number(part.epsilon_lower_bound, 3)
    return f"ε of {part.unit} is at least {bound} ({claim}): {told}. Any claim of a smaller ε is refuted."


def lines(part: EpsilonResult) -> list[str]:
    """Say what stands beside the bound: its ceiling, the group, the other bound, and Gaussian privacy."""
    found = [
        f"At most {number(part.ceiling, 3)} can be shown with these coins, were every guess right: a bound below it "
        "says as much of the audit as of the model.",
    ]
    if part.copies > 1 and part.group_lower_bound is not None:
        together = number(part.group_lower_bound, 3)
        found.append(f"The {part.copies} copies of a coin together, which are a group: at least {together}.")
    if part.betting_lower_bound is not None:
        bet = number(part.betting_lower_bound, 3)
        found.append(
            f"Betting along the order of confidence instead (δ 0): at least {bet}. Each of the two bounds holds with "
            f"{percent(part.confidence)} confidence by itself, the larger one of them does not."
        )
    if part.refuted_mu is not None:
        found.append(f"Gaussian privacy is refuted up to μ = {number(part.refuted_mu, 3)}, which is no ε.")
    return [*found, f"Guesses by {part.attack}. {part.method}."]


def conditions(part: EpsilonResult) -> list[ConditionRow]:
    """List what the bound takes for granted, the broken ones first, then those that nobody checked."""
    order = ("broken", "unchecked", "met")
    ranked = sorted(part.conditions, key=lambda one: order.index(one.verdict))
    return [_condition(one) for one in ranked]


def _condition(one: Condition) -> ConditionRow:
    return ConditionRow(_TONES[one.verdict], _WORDS[one.verdict], one.name.replace("_", " "), one.detail)


def render_epsilon(bound: EpsilonBound) -> Group:
    """Say what the guesses refute, and what they could have refuted at most."""
    v, r, m = (count(n) for n in (bound.n_correct, bound.n_guesses, bound.n_canaries))
    level = percent(bound.confidence)
    lines = [
        Text(f"ε is at least {number(bound.epsilon_lower_bound, 3)} ({level} confidence, δ {bound.delta:g})", "bold"),
        Text(f"  {v} of {r} guesses right, of {m} canaries; p at ε = 0: {p_value(bound.p_value_at_zero)}"),
        Text(f"  at most {number(bound.ceiling, 3)} can be shown with these canaries, were every guess right"),
        Text(f"  Gaussian privacy is refuted up to μ = {number(bound.refuted_mu, 3)}, which is no ε"),
        Text(f"  {bound.method}", "dim"),
    ]
    return Group(*lines, *(Text(f"{SYMBOLS['warn']} {one}", "yellow") for one in bound.warnings))
