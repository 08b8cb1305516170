"""The bound on epsilon: the document that ``auditor epsilon --json`` prints. The order of the fields is the format."""

from .files import document

__all__ = ["EPSILON_VERSION", "EpsilonBound"]

EPSILON_VERSION = "1.0"


@document
class EpsilonBound:
    """What guesses of independent fair coins say of differential privacy, as a lower bound on epsilon."""

    schema_version: str = EPSILON_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    n_canaries: int
    """Number of records that a coin put into training or left out."""
    n_guesses: int
    """Number of coins that were guessed, declared before looking."""
    n_correct: int
    """Number of right guesses."""
    delta: float
    """Delta of the claim that is tested."""
    confidence: float
    """Chance that the bound does not exceed the true epsilon, at least."""
    epsilon_lower_bound: float
    """Smallest epsilon that the guesses do not refute; 0 if they refute none."""
    p_value_at_zero: float
    """Chance of so many right guesses if training had hidden every coin (epsilon 0, this delta)."""
    ceiling: float
    """Largest bound that so many guesses can show, all of them right."""
    refuted_mu: float
    """Largest mu of Gaussian privacy that is refuted, which is no epsilon; 0 if none is."""
    method: str
    """How the bound was made."""
    warnings: tuple[str, ...]
    """What makes the bound weak, and what it takes for granted."""
