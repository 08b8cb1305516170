"""A bound on epsilon on the terminal: the bound beside its ceiling, and what it takes for granted."""

from rich.console import Group
from rich.text import Text

from auditor.documents.epsilon import EpsilonBound

from .numbers import count, number, p_value, percent
from .tones import SYMBOLS

__all__ = ["render_epsilon"]


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
