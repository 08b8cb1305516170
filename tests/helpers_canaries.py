"""Canaries made in code, without a model that samples them."""

from pathlib import Path

import numpy as np

from auditor.canaries.folder import CanarySet, is_in, write_canaries
from auditor.documents.canaries import Canary, CanaryManifest, CanaryResult, CanarySecrets, HashedCanary
from auditor.documents.coins import commitment
from auditor.estimates.canaries import measure_tiers
from auditor.estimates.epsilon import Claim

SEED = "5a" * 32


def build_canaries(
    number: int = 6, *, copies: tuple[int, ...] = (1, 4), seed: int = 0, prefixes: bool = True
) -> CanarySet:
    """Make canaries of random letters, ``number`` in each tier."""
    rng = np.random.default_rng(seed)

    def letters(n: int) -> str:
        return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n))

    tiers = np.repeat(copies, number)
    canaries = tuple(
        Canary(
            id=f"canary-{i}",
            prefix=f"Note {letters(4)} says:" if prefixes else "",
            secret=(" " if prefixes else "") + " ".join(letters(5) for _ in range(3)),
            copies=int(k),
        )
        for i, k in enumerate(tiers)
    )
    manifest = CanaryManifest(
        auditor_version="0",
        coins_sha256=commitment(SEED),
        secrets_from="rare",
        base=None,
        temperature=None,
        prefixes=None,
        prefix_tokens=0,
        secret_tokens=3,
        canaries=tuple(HashedCanary(id=one.id, copies=one.copies, sha256=one.sha256) for one in canaries),
    )
    return CanarySet(CanarySecrets(seed=SEED, canaries=canaries), manifest)


def written_canaries(folder: Path, made: CanarySet) -> Path:
    """Write canaries to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_canaries(made, folder)
    return folder


def inside(made: CanarySet) -> list[Canary]:
    """Return the canaries whose coin is in."""
    return [one for one in made.secrets.canaries if is_in(made.secrets, one)]


def canary_result(n: int = 100, *, shift: float, copies: tuple[int, ...] = (1, 4), delta: float = 0.0) -> CanaryResult:
    """Return an audit of ``n`` canaries a tier, every second one in, its score ``shift`` above the others."""
    tiers = np.repeat(copies, n)
    is_in = np.arange(tiers.size) % 2 == 0
    scores = np.random.default_rng(0).normal(size=tiers.size) + shift * is_in
    n_out = int((~is_in).sum())
    return CanaryResult(
        auditor_version="0",
        canaries="canaries",
        coins_sha256="0" * 64,
        target="tuned",
        target_sha256="1" * 64,
        references=(),
        form="text",
        attack="loss",
        n_canaries=tiers.size,
        n_ranked_against=n_out,
        null_exposure=1.4,
        largest_exposure=float(np.log2(n_out)),
        tiers=measure_tiers(
            [f"c{i}" for i in range(tiers.size)],
            scores,
            is_in,
            tiers,
            claim=Claim(delta=delta),
            attack="loss",
            conditions=(),
        ),
        warnings=(),
    )
