"""Ceilings of figures that are lower bounds or ranks: the most that the evidence at hand could have shown."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..documents.canaries import CanaryResult
from ..documents.epsilon import EpsilonResult
from ..documents.figures import Figure
from ..documents.secrets import SecretsResult
from ..stats.epsilon import betting_epsilon, epsilon_ceiling, refuted_mu

__all__ = ["ceilings_of_canaries", "ceilings_of_epsilon", "ceilings_of_secrets", "with_ceilings"]


def with_ceilings(
    figures: Mapping[str, tuple[Figure, ...]], ceilings: Mapping[str, float]
) -> dict[str, tuple[Figure, ...]]:
    """Write its ceiling beside every figure that has one, by the path of the figure."""
    return {
        path: tuple(replace(one, ceiling=ceilings[one.path]) if one.path in ceilings else one for one in several)
        for path, several in figures.items()
    }


def ceilings_of_epsilon(found: EpsilonResult, path: str = "epsilon") -> dict[str, float]:
    """Return what so many guesses show if all of them are right, by the path of each bound."""
    guesses = {"n_canaries": found.n_canaries, "n_guesses": found.n_guesses}
    all_right = np.ones(found.n_canaries, dtype=np.bool_)
    return {
        f"{path}.epsilon_lower_bound": found.ceiling,
        f"{path}.group_lower_bound": epsilon_ceiling(**guesses, delta=found.delta, confidence=found.confidence),
        f"{path}.betting_lower_bound": betting_epsilon(all_right, confidence=found.confidence) / found.copies,
        f"{path}.refuted_mu": refuted_mu(**guesses, n_correct=found.n_guesses, confidence=found.confidence),
    }


def ceilings_of_canaries(found: CanaryResult) -> dict[str, float]:
    """Return the ceilings of the exposures and bounds of every tier."""
    return dict(_of_tiers(found))


def _of_tiers(found: CanaryResult) -> Iterator[tuple[str, float]]:
    for tier in found.tiers:
        path = f"canaries.tiers.{tier.copies}"
        yield from ceilings_of_epsilon(tier.epsilon, f"{path}.epsilon").items()
        if found.largest_exposure is not None:
            yield f"{path}.exposure", found.largest_exposure
            yield f"{path}.median_exposure", found.largest_exposure


def ceilings_of_secrets(found: SecretsResult) -> dict[str, float]:
    """Return the mean of the largest exposures that ranks among so many can show."""
    largest = float(np.mean([one.largest_exposure for one in found.secrets])) if found.secrets else 0.0
    return {"secrets.mean_exposure": largest, "secrets.mean_exposure_beyond_reference": largest}
