"""The audit of secrets: each is ranked by a model among all that could stand in its place, or among random ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..config import AuditConfig, DataSpec
from ..data.quoting import counted, listing
from ..documents.secrets import SecretsResult
from ..engine.fills import FillScores, GapReader
from ..engine.models import OpenedModel, open_models
from ..engine.scoring import ScoringProgress, free_memory
from ..errors import ConfigError
from ..estimates.secrets import Scored, mean_of, rank_secret, with_verdicts
from ..in_memory import NOTHING, InMemory
from ..phases import SECRETS, OnPhase, Phase, unwatched
from ..version import __version__
from .finding import Corpus, Secret, find_secrets

__all__ = ["LARGEST_SPACE", "LEAST_FILLS", "SecretPlan", "audit_secrets"]

LARGEST_SPACE = 1_000_000
"""Members of a space that is ranked whole."""
LEAST_FILLS = 10_000
"""Random fills of a larger space, at least and by default."""

Fills = int | Literal["auto", "exact"]
OnProgress = Callable[[ScoringProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlan:
    """What is ranked, and among how many.

    Parameters
    ----------
    data : DataSpec
        Texts that hold the secrets.
    kinds : tuple of str
        Patterns to find; none for what columns name, or all patterns where no column does.
    n_unknown : int, optional
        Last free characters of a secret that vary; all if not given.
    fills : int, "auto" or "exact"
        How many of a space are ranked: all of one that has at most so many, else so many at random. ``auto`` ranks all
        of up to a million and else 10,000; ``exact`` refuses larger spaces.

    Raises
    ------
    ConfigError
        For fewer than 10,000 fills.
    """

    data: DataSpec
    kinds: tuple[str, ...] = ()
    n_unknown: int | None = None
    fills: Fills = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.fills, int) and not LEAST_FILLS <= self.fills <= LARGEST_SPACE:
            raise ConfigError(
                f"--fills must be auto, exact, or a number from {LEAST_FILLS:,} to {LARGEST_SPACE:,}, got {self.fills}"
            )

    def is_exact(self, secret: Secret) -> bool:
        """Whether all of a secret's space is ranked."""
        return secret.space.size <= (self.fills if isinstance(self.fills, int) else LARGEST_SPACE)

    def fills_of(self, secret: Secret, rng: np.random.Generator) -> list[str]:
        """Return the secret, and then what it is ranked among, in random order."""
        if self.is_exact(secret):
            others = [one for one in secret.space.members() if one != secret.itself]
            return [secret.itself, *(others[place] for place in rng.permutation(len(others)).tolist())]
        n = self.fills if isinstance(self.fills, int) else LEAST_FILLS
        others = list[str]()
        while len(others) < n:
            others += [one for one in secret.space.draw(n - len(others), rng) if one != secret.itself]
        return [secret.itself, *others]


def audit_secrets(
    config: AuditConfig,
    plan: SecretPlan,
    *,
    on_progress: OnProgress | None = None,
    on_phase: OnPhase = unwatched,
    given: InMemory = NOTHING,
) -> SecretsResult:
    """Find the secrets, let every model score each and its fills, and rank.

    Parameters
    ----------
    config : AuditConfig
        Target, references, and how they are run; its texts are not read.
    plan : SecretPlan
    on_progress, on_phase : callable, optional
        Told of every batch scored, and of every phase that begins, of `auditor.phases.SECRETS`.
    given : InMemory
        Models and texts in memory.

    Raises
    ------
    ConfigError, DataError, ModelError
        In one line that shows no secret.
    """
    on_phase(Phase(label=SECRETS[1]))
    corpus = find_secrets(plan.data, kinds=plan.kinds, n_unknown=plan.n_unknown, held=given.texts)
    _refuse_too_large(corpus, plan)
    on_phase(Phase(label=SECRETS[2]))
    models = open_models(config, held=given.models)
    target, *references = (_score_all(model, corpus, plan, config, on_progress) for model in models)
    on_phase(Phase(label=SECRETS[3]))
    secrets = with_verdicts(
        [
            rank_secret(_scored(one, plan, target[i], [scores[i] for scores in references]), level=config.confidence)
            for i, one in enumerate(corpus.secrets)
        ],
        level=config.confidence,
    )
    return SecretsResult(
        auditor_version=__version__,
        target=str(models[0].files.spec),
        target_sha256=models[0].files.weights_sha256,
        references=tuple(str(model.files.spec) for model in models[1:]),
        data=str(plan.data),
        n_texts=corpus.n_texts,
        n_texts_without=corpus.n_texts_without,
        n_secrets=len(secrets),
        n_held=sum(one.held for one in secrets),
        n_first=sum(one.n_before == 0 for one in secrets),
        level=config.confidence,
        seed=config.seed,
        mean_exposure=mean_of([one.exposure.value for one in secrets], level=config.confidence),
        mean_null_exposure=float(np.mean([one.null_exposure for one in secrets])),
        mean_bits_beyond_reference=mean_of([one.bits_beyond_reference for one in secrets], level=config.confidence),
        mean_exposure_beyond_reference=mean_of(
            [one.exposure_beyond_reference.value if one.exposure_beyond_reference else None for one in secrets],
            level=config.confidence,
        ),
        secrets=secrets,
        warnings=tuple(_warnings(models, [target, *references])),
    )


def _refuse_too_large(corpus: Corpus, plan: SecretPlan) -> None:
    """Refuse exact ranks over what takes too long to read."""
    large = [one for one in corpus.secrets if not plan.is_exact(one)]
    if plan.fills == "exact" and large:
        most = max(np.log2(float(one.space.size)) for one in large)
        raise ConfigError(
            f"--fills exact: {counted(len(large), 'secret')} of {len(corpus.secrets)} have a space of more than "
            f"{LARGEST_SPACE:,} members, up to 2^{most:.1f}: {listing([one.id for one in large])}; leave --fills out "
            f"for {LEAST_FILLS:,} random fills of these, or let only the last characters vary (--unknown N)"
        )


def _score_all(
    model: OpenedModel, corpus: Corpus, plan: SecretPlan, config: AuditConfig, on_progress: OnProgress | None
) -> list[FillScores]:
    """Let one model score every secret and its fills, which are the same for all models."""
    n_done = 0
    reader = GapReader(model, config)
    found = []
    for number, secret in enumerate(corpus.secrets):
        label = f"scoring the {model.role}, secret {number + 1} of {len(corpus.secrets)}"

        def tell(n_read: int, n: int, label: str = label, n_done: int = n_done, number: int = number) -> None:
            if on_progress is not None:
                on_progress(ScoringProgress(label, n_done + n_read, n_done + (len(corpus.secrets) - number) * n))

        fills = plan.fills_of(secret, np.random.default_rng([config.seed, number]))
        found.append(reader.score(secret.before, fills, secret.after, on_read=tell))
        n_done += found[-1].n_read
    del reader
    free_memory()
    return found


def _scored(secret: Secret, plan: SecretPlan, target: FillScores, references: Sequence[FillScores]) -> Scored:
    exact = plan.is_exact(secret)
    return Scored(
        id=secret.id,
        kind=secret.kind,
        n_characters=len(secret.itself),
        n_unknown=secret.space.n_free,
        space_size=target.logprob.size if exact else secret.space.size,
        exact=exact,
        target=target.logprob,
        reference=np.mean([one.logprob for one in references], axis=0) if references else None,
    )


def _warnings(models: Sequence[OpenedModel], scores: Sequence[Sequence[FillScores]]) -> list[str]:
    """Say what a reader of the ranks should know."""
    said = []
    if len(models) == 1:
        said.append(
            "without a reference a high rank may be a good guess: names and round numbers are likelier "
            "than random fills under any model (--reference M)"
        )
    if len({model.key.tokenizer_sha256 for model in models}) > 1:
        said.append(
            "target and reference read tokens of different lengths, so that their bits may differ by a character at "
            "the edge of a secret; ranks are not touched by it"
        )
    if n_cut := sum(one.n_cut > 0 for one in scores[0]):
        said.append(f"{counted(n_cut, 'secret')} stand so far into the text that its beginning does not fit the window")
    slow = [model.role for model, found in zip(models, scores, strict=True) if any(one.path != "trie" for one in found)]
    if slow:
        said.append(f"{' and '.join(slow)}: the model's code reads no tree of fills, so each was read alone")
    return said
