"""Changes of secrets: the same secrets ranked in one model after another, each its own control."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..documents.estimate import Estimate
from ..documents.secrets import RankedSecret, SecretsResult
from ..documents.secrets_changes import FollowedSecret, SecretsChanges, SecretsPoint
from ..errors import ResultError
from ..stats.change import Change, mean_change
from ..stats.p_values import holm
from ..version import __version__

__all__ = ["follow_secrets"]

Key = tuple[str, str, int, int, float]
Audits = Sequence[tuple[str, SecretsResult]]


def follow_secrets(audits: Audits, *, level: float = 0.95) -> SecretsChanges:
    """Say what changed from each model to the next, of the secrets that were ranked in all of them.

    Parameters
    ----------
    audits : sequence of (str, SecretsResult)
        Label and secrets of each model, in order.
    level : float
        Of every interval, each on its own.

    Raises
    ------
    ResultError
        If they have no secret in common.

    Notes
    -----
    A secret is known again by its id, its form and the space that it was ranked in. Exposures of neighbours are paired
    secret by secret; bits are code lengths under the target, so that no reference moves them.
    """
    ranked = [{_key(one): one for one in found.secrets} for _, found in audits]
    common = [key for key in ranked[-1] if all(key in one for one in ranked)]
    if not common:
        raise ResultError("these audits rank no secret in common: they need the same texts, --find and --unknown")
    ours = [[one[key] for key in common] for one in ranked]
    exposure = [_change([_exposure(one) for one in old], [_exposure(one) for one in new], level)
                for old, new in pairwise(ours)]  # fmt: skip
    bits = [_change([-one.target_bits for one in old], [-one.target_bits for one in new], level)
            for old, new in pairwise(ours)]  # fmt: skip
    adjusted = holm([change.p_value for change in exposure])
    points = [_point(label, found, None, None, None, None) for label, found in audits[:1]]
    points += [
        _point(label, found, exposure[i], adjusted[i], bits[i].estimate, (ours[i], ours[i + 1]))
        for i, (label, found) in enumerate(audits[1:])
    ]
    followed = [
        FollowedSecret(
            id=key[0],
            kind=key[1],
            exposures=tuple(_exposure(one[key]) for one in ranked),
            held=tuple(one[key].held for one in ranked),
        )
        for key in common
    ]
    return SecretsChanges(
        auditor_version=__version__,
        level=level,
        n_secrets=len(common),
        points=tuple(points),
        secrets=tuple(sorted(followed, key=lambda one: (not one.held[-1], -one.exposures[-1]))),
        warnings=tuple(_warnings(audits, len(common))),
    )


def _key(one: RankedSecret) -> Key:
    return one.id, one.kind, one.n_characters, one.n_unknown, one.space_bits


def _exposure(one: RankedSecret) -> float:
    return one.exposure.value or 0.0


def _change(before: Sequence[float], after: Sequence[float], level: float) -> Change:
    return mean_change(before, after, np.ones(len(before), dtype=np.bool_), level=level)


def _point(
    label: str,
    found: SecretsResult,
    exposure: Change | None,
    p_value: float | None,
    bits: Estimate | None,
    sides: tuple[Sequence[RankedSecret], Sequence[RankedSecret]] | None,
) -> SecretsPoint:
    """Take from one audit what the document shows of it, and set it beside the one before."""
    pairs = [] if sides is None else list(zip(*sides, strict=True))
    return SecretsPoint(
        label=label,
        target=found.target,
        target_sha256=found.target_sha256,
        n_secrets=found.n_secrets,
        n_held=found.n_held,
        n_first=found.n_first,
        mean_exposure=found.mean_exposure,
        mean_null_exposure=found.mean_null_exposure,
        mean_exposure_beyond_reference=found.mean_exposure_beyond_reference,
        exposure_change=None if exposure is None else exposure.estimate,
        exposure_change_p=p_value,
        bits_change=bits,
        n_newly_held=None if sides is None else sum(new.held and not old.held for old, new in pairs),
        n_no_longer_held=None if sides is None else sum(old.held and not new.held for old, new in pairs),
    )


def _warnings(audits: Audits, n_common: int) -> list[str]:
    """Say what else may move the figures than the models."""
    said = []
    each = [found for _, found in audits]
    if most := max(found.n_secrets for found in each) - n_common:
        said.append(f"{most} secrets were not ranked in every model and are left out of all changes")
    if len({found.references for found in each}) > 1:
        said.append("the references are not the same, so whether a secret is held may differ for that reason")
    if len({found.seed for found in each}) > 1 and not all(one.exact for found in each for one in found.secrets):
        said.append("random fills were drawn with other seeds, which moves exposures a little")
    same = len(each) - len({found.target_sha256 for found in each})
    if same:
        said.append(f"{same} of {len(each)} models have the weights of another one of them")
    return said
