"""RMIA: whether the target favours this text, over what to expect of it, more than it favours others."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import BoolArray, ComparingAttack, FloatArray, Need, Signals

__all__ = ["RMIA", "share_of_others_below"]


def share_of_others_below(values: FloatArray, gap: float) -> FloatArray:
    """Share of the other values that are at most ``value - gap``, for each value; 0 where there is no other.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    gap : float

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    bars = values - gap
    n_below = np.searchsorted(np.sort(values), bars, side="right") - (values <= bars)
    return n_below / max(1, len(values) - 1)


@dataclass(frozen=True)
class RMIA(ComparingAttack):
    """Share of a population whose likelihood ratio the text beats (Zarifzadeh et al. 2024).

    The share of texts z with ``(p_x / p(x)) / (p_z / p(z)) >= gamma``: ``p_x`` is the target's probability of the
    text, the geometric mean over its tokens, and ``p(x)`` the one to expect. If every text was seen by some
    reference (shadow models), ``p(x) = (mean_in + mean_out) / 2``, the paper's online form; else only those
    that never saw it count and ``p(x) = (1 + a) / 2 mean_out + (1 - a) / 2``, the offline form, which supposes that
    a model that saw the text would give it ``a mean_out + 1 - a``. A reference with another tokenizer is taken per
    token of the target.

    The paper draws z from a population of its own. Here z runs over all other evaluated texts, whatever side they
    are on: no label is looked at. Either way the score is an increasing function of ``p_x / p(x)``, so ROC and AUC are
    those of this ratio but for ties, and with gamma = 1 and this population there are no other ties than the
    ratio's. The share only gives the ratio a scale. One text alone scores 0. Against a single reference, with a = 1,
    the ranks would be those of the attack ``reference``: it takes several.

    Parameters
    ----------
    a : float
        In [0, 1], of the offline form. 1, which takes the references as they are, is ours: the paper's 0.3 is made for
        classifiers, whose members have a probability near 1. Tokens of texts seldom have, ``(1 - a) / 2`` outweighs
        the references, and the attack becomes the loss attack.
    gamma : float
        By how much the text has to beat another; the paper's 1.
    """

    a: float = 1.0
    gamma: float = 1.0

    name: ClassVar[str] = "rmia"
    paper: ClassVar[str] = "arXiv:2312.03262"
    summary: ClassVar[str] = "share of the other texts that the target favours less, over what references expect"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SEVERAL_REFERENCES})

    def __post_init__(self) -> None:
        for name, value in self.params().items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, got {value!r}")
        if not 0 <= self.a <= 1:
            raise ValueError(f"a must be in [0, 1], got {self.a}")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma must be a number above 0, got {self.gamma}")

    def features(self, signals: Signals) -> FloatArray:
        """Return ``ln(p_x / p(x))``, offline and online, shape (n_samples, 2); online NaN if no reference saw it."""
        logprob = np.stack([scores.total_logprob for scores in signals.references]) / signals.target.n_tokens
        out, seen = _log_mean_exp(logprob, signals.unseen), ~signals.unseen
        certain = math.log((1 - self.a) / 2) if self.a < 1 else -math.inf
        offline = np.logaddexp(math.log((1 + self.a) / 2) + out, certain)
        online = np.full_like(offline, np.nan)
        both = seen.any(axis=0)
        online[both] = np.logaddexp(_log_mean_exp(logprob[:, both], seen[:, both]), out[both]) - math.log(2)
        return np.asarray(signals.target.mean_logprob - np.stack([offline, online])).T

    def compare(self, features: FloatArray) -> FloatArray:
        """Return the share of the other texts that each text beats, online if that can be done for all of them."""
        offline, online = features.T
        return share_of_others_below(offline if np.isnan(online).any() else online, math.log(self.gamma))


def _log_mean_exp(logprob: FloatArray, counted: BoolArray) -> FloatArray:
    """Log of the mean probability over the models counted, both (n_models, n_samples), text by text."""
    masked = np.where(counted, logprob, -np.inf)
    best = masked.max(axis=0)
    return np.asarray(best + np.log(np.exp(masked - best).sum(axis=0) / counted.sum(axis=0)))
