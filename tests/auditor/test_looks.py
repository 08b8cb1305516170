"""Looks: products of sparse features, and ridge regression on other folds, against fitting each fold anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.kernel_ridge import KernelRidge

from auditor.soundness import looks as module
from auditor.soundness.looks import Looks, left_out, left_out_by_steps
from auditor.soundness.text_features import FAMILIES, N_HASHES, count_runs, features_of

WORDS = ["ab", "cde", "f", "ghijk", "lm", "nop", "qrstuv", "w", "xyz", "1987"]


def drawn(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 12))) for _ in range(n)]


@given(st.lists(st.text(alphabet="ab \t\n中\U0001f600.", max_size=30), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_runs_are_those_of_scikit_learn(texts: list[str]) -> None:
    """As many runs of each multiplicity: what differs is the hash that a run is counted under."""
    ours = count_runs([*texts, "ab"])
    theirs = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), lowercase=False).fit_transform([*texts, "ab"])
    assert ours.shape == (len(texts) + 1, N_HASHES)
    for row in range(len(texts) + 1):
        assert sorted(ours[row].data.tolist()) == sorted(theirs[row].data.tolist())
    together, apart = (CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), lowercase=False), ours.tocsc())
    whole = together.fit_transform([*texts, "ab"]).tocsc()
    columns = {tuple(whole[:, i].toarray().ravel()) for i in range(whole.shape[1])}
    used = np.flatnonzero(np.diff(apart.indptr))
    assert {tuple(apart[:, i].toarray().ravel()) for i in used} == columns  # equal runs under equal hashes


def test_products_do_not_depend_on_what_is_made_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    chance = np.geomspace(0.001, 0.9, 300)  # n-grams that one text has, and that nearly all have
    seen = sparse.csr_matrix(rng.random((200, 300)).astype(np.float32) * (rng.random((200, 300)) < chance))
    expected = seen.toarray().astype(np.float64) @ seen.toarray().T.astype(np.float64)
    for common in (-1.0, 1 / 16, 2.0):
        monkeypatch.setattr(module, "_COMMON", common)
        assert module._products(seen) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kernel_is_centred_and_of_mean_square_one(family: str) -> None:
    kernel = Looks(features_of(drawn(90, 0), np.arange(90))).kernel(family).astype(np.float64)
    assert np.trace(kernel) / 90 == pytest.approx(1, rel=1e-4)
    assert np.abs(kernel.sum(axis=0)).max() < 1e-2
    assert kernel == pytest.approx(kernel.T, abs=1e-4)


def test_what_is_left_out_is_what_the_other_folds_predict() -> None:
    """One inverse for all, and conjugate gradients, against scikit-learn's regression fold by fold."""
    kernel = Looks(features_of(drawn(120, 1), np.arange(120))).kernel("characters")
    rng = np.random.default_rng(0)
    fold, labels = rng.integers(0, 5, 120), rng.choice([-0.5, 0.5], (120, 7))
    expected = np.empty((120, 7))
    for k in range(5):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        ridge = KernelRidge(alpha=module.PENALTY, kernel="precomputed")
        ridge.fit(kernel[np.ix_(train, train)].astype(np.float64), labels[train])
        expected[test] = ridge.predict(kernel[np.ix_(test, train)].astype(np.float64))
    assert left_out_by_steps(kernel, labels[:, 0], fold) == pytest.approx(expected[:, 0], abs=2e-3)
    predicted, _ = left_out(kernel.copy(), labels, fold)
    assert predicted == pytest.approx(expected, abs=1e-4)


def test_other_texts_are_scored_as_left_out_ones_are() -> None:
    """The weights without a fold give the texts of that fold their predictions, by their features."""
    texts = drawn(150, 2)
    features, fold = features_of(texts, np.arange(150)), np.arange(150) % 5
    looks = Looks(features)
    kernel = sum((looks.kernel(name) for name in FAMILIES), start=np.zeros((150, 150), dtype=np.float32)) / 4
    predicted, dual = left_out(kernel, np.where(np.arange(150) < 75, 0.5, -0.5)[:, None], fold)
    assert (dual[np.arange(150), fold] == 0).all()
    scored = looks.scorer(dual)(features)
    assert scored[np.arange(150), fold] == pytest.approx(predicted[:, 0], abs=1e-4)
