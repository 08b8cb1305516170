"""The figures of an audit on matplotlib's axes, for notebooks and papers: curves, bits, attacks, tokens of a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from auditor.documents.result import AuditResult
from auditor.documents.sample_table import SampleTable
from auditor.errors import ResultError

from ..attacks import ranked
from ..escaping import visible
from .sheet import BLUE, FAINT, GREY, RED, SERIES, Array

__all__ = ["draw_attacks", "draw_bits", "draw_roc", "draw_tokens"]

_MOST_TOKENS = 60
"""Tokens that are named beneath a figure; more would not be read."""


def draw_roc(result: AuditResult, axes: Axes | None = None, *, log: bool = True) -> Axes:
    """Draw the ROC curve of every attack, the first one most prominent.

    Raises
    ------
    ResultError
        If no attack has a curve.
    """
    drawn = [attack for attack in ranked(result) if attack.roc is not None]
    if not drawn:
        raise ResultError("no ROC curve: there are no non-members, or no attack was run")
    axes = _axes(axes, (4.2, 4.2))
    least = 0.5 / max(attack.auc.n_non_members for attack in drawn)
    for i, attack in reversed(list(enumerate(drawn))):
        curve = attack.roc
        assert curve is not None
        fpr, tpr = np.array(curve.fpr), np.array(curve.tpr)
        fpr, tpr = (np.maximum(fpr, least), np.maximum(tpr, least)) if log else (fpr, tpr)
        colour = SERIES[i % len(SERIES)][0]
        label = f"{_plain(attack.attack)} (AUC {attack.auc.value:.3f})"
        axes.plot(fpr, tpr, color=colour, lw=1.8 if i == 0 else 1.0, label=label, drawstyle="steps-post")
    chance = np.geomspace(least, 1, 50) if log else np.array([0.0, 1.0])
    axes.plot(chance, chance, color=FAINT, ls="--", lw=1, label="a coin flip")
    if log:
        axes.set(xscale="log", yscale="log", xlim=(least, 1.05), ylim=(least, 1.05))
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", title=_title("ROC curves", result))
    order = [*range(len(drawn) - 1, -1, -1), len(drawn)]
    handles, labels = axes.get_legend_handles_labels()
    _legend(axes, [handles[i] for i in order], [labels[i] for i in order])
    return axes


def draw_bits(result: AuditResult, samples: SampleTable, axes: Axes | None = None) -> Axes:
    """Draw the bits of every text: of memorization with a reference, else the code length under the target."""
    axes = _axes(axes, (5.2, 3.2))
    bits = samples.target_bits if samples.signed_bits is None else samples.signed_bits
    words = "code length under the target, bits" if samples.signed_bits is None else "bits that the target saves"
    edges = np.histogram_bin_edges(bits, bins=min(40, max(8, len(bits) // 5)))
    for side, here, colour in (
        ("members", samples.is_member, RED),
        ("non-members", ~samples.is_member, BLUE),
    ):
        if here.any():
            shares = np.full(int(here.sum()), 1 / here.sum())
            axes.hist(bits[here], edges.tolist(), weights=shares, histtype="step", color=colour, lw=1.5,
                      label=f"{int(here.sum())} {side}")  # fmt: skip
    if samples.signed_bits is not None:
        axes.axvline(0, color=GREY, lw=0.8)
    axes.set(xlabel=words, ylabel="share of the texts", title=_title("Bits of each text", result))
    _legend(axes)
    return axes


def draw_attacks(result: AuditResult, axes: Axes | None = None) -> Axes:
    """Draw the AUC of every attack with its interval, that of the verdict on top.

    Raises
    ------
    ResultError
        If no attack has an AUC.
    """
    found = [(_plain(one.attack), one.auc) for one in ranked(result) if one.auc.value is not None]
    if not found:
        raise ResultError("no attack has an AUC: there are no non-members, or no attack was run")
    axes = _axes(axes, (5.2, 0.7 + 0.28 * len(found)))
    places = np.arange(len(found))[::-1]
    values = np.array([auc.value for _, auc in found])
    ends = np.array([[auc.low for _, auc in found], [auc.high for _, auc in found]])
    axes.errorbar(values, places, xerr=np.abs(ends - values), fmt="o", color=BLUE, ms=4, lw=1.2)
    axes.axvline(0.5, color=GREY, ls="--", lw=1)
    axes.set_yticks(places, [name for name, _ in found], parse_math=False)
    level = f"{found[0][1].level:.0%}"
    axes.set(xlabel=f"AUC with its {level} interval", title=_title("Attacks", result))
    return axes


def draw_tokens(
    sample_id: str, target: Array, reference: Array | None, names: Sequence[str] | None, axes: Axes | None = None
) -> Axes:
    """Draw the bits of every scored token of one text.

    Parameters
    ----------
    target, reference : ndarray of float64, shape (n_tokens,), bits
        Code length of each token; with a reference bars are what the target saves, else the code length itself.
    names : sequence of str, optional
        The tokens, if they may be shown.
    """
    axes = _axes(axes, (max(4.5, min(12.0, 0.16 * len(target))), 2.8))
    bits = target if reference is None else reference - target
    colours = BLUE if reference is None else np.where(bits > 0, RED, BLUE)
    axes.bar(np.arange(len(bits)), bits, color=colours, width=0.85)
    axes.axhline(0, color=GREY, lw=0.8)
    said = "code length under the target" if reference is None else "bits that the target saves"
    axes.set(xlabel="token", ylabel=said)
    axes.set_title(f"{_plain(sample_id)}: {bits.sum():.1f} bits, {len(bits)} tokens", parse_math=False)
    if names is not None:
        shown = [_plain(name, 24) for name in names[:_MOST_TOKENS]]
        axes.set_xticks(np.arange(len(shown)), shown, rotation=90, fontsize=7, parse_math=False)
    return axes


def _axes(axes: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the axes given, or new ones that a notebook shows."""
    if axes is not None:
        return axes
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def _legend(axes: Axes, *handles_and_labels: Any) -> None:
    legend = axes.legend(*handles_and_labels, frameon=False, fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _title(words: str, result: AuditResult) -> str:
    """Say what is drawn, and that a check forbids a verdict where one does."""
    vetoed = result.soundness is not None and result.soundness.verdict == "veto"
    return f"{words}, for diagnosis only: a check forbids a verdict" if vetoed else words


def _plain(text: str, limit: int = 60) -> str:
    return visible(text, limit)
