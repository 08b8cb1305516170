"""What every attack keeps: shape, sign, determinism, order, honesty about its needs."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from attacks import BUILTIN, Attack, ComparingAttack, Continuations, Need, Signals, TokenScores, get_attack
from attacks.base import AFTER_MEMBER_SHOTS, AFTER_SHOTS, LOWERCASE, NEIGHBOUR, SWAPPED

VIEW_NEEDS = {
    LOWERCASE: Need.LOWERCASE,
    AFTER_SHOTS: Need.SHOTS,
    AFTER_MEMBER_SHOTS: Need.MEMBER_SHOTS,
    **{f"{SWAPPED}_{i}": Need.SWAPS for i in range(5)},
    **{f"{NEIGHBOUR}_{i}": Need.NEIGHBOURS for i in range(3)},
}
REFERENCE_NEEDS = {Need.REFERENCE, Need.SEVERAL_REFERENCES, Need.SHADOWS}
N_VOCABULARY = 50
COLUMNS = ("logprob", "logprob_mean", "logprob_variance", "rank", "logprob_max")


def make_signals(n: int = 12, *, planted: int | None = None, one_token: bool = False, seed: int = 0) -> Signals:
    """Invent signals; the planted sample is likelier under the target than under everything else.

    Beside a planted one, the others are as likely under every model, and no model expects the first token of each.
    """
    rng = np.random.default_rng(seed)
    lengths = np.ones(n, dtype=int) if one_token else rng.integers(1, 40, n)
    offsets = np.cumsum([0, *lengths])
    common = -rng.gamma(2.0, 1.5, offsets[-1]) - 0.4
    common[offsets[:-1]] = -12.0

    def scores(shift: float, *, entropy: float = 3.0) -> TokenScores:
        logprob = -rng.gamma(2.0, 1.5, offsets[-1]) - 0.2
        mean = np.full(offsets[-1], -3.0, np.float32)
        top = np.full(offsets[-1], -1.5, np.float32)
        rank = rng.integers(0, 50, offsets[-1]).astype(np.int32)
        if planted is not None:
            logprob = common + rng.uniform(-0.3, 0.3, offsets[-1])
            own = slice(offsets[planted], offsets[planted + 1])
            # A model that does not know it finds some of its tokens far less likely than others.
            logprob[own] = -0.05 + shift * np.linspace(0, 2, offsets[planted + 1] - offsets[planted])
            mean[own], top[own] = -entropy, -entropy / 2
        return TokenScores(
            offsets=offsets,
            logprob=logprob.astype(np.float32),
            logprob_mean=mean,
            logprob_variance=rng.uniform(1, 4, offsets[-1]).astype(np.float32),
            rank=rank,
            logprob_max=top,
        )

    gradients = rng.uniform(1, 2, (3, n))
    recall = rng.uniform(0, 0.5, (n, 4))
    ids = rng.integers(0, N_VOCABULARY, offsets[-1])
    if planted is not None:
        gradients[:, planted], recall[planted] = 0.01, 1.0
        ids[offsets[planted] : offsets[planted + 1]] = np.arange(offsets[planted + 1] - offsets[planted])
    seen = np.arange(4)[:, None] % 2 == np.arange(n)[None] % 2

    return Signals(
        sample_ids=tuple(f"s{i}" for i in range(n)),
        texts=tuple("Word " * int(length) + str(i) for i, length in enumerate(lengths)),
        target=scores(0.0, entropy=0.1),
        references=tuple(scores(0.0 if planted is not None and saw[planted] else -4.0) for saw in seen),
        seen=seen,
        views={view: scores(-4.0) for view in VIEW_NEEDS},
        target_ids=ids,
        token_counts=np.arange(N_VOCABULARY) ** 2,
        gradient_norms=dict(zip(("1", "2", "inf"), gradients, strict=True)),
        continuations=Continuations(recall=recall, zlib_bytes=np.full((n, 4), 40)),
        divergence=rng.uniform(0, 0.1, n) * lengths,
    )


def take(signals: Signals, order: list[int]) -> Signals:
    def scores(given: TokenScores) -> TokenScores:
        rows = [slice(given.offsets[i], given.offsets[i + 1]) for i in order]
        flat = {name: np.concatenate([getattr(given, name)[row] for row in rows]) for name in COLUMNS}
        return TokenScores(offsets=np.cumsum([0, *(given.n_tokens[i] for i in order)]), **flat)

    assert signals.seen is not None
    assert signals.target_ids is not None
    assert signals.gradient_norms is not None
    assert signals.continuations is not None
    assert signals.divergence is not None
    offsets = signals.target.offsets
    return Signals(
        sample_ids=tuple(signals.sample_ids[i] for i in order),
        texts=tuple(signals.texts[i] for i in order),
        target=scores(signals.target),
        references=tuple(scores(one) for one in signals.references),
        views={name: scores(view) for name, view in signals.views.items()},
        aligned=signals.aligned,
        seen=signals.seen[:, order],
        target_ids=np.concatenate([signals.target_ids[offsets[i] : offsets[i + 1]] for i in order]),
        token_counts=signals.token_counts,
        gradient_norms={norm: values[order] for norm, values in signals.gradient_norms.items()},
        continuations=Continuations(
            recall=signals.continuations.recall[order], zlib_bytes=signals.continuations.zlib_bytes[order]
        ),
        divergence=signals.divergence[order],
    )


@pytest.fixture(params=sorted(BUILTIN))
def attack(request: pytest.FixtureRequest) -> Attack:
    return get_attack(request.param)


def test_one_finite_score_a_sample(attack: Attack) -> None:
    for signals in (make_signals(), make_signals(one_token=True), make_signals(1)):
        found = attack.score(signals)
        assert found.shape == (signals.n_samples,)
        assert found.dtype == np.float64
        assert np.isfinite(found).all()


def test_same_in_same_out_and_order_equivariant(attack: Attack) -> None:
    signals = make_signals()
    found = attack.score(signals)
    np.testing.assert_array_equal(attack.score(signals), found)
    order = np.random.default_rng(3).permutation(signals.n_samples).tolist()
    np.testing.assert_allclose(attack.score(take(signals, order)), found[order], rtol=1e-12)


def test_an_attack_that_may_be_given_blocks_scores_them_as_the_whole(attack: Attack) -> None:
    assert attack.per_sample or isinstance(attack, ComparingAttack)  # of all built-in ones: memory does not grow
    signals = make_signals()
    blocks = [take(signals, list(block)) for block in (range(5), range(5, 6), range(6, 12))]
    if isinstance(attack, ComparingAttack):
        found = attack.compare(np.concatenate([attack.features(block) for block in blocks]))
    else:
        found = np.concatenate([attack.score(block) for block in blocks])
    np.testing.assert_allclose(found, attack.score(signals), rtol=1e-12)


def test_a_planted_member_scores_highest(attack: Attack) -> None:
    signals = make_signals(planted=4)
    assert int(np.argmax(attack.score(signals))) == 4


def test_needs_are_honest(attack: Attack) -> None:
    full = make_signals()
    bare = dataclasses.replace(
        full,
        references=full.references if attack.needs & REFERENCE_NEEDS else (),
        seen=full.seen if attack.needs & REFERENCE_NEEDS else None,
        target_ids=full.target_ids if Need.TOKEN_IDS in attack.needs else None,
        token_counts=full.token_counts if Need.TOKEN_COUNTS in attack.needs else None,
        gradient_norms=full.gradient_norms if Need.GRADIENTS in attack.needs else None,
        continuations=full.continuations if Need.CONTINUATIONS in attack.needs else None,
        divergence=full.divergence if Need.DIVERGENCE in attack.needs else None,
        views={name: view for name, view in full.views.items() if VIEW_NEEDS[name] in attack.needs},
        texts=full.texts if Need.TEXT in attack.needs else ("",) * full.n_samples,
        target=full.target
        if Need.VOCAB_STATS in attack.needs
        else dataclasses.replace(
            full.target,
            logprob_mean=np.full_like(full.target.logprob_mean, np.nan),
            logprob_variance=np.full_like(full.target.logprob_variance, np.nan),
            logprob_max=np.full_like(full.target.logprob_max, np.nan),
        ),
    )
    np.testing.assert_array_equal(attack.score(bare), attack.score(full))


def test_describes_itself(attack: Attack) -> None:
    assert attack.paper.startswith("arXiv:")
    assert attack.summary[0].islower()
    assert BUILTIN[attack.name] is type(attack)
    assert get_attack(attack.name, attack.params()) == attack
    assert attack.label == attack.name


def test_labels_tell_parameters_apart() -> None:
    assert get_attack("min_k", {"k": 0.1}).label == "min_k:k=0.1"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: get_attack("min_kk"), r"no attack 'min_kk'; did you mean 'min_k'"),
        (lambda: get_attack("xyzzy"), r"there are: loss, reference, zlib, lowercase, min_k, min_k_plus_plus, recall"),
        (lambda: get_attack("loss", {"k": 0.1}), r"parameters k; it takes: none"),
        (lambda: get_attack("min_k", {"kk": 0.1}), r"parameters kk; it takes: k"),
    ],
)
def test_wrong_names(build: Callable[[], Attack], message: str) -> None:
    with pytest.raises((LookupError, ValueError), match=message):
        build()


def test_signals_must_fit_together() -> None:
    signals = make_signals()
    with pytest.raises(ValueError, match="must have 12 samples"):
        dataclasses.replace(signals, texts=("one",))
    with pytest.raises(ValueError, match="at least one scored token"):
        dataclasses.replace(signals.target, offsets=np.array([0, 0, signals.target.offsets[-1]]))
    with pytest.raises(ValueError, match="one a token"):
        dataclasses.replace(signals.target, rank=signals.target.rank[:-1])


def test_attacks_need_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, attacks; assert not {'torch', 'transformers', 'auditor'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
