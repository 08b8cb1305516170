"""Canaries as documents: the secret ones, the manifest that shows hashes only, and what was found of them."""

import hashlib
from collections.abc import Iterator
from typing import Literal

from .epsilon import EpsilonResult
from .estimate import Estimate
from .files import document

__all__ = [
    *("CANARIES_VERSION", "Canary", "CanaryForm", "CanaryInsertion", "CanaryManifest", "CanaryResult", "CanarySecrets"),
    *("CanaryTier", "FinalData", "HashedCanary", "TierFound"),
]

CANARIES_VERSION = "1.0"

CanaryForm = Literal["text", "prompt-completion", "messages"]


@document
class Canary:
    """One canary: a prefix as the data have it, and a secret that nobody else writes."""

    id: str
    """Id of the canary."""
    prefix: str
    """What stands before the secret."""
    secret: str
    """The secret, which is what a model is asked for."""
    copies: int
    """How often it stands in the training set if its coin puts it in: its tier."""

    @property
    def text(self) -> str:
        """The whole canary."""
        return self.prefix + self.secret

    @property
    def sha256(self) -> str:
        """Hash of the whole canary, UTF-8; its coin is thrown by it."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@document
class CanarySecrets:
    """The canaries themselves and the seed of their coins; for whoever inserts and audits, and nobody else."""

    kind: Literal["canary_secrets"] = "canary_secrets"
    """Kind of the document."""
    schema_version: str = CANARIES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    seed: str
    """Seed of the coins: 256 random bits as hexadecimal digits."""
    canaries: tuple[Canary, ...]
    """The canaries."""

    def contradictions(self) -> Iterator[str]:
        """Say if two canaries are one."""
        if len({one.id for one in self.canaries}) < len(self.canaries):
            yield "two canaries have one id"
        if len({one.secret for one in self.canaries}) < len(self.canaries):
            yield "two canaries have one secret"


@document
class HashedCanary:
    """A canary as it may be shown."""

    id: str
    """Id of the canary."""
    copies: int
    """Its tier: how often it is inserted if its coin puts it in."""
    sha256: str
    """SHA-256 of prefix and secret together, UTF-8."""


@document
class CanaryManifest:
    """What may be shown before training: a commitment to the coins, and hashes of the canaries."""

    kind: Literal["canaries"] = "canaries"
    """Kind of the document."""
    schema_version: str = CANARIES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    coins_sha256: str
    """Commitment to the coins: a hash of their seed, which secrets.json holds."""
    secrets_from: Literal["hot", "rare"]
    """How secrets were made: sampled from a base model, or of rare tokens that occur once."""
    base: str | None
    """Base model that secrets were sampled from; null for rare tokens."""
    temperature: float | None
    """Temperature of that sampling; null for rare tokens."""
    prefixes: str | None
    """Texts that prefixes were taken from; null without prefixes."""
    prefix_tokens: int
    """Most tokens of a prefix."""
    secret_tokens: int
    """Tokens of a secret."""
    canaries: tuple[HashedCanary, ...]
    """The canaries, by their hashes."""


@document
class CanaryInsertion:
    """How the canaries were put into training data."""

    kind: Literal["canary_insertion"] = "canary_insertion"
    """Kind of the document."""
    schema_version: str = CANARIES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    form: CanaryForm
    """Form of the rows: a text, a prompt with its completion, or messages."""
    column: str
    """Column of the texts, completions or messages."""
    source: str
    """Data that they were put into, as given."""
    out: str
    """File or folder that was written."""
    n_rows: int
    """Number of rows of the source."""
    n_inserted: int
    """Number of rows that were added, copies counted."""
    share_of_characters: float
    """Share of the characters of the new data that is canaries."""


@document
class TierFound:
    """What the final training data hold of the canaries of one tier."""

    copies: int
    """Copies of each canary that was put in."""
    n_expected: int
    """Rows that were inserted: canaries that are in, times their copies."""
    n_whole: int
    """Secrets found whole, and learned from token by token."""
    n_with_prefix: int
    """Of these, those with their whole prefix before them in the same sequence."""
    n_masked: int
    """Secrets found whole whose tokens, or some, are not learned from."""
    n_cut: int
    """Secrets of which a half was found without the other."""
    n_canaries_short: int
    """Canaries that were found less often than inserted."""
    n_canaries_beyond: int
    """Canaries that were found more often than inserted, or though their coin left them out."""


@document
class FinalData:
    """What the data that a trainer reads hold of the canaries."""

    kind: Literal["canary_check"] = "canary_check"
    """Kind of the document."""
    schema_version: str = CANARIES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    data: str
    """The tokenised data as given."""
    n_rows: int
    """Number of sequences."""
    n_tokens: int
    """Number of tokens that are learned from."""
    share_of_tokens: float
    """Share of these that is secrets of canaries."""
    holds: bool
    """Whether every canary is there exactly as often as it was inserted."""
    tiers: tuple[TierFound, ...]
    """What was found, by tier."""


@document
class CanaryTier:
    """Canaries of one number of copies: how far those that were put in stand out, and what follows for epsilon."""

    copies: int
    """Copies of each canary that was put in."""
    n_in: int
    """Number of canaries that their coin put in."""
    n_out: int
    """Number of canaries that it left out."""
    exposure: Estimate
    """Mean exposure of those that are in, in bits, by rank among all canaries that were left out."""
    median_exposure: float | None
    """Median of the same; null without canaries on both sides."""
    n_first: int
    """Number of canaries that are in and lie above every one that was left out."""
    auc: Estimate
    """AUC of those that are in against all that were left out."""
    epsilon: EpsilonResult
    """Lower bound on epsilon from this tier alone."""


@document
class CanaryResult:
    """The audit of canaries: exposure and epsilon, tier by tier and never pooled."""

    kind: Literal["canary_result"] = "canary_result"
    """Kind of the document."""
    schema_version: str = CANARIES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    canaries: str
    """Folder of the canaries as it was given."""
    coins_sha256: str
    """Commitment to the coins, by which the canaries are told from others."""
    target: str
    """The audited model."""
    target_sha256: str
    """SHA-256 fingerprint of its weights."""
    references: tuple[str, ...]
    """Models that never saw the canaries; empty without one."""
    form: CanaryForm
    """Form in which the canaries were scored."""
    attack: str
    """What the canaries are ranked by: the loss on the secret, beyond the reference's where there is one."""
    n_canaries: int
    """Number of canaries."""
    n_ranked_against: int
    """Number of canaries that were left out, of any tier: what exposures are ranks among."""
    null_exposure: float | None
    """Mean exposure, in bits, of a canary that no model ever saw; null if none was left out."""
    largest_exposure: float | None
    """Largest exposure that so many can show, in bits; null if none was left out."""
    tiers: tuple[CanaryTier, ...]
    """The tiers, fewest copies first."""
    warnings: tuple[str, ...]
    """Warnings to a reader of the figures."""
