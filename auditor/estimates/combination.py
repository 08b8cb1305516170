"""The combination of all attacks: a classifier over their scores, judged on texts it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from ..documents.result import CombinationResult
from ..stats.calibration import calibration
from ..stats.clusters import Array, Groups, Ids
from ..stats.crossfit import (
    N_FOLDS,
    auc_gain,
    best_of_folds,
    folded_auc,
    folded_auc_interval,
    group_folds,
    too_few_for_folds,
)
from ..stats.intervals import finite_vector
from ..stats.metrics import tpr_at_fpr

__all__ = ["Combination", "combine"]

LEAST_SAMPLES = 50
PENALTY_C = 1.0  # fixed beforehand: tuning it would be one more choice to pay for
CALIBRATION_C = 100.0
METHOD = (
    f"logistic regression (L2, C={PENALTY_C:g}, sides weighing the same) on Gaussianised ranks; "
    f"{N_FOLDS} folds, nested Platt scaling"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combination:
    """All attacks together.

    Parameters
    ----------
    result : CombinationResult or None
        None with ``undefined_reason``.
    log_odds, posterior : ndarray of shape (n_samples,), or None
        Natural log-odds and probability of membership at equal prior odds, from folds that did not train on the sample.
    undefined_reason : str or None
    """

    result: CombinationResult | None
    log_odds: Array | None
    posterior: Array | None
    undefined_reason: str | None = None


def combine(
    scores: Mapping[str, Array],
    is_member: NDArray[np.bool_],
    groups: Groups = None,
    *,
    fpr_targets: Sequence[float],
    level: float,
    seed: int,
) -> Combination:
    """Train on the scores of all attacks, and score each text by folds that did not train on it.

    Parameters
    ----------
    scores : mapping of str to ndarray of shape (n_samples,)
        Scores by label of the attack, higher for members.
    is_member : ndarray of bool, shape (n_samples,)
    groups : sequence of (str or None), length n_samples, optional
        Cluster of each sample; a cluster is never split.
    fpr_targets : sequence of float
        False-positive rates in (0, 1].
    level : float
        Confidence level of every interval.
    seed : int
        Of the folds.

    Returns
    -------
    Combination
        No result below two attacks, 50 samples or ten clusters a side. ``auc`` and ``gain`` compare texts within a
        fold; ``tpr_at_fpr`` needs one threshold for all, so the log-odds are calibrated in each fold and pooled.

    Raises
    ------
    ValueError
        If a score is not finite or the lengths differ.

    Notes
    -----
    Only the order of an attack's scores enters: each becomes the normal quantile of its rank among the texts
    trained on. The penalty is fixed, so nothing is tuned. The log-odds of the held-out fold go through Platt's line,
    fitted on the other four folds by leaving each of them out in turn; a line that falls is taken as flat, for then
    what was learnt did not carry over even there.

    References
    ----------
    .. [1] LeDell, Petersen, van der Laan, *Computationally efficient confidence intervals for cross-validated area
       under the ROC curve estimates*, Electron. J. Statist. 9, 2015.
    .. [2] Platt, *Probabilistic outputs for support vector machines*, 1999. A weak ridge stands for his target values.
    """
    table = [finite_vector(values, f"scores of {label}") for label, values in scores.items()]
    problem = _problem(len(table), is_member, groups)
    if problem is not None:
        return Combination(result=None, log_odds=None, posterior=None, undefined_reason=problem)
    features = np.stack(table)  # (n_attacks, n_samples)
    fold = group_folds(is_member, groups, rng=np.random.default_rng(seed))
    log_odds = _out_of_fold_log_odds(features, is_member, fold)
    posterior = np.asarray(scipy.special.expit(log_odds))
    _, best_single = best_of_folds(features, is_member, fold)
    pooled = [tpr_at_fpr(log_odds, is_member, fpr=fpr, level=level, groups=groups) for fpr in fpr_targets]
    result = CombinationResult(
        features=tuple(scores),
        method=METHOD,
        n_folds=N_FOLDS,
        auc=folded_auc_interval(folded_auc(log_odds, is_member, fold), is_member, fold, level=level, groups=groups),
        tpr_at_fpr=tuple(replace(e, method=f"{e.method}, pooled out-of-fold log-odds") for e in pooled),
        gain=auc_gain(best_single, log_odds, is_member, fold, level=level, groups=groups),
        calibration=calibration(posterior, is_member, level=level, groups=groups),
    )
    return Combination(result=result, log_odds=log_odds, posterior=posterior)


def _problem(n_attacks: int, is_member: NDArray[np.bool_], groups: Groups) -> str | None:
    """Say why nothing can be combined, or None."""
    if n_attacks < 2:
        return f"at least 2 attacks are needed to combine, got {n_attacks}"
    n_members = int(is_member.sum())
    for name, n in (("members", n_members), ("non-members", is_member.size - n_members)):
        if 0 < n < LEAST_SAMPLES:
            return f"at least {LEAST_SAMPLES} {name} are needed to train on, got {n}"
    return too_few_for_folds(is_member, groups)


def _out_of_fold_log_odds(features: Array, is_member: NDArray[np.bool_], fold: Ids) -> Array:
    """Calibrated log-odds of every sample, shape (n_samples,), nothing of its own fold having been seen."""
    inner = np.empty((N_FOLDS, is_member.size))  # row f: samples of the other folds, two folds left out
    for f in range(N_FOLDS):
        for g in range(f):
            held_out = (fold == f) | (fold == g)
            scored = _trained(features, is_member, held_out)
            inner[f, fold == g], inner[g, fold == f] = scored[fold[held_out] == g], scored[fold[held_out] == f]
    log_odds = np.empty(is_member.size)
    for f in range(N_FOLDS):
        here = fold == f
        slope, intercept = _platt(inner[f, ~here], is_member[~here])
        log_odds[here] = intercept + slope * _trained(features, is_member, here)
    return log_odds


def _trained(features: Array, is_member: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> Array:
    """Train on all but the held-out samples and score these, shape (n_held_out,)."""
    z = np.stack([_gaussian_ranks(row, np.sort(row[~held_out])) for row in features], axis=1)  # (n_samples, n_attacks)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY_C, class_weight="balanced", max_iter=1000)
    model.fit(z[~held_out], is_member[~held_out])
    return np.asarray(model.decision_function(z[held_out]), dtype=np.float64)


def _platt(decision: Array, is_member: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the line that turns decisions into log-odds; both 0 if it would fall."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=CALIBRATION_C, class_weight="balanced", max_iter=1000)
    line.fit(decision[:, None], is_member)
    slope = float(line.coef_[0, 0])
    return (slope, float(line.intercept_[0])) if slope > 0 else (0.0, 0.0)


def _gaussian_ranks(values: Array, trained_on: Array) -> Array:
    """Turn values into normal quantiles of their ranks among sorted others; ties at their middle, ends finite.

    scikit-learn's QuantileTransformer interpolates between values, so it changes with a monotone transform.
    """
    below = np.searchsorted(trained_on, values, side="left")
    not_above = np.searchsorted(trained_on, values, side="right")
    z: Array = scipy.special.ndtri(((below + not_above) / 2 + 0.5) / (trained_on.size + 1))
    return z
