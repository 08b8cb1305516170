"""The verification of ranked secrets: what follows from their ranks, computed again."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..config import ModelSpec
from ..documents.estimate import Estimate
from ..documents.secrets import RankedSecret, SecretsResult, read_secrets
from ..documents.verification import Claim, Verification
from ..engine.loading.models import open_model
from ..errors import AuditError
from ..estimates.secrets import exposure_of_rank, mean_of, with_verdicts
from ..stats.exposure import exact_null_mean, null_mean
from .matching import compare, numbers

__all__ = ["verify_secrets"]


def verify_secrets(file: Path, *, models: bool = True) -> Verification:
    """Compute again what ``secrets.json`` claims, as far as it follows from the ranks that it states.

    Parameters
    ----------
    file : Path
    models : bool
        Also hash the target's weights, where they still lie where the audit found them.

    Raises
    ------
    ResultError
        If it is no such document.
    """
    found = read_secrets(file)
    claims = [_ranks(found), _totals(found)]
    if models:
        claims.append(_weights(found))
    claims.append(Claim(
        name="the rest", status="not_checked",
        detail="ranks, fits and bits, and which secrets the texts hold: only running the models on the texts again can "
               "tell (`auditor secrets`, with the same seed)",
    ))  # fmt: skip
    return Verification(result=str(file), claims=tuple(claims))


def _ranks(found: SecretsResult) -> Claim:
    """Compute the figures of each secret again from its ranks."""
    differences = [one for secret in found.secrets for one in _of_secret(secret, found)]
    again = {one.id: one for one in with_verdicts(found.secrets, level=found.level)}
    for one in found.secrets:
        differences += numbers(f"{one.id}: p_value_holm", one.p_value_holm, again[one.id].p_value_holm)
        if one.held != again[one.id].held:
            differences.append(f"{one.id}: held is {one.held}, and its p-value says {again[one.id].held}")
    return _claim("ranks", differences, f"exposures, null and p-values of {found.n_secrets} secrets follow from ranks")


def _of_secret(one: RankedSecret, found: SecretsResult) -> Iterator[str]:
    """Say which figures of a secret its ranks do not give."""
    n, size = one.n_ranked, one.n_ranked + 1
    before = one.n_before if one.exposure_beyond_reference is None else round(one.p_value * size) - 1
    exposure = partial(exposure_of_rank, exact=one.exact, space_bits=one.space_bits, level=found.level)
    pairs = [("exposure", one.exposure, exposure(one.n_before, n))]
    if one.exposure_beyond_reference is not None:
        pairs.append(("exposure_beyond_reference", one.exposure_beyond_reference, exposure(before, n)))
    for said in compare(pairs, known=True)[0]:
        yield f"{one.id}: {said}"
    largest = math.log2(size if one.exact else n)
    figures = [
        ("p_value", one.p_value, (1 + before) / size),
        ("null_exposure", one.null_exposure, exact_null_mean(size) if one.exact else null_mean(n)),
        ("largest_exposure", one.largest_exposure, largest),
    ]
    if one.fitted_exposure is not None:
        figures.append(("extrapolated_bits", one.extrapolated_bits or 0.0, max(0.0, one.fitted_exposure - largest)))
    if one.reference_bits is not None:
        figures.append(("bits_beyond_reference", one.bits_beyond_reference or 0.0,
                        one.reference_bits - one.target_bits))  # fmt: skip
    for name, stated, again in figures:
        for said in numbers(name, stated, again):
            yield f"{one.id}: {said}"


def _totals(found: SecretsResult) -> Claim:
    """Compute counts and means again from the secrets."""
    ours = found.secrets
    counts = [
        ("n_secrets", found.n_secrets, len(ours)),
        ("n_held", found.n_held, sum(one.held for one in ours)),
        ("n_first", found.n_first, sum(one.n_before == 0 for one in ours)),
        ("mean_null_exposure", found.mean_null_exposure, float(np.mean([one.null_exposure for one in ours]))),
    ]
    differences = [said for name, stated, again in counts for said in numbers(name, stated, again)]
    beyond = [one.exposure_beyond_reference for one in ours]
    means: list[tuple[str, Estimate, list[float | None]]] = [
        ("mean_exposure", found.mean_exposure, [one.exposure.value for one in ours]),
        ("mean_bits_beyond_reference", found.mean_bits_beyond_reference, [one.bits_beyond_reference for one in ours]),
        ("mean_exposure_beyond_reference", found.mean_exposure_beyond_reference,
         [None if one is None else one.value for one in beyond]),
    ]  # fmt: skip
    pairs = [(name, stated, mean_of(values, level=found.level)) for name, stated, values in means]
    differences += compare(pairs, known=True)[0]
    return _claim("totals", differences, f"{found.n_held} of {found.n_secrets} held, and the means")


def _weights(found: SecretsResult) -> Claim:
    """Hash the target's weights again, if they are at hand."""
    name = f"target {found.target}"
    path, plus, adapter = found.target.partition(" + adapter ")
    if not Path(path).exists():
        return Claim(name=name, status="not_checked", detail="not here; nothing is fetched to check it")
    try:
        files = open_model(ModelSpec.parse(path, adapter=adapter if plus else None), fetch=False)
    except AuditError as error:
        return Claim(name=name, status="not_checked", detail=str(error))
    differs = files.weights_sha256 != found.target_sha256
    return _claim(name, ["other weights than were audited (SHA-256)"] * differs, "weights as audited (SHA-256)")


def _claim(name: str, differences: list[str], fine: str) -> Claim:
    if not differences:
        return Claim(name=name, status="matches", detail=fine)
    more = f" (and {len(differences) - 4} more)" if len(differences) > 4 else ""
    return Claim(name=name, status="differs", detail="; ".join(differences[:4]) + more)
