"""New canaries: a prefix as the data have it, and a secret that is sampled hot from a base model, or of rare tokens."""

import secrets as randomness
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..config import DataSpec, ModelSpec
from ..data import load_texts
from ..documents.canaries import Canary, CanaryManifest, CanarySecrets, HashedCanary
from ..documents.coins import commitment, new_coins
from ..engine.hot_text import HotWriter
from ..engine.loading.tokenizer_files import load_tokenizer
from ..engine.tokens import encode
from ..errors import ConfigError, DataError, ModelError
from ..version import __version__
from .folder import CanarySet

__all__ = ["CanaryPlan", "make_canaries"]

COLDEST, HOTTEST = 0.8, 5.0
FEWEST = 10
"""Canaries of a tier below which nothing could be shown."""
_ROUNDS = 50
"""Times that the base writes again what its tokenizer does not read back."""
_KEPT = 0.75
"""Share of the tokens of a secret that must be left when its text is read again."""

Ids = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryPlan:
    """What is asked for.

    Parameters
    ----------
    data : DataSpec, optional
        Texts like those of training, best none of them, whose beginnings are the prefixes; none: no prefixes.
    base : ModelSpec, optional
        Model that secrets are sampled from, best the one that is fine-tuned.
    tokenizer : str, optional
        Instead of a base: whose rare tokens the secrets are made of, each used once.
    number : int
        Canaries of each tier.
    copies : tuple of int
        The tiers.
    prefix_tokens, secret_tokens : int
    temperature : float
    device : str
    """

    data: DataSpec | None = None
    base: ModelSpec | None = None
    tokenizer: str | None = None
    number: int = 100
    copies: tuple[int, ...] = (1, 4, 16)
    prefix_tokens: int = 16
    secret_tokens: int = 24
    temperature: float = 1.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if (self.base is None) == (self.tokenizer is None):
            raise ConfigError(
                "give --base M, a model that secrets are sampled from, or --tokenizer M, whose rare tokens they are "
                "made of" + ("; not both" if self.base else "")
            )
        if self.number < FEWEST:
            raise ConfigError(f"--number must be at least {FEWEST} canaries a tier, got {self.number}")
        if not self.copies or min(self.copies) < 1 or len(set(self.copies)) < len(self.copies):
            listed = ",".join(map(str, self.copies))
            raise ConfigError(f"--copies must be different whole numbers from 1, such as 1,4,16, got {listed}")
        for name, least, most in (("prefix_tokens", 0, 256), ("secret_tokens", 4, 256)):
            if not least <= getattr(self, name) <= most:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option} must be from {least} to {most}, got {getattr(self, name)}")
        if not COLDEST <= self.temperature <= HOTTEST:
            raise ConfigError(
                f"--temperature must be from {COLDEST} (colder secrets can be guessed) to {HOTTEST:g}, got "
                f"{self.temperature:g}"
            )


def make_canaries(plan: CanaryPlan) -> CanarySet:
    """Make canaries, throw their coins, and commit to these.

    Nothing is drawn from a seed that could be given again: prefixes, secrets and coins come from the operating
    system's randomness.

    Raises
    ------
    ConfigError, DataError, ModelError
        If data, base or tokenizer cannot give so many canaries.
    """
    rng = np.random.default_rng(randomness.randbits(128))
    n = plan.number * len(plan.copies)
    writer = None
    if plan.base is not None:
        writer = HotWriter(plan.base, device=plan.device, seed=randomness.randbits(62))
    tokenizer = writer.tokenizer if writer else load_tokenizer(ModelSpec(path=plan.tokenizer or "").with_base())
    texts = () if plan.data is None else tuple(load_texts(plan.data)[0].words)
    prefixes = _prefixes(tokenizer, texts, plan, n, rng) if texts and plan.prefix_tokens else [""] * n
    if writer is not None:
        secrets = _hot(writer, prefixes, plan)
    else:
        secrets = _rare(tokenizer, texts, prefixes, plan.secret_tokens, rng)
    tiers = rng.permutation(np.repeat(plan.copies, plan.number))
    width = len(str(n - 1))
    canaries = tuple(
        Canary(id=f"canary-{i:0{width}d}", prefix=prefix, secret=secret, copies=int(copies))
        for i, (prefix, secret, copies) in enumerate(zip(prefixes, secrets, tiers, strict=True))
    )
    coins = new_coins()
    manifest = CanaryManifest(
        auditor_version=__version__,
        coins_sha256=commitment(coins.seed),
        secrets_from="rare" if writer is None else "hot",
        base=None if plan.base is None else str(plan.base),
        temperature=None if writer is None else plan.temperature,
        prefixes=None if plan.data is None else str(plan.data),
        prefix_tokens=plan.prefix_tokens if texts else 0,
        secret_tokens=plan.secret_tokens,
        canaries=tuple(HashedCanary(id=one.id, copies=one.copies, sha256=one.sha256) for one in canaries),
    )
    return CanarySet(CanarySecrets(seed=coins.seed, canaries=canaries), manifest)


def _prefixes(tokenizer: Any, texts: Sequence[str], plan: CanaryPlan, n: int, rng: np.random.Generator) -> list[str]:
    """Take the first tokens of a line of as many texts, each text once if there are enough."""
    found: list[str] = []
    for place in rng.permutation(len(texts)):
        lines = (_beginning(tokenizer, line, plan.prefix_tokens) for line in texts[int(place)].splitlines())
        found += islice(filter(None, lines), 1)
        if len(found) == n:
            break
    if not found:
        raise DataError(
            f"{plan.data}: no line of a text has more than {plan.prefix_tokens} tokens that can be printed; give other "
            "texts, or a smaller --prefix-tokens"
        )
    return [found[i % len(found)] for i in range(n)]


def _beginning(tokenizer: Any, line: str, n_tokens: int) -> str:
    """Return the first tokens of a longer line, or nothing."""
    prefix = _decoded(tokenizer, encode(tokenizer, [line])[0][:n_tokens])
    return prefix if len(prefix) < len(line) and line.startswith(prefix) and prefix.isprintable() else ""


def _hot(writer: HotWriter, prefixes: Sequence[str], plan: CanaryPlan) -> list[str]:
    """Let the base write on after every prefix, again where its tokenizer does not read back what it wrote."""
    heads = [_ids(writer.tokenizer, prefix) for prefix in prefixes]
    secrets, left = [""] * len(prefixes), list(range(len(prefixes)))
    for _ in range(_ROUNDS):
        written = writer.write(
            [heads[place] for place in left], n_tokens=plan.secret_tokens, temperature=plan.temperature
        )
        for place, ids in zip(left, written, strict=True):
            secret = _decoded(writer.tokenizer, [*heads[place], *ids]).removeprefix(prefixes[place])
            secret = secret if prefixes[place] else secret.lstrip()
            if _is_usable(writer.tokenizer, prefixes[place], secret, plan.secret_tokens) and secret not in secrets:
                secrets[place] = secret
        left = [place for place in left if not secrets[place]]
        if not left:
            return secrets
    raise ModelError(
        f"{plan.base}: after {_ROUNDS} rounds {len(left)} of {len(prefixes)} secrets are still none that its tokenizer "
        "reads back; lower --temperature, or give --tokenizer instead of --base for secrets of rare tokens"
    )


def _rare(
    tokenizer: Any, texts: Sequence[str], prefixes: Sequence[str], n_tokens: int, rng: np.random.Generator
) -> list[str]:
    """Make secrets of whole words of the vocabulary, the rarest in the data, none of them used twice."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for text in texts:
        np.add.at(counts, encode(tokenizer, [text])[0], 1)
    pool = [word for _, word in sorted(_words(tokenizer, counts, rng), key=lambda one: one[0])]
    wanted = len(prefixes) * n_tokens
    if len(pool) < wanted:
        raise ConfigError(
            f"{wanted:,} rare tokens are needed, each once, and the vocabulary has {len(pool):,} whole words: make "
            "fewer (--number) or shorter (--secret-tokens) canaries, or sample them from a model with --base"
        )
    chosen = [pool[int(i)] for i in rng.permutation(wanted)]
    joined = ["".join(chosen[i * n_tokens : (i + 1) * n_tokens]) for i in range(len(prefixes))]
    return [secret if prefix else secret.lstrip() for prefix, secret in zip(prefixes, joined, strict=True)]


def _words(tokenizer: Any, counts: np.ndarray[Any, Any], rng: np.random.Generator) -> Iterator[tuple[int, str]]:
    """Yield the entries of a vocabulary that stand for a word with the space before it, in random order."""
    before = _ids(tokenizer, "a")
    start = _decoded(tokenizer, before)
    special = set(tokenizer.all_special_ids)
    for one in rng.permutation(len(tokenizer)):
        token = int(one)
        if token in special:
            continue
        word = _decoded(tokenizer, [*before, token]).removeprefix(start)
        is_word = len(word) > 2 and word[0] == " " and word[1:].isalnum()
        if is_word and _ids(tokenizer, start + word) == [*before, token]:
            yield int(counts[token]), word


def _is_usable(tokenizer: Any, prefix: str, secret: str, n_tokens: int) -> bool:
    """Whether a secret survives as text: on one line, whole characters, and read as tokens of its own."""
    if not secret.isprintable() or "\ufffd" in secret or secret != secret.rstrip() or not secret.strip():
        return False
    head, whole = _ids(tokenizer, prefix), _ids(tokenizer, prefix + secret)
    return whole[: len(head)] == head and len(whole) - len(head) >= _KEPT * n_tokens


def _ids(tokenizer: Any, text: str) -> Ids:
    return encode(tokenizer, [text])[0] if text else []


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)) if ids else ""
