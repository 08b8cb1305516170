"""LiRA: by hand, against scipy's normal, degrees of freedom, and what the public code gets wrong."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attacks import LiRA, LiRAOffline, Reference, Signals, get_attack
from attacks.lira import logit
from helpers_attacks import one_token, signals_of, token_scores

Array = NDArray[np.float64]


def make_signals(target: Array | list[float], references: Any, seen: Any = None) -> Signals:
    return signals_of(
        one_token(target),
        references=tuple(one_token(row) for row in references),
        seen=None if seen is None else np.asarray(seen, dtype=np.bool_),
    )


def random_signals(n: int = 9, n_models: int = 8) -> Signals:
    rng = np.random.default_rng(0)
    seen = np.stack([rng.permutation(np.arange(n_models) < n_models // 2) for _ in range(n)], axis=1)
    references = -rng.gamma(2.0, 1.0, (n_models, n)) / np.where(seen, 2.0, 1.0)
    return make_signals(-rng.gamma(2.0, 1.0, n), references, seen)


# Two texts, four models; the first two saw the first text, the last two the second.
SMALL = make_signals(
    [-2.0, -7.0],
    [[-1.0, -5.0], [-3.0, -7.0], [-4.0, -1.0], [-8.0, -5.0]],
    [[True, False], [True, False], [False, True], [False, True]],
)


def test_online_by_hand() -> None:
    # a: in -1, -3: mean -2, squares 2; out -4, -8: mean -6, squares 8
    # b: in -1, -5: mean -3, squares 8; out -5, -7: mean -6, squares 2
    # fixed: variance (2 + 8) / (1 + 1) = 5 on both sides, so shared: (2 + 8 + 8 + 2) / 4 = 5, too
    # a: ((-2+6)^2 - (-2+2)^2) / 10 = 1.6; b: ((-7+6)^2 - (-7+3)^2) / 10 = -1.5
    for variance in ("shared", "fixed"):
        np.testing.assert_allclose(LiRA(statistic="loss", variance=variance).score(SMALL), [1.6, -1.5])
    # per sample: a: 16 / (2 * 8) - 0 / 4 + ln(8 / 2) / 2 = 1 + ln 2; b: 1 / (2 * 2) - 16 / (2 * 8) - ln 2 = -.75 - ln 2
    expected = [1 + math.log(2), -0.75 - math.log(2)]
    np.testing.assert_allclose(LiRA(statistic="loss", variance="per_sample").score(SMALL), expected)


def test_offline_by_hand() -> None:
    # only models that did not see the text: fixed (-2 + 6) / sqrt 5, (-7 + 6) / sqrt 5; alone 4 / sqrt 8, -1 / sqrt 2
    attack = LiRAOffline(statistic="loss")
    np.testing.assert_allclose(attack.score(SMALL), [4 / math.sqrt(5), -1 / math.sqrt(5)])
    attack = LiRAOffline(statistic="loss", variance="per_sample")
    np.testing.assert_allclose(attack.score(SMALL), [4 / math.sqrt(8), -1 / math.sqrt(2)])


def test_the_median_moves_the_centre_and_not_the_variance() -> None:
    # -1, -2, -6: mean -3, median -2, variance (4 + 1 + 9) / 2 = 7
    signals = make_signals([-1.0], [[-1.0], [-2.0], [-6.0]])
    found = [LiRAOffline(statistic="loss", centre=centre).score(signals)[0] for centre in ("mean", "median")]
    np.testing.assert_allclose(found, [2 / math.sqrt(7), 1 / math.sqrt(7)])


def test_mean_log_probability_is_taken_per_token_of_the_target() -> None:
    # target two tokens, mean -1; references of one token, totals -4 and -8: -2 and -4 a token; (-1 + 3) / sqrt 2
    signals = signals_of(token_scores([-0.5, -1.5]), references=(one_token([-4.0]), one_token([-8.0])))
    np.testing.assert_allclose(LiRAOffline(statistic="loss").score(signals), [math.sqrt(2)])


def _pooled(phi: Array, sides: list[NDArray[np.bool_]]) -> float:
    residuals = [x - np.mean(phi[one[:, j], j]) for one in sides for j in range(9) for x in phi[one[:, j], j]]
    return math.fsum(r * r for r in residuals) / (len(residuals) - 9 * len(sides))


@pytest.mark.parametrize("centre", ["mean", "median"])
@pytest.mark.parametrize("variance", ["shared", "fixed", "per_sample"])
def test_against_scipy(variance: str, centre: str) -> None:
    signals = random_signals()
    seen = signals.seen
    assert seen is not None
    phi = np.array([[math.log(math.exp(x) / (1 - math.exp(x))) for x in r.logprob] for r in signals.references])
    own = [math.log(math.exp(x) / (1 - math.exp(x))) for x in signals.target.logprob]

    def spread(side: NDArray[np.bool_], i: int) -> float:
        if variance == "per_sample":
            return float(np.std(phi[side[:, i], i], ddof=1))
        sides = [side, ~side] if variance == "shared" else [side]
        return math.sqrt(_pooled(phi, sides))

    middle = np.mean if centre == "mean" else np.median
    online, offline = [], []
    for i in range(9):
        inside = stats.norm(middle(phi[seen[:, i], i]), spread(seen, i))
        outside = stats.norm(middle(phi[~seen[:, i], i]), spread(~seen, i))
        online.append(inside.logpdf(own[i]) - outside.logpdf(own[i]))
        offline.append(outside.cdf(own[i]))
    np.testing.assert_allclose(LiRA(variance=variance, centre=centre).score(signals), online, rtol=1e-9)
    found = LiRAOffline(variance=variance, centre=centre).score(signals)
    if variance == "shared":  # of one kind of models only: those that never saw the text
        found = found * np.sqrt(_pooled(phi, [~seen]) / _pooled(phi, [~seen, seen]))
    np.testing.assert_allclose(stats.norm.cdf(found), offline, rtol=1e-9)
    assert np.argsort(found).tolist() == np.argsort(offline).tolist()


@pytest.mark.parametrize("n_models", [2, 5])
def test_the_pooled_variance_is_unbiased(n_models: int) -> None:
    # 20000 texts of very different level, deviation .5: without centring it would be 30, with ddof 0 of two models .35
    rng = np.random.default_rng(1)
    level = -rng.uniform(100, 200, 20_000)
    target = level + 1.0
    signals = make_signals(target, level + rng.normal(0, 0.5, (n_models, 20_000)))
    z = LiRAOffline(statistic="loss").score(signals)
    # z = (1 - noise of the mean) / s, so its mean is 1 / s
    assert 1 / z.mean() == pytest.approx(0.5, rel=0.02)


def test_offline_is_one_sided() -> None:
    """Non-members that the target codes worse than the references do: a two-sided density calls them members."""
    rng = np.random.default_rng(2)
    level = -rng.uniform(50, 60, 400)
    shift = np.where(np.arange(400) < 200, 2.0, rng.choice([-3.0, 0.0], 400))
    references = level + rng.normal(0, 1, (8, 400))
    signals = make_signals(level + shift + rng.normal(0, 1, 400), references)
    z = LiRAOffline(statistic="loss").score(signals)
    two_sided = -stats.norm.logpdf(z)

    def auc(scores: Array) -> float:
        return float(stats.mannwhitneyu(scores[:200], scores[200:]).statistic / 200**2)

    assert auc(z) > 0.9
    assert auc(two_sided) < 0.7


def test_offline_with_one_variance_of_losses_ranks_as_the_reference_attack() -> None:
    signals = random_signals()
    found = LiRAOffline(statistic="loss").score(signals)
    np.testing.assert_allclose(found / found[0], Reference().score(signals) / Reference().score(signals)[0], rtol=1e-9)


def test_the_surest_members_do_not_tie() -> None:
    signals = make_signals([-1.0, -2.0, -99.0], [[-99.0] * 3, [-100.0] * 3])
    first, second, _ = LiRAOffline(statistic="loss").score(signals)
    assert first > second
    assert stats.norm.cdf(first) == stats.norm.cdf(second) == 1.0


def test_a_shift_of_a_text_in_all_models_changes_nothing() -> None:
    signals = random_signals()
    shift = np.random.default_rng(3).uniform(-20, -10, 9)
    moved = make_signals(
        signals.target.logprob + shift, [scores.logprob + shift for scores in signals.references], signals.seen
    )
    for attack in (LiRA(statistic="loss"), LiRAOffline(statistic="loss", centre="median")):
        np.testing.assert_allclose(attack.score(moved), attack.score(signals), rtol=1e-9)


def test_logit_by_hand_and_at_its_ends() -> None:
    # p = 3/4: ln 3; p = 1/2: 0; p -> 0: ln p; p = 1 - 1e-5: ln(1e5 - 1)
    found = logit(np.array([math.log(0.75), math.log(0.5), -900.0, math.log1p(-1e-5)]))
    np.testing.assert_allclose(found, [math.log(3), 0.0, -900.0, math.log(1e5 - 1)], rtol=1e-9, atol=1e-15)
    certain = logit(np.array([0.0, -1e-30]))
    np.testing.assert_allclose(certain, math.log(2**24), rtol=1e-6)


@pytest.mark.parametrize("variance", ["shared", "fixed", "per_sample"])
def test_models_that_agree_exactly_give_finite_scores(variance: str) -> None:
    signals = make_signals([0.0, -2.0], [[0.0, -2.0]] * 4, [[True, False], [False, True]] * 2)
    for name in ("lira", "lira_offline"):
        assert get_attack(name, {"variance": variance}).score(signals).tolist() == [0.0, 0.0]
    far = make_signals([-1.0, -900.0], [[-900.0, -1.0]] * 4, [[True, False], [False, True]] * 2)
    for name in ("lira", "lira_offline"):
        assert np.isfinite(get_attack(name, {"variance": variance}).score(far)).all()


def test_a_target_trained_for_longer_than_its_shadows_still_looks_like_a_member() -> None:
    """The paper's ratio of two normals falls beyond the narrower one; with one variance it only rises."""
    seen = np.array([[True], [True], [True], [False], [False], [False]])
    models = [[-3.0], [-3.1], [-2.9], [-5.0], [-4.0], [-6.0]]
    phi = np.linspace(-6, 0, 13)

    def curve(variance: str) -> Array:
        attack = LiRA(statistic="loss", variance=variance)
        return np.concatenate([attack.score(make_signals([x], models, seen)) for x in phi])

    assert (np.diff(curve("shared")) > 0).all()
    assert curve("fixed")[-1] < curve("fixed")[5] < curve("fixed")[6]  # at 0, -3.5 and -3 nats


def test_too_few_models_are_said() -> None:
    three = make_signals(
        [-1.0, -1.0], [[-1.0, -2.0], [-3.0, -4.0], [-2.0, -2.0]], [[True, False], [False, True], [False, False]]
    )
    with pytest.raises(ValueError, match=r"variance=fixed needs at least 2 models of a kind for some text, got 1"):
        LiRA(variance="fixed").score(three)
    assert np.isfinite(LiRAOffline(variance="per_sample").score(three)).all()
    mixed = make_signals([-1.0, -1.0], [[-1.0, -2.0], [-3.0, -4.0]], [[True, False], [False, False]])
    assert np.isfinite(LiRAOffline().score(mixed)).all()
    with pytest.raises(ValueError, match=r"variance=per_sample needs at least 2 models of a kind for every text"):
        LiRAOffline(variance="per_sample").score(mixed)
    with pytest.raises(ValueError, match=r"lira needs models of both kinds for every text"):
        LiRA().score(make_signals([-1.0], [[-1.0], [-2.0]]))


@pytest.mark.parametrize("name", ["lira", "lira_offline"])
@pytest.mark.parametrize(
    ("key", "allowed"),
    [("statistic", "logit or loss"), ("variance", "shared or fixed or per_sample"), ("centre", "mean or median")],
)
def test_parameters_are_words(name: str, key: str, allowed: str) -> None:
    for wrong in ("xyz", 1, None):
        with pytest.raises(ValueError, match=f"{key} must be {allowed}, got {wrong!r}"):
            get_attack(name, {key: wrong})
