"""Secrets as a document: how far up a model ranks each among all that could stand in its place; never what they are."""

from pathlib import Path
from typing import Literal

from .estimate import Estimate
from .files import document, read_document

__all__ = ["SECRETS_VERSION", "RankedSecret", "SecretsResult", "read_secrets"]

SECRETS_VERSION = "1.0"


@document
class RankedSecret:
    """One secret among its fills: strings of its form that could stand in its place."""

    id: str
    """Id of its text, with a number if the text has several."""
    kind: str
    """Pattern that it was found by, or column if the data name it."""
    n_characters: int
    """Number of its characters."""
    n_unknown: int
    """Number of these that vary in its fills; check digits are among them."""
    space_bits: float
    """Base-2 logarithm of the number of strings of its form: the most exposure that it can have."""
    exact: bool
    """Whether every string of its form was ranked; else random ones were."""
    n_ranked: int
    """Number of strings that it was ranked among, itself not counted."""
    n_before: int
    """Number of these that the target finds at least as likely: on a tie the fill goes first."""
    exposure: Estimate
    """Exposure by rank under the target, in bits."""
    null_exposure: float
    """Mean exposure, in bits, of a secret that was drawn at random from its form and never trained on."""
    largest_exposure: float
    """Largest exposure, in bits, that a rank among so many can show."""
    fitted_exposure: float | None
    """Exposure by a skew-normal distribution fitted to the fills, in bits; null if none fits."""
    extrapolated_bits: float | None
    """Bits of the fitted exposure that lie beyond the largest that a rank can show: extrapolation."""
    fit_distance: float | None
    """Largest distance between the fitted distribution function and that of the fills (Kolmogorov and Smirnov's)."""
    not_fitted_reason: str | None
    """Why no distribution was fitted; null if one was."""
    target_bits: float
    """Code length of the secret under the target, given what stands before it, in bits."""
    reference_bits: float | None
    """The same under the references, mean over them; null without one."""
    bits_beyond_reference: float | None
    """Bits by which the target codes the secret shorter than the references do; null without one."""
    reference_exposure: Estimate | None
    """Exposure by rank under the references: what anybody would guess; null without one."""
    exposure_beyond_reference: Estimate | None
    """Exposure by rank of the bits beyond the references, fill by fill; null without one."""
    p_value: float
    """Chance that a secret drawn at random from its form ranks as high; beyond the references where there are some."""
    p_value_holm: float
    """The same, corrected for the number of secrets by Holm's method."""
    held: bool
    """Whether it ranks higher than chance lets any of the secrets rank, at the level of the intervals."""


@document
class SecretsResult:
    """Every secret of a data set, ranked by a model among what could stand in its place."""

    kind: Literal["secrets_result"] = "secrets_result"
    """Kind of the document."""
    schema_version: str = SECRETS_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    target: str
    """The audited model."""
    target_sha256: str
    """SHA-256 fingerprint of its weights."""
    references: tuple[str, ...]
    """Models that never saw the texts; empty without one."""
    data: str
    """Texts that hold the secrets, as given."""
    n_texts: int
    """Number of texts."""
    n_texts_without: int
    """Number of texts in which there is no secret."""
    n_secrets: int
    """Number of secrets."""
    n_held: int
    """Number of secrets that the target holds, as far as their ranks show."""
    n_first: int
    """Number of secrets that rank before every fill under the target."""
    level: float
    """Level of the intervals, and of the verdict on each secret."""
    seed: int
    """Seed of the random fills."""
    mean_exposure: Estimate
    """Mean exposure by rank under the target, in bits."""
    mean_null_exposure: float
    """Mean of the null's exposures, in bits."""
    mean_bits_beyond_reference: Estimate
    """Mean bits by which the target codes a secret shorter than the references do; undefined without one."""
    mean_exposure_beyond_reference: Estimate
    """Mean exposure by rank of the bits beyond the references; undefined without one."""
    secrets: tuple[RankedSecret, ...]
    """The secrets, the highest first."""
    warnings: tuple[str, ...]
    """Warnings to a reader of the figures."""


def read_secrets(path: Path) -> SecretsResult:
    """Read ``secrets.json``.

    Raises
    ------
    ResultError
        If it is none.
    """
    return read_document(path, SecretsResult, version=SECRETS_VERSION, what="result of secrets")
