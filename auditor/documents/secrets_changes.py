"""Changes of secrets as a document: what one model after another holds of the same secrets."""

from pathlib import Path
from typing import Literal

from .estimate import Estimate
from .files import document, read_document

__all__ = ["SECRETS_CHANGES_VERSION", "FollowedSecret", "SecretsChanges", "SecretsPoint", "read_secrets_changes"]

SECRETS_CHANGES_VERSION = "1.0"


@document
class SecretsPoint:
    """One model, and how it changed from the one before it."""

    label: str
    """Name of the model here: the folder of its outputs."""
    target: str
    """The audited model."""
    target_sha256: str
    """SHA-256 fingerprint of its weights."""
    n_secrets: int
    """Number of secrets that were ranked in it."""
    n_held: int
    """Number of secrets that it holds, as far as their ranks show."""
    n_first: int
    """Number of secrets that rank before every fill."""
    mean_exposure: Estimate
    """Mean exposure by rank, in bits."""
    mean_null_exposure: float
    """Mean of the null's exposures, in bits."""
    mean_exposure_beyond_reference: Estimate
    """Mean exposure by rank of the bits beyond the references; undefined without one."""
    exposure_change: Estimate | None
    """Mean change of exposure since the model before, secret by secret, in bits; null for the first."""
    exposure_change_p: float | None
    """Two-sided p-value of no change of exposure, adjusted by Holm over all models; null if undefined."""
    bits_change: Estimate | None
    """Mean bits by which a secret is coded shorter than by the model before; null for the first."""
    n_newly_held: int | None
    """Number of secrets that are held here and were not before; null for the first."""
    n_no_longer_held: int | None
    """Number of secrets that were held before and are not here; null for the first."""


@document
class FollowedSecret:
    """One secret through all models."""

    id: str
    """Id of its text, with a number if the text has several."""
    kind: str
    """Pattern that it was found by, or column if the data name it."""
    exposures: tuple[float, ...]
    """Its exposure by rank under each model, in bits."""
    held: tuple[bool, ...]
    """Whether each model holds it."""


@document
class SecretsChanges:
    """The same secrets in several models, such as two versions of one or the checkpoints of a run."""

    kind: Literal["secrets_changes"] = "secrets_changes"
    """Kind of the document."""
    schema_version: str = SECRETS_CHANGES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    level: float
    """Level of the intervals."""
    n_secrets: int
    """Number of secrets that were ranked in every model: what changes are of."""
    points: tuple[SecretsPoint, ...]
    """The models, in order."""
    secrets: tuple[FollowedSecret, ...]
    """The secrets that were ranked in every model, those that the last one holds first."""
    warnings: tuple[str, ...]
    """Warnings to a reader of the figures."""


def read_secrets_changes(path: Path) -> SecretsChanges:
    """Read ``secrets-changes.json``.

    Raises
    ------
    ResultError
        If it is none.
    """
    return read_document(path, SecretsChanges, version=SECRETS_CHANGES_VERSION, what="document of changes of secrets")
