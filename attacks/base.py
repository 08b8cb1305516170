"""The contract of an attack: token scores, the signals made of them, and what a score must be.

Labels never enter :class:`Signals`, so an attack cannot peek at who is a member.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AFTER_MEMBER_SHOTS",
    "AFTER_SHOTS",
    "LOWERCASE",
    "NEIGHBOUR",
    "SWAPPED",
    "Attack",
    "BoolArray",
    "ComparingAttack",
    "Continuations",
    "FloatArray",
    "IntArray",
    "Need",
    "Signals",
    "TokenScores",
]

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]
BoolArray = NDArray[np.bool_]

LOWERCASE = "lowercase"
"""Name of the text view in which every character is lower-cased."""

AFTER_SHOTS = "after_shots"
"""Name of the text view in which texts known to be non-members, and not evaluated, stand before every text."""

AFTER_MEMBER_SHOTS = "after_member_shots"
"""The same with texts known to be members, and not evaluated."""

SWAPPED = "swapped"
"""Family of text views (``swapped_0``, ``swapped_1``, ...) in which some words of the text have changed places."""

NEIGHBOUR = "neighbour"
"""Family of text views in which a masked language model has replaced some words by others that fit."""


class Need(StrEnum):
    """What an attack cannot do without; exactly the passes that the union of needs asks for are run."""

    REFERENCE = "reference"
    """At least one reference model."""
    VOCAB_STATS = "vocab_stats"
    """Mean and variance of the log-probability over the whole vocabulary at each token."""
    TEXT = "text"
    """The text itself."""
    LOWERCASE = "lowercase"
    """The target's scores of the lower-cased text: one more pass of the target."""
    SHOTS = "shots"
    """The target's scores of the text after non-member shots (`--shots`): one more pass of the target."""
    MEMBER_SHOTS = "member_shots"
    """The same after member shots (`--member-shots`): one more pass of the target."""
    SWAPS = "swaps"
    """The target's scores of word-swapped copies of the text: five more passes of the target."""
    NEIGHBOURS = "neighbours"
    """Its scores of rewritings by a masked language model (`--neighbour-model`): a pass of the target each."""
    TOKEN_IDS = "token_ids"
    """Vocabulary entries of the scored tokens of the target."""
    TOKEN_COUNTS = "token_counts"
    """How often each vocabulary entry occurs in a corpus apart from the texts (`--frequency-corpus`)."""
    GRADIENTS = "gradients"
    """Norms of the gradient of the target's loss on each text: a forward and a backward pass of the target."""
    CONTINUATIONS = "continuations"
    """What the target writes after the first half of each text, ten times: generation, far slower than scoring."""
    DIVERGENCE = "divergence"
    """How far references expect other tokens than the target: a pass of all of them, together in memory."""
    SEVERAL_REFERENCES = "several_references"
    """At least two models, for every text, that never saw it."""
    SHADOWS = "shadows"
    """At least two models, for every text, that saw it, and two that did not (`--shadows`)."""
    ALIGNED_TOKENS = "aligned_tokens"
    """Target and references tokenize every text identically (same vocabulary, same prefix)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """What one model says of every scored token of every text.

    The texts are laid end to end in flat arrays: text ``i`` owns ``offsets[i]:offsets[i + 1]``. Flat arrays
    cost no object per text, reduce in one call and can be written to disk as they are.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_samples + 1,)
    logprob : ndarray, shape (n_tokens,), nats, <= 0
        ``ln p(x_t | x_<t)``.
    logprob_mean : ndarray, shape (n_tokens,), nats, <= 0
        ``sum_v p_v ln p_v`` over the vocabulary: the expected log-probability, which is minus the entropy.
    logprob_variance : ndarray, shape (n_tokens,), nats squared, >= 0
        ``sum_v p_v (ln p_v)^2 - logprob_mean^2``.
    rank : ndarray of int, shape (n_tokens,)
        Number of vocabulary entries with a strictly greater logit; 0 means the token was the arg-max.
    logprob_max : ndarray, shape (n_tokens,), nats, <= 0
        Log-probability of the arg-max: minus the Renyi entropy of order infinity.
    logprob_top40 : ndarray, shape (n_tokens,), nats, <= 0, optional
        Log-probability of the 40 likeliest entries together: what top-k sampling divides by. None if not known.
    tied : ndarray of int, shape (n_tokens,), optional
        Number of other entries with the same logit as the token, among the 40 likeliest: a token of rank 0 with one
        tied is not what greedy decoding is sure to write. None if not known.
    """

    offsets: IntArray
    logprob: FloatArray
    logprob_mean: FloatArray
    logprob_variance: FloatArray
    rank: IntArray
    logprob_max: FloatArray
    logprob_top40: FloatArray | None = None
    tied: IntArray | None = None

    def __post_init__(self) -> None:
        counts = np.diff(self.offsets)
        if len(self.offsets) < 2 or self.offsets[0] != 0 or (counts < 1).any():
            raise ValueError("offsets must start at 0 and give every text at least one scored token")
        for name in (part.name for part in fields(self) if part.name != "offsets"):
            column = getattr(self, name)
            if column is not None and len(column) != self.offsets[-1]:
                raise ValueError(f"{name} must have {self.offsets[-1]} entries, one a token")

    @property
    def n_samples(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> IntArray:
        """Scored tokens of each text, shape (n_samples,)."""
        return np.diff(self.offsets)

    @property
    def entropy(self) -> FloatArray:
        """Entropy of each next-token distribution, nats, shape (n_tokens,)."""
        return -self.logprob_mean

    @property
    def total_logprob(self) -> FloatArray:
        """``ln p(text)``: the sum over scored tokens in float64, nats, shape (n_samples,)."""
        return np.add.reduceat(self.logprob.astype(np.float64), self.offsets[:-1])

    @property
    def mean_logprob(self) -> FloatArray:
        """Mean log-probability of the scored tokens of each text, nats per token, shape (n_samples,)."""
        return self.total_logprob / self.n_tokens

    def per_text(self, values: FloatArray) -> Iterator[FloatArray]:
        """Cut a flat array, shape (n_tokens,), into one float64 array a text, in order."""
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield values[start:stop].astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuations:
    """How far what the target writes after the first half of a text agrees with the second half.

    Parameters
    ----------
    recall : ndarray of float64, shape (n_samples, n_continuations)
        ROUGE-1 recall: share of the words of the true second half that the continuation has too, with multiplicity.
    zlib_bytes : ndarray of int64, shape (n_samples, n_continuations)
        Compressed size of each continuation, UTF-8.
    """

    recall: FloatArray
    zlib_bytes: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything an attack may look at. Row ``i`` of every part belongs to ``sample_ids[i]``.

    What no attack at work needs (see :class:`Need`) is None or empty.

    Parameters
    ----------
    sample_ids, texts : tuple of str, length n_samples
        ``texts`` are the texts as scored (after a cut to the context window, if there was one).
    target : TokenScores
    references : tuple of TokenScores
        One a reference model, each under its own tokenizer.
    seen : ndarray of bool, shape (n_references, n_samples), optional
        Whether a reference trained on a text (shadow models did, on random halves); None if none did on any.
    views : mapping of str to TokenScores
        The target's scores of other views of the texts, by name of the view (:data:`LOWERCASE`, :data:`AFTER_SHOTS`).
    aligned : bool
        True if target and references tokenize identically: token ``t`` is the same piece of text in all.
    target_ids : ndarray of int64, shape (n_tokens,), optional
        Vocabulary entry of every scored token of the target.
    token_counts : ndarray of int64, shape (n_vocabulary,), optional
        Occurrences of each vocabulary entry in a corpus apart from the texts.
    gradient_norms : mapping of str to ndarray of float64, shape (n_samples,), optional
        By order, ``"1"``, ``"2"`` and ``"inf"``: mean over the target's parameter tensors of the norm of the gradient
        of its mean negative log-likelihood of the text.
    continuations : Continuations, optional
    divergence : ndarray of float64, shape (n_samples,), nats, optional
        Kullback-Leibler divergence of the target's distribution of the next token from the mean of the references that
        never saw the text, summed over its scored tokens.
    """

    sample_ids: tuple[str, ...]
    texts: tuple[str, ...]
    target: TokenScores
    references: tuple[TokenScores, ...] = ()
    seen: BoolArray | None = None
    views: Mapping[str, TokenScores] = field(default_factory=dict)
    aligned: bool = True
    target_ids: IntArray | None = None
    token_counts: IntArray | None = None
    gradient_norms: Mapping[str, FloatArray] | None = None
    continuations: Continuations | None = None
    divergence: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.sample_ids)
        parts = [self.target, *self.references, *self.views.values()]
        if len(self.texts) != n or any(part.n_samples != n for part in parts):
            raise ValueError(f"every part of the signals must have {n} samples")
        if self.seen is not None and self.seen.shape != (len(self.references), n):
            raise ValueError(f"seen must have shape ({len(self.references)}, {n}), got {self.seen.shape}")
        if self.seen is not None and self.seen.all(axis=0).any():
            raise ValueError("every text needs a reference that did not train on it")

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)

    @property
    def unseen(self) -> BoolArray:
        """Whether a reference never saw a text, shape (n_references, n_samples)."""
        if self.seen is None:
            return np.ones((len(self.references), self.n_samples), dtype=np.bool_)
        return ~self.seen

    @property
    def reference_logprob(self) -> FloatArray:
        """Mean over the references that never saw the text of ``ln p(text)``, nats, shape (n_samples,)."""
        totals = np.stack([scores.total_logprob for scores in self.references])  # (n_references, n_samples)
        return np.asarray((totals * self.unseen).sum(axis=0) / self.unseen.sum(axis=0))

    @property
    def reference_token_logprob(self) -> FloatArray:
        """The same of each token, nats, shape (n_tokens,); it takes aligned tokens to mean anything."""
        tokens = np.stack([scores.logprob.astype(np.float64) for scores in self.references])  # (n_references, n_tokens)
        counted = np.repeat(self.unseen, self.target.n_tokens, axis=1)
        return np.asarray((tokens * counted).sum(axis=0) / counted.sum(axis=0))

    def family(self, name: str) -> tuple[TokenScores, ...]:
        """Return the target's scores of every view of a family (:data:`SWAPPED`, :data:`NEIGHBOUR`), in order."""
        numbered = {view.removeprefix(f"{name}_"): scores for view, scores in self.views.items()}
        return tuple(numbered[number] for number in sorted((n for n in numbered if n.isdecimal()), key=int))


@dataclass(frozen=True)
class Attack(ABC):
    """A score of membership: a pure function of the signals.

    A subclass is a frozen dataclass whose fields are the attack's parameters. Adding one takes a file, a word
    in ``attacks.BUILTIN`` and a hand-computed test.
    """

    name: ClassVar[str]
    """Registry key, column name and command-line word, e.g. ``min_k``."""
    paper: ClassVar[str]
    """Where the formula comes from: ``arXiv:2310.16789, section 4``."""
    summary: ClassVar[str]
    """What the score is, in one line a reader of the report understands."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    per_sample: ClassVar[bool] = False
    """Whether a sample's score depends on that sample alone. Such an attack is given a block of samples at a time, so
    that memory does not grow with their number; any other one is given all of them at once."""

    @abstractmethod
    def score(self, signals: Signals) -> FloatArray:
        """Score every sample; HIGHER MEANS MORE LIKELY A MEMBER, always.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """

    def params(self) -> dict[str, object]:
        """Return the parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def label(self) -> str:
        """Name with the parameters that differ from the defaults, e.g. ``min_k:k=0.1``."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return self.name + "".join(
            f"{':' if i == 0 else ','}{key}={value}" for i, (key, value) in enumerate(changed.items())
        )


@dataclass(frozen=True)
class ComparingAttack(Attack):
    """An attack that compares samples with each other, by a few numbers of each.

    The numbers are made block by block, so that memory grows by them alone.
    """

    @abstractmethod
    def features(self, signals: Signals) -> FloatArray:
        """Return what the comparison needs of each sample, from that sample alone, shape (n_samples, n_features)."""

    @abstractmethod
    def compare(self, features: FloatArray) -> FloatArray:
        """Score every sample from the features of all, shape (n_samples,)."""

    def score(self, signals: Signals) -> FloatArray:
        """Compare the samples of some signals."""
        return self.compare(self.features(signals))
