"""LiRA: a text's score beside those of models that trained on it and of models that did not, online and offline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import BoolArray, ComparingAttack, FloatArray, Need, Signals

__all__ = ["LiRA", "LiRAOffline", "logit"]

_CHOICES = {"statistic": ("logit", "loss"), "variance": ("shared", "fixed", "per_sample"), "centre": ("mean", "median")}
_LARGEST_LOGPROB = -float(np.finfo(np.float32).epsneg)
_SMALLEST_STD = 1e-6


def logit(logprob: FloatArray) -> FloatArray:
    """Log odds ``ln(p / (1 - p))`` of ``p = exp(logprob)``, finite.

    Log-probabilities above ``-2^-24``, where 1 - p is rounding of the float32 scores, are taken as that: the log odds
    end at 16.6.
    """
    bounded = np.minimum(logprob, _LARGEST_LOGPROB)
    odds: FloatArray = bounded - np.log(-np.expm1(bounded))
    return odds


@dataclass(frozen=True)
class _LikelihoodRatio(ComparingAttack):
    """What both attacks share: the statistic and how a normal is fitted to that of several models."""

    statistic: str = "logit"
    variance: str = "shared"
    centre: str = "mean"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}, got {getattr(self, name)!r}")

    def features(self, signals: Signals) -> FloatArray:
        """Return the statistic of the target and of each reference, and whether that reference never saw the text."""
        totals = np.stack([scores.total_logprob for scores in (signals.target, *signals.references)])
        means = totals / signals.target.n_tokens  # (1 + n_references, n_samples)
        statistics = logit(means) if self.statistic == "logit" else means
        return np.concatenate([statistics, signals.unseen]).T

    def _fit(self, statistics: FloatArray, kinds: tuple[BoolArray, ...]) -> list[tuple[FloatArray, FloatArray]]:
        """Fit a normal to the models of each kind: statistics and kinds have shape (n_references, n_samples).

        Returns
        -------
        list of (centre, std)
            Centre of each text, shape (n_samples,), and the standard deviation of each text or of all in one.
        """
        fits = [self._moments(statistics, counted) for counted in kinds]
        if self.variance == "shared":
            squares = sum(one.sum(keepdims=True) for _, one, _ in fits)
            degrees = sum(one.sum(keepdims=True) for _, _, one in fits)
            return [(centre, _std(squares, degrees, "shared")) for centre, _, _ in fits]
        if self.variance == "fixed":
            fits = [(centre, a.sum(keepdims=True), b.sum(keepdims=True)) for centre, a, b in fits]
        return [(centre, _std(squares, degrees, self.variance)) for centre, squares, degrees in fits]

    def _moments(self, statistics: FloatArray, counted: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centre of each text, and its sum of squares about the mean with the degrees of freedom behind it."""
        n_models = counted.sum(axis=0)
        if n_models.min() == 0:
            raise ValueError(f"{self.name} needs models of both kinds for every text, got none of one kind for some")
        values = np.where(counted, statistics, np.nan)
        means = np.nanmean(values, axis=0)
        squares = np.nansum((values - means) ** 2, axis=0)
        return means if self.centre == "mean" else np.nanmedian(values, axis=0), squares, n_models - 1


def _std(squares: FloatArray, degrees: FloatArray, variance: str) -> FloatArray:
    """Take the standard deviation, with a floor."""
    if degrees.min() < 1:
        where = "for every text" if variance == "per_sample" else "for some text"
        raise ValueError(f"variance={variance} needs at least 2 models of a kind {where}, got 1")
    return np.asarray(np.maximum(np.sqrt(squares / degrees), _SMALLEST_STD))


def _parts(features: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Take the target's statistic, those of the references, and who never saw the text, out of the features."""
    n_references = features.shape[1] // 2  # features: (n_samples, 1 + 2 n_references)
    return features[:, 0], features[:, 1 : n_references + 1].T, features[:, n_references + 1 :].T > 0


@dataclass(frozen=True)
class LiRA(_LikelihoodRatio):
    """Log-likelihood ratio of the target's statistic (Carlini et al. 2022, algorithm 1: the online attack).

    ``ln N(phi; mu_in, s_in) - ln N(phi; mu_out, s_out)``: normals are fitted, text by text, to the statistic of the
    shadow models that trained on the text and of those that did not. The paper's ``phi`` is the log odds of the true
    class; of a text it is here that of ``p``, the geometric mean of its token probabilities. A reference with another
    tokenizer is taken per token of the target.

    Parameters
    ----------
    statistic : {"logit", "loss"}
        ``ln(p / (1 - p))`` as in the paper, or ``ln p``, the mean log-probability of the tokens.
    variance : {"shared", "fixed", "per_sample"}
        ``fixed``: one variance of all texts for models of a kind, pooled after each text was centred on its own mean,
        with as many degrees of freedom as models and texts less the means: for few models (the paper: below 64).
        Public code takes that of all values uncentred, which is mostly how texts differ. ``shared``: one variance of
        all texts and both kinds. Of two normals the wider one wins at both ends: where the "in" one is narrower, the
        paper's ratio falls again beyond it, and a target that was trained longer than its shadows looks like a
        non-member; with one variance the ratio only rises. ``per_sample``: of each text, with n - 1 degrees of freedom;
        it takes two models of a kind. No standard deviation is below 1e-6 nats.
    centre : {"mean", "median"}
        Of the normals: the paper's mean, or the median of its code. Variances are about the mean either way.
    """

    name: ClassVar[str] = "lira"
    paper: ClassVar[str] = "arXiv:2112.03570"
    summary: ClassVar[str] = "log-likelihood ratio of the target's score between shadow models that trained or did not"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHADOWS})

    def compare(self, features: FloatArray) -> FloatArray:
        """Return the log-likelihood ratio of each text.

        Raises
        ------
        ValueError
            If a text has no model of one kind, or too few for the variance asked for.
        """
        target, references, unseen = _parts(features)
        (centre_in, std_in), (centre_out, std_out) = self._fit(references, (~unseen, unseen))
        z_in, z_out = (target - centre_in) / std_in, (target - centre_out) / std_out
        return np.asarray((z_out**2 - z_in**2) / 2 + np.log(std_out / std_in))


@dataclass(frozen=True)
class LiRAOffline(_LikelihoodRatio):
    """Standard score of the target among models that never saw the text (Carlini et al. 2022, equation 4).

    The paper's one-sided test ``Pr[N(mu_out, s_out) < phi] = Phi(z)``, given as ``z = (phi - mu_out) / s_out``: Phi
    is one increasing function for all texts, so ranks are the same, and it rounds to 1 from z = 8.3 on, which would
    tie the surest members. The public code takes minus the density instead, two-sided: a text that fits the target
    worse than the references would look like a member. Parameters as of :class:`LiRA`; with one variance of all texts
    and the mean log-probability as the statistic, the ranks are those of the attack ``reference``.
    """

    name: ClassVar[str] = "lira_offline"
    paper: ClassVar[str] = "arXiv:2112.03570"
    summary: ClassVar[str] = "standard deviations of the target's score above that of models that never saw the text"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SEVERAL_REFERENCES})

    def compare(self, features: FloatArray) -> FloatArray:
        """Return the standard score of each text.

        Raises
        ------
        ValueError
            If there are too few models for the variance asked for.
        """
        target, references, unseen = _parts(features)
        ((centre, std),) = self._fit(references, (unseen,))
        return np.asarray((target - centre) / std)
